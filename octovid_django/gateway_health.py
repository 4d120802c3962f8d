"""What is wrong with the gateway, or with what it reports of the tasks."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Case, Count, IntegerField, Q, Sum, When
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from octovid_django.models import GatewayState, VideoTask, VideoTaskQuerySet
from octovid_django.pause import is_of_these_settings, is_outage
from octovid_django.problem import MAX_COUNTED, Mask, Problem, length_text, moment_text, span_text

PROBE_GRACE = timedelta(minutes=1)
"""How long after a pause its probe may take until the pause's reason is history."""
SAMPLE = 200
"""Completions, the newest, that a task which does not change is measured against."""
STUCK_AFTER = timedelta(minutes=5)
"""At least; many times what the site's tasks take, and where none has completed:"""
A_YEAR = timedelta(days=365)
"""No video takes longer, whatever times the gateway sends."""
STUCK_AFTER_WITHOUT_SAMPLE = timedelta(hours=1)
STUCK_MEDIANS, STUCK_LONGEST = 10, 3
"""How often the median, and the 95th percentile, of what tasks take."""


def unreachable(state: GatewayState) -> Problem | None:
    if not is_outage(state) or not VideoTask.objects.polled().exists():
        return None
    return Problem(
        "unreachable",
        _(
            "There has been no response for %(time)s: %(reason)s. Check BASE_URL and the network; "
            "polling goes on by itself."
        )
        % {"time": length_text(state.failing_since), "reason": state.failure_reason.rstrip(".")},
    )


def paused(state: GatewayState) -> Problem | None:
    until = state.paused_until
    if not (state.pause_count and state.pause_reason and until and is_of_these_settings(state)):
        return None
    if not state.is_paused and not (
        until > timezone.now() - PROBE_GRACE and VideoTask.objects.polled().exists()
    ):
        return None  # what it came by is history, or nothing is polled that could end it
    message = _("Polling is paused, the next try is due at %(until)s: %(reason)s") % {
        "until": moment_text(until),
        "reason": state.pause_reason,
    }
    if state.is_rate_limited:
        advice = _("Raise POLL_INTERVAL, lower CONCURRENCY, or have the quota of the key raised.")
        message = f"{message.rstrip('.')}. {advice}"
    return Problem("paused", message)


def errors(state: GatewayState, tasks: VideoTaskQuerySet, mask: Mask) -> Problem | None:
    if state.failing_since:
        return None  # an outage, or over in a moment
    is_failing = Q(error_count__gte=2)
    by_next_poll = tasks.polled().order_by("next_poll_at")
    numbers = by_next_poll.values("error_count")[:MAX_COUNTED].aggregate(
        all=Count("*"),
        failing=Sum(Case(When(is_failing, then=1), default=0, output_field=IntegerField())),
    )
    if not numbers["failing"] or 2 * numbers["failing"] <= numbers["all"]:
        return None
    task = by_next_poll.filter(is_failing).first()
    if task is None:
        return None
    task = mask(task)
    return Problem(
        "errors",
        _("Most tasks meet errors, %(failing)d of %(all)d. %(task)s: %(error)s")
        % {**numbers, "task": task.task_id, "error": task.last_error},
    )


def stuck(state: GatewayState, tasks: VideoTaskQuerySet, mask: Mask) -> Problem | None:
    typical, longest = _task_lengths(tasks)
    limit = STUCK_AFTER_WITHOUT_SAMPLE
    if typical is not None and longest is not None:
        limit = max(
            STUCK_AFTER, min(typical, A_YEAR) * STUCK_MEDIANS, min(longest, A_YEAR) * STUCK_LONGEST
        )
    before = timezone.now() - limit
    is_old = Q(changed_at__lte=before) | Q(changed_at=None, created_at__lte=before)
    # What the gateway said last was said long after, and not just before an outage.
    since = Coalesce("changed_at", "created_at")
    stuck = tasks.polled().filter(is_old, error_count=0, poll_count__gt=0)
    stuck = stuck.filter(polled_at__gte=since + limit)
    count = stuck.order_by()[:MAX_COUNTED].count()
    if not count:
        return None
    task = mask(stuck.order_by("next_poll_at")[0])
    values = {
        "count": count,
        "task": task.task_id,
        "progress": task.progress,
        "time": length_text(task.changed_at or task.created_at),
    }
    if typical is None:
        message = ngettext_lazy(
            "%(count)d task has not changed for long: %(task)s, at %(progress)d %% for %(time)s. "
            "Look at it at the gateway.",
            "%(count)d tasks have not changed for long, one is %(task)s, at %(progress)d %% for "
            "%(time)s. Look at them at the gateway.",
            "count",
        )
    else:
        values["typical"] = span_text(typical)
        message = ngettext_lazy(
            "%(count)d task has not changed for long: %(task)s, at %(progress)d %% for %(time)s, "
            "where half of all take no more than %(typical)s. Look at it at the gateway.",
            "%(count)d tasks have not changed for long, one is %(task)s, at %(progress)d %% for "
            "%(time)s, where half of all take no more than %(typical)s. Look at them at the "
            "gateway.",
            "count",
        )
    return Problem("stuck", message % values)


def _task_lengths(tasks: VideoTaskQuerySet) -> tuple[timedelta | None, timedelta | None]:
    """The median and the 95th percentile of what the newest videos took, waiting included."""
    newest = tasks.filter(completed_at__isnull=False).order_by("-completed_at")
    columns = ("status", "submitted_at", "created_at", "finished_at", "completed_at")
    lengths = sorted(
        max((finished_at or completed_at) - (submitted_at or created_at), timedelta(0))
        for status, submitted_at, created_at, finished_at, completed_at in newest.values_list(
            *columns
        )[:SAMPLE]
        if status == "SUCCESS"
    )
    if not lengths:
        return None, None
    return lengths[len(lengths) // 2], lengths[len(lengths) * 95 // 100]
