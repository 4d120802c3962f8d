"""All problems that an operator should know of: with settings, clusters, gateway and tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import InterfaceError, OperationalError
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from octovid_django.cluster import schedules
from octovid_django.cluster.broker import broker_error
from octovid_django.conf import octovid_settings
from octovid_django.delivery import MAX_ATTEMPTS
from octovid_django.exceptions import OctovidSettingsError
from octovid_django.gateway_health import errors, paused, stuck, unreachable
from octovid_django.models import OVERDUE_AFTER, GatewayState, VideoTask, VideoTaskQuerySet
from octovid_django.pause import ACCOUNT
from octovid_django.problem import MAX_COUNTED, Mask, Problem, counted, moment_text, unmasked
from octovid_django.redaction import one_line

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

__all__ = ["MAX_COUNTED", "Problem", "problems"]

START_GRACE = timedelta(seconds=30)
"""How long a cluster takes from its start until it runs its schedules for the first time."""
EXPIRES_SOON = timedelta(hours=1)
_DATABASE_ERRORS = [f": {error.__name__}" for error in (OperationalError, InterfaceError)]
"""How a database error stands in ``delivery_error``, after the name of the receiver."""


def problems(
    tasks: VideoTaskQuerySet | None = None, mask: Mask = unmasked, *, may_quote: bool = True
) -> list[Problem]:
    """Return the present problems, the gravest first; none where all is well.

    Args:
        tasks: Only consider these tasks; by default all.
        mask: Gets each task that is named, and returns what may be shown of it.
        may_quote: Whether to quote what the gateway says in the reason of a pause or an outage:
            it may be about any task.
    """
    if tasks is None:
        tasks = VideoTask.objects.all()
    state = GatewayState.objects.filter(name=ACCOUNT).first() or GatewayState(name=ACCOUNT)
    gateway = unreachable(state, may_quote=may_quote) or paused(state, may_quote=may_quote)
    idle = None if gateway else _overdue(tasks) or _never_ran(state, tasks)
    undelivered = _undelivered(tasks)
    if (idle or undelivered) and (broker := _broker()):
        idle, undelivered = broker, None
    found = [
        *(_settings(), _schedule(), gateway, idle),
        *(_expiring(tasks, mask), _abandoned(tasks), *_retried(tasks, mask), undelivered),
        *(None if gateway else each(state, tasks, mask) for each in (errors, stuck)),
    ]
    return [Problem(each.code, one_line(each.message)) for each in found if each]


def _settings() -> Problem | None:
    try:
        octovid_settings.validate()
    except OctovidSettingsError as error:
        return Problem("settings", str(error))
    return None


def _schedule() -> Problem | None:
    rows = schedules.stored()
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


# Clusters.


def _broker() -> Problem | None:
    error = broker_error()
    if error is None:
        return None
    return Problem(
        "broker",
        _(
            "The broker of django-q2 cannot be reached, so no work gets to the workers: %(error)s. "
            "Once it is back, work goes on by itself."
        )
        % {"error": error.rstrip(".")},
    )


def _never_ran(state: GatewayState, tasks: VideoTaskQuerySet) -> Problem | None:
    now = timezone.now()
    is_by_hand = state.last_response_at and state.last_response_at > now - OVERDUE_AFTER
    if state.last_run_at or is_by_hand or not tasks.due(now - START_GRACE).exists():
        return None
    return Problem(
        "cluster",
        _("Tasks are due, and no cluster has ever run: start “manage.py qcluster”."),
    )


def _overdue(tasks: VideoTaskQuerySet) -> Problem | None:
    message = ngettext_lazy(
        "%(count)d task is overdue: it is not polled. Is the cluster (“manage.py qcluster”) "
        "running?",
        "%(count)d tasks are overdue: they are not polled. Is the cluster (“manage.py qcluster”) "
        "running?",
        "count",
    )
    return counted("overdue", tasks.overdue(), message)


# Delivery.


def _expiring(tasks: VideoTaskQuerySet, mask: Mask) -> Problem | None:
    now = timezone.now()
    at_risk = tasks.undelivered().filter(video_url_expires_at__gt=now).exclude(video_url="")
    at_risk = at_risk.filter(
        Q(video_url_expires_at__lte=now + EXPIRES_SOON)
        | Q(video_url_expires_at__lte=F("next_delivery_at"), delivery_attempts__gt=0)
    )
    count = at_risk.order_by()[:MAX_COUNTED].count()
    if not count:
        return None
    task = mask(at_risk.order_by("video_url_expires_at")[0])
    expires_at = task.video_url_expires_at or now
    values = {"count": count, "task": task.task_id, "at": moment_text(expires_at)}
    if task.next_delivery_at and task.next_delivery_at < expires_at:
        message = ngettext_lazy(
            "The link of %(count)d video expires soon, and its completion is not delivered: "
            "%(task)s, at %(at)s.",
            "The links of %(count)d videos expire soon, and their completions are not delivered: "
            "first that of %(task)s, at %(at)s.",
            "count",
        )
    else:
        message = ngettext_lazy(
            "URGENT: the link of %(count)d video expires before the next attempt to deliver its "
            "completion: %(task)s, at %(at)s. Fix the receiver and resend the signals, or copy "
            "the video.",
            "URGENT: the links of %(count)d videos expire before the next attempts to deliver "
            "their completions: first that of %(task)s, at %(at)s. Fix the receivers and resend "
            "the signals, or copy the videos.",
            "count",
        )
    return Problem("expiring", message % values)


def _retried(tasks: VideoTaskQuerySet, mask: Mask) -> list[Problem | None]:
    """Deliveries that have failed more than once and are retried: by the database, by receivers."""
    failing = tasks.undelivered().filter(
        next_delivery_at__isnull=False,
        delivery_attempts__gte=F("delivery_attempts_before_resend") + 2,
    )
    failing = failing.exclude(delivery_error="")
    by_database = Q(pk__in=[])
    for name in _DATABASE_ERRORS:
        by_database |= Q(delivery_error__contains=name)
    return [
        _failing(
            "database",
            failing.filter(by_database),
            ngettext_lazy(
                "The completion of %(count)d task is not delivered yet, because of the database: "
                "%(error)s (%(task)s, attempt %(attempt)d of %(max)d; next at %(at)s).",
                "The completions of %(count)d tasks are not delivered yet, because of the "
                "database: %(error)s (%(task)s, attempt %(attempt)d of %(max)d; next at %(at)s).",
                "count",
            ),
            mask,
        ),
        _failing(
            "receivers",
            failing.exclude(by_database),
            ngettext_lazy(
                "The completion of %(count)d task is not delivered yet, its receiver failed again: "
                "%(error)s (%(task)s, attempt %(attempt)d of %(max)d; next at %(at)s).",
                "The completions of %(count)d tasks are not delivered yet, their receivers failed "
                "again: %(error)s (%(task)s, attempt %(attempt)d of %(max)d; next at %(at)s).",
                "count",
            ),
            mask,
        ),
    ]


def _failing(
    code: str, failing: VideoTaskQuerySet, message: StrPromise, mask: Mask
) -> Problem | None:
    count = failing.order_by()[:MAX_COUNTED].count()
    if not count:
        return None
    task = mask(failing.order_by("next_delivery_at")[0])
    lines = task.delivery_error.splitlines()
    values = {
        "count": count,
        "error": max(lines, key=lambda line: any(name in line for name in _DATABASE_ERRORS)),
        "task": task.task_id,
        "attempt": task.delivery_attempts - task.delivery_attempts_before_resend,
        "max": MAX_ATTEMPTS,
        "at": moment_text(task.next_delivery_at or timezone.now()),
    }
    return Problem(code, message % values)


def _abandoned(tasks: VideoTaskQuerySet) -> Problem | None:
    message = ngettext_lazy(
        "The delivery of %(count)d completion was abandoned after its last attempt: fix the "
        "receiver, then resend the signals.",
        "The delivery of %(count)d completions was abandoned after their last attempt: fix the "
        "receivers, then resend the signals.",
        "count",
    )
    return counted("abandoned", tasks.abandoned(), message)


def _undelivered(tasks: VideoTaskQuerySet) -> Problem | None:
    late = timezone.now() - OVERDUE_AFTER
    message = ngettext_lazy(
        "%(count)d completion waits to be delivered. Is the cluster (“manage.py qcluster”) "
        "running?",
        "%(count)d completions wait to be delivered. Is the cluster (“manage.py qcluster”) "
        "running?",
        "count",
    )
    waiting = tasks.undelivered().filter(next_delivery_at__lte=late)
    return counted("undelivered", waiting, message)
