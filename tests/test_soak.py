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
    end = {"status": "SUCCESS", "completed_at": NOW, "delivered_at": NOW + 2}
    times = {"next_poll_at": None, "next_delivery_at": None}
    return {"task_id": task_id, **end, **times, "error_count": 0, "delivery_attempts": 1, **values}


def run(task_id: str, attempt: int = 1, at: float = NOW + 1, **values: Any) -> list[dict[str, Any]]:
    """All that the receivers write down in one attempt."""
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
    """Of a trial in which two clusters brought two tasks to their ends, and nothing was wrong."""
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


def test_a_good_trial_is_good(records: Records) -> None:
    verdict = judge(records, TIMES)

    assert verdict == Verdict(2, 2, 2, 2, 0, [], [], [])
    assert verdict.is_good


def change_row(**values: Any) -> Callable[[Records], object]:
    return lambda records: records.samples[-1][1][0].update(values)


def ask(*polls: Poll) -> Callable[[Records], object]:
    return lambda records: records.polls.extend(polls)


def tell(*calls: dict[str, Any]) -> Callable[[Records], object]:
    return lambda records: records.received.extend(calls)


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        ("gone", lambda records: records.samples[-1][1].pop()),
        ("receivers were not done", lambda records: records.received.pop()),
        ("receivers were not done", lambda records: records.received.clear()),
        ("receivers were not done", change_row(delivery_attempts=2)),
    ],
)
def test_finds_a_loss(records: Records, what: str, spoil: Callable[[Records], object]) -> None:
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
def test_finds_a_task_that_is_stuck(records: Records, values: dict[str, Any]) -> None:
    change_row(**values)(records)

    (stuck,) = judge(records, TIMES).stuck
    assert "well-1" in stuck


@pytest.mark.parametrize(
    ("what", "spoil"),
    [
        ("told twice as the same attempt", tell(*run("well-1", pid=8))),
        ("told again", tell(*run("well-1", 2, NOW + 20))),
        ("earlier attempt after a later", tell(*run("well-1", 3), *run("well-1", 2))),
        ("has ended twice", tell(*run("well-1", 2, NOW + 20, completed_at=NOW + 9))),
        ("before its outcome", tell(*reversed(run("well-1", 2, NOW + 20)))),
        ("asked twice", ask(poll("well-1", NOW - 8.8))),
        ("asked twice", ask(poll("well-1", NOW - 9.1, responded_at=NOW - 8.9))),
        ("asked after the end", ask(poll("well-1", NOW + 10))),
        ("s ahead", change_row(next_poll_at=NOW + 60 + 45)),
        ("s ahead", change_row(next_delivery_at=NOW + 60 + 55)),
        ("all the work", lambda records: records.polls.pop(1)),
    ],
)
def test_finds_another_promise_broken(
    records: Records, what: str, spoil: Callable[[Records], object]
) -> None:
    spoil(records)

    assert any(what in line for line in judge(records, TIMES).broken)


class TestPoisonedRow:
    @pytest.fixture(autouse=True)
    def poisoned(self, records: Records) -> dict[str, Any]:
        """A row that meets 403 for ever, ever less often."""
        records.poisoned.add("poison403-1")
        records.polls += [poll("poison403-1", NOW - 2**n) for n in range(1, 6)]
        poisoned = row("poison403-1", status="NOT_START", completed_at=None, delivered_at=None)
        poisoned |= {"poll_count": 5, "last_error": "403", "next_poll_at": NOW + 70}
        records.samples[-1][1].append(poisoned)
        return poisoned

    def test_that_has_its_error_and_backs_off_is_good(self, records: Records) -> None:
        assert judge(records, TIMES).is_good

    def test_that_pauses_the_account_is_found(self, records: Records) -> None:
        records.pause_reasons |= {"", "the gateway responded with 403 Forbidden"}

        assert "paused the account" in judge(records, TIMES).broken[0]

    @pytest.mark.parametrize(
        ("values", "what"),
        [
            ({"status": "LOST"}, "has ended"),
            ({"poll_count": 0}, "does not have its error"),
            ({"last_error": ""}, "does not have its error"),
        ],
    )
    def test_that_is_not_as_it_should_be_is_found(
        self, records: Records, poisoned: dict[str, Any], values: dict[str, Any], what: str
    ) -> None:
        poisoned |= values

        assert any(what in line for line in judge(records, TIMES).broken)

    def test_that_does_not_back_off_is_found(self, records: Records) -> None:
        records.polls += [poll("poison403-1", NOW + 3 * n) for n in range(12)]

        assert any("does not back off" in line for line in judge(records, TIMES).broken)


@pytest.mark.parametrize(
    "excuse",
    [
        lambda records: records.killed.add(7),
        lambda records: records.outages.append((NOW - 5, NOW + 15)),
    ],
)
def test_lets_an_end_be_told_again_that_could_not_be_recorded(
    records: Records, excuse: Callable[[Records], object]
) -> None:
    tell(*run("well-1", 2, NOW + 20))(records)
    change_row(delivery_attempts=2)(records)
    excuse(records)

    verdict = judge(records, TIMES)
    assert verdict.is_good
    assert (verdict.deliveries, verdict.doubles) == (3, 1)


def test_lets_a_receiver_vanish_with_its_worker(records: Records) -> None:
    records.tracked.add("vanishes-1")
    records.samples[-1][1].append(row("vanishes-1", delivery_attempts=2))
    tell(*run("vanishes-1"), *run("vanishes-1", 2, NOW + 60))(records)

    assert judge(records, TIMES).is_good


def test_lets_a_receiver_delete_its_row(records: Records) -> None:
    records.tracked.add("deletes-1")
    tell(*run("deletes-1"))(records)

    assert judge(records, TIMES).is_good
