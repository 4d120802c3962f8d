"""Polling, first step: claim the tasks that are due, and release those that were not polled."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from octovid_django.conf import octovid_settings
from octovid_django.leases import Job
from octovid_django.models import VideoTask, VideoTaskQuerySet

LEASE_SLACK = 15.0
"""Seconds that a lease lasts beyond the last response that its batch can wait for."""

POLLING = Job[VideoTask]("next_poll_at")


def _lease_seconds(seconds: float) -> float:
    return seconds + octovid_settings.TIMEOUT + LEASE_SLACK


def claim_due(
    due_at: datetime, limit: int, seconds: float, *, is_probe: bool = False
) -> list[VideoTask]:
    """Claim tasks that are due, the longest due first.

    Args:
        due_at: By when the tasks are due, in UTC.
        limit: How many tasks to claim at most.
        seconds: How long their batch goes on starting requests.
        is_probe: Whether one of them is the probe after a pause: then claim only those that are
            likely to succeed.

    Returns:
        The tasks that this worker has claimed.
    """
    due = VideoTask.objects.primary().due(due_at).order_by("next_poll_at")
    return POLLING.claim(_likeliest(due) if is_probe else due, limit, _lease_seconds(seconds))


def _likeliest(due: VideoTaskQuerySet) -> VideoTaskQuerySet:
    """The tasks that are likeliest to succeed: those whose last poll met no error, if any."""
    for without_error in ({"error_count": 0, "poll_count__gt": 0}, {"error_count": 0}):
        if due.filter(**without_error).exists():
            return due.filter(**without_error)
    return due


def claim_these(pks: Collection[int], seconds: float) -> list[VideoTask]:
    """Claim tasks whether they are due or not, also from another worker.

    Tasks that are no longer polled are returned too, and stay so.

    Args:
        pks: The primary keys of the tasks.
        seconds: How long their batch goes on starting requests.
    """
    rows = VideoTask.objects.primary().filter(pk__in=pks)
    POLLING.take(rows, _lease_seconds(seconds))
    return list(rows)


def release(tasks: Collection[VideoTask], due_at: datetime) -> None:
    """Release claimed tasks that were not polled: they are due again.

    Args:
        tasks: As they were claimed.
        due_at: When they are due, in UTC.
    """
    POLLING.release(VideoTask.objects.primary(), tasks, due_at)
