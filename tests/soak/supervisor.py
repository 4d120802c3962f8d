"""Keeps clusters running, as a supervisor does, and kills them."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from tests.processes import Site

CLOCKS_AHEAD = (0.0, 1.0, 0.0, -1.0)
"""Seconds, cluster by cluster: each is on a host of its own."""
KILLS = ("worker", "sentinel", "cluster")
ORPHAN_SECONDS = 15.0
"""Seconds that the workers of a killed sentinel go on, where their supervisor lets them."""


@dataclass
class Cluster:
    """One of the clusters, in one of its lives."""

    number: int
    life: int
    process: subprocess.Popen[bytes]
    log: str
    has_lost_worker: bool = False

    @property
    def name(self) -> str:
        return f"cluster-{self.number}"


class Supervisor:
    """Starts clusters of ``site``, and restarts each that has exited.

    Args:
        site: Whose clusters.
        rng: Decides what is killed, and how soon it is back.
        environment: What the clusters have beside the tests' own.
    """

    def __init__(self, site: Site, rng: random.Random, environment: dict[str, str]) -> None:
        self.faults: Counter[str] = Counter()
        self.killed: set[int] = set()
        """The processes that were killed, by their ids."""
        self._site = site
        self._rng = rng
        self._environment = environment
        self._clusters: dict[int, Cluster] = {}
        self._starts: dict[int, tuple[float, int]] = {}
        """When which cluster starts again, and the number of that life."""
        self._orphans: list[tuple[float, Cluster]] = []

    def add(self, count: int) -> None:
        """Start so many more clusters."""
        for number in range(len(self._clusters) + 1, len(self._clusters) + count + 1):
            self._start(number, 1)

    def tend(self) -> None:
        """Restart the clusters that have exited, and clean up after them."""
        now = time.monotonic()
        for cluster in list(self._clusters.values()):
            if cluster.process.poll() is not None and cluster.number not in self._starts:
                self._plan_restart(cluster)
        for number, (at, life) in list(self._starts.items()):
            if at <= now:
                del self._starts[number]
                self._start(number, life)
        for at, cluster in list(self._orphans):
            if at <= now:
                self._orphans.remove((at, cluster))
                self._kill_all(cluster)

    def kill(self, kind: str) -> bool:
        """Kill one of ``KILLS`` by SIGKILL, if any cluster is up."""
        workers = {number: self._workers(each) for number, each in self._clusters.items()}
        numbers = [number for number in workers if workers[number]]
        if not numbers:
            return False
        cluster = self._clusters[self._rng.choice(numbers)]
        if kind == "cluster":
            self._kill_all(cluster)
        elif kind == "sentinel":
            for sentinel in _children(cluster.process.pid):
                self._kill(sentinel)
        else:
            self._kill(self._rng.choice(workers[cluster.number]))
            cluster.has_lost_worker = True
        self.faults[f"{kind} killed"] += 1
        return True

    def restart_hung(self) -> None:
        """Restart the clusters that a worker was killed of.

        A worker that waits for work holds the lock of django-q2's queue; where it is killed then,
        its cluster does no more work, which only a health check from outside notices.
        """
        for cluster in self._clusters.values():
            if cluster.has_lost_worker and cluster.process.poll() is None:
                self._kill_all(cluster)
                self.faults["hung cluster restarted"] += 1

    def stop(self) -> None:
        """Leave no process behind."""
        for _, cluster in self._orphans:
            self._kill_all(cluster)
        for cluster in self._clusters.values():
            cluster.process.terminate()
        ends_at = time.monotonic() + 10
        for cluster in self._clusters.values():
            with suppress(subprocess.TimeoutExpired):
                cluster.process.wait(max(0, ends_at - time.monotonic()))
        self._site.close()

    def _start(self, number: int, life: int) -> None:
        log = f"cluster-{number}-{life}.log"
        process = self._site.start_qcluster(
            log,
            SOAK_CLUSTER=f"cluster-{number}",
            SOAK_CLOCK_AHEAD=str(CLOCKS_AHEAD[(number - 1) % len(CLOCKS_AHEAD)]),
            **self._environment,
        )
        self._clusters[number] = Cluster(number, life, process, log)

    def _plan_restart(self, cluster: Cluster) -> None:
        """Have a cluster that has exited restarted; its orphans are killed at once, or later."""
        now = time.monotonic()
        self._starts[cluster.number] = (now + self._rng.uniform(0, 3), cluster.life + 1)
        if _group(cluster.process.pid):
            self._orphans.append((now + self._rng.choice((0, ORPHAN_SECONDS)), cluster))

    def _workers(self, cluster: Cluster) -> list[int]:
        """The processes of a cluster that work, or wait for work, once it is up."""
        log = (self._site.path / cluster.log).read_text(errors="replace")
        if cluster.process.poll() is not None or " running." not in log:
            return []
        running = {
            pid for sentinel in _children(cluster.process.pid) for pid in _children(sentinel)
        }
        ready = {int(pid) for pid in re.findall(r"ready for work at (\d+)", log)}
        return sorted(running & ready)

    def _kill(self, pid: int) -> None:
        self.killed.add(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _kill_all(self, cluster: Cluster) -> None:
        for pid in _group(cluster.process.pid):
            self._kill(pid)


def _children(pid: int) -> list[int]:
    return _pgrep("-P", pid)


def _group(pid: int) -> list[int]:
    return _pgrep("-g", pid)


def _pgrep(option: str, pid: int) -> list[int]:
    listing = subprocess.run(
        ["pgrep", option, str(pid)], capture_output=True, text=True, check=False
    )
    return [int(line) for line in listing.stdout.split()]
