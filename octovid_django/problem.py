"""What a problem is, and the words for numbers and times in one."""

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
"""Tasks that are counted; whether there are more makes no difference to what is to be done."""


Mask = Callable[[VideoTask], VideoTask]
"""Takes the id and the errors from a task that a reader may not know of."""


def unmasked(task: VideoTask) -> VideoTask:
    return task


@dataclass(frozen=True)
class Problem:
    """Something that is wrong."""

    code: str
    """A stable word for programs.

    - ``settings``: one is missing or wrong.
    - ``database``: it cannot be reached (``octovid_status`` alone tells), or completions are not
      delivered because it fails.
    - ``broker``: django-q2's cannot be reached, so no work reaches a cluster.
    - ``schedule``: there is none, or it is switched off.
    - ``unreachable``: the gateway gives no response.
    - ``paused``: the account's polling is, by an error of the account's.
    - ``errors``: most tasks meet errors.
    - ``cluster``: none has ever run, and a task waits.
    - ``overdue``: tasks are not polled.
    - ``expiring``: links expire before their completion is delivered.
    - ``abandoned``: completions whose last delivery attempt has failed.
    - ``receivers``: completions whose receivers have failed more than once, and are retried.
    - ``undelivered``: completions that no cluster delivers.
    - ``stuck``: tasks that have not changed for long.
    """
    message: str
    """What it is and what to do, in one line, in the active language."""


def counted(code: str, tasks: QuerySet[VideoTask], message: StrPromise) -> Problem | None:
    count = tasks.order_by()[:MAX_COUNTED].count()
    return Problem(code, message % {"count": count}) if count else None


def moment_text(moment: datetime) -> str:
    """A moment; what is within the hour has seconds."""
    local = timezone.localtime(moment)
    if abs(moment - timezone.now()) < timedelta(hours=1):
        return f"{local:%H:%M:%S}"
    return date_format(local, "DATETIME_FORMAT")


def length_text(since: datetime | None) -> str:
    """How long it is since then, in minutes at least."""
    return span_text(max(timezone.now() - since, timedelta(minutes=1))) if since else ""


def span_text(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    if minutes < 1:
        return _("%(number)d s") % {"number": span.total_seconds()}
    if minutes < 120:
        return _("%(number)d min") % {"number": minutes}
    return _("%(number)d h") % {"number": minutes // 60}
