"""The problems of a site: a stable code for programs, and a line for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import time_machine
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper as SqliteWrapper
from django.utils import translation
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Schedule

from octovid_django.cluster.schedules import ensure_schedule
from octovid_django.delivery import deliver
from octovid_django.exceptions import OctovidAuthenticationError
from octovid_django.health import Problem, problems
from octovid_django.models import GatewayState, VideoTask
from octovid_django.pause import gateway_state, pause, record_run, resume
from octovid_django.signals import video_completed

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
LATE = NOW - timedelta(minutes=2)

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture(autouse=True)
def healthy_site(clock: time_machine.Coordinates) -> None:
    """One schedule, and tasks in every stage that is no problem."""
    Schedule.objects.all().delete()
    ensure_schedule(using="default")
    record_run()
    create("running", next_poll_at=NOW + timedelta(seconds=15))
    create("a-little-late", next_poll_at=LATE + timedelta(minutes=1))
    create("no-longer-polled")
    completed_task("just-completed", next_delivery_at=NOW)
    completed_task("delivered", delivered_at=NOW)


def create(task_id: str, **values: Any) -> VideoTask:
    return VideoTask.objects.create(task_id=task_id, **values)


def completed_task(task_id: str, **values: Any) -> VideoTask:
    return create(task_id, status="SUCCESS", completed_at=LATE, **values)


def the_only_one(code: str) -> str:
    """The message of the only problem, which has this code."""
    (problem,) = problems()
    assert problem.code == code
    assert "\n" not in problem.message
    return problem.message


def test_healthy_site_has_no_problems() -> None:
    assert problems() == []


class TestSettingsProblem:
    def test_missing_api_key_is_reported(self, configure: Callable[..., None]) -> None:
        configure(API_KEY="")

        assert the_only_one("settings").startswith('OCTOVID["API_KEY"] is missing: it must be')

    def test_wrong_value_is_reported(self, configure: Callable[..., None]) -> None:
        configure(TIMEOUT="x")

        assert 'OCTOVID["TIMEOUT"] is wrong' in the_only_one("settings")

    def test_message_contains_no_key(self, configure: Callable[..., None]) -> None:
        configure(API_KEY="sk-secret\n")

        assert "sk-secret" not in the_only_one("settings")


class TestScheduleProblem:
    def test_missing_schedule_is_reported(self) -> None:
        Schedule.objects.all().delete()

        message = the_only_one("schedule")

        assert "no schedule “octovid-refresh”" in message
        assert "run “manage.py migrate”" in message

    def test_other_schedule_does_not_replace_missing_one(self) -> None:
        Schedule.objects.update(name="reports")

        assert "no schedule" in the_only_one("schedule")

    def test_schedule_that_is_off_is_reported(self) -> None:
        Schedule.objects.update(repeats=0)

        message = the_only_one("schedule")

        assert "“octovid-refresh” is switched off" in message
        assert "set its repeats to -1" in message


class TestPauseProblem:
    @pytest.fixture(autouse=True)
    def paused(self, healthy_site: None) -> None:
        pause(gateway_state(), OctovidAuthenticationError("the gateway responded with 401"))

    def test_pause_is_reported_with_reason_and_end_time(self) -> None:
        message = the_only_one("paused")

        assert "the gateway responded with 401" in message
        assert "16:35:15" in message

    def test_pause_is_reported_until_account_resumes(self, clock: time_machine.Coordinates) -> None:
        clock.shift(16)

        assert "the gateway responded with 401" in the_only_one("paused")

        resume(gateway_state())
        assert problems() == []

    def test_expired_pause_without_polled_tasks_is_not_reported(
        self, clock: time_machine.Coordinates
    ) -> None:
        VideoTask.objects.update(next_poll_at=None)
        assert the_only_one("paused")

        clock.shift(16)

        assert problems() == []

    def test_paused_account_reports_no_overdue_tasks(self) -> None:
        create("overdue", next_poll_at=LATE)

        the_only_one("paused")


class TestOverdueProblem:
    def test_overdue_task_is_reported(self) -> None:
        create("overdue", next_poll_at=LATE)

        message = the_only_one("overdue")

        assert message.startswith("1 task is overdue")
        assert "“manage.py qcluster”" in message

    def test_overdue_tasks_are_counted(self) -> None:
        for number in range(3):
            create(f"overdue-{number}", next_poll_at=LATE)

        assert the_only_one("overdue").startswith("3 tasks are overdue")


class TestDeliveryProblem:
    def test_abandoned_delivery_is_reported(self) -> None:
        completed_task("abandoned", next_delivery_at=None)

        message = the_only_one("abandoned")

        assert message.startswith("The delivery of 1 completion was abandoned")
        assert "fix the receiver, then resend the signals" in message

    def test_overdue_delivery_is_reported(self) -> None:
        completed_task("waiting", next_delivery_at=LATE)

        message = the_only_one("undelivered")

        assert message.startswith("1 completion waits to be delivered")
        assert "“manage.py qcluster”" in message

    def test_abandoned_and_overdue_deliveries_are_counted(self) -> None:
        for number in range(2):
            completed_task(f"abandoned-{number}", next_delivery_at=None)
            completed_task(f"waiting-{number}", next_delivery_at=LATE)

        abandoned, undelivered = problems()

        assert abandoned.message.startswith("The delivery of 2 completions was abandoned")
        assert undelivered.message.startswith("2 completions wait to be delivered")

    def test_delivery_with_retry_ahead_is_not_reported(self) -> None:
        completed_task(
            "failed-once", delivery_attempts=1, next_delivery_at=NOW + timedelta(seconds=15)
        )

        assert problems() == []


class TestReceiversProblem:
    def failed(self, task_id: str, attempts: int, **values: Any) -> VideoTask:
        defaults = {"next_delivery_at": NOW + timedelta(minutes=4), "delivery_attempts": attempts}
        defaults["delivery_error"] = "attach_video: RuntimeError: no shelf left\nmail: OSError"
        return completed_task(task_id, **{**defaults, **values})

    def test_receiver_that_failed_once_is_not_reported(self) -> None:
        self.failed("once", 1)

        assert problems() == []

    def test_receiver_that_failed_twice_is_reported_with_error(self) -> None:
        self.failed("twice", 2)

        message = the_only_one("receivers")

        assert message.startswith("The completion of 1 task is not delivered yet")
        assert "attach_video: RuntimeError: no shelf left (twice, attempt 2 of 5" in message
        assert "next at 16:39:00" in message

    def test_attempts_before_resend_do_not_count(self) -> None:
        self.failed("resent", 6, delivery_attempts_before_resend=5)

        assert problems() == []

    def test_link_that_expires_before_next_attempt_is_urgent(self) -> None:
        self.failed(
            "twice", 2, video_url="https://v", video_url_expires_at=NOW + timedelta(minutes=3)
        )

        urgent, receivers = problems()

        assert urgent.code == "expiring"
        assert urgent.message.startswith("URGENT: the link of 1 video expires before the next")
        assert "twice, at 16:38:00" in urgent.message
        assert receivers.code == "receivers"

    def test_abandoned_delivery_with_link_that_expires_soon_is_urgent(self) -> None:
        self.failed(
            "gone",
            5,
            next_delivery_at=None,
            video_url="https://v",
            video_url_expires_at=NOW + timedelta(minutes=30),
        )

        assert [problem.code for problem in problems()] == ["expiring", "abandoned"]


class TestDatabaseProblem:
    """A database that makes a delivery fail is reported, and not receiver or cluster."""

    @pytest.fixture
    def broken(self, tmp_path: Path) -> Iterator[None]:
        """A receiver that writes to a real database, which cannot be opened."""

        def attach_video(**_: Any) -> None:
            options = {"NAME": str(tmp_path / "gone" / "shop.sqlite3")}
            shop = SqliteWrapper({**connections["default"].settings_dict, **options}, alias="shop")
            with shop.cursor() as cursor:
                cursor.execute("INSERT INTO shelf VALUES (1)")

        video_completed.connect(attach_video)
        yield
        video_completed.disconnect(attach_video)

    def test_database_error_in_delivery_is_reported_from_second_attempt_on(
        self, broken: None, clock: time_machine.Coordinates
    ) -> None:
        task = completed_task("waiting", next_delivery_at=NOW)

        assert not deliver(task.pk)
        assert problems() == []
        clock.shift(15)
        assert not deliver(task.pk)

        message = the_only_one("database")
        assert message.startswith(
            "The completion of 1 task is not delivered yet, because of the database: "
        )
        assert "attach_video: OperationalError: unable to open database file" in message
        assert "(waiting, attempt 2 of 5; next at 16:36:15)" in message
        for word in ("receiver", "qcluster"):
            assert word not in message

    def test_database_error_is_reported_apart_from_error_of_receiver(self) -> None:
        values = {"next_delivery_at": NOW + timedelta(minutes=4), "delivery_attempts": 2}
        completed_task(
            "shop", delivery_error="mail: OSError: no\nkeep: InterfaceError: gone", **values
        )
        completed_task("mail", delivery_error="mail: OSError: no", **values)

        database, receivers = problems()

        assert (database.code, receivers.code) == ("database", "receivers")
        assert "keep: InterfaceError: gone (shop, " in database.message
        assert "mail: OSError: no (mail, " in receivers.message


class TestExpiringLinksProblem:
    def test_expiring_link_of_undelivered_completion_is_reported(self) -> None:
        completed_task(
            "waiting",
            next_delivery_at=NOW,
            video_url="https://v",
            video_url_expires_at=NOW + timedelta(minutes=30),
        )

        message = the_only_one("expiring")

        assert "expires soon, and its completion is not delivered: waiting, at 17:05:00" in message

    def test_expiring_link_of_delivered_completion_is_not_reported(self) -> None:
        completed_task(
            "delivered-too",
            delivered_at=NOW,
            video_url="https://v",
            video_url_expires_at=NOW + timedelta(minutes=30),
        )

        assert problems() == []


class TestClusterProblem:
    @pytest.fixture(autouse=True)
    def never_ran(self, healthy_site: None) -> None:
        GatewayState.objects.all().delete()

    def test_cluster_that_never_ran_is_reported_once_task_waits(self) -> None:
        message = the_only_one("cluster")

        assert "no cluster has ever run: start “manage.py qcluster”" in message

    def test_cluster_that_never_ran_is_not_reported_without_waiting_task(self) -> None:
        VideoTask.objects.update(next_poll_at=None)

        assert problems() == []


class TestBrokerProblem:
    @pytest.fixture
    def unreachable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Redis that does not respond: a real client, a closed port."""
        broker = get_broker()
        if not hasattr(broker, "redis_version"):
            redis_broker = pytest.importorskip("django_q.brokers.redis_broker")
            monkeypatch.setattr(Conf, "REDIS", "redis://127.0.0.1:9/0")
            broker = redis_broker.Redis(list_key="gone")
        monkeypatch.setattr(Conf, "ORM", None)
        monkeypatch.setattr("octovid_django.cluster.broker.get_broker", lambda: broker)

    def test_unreachable_broker_is_reported_instead_of_cluster(self, unreachable: None) -> None:
        create("overdue", next_poll_at=LATE)
        completed_task("waiting", next_delivery_at=LATE)

        message = the_only_one("broker")

        assert "broker of django-q2 cannot be reached" in message
        assert "Connection refused" in message
        assert "qcluster" not in message

    def test_hanging_broker_is_reported_in_bounded_time(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Conf, "ORM", None)
        monkeypatch.setattr("octovid_django.cluster.broker.SECONDS", 0.1)
        released = Event()

        class Hanging:
            def ping(self) -> bool:
                return released.wait(30)

        monkeypatch.setattr("octovid_django.cluster.broker.get_broker", Hanging)
        create("overdue", next_poll_at=LATE)
        try:
            assert "no response within 0.1 s" in the_only_one("broker")
            assert "no response within 0.1 s" in the_only_one("broker")
        finally:
            released.set()

    def test_broker_is_not_contacted_where_nothing_is_overdue(self, unreachable: None) -> None:
        assert problems() == []


def test_problems_are_ordered_by_severity(configure: Callable[..., None]) -> None:
    configure(API_KEY="")
    Schedule.objects.all().delete()
    create("overdue", next_poll_at=LATE)
    completed_task("abandoned", next_delivery_at=None)
    completed_task("waiting", next_delivery_at=LATE)

    codes = [problem.code for problem in problems()]

    assert codes == ["settings", "schedule", "overdue", "abandoned", "undelivered"]


def test_problem_codes_are_same_in_every_language() -> None:
    Schedule.objects.all().delete()

    with translation.override("de"):
        (problem,) = problems()

    assert isinstance(problem, Problem)
    assert problem.code == "schedule"
