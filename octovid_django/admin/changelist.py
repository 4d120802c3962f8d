"""The list where there are a million tasks: nothing in it reads the whole table."""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import label_for_field
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.contrib.admin.widgets import url_params_from_lookup_dict
from django.core.paginator import Paginator
from django.db import DataError
from django.db.models import QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from octovid_django.admin.permissions import asking
from octovid_django.models import VideoTask

if TYPE_CHECKING:
    TaskPaginator = Paginator[VideoTask]
else:
    TaskPaginator = Paginator

MAX_LISTED = 10_000
"""Tasks that are counted and listed. Others are found by filters, dates and search."""

COLUMNS = (
    *("task_id", "status_and_error", "progress_bar", "video_link"),
    *("run_time", "completed", "polls"),
)
KEYS = frozenset(
    f"{name}{lookup}" for name in ("pk", "id", "task_id") for lookup in ("", "__exact")
)
"""By which an address may name a task."""

Period = tuple[int, ...]
"""A year, a month of one, or a day: ``(2026,)``, ``(2026, 4)``, ``(2026, 4, 12)``."""


class BoundedPaginator(TaskPaginator):
    """Counts no further than ``MAX_LISTED``."""

    @cached_property
    def count(self) -> int:
        tasks: QuerySet[VideoTask] = self.object_list  # type: ignore[assignment]
        return tasks.order_by()[:MAX_LISTED].count()

    @property
    def is_cut(self) -> bool:
        """Whether there are tasks, most likely, beyond those that are counted."""
        return self.count >= MAX_LISTED


class TaskChangeList(ChangeList):
    max_listed = MAX_LISTED
    left_out = 0
    """Rows of this page that the user may not view."""

    @property
    def is_cut(self) -> bool:
        """Whether there are tasks, most likely, beyond those that are listed."""
        return self.result_count >= MAX_LISTED

    def get_filters(self, request: HttpRequest) -> Any:
        """Narrow the list only by what its filters, its dates and its keys are.

        By any other lookup it could be guessed what stands in columns that no page shows, and a
        pattern could take the database as long as its sender likes.

        Raises:
            DisallowedModelAdminLookup: The address has another.
            IncorrectLookupParameters: It has what is no column, or a value that no column has.
        """
        lookups = self.get_filters_params()
        if any("\x00" in value for values in lookups.values() for value in values):
            raise IncorrectLookupParameters
        try:
            filters = super().get_filters(request)
        except (ValueError, OverflowError) as error:  # a date that there is not
            raise IncorrectLookupParameters from error
        # Its filters have taken theirs; what is left is the third of what Django returns.
        dates = {f"{self.date_hierarchy}__{each}" for each in (*_PARTS, "gte", "lt")}
        for lookup in lookups.keys() & filters[2].keys() - KEYS - dates:
            if all(self._is_of_a_relation(lookup, value) for value in lookups[lookup]):
                continue
            if lookup.partition(LOOKUP_SEP)[0] in {field.name for field in self.opts.get_fields()}:
                raise DisallowedModelAdminLookup(f"Filtering by {lookup!r} not allowed")
            raise IncorrectLookupParameters
        return filters

    def _is_of_a_relation(self, lookup: str, value: str) -> bool:
        """Whether a field of the site's that points here is limited to it, in its popup."""
        limits = (each() if callable(each) else each for each in self.opts.related_fkey_lookups)
        return any((lookup, value) in url_params_from_lookup_dict(each).items() for each in limits)

    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
        except (ValueError, OverflowError, DataError) as error:  # only once it is queried
            raise IncorrectLookupParameters from error
        if may_view := asking(self.model_admin, request, ["view"]):
            keys = {task.pk: may_view(task) for task in self.result_list}
            self.left_out = len(keys) - sum(keys.values())
            self.result_list = self.queryset.filter(pk__in=[pk for pk in keys if keys[pk]])
        elif set(self.list_display) <= {"action_checkbox", *COLUMNS}:
            self.result_list = self.result_list.defer("metadata")  # which may be large

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Sort by the first of the columns that are requested, as its index does.

        What a date narrows is sorted by date, for the same reason.
        """
        if any(each.startswith(f"{self.date_hierarchy}__") for each in self.params):
            self.params.pop(ORDER_VAR, None)
        ordering = list(super().get_ordering(request, queryset))
        first = ordering[0]
        if self.params.get(ORDER_VAR) and isinstance(first, str):
            return [first, "-pk" if first.startswith("-") else "pk"]
        return ordering

    def date_links(self) -> dict[str, Any] | None:
        """Return what ``admin/date_hierarchy.html`` shows.

        Django's own tag queries the database for the periods, and that reads every row.
        Here they are all those between the first task and the last.
        """
        if not self.date_hierarchy:
            return None
        bounds = self._bounds()
        if bounds is None:
            return None
        chosen = self._chosen()
        period = chosen
        while len(period) < 2 and len(inside := _inside(period, bounds)) == 1:
            period = inside[0]
        choices = [
            {"link": self._link(each), "title": _title(each)} for each in _inside(period, bounds)
        ]
        back = {"link": self._link(chosen[:-1]), "title": _title(chosen[:-1])} if chosen else None
        return {
            "field_name": label_for_field(self.date_hierarchy, self.model, self.model_admin),
            "choices": choices or [{"title": _title(chosen)}],
            "back": back,
        }

    def _bounds(self) -> tuple[date, date] | None:
        name = self.date_hierarchy
        moments = self.root_queryset.filter(**{f"{name}__isnull": False}).values_list(
            name, flat=True
        )
        first, last = moments.order_by(name).first(), moments.order_by(f"-{name}").first()
        if first is None or last is None:
            return None
        return timezone.localdate(first), timezone.localdate(last)

    def _chosen(self) -> Period:
        """The period that the address names; one that is no period is none."""
        parts = (self.params.get(f"{self.date_hierarchy}__{part}") for part in _PARTS)
        period = tuple(int(part) for part in takewhile(bool, parts) if part)
        try:
            _first_day(period)
        except ValueError:
            return ()
        return period

    def _link(self, period: Period) -> str:
        name = f"{self.date_hierarchy}__"
        chosen = {name + part: value for part, value in zip(_PARTS, period, strict=False)}
        return self.get_query_string(chosen, [name])


_PARTS = ("year", "month", "day")


def _inside(period: Period, bounds: tuple[date, date]) -> list[Period]:
    """The next smaller periods in ``period`` that touch what lies between ``bounds``."""
    first, last = (each.timetuple()[: len(period) + 1] for each in bounds)
    if len(period) == len(_PARTS):
        return []
    numbers = {
        0: range(first[0], last[0] + 1),
        1: range(1, 13),
        2: range(1, (monthrange(*period)[1] if len(period) == 2 else 0) + 1),
    }[len(period)]
    return [(*period, number) for number in numbers if first <= (*period, number) <= last]


def _title(period: Period) -> str:
    if not period:
        return _("All dates")
    style = ("Y", "YEAR_MONTH_FORMAT", "MONTH_DAY_FORMAT")[len(period) - 1]
    return date_format(_first_day(period), style)


def _first_day(period: Period) -> date:
    year, month, day = (*period, *(1, 1, 1)[len(period) :])
    return date(year, month, day)
