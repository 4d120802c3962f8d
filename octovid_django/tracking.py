"""Track many tasks at once; stop and resume polling, by hand."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction
from django.db.models import Case, F, Value, When
from django.utils import timezone

from octovid_django.enums import TaskStatus
from octovid_django.models import VideoTask
from octovid_django.transition import recovered

CHUNK = 500


def track_many(task_ids: Collection[str], metadata: dict[str, Any] | None = None) -> None:
    """Track these tasks; one that is tracked already stays as it is.

    Args:
        task_ids: Valid ids.
        metadata: Application data, for every new task.
    """
    VideoTask.objects.primary().bulk_create(
        (VideoTask(task_id=task_id, metadata=metadata or {}) for task_id in task_ids),
        batch_size=CHUNK,
        ignore_conflicts=True,
    )


def add_metadata(pks: Collection[int], metadata: dict[str, Any]) -> None:
    """Merge ``metadata`` into that of these tasks; it replaces the keys that it names.

    Args:
        pks: The primary keys of the tasks.
        metadata: Application data.
    """
    rows = VideoTask.objects.primary()
    with transaction.atomic(using=rows.db):
        tasks = list(rows.select_for_update().filter(pk__in=pks).only("metadata").order_by("pk"))
        for task in tasks:
            task.metadata |= metadata
            task.updated_at = timezone.now()
        rows.bulk_update(tasks, ["metadata", "updated_at"], batch_size=CHUNK)


def stop_polling(pks: Collection[int]) -> int:
    """Stop polling these tasks. The response to a poll under way may still complete one.

    Args:
        pks: The primary keys of the tasks.

    Returns:
        How many of them were polled until now.
    """
    polled = VideoTask.objects.primary().polled().filter(pk__in=pks)
    return polled.update(next_poll_at=None, updated_at=timezone.now())


def resume_polling(pks: Collection[int]) -> int:
    """Resume polling these tasks, where they are ``LOST`` or polling was stopped.

    They are due at once, and ``LOST_AFTER`` counts anew. A completion that the gateway reports is
    delivered, also where it was delivered before that the task is lost.

    Args:
        pks: The primary keys of the tasks.

    Returns:
        How many of them were not polled until now.
    """
    now = timezone.now()
    is_lost = When(status=TaskStatus.LOST, then=Value(TaskStatus.UNKNOWN))
    return (
        VideoTask.objects.primary()
        .resumable()
        .filter(pk__in=pks)
        .update(
            **recovered(now),
            status=Case(is_lost, default=F("status")),
            next_poll_at=now,
            error_count=0,
            not_found_count=0,
            not_found_since=None,
            updated_at=now,
        )
    )
