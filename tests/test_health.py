"""What is wrong, in a stable word for programs and a line for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import time_machine
from django.utils import translation
from django_q.models import Schedule

from octovid_django.exceptions import OctovidAuthenticationError
from octovid_django.health import Problem, problems
from octovid_django.models import VideoTask
from octovid_django.pause import gateway_state, pause, resume
from octovid_django.schedules import ensure_schedule

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
LATE = NOW - timedelta(minutes=2)

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture(autouse=True)
def healthy_site(clock: time_machine.Coordinates) -> None:
    """One schedule, and tasks in every stage that is as it should be."""
    Schedule.objects.all().delete()
    ensure_schedule(using="default")
    create("running", next_poll_at=NOW + timedelta(seconds=15))
    create("a little late", next_poll_at=LATE + timedelta(minutes=1))
    create("no longer polled")
    ended("just ended", next_delivery_at=NOW)
    ended("delivered", delivered_at=NOW)


def create(task_id: str, **values: Any) -> VideoTask:
    return VideoTask.objects.create(task_id=task_id, **values)


def ended(task_id: str, **values: Any) -> VideoTask:
    return create(task_id, status="SUCCESS", completed_at=LATE, **values)


def the_only_one(code: str) -> str:
    """The message of the only problem, which has this code."""
    (problem,) = problems()
    assert problem.code == code
    assert "\n" not in problem.message
    return problem.message


def test_nothing_is_wrong_where_all_is_well() -> None:
    assert problems() == []


class TestSettings:
    def test_a_missing_key_is_one(self, configure: Callable[..., None]) -> None:
        configure(API_KEY="")

        assert the_only_one("settings").startswith('OCTOVID["API_KEY"] is missing: it must be')

    def test_a_wrong_value_is_one(self, configure: Callable[..., None]) -> None:
        configure(TIMEOUT="x")

        assert 'OCTOVID["TIMEOUT"] is wrong' in the_only_one("settings")

    def test_the_key_itself_is_not_told(self, configure: Callable[..., None]) -> None:
        configure(API_KEY="sk-secret\n")

        assert "sk-secret" not in the_only_one("settings")


class TestSchedule:
    def test_that_is_not_there_is_one(self) -> None:
        Schedule.objects.all().delete()

        message = the_only_one("schedule")

        assert "no schedule “octovid-refresh”" in message
        assert "run “manage.py migrate”" in message

    def test_of_the_site_does_not_replace_it(self) -> None:
        Schedule.objects.update(name="reports")

        assert "no schedule" in the_only_one("schedule")

    def test_that_is_switched_off_is_one(self) -> None:
        Schedule.objects.update(repeats=0)

        message = the_only_one("schedule")

        assert "“octovid-refresh” is switched off" in message
        assert "set its repeats to -1" in message


class TestPause:
    @pytest.fixture(autouse=True)
    def paused(self, healthy_site: None) -> None:
        pause(gateway_state(), OctovidAuthenticationError("the gateway answered 401"))

    def test_is_one_and_says_why_and_until_when(self) -> None:
        message = the_only_one("paused")

        assert "the gateway answered 401" in message
        assert "April 12, 2026, 4:35 p.m." in message

    def test_is_one_until_the_gateway_answers(self, clock: time_machine.Coordinates) -> None:
        clock.shift(16)

        assert "the gateway answered 401" in the_only_one("paused")

        resume(gateway_state())
        assert problems() == []

    def test_is_none_when_it_is_over_and_there_is_nothing_to_ask(
        self, clock: time_machine.Coordinates
    ) -> None:
        VideoTask.objects.update(next_poll_at=None)
        assert the_only_one("paused")

        clock.shift(16)

        assert problems() == []

    def test_explains_tasks_that_are_overdue(self) -> None:
        create("overdue", next_poll_at=LATE)

        the_only_one("paused")


class TestOverdueTasks:
    def test_are_one(self) -> None:
        create("overdue", next_poll_at=LATE)

        message = the_only_one("overdue")

        assert message.startswith("1 task is overdue")
        assert "“manage.py qcluster”" in message

    def test_are_counted(self) -> None:
        for number in range(3):
            create(f"overdue {number}", next_poll_at=LATE)

        assert the_only_one("overdue").startswith("3 tasks are overdue")


class TestDelivery:
    def test_that_was_given_up_is_one(self) -> None:
        ended("given up", next_delivery_at=None)

        message = the_only_one("abandoned")

        assert message.startswith("The end of 1 task was not delivered")
        assert "receivers kept on failing" in message

    def test_that_nobody_makes_is_one(self) -> None:
        ended("waiting", next_delivery_at=LATE)

        message = the_only_one("undelivered")

        assert message.startswith("The end of 1 task waits to be delivered")
        assert "“manage.py qcluster”" in message

    def test_of_several_is_counted(self) -> None:
        for number in range(2):
            ended(f"given up {number}", next_delivery_at=None)
            ended(f"waiting {number}", next_delivery_at=LATE)

        abandoned, undelivered = problems()

        assert abandoned.message.startswith("The ends of 2 tasks were not delivered")
        assert undelivered.message.startswith("The ends of 2 tasks wait to be delivered")

    def test_that_will_be_tried_again_is_none(self) -> None:
        ended("failed once", delivery_attempts=1, next_delivery_at=NOW + timedelta(seconds=15))

        assert problems() == []


def test_the_gravest_comes_first(configure: Callable[..., None]) -> None:
    configure(API_KEY="")
    Schedule.objects.all().delete()
    create("overdue", next_poll_at=LATE)
    ended("given up", next_delivery_at=None)
    ended("waiting", next_delivery_at=LATE)

    codes = [problem.code for problem in problems()]

    assert codes == ["settings", "schedule", "overdue", "abandoned", "undelivered"]


def test_codes_are_the_same_in_every_language() -> None:
    Schedule.objects.all().delete()

    with translation.override("de"):
        (problem,) = problems()

    assert isinstance(problem, Problem)
    assert problem.code == "schedule"
