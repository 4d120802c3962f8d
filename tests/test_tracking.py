"""Polling that is stopped by hand, and resumed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from octovid_django.delivery import deliver
from octovid_django.models import VideoTask
from octovid_django.refresh import refresh_due, refresh_tasks
from octovid_django.sandbox import Sandbox
from octovid_django.tracking import resume_polling, stop_polling

Received = list[tuple[str, dict[str, Any]]]

pytestmark = pytest.mark.django_db


@pytest.fixture
def task(sandbox: Sandbox) -> VideoTask:
    return VideoTask.objects.track(sandbox.create(run_seconds=0))


def test_stop_polling_prevents_further_polls(task: VideoTask) -> None:
    assert stop_polling([task.pk]) == 1

    assert refresh_due().polled == 0
    assert not VideoTask.objects.polled().exists()
    assert VideoTask.objects.resumable().get() == task
    assert stop_polling([task.pk]) == 0


def test_refresh_does_not_resume_stopped_polling(sandbox: Sandbox) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=3600))
    stop_polling([task.pk])

    refresh_tasks([task])

    task.refresh_from_db()
    assert task.polled_at
    assert task.next_poll_at is None


def test_resume_polling_continues_until_completion(task: VideoTask) -> None:
    stop_polling([task.pk])

    assert resume_polling([task.pk]) == 1
    assert refresh_due().completed == 1
    assert resume_polling([task.pk]) == 0, "it has completed"


def test_resumed_lost_task_is_delivered_again_when_it_completes(
    task: VideoTask, received: Received
) -> None:
    now = timezone.now()
    VideoTask.objects.update(
        status="LOST", fail_reason="denied", next_poll_at=None, completed_at=now, delivered_at=now
    )

    assert resume_polling([task.pk]) == 1
    task.refresh_from_db()
    assert (task.status, task.fail_reason, task.completed_at) == ("UNKNOWN", "", None)
    refresh_due()
    deliver(task.pk)

    assert [name for name, _ in received] == ["video_succeeded", "video_completed"]


def test_resume_polling_restarts_lost_after(sandbox: Sandbox, configure: Any) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=3600))
    long_ago = timezone.now() - timedelta(days=30)
    VideoTask.objects.update(status="LOST", next_poll_at=None, created_at=long_ago)

    resume_polling([task.pk])
    refresh_due()

    task.refresh_from_db()
    assert task.status != "LOST"
    assert task.next_poll_at


def test_resume_polling_of_polled_task_is_idempotent(task: VideoTask) -> None:
    due_at = task.next_poll_at

    assert resume_polling([task.pk]) == 0

    task.refresh_from_db()
    assert task.next_poll_at == due_at
