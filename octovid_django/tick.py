"""A tick: django-q2's scheduler calls once a minute, and a tick fills the time until then.

It goes on refreshing what falls due and delivering what waits, until its window is over or
nothing is left to do in it.
"""

from __future__ import annotations

import logging
import math
import time

from django.utils import timezone
from django_q.conf import Conf

from octovid_django.conf import octovid_settings
from octovid_django.delivery import deliver_waiting, next_delivery_at
from octovid_django.models import VideoTask
from octovid_django.pause import ticked
from octovid_django.refresh import BATCH_SECONDS, next_poll_at, refresh_batch
from octovid_django.wakeup import wake

logger = logging.getLogger(__name__)

LONGEST_WINDOW = 55.0
"""Seconds: just under the minute between two calls of the schedule."""
MARGIN = 5.0
"""Seconds between the last answer that a tick can wait for and django-q2's timeout."""
SHORTEST_NAP, LONGEST_NAP = 0.1, 1.0
"""Seconds. However long nothing falls due, a new task is seen soon."""


def window_seconds() -> float:
    """Return how long a tick lasts: it ends well before django-q2 stops or repeats it."""
    allowed = min(Conf.TIMEOUT or math.inf, Conf.RETRY or math.inf)
    return min(LONGEST_WINDOW, max(1.0, allowed - octovid_settings.TIMEOUT - MARGIN))


def tick() -> None:
    """Refresh and deliver for one window. It never raises: django-q2 would call it for ever."""
    try:
        _tick(time.monotonic() + window_seconds())
    except (Exception, SystemExit):  # the latter is what django-q2 raises at its timeout
        logger.exception("A tick broke off: the next one goes on")


def _tick(ends_at: float) -> None:
    ticked()
    has_called_help = False
    while (left := ends_at - time.monotonic()) > 0:
        deliver_waiting(left)
        summary = refresh_batch(timezone.now(), min(left, BATCH_SECONDS))
        if summary.asked >= octovid_settings.BATCH_SIZE and not has_called_help:
            has_called_help = True
            _call_help()
        nap = _seconds_to_next_work()
        if nap > ends_at - time.monotonic():
            return
        time.sleep(min(max(nap, SHORTEST_NAP), LONGEST_NAP))


def _call_help() -> None:
    """Have as many other workers as there are work on what is more than one batch."""
    waiting = VideoTask.objects.due().count()
    for _ in range(min(math.ceil(waiting / octovid_settings.BATCH_SIZE), Conf.WORKERS - 1)):
        wake("octovid_django.tasks.refresh_backlog")


def _seconds_to_next_work() -> float:
    moments = [moment for moment in (next_poll_at(), next_delivery_at()) if moment]
    return max(0.0, (min(moments) - timezone.now()).total_seconds()) if moments else math.inf
