"""What a problem is, and how its text shows numbers and times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from octovid_django.models import VideoTask

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

MAX_COUNTED = 10_000
"""The most tasks that are counted: more of them make no difference to what is to be done."""


Mask = Callable[[VideoTask], VideoTask]
"""Takes the id and the errors from a task that a reader may not know of."""


def unmasked(task: VideoTask) -> VideoTask:
    return task


@dataclass(frozen=True)
class Problem:
    """One problem, for operators and for programs."""

    code: str
    """A stable word for programs.

    - ``settings``: a setting is missing or wrong.
    - ``database``: the database cannot be reached (in ``octovid_status`` only), or completions are
      not delivered because of it.
    - ``broker``: django-q2's broker cannot be reached, so no work reaches a cluster.
    - ``schedule``: the schedule is missing or switched off.
    - ``unreachable``: the gateway does not respond.
    - ``paused``: all polling of the account is paused, by an error with scope account.
    - ``errors``: polling most tasks fails.
    - ``cluster``: tasks are due, and no cluster has ever run.
    - ``overdue``: tasks are not polled.
    - ``expiring``: links expire before their completion is delivered.
    - ``abandoned``: completions whose last delivery attempt has failed.
    - ``receivers``: completions whose receivers have failed more than once, and are retried.
    - ``undelivered``: completions that no cluster delivers.
    - ``stuck``: tasks that have not changed for long.
    """
    message: str
    """What is wrong and what to do, in one line, in the active language."""


def counted(code: str, tasks: QuerySet[VideoTask], message: StrPromise) -> Problem | None:
    """Return the problem that there are such tasks, ``None`` where there are none.

    Args:
        code: Of the problem.
        tasks: Those that have it.
        message: Its text, with ``%(count)d``.
    """
    count = tasks.order_by()[:MAX_COUNTED].count()
    return Problem(code, message % {"count": count}) if count else None


def moment_text(moment: datetime) -> str:
    """Return a time, in the current time zone: of the day within the hour, else with the date."""
    local = timezone.localtime(moment)
    if abs(moment - timezone.now()) < timedelta(hours=1):
        return f"{local:%H:%M:%S}"
    return date_format(local, "DATETIME_FORMAT")


def length_text(since: datetime | None) -> str:
    """Return how long ago ``since`` is, in minutes or hours."""
    return span_text(max(timezone.now() - since, timedelta(minutes=1))) if since else ""


def span_text(span: timedelta) -> str:
    """Return a length of time in seconds, minutes or hours."""
    minutes = int(span.total_seconds() // 60)
    if minutes < 1:
        return _("%(number)d s") % {"number": span.total_seconds()}
    if minutes < 120:
        return _("%(number)d min") % {"number": minutes}
    return _("%(number)d h") % {"number": minutes // 60}
