"""Incidents of deliveries and clusters: what is reported, and from when on.

Those of the gateway are in ``test_gateway_health``, that of the broker is in ``test_broker``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from octovid_django.cluster.schedules import ensure_schedule
from octovid_django.delivery import Deliveries
from octovid_django.health import problems
from octovid_django.models import VideoTask
from octovid_django.pause import record_run
from octovid_django.refresh import refresh_due
from octovid_django.signals import video_succeeded
from tests.gateway import NOT_JSON, Gateway, reports

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
CHANGELIST = "admin:octovid_django_videotask_changelist"


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as coordinates:
        yield coordinates


@pytest.fixture(autouse=True)
def site(gateway: Gateway) -> None:
    ensure_schedule(using="default")


@pytest.fixture
def raising() -> Iterator[None]:
    def attach_video(**_: Any) -> None:
        raise RuntimeError("no shelf left")

    video_succeeded.connect(attach_video)
    yield
    video_succeeded.disconnect(attach_video)


def track(gateway: Gateway, count: int, *, link_seconds: int = 43_200) -> None:
    """Track tasks that have succeeded, and whose links expire after so many seconds."""
    for number in range(count):
        url = f"https://cdn.example/{number}.mp4?Expires={NOW.timestamp() + link_seconds:.0f}"
        gateway.behaviours[f"t{number}"] = reports("SUCCESS", progress="100%", result_url=url)
        VideoTask.objects.track(f"t{number}")


def wait_for(
    clock: time_machine.Coordinates, code: str, seconds: int, *, works: bool = True
) -> int:
    """Let time pass until a problem is reported, and return after how many seconds it was.

    Args:
        clock: Of the site.
        code: Of the problem.
        seconds: How long to wait at most.
        works: Whether a cluster works.
    """
    for second in range(0, seconds, 5):
        if works:
            if second % 60 == 0:
                record_run()
                deliveries = Deliveries()
            refresh_due()
            deliveries.run(time.monotonic() + 60)
        if code in reported():
            return second
        clock.shift(5)
    raise AssertionError(f"not within {seconds} s: {reported()}")


def reported() -> dict[str, str]:
    return {problem.code: problem.message for problem in problems()}


def status() -> str:
    """What ``octovid_status`` prints of a site with problems."""
    stdout = StringIO()
    with pytest.raises(SystemExit) as caught:
        call_command("octovid_status", stdout=stdout)
    assert caught.value.code == 1
    return stdout.getvalue()


class TestReceiverErrors:
    def test_failing_receiver_is_reported_from_second_attempt_on_with_error(
        self, gateway: Gateway, clock: time_machine.Coordinates, raising: None
    ) -> None:
        track(gateway, 43)

        assert wait_for(clock, "receivers", 120) <= 60, "the attempts go on for 21 minutes"

        assert list(reported()) == ["receivers"], "the cluster is not reported"
        line = status().splitlines()[-1]
        assert line.startswith(
            "! The completions of 43 tasks are not delivered yet, their receivers failed again: "
        )
        assert "attach_video: RuntimeError: no shelf left (t" in line
        assert ", attempt 2 of 5; next at 16:36:" in line

    def test_links_that_expire_before_next_attempt_are_urgent(
        self, gateway: Gateway, clock: time_machine.Coordinates, raising: None
    ) -> None:
        track(gateway, 2, link_seconds=70)

        wait_for(clock, "receivers", 120)

        first, second = status().splitlines()[-2:]
        assert first.startswith(
            "! URGENT: the links of 2 videos expire before the next attempts to deliver their "
            "completions: first that of t"
        )
        assert ", at 16:36:10. Fix the receivers and resend the signals" in first
        assert "no shelf left" in second

    def test_failing_receiver_is_reported_as_abandoned_after_last_attempt(
        self, gateway: Gateway, clock: time_machine.Coordinates, raising: None
    ) -> None:
        track(gateway, 1)

        assert wait_for(clock, "abandoned", 30 * 60) >= 20 * 60

        assert list(reported()) == ["abandoned"]
        assert "The delivery of 1 completion was abandoned" in status()


class TestNoCluster:
    def test_cluster_that_never_ran_is_reported_once_task_waits(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        assert reported() == {}
        track(gateway, 1)

        assert wait_for(clock, "cluster", 120, works=False) <= 60

        assert status().splitlines()[-1] == (
            "! Tasks are due, and no cluster has ever run: start “manage.py qcluster”."
        )
        record_run()
        refresh_due()
        assert reported() == {}

    def test_stopped_cluster_is_reported_with_number_of_overdue_tasks(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        record_run()
        track(gateway, 3)

        wait_for(clock, "overdue", 180, works=False)

        assert reported() == {
            "overdue": "3 tasks are overdue: they are not polled. "
            "Is the cluster (“manage.py qcluster”) running?"
        }


class TestExpiringLinks:
    def test_expiring_link_of_undelivered_completion_is_reported_an_hour_before(
        self, gateway: Gateway, clock: time_machine.Coordinates
    ) -> None:
        track(gateway, 2, link_seconds=2 * 3600)
        record_run()
        refresh_due()
        assert reported() == {}

        seconds = wait_for(clock, "expiring", 2 * 3600, works=False)

        assert seconds >= 3600 - 5
        line = next(line for line in status().splitlines() if "expire" in line)
        assert line.startswith(
            "! The links of 2 videos expire soon, and their completions are not delivered: first "
            "that of t"
        )
        assert ", at April 12, 2026, 6:35 p.m." in line


class TestTaskErrors:
    def test_errors_of_most_tasks_are_reported_by_command_and_admin(
        self,
        gateway: Gateway,
        clock: time_machine.Coordinates,
        admin_client: Client,
    ) -> None:
        for number in range(3):
            VideoTask.objects.track(f"t{number}")
        gateway.behaviours |= {"t0": NOT_JSON, "t1": NOT_JSON}

        wait_for(clock, "errors", 120)

        text = "Polling most tasks fails, 2 of 3. t"
        assert f"! {text}" in status()
        assert text in admin_client.get(reverse(CHANGELIST)).content.decode()
