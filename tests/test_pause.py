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


def test_new_account_is_not_paused() -> None:
    state = gateway_state()

    assert (state.name, state.is_paused, state.pause_count) == ("default", False, 0)


def test_pause_backoff_grows_from_15_seconds_to_5_minutes() -> None:
    lengths = []
    for _ in range(7):
        pause(gateway_state(), WRONG_KEY)
        lengths.append(seconds_left(gateway_state()))

    assert lengths == [15, 30, 60, 120, 240, 300, 300]


@pytest.mark.parametrize(
    ("retry_after", "length"),
    [(7, 7), (600, 600), (10**7, 3600), (0, 15), (-5, 15)],
    ids=["7 s", "10 min", "above 1 h", "zero", "negative"],
)
def test_pause_after_429_follows_retry_after_within_bounds(retry_after: int, length: int) -> None:
    error = OctovidRateLimitError("429", retry_after=timedelta(seconds=retry_after))
    pause(gateway_state(), error)

    assert seconds_left(gateway_state()) == length


def test_pause_stores_its_reason_and_logs_an_error(caplog: pytest.LogCaptureFixture) -> None:
    pause(gateway_state(), WRONG_KEY)

    state = gateway_state()
    assert (state.is_paused, state.pause_reason) == (True, "401: the key is wrong")
    assert "401: the key is wrong" in caplog.text
    assert caplog.records[-1].levelname == "ERROR"


def test_pause_by_two_workers_with_same_state_counts_once() -> None:
    state = gateway_state()
    pause(state, WRONG_KEY)
    pause(state, WRONG_KEY)

    assert gateway_state().pause_count == 1


def test_expired_pause_admits_exactly_one_probe(clock: time_machine.Coordinates) -> None:
    pause(gateway_state(), WRONG_KEY)
    assert not claim_probe(gateway_state())
    clock.shift(15)

    state = gateway_state()
    assert [claim_probe(state), claim_probe(state), claim_probe(gateway_state())] == [
        True,
        False,
        False,
    ]


def test_probe_lease_of_killed_worker_expires_and_is_claimed_again(
    clock: time_machine.Coordinates,
) -> None:
    pause(gateway_state(), WRONG_KEY)
    clock.shift(15)
    assert claim_probe(gateway_state())
    clock.shift(60)

    assert claim_probe(gateway_state())


def test_resume_clears_pause_reason_and_backoff(clock: time_machine.Coordinates) -> None:
    pause(gateway_state(), WRONG_KEY)
    clock.shift(15)

    resume(gateway_state())

    state = gateway_state()
    assert (state.is_paused, state.pause_reason, state.pause_count) == (False, "", 0)
    assert not claim_probe(state), "no probe is needed: every task may be polled"


def test_resume_with_stale_state_keeps_pause() -> None:
    stale = gateway_state()
    pause(stale, WRONG_KEY)

    resume(stale)

    assert gateway_state().is_paused
