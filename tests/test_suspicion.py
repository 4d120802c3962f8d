"""The scope of a 403 or 404: one task, until a second task meets the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import time_machine

from octovid_django.exceptions import OctovidAuthenticationError
from octovid_django.models import GatewayState, VideoTask
from octovid_django.pause import gateway_state, record_sightings
from octovid_django.refresh import refresh_due, refresh_tasks
from octovid_django.suspicion import Suspicion
from tests.gateway import (
    BROKEN,
    TOO_MANY,
    WRONG_KEY,
    Behaviour,
    Gateway,
    reports,
    responds,
)

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
RUNNING = reports("IN_PROGRESS", progress="50%")
NO_MODEL = responds(403, {"error": {"message": "no access to model x", "type": "new_api_error"}})
NO_SUCH = responds(404, {"error": {"message": "no such thing", "type": "new_api_error"}})
POISONS = {
    "403": NO_MODEL,
    "404": NO_SUCH,
    "404_html": responds(404, "<html>", Content_Type="text/html"),
}
PATH_ERRORS = {
    "403_html": responds(403, "<html>", Content_Type="text/html"),
    "404_invalid_url": responds(404, {"error": {"message": "Invalid URL (GET /v1/a/b)"}}),
    "200_html": responds(200, "<!doctype html>", Content_Type="text/html"),
}
"""What meets an id with a "/", where a proxy or a router reads it as a part of the path."""


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as coordinates:
        yield coordinates


@pytest.fixture
def track(gateway: Gateway) -> Callable[..., VideoTask]:
    def track_task(task_id: str, behaviour: Behaviour = RUNNING) -> VideoTask:
        gateway.behaviours[task_id] = behaviour
        return VideoTask.objects.track(task_id)

    return track_task


Track = Callable[..., VideoTask]


def poll(*tasks: VideoTask) -> None:
    for task in tasks:
        refresh_tasks([task])


def simulate(clock: time_machine.Coordinates, seconds: int) -> None:
    """Let the time pass, and refresh what is due every five seconds."""
    for _ in range(seconds // 5):
        refresh_due()
        clock.shift(5)


class TestHealthyTasks:
    @pytest.mark.parametrize(
        ("poison", "bad"), [("403", 1), ("404", 2), ("403", 5), ("404_html", 5)]
    )
    def test_healthy_tasks_keep_their_poll_rate_beside_poisoned_ones(
        self,
        gateway: Gateway,
        track: Track,
        clock: time_machine.Coordinates,
        poison: str,
        bad: int,
    ) -> None:
        for number in range(60):
            track(f"good-{number}")
        seconds = 600
        refresh_due()
        for number in range(bad):
            track(f"bad-{number}", POISONS[poison])

        simulate(clock, seconds)

        polls = sum(task_id.startswith("good") for task_id in gateway.polled)
        # Two poisoned tasks pause the account once; after the probe their scope is the task.
        allowed = 0.95 if bad <= 2 else 0.9
        assert polls >= allowed * 60 * seconds / 15
        for task in VideoTask.objects.filter(task_id__startswith="bad"):
            assert task.poll_count >= 3
            assert poison[:3] in task.last_error
            assert task.status == "NOT_START"
            assert task.next_poll_at
            assert task.next_poll_at > NOW + timedelta(seconds=seconds + 60), "it backs off"

    @pytest.mark.parametrize("poison", ["403", "404"])
    def test_one_poisoned_task_among_300_causes_no_pause(
        self,
        gateway: Gateway,
        track: Track,
        clock: time_machine.Coordinates,
        poison: str,
    ) -> None:
        for number in range(300):
            track(f"good-{number}")
        track("bad", POISONS[poison])

        simulate(clock, 90)

        polls = sum(task_id.startswith("good") for task_id in gateway.polled)
        assert polls >= 0.95 * 300 * 6
        assert gateway_state().pause_count == 0

    @pytest.mark.parametrize("bad", [1, 40])
    @pytest.mark.parametrize("path_error", PATH_ERRORS)
    def test_ids_with_slash_that_router_or_proxy_refuses_cause_no_pause(
        self,
        gateway: Gateway,
        track: Track,
        clock: time_machine.Coordinates,
        path_error: str,
        bad: int,
    ) -> None:
        for number in range(60):
            track(f"good-{number}")
        refresh_due()
        for number in range(bad):
            task = VideoTask.objects.track(f"bad-{number}/../admin")
            gateway.behaviours[task.task_id] = PATH_ERRORS[path_error]

        simulate(clock, 600)

        polls = sum(task_id.startswith("good") for task_id in gateway.polled)
        assert polls >= 0.95 * 60 * 600 / 15
        assert gateway_state().acquitted_at is None, "there was no pause to end"
        assert not VideoTask.objects.filter(task_id__contains="/", poll_count__lt=3).exists()

    @pytest.mark.parametrize("path_error", PATH_ERRORS)
    def test_ids_of_letters_digits_and_colon_pause_account(
        self, track: Track, path_error: str
    ) -> None:
        poll(*(track(f"sora-2:task_{number}", PATH_ERRORS[path_error]) for number in range(2)))

        assert gateway_state().pause_count >= 1

    def test_one_task_with_401_backs_off_and_pauses_ever_less(
        self, gateway: Gateway, track: Track, clock: time_machine.Coordinates
    ) -> None:
        """A 401 has the scope account at once; but its task backs off, and another is the probe."""
        for number in range(20):
            track(f"good-{number}")
        track("bad", WRONG_KEY)

        simulate(clock, 3600)

        polls = sum(task_id.startswith("good") for task_id in gateway.polled)
        assert polls >= 0.9 * 20 * 3600 / 15


@pytest.mark.parametrize("poison", [WRONG_KEY, NO_MODEL, NO_SUCH], ids=["401", "403", "404"])
def test_revoked_key_causes_no_more_requests_than_are_in_flight(
    gateway: Gateway, track: Track, configure: Callable[..., None], poison: Behaviour
) -> None:
    configure(CONCURRENCY=8)
    for number in range(100):
        track(f"t-{number}", poison)

    refresh_due()

    assert len(gateway.polled) <= 8 + 1
    assert gateway_state().is_paused
    assert VideoTask.objects.filter(poll_count=1).count() == len(gateway.polled)


class TestSecondTask:
    def test_second_task_with_same_403_pauses_account(self, track: Track) -> None:
        first, second = track("a", NO_MODEL), track("b", NO_MODEL)

        poll(first)
        assert not gateway_state().is_paused
        poll(second)

        assert "403" in gateway_state().pause_reason

    def test_second_task_with_other_error_keeps_first_suspect(self, track: Track) -> None:
        poll(track("a", NO_MODEL), track("b", NO_SUCH))

        assert not gateway_state().is_paused

        poll(track("c", NO_MODEL))
        assert gateway_state().is_paused, "the first is not forgotten"

    def test_same_task_polled_again_is_no_second_task(self, track: Track) -> None:
        task = track("a", NO_MODEL)

        poll(task, task, task)

        assert not gateway_state().is_paused

    def test_success_of_first_task_clears_suspicion(self, gateway: Gateway, track: Track) -> None:
        first, second = track("a", NO_MODEL), track("b", NO_MODEL)
        poll(first)
        gateway.behaviours["a"] = RUNNING
        poll(first, second)

        assert not gateway_state().is_paused

    def test_second_task_that_succeeded_meanwhile_pauses_nothing(
        self, gateway: Gateway, track: Track, clock: time_machine.Coordinates
    ) -> None:
        first, second = track("a", NO_MODEL), track("b")
        poll(first)
        clock.shift(1)
        poll(second)
        gateway.behaviours["b"] = NO_MODEL
        clock.shift(1)
        poll(second)

        assert not gateway_state().is_paused

        poll(first)
        assert gateway_state().is_paused

    def test_success_of_third_task_keeps_suspicion(self, track: Track) -> None:
        poll(track("a", NO_MODEL), track("c"), track("b", NO_MODEL))

        assert gateway_state().is_paused

    def test_sighting_by_another_worker_meanwhile_counts(self, track: Track) -> None:
        first, second = track("a", NO_MODEL), track("b", NO_MODEL)
        before = gateway_state()
        suspicion = Suspicion(before)
        poll(first)  # another cluster, since the state was read

        error = OctovidAuthenticationError("403", suspicion="403")
        assert not suspicion.note(second, error)
        assert record_sightings(before, suspicion.sightings)

    def test_second_task_with_stopped_polling_does_not_count(self, track: Track) -> None:
        first, second = track("a", NO_MODEL), track("b", NO_MODEL)
        VideoTask.objects.update(next_poll_at=None)

        poll(first, second)

        assert not gateway_state().is_paused


class TestProbe:
    @pytest.mark.parametrize("behaviour", [WRONG_KEY, TOO_MANY, responds(429, Retry_After="2")])
    def test_probe_polls_another_task_than_the_one_that_paused(
        self,
        gateway: Gateway,
        track: Track,
        clock: time_machine.Coordinates,
        configure: Callable[..., None],
        behaviour: Behaviour,
    ) -> None:
        configure(CONCURRENCY=1)
        track("bad", behaviour)
        refresh_due()
        track("good")
        gateway.requests.clear()
        clock.shift(60)

        refresh_due()

        assert gateway.polled[0] == "good"

    def test_successful_probe_gives_403_of_others_the_scope_task(
        self, gateway: Gateway, track: Track, clock: time_machine.Coordinates
    ) -> None:
        a, b, good = track("a", NO_MODEL), track("b", NO_MODEL), track("c")
        poll(a, b)
        assert gateway_state().pause_count == 1
        clock.shift(16)
        refresh_due()
        assert gateway_state().pause_count == 0
        clock.shift(60)

        poll(a, b, a)
        assert gateway_state().pause_count == 0

        gateway.behaviours["c"] = NO_MODEL  # and now its scope is the account
        poll(good, track("d", NO_MODEL))
        assert gateway_state().pause_count == 1


class TestLost:
    def test_account_errors_never_make_task_lost(
        self, gateway: Gateway, track: Track, clock: time_machine.Coordinates
    ) -> None:
        task = track("a", WRONG_KEY)
        clock.shift(timedelta(days=4))
        for _ in range(8):
            refresh_due()
            clock.shift(400)
        gateway.behaviours["a"] = BROKEN
        refresh_due()

        task.refresh_from_db()
        assert task.status == "NOT_START"
        assert task.error_count == 9

    def test_unknown_task_becomes_lost_despite_429_between(
        self, gateway: Gateway, track: Track, clock: time_machine.Coordinates
    ) -> None:
        unknown = responds(400, {"code": "task_not_exist"})
        task = track("a")
        for number in range(12):
            gateway.behaviours["a"] = TOO_MANY if number % 3 == 0 else unknown
            refresh_due()
            clock.shift(400)

        task.refresh_from_db()
        assert task.status == "LOST"


def test_suspects_of_every_kind_fit_their_column(track: Track) -> None:
    poll(*(track(f"t{number}", poison) for number, poison in enumerate(POISONS.values())))

    state: Any = GatewayState.objects.get()
    assert len(state.suspects) < 255
