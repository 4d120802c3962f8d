"""What stands above the list, in numbers. Each is computed by the database, in bounded time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import (
    Case,
    Count,
    DurationField,
    F,
    IntegerField,
    Min,
    Q,
    QuerySet,
    Sum,
    When,
    Window,
)
from django.db.models.functions import Coalesce, CumeDist
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from octovid_django.enums import FINAL_STATUSES, TaskStatus
from octovid_django.health import MAX_COUNTED
from octovid_django.models import VideoTask

SAMPLE = 10_000
"""Ends, the newest of a period, whose generation times are ranked."""
HOURS = 24
"""That the chart goes back."""

_HALF = 2**32
_LOW = F("total_tokens") % _HALF
_HIGH = (F("total_tokens") - _LOW) / _HALF
"""Without a remainder, and not by bits, which Django shifts in floating point on MariaDB."""

PERIODS = {
    "day": (_("24 hours"), timedelta(hours=24)),
    "week": (_("7 days"), timedelta(days=7)),
    "month": (_("30 days"), timedelta(days=30)),
}


@dataclass(frozen=True)
class StatusCount:
    status: TaskStatus
    count: int
    is_cut: bool
    """There are more, which nobody counted."""


@dataclass(frozen=True)
class Completions:
    """The outcomes of the tasks that completed within a period up to now."""

    title: str
    count: int
    succeeded: int
    tokens: int
    median: timedelta | None
    """Of the time that generating took; half of the videos took no longer."""
    percentile_95: timedelta | None

    @property
    def success_rate(self) -> float | None:
        """In percent."""
        return 100 * self.succeeded / self.count if self.count else None


@dataclass(frozen=True)
class Hour:
    """The completions of an hour, by outcome."""

    starts_at: datetime
    counts: Counter[str]


def status_counts(tasks: QuerySet[VideoTask]) -> list[StatusCount]:
    """Count ``tasks`` by status, those that there are."""
    counts = []
    for status in TaskStatus:
        count = tasks.filter(status=status).order_by()[:MAX_COUNTED].count()
        if count:
            counts.append(StatusCount(status, count, count == MAX_COUNTED))
    return counts


def completions(tasks: QuerySet[VideoTask]) -> list[Completions]:
    """Return the outcomes of ``tasks`` that completed within each of ``PERIODS``."""
    starts = {name: now() - length for name, (_title, length) in PERIODS.items()}
    numbers: dict[str, Any] = {}
    for name, start in starts.items():
        is_inside = Q(completed_at__gte=start)
        is_success = is_inside & Q(status=TaskStatus.SUCCESS)
        numbers[f"{name}_count"] = Count("completed_at", filter=is_inside)
        numbers[f"{name}_succeeded"] = Count("completed_at", filter=is_success)
        # In two halves: their sums fit into what a database adds up in, whatever rows hold.
        numbers[f"{name}_high"] = Sum(_HIGH, filter=is_inside)
        numbers[f"{name}_low"] = Sum(_LOW, filter=is_inside)
    ended = tasks.order_by().filter(completed_at__gte=min(starts.values()))
    found = ended.aggregate(**numbers)
    return [
        Completions(
            title=str(PERIODS[name][0]),
            count=found[f"{name}_count"],
            succeeded=found[f"{name}_succeeded"],
            tokens=(found[f"{name}_high"] or 0) * _HALF + (found[f"{name}_low"] or 0),
            **_generation_times(tasks, start),
        )
        for name, start in starts.items()
    ]


def _generation_times(tasks: QuerySet[VideoTask], start: datetime) -> dict[str, timedelta | None]:
    done = tasks.filter(completed_at__gte=start, status=TaskStatus.SUCCESS)
    newest = done.order_by("-completed_at").values_list("completed_at", flat=True)
    for oldest in newest[SAMPLE - 1 : SAMPLE]:
        done = done.filter(completed_at__gte=oldest)
    began_at = Coalesce("started_at", "submitted_at")
    times: dict[str, timedelta | None] = (
        done.order_by()
        .alias(began_at=began_at)
        .filter(finished_at__gte=F("began_at"))
        .values(took=F("finished_at") - F("began_at"))
        .alias(rank=Window(CumeDist(), order_by=F("took").asc()))
        .aggregate(
            median=Min("took", filter=Q(rank__gte=0.5), output_field=DurationField()),
            percentile_95=Min("took", filter=Q(rank__gte=0.95), output_field=DurationField()),
        )
    )
    return times


def completions_per_hour(tasks: QuerySet[VideoTask]) -> list[Hour]:
    """Count the completions of the last ``HOURS`` hours, this one included, by hour and outcome."""
    this_hour = now().replace(minute=0, second=0, microsecond=0)
    hours = [Hour(this_hour - timedelta(hours=ago), Counter()) for ago in reversed(range(HOURS))]
    # Quicker than to truncate each time, which SQLite does in Python and MariaDB by its tables.
    begun = [When(completed_at__gte=hour.starts_at, then=i) for i, hour in enumerate(hours)]
    ended = tasks.order_by().filter(completed_at__gte=hours[0].starts_at)
    by_hour = ended.values(hour=Case(*reversed(begun), output_field=IntegerField()))
    # Not grouped by status as well: SQLite would take the index of that, and read all of it.
    by_outcome = {
        status: Count("completed_at", filter=Q(status=status)) for status in sorted(FINAL_STATUSES)
    }
    for hour, *counts in by_hour.annotate(**by_outcome).values_list("hour", *by_outcome):
        hours[hour].counts.update(dict(zip(by_outcome, counts, strict=True)))
    return hours
