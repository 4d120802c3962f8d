"""The mechanism of every job of a row: claim, own, release, back off.

A job has one column, its timetable and its lease at once. To claim a row is to move that time
ahead: until then no other worker takes the row, and the rows of a worker that was killed fall due
again. What a worker writes is conditional on its lease, so of several workers one writes.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from django.db import connections, models, transaction
from django.utils import timezone

Row = TypeVar("Row", bound=models.Model)


class Job(Generic[Row]):
    """A job that rows have, such as being polled.

    Args:
        column: The name of the column with the time when the job is due; null for never.
    """

    def __init__(self, column: str) -> None:
        self.column = column

    def due(self, rows: models.QuerySet[Row], at: datetime) -> models.QuerySet[Row]:
        """Return those of ``rows`` that are due by a time in UTC, and that nobody has claimed."""
        return rows.filter(**{f"{self.column}__lte": at})

    def next_at(self, rows: models.QuerySet[Row]) -> datetime | None:
        """Return when the first of ``rows`` is due, in UTC; ``None`` for never."""
        waiting = rows.filter(**{f"{self.column}__isnull": False})
        return waiting.order_by(self.column).values_list(self.column, flat=True).first()

    def claim(self, due: models.QuerySet[Row], limit: int, seconds: float) -> list[Row]:
        """Claim rows, in the order that ``due`` has; leave alone what another worker is claiming.

        Args:
            due: Rows that are due, ordered.
            limit: How many to claim at most.
            seconds: How long the lease lasts.

        Returns:
            The rows that this worker has claimed.
        """
        # Without SKIP LOCKED (SQLite), reading and then writing in one transaction invites a
        # deadlock; the update alone is atomic, and its condition decides which worker wins.
        can_skip_locked = connections[due.db].features.has_select_for_update_skip_locked
        candidates = due.select_for_update(skip_locked=True) if can_skip_locked else due
        lease = _lease(seconds)
        with transaction.atomic(using=due.db) if can_skip_locked else nullcontext():
            pks = list(candidates.values_list("pk", flat=True)[:limit])
            due.order_by().filter(pk__in=pks).update(**{self.column: lease})
        mine = due.model._default_manager.using(due.db).filter(**{self.column: lease})
        claimed = mine.in_bulk(pks)
        return [claimed[pk] for pk in pks if pk in claimed]

    def claim_one(self, row: models.QuerySet[Row], seconds: float, **fields: Any) -> Row | None:
        """Claim one row, if it still is as ``row`` says.

        Args:
            row: Selects the row, and says what must hold of it.
            seconds: How long the lease lasts.
            fields: What to write besides.

        Returns:
            The row; ``None`` where another worker has it.
        """
        lease = _lease(seconds)
        if not row.update(**{self.column: lease}, **fields):
            return None
        return row.model._default_manager.using(row.db).filter(**{self.column: lease}).first()

    def take(self, rows: models.QuerySet[Row], seconds: float) -> None:
        """Claim rows that have the job, due or not, from whichever worker has them.

        Args:
            rows: The rows.
            seconds: How long the lease lasts.
        """
        rows.filter(**{f"{self.column}__isnull": False}).update(**{self.column: _lease(seconds)})

    def owned(self, rows: models.QuerySet[Row], claimed: Collection[Row]) -> models.QuerySet[Row]:
        """Return those of ``rows`` that this worker still owns.

        Args:
            rows: All rows.
            claimed: As they were claimed.
        """
        leases = {getattr(row, self.column) for row in claimed} - {None}
        pks = [row.pk for row in claimed]
        return rows.filter(pk__in=pks, **{f"{self.column}__in": leases})

    def release(
        self, rows: models.QuerySet[Row], claimed: Collection[Row], due_at: datetime
    ) -> None:
        """Have rows due again that were claimed, and not worked on.

        Args:
            rows: All rows.
            claimed: As they were claimed.
            due_at: When they are due, in UTC.
        """
        if claimed:
            self.owned(rows, claimed).update(**{self.column: due_at})


def _lease(seconds: float) -> datetime:
    """When a lease expires that begins now; no other is equal."""
    return timezone.now() + timedelta(seconds=seconds + random.random())  # noqa: S311


def backoff(
    failures: int, first: float, growth: float, longest: float, jitter: float = 0.0
) -> timedelta:
    """Return how long to wait before the next attempt.

    Args:
        failures: How many attempts have failed in a row, 1 or more.
        first: Seconds after the first failure.
        growth: By what the wait is multiplied with each further one.
        longest: The most seconds.
        jitter: The part by which the wait may be longer or shorter, so that not all retry at once.
    """
    seconds = min(first * growth ** min(failures - 1, 16), longest)
    return timedelta(seconds=seconds * random.uniform(1 - jitter, 1 + jitter))  # noqa: S311
