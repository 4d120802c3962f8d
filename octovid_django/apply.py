"""Polling, last step: write what polls brought to the rows of the tasks.

No other module writes what the gateway reports.
"""

from __future__ import annotations

import logging
from dataclasses import astuple, dataclass
from datetime import datetime
from functools import partial

from django.db import DatabaseError, InterfaceError, transaction

from octovid_django.cluster.limits import Interruption
from octovid_django.delivery import request_delivery
from octovid_django.enums import ACTIVE_STATUSES, STICKY_STATUSES, TaskStatus
from octovid_django.exceptions import OctovidError, OctovidResponseError
from octovid_django.models import VideoTask
from octovid_django.redaction import links_in, one_line
from octovid_django.signals import log_failure, video_progressed
from octovid_django.snapshot import TaskSnapshot
from octovid_django.transition import Transition, after_error, after_response

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RefreshSummary:
    """The results of polling, in numbers of tasks; one that is polled twice counts twice."""

    polled: int = 0
    changed: int = 0
    """Status or progress changed."""
    completed: int = 0
    """A final status was reached."""
    failed: int = 0
    """The poll met an error; ``last_error`` or the reason of the pause says which."""

    def __add__(self, other: RefreshSummary) -> RefreshSummary:
        return RefreshSummary(*map(sum, zip(astuple(self), astuple(other), strict=True)))


def apply(task: VideoTask, outcome: TaskSnapshot | OctovidError, now: datetime) -> RefreshSummary:
    """Write the outcome of one poll to the row of its task.

    Args:
        task: As it was claimed; it gets the values that are written.
        outcome: What the poll brought.
        now: When, in UTC.
    """
    if isinstance(outcome, OctovidError):
        return write(task, after_error(task, outcome, now), has_failed=True)
    try:
        return write(task, after_response(task, outcome, now))
    except InterfaceError:
        raise
    except (DatabaseError, ArithmeticError, TypeError, ValueError) as error:
        # No traceback: databases quote what they refuse, links included.
        links = (*task.known_links(), outcome.video_url, *links_in(outcome.payload))
        refusal = OctovidResponseError(one_line(f"the response cannot be stored: {error}", links))
        logger.error("Task %s: %s", task.task_id, refusal)
        return write(task, after_error(task, refusal, now), has_failed=True)


def write(task: VideoTask, transition: Transition, *, has_failed: bool = False) -> RefreshSummary:
    """Write a transition to the row of ``task``, if this worker still owns the row.

    A completion is delivered, and a change notified, after the commit.

    Args:
        task: As it was claimed; it gets the values that are written.
        transition: What the row becomes.
        has_failed: Whether the poll met an error.
    """
    previous_status, previous_progress = TaskStatus(task.status), task.progress
    fields = transition.fields
    is_completion = transition.is_completion
    rows = VideoTask.objects.primary().filter(pk=task.pk)
    if not is_completion:
        rows = rows.filter(status=task.status, next_poll_at=task.next_poll_at)
    elif fields["status"] == TaskStatus.LOST:
        rows = rows.filter(status__in=ACTIVE_STATUSES)
    else:
        rows = rows.exclude(status__in=STICKY_STATUSES)
    with transaction.atomic(using=rows.db):
        is_mine = rows.update(**fields) == 1
    if not is_mine:  # deleted, or another worker has written it since, with newer values
        return RefreshSummary(polled=1, failed=int(has_failed))
    for name, value in fields.items():
        setattr(task, name, value)
    is_changed = (task.status, task.progress) != (previous_status, previous_progress)
    if is_completion:
        transaction.on_commit(partial(_announce_completion, task), using=rows.db)
    elif is_changed:
        transaction.on_commit(
            partial(
                _notify_progress,
                task,
                previous_status=previous_status,
                previous_progress=previous_progress,
            ),
            using=rows.db,
        )
    return RefreshSummary(
        polled=1, changed=int(is_changed), completed=int(is_completion), failed=int(has_failed)
    )


def _announce_completion(task: VideoTask) -> None:
    logger.info("Task %s completed: %s", task.task_id, task.status)
    request_delivery(task.pk)


def _notify_progress(task: VideoTask, previous_status: TaskStatus, previous_progress: int) -> None:
    links = task.known_links()
    try:
        video_progressed.notify(
            task, previous_status=previous_status, previous_progress=previous_progress
        )
    except Interruption:
        raise
    except SystemExit as error:
        log_failure(task, error, links)
