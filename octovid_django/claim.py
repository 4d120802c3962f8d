"""Polling, first step: claim the rows that are due, and release those that were not polled.

To claim a row is to push its ``next_poll_at`` ahead by a lease: no other worker polls the task
until then, and the rows of a worker that was killed fall due again.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from contextlib import nullcontext
from datetime import datetime, timedelta

from django.db import connections, transaction
from django.utils import timezone

from octovid_django.conf import octovid_settings
from octovid_django.models import VideoTask, VideoTaskQuerySet

LEASE_SLACK = 15.0
"""Seconds that a lease lasts beyond the last response that its batch can wait for."""


def _lease(seconds: float) -> datetime:
    """When the lease of a batch expires that starts requests for ``seconds``; no other is equal."""
    length = seconds + octovid_settings.TIMEOUT + LEASE_SLACK
    return timezone.now() + timedelta(seconds=length + random.random())  # noqa: S311


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
    tasks = VideoTask.objects.primary()
    due = tasks.due(due_at)
    candidates = due.order_by("next_poll_at")
    if is_probe:
        candidates = _likeliest(candidates)
    # Without SKIP LOCKED (SQLite), reading and then writing in one transaction invites a
    # deadlock; the update alone is atomic, and its condition decides which worker wins.
    can_skip_locked = connections[tasks.db].features.has_select_for_update_skip_locked
    if can_skip_locked:
        candidates = candidates.select_for_update(skip_locked=True)
    lease = _lease(seconds)
    with transaction.atomic(using=tasks.db) if can_skip_locked else nullcontext():
        pks = list(candidates.values_list("pk", flat=True)[:limit])
        due.filter(pk__in=pks).update(next_poll_at=lease)
    claimed = tasks.filter(next_poll_at=lease).in_bulk(pks)
    return [claimed[pk] for pk in pks if pk in claimed]


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
    rows.filter(next_poll_at__isnull=False).update(next_poll_at=_lease(seconds))
    return list(rows)


def release(tasks: Collection[VideoTask], due_at: datetime) -> None:
    """Release claimed tasks that were not polled: they are due again.

    Args:
        tasks: As they were claimed.
        due_at: When they are due, in UTC.
    """
    leases = {task.next_poll_at for task in tasks if task.next_poll_at}
    claimed = VideoTask.objects.filter(pk__in=[task.pk for task in tasks], next_poll_at__in=leases)
    claimed.update(next_poll_at=due_at)
