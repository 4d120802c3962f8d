"""The mechanism that polling, delivery and the probe after a pause share, shown by polling."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octovid_django.claim import POLLING
from octovid_django.leases import backoff
from octovid_django.models import VideoTask, VideoTaskQuerySet

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)


def rows() -> VideoTaskQuerySet:
    return VideoTask.objects.primary().order_by("next_poll_at")


@pytest.fixture
def tasks() -> list[VideoTask]:
    """Due one after the other, a minute apart, the last of them now."""
    return [
        VideoTask.objects.create(
            task_id=f"t{number}", next_poll_at=NOW - timedelta(minutes=3 - number)
        )
        for number in range(4)
    ]


@pytest.mark.usefixtures("tasks")
class TestClaim:
    def test_claims_longest_due_first_and_at_most_limit(self) -> None:
        claimed = POLLING.claim(POLLING.due(rows(), NOW), 2, 60)

        assert [task.task_id for task in claimed] == ["t0", "t1"]

    def test_claimed_rows_are_not_due_until_lease_expires(self) -> None:
        (task,) = POLLING.claim(POLLING.due(rows(), NOW), 1, 60)

        assert task.next_poll_at
        assert task not in POLLING.due(rows(), task.next_poll_at - timedelta(seconds=1))
        assert task in POLLING.due(rows(), task.next_poll_at)

    def test_two_leases_are_never_equal(self) -> None:
        leases = {POLLING.claim(POLLING.due(rows(), NOW), 1, 60)[0].next_poll_at for _ in range(4)}

        assert len(leases) == 4

    def test_rows_that_are_not_due_are_not_claimed(self) -> None:
        assert POLLING.claim(POLLING.due(rows(), NOW - timedelta(hours=1)), 9, 60) == []

    def test_one_row_is_claimed_once(self, tasks: list[VideoTask]) -> None:
        row = POLLING.due(rows().filter(pk=tasks[0].pk), NOW)

        first, second = POLLING.claim_one(row, 60, progress=7), POLLING.claim_one(row, 60)

        assert first is not None
        assert (first.pk, first.progress) == (tasks[0].pk, 7)
        assert second is None


class TestOwnership:
    def test_only_last_worker_that_claimed_owns_row(self, tasks: list[VideoTask]) -> None:
        (first,) = POLLING.claim(POLLING.due(rows(), NOW), 1, 60)
        POLLING.take(rows(), 60)

        assert not POLLING.owned(rows(), [first]).exists()
        assert POLLING.owned(rows(), list(rows())).count() == len(tasks)

    def test_release_makes_owned_rows_due_and_leaves_others(self, tasks: list[VideoTask]) -> None:
        mine = POLLING.claim(POLLING.due(rows(), NOW), 3, 60)
        POLLING.take(rows().filter(pk=mine[0].pk), 900)

        POLLING.release(rows(), mine, NOW)

        due = POLLING.due(rows(), NOW).values_list("task_id", flat=True)
        assert sorted(due) == ["t1", "t2", "t3"]

    def test_rows_without_job_are_neither_taken_nor_owned(self, tasks: list[VideoTask]) -> None:
        rows().update(next_poll_at=None)
        POLLING.take(rows(), 60)

        assert POLLING.next_at(rows()) is None
        assert not POLLING.owned(rows(), list(rows())).exists()

    def test_next_at_is_when_first_row_is_due(self, tasks: list[VideoTask]) -> None:
        assert POLLING.next_at(rows().order_by("-task_id")) == tasks[0].next_poll_at


@given(st.integers(1, 10_000))
def test_backoff_grows_up_to_its_limit_whatever_the_number_of_failures(failures: int) -> None:
    wait = backoff(failures, first=15, growth=2, longest=300)

    assert wait == timedelta(seconds=min(15 * 2 ** min(failures - 1, 10), 300))
    assert wait * 0.8 <= backoff(failures, 15, 2, 300, jitter=0.2) <= wait * 1.2
