"""One site on one database and one broker, its clusters, and the faults that they meet."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import Site, wait_for
from tests.soak.gateway import POISONS, SoakGateway
from tests.soak.servers import Server
from tests.soak.site import new_site
from tests.soak.supervisor import CLOCKS_AHEAD, KILLS, Supervisor
from tests.soak.verdict import FINAL_STATUSES, Records, Times, Verdict, judge

TIMES = Times(poll_interval=3, timeout=2, work=20, skew=max(CLOCKS_AHEAD) - min(CLOCKS_AHEAD))
RETRY = 25
"""Seconds until django-q2's ORM broker hands out again what no worker has acknowledged."""
MISCHIEF = {"well": 78, "raises": 6, "stale": 6, "deletes": 4, "dies": 3, "vanishes": 2, "hangs": 1}
"""What receivers do, and how often."""
FIRST_TASKS = 80
"""Tracked at once; after them one more every second."""
WAKE_INTERVAL = 5.0
HUNG_AFTER = 45.0
"""Seconds without a polling run until a supervisor's health check restarts clusters."""
DATABASE_OUTAGE, LOCK, BROKER_OUTAGE = 20.0, 8.0, 10.0


@dataclass(frozen=True)
class Plan:
    """How long, and how much."""

    chaos_seconds: float
    settle_seconds: float
    kills: int


@dataclass
class Outcome:
    """What a trial was, and what its records say."""

    name: str
    clusters: int
    faults: Counter[str]
    verdict: Verdict
    settled_after: float
    """Seconds from the last fault to the last delivery."""


