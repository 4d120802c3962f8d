"""What receivers are called with: exactly what ``octovid_django.signals`` documents."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
import time_machine
from django import dispatch
from django.db import transaction

from octovid_django import signals
from octovid_django.delivery import deliver
from octovid_django.enums import TaskStatus
from octovid_django.models import VideoTask
from octovid_django.refresh import refresh_tasks
from octovid_django.sandbox import Sandbox

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
ARGUMENTS = {
    "video_succeeded": {"task", "attempt"},
    "video_failed": {"task", "attempt"},
    "video_completed": {"task", "attempt"},
    "video_progressed": {"task", "previous_status", "previous_progress"},
}
Received = list[tuple[str, dict[str, Any]]]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def complete(sandbox: Sandbox) -> Callable[[str], VideoTask]:
    """Let a task complete at the gateway, and deliver the completion."""

    def complete(outcome: str) -> VideoTask:
        task = VideoTask.objects.track(sandbox.create(outcome=outcome, run_seconds=0))
        refresh_tasks([task])
        assert deliver(task.pk)
        task.refresh_from_db()
        return task

    return complete


@pytest.mark.parametrize(
    ("outcome", "name"), [("SUCCESS", "video_succeeded"), ("FAILURE", "video_failed")]
)
def test_completion_signals_have_task_and_attempt(
    complete: Callable[[str], VideoTask], received: Received, outcome: str, name: str
) -> None:
    task = complete(outcome)

    assert received == [
        (name, {"task": task, "attempt": 1}),
        ("video_completed", {"task": task, "attempt": 1}),
    ]
    for _, arguments in received:
        assert arguments["task"].status == outcome
        assert type(arguments["attempt"]) is int


def test_progress_signal_has_task_and_previous_values(
    sandbox: Sandbox, clock: time_machine.Coordinates, received: Received
) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=10))
    for _ in range(2):
        clock.shift(5)
        refresh_tasks([task])
        clock.shift(-1)

    assert received == [
        (
            "video_progressed",
            {"task": task, "previous_status": "NOT_START", "previous_progress": 0},
        ),
        (
            "video_progressed",
            {"task": task, "previous_status": "IN_PROGRESS", "previous_progress": 30},
        ),
    ]
    assert [arguments["task"].progress for _, arguments in received] == [30, 80]
    for _, arguments in received:
        assert type(arguments["previous_status"]) is TaskStatus
        assert type(arguments["previous_progress"]) is int


def test_completion_or_unchanged_task_sends_no_progress_signal(
    sandbox: Sandbox, clock: time_machine.Coordinates, received: Received
) -> None:
    completed = VideoTask.objects.track(sandbox.create(run_seconds=0))
    waiting = VideoTask.objects.track(sandbox.create(run_seconds=10))

    refresh_tasks([completed, waiting])
    refresh_tasks([completed, waiting])

    assert received == []


def test_progress_signal_is_sent_after_commit(
    sandbox: Sandbox, clock: time_machine.Coordinates, received: Received
) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=10))
    clock.shift(5)

    with transaction.atomic():
        refresh_tasks([task])
        assert received == []

    assert [name for name, _ in received] == ["video_progressed"]


def test_progress_signal_is_not_sent_after_rollback(
    sandbox: Sandbox, clock: time_machine.Coordinates, received: Received
) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=10))
    clock.shift(5)

    with transaction.atomic():
        refresh_tasks([task])
        transaction.set_rollback(True)

    assert received == []


def test_documented_signal_arguments_are_the_sent_ones() -> None:
    described = re.findall(
        r'^(\w+) = Signal\(\)\n"""(.*?)"""', inspect.getsource(signals), re.MULTILINE | re.DOTALL
    )
    documented = {
        name: set(re.findall(r"``(\w+)``", text.partition("Arguments:")[2])) - {"TaskStatus", "int"}
        for name, text in described
    }

    assert documented == ARGUMENTS


def test_django_hook_that_logs_receiver_errors_exists() -> None:
    """Were it gone, Django would log them as they are, links included."""
    assert "self._log_robust_failure(receiver, err)" in inspect.getsource(dispatch.Signal)
    assert signals.Signal._log_robust_failure is not dispatch.Signal._log_robust_failure
