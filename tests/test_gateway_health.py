"""Outages and other incidents, lived through with a real gateway: what is said, and when."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import time_machine

from octovid_django.health import problems
from octovid_django.models import GatewayState, VideoTask
from octovid_django.pause import gateway_state, record_run
from octovid_django.refresh import refresh_due, refresh_tasks
from octovid_django.schedules import ensure_schedule
from tests.gateway import (
    NOT_JSON,
    TOO_MANY,
    WRONG_KEY,
    Gateway,
    reports,
    responds,
)

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
CLOSED = "http://127.0.0.1:9"
UNAVAILABLE = responds(503, "<h1>Down</h1>", Content_Type="text/html")


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as coordinates:
        yield coordinates


@pytest.fixture(autouse=True)
def site(gateway: Gateway, clock: time_machine.Coordinates) -> list[VideoTask]:
    """Three tasks that are well, and a worker that has just begun."""
    ensure_schedule(using="default")
    record_run()
    return [VideoTask.objects.track(f"t{number}") for number in range(3)]


def work(clock: time_machine.Coordinates, seconds: int) -> None:
    for _ in range(seconds // 5):
        refresh_due()
        clock.shift(5)


def found_problems() -> dict[str, str]:
    return {problem.code: problem.message for problem in problems()}


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        f"{record.levelname} {record.getMessage()}"
        for record in caplog.records
        if record.name == "octovid_django.pause"
    ]


class TestOutage:
    def test_refused_connections_are_told_within_a_minute_and_logged_once(
        self,
        gateway: Gateway,
        clock: time_machine.Coordinates,
        configure: Callable[..., None],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.INFO, "octovid_django")
        work(clock, 30)
        configure(BASE_URL=CLOSED)
        work(clock, 60)

        message = found_problems()["unreachable"]
        assert "not responded for 1 min: Connection refused" in message
        assert "Check BASE_URL and the network" in message

        work(clock, 12 * 60)
        assert list(found_problems()) == ["unreachable"], "neither cluster nor tasks are blamed"
        assert "not responded for 13 min: Connection refused" in found_problems()["unreachable"]
        (line,) = lines(caplog)
        assert line.startswith("ERROR Account default: outage, no response since 16:35")

        configure(BASE_URL=gateway.url)
        work(clock, 6 * 60)
        assert found_problems() == {}
        assert lines(caplog)[1:] == [
            "INFO Account default: the outage is over, the gateway responds again"
        ]

    def test_503_is_told_with_the_status(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        gateway.default = UNAVAILABLE
        work(clock, 5 * 60)

        assert (
            "not responded for 5 min: 503 Service Unavailable." in found_problems()["unreachable"]
        )

    def test_one_row_that_gets_502_is_none(
        self, gateway: Gateway, clock: time_machine.Coordinates, caplog: pytest.LogCaptureFixture
    ) -> None:
        gateway.behaviours["t0"] = responds(502)
        work(clock, 10 * 60)

        assert found_problems() == {}
        assert lines(caplog) == []

    def test_single_failure_is_none(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        gateway.default = UNAVAILABLE
        refresh_due()
        clock.shift(40)

        assert found_problems() == {}

    def test_is_logged_by_one_worker_only(
        self, gateway: Gateway, clock: time_machine.Coordinates, caplog: pytest.LogCaptureFixture
    ) -> None:
        gateway.default = UNAVAILABLE
        for _ in range(6):
            for task in VideoTask.objects.all():
                refresh_tasks([task])
            clock.shift(20)

        assert len(lines(caplog)) == 1


class TestPause:
    def test_of_yesterday_does_not_hide_the_outage_of_today(
        self, gateway: Gateway, clock: time_machine.Coordinates, configure: Callable[..., None]
    ) -> None:
        gateway.default = responds(404, {"error": {"message": "Invalid URL (GET /v1)"}})
        refresh_due()
        assert "404 Not Found" in found_problems()["paused"]
        gateway.default = UNAVAILABLE
        work(clock, 120)

        assert list(found_problems()) == ["unreachable"]
        assert "404" not in str(found_problems())

    def test_whose_time_is_long_over_is_history(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        gateway.default = WRONG_KEY
        refresh_due()
        clock.shift(60 * 10)  # and no worker runs

        assert list(found_problems()) == ["overdue"]

    @pytest.mark.parametrize("change", [{"API_KEY": "another-key"}, {"BASE_URL": "{}/"}])
    def test_ends_at_once_when_key_or_base_url_changes(
        self,
        gateway: Gateway,
        clock: time_machine.Coordinates,
        configure: Callable[..., None],
        caplog: pytest.LogCaptureFixture,
        change: dict[str, str],
    ) -> None:
        caplog.set_level(logging.INFO, "octovid_django")
        gateway.default = WRONG_KEY
        refresh_due()
        assert list(found_problems()) == ["paused"]
        gateway.default = reports("QUEUED")
        configure(**{name: value.format(gateway.url) for name, value in change.items()})

        assert found_problems() == {}
        VideoTask.objects.update(next_poll_at=NOW)
        assert refresh_due().polled == 3
        assert lines(caplog)[-1] == (
            "INFO Account default: polling resumed, its key or BASE_URL has changed"
        )

    def test_fingerprint_tells_neither_key_nor_address(self, gateway: Gateway) -> None:
        gateway.default = WRONG_KEY
        refresh_due()

        fingerprint = gateway_state().fingerprint
        assert len(fingerprint) == 32
        assert "sandbox" not in fingerprint

    def test_by_429_says_what_to_do_and_when_to_the_second(self, gateway: Gateway) -> None:
        gateway.default = TOO_MANY
        refresh_due()

        message = found_problems()["paused"]
        assert "429 Too Many Requests" in message
        assert "16:35:15" in message
        for word in ("POLL_INTERVAL", "CONCURRENCY", "quota"):
            assert word in message

    @pytest.mark.parametrize("outcome", [reports("QUEUED"), WRONG_KEY], ids=["well", "401"])
    def test_is_neither_ended_nor_prolonged_by_hand(
        self, gateway: Gateway, site: list[VideoTask], outcome: Any
    ) -> None:
        gateway.default = TOO_MANY
        refresh_due()
        before = GatewayState.objects.values("paused_until", "pause_count", "pause_reason").get()
        gateway.default = outcome

        refresh_tasks([site[0]])

        after = GatewayState.objects.values("paused_until", "pause_count", "pause_reason").get()
        assert after == before

    def test_finished_tasks_that_the_gateway_forgot_raise_no_alarm_by_hand(
        self, gateway: Gateway, site: list[VideoTask]
    ) -> None:
        VideoTask.objects.update(status="SUCCESS", next_poll_at=None)
        gateway.default = responds(404, {"message": "gone"})

        refresh_tasks(site)

        assert found_problems() == {}


class TestErrors:
    def test_of_most_tasks_are_told(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        gateway.behaviours |= {"t0": NOT_JSON, "t1": NOT_JSON}
        work(clock, 40)

        message = found_problems()["errors"]
        assert message.startswith("Polling most tasks fails, 2 of 3. t")
        assert "is not JSON" in message

    def test_of_one_task_of_three_are_its_own(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        gateway.behaviours["t0"] = responds(403)
        work(clock, 120)

        assert found_problems() == {}


class TestStuck:
    def complete(self, seconds: float) -> None:
        for number in range(5):
            VideoTask.objects.create(
                task_id=f"done-{number}",
                status="SUCCESS",
                submitted_at=NOW,
                finished_at=NOW + timedelta(seconds=seconds),
                completed_at=NOW,
                delivered_at=NOW,
            )

    def test_task_is_told_by_what_others_take(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        self.complete(16)
        VideoTask.objects.filter(task_id__in=["t1", "t2"]).delete()
        gateway.default = reports("IN_PROGRESS", progress="50%")
        work(clock, 4 * 60)
        assert found_problems() == {}
        work(clock, 4 * 60)

        assert found_problems() == {
            "stuck": "1 task may be stuck: t0 has been at 50 % for 8 min, while half of all tasks "
            "take no more than 16 s. Check it at the gateway."
        }

    def test_task_of_slow_channels_is_none(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        self.complete(600)
        work(clock, 20 * 60)

        assert found_problems() == {}

    def test_task_without_any_completion_is_told_after_an_hour(
        self, gateway: Gateway, clock: time_machine.Coordinates, configure: Callable[..., None]
    ) -> None:
        configure(POLL_INTERVAL=60)
        work(clock, 55 * 60)
        assert found_problems() == {}
        work(clock, 10 * 60)

        assert found_problems()["stuck"].startswith("3 tasks may be stuck: t")

    def test_task_that_an_outage_kept_from_polling_is_none(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        self.complete(16)
        refresh_due()
        gateway.default = UNAVAILABLE
        work(clock, 20 * 60)

        assert list(found_problems()) == ["unreachable"]
