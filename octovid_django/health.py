"""What is wrong, for those who must hear of it before their customers do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy
from django_q.models import Schedule

from octovid_django import schedules
from octovid_django.conf import octovid_settings
from octovid_django.exceptions import OctovidSettingsError
from octovid_django.models import OVERDUE_AFTER, GatewayState, VideoTask, VideoTaskQuerySet
from octovid_django.pause import ACCOUNT

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


MAX_COUNTED = 10_000
"""Tasks that are counted; whether there are more makes no difference to what is to be done."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong."""

    code: str
    """A stable word for programs: ``settings``, ``schedule``, ``paused``, ``overdue``,
    ``abandoned`` or ``undelivered``."""
    message: str
    """What it is and what to do, in one line, in the active language."""


def problems(tasks: VideoTaskQuerySet | None = None) -> list[Problem]:
    """Return what is wrong now, the gravest first; nothing is what it should be.

    Args:
        tasks: Whose tasks to look at; all where it is not given.
    """
    if tasks is None:
        tasks = VideoTask.objects.all()
    found = [
        *(_settings(), _schedule(), _paused() or _overdue(tasks)),
        *(_abandoned(tasks), _undelivered(tasks)),
    ]
    return [problem for problem in found if problem]


def _settings() -> Problem | None:
    try:
        octovid_settings.validate()
    except OctovidSettingsError as error:
        return Problem("settings", str(error))
    return None


def _schedule() -> Problem | None:
    rows = Schedule.objects.filter(name=schedules.NAME)
    if not rows.exists():
        return Problem(
            "schedule",
            _("There is no schedule “%(name)s”: run “manage.py migrate”.")
            % {"name": schedules.NAME},
        )
    if not rows.exclude(repeats=0).exists():
        return Problem(
            "schedule",
            _("The schedule “%(name)s” is switched off: set its repeats to -1.")
            % {"name": schedules.NAME},
        )
    return None


def _paused() -> Problem | None:
    state = GatewayState.objects.filter(name=ACCOUNT).first()
    if state is None or not state.pause_count or not state.paused_until:
        return None
    is_any_polled = VideoTask.objects.tracked().exists()
    if not state.is_paused and not is_any_polled:
        return None  # there is nothing to ask that could end the pause
    until = date_format(timezone.localtime(state.paused_until), "DATETIME_FORMAT")
    return Problem(
        "paused",
        _("Polling is paused, the next try is due at %(until)s: %(reason)s")
        % {"until": until, "reason": state.pause_reason},
    )


def _overdue(tasks: VideoTaskQuerySet) -> Problem | None:
    message = ngettext_lazy(
        "%(count)d task is overdue: nothing refreshes. Is “manage.py qcluster” running?",
        "%(count)d tasks are overdue: nothing refreshes. Is “manage.py qcluster” running?",
        "count",
    )
    return _counted("overdue", tasks.overdue(), message)


def _abandoned(tasks: VideoTaskQuerySet) -> Problem | None:
    message = ngettext_lazy(
        "The end of %(count)d task was not delivered: its receivers kept on failing.",
        "The ends of %(count)d tasks were not delivered: their receivers kept on failing.",
        "count",
    )
    return _counted("abandoned", tasks.abandoned(), message)


def _undelivered(tasks: VideoTaskQuerySet) -> Problem | None:
    late = timezone.now() - OVERDUE_AFTER
    message = ngettext_lazy(
        "The end of %(count)d task waits to be delivered. Is “manage.py qcluster” running?",
        "The ends of %(count)d tasks wait to be delivered. Is “manage.py qcluster” running?",
        "count",
    )
    waiting = tasks.undelivered().filter(next_delivery_at__lte=late)
    return _counted("undelivered", waiting, message)


def _counted(code: str, tasks: QuerySet[VideoTask], message: StrPromise) -> Problem | None:
    count = tasks.order_by()[:MAX_COUNTED].count()
    return Problem(code, message % {"count": count}) if count else None
