"""Ends to receivers: the only sender of the signals that speak of an end.

``completed_at`` without ``delivered_at`` is the outbox, ``next_delivery_at`` its timetable and
lease: what a crash cuts off falls due again. None there means delivered, or given up.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from django.db.models import F
from django.utils import timezone
from django_q.conf import Conf

from octovid_django.enums import TaskStatus
from octovid_django.exceptions import one_line
from octovid_django.models import VideoTask
from octovid_django.signals import video_completed, video_failed, video_succeeded
from octovid_django.wakeup import wake

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
FIRST_PAUSE = timedelta(seconds=15)
PAUSE_GROWTH = 4
WORKER_GRACE = timedelta(seconds=3)
"""How long an end waits for a worker before the tick delivers it itself."""
UNBOUNDED_RUN = 300
"""Seconds that receivers may run where ``Q_CLUSTER["timeout"]`` sets no bound."""


def request_delivery(task: VideoTask) -> None:
    """Have a worker deliver the end of ``task``, which is committed."""
    wake("octovid_django.tasks.deliver_completion", task.pk)


def deliver(pk: int) -> bool:
    """Run the receivers of one task's end, if that is due and nobody else does.

    Args:
        pk: The primary key of the task.

    Returns:
        Whether the end is delivered now: every receiver has run, and none raised.
    """
    task = _claim(pk)
    if task is None:
        return False
    errors = _send(task)
    _record(task, errors)
    return not errors


def deliver_waiting(seconds: float) -> int:
    """Deliver what has waited for a worker for more than a few seconds, or was cut off.

    Args:
        seconds: How long to go on starting deliveries.

    Returns:
        How many ends are delivered now.
    """
    ends_at = time.monotonic() + seconds
    waiting = (
        VideoTask.objects.primary()
        .undelivered()
        .filter(next_delivery_at__lte=timezone.now() - WORKER_GRACE)
    )
    delivered = 0
    for pk in waiting.order_by("next_delivery_at").values_list("pk", flat=True)[:100]:
        if time.monotonic() >= ends_at:
            break
        delivered += deliver(pk)
    return delivered


def next_delivery_at() -> datetime | None:
    """Return when ``deliver_waiting`` has something to do next, ``None`` for never."""
    waiting = VideoTask.objects.primary().filter(next_delivery_at__isnull=False)
    first = waiting.order_by("next_delivery_at").values_list("next_delivery_at", flat=True).first()
    return first + WORKER_GRACE if first else None


def _claim(pk: int) -> VideoTask | None:
    now = timezone.now()
    tasks = VideoTask.objects.primary().filter(pk=pk)
    due = tasks.undelivered().filter(next_delivery_at__lte=now)
    if due.filter(delivery_attempts__gte=MAX_ATTEMPTS).update(
        next_delivery_at=None,
        delivery_error="the worker was killed while the receivers ran",
    ):
        logger.error("The end of task %s was given up: its worker was killed", pk)
        return None
    lease = now + timedelta(seconds=(Conf.TIMEOUT or UNBOUNDED_RUN) + 30)
    is_mine = due.update(next_delivery_at=lease, delivery_attempts=F("delivery_attempts") + 1)
    return tasks.filter(next_delivery_at=lease).first() if is_mine else None


def _send(task: VideoTask) -> list[str]:
    """Run every receiver, and return what went wrong in one line each."""
    outcome = video_succeeded if task.status == TaskStatus.SUCCESS else video_failed
    errors: list[str] = []
    for signal in (outcome, video_completed):
        try:
            responses = signal.send_robust(
                sender=VideoTask, task=task, attempt=task.delivery_attempts
            )
        except SystemExit as exit_:  # what django-q2 raises at the end of its timeout is one too
            logger.exception("A receiver of the end of task %s left its worker", task.task_id)
            return [*errors, _describe(exit_)]
        except Exception as error:  # send_robust() stumbles over one without a __qualname__
            logger.exception("A receiver of the end of task %s raised", task.task_id)
            errors.append(_describe(error.__context__ or error))
            continue
        errors += [
            _describe(response, receiver)
            for receiver, response in responses
            if isinstance(response, Exception)
        ]
    return errors


def _describe(error: BaseException, receiver: object = None) -> str:
    name = getattr(receiver, "__qualname__", "a receiver")
    return one_line(f"{name}: {type(error).__name__}: {error}")


def _record(task: VideoTask, errors: list[str]) -> None:
    now = timezone.now()
    mine = VideoTask.objects.filter(pk=task.pk, next_delivery_at=task.next_delivery_at)
    if not errors:
        mine.update(delivered_at=now, next_delivery_at=None, delivery_error="", updated_at=now)
        return
    attempt = task.delivery_attempts
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
