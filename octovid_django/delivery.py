"""Delivery of completions: running the receivers of the completion signals, at least once.

The outbox is on the row: ``completed_at`` is set and ``delivered_at`` is not. ``next_delivery_at``
is timetable and lease, so an attempt that a crash interrupts falls due again. It is null once the
completion is delivered, or abandoned after the last attempt.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.utils import timezone

from octovid_django.cluster.limits import Interruption, worker_seconds
from octovid_django.cluster.wakeup import wake
from octovid_django.enums import TaskStatus
from octovid_django.leases import Job, backoff
from octovid_django.models import VideoTask
from octovid_django.signals import (
    Failure,
    log_failure,
    video_completed,
    video_failed,
    video_succeeded,
)

logger = logging.getLogger(__name__)

DELIVERY = Job[VideoTask]("next_delivery_at")

MAX_ATTEMPTS = 5
FIRST_BACKOFF = 15
BACKOFF_GROWTH = 4
LONGEST_BACKOFF = 16 * 60
"""Seconds before an attempt is retried: 15, then four times as many after each that fails."""
WORKER_GRACE = timedelta(seconds=3)
"""How long a completion waits for a worker before the polling run delivers it itself."""
MAX_DUE = 100
"""The most completions that are considered in one pass."""
KILLED = "the worker was killed while the receivers ran"
UNBOUNDED_RUN = 300
"""Seconds that receivers may run where ``Q_CLUSTER["timeout"]`` sets no bound."""


def request_delivery(pk: int) -> None:
    """Wake a worker up to deliver the completion of a task.

    Args:
        pk: The primary key of the task; its completion is committed.
    """
    wake("octovid_django.tasks.deliver_completion", pk)


def deliver(pk: int) -> bool:
    """Deliver the completion of a task, if it is due and no other worker has claimed it.

    Args:
        pk: The primary key of the task.

    Returns:
        Whether the completion is delivered by this call: every receiver ran, and none raised.
    """
    return attempt(pk) == []


def attempt(pk: int) -> list[BaseException] | None:
    """Do what ``deliver()`` does, and return what the receivers raised.

    Args:
        pk: The primary key of the task.

    Returns:
        The exceptions, none after a success; ``None`` where there was nothing to deliver.
    """
    task = _claim(pk)
    if task is None:
        return None
    failures = _run_receivers(task)
    _record(task, [failure.line for failure in failures])
    return [failure.error for failure in failures]


def resend(pks: Collection[int]) -> int:
    """Have the completions of these tasks delivered once more, abandoned ones included.

    ``attempt`` goes on counting, so that receivers can tell that it is a repetition. Idempotent: a
    delivery that is pending, and has met no error, stays as it is.

    Args:
        pks: The primary keys of the tasks.

    Returns:
        How many of the tasks have completed.
    """
    now = timezone.now()
    completed = VideoTask.objects.primary().filter(pk__in=pks, completed_at__isnull=False)
    is_pending = Q(delivered_at__isnull=True, next_delivery_at__isnull=False, delivery_error="")
    completed.exclude(is_pending).update(
        delivered_at=None,
        next_delivery_at=now,
        delivery_attempts_before_resend=F("delivery_attempts"),
        delivery_error="",
        updated_at=now,
    )
    for pk in completed.values_list("pk", flat=True)[:MAX_DUE]:  # polling runs offer the others
        request_delivery(pk)
    return completed.count()


class Deliveries:
    """The deliveries of one polling run.

    A completion that is due again, after a failure or a crash, is offered to a worker, which has
    all of django-q2's timeout for it. One that no worker claims within ``WORKER_GRACE`` the run
    delivers itself.
    """

    def __init__(self) -> None:
        self._offered_at: dict[int, datetime] = {}

    def run(self, ends_at: float) -> None:
        """Offer and deliver the completions that are due.

        Args:
            ends_at: When to start no more deliveries, in seconds of ``time.monotonic()``.
        """
        now = timezone.now()
        due = VideoTask.objects.primary().undelivered().filter(next_delivery_at__lte=now)
        columns = ("pk", "delivery_attempts", "next_delivery_at")
        for pk, attempts, due_at in due.order_by("next_delivery_at").values_list(*columns)[
            :MAX_DUE
        ]:
            if time.monotonic() >= ends_at:
                return
            if attempts and pk not in self._offered_at:
                self._offered_at[pk] = now
                request_delivery(pk)
            elif self._offered_at.get(pk, due_at) <= now - WORKER_GRACE:
                deliver(pk)

    def next_at(self) -> datetime | None:
        """Return when the next delivery is due, in UTC; ``None`` where none waits."""
        return DELIVERY.next_at(VideoTask.objects.primary())


def _claim(pk: int) -> VideoTask | None:
    tasks = VideoTask.objects.primary().filter(pk=pk)
    due = DELIVERY.due(tasks.undelivered(), timezone.now())
    earlier = F("delivery_attempts_before_resend")
    unrecorded = due.filter(delivery_attempts__gt=earlier, delivery_error="")
    unrecorded.update(delivery_error=KILLED)
    if due.filter(delivery_attempts__gte=earlier + MAX_ATTEMPTS).update(
        next_delivery_at=None, delivery_error=KILLED
    ):
        logger.error("Task %s: completion abandoned, %s", tasks.get().task_id, KILLED)
        return None
    seconds = worker_seconds(default=UNBOUNDED_RUN) + 30
    return DELIVERY.claim_one(due, seconds, delivery_attempts=F("delivery_attempts") + 1)


def _run_receivers(task: VideoTask) -> list[Failure]:
    """Run every receiver, and return what they raised."""
    outcome = video_succeeded if task.status == TaskStatus.SUCCESS else video_failed
    failures: list[Failure] = []
    links = task.known_links()  # as they are before a receiver changes the instance
    for signal in (outcome, video_completed):
        try:
            failures += signal.notify(task, attempt=task.delivery_attempts)
        except Interruption as timeout:  # no time is left for the others
            return [*failures, log_failure(task, timeout, links)]
        except (Exception, SystemExit) as error:  # noqa: BLE001  a receiver may call sys.exit()
            failures.append(log_failure(task, error, links))
    return failures


def _record(task: VideoTask, errors: list[str]) -> None:
    now = timezone.now()
    mine = DELIVERY.owned(VideoTask.objects.primary(), [task])
    if not errors:
        delivered = {"delivered_at": now, "next_delivery_at": None, "delivery_error": ""}
        if mine.update(**delivered, updated_at=now):
            logger.info(
                "Task %s: completion delivered at attempt %d", task.task_id, task.delivery_attempts
            )
        return
    attempt = task.delivery_attempts - task.delivery_attempts_before_resend
    is_last = attempt >= MAX_ATTEMPTS
    wait = backoff(attempt, FIRST_BACKOFF, BACKOFF_GROWTH, LONGEST_BACKOFF)
    retry_at = None if is_last else now + wait
    mine.update(next_delivery_at=retry_at, delivery_error="\n".join(errors), updated_at=now)
    logger.error(
        "Task %s: delivery attempt %d of %d failed, %s: %s",
        task.task_id,
        attempt,
        MAX_ATTEMPTS,
        "completion abandoned" if is_last else "to be retried",
        "; ".join(errors),
    )