class Storefront:
    """The site's web process."""

    def __init__(self, site: Site) -> None:
        self._log = (site.path / "storefront.log").open("wb")
        self._process = site.start("storefront", stderr=self._log)

    def __call__(self, name: str, *arguments: Any) -> Any:
        """Call one of its methods, and return the result."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        stdin.write(json.dumps([name, *arguments]).encode() + b"\n")
        stdin.flush()
        return json.loads(stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()


class Trial:
    """Runs once.

    Args:
        name: What it is called in the table.
        path: An empty directory.
        database: Of the site.
        broker: Of the site's clusters.
        seed: Of all that is random.
    """

    def __init__(self, name: str, path: Path, database: Server, broker: Server, seed: str) -> None:
        self.name = name
        self._path = path
        self._database, self._broker = database, broker
        self._rng = random.Random(seed)
        self._gateway_rng = random.Random(f"{seed} gateway")
        self._records = Records()
        self._faults: Counter[str] = Counter()
        self._outages: list[threading.Thread] = []
        self._tended_at = 0.0
        self._run_noticed_at = 0.0
        """When a new polling run was last noticed, which had begun at:"""
        self._last_run_at: float | None = None
        self._is_stopped = False

    def stop(self) -> None:
        """Stop at once, whatever is left to happen."""
        self._is_stopped = True

    def run(self, plan: Plan) -> Outcome:
        """Let everything happen, let it settle, and judge."""
        with ExitStack() as stack:
            self._gateway = SoakGateway(self._gateway_rng)
            stack.callback(self._gateway.close)
            site = new_site(
                self._path,
                self._gateway.url,
                self._database,
                self._broker,
                q_cluster={"workers": 2, "timeout": int(TIMES.work), "retry": RETRY},
                octovid={
                    "POLL_INTERVAL": TIMES.poll_interval,
                    "TIMEOUT": TIMES.timeout,
                    "BATCH_SIZE": 20,  # so that many workers claim at once
                    "CONCURRENCY": 8,
                },
            )
            self._storefront = Storefront(site)
            stack.callback(self._storefront.close)
            environment = self._database.environment | self._broker.environment
            self._supervisor = Supervisor(site, self._rng, environment)
            stack.callback(self._supervisor.stop)
            stack.callback(lambda: [outage.join() for outage in self._outages])

            self._supervisor.add(2)
            self._let_happen(self._events(plan), plan.chaos_seconds)
            quiet_at = time.monotonic()
            self._settle(plan.settle_seconds)
            settled_after = time.monotonic() - quiet_at
        self._records.polls = self._gateway.polls
        self._records.killed = self._supervisor.killed
        self._records.received = site.received()
        return Outcome(
            self.name,
            len(CLOCKS_AHEAD),
            self._faults + self._supervisor.faults + self._gateway.faults,
            judge(self._records, TIMES),
            settled_after,
        )

    # What happens.

    def _events(self, plan: Plan) -> list[tuple[float, Callable[[], Any]]]:
        """What happens when, in seconds from the start."""
        rng, end = self._rng, plan.chaos_seconds
        kinds = [KILLS[number % len(KILLS)] for number in range(plan.kills)]
        events: list[tuple[float, Callable[[], Any]]] = [
            (end / 2, lambda: self._supervisor.add(len(CLOCKS_AHEAD) - 2)),
            (0, self._track_poisoned),
            (0, lambda: self._track(FIRST_TASKS)),
            *((at, lambda: self._track(1)) for at in range(1, int(end))),
            *((rng.uniform(3, end), lambda kind=kind: self._kill(kind)) for kind in kinds),
            *((rng.uniform(5, end), self._repeat_messages) for _ in range(3)),
            *((rng.uniform(5, end), self._lose_messages) for _ in range(3)),
            *((rng.uniform(5, end), self._save_stale) for _ in range(3)),
            (rng.uniform(5, end / 4), lambda: self._gateway.fail_next("401")),
            *(
                (rng.uniform(end / 2, end), lambda: self._gateway.fail_next("429"))
                for _ in range(3)
            ),
        ]
        is_file = not self._database.environment
        outage = LOCK if is_file else DATABASE_OUTAGE
        what = "database locked" if is_file else "database gone"
        events.append((end / 4, lambda: self._cut(self._database, what, outage)))
        if self._broker.environment:
            events.append(
                (end * 3 / 4, lambda: self._cut(self._broker, "broker gone", BROKER_OUTAGE))
            )
        return sorted(events, key=lambda event: event[0])

    def _let_happen(self, events: list[tuple[float, Callable[[], Any]]], seconds: float) -> None:
        begun_at = time.monotonic()
        while (time.monotonic() < begun_at + seconds or events) and not self._is_stopped:
            self._tend()
            while events and events[0][0] <= time.monotonic() - begun_at:
                events.pop(0)[1]()
            time.sleep(0.2)

    def _tend(self) -> None:
        """What goes on in any case: restarts, the schedule, samples of the rows."""
        self._supervisor.tend()
        now = time.monotonic()
        if now < self._tended_at + WAKE_INTERVAL:
            return
        self._tended_at = now
        self._storefront("wake")
        last_run_at = self._sample()["last_run_at"]
        if last_run_at != self._last_run_at or self._is_cut():
            self._last_run_at, self._run_noticed_at = last_run_at, now
        elif now > self._run_noticed_at + HUNG_AFTER:
            self._supervisor.restart_hung()
            self._run_noticed_at = now

    def _sample(self) -> dict[str, Any]:
        """Return the state of the site, and record it."""
        at = time.time()
        state: dict[str, Any] = self._storefront("state")
        self._records.samples.append((at, state["tasks"]))
        self._records.pause_reasons.add(state["pause_reason"])
        return state

    def _settle(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at and not self._is_stopped:
            self._tend()
            if not self._is_cut() and all(
                row["status"] in FINAL_STATUSES and row["delivered_at"]
                for row in self._sample()["tasks"]
                if row["task_id"] not in self._records.poisoned
            ):
                return
            time.sleep(1)

    def _is_cut(self) -> bool:
        return any(outage.is_alive() for outage in self._outages)

    # The faults.

    def _track(self, count: int) -> None:
        first = len(self._records.tracked)
        kinds = self._rng.choices(list(MISCHIEF), list(MISCHIEF.values()), k=count)
        task_ids = [f"{kind}-{number}" for number, kind in enumerate(kinds, first)]
        for kind, task_id in zip(kinds, task_ids, strict=True):
            if kind != "well":
                self._faults[f"receiver {kind}"] += 1
            outcome = self._rng.choice(("SUCCESS", "SUCCESS", "SUCCESS", "FAILURE"))
            self._gateway.create(task_id, outcome, self._rng.uniform(1, 40))
        self._records.tracked.update(task_ids)
        self._storefront("track", task_ids)

    def _track_poisoned(self) -> None:
        """Track tasks that always meet an error whose scope may be the account, and is not."""
        task_ids = [f"{kind}-1" for kind in POISONS]
        self._records.poisoned.update(task_ids)
        self._faults["row poisoned"] += len(task_ids)
        self._storefront("track", task_ids)

    def _kill(self, kind: str) -> None:
        def is_killed() -> bool:
            self._supervisor.tend()
            return self._supervisor.kill(kind)

        wait_for(is_killed, 60, "no cluster is up")

    def _repeat_messages(self) -> None:
        self._storefront("repeat_messages")
        self._faults["messages repeated"] += 1

    def _lose_messages(self) -> None:
        self._storefront("lose_messages")
        self._faults["messages lost"] += 1

    def _save_stale(self) -> None:
        self._storefront("save_stale", sorted(self._records.tracked))
        self._faults["all saved stale"] += 1

    def _cut(self, server: Server, what: str, seconds: float) -> None:
        def outage() -> None:
            begun_at = time.time()
            server.cut()
            time.sleep(seconds)
            server.mend()
            self._records.outages.append((begun_at, time.time()))

        self._faults[f"{what} {seconds:g} s"] += 1
        self._outages.append(threading.Thread(target=outage))
        self._outages[-1].start()
