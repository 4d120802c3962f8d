"""The judge of ``tox -e soak``: each promise that is broken in the records is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.soak.gateway import Poll
from tests.soak.verdict import Records, Times, Verdict, judge

TIMES = Times(poll_interval=3, timeout=2, work=20, skew=2)
NOW = 1_776_011_700.0


def row(task_id: str, **values: Any) -> dict[str, Any]:
    completion = {"status": "SUCCESS", "completed_at": NOW, "delivered_at": NOW + 2}
    times = {"next_poll_at": None, "next_delivery_at": None}
    return {
        "task_id": task_id,
        **completion,
        **times,
        "error_count": 0,
        "delivery_attempts": 1,
        **values,
    }


def run(task_id: str, attempt: int = 1, at: float = NOW + 1, **values: Any) -> list[dict[str, Any]]:
    """All that the receivers record in one attempt."""
    call = {"task": task_id, "attempt": attempt, "completed_at": NOW, "pid": 7, "at": at, **values}
    return [
        {**call, "signal": signal, "what": what}
        for signal in ("video_succeeded", "video_completed")
        for what in ("begun", "done")
    ]


def poll(task_id: str, at: float, cluster: str = "cluster-1", **values: Any) -> Poll:
    return replace(Poll(task_id, cluster, at, at + 0.1, None), **values)


@pytest.fixture
def records() -> Records:
    """Of a trial in which two clusters completed two tasks, and nothing was wrong."""
    return Records(
        tracked={"well-1", "well-2"},
        polls=[
            poll("well-1", NOW - 9),
            poll("well-1", NOW - 1, "cluster-2"),
            poll("well-2", NOW - 1),
        ],
        received=run("well-1") + run("well-2"),
        samples=[(NOW + 60, [row("well-1"), row("well-2")])],
    )


def test_verdict_on_good_trial_is_good(records: Records) -> None:
    verdict = judge(records, TIMES)

    assert verdict == Verdict(2, 2, 2, 2, 0, [], [], [])
    assert verdict.is_good


def change_row(**values: Any) -> Callable[[Records], object]:
    return lambda records: records.samples[-1][1][0].update(values)


def add_polls(*polls: Poll) -> Callable[[Records], object]:
    return lambda records: records.polls.extend(polls)


def add_calls(*calls: dict[str, Any]) -> Callable[[Records], object]:
    return lambda records: records.received.extend(calls)


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        ("gone", lambda records: records.samples[-1][1].pop()),
        ("receivers did not finish", lambda records: records.received.pop()),
        ("receivers did not finish", lambda records: records.received.clear()),
        ("receivers did not finish", change_row(delivery_attempts=2)),
    ],
)
def test_verdict_finds_lost_completion(
    records: Records, what: str, spoil: Callable[[Records], object]
) -> None:
    spoil(records)

    (loss,) = judge(records, TIMES).losses[:1]
    assert what in loss


@pytest.mark.parametrize(
    "values",
    [
        {"status": "IN_PROGRESS", "completed_at": None, "delivered_at": None},
        {"delivered_at": None},
        {"next_poll_at": NOW},
        {"next_delivery_at": NOW + 70},
    ],
)
def test_verdict_finds_stuck_task(records: Records, values: dict[str, Any]) -> None:
    change_row(**values)(records)

    (stuck,) = judge(records, TIMES).stuck
    assert "well-1" in stuck


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        ("delivered twice as the same attempt", add_calls(*run("well-1", pid=8))),
        ("delivered again", add_calls(*run("well-1", 2, NOW + 20))),
        ("earlier attempt after a later", add_calls(*run("well-1", 3), *run("well-1", 2))),
        ("has completed twice", add_calls(*run("well-1", 2, NOW + 20, completed_at=NOW + 9))),
        ("before its outcome", add_calls(*reversed(run("well-1", 2, NOW + 20)))),
        ("polled twice", add_polls(poll("well-1", NOW - 8.8))),
        ("polled twice", add_polls(poll("well-1", NOW - 9.1, responded_at=NOW - 8.9))),
        ("polled after its completion", add_polls(poll("well-1", NOW + 10))),
        ("s ahead", change_row(next_poll_at=NOW + 60 + 45)),
        ("s ahead", change_row(next_delivery_at=NOW + 60 + 55)),
        ("all the work", lambda records: records.polls.pop(1)),
    ],
)
def test_verdict_finds_broken_promise(
    records: Records, what: str, spoil: Callable[[Records], object]
) -> None:
    spoil(records)

    assert any(what in line for line in judge(records, TIMES).broken)


class TestPoisonedTask:
    @pytest.fixture(autouse=True)
    def poisoned(self, records: Records) -> dict[str, Any]:
        """A task that meets 403 at every poll, ever less often."""
        records.poisoned.add("poison403-1")
        records.polls += [poll("poison403-1", NOW - 2**n) for n in range(1, 6)]
        poisoned = row("poison403-1", status="NOT_START", completed_at=None, delivered_at=None)
        poisoned |= {"poll_count": 5, "last_error": "403", "next_poll_at": NOW + 70}
        records.samples[-1][1].append(poisoned)
        return poisoned

    def test_poisoned_task_that_backs_off_is_good(self, records: Records) -> None:
        assert judge(records, TIMES).is_good

    def test_poisoned_task_that_pauses_account_is_found(self, records: Records) -> None:
        records.pause_reasons |= {"", "the gateway responded 403 Forbidden"}

        assert "paused the account" in judge(records, TIMES).broken[0]

    @pytest.mark.parametrize(
        ("values", "what"),
        [
            ({"status": "LOST"}, "has completed"),
            ({"poll_count": 0}, "does not have its error"),
            ({"last_error": ""}, "does not have its error"),
        ],
    )
    def test_poisoned_task_that_completes_or_has_no_error_is_found(
        self, records: Records, poisoned: dict[str, Any], values: dict[str, Any], what: str
    ) -> None:
        poisoned |= values

        assert any(what in line for line in judge(records, TIMES).broken)

    def test_poisoned_task_without_backoff_is_found(self, records: Records) -> None:
        records.polls += [poll("poison403-1", NOW + 3 * n) for n in range(12)]

        assert any("does not back off" in line for line in judge(records, TIMES).broken)


@pytest.mark.parametrize(
    "excuse",
    [
        lambda records: records.killed.add(7),
        lambda records: records.outages.append((NOW - 5, NOW + 15)),
    ],
)
def test_second_delivery_after_kill_or_outage_is_allowed(
    records: Records, excuse: Callable[[Records], object]
) -> None:
    add_calls(*run("well-1", 2, NOW + 20))(records)
    change_row(delivery_attempts=2)(records)
    excuse(records)

    verdict = judge(records, TIMES)
    assert verdict.is_good
    assert (verdict.deliveries, verdict.doubles) == (3, 1)


def test_second_delivery_after_vanished_worker_is_allowed(records: Records) -> None:
    records.tracked.add("vanishes-1")
    records.samples[-1][1].append(row("vanishes-1", delivery_attempts=2))
    add_calls(*run("vanishes-1"), *run("vanishes-1", 2, NOW + 60))(records)

    assert judge(records, TIMES).is_good


def test_row_deleted_by_its_receiver_is_allowed(records: Records) -> None:
    records.tracked.add("deletes-1")
    add_calls(*run("deletes-1"))(records)

    assert judge(records, TIMES).is_good
