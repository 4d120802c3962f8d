"""A tick: django-q2's scheduler calls once a minute, and a tick fills the time until then.

It goes on refreshing what falls due and delivering what waits, until its window is over or
nothing is left to do in it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.utils import timezone
from django_q.conf import Conf

from octovid_django.conf import octovid_settings
from octovid_django.delivery import Deliveries
from octovid_django.models import VideoTask
from octovid_django.pause import record_run
from octovid_django.redaction import traceback_text
from octovid_django.refresh import BATCH_SECONDS, next_poll_at, refresh_batch
from octovid_django.wakeup import wake

logger = logging.getLogger(__name__)

LONGEST_WINDOW = 55.0
"""Seconds: just under the minute between two calls of the schedule."""
MARGIN = 5.0
"""Seconds between the last answer that a tick can wait for and django-q2's timeout."""
SHORTEST_NAP, LONGEST_NAP = 0.25, 1.0
"""Seconds. However long nothing falls due, a new task is seen soon."""


def window_seconds() -> float:
    """Return how long a tick lasts: it ends well before django-q2 stops or repeats it."""
    allowed = min(Conf.TIMEOUT or math.inf, Conf.RETRY or math.inf)
    return min(LONGEST_WINDOW, max(1.0, allowed - octovid_settings.TIMEOUT - MARGIN))


def tick() -> None:
    """Refresh and deliver for one window. It never raises: django-q2 would call it for ever."""
    with _guard():
        record_run()
        _tick(time.monotonic() + window_seconds())


def help_out() -> None:
    """Help a tick that has more due than one batch, for one window. It never raises either."""
    with _guard():
        due_at = timezone.now()
        ends_at = time.monotonic() + window_seconds()
        while (left := ends_at - time.monotonic()) > 0:
            if not refresh_batch(due_at, min(left, BATCH_SECONDS)).polled:
                return


@contextmanager
def _guard() -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as error:  # noqa: BLE001  the latter is what django-q2 raises at its timeout
        logger.error("A tick broke off: the next one goes on:\n%s", traceback_text(error))


def _tick(ends_at: float) -> None:
    deliveries = Deliveries()
    has_called_help = False
    while True:
        deliveries.run(ends_at)
        left = ends_at - time.monotonic()
        if left <= 0:
            return
        summary = refresh_batch(timezone.now(), min(left, BATCH_SECONDS))
        if summary.polled >= octovid_settings.BATCH_SIZE and not has_called_help:
            has_called_help = True
            _call_help()
        nap = _seconds_until(next_poll_at(), deliveries.next_at())
        if nap > ends_at - time.monotonic():
            return
        time.sleep(min(max(nap, SHORTEST_NAP), LONGEST_NAP))


def _call_help() -> None:
    """Have as many other workers as there are work on what is more than one batch."""
    waiting = VideoTask.objects.due().count()
    for _ in range(min(math.ceil(waiting / octovid_settings.BATCH_SIZE), Conf.WORKERS - 1)):
        wake("octovid_django.tasks.refresh_backlog")


def _seconds_until(*moments: datetime | None) -> float:
    """How long it is to the first of ``moments``, where there is one."""
    first = min((moment for moment in moments if moment), default=None)
    return max(0.0, (first - timezone.now()).total_seconds()) if first else math.inf
