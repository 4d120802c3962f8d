"""A polling run: the schedule starts one every minute, and it fills the time until the next.

It polls what falls due and delivers what waits, until its window is over or nothing falls due in
it any more.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from datetime import datetime

from django.utils import timezone

from octovid_django.cluster.limits import run_seconds, worker_count
from octovid_django.cluster.wakeup import wake
from octovid_django.conf import octovid_settings
from octovid_django.delivery import Deliveries
from octovid_django.models import VideoTask
from octovid_django.pause import record_run
from octovid_django.redaction import traceback_text
from octovid_django.refresh import BATCH_SECONDS, RefreshSummary, next_poll_at, refresh_batch

logger = logging.getLogger(__name__)

LONGEST_WINDOW = 55.0
"""Seconds: just under the minute between two starts by the schedule."""
MARGIN = 5.0
"""Seconds between the last response that a run can wait for and django-q2's timeout."""
SHORTEST_NAP, LONGEST_NAP = 0.25, 1.0
"""Seconds. However long nothing falls due, a new task is polled soon."""


def window_seconds() -> float:
    """Return how many seconds a run lasts: it returns well before django-q2 stops or repeats it."""
    return min(LONGEST_WINDOW, max(1.0, run_seconds() - octovid_settings.TIMEOUT - MARGIN))


def tick() -> None:
    """Do a polling run: poll and deliver for one window. It never raises.

    django-q2 would start again, and again, what raises.
    """
    with _guard():
        started_at = time.monotonic()
        record_run()
        _log_finished(_run(started_at + window_seconds()), started_at)


def help_out() -> None:
    """Help a run that has more tasks due than one batch, for one window. It never raises either."""
    with _guard():
        due_at = timezone.now()
        started_at = time.monotonic()
        ends_at = started_at + window_seconds()
        total = RefreshSummary()
        while (left := ends_at - time.monotonic()) > 0:
            batch = refresh_batch(due_at, min(left, BATCH_SECONDS))
            total += batch
            if not batch.polled:
                break
        _log_finished(total, started_at)


@contextmanager
def _guard() -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as error:  # noqa: BLE001  the latter is what django-q2 raises at its timeout
        logger.error("Polling run aborted, the next one goes on:\n%s", traceback_text(error))


def _log_finished(total: RefreshSummary, started_at: float) -> None:
    logger.info(
        "Polling run finished: %d polled, %d changed, %d completed, %d failed in %.1f s",
        *astuple(total),
        time.monotonic() - started_at,
    )


def _run(ends_at: float) -> RefreshSummary:
    total = RefreshSummary()
    deliveries = Deliveries()
    has_called_help = False
    while True:
        deliveries.run(ends_at)
        left = ends_at - time.monotonic()
        if left <= 0:
            return total
        batch = refresh_batch(timezone.now(), min(left, BATCH_SECONDS))
        total += batch
        if batch.polled >= octovid_settings.BATCH_SIZE and not has_called_help:
            has_called_help = True
            _call_help()
        nap = _seconds_until(next_poll_at(), deliveries.next_at())
        if nap > ends_at - time.monotonic():
            return total
        time.sleep(min(max(nap, SHORTEST_NAP), LONGEST_NAP))


def _call_help() -> None:
    """Wake other workers up, one for each further batch that is due, as far as there are any."""
    waiting = VideoTask.objects.due().count()
    for _ in range(min(math.ceil(waiting / octovid_settings.BATCH_SIZE), worker_count() - 1)):
        wake("octovid_django.tasks.refresh_backlog")


def _seconds_until(*moments: datetime | None) -> float:
    """How many seconds it is until the first of ``moments``, infinite if there is none."""
    first = min((moment for moment in moments if moment), default=None)
    return max(0.0, (first - timezone.now()).total_seconds()) if first else math.inf
