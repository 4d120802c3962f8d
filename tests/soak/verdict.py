"""What the records of a trial say about the promises. Nothing is run here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.soak.gateway import Poll

FINAL_STATUSES = {"SUCCESS", "FAILURE", "LOST"}


@dataclass(frozen=True)
class Times:
    """Seconds, as the site of a trial is set up."""

    poll_interval: float
    timeout: float
    """``OCTOVID["TIMEOUT"]``"""
    work: float
    """``Q_CLUSTER["timeout"]``"""
    skew: float
    """By which the clocks of two clusters differ at most."""

    @property
    def poll_lease(self) -> float:
        return 20 + self.timeout + 15 + 1

    @property
    def delivery_lease(self) -> float:
        return self.work + 30


@dataclass
class Records:
    """What was recorded during one trial, by the parts that cannot be wrong about it."""

    tracked: set[str] = field(default_factory=set)
    polls: list[Poll] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)
    samples: list[tuple[float, list[dict[str, Any]]]] = field(default_factory=list)
    """All rows, at moments in Unix time; the last when all was settled."""
    poisoned: set[str] = field(default_factory=set)
    """Tasks about which the gateway always responds 403 or 404; not in ``tracked``."""
    pause_reasons: set[str] = field(default_factory=set)
    killed: set[int] = field(default_factory=set)
    outages: list[tuple[float, float]] = field(default_factory=list)


Run = dict[tuple[str, str], float]
"""When the receivers of each signal began and finished, in one attempt at one task."""


@dataclass
class Verdict:
    """Numbers of tasks or runs, and every broken promise in one line each."""

    tasks: int
    completions: int
    attempts: int
    deliveries: int
    """Attempts in which every receiver finished."""
    doubles: int
    """Of these, what came after the first of its task."""
    losses: list[str]
    stuck: list[str]
    broken: list[str]

    @property
    def is_good(self) -> bool:
        return not (self.losses or self.stuck or self.broken)


def judge(records: Records, times: Times) -> Verdict:
    """Return what ``records`` say about a trial of a site with these ``times``."""
    runs = _runs(records)
    whole = [key for key, run in runs.items() if _is_whole(run)]
    rows = {row["task_id"]: row for row in records.samples[-1][1]}
    return Verdict(
        tasks=len(records.tracked),
        completions=len(
            {task_id for task_id, row in rows.items() if row["completed_at"]}
            | {task_id for task_id, _ in runs}
        ),
        attempts=len(runs),
        deliveries=len(whole),
        doubles=len(whole) - len({task_id for task_id, _ in whole}),
        losses=list(_losses(records, rows, runs)),
        stuck=list(_stuck(records, rows)),
        broken=[
            *_wrong_runs(records, runs),
            *_needless_doubles(records, runs),
            *_polled_twice(records, times),
            *_polled_after_completion(records, rows, times),
            *_long_leases(records, times),
            *_unshared(records),
            *_poisoned(records, rows, times),
        ],
    )


def _runs(records: Records) -> dict[tuple[str, int], Run]:
    runs: dict[tuple[str, int], Run] = defaultdict(dict)
    for call in records.received:
        runs[call["task"], call["attempt"]][call["signal"], call["what"]] = call["at"]
    return runs


def _is_whole(run: Run) -> bool:
    done = {signal for signal, what in run if what == "done"}
    return "video_completed" in done and len(done) == 2


def _losses(
    records: Records, rows: dict[str, dict[str, Any]], runs: dict[tuple[str, int], Run]
) -> Iterator[str]:
    for task_id in records.tracked:
        row = rows.get(task_id)
        if row is None:
            if not task_id.startswith("deletes") or (task_id, 1) not in runs:
                yield f"{task_id} is gone, and no receiver deleted it"
        elif row["delivered_at"] and not _is_whole(
            runs.get((task_id, row["delivery_attempts"]), {})
        ):
            yield f"{task_id} is marked as delivered, but its receivers did not finish: {row}"


def _stuck(records: Records, rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    for task_id, row in rows.items():
        if task_id in records.poisoned:
            continue
        if row["status"] not in FINAL_STATUSES:
            yield f"{task_id} has not completed: {row}"
        elif not row["delivered_at"]:
            yield f"the completion of {task_id} is not delivered: {row}"
        elif row["next_poll_at"] or row["next_delivery_at"]:
            yield f"{task_id} is finished, and yet due for a poll or a delivery: {row}"


def _wrong_runs(records: Records, runs: dict[tuple[str, int], Run]) -> Iterator[str]:
    begun = Counter(
        (call["task"], call["attempt"], call["signal"])
        for call in records.received
        if call["what"] == "begun"
    )
    yield from (
        f"delivered twice as the same attempt: {call}" for call, n in begun.items() if n > 1
    )
    owners = defaultdict(set)
    for call in records.received:
        owners[call["task"]].add(call["completed_at"])
    yield from (
        f"{task_id} has completed twice" for task_id, times in owners.items() if len(times) > 1
    )
    last: dict[str, int] = {}
    for call in records.received:
        if call["attempt"] < last.get(call["task"], 0):
            yield f"an earlier attempt after a later one: {call}"
        last[call["task"]] = call["attempt"]
    for (task_id, attempt), run in runs.items():
        order = [signal for signal, what in run if what == "begun"]
        if order[0] == "video_completed":
            yield f"attempt {attempt} at {task_id} ran video_completed before its outcome"


def _needless_doubles(records: Records, runs: dict[tuple[str, int], Run]) -> Iterator[str]:
    """Attempts after a whole one, where no fault kept its worker from recording it."""
    workers = {(call["task"], call["attempt"]): call["pid"] for call in records.received}
    for (task_id, attempt), run in runs.items():
        if not _is_whole(run) or not any(
            other > attempt for each, other in runs if each == task_id
        ):
            continue
        if task_id.startswith("vanishes") and attempt == 1:
            continue
        done_at = max(run.values())
        is_cut = any(begin - 1 <= done_at <= end for begin, end in records.outages)
        if workers[task_id, attempt] not in records.killed and not is_cut:
            yield f"{task_id} was delivered again after attempt {attempt}, which was whole"


def _polled_twice(records: Records, times: Times) -> Iterator[str]:
    earlier: dict[str, Poll] = {}
    for poll in sorted(records.polls, key=lambda each: each.polled_at):
        before = earlier.get(poll.task_id)
        earlier[poll.task_id] = poll
        if before is None:
            continue
        over_at = min(before.responded_at, before.polled_at + times.timeout)
        # The shortest backoff there is.
        pause = 0.8 * times.poll_interval - times.skew
        if poll.polled_at < over_at + pause:
            yield f"polled twice within one lease: {before}, {poll}"


def _polled_after_completion(
    records: Records, rows: dict[str, dict[str, Any]], times: Times
) -> Iterator[str]:
    for poll in records.polls:
        completed_at = rows.get(poll.task_id, {}).get("completed_at")
        if completed_at and poll.polled_at > completed_at + times.skew:
            yield f"polled after its completion: {poll}"


def _long_leases(records: Records, times: Times) -> Iterator[str]:
    for at, rows in records.samples:
        for row in rows:
            backoff = times.poll_interval * 2 ** max(0, row["error_count"] - 1) * 1.2
            delivery_pause = 15 * 4 ** max(0, row["delivery_attempts"] - 1)
            for name, longest in (
                ("next_poll_at", max(times.poll_lease, backoff)),
                ("next_delivery_at", max(times.delivery_lease, delivery_pause)),
            ):
                ahead = (row[name] or at) - at
                if ahead > longest + times.skew:
                    yield f"{name} of {row['task_id']} is {ahead:.0f} s ahead: {row}"


def _poisoned(records: Records, rows: dict[str, dict[str, Any]], times: Times) -> Iterator[str]:
    """A poisoned task has its error, backs off, does not complete, and pauses no account."""
    for reason in sorted(records.pause_reasons):
        if "403" in reason or "404" in reason:
            yield f"one task has paused the account: {reason}"
    for task_id in sorted(records.poisoned):
        row = rows.get(task_id)
        if row is None or row["status"] in FINAL_STATUSES:
            yield f"{task_id} has completed: {row}"
        elif not (row["poll_count"] and row["last_error"]):
            yield f"{task_id} does not have its error: {row}"
        polled_at = [each.polled_at for each in records.polls if each.task_id == task_id]
        if len(polled_at) > 10 and (
            max(polled_at) - min(polled_at) < 2 * times.poll_interval * (len(polled_at) - 1)
        ):
            yield f"{task_id} does not back off: {len(polled_at)} polls"


def _unshared(records: Records) -> Iterator[str]:
    if len({poll.cluster for poll in records.polls}) < 2:
        yield "one cluster has done all the work"
