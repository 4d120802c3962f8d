"""To follow many tasks at once, to stop that, and to follow again what was stopped or ``LOST``."""

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
    """Follow these tasks to their end; a task that is known already stays as it is.

    Args:
        task_ids: Ids that are valid.
        metadata: The site's own, of every new task.
    """
    VideoTask.objects.primary().bulk_create(
        (VideoTask(task_id=task_id, metadata=metadata or {}) for task_id in task_ids),
        batch_size=CHUNK,
        ignore_conflicts=True,
    )


def add_metadata(pks: Collection[int], metadata: dict[str, Any]) -> None:
    """Add ``metadata`` to what these tasks have, and replace the keys that it names.

    Args:
        pks: The primary keys of the tasks.
        metadata: The site's own.
    """
    rows = VideoTask.objects.primary()
    with transaction.atomic(using=rows.db):
        tasks = list(rows.select_for_update().filter(pk__in=pks).only("metadata").order_by("pk"))
        for task in tasks:
            task.metadata |= metadata
            task.updated_at = timezone.now()
        rows.bulk_update(tasks, ["metadata", "updated_at"], batch_size=CHUNK)


def stop_polling(pks: Collection[int]) -> int:
    """Ask no more about these tasks. An answer that is on its way may still end one.

    Args:
        pks: The primary keys of the tasks.

    Returns:
        How many of them were followed until now.
    """
    polled = VideoTask.objects.primary().polled().filter(pk__in=pks)
    return polled.update(next_poll_at=None, updated_at=timezone.now())


def resume_polling(pks: Collection[int]) -> int:
    """Follow these tasks again, where they are ``LOST`` or no longer followed.

    They are due at once, and their time to end (``LOST_AFTER``) begins anew. Whatever end the
    gateway tells of is delivered, also where the site was told before that the task is lost.

    Args:
        pks: The primary keys of the tasks.

    Returns:
        How many of them were not followed until now.
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
