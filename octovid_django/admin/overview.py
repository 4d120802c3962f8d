"""What stands above the list: problems, tasks by status, task outcomes, completions per hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.formats import number_format, time_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from octovid_django.admin import cells, statistics
from octovid_django.admin.filters import EXPIRING, DeliveryFilter, LinkFilter
from octovid_django.enums import TaskStatus
from octovid_django.health import MAX_COUNTED, Problem, problems
from octovid_django.models import VideoTask, VideoTaskQuerySet
from octovid_django.problem import Mask, unmasked

BAR_WIDTH, CHART_HEIGHT = 20, 96
OUTCOMES = (TaskStatus.SUCCESS, TaskStatus.FAILURE, TaskStatus.LOST)
FILTERS = {
    "abandoned": (DeliveryFilter, "abandoned"),
    "undelivered": (DeliveryFilter, "waiting"),
    "expiring": (LinkFilter, "expiring"),
}
"""What shows the tasks that a problem is about, by its code."""


@dataclass(frozen=True)
class Bar:
    """A piece of the chart: the completions of one outcome in one hour, in pixels."""

    outcome: TaskStatus
    x: int
    y: float
    height: float
    title: str


def above(
    tasks: VideoTaskQuerySet,
    filters: Collection[Any],
    mask: Mask = unmasked,
    *,
    may_quote: bool = True,
) -> dict[str, Any]:
    """Return the problems and counts above the list, which ``live.js`` updates with its rows.

    Args:
        tasks: All that the user may see.
        filters: Those that the list has.
        mask: As of ``problems``.
        may_quote: As of ``problems``.
    """

    def query(problem: Problem) -> str | None:
        filter_, value = FILTERS.get(problem.code, (None, ""))
        return f"{filter_.parameter_name}={value}" if filter_ and filter_ in filters else None

    found = problems(tasks, mask, may_quote=may_quote)
    return {
        "problems": [(each, query(each)) for each in (*found, *_expiring(tasks))],
        "counts": [
            (each, cells.tone(each.status), _number(each.count) + ("+" if each.is_cut else ""))
            for each in statistics.status_counts(tasks)
        ],
    }


def history(tasks: QuerySet[VideoTask]) -> dict[str, Any]:
    """Return the outcomes of the latest completions, as a table and as a chart."""
    return {
        "completions": [
            {
                "title": each.title,
                "count": _number(each.count),
                "success_rate": _percent(each.success_rate),
                "median": _duration(each.median),
                "percentile_95": _duration(each.percentile_95),
                "tokens": _number(each.tokens),
            }
            for each in statistics.completions(tasks)
        ],
        "chart": _chart(statistics.completions_per_hour(tasks)),
    }


def _expiring(tasks: QuerySet[VideoTask]) -> list[Problem]:
    now = timezone.now()
    expiring = tasks.filter(
        video_url_expires_at__gt=now, video_url_expires_at__lte=now + EXPIRING
    ).exclude(video_url="")
    count = expiring.order_by()[:MAX_COUNTED].count()
    message = ngettext(
        "The link of %(count)d video expires within the hour: copy the video to keep it.",
        "The links of %(count)d videos expire within the hour: copy the videos to keep them.",
        count,
    )
    return [Problem("expiring", message % {"count": count})] if count else []


def _chart(hours: list[statistics.Hour]) -> dict[str, Any]:
    most = max(hour.counts.total() for hour in hours)
    totals: Counter[str] = sum((hour.counts for hour in hours), Counter())
    bars = []
    for index, hour in enumerate(hours):
        y = float(CHART_HEIGHT)
        for outcome in OUTCOMES:
            if count := hour.counts[outcome]:
                height = CHART_HEIGHT * count / most
                y -= height
                title = f"{_clock_time(hour)}: {_number(count)} {outcome.label}"
                bars.append(Bar(outcome, index * BAR_WIDTH, y, height, title))
    return {
        "width": BAR_WIDTH * len(hours),
        "height": CHART_HEIGHT,
        "bars": bars,
        "most": _number(most),
        "labels": [
            (index * BAR_WIDTH, _clock_time(hour))
            for index, hour in enumerate(hours)
            if index % 6 == 0
        ],
        "legend": [(outcome, _number(totals[outcome])) for outcome in OUTCOMES],
    }


def _clock_time(hour: statistics.Hour) -> str:
    return time_format(timezone.localtime(hour.starts_at), "TIME_FORMAT")


def _number(number: int) -> str:
    return number_format(number, force_grouping=True)


def _percent(rate: float | None) -> str:
    return (
        _("%(number)s %%") % {"number": number_format(round(rate, 1), 1)}
        if rate is not None
        else "–"
    )


def _duration(duration: timedelta | None) -> str:
    return "–" if duration is None else cells.clock(duration)
