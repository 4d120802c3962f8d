"""Who polls which task: to claim is to push ``next_poll_at`` a lease ahead.

No other worker polls the task meanwhile; a worker that dies leaves rows that fall due again.
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
"""Seconds that a lease outlives the last response that a batch can wait for."""


def _lease(seconds: float) -> datetime:
    """A lease for a batch that starts requests for ``seconds``, unlike any other worker's."""
    length = seconds + octovid_settings.TIMEOUT + LEASE_SLACK
    return timezone.now() + timedelta(seconds=length + random.random())  # noqa: S311


def claim_due(
    due_at: datetime, limit: int, seconds: float, *, is_probe: bool = False
) -> list[VideoTask]:
    tasks = VideoTask.objects.primary()
    due = tasks.due(due_at)
    candidates = due.order_by("next_poll_at")
    if is_probe:
        candidates = _likeliest(candidates)
    # Without SKIP LOCKED (SQLite), reading and then writing in one transaction invites a
    # deadlock; the update alone is atomic, and its condition says who won.
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
    """Those of whom a probe tells most: that were well, or at least not what the pause is by."""
    for well in ({"error_count": 0, "poll_count__gt": 0}, {"error_count": 0}):
        if due.filter(**well).exists():
            return due.filter(**well)
    return due


def claim_these(pks: Collection[int], seconds: float) -> list[VideoTask]:
    rows = VideoTask.objects.primary().filter(pk__in=pks)
    rows.filter(next_poll_at__isnull=False).update(next_poll_at=_lease(seconds))
    return list(rows)


def release(tasks: Collection[VideoTask], due_at: datetime) -> None:
    """Let ``tasks`` that were claimed together be due again, as if they had not been claimed."""
    leases = {task.next_poll_at for task in tasks if task.next_poll_at}
    claimed = VideoTask.objects.filter(pk__in=[task.pk for task in tasks], next_poll_at__in=leases)
    claimed.update(next_poll_at=due_at)
