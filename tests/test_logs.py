"""The log lines that an operator follows. A line about a task names its ``task_id``."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import time_machine

from octovid_django import tasks
from octovid_django.delivery import MAX_ATTEMPTS
from octovid_django.models import GatewayState, VideoTask
from octovid_django.refresh import refresh_due, refresh_tasks
from octovid_django.sandbox import Sandbox
from octovid_django.signals import video_completed, video_progressed
from tests.gateway import TOO_MANY, Gateway, reports

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
CLOSED = "http://127.0.0.1:9"
Lines = Callable[[], list[str]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """The lines of the app so far, each as its level and text."""
    caplog.set_level(logging.INFO, "octovid_django")
    return lambda: [
        f"{record.levelname} {record.getMessage()}"
        for record in caplog.records
        if record.name.startswith("octovid_django")
    ]


@pytest.fixture
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as coordinates:
        yield coordinates


@pytest.fixture
def raising() -> Iterator[None]:
    """A receiver of ``video_completed`` and ``video_progressed`` that raises."""

    def attach_video(**_: Any) -> None:
        raise RuntimeError("no shelf left")

    attach_video.__qualname__ = "attach_video"
    for signal in (video_completed, video_progressed):
        signal.connect(attach_video)
    yield
    for signal in (video_completed, video_progressed):
        signal.disconnect(attach_video)


@pytest.mark.parametrize("run", [tasks.refresh_due, tasks.refresh_backlog])
def test_finished_polling_run_is_logged_with_its_counts(
    sandbox: Sandbox, configure: Callable[..., None], lines: Lines, run: Callable[[], None]
) -> None:
    configure(POLL_INTERVAL=300)  # the run ends: no retry falls due in its window
    VideoTask.objects.track(sandbox.create(run_seconds=0))
    VideoTask.objects.track(sandbox.create(run_seconds=0, outcome="FAILURE"))
    VideoTask.objects.track("cgt-unknown")

    run()

    (finished,) = [line for line in lines() if "Polling run" in line]
    assert re.fullmatch(
        r"INFO Polling run finished: 3 polled, 2 changed, 2 completed, 1 failed in \d+\.\d s",
        finished,
    )


def test_polling_run_without_due_tasks_is_logged_with_zero_counts(lines: Lines) -> None:
    tasks.refresh_due()

    (line,) = lines()
    assert line.startswith("INFO Polling run finished: 0 polled, 0 changed, 0 completed, 0 failed")


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE"])
def test_completion_is_logged_when_recorded_and_when_delivered(
    sandbox: Sandbox, lines: Lines, status: str
) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=0, outcome=status))

    refresh_due()
    assert lines() == [f"INFO Task {task.task_id} completed: {status}"]

    tasks.deliver_completion(task.pk)
    assert lines()[1:] == [f"INFO Task {task.task_id}: completion delivered at attempt 1"]


def test_completion_of_task_refreshed_again_is_logged_once(sandbox: Sandbox, lines: Lines) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=0))

    refresh_tasks([task])
    refresh_tasks([task])

    assert lines() == [f"INFO Task {task.task_id} completed: SUCCESS"]


def test_lost_task_is_logged_as_completed(
    gateway: Gateway,
    clock: time_machine.Coordinates,
    configure: Callable[..., None],
    lines: Lines,
) -> None:
    configure(LOST_AFTER=60)
    gateway.default = reports("IN_PROGRESS")
    VideoTask.objects.track("cgt-1")
    clock.shift(61)

    refresh_due()

    assert lines() == ["INFO Task cgt-1 completed: LOST"]


def test_delivery_retries_and_abandoned_completion_are_logged_as_errors(
    gateway: Gateway, clock: time_machine.Coordinates, raising: None, lines: Lines
) -> None:
    gateway.default = reports("FAILURE")
    task = VideoTask.objects.track("cgt-1")
    refresh_due()
    for _ in range(MAX_ATTEMPTS):
        tasks.deliver_completion(task.pk)
        clock.shift(timedelta(hours=1))

    error = "attach_video: RuntimeError: no shelf left"
    assert [line for line in lines() if "delivery attempt" in line] == [
        *(
            f"ERROR Task cgt-1: delivery attempt {number} of 5 failed, to be retried: {error}"
            for number in range(1, 5)
        ),
        f"ERROR Task cgt-1: delivery attempt 5 of 5 failed, completion abandoned: {error}",
    ]


def test_every_line_about_a_task_names_its_task_id(
    gateway: Gateway, clock: time_machine.Coordinates, raising: None, lines: Lines
) -> None:
    task = VideoTask.objects.track("cgt-1")
    for status in ("QUEUED", "IN_PROGRESS", "FAILURE"):
        gateway.default = reports(status)
        refresh_tasks([task])
    tasks.deliver_completion(task.pk)

    assert len(lines()) >= 4
    assert [line for line in lines() if "Task cgt-1" not in line] == []


def test_pause_of_account_is_logged_as_error_and_resumption_as_info(
    gateway: Gateway, clock: time_machine.Coordinates, lines: Lines
) -> None:
    gateway.default = TOO_MANY
    VideoTask.objects.track("cgt-1")
    refresh_due()

    (paused,) = lines()
    assert paused.startswith("ERROR Account default: polling paused for 15 s: the gateway ")
    assert "429 Too Many Requests" in paused

    gateway.default = reports("IN_PROGRESS")
    clock.shift(timedelta(minutes=5))
    refresh_due()

    assert lines()[1:] == ["INFO Account default: polling resumed, the probe has succeeded"]


def test_outage_is_logged_as_error_and_its_end_as_info(
    gateway: Gateway,
    clock: time_machine.Coordinates,
    configure: Callable[..., None],
    lines: Lines,
) -> None:
    configure(BASE_URL=CLOSED)
    VideoTask.objects.track("cgt-1")
    for _ in range(12):
        refresh_due()
        clock.shift(10)

    (begins,) = lines()
    assert begins.startswith("ERROR Account default: outage, no response since ")
    assert GatewayState.objects.get().failing_since

    gateway.default = reports("IN_PROGRESS")
    configure(BASE_URL=gateway.url)
    clock.shift(timedelta(minutes=6))
    refresh_due()

    assert lines()[1:] == ["INFO Account default: the outage is over, the gateway responds again"]
