"""Problems of the gateway, and of what it reports about the tasks."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Case, Count, IntegerField, Q, Sum, When
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from octovid_django.models import GatewayState, VideoTask, VideoTaskQuerySet
from octovid_django.pause import is_of_these_settings, is_outage, own_words
from octovid_django.problem import MAX_COUNTED, Mask, Problem, length_text, moment_text, span_text

PROBE_GRACE = timedelta(minutes=1)
"""How long the probe after a pause may take until the reason of the pause is outdated."""
SAMPLE = 200
"""How many of the newest completions a task that does not change is compared with."""
STUCK_AFTER = timedelta(minutes=5)
"""A task that has not changed for so long may be stuck, but no sooner than what follows allows."""
STUCK_AFTER_WITHOUT_SAMPLE = timedelta(hours=1)
"""The same, where no task has succeeded yet."""
STUCK_MEDIANS, STUCK_LONGEST = 10, 3
"""How many times the median, and the 95th percentile, of what tasks take."""
A_YEAR = timedelta(days=365)
"""No video takes longer, whatever times the gateway reports."""


def unreachable(state: GatewayState, *, may_quote: bool) -> Problem | None:
    """There is an outage: no poll has a response."""
    if not is_outage(state) or not VideoTask.objects.polled().exists():
        return None
    reason = state.failure_reason if may_quote else own_words(state.failure_reason)
    return Problem(
        "unreachable",
        _(
            "The gateway has not responded for %(time)s: %(reason)s. Check BASE_URL and the "
            "network; polling goes on by itself."
        )
        % {"time": length_text(state.failing_since), "reason": reason.rstrip(".")},
    )


def paused(state: GatewayState, *, may_quote: bool) -> Problem | None:
    """All polling of the account is paused, or its probe has not succeeded yet."""
    until = state.paused_until
    if not (state.pause_count and state.pause_reason and until and is_of_these_settings(state)):
        return None
    if not state.is_paused and not (
        until > timezone.now() - PROBE_GRACE and VideoTask.objects.polled().exists()
    ):
        return None  # the reason is outdated, or no task is polled that could be the probe
    message = _("Polling is paused, the next probe is due at %(until)s: %(reason)s") % {
        "until": moment_text(until),
        "reason": state.pause_reason if may_quote else own_words(state.pause_reason),
    }
    if state.is_rate_limited:
        advice = _("Raise POLL_INTERVAL, lower CONCURRENCY, or have the quota of the key raised.")
        message = f"{message.rstrip('.')}. {advice}"
    return Problem("paused", message)


def errors(state: GatewayState, tasks: VideoTaskQuerySet, mask: Mask) -> Problem | None:
    """The last polls of more than half of the tasks met errors."""
    if state.failing_since:
        return None  # an outage, which is reported as such, or one in a moment
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
        _("Polling most tasks fails, %(failing)d of %(all)d. %(task)s: %(error)s")
        % {**numbers, "task": task.task_id, "error": task.last_error},
    )


def stuck(state: GatewayState, tasks: VideoTaskQuerySet, mask: Mask) -> Problem | None:
    """Tasks have not changed for much longer than tasks take, though polling them succeeds."""
    typical, longest = _task_lengths(tasks)
    limit = STUCK_AFTER_WITHOUT_SAMPLE
    if typical is not None and longest is not None:
        limit = max(
            STUCK_AFTER, min(typical, A_YEAR) * STUCK_MEDIANS, min(longest, A_YEAR) * STUCK_LONGEST
        )
    before = timezone.now() - limit
    is_old = Q(changed_at__lte=before) | Q(changed_at=None, created_at__lte=before)
    # The last poll came that long after the change: an outage alone makes no task stuck.
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
            "%(count)d task may be stuck: %(task)s has been at %(progress)d %% for %(time)s. Check "
            "it at the gateway.",
            "%(count)d tasks may be stuck: %(task)s, for one, has been at %(progress)d %% for "
            "%(time)s. Check them at the gateway.",
            "count",
        )
    else:
        values["typical"] = span_text(typical)
        message = ngettext_lazy(
            "%(count)d task may be stuck: %(task)s has been at %(progress)d %% for %(time)s, while "
            "half of all tasks take no more than %(typical)s. Check it at the gateway.",
            "%(count)d tasks may be stuck: %(task)s, for one, has been at %(progress)d %% for "
            "%(time)s, while half of all tasks take no more than %(typical)s. Check them at the "
            "gateway.",
            "count",
        )
    return Problem("stuck", message % values)


def _task_lengths(tasks: VideoTaskQuerySet) -> tuple[timedelta | None, timedelta | None]:
    """The median and the 95th percentile of how long the newest successes took, with queueing."""
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
