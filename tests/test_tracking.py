"""Tracking that is stopped by hand, and taken up again."""

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


def test_what_is_stopped_is_asked_about_no_more(task: VideoTask) -> None:
    assert stop_polling([task.pk]) == 1

    assert refresh_due().polled == 0
    assert not VideoTask.objects.polled().exists()
    assert VideoTask.objects.resumable().get() == task
    assert stop_polling([task.pk]) == 0


def test_a_look_does_not_take_it_up_again(sandbox: Sandbox) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=3600))
    stop_polling([task.pk])

    refresh_tasks([task])

    task.refresh_from_db()
    assert task.polled_at
    assert task.next_poll_at is None


def test_what_is_tracked_again_goes_on_to_its_end(task: VideoTask) -> None:
    stop_polling([task.pk])

    assert resume_polling([task.pk]) == 1
    assert refresh_due().completed == 1
    assert resume_polling([task.pk]) == 0, "it has ended at the gateway"


def test_what_was_lost_is_told_once_more_when_it_ends(task: VideoTask, received: Received) -> None:
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


def test_the_time_to_end_begins_anew(sandbox: Sandbox, configure: Any) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=3600))
    long_ago = timezone.now() - timedelta(days=30)
    VideoTask.objects.update(status="LOST", next_poll_at=None, created_at=long_ago)

    resume_polling([task.pk])
    refresh_due()

    task.refresh_from_db()
    assert task.status != "LOST"
    assert task.next_poll_at


def test_of_what_is_tracked_nothing_changes(task: VideoTask) -> None:
    due_at = task.next_poll_at

    assert resume_polling([task.pk]) == 0

    task.refresh_from_db()
    assert task.next_poll_at == due_at
