from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
import time_machine

from octovid_django.exceptions import OctovidAuthenticationError, OctovidRateLimitError
from octovid_django.models import GatewayState
from octovid_django.pause import claim_probe, gateway_state, pause, resume

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
WRONG_KEY = OctovidAuthenticationError("401: the key is wrong")


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as coordinates:
        yield coordinates


def seconds_left(state: GatewayState) -> float:
    assert state.paused_until
    return (state.paused_until - datetime.now(timezone.utc)).total_seconds()


def test_at_first_there_is_none() -> None:
    state = gateway_state()

    assert (state.name, state.is_paused, state.pause_count) == ("default", False, 0)


def test_grows_from_15_seconds_to_5_minutes() -> None:
    lengths = []
    for _ in range(7):
        pause(gateway_state(), WRONG_KEY)
        lengths.append(seconds_left(gateway_state()))

    assert lengths == [15, 30, 60, 120, 240, 300, 300]


@pytest.mark.parametrize(
    ("retry_after", "length"),
    [(7, 7), (600, 600), (10**7, 3600), (0, 15), (-5, 15)],
    ids=["short", "long", "absurd", "at once", "past"],
)
def test_is_as_long_as_the_gateway_asks_within_reason(retry_after: int, length: int) -> None:
    wanted = timedelta(seconds=retry_after)
    pause(gateway_state(), OctovidRateLimitError("429", retry_after=wanted))

    assert seconds_left(gateway_state()) == length


def test_says_why_and_is_loud(caplog: pytest.LogCaptureFixture) -> None:
    pause(gateway_state(), WRONG_KEY)

    state = gateway_state()
    assert (state.is_paused, state.pause_reason) == (True, "401: the key is wrong")
    assert "401: the key is wrong" in caplog.text
    assert caplog.records[-1].levelname == "ERROR"


def test_of_several_workers_at_once_is_one() -> None:
    seen = gateway_state()
    pause(seen, WRONG_KEY)
    pause(seen, WRONG_KEY)

    assert gateway_state().pause_count == 1


def test_lets_one_request_go_first_when_it_is_over(clock: time_machine.Coordinates) -> None:
    pause(gateway_state(), WRONG_KEY)
    assert not claim_probe(gateway_state())
    clock.shift(15)

    seen = gateway_state()
    assert [claim_probe(seen), claim_probe(seen), claim_probe(gateway_state())] == [
        True,
        False,
        False,
    ]


def test_whose_first_request_was_killed_lets_another_go(clock: time_machine.Coordinates) -> None:
    pause(gateway_state(), WRONG_KEY)
    clock.shift(15)
    assert claim_probe(gateway_state())
    clock.shift(60)

    assert claim_probe(gateway_state())


def test_ends_by_an_answer(clock: time_machine.Coordinates) -> None:
    pause(gateway_state(), WRONG_KEY)
    clock.shift(15)

    resume(gateway_state())

    state = gateway_state()
    assert (state.is_paused, state.pause_reason, state.pause_count) == (False, "", 0)
    assert not claim_probe(state), "everybody may ask, nobody is first"


def test_is_not_ended_by_who_does_not_know_of_it() -> None:
    seen = gateway_state()
    pause(seen, WRONG_KEY)

    resume(seen)

    assert gateway_state().is_paused
