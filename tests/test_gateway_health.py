"""Outages and other incidents, with a gateway on a socket: what is reported, and when."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import time_machine

from octovid_django.cluster.schedules import ensure_schedule
from octovid_django.health import problems
from octovid_django.models import GatewayState, VideoTask
from octovid_django.pause import gateway_state, record_run
from octovid_django.refresh import refresh_due, refresh_tasks
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
    """Three tasks without errors, and a polling run that has just started."""
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
    def test_refused_connections_are_reported_within_a_minute_and_logged_once(
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
        assert list(found_problems()) == ["unreachable"], "neither cluster nor tasks are reported"
        assert "not responded for 13 min: Connection refused" in found_problems()["unreachable"]
        (line,) = lines(caplog)
        assert line.startswith("ERROR Account default: outage, no response since 16:35")

        configure(BASE_URL=gateway.url)
        work(clock, 6 * 60)
        assert found_problems() == {}
        assert lines(caplog)[1:] == [
            "INFO Account default: the outage is over, the gateway responds again"
        ]

    def test_503_of_every_task_is_reported_with_status(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        gateway.default = UNAVAILABLE
        work(clock, 5 * 60)

        assert (
            "not responded for 5 min: 503 Service Unavailable." in found_problems()["unreachable"]
        )

    def test_502_of_one_task_is_no_outage(
        self, gateway: Gateway, clock: time_machine.Coordinates, caplog: pytest.LogCaptureFixture
    ) -> None:
        gateway.behaviours["t0"] = responds(502)
        work(clock, 10 * 60)

        assert found_problems() == {}
        assert lines(caplog) == []

    def test_single_failed_polling_run_is_no_outage(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        gateway.default = UNAVAILABLE
        refresh_due()
        clock.shift(40)

        assert found_problems() == {}

    def test_outage_is_logged_by_one_worker_only(
        self, gateway: Gateway, clock: time_machine.Coordinates, caplog: pytest.LogCaptureFixture
    ) -> None:
        gateway.default = UNAVAILABLE
        for _ in range(6):
            for task in VideoTask.objects.all():
                refresh_tasks([task])
            clock.shift(20)

        assert len(lines(caplog)) == 1


class TestAccountPause:
    def test_past_pause_does_not_hide_outage(
        self, gateway: Gateway, clock: time_machine.Coordinates, configure: Callable[..., None]
    ) -> None:
        gateway.default = responds(404, {"error": {"message": "Invalid URL (GET /v1)"}})
        refresh_due()
        assert "404 Not Found" in found_problems()["paused"]
        gateway.default = UNAVAILABLE
        work(clock, 120)

        assert list(found_problems()) == ["unreachable"]
        assert "404" not in str(found_problems())

    def test_expired_pause_is_not_reported(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        gateway.default = WRONG_KEY
        refresh_due()
        clock.shift(60 * 10)  # and no worker runs

        assert list(found_problems()) == ["overdue"]

    @pytest.mark.parametrize("change", [{"API_KEY": "another-key"}, {"BASE_URL": "{}/"}])
    def test_changed_key_or_base_url_resumes_polling_at_once(
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

    def test_fingerprint_contains_neither_key_nor_base_url(self, gateway: Gateway) -> None:
        gateway.default = WRONG_KEY
        refresh_due()

        fingerprint = gateway_state().fingerprint
        assert len(fingerprint) == 32
        assert "sandbox" not in fingerprint

    def test_429_pause_is_reported_with_advice_and_end_time(self, gateway: Gateway) -> None:
        gateway.default = TOO_MANY
        refresh_due()

        message = found_problems()["paused"]
        assert "429 Too Many Requests" in message
        assert "16:35:15" in message
        for word in ("POLL_INTERVAL", "CONCURRENCY", "quota"):
            assert word in message

    @pytest.mark.parametrize("outcome", [reports("QUEUED"), WRONG_KEY], ids=["success", "401"])
    def test_refresh_by_hand_neither_resumes_nor_extends_pause(
        self, gateway: Gateway, site: list[VideoTask], outcome: Any
    ) -> None:
        gateway.default = TOO_MANY
        refresh_due()
        before = GatewayState.objects.values("paused_until", "pause_count", "pause_reason").get()
        gateway.default = outcome

        refresh_tasks([site[0]])

        after = GatewayState.objects.values("paused_until", "pause_count", "pause_reason").get()
        assert after == before

    def test_refresh_by_hand_of_finished_tasks_with_404_reports_no_problem(
        self, gateway: Gateway, site: list[VideoTask]
    ) -> None:
        VideoTask.objects.update(status="SUCCESS", next_poll_at=None)
        gateway.default = responds(404, {"message": "gone"})

        refresh_tasks(site)

        assert found_problems() == {}


class TestTaskErrors:
    def test_errors_of_most_tasks_are_reported(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        gateway.behaviours |= {"t0": NOT_JSON, "t1": NOT_JSON}
        work(clock, 40)

        message = found_problems()["errors"]
        assert message.startswith("Polling most tasks fails, 2 of 3. t")
        assert "is not JSON" in message

    def test_403_of_one_task_of_three_is_not_reported(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        gateway.behaviours["t0"] = responds(403)
        work(clock, 120)

        assert found_problems() == {}


class TestStuckTasks:
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

    def test_task_far_slower_than_others_is_reported_as_stuck(
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

    def test_task_as_slow_as_others_is_not_stuck(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        self.complete(600)
        work(clock, 20 * 60)

        assert found_problems() == {}

    def test_unchanged_task_without_other_completions_is_stuck_after_an_hour(
        self, gateway: Gateway, clock: time_machine.Coordinates, configure: Callable[..., None]
    ) -> None:
        configure(POLL_INTERVAL=60)
        work(clock, 55 * 60)
        assert found_problems() == {}
        work(clock, 10 * 60)

        assert found_problems()["stuck"].startswith("3 tasks may be stuck: t")

    def test_task_that_could_not_be_polled_in_outage_is_not_stuck(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        self.complete(16)
        refresh_due()
        gateway.default = UNAVAILABLE
        work(clock, 20 * 60)

        assert list(found_problems()) == ["unreachable"]
