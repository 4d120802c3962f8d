"""Ends to receivers: the only sender of the signals that speak of an end.

``completed_at`` without ``delivered_at`` is the outbox, ``next_delivery_at`` its timetable and
lease: what a crash cuts off falls due again. None there means delivered, or given up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import F, Min, Q
from django.utils import timezone
from django_q.conf import Conf
from django_q.exceptions import TimeoutException

from octovid_django.enums import TaskStatus
from octovid_django.models import VideoTask
from octovid_django.signals import (
    Failure,
    log_failure,
    video_completed,
    video_failed,
    video_succeeded,
)
from octovid_django.wakeup import wake

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
FIRST_PAUSE = timedelta(seconds=15)
PAUSE_GROWTH = 4
WORKER_GRACE = timedelta(seconds=3)
"""How long an end waits for a worker before the tick delivers it itself."""
MAX_DUE = 100
"""Ends that are looked at in one go."""
KILLED = "the worker was killed while the receivers ran"
UNBOUNDED_RUN = 300
"""Seconds that receivers may run where ``Q_CLUSTER["timeout"]`` sets no bound."""


def request_delivery(pk: int) -> None:
    """Have a worker deliver the end of a task, which is committed.

    Args:
        pk: The primary key of the task.
    """
    wake("octovid_django.tasks.deliver_completion", pk)


def deliver(pk: int) -> bool:
    """Run the receivers of one task's end, if that is due and nobody else does.

    Args:
        pk: The primary key of the task.

    Returns:
        Whether the end is delivered now: every receiver has run, and none raised.
    """
    return attempt(pk) == []


def attempt(pk: int) -> list[BaseException] | None:
    """Do what ``deliver()`` does, and return what the receivers raised; ``None``: it is not due.

    Args:
        pk: The primary key of the task.
    """
    task = _claim(pk)
    if task is None:
        return None
    failures = _send(task)
    _record(task, [failure.line for failure in failures])
    return [failure.error for failure in failures]


def resend(pks: Collection[int]) -> int:
    """Have the ends of these tasks delivered once more, also those that were given up.

    ``attempt`` goes on counting, so that receivers know that they have been called before. An end
    that is on its way already, and has met no error, goes on as it is: to ask twice is to ask once.

    Args:
        pks: The primary keys of the tasks.

    Returns:
        How many of them have an end.
    """
    now = timezone.now()
    completed = VideoTask.objects.primary().filter(pk__in=pks, completed_at__isnull=False)
    is_on_its_way = Q(delivered_at__isnull=True, next_delivery_at__isnull=False, delivery_error="")
    completed.exclude(is_on_its_way).update(
        delivered_at=None,
        next_delivery_at=now,
        delivery_attempts_before_resend=F("delivery_attempts"),
        delivery_error="",
        updated_at=now,
    )
    for pk in completed.values_list("pk", flat=True)[:MAX_DUE]:  # the ticks offer the others
        request_delivery(pk)
    return completed.count()


class Deliveries:
    """What one tick does for ends that wait.

    What is due again, after a failure or a crash, it offers to a worker, which has the whole of
    django-q2's timeout for it. What no worker takes within a few seconds it delivers itself.
    """

    def __init__(self) -> None:
        self._offered_at: dict[int, datetime] = {}

    def run(self, ends_at: float) -> None:
        """Offer and deliver what is due.

        Args:
            ends_at: When to stop starting deliveries, in seconds of ``time.monotonic()``.
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
        """Return when an end is due next, ``None`` for never."""
        waiting = VideoTask.objects.primary().filter(next_delivery_at__isnull=False)
        first: datetime | None = waiting.aggregate(first=Min("next_delivery_at"))["first"]
        return first


def _claim(pk: int) -> VideoTask | None:
    now = timezone.now()
    tasks = VideoTask.objects.primary().filter(pk=pk)
    due = tasks.undelivered().filter(next_delivery_at__lte=now)
    earlier = F("delivery_attempts_before_resend")
    unrecorded = due.filter(delivery_attempts__gt=earlier, delivery_error="")
    unrecorded.update(delivery_error=KILLED)
    if due.filter(delivery_attempts__gte=earlier + MAX_ATTEMPTS).update(
        next_delivery_at=None, delivery_error=KILLED
    ):
        logger.error("The end of task %s was given up: its worker was killed", tasks.get().task_id)
        return None
    lease = now + timedelta(seconds=(Conf.TIMEOUT or UNBOUNDED_RUN) + 30)
    is_mine = due.update(next_delivery_at=lease, delivery_attempts=F("delivery_attempts") + 1)
    return tasks.filter(next_delivery_at=lease).first() if is_mine else None


def _send(task: VideoTask) -> list[Failure]:
    """Run every receiver, and return what went wrong."""
    outcome = video_succeeded if task.status == TaskStatus.SUCCESS else video_failed
    failures: list[Failure] = []
    links = task.known_links()  # as they are before a receiver changes the instance
    for signal in (outcome, video_completed):
        try:
            failures += signal.notify(task, attempt=task.delivery_attempts)
        except TimeoutException as timeout:  # django-q2's, and it has no time for the others
            return [*failures, log_failure(task, timeout, links)]
        except (Exception, SystemExit) as error:  # noqa: BLE001  one that ends a process, say
            failures.append(log_failure(task, error, links))
    return failures


def _record(task: VideoTask, errors: list[str]) -> None:
    now = timezone.now()
    mine = VideoTask.objects.filter(pk=task.pk, next_delivery_at=task.next_delivery_at)
    if not errors:
        mine.update(delivered_at=now, next_delivery_at=None, delivery_error="", updated_at=now)
        return
    attempt = task.delivery_attempts - task.delivery_attempts_before_resend
    is_last = attempt >= MAX_ATTEMPTS
    retry_at = None if is_last else now + FIRST_PAUSE * PAUSE_GROWTH ** (attempt - 1)
    mine.update(next_delivery_at=retry_at, delivery_error="\n".join(errors), updated_at=now)
    logger.error(
        "Attempt %d of %d to deliver the end of task %s failed%s: %s",
        attempt,
        MAX_ATTEMPTS,
        task.task_id,
        ", it was given up" if is_last else "",
        "; ".join(errors),
    )
