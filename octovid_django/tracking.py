"""To stop following tasks by hand, and to follow again what was stopped or ``LOST``."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Case, F, Value, When
from django.utils import timezone

from octovid_django.enums import TaskStatus
from octovid_django.models import VideoTask
from octovid_django.transition import taken_back


def stop_tracking(pks: Collection[int]) -> int:
    """Ask no more about these tasks. An answer that is on its way may still end one.

    Args:
        pks: The primary keys of the tasks.

    Returns:
        How many of them were followed until now.
    """
    tracked = VideoTask.objects.primary().tracked().filter(pk__in=pks)
    return tracked.update(next_poll_at=None, updated_at=timezone.now())


def track_again(pks: Collection[int]) -> int:
    """Follow these tasks again, where they are ``LOST`` or no longer followed.

    They are due at once, and their time to end (``GIVE_UP_AFTER``) begins anew. Whatever end the
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
        .untracked()
        .filter(pk__in=pks)
        .update(
            **taken_back(now),
            status=Case(is_lost, default=F("status")),
            next_poll_at=now,
            error_count=0,
            not_found_count=0,
            not_found_since=None,
            updated_at=now,
        )
    )
