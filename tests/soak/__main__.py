"""Soak real clusters in faults, and report which promises were broken.

Exits with 1 when a completion was lost, a task got stuck, or another promise was broken.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import product
from pathlib import Path

from tests.soak.servers import BROKERS, DATABASES, UnavailableError
from tests.soak.trial import Outcome, Plan, Trial

SETTLE_SECONDS = 150
"""At most, for what the last faults left behind: twice the longest lease and a half."""
START_SECONDS = 15
COLUMNS = {
    "clusters": 8,
    "faults": 6,
    "tasks": 5,
    "completions": 11,
    "deliveries": 10,
    "doubles": 7,
    "losses": 6,
    "stuck": 5,
    "broken": 6,
    "settled": 7,
}
MOST_LINES = 20


def main() -> int:
    arguments = _arguments()
    started_at = time.monotonic()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", flush=True)
    outcomes: list[Outcome] = []
    with ExitStack() as stack:
        folder = arguments.keep or stack.enter_context(
            tempfile.TemporaryDirectory(prefix="octovid-soak-", ignore_cleanup_errors=True)
        )
        waves = _waves(arguments, Path(folder), seed, stack)
        count = sum(map(len, waves))
        kills = -(-arguments.kills // max(1, count))
        for wave in waves:
            seconds = arguments.minutes * 60 / len(waves) - START_SECONDS
            settle_seconds = min(SETTLE_SECONDS, 0.7 * seconds)
            plan = Plan(seconds - settle_seconds, settle_seconds, kills)
            with ThreadPoolExecutor(len(wave)) as pool:
                runs = [pool.submit(trial.run, plan) for trial in wave]
                try:
                    outcomes += [run.result() for run in runs]
                finally:
                    for trial in wave:
                        trial.stop()
    _print_table(outcomes)
    print(f"{(time.monotonic() - started_at) / 60:.1f} minutes, seed {seed}")
    return 0 if outcomes and all(outcome.verdict.is_good for outcome in outcomes) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=7.5, help="at most, in all (default 7.5)")
    parser.add_argument("--kills", type=int, default=50, help="at least, in all (default 50)")
    for name, known in (("databases", DATABASES), ("brokers", BROKERS)):
        parser.add_argument(
            f"--{name}",
            type=lambda text: text.split(","),
            default=list(known),
            help=f"some of {','.join(known)} (default: all)",
        )
    parser.add_argument(
        "--at-once", type=int, default=3, help="how many combinations side by side (default 3)"
    )
    parser.add_argument("--seed", type=int, help="of what is random, as an earlier run printed it")
    parser.add_argument("--keep", help="a folder for the sites and their logs (default: none)")
    arguments = parser.parse_args()
    for name, known in (("databases", DATABASES), ("brokers", BROKERS)):
        if unknown := set(getattr(arguments, name)) - set(known):
            parser.error(f"--{name}: no {', '.join(sorted(unknown))}")
    return arguments


def _waves(
    arguments: argparse.Namespace, folder: Path, seed: int, stack: ExitStack
) -> list[list[Trial]]:
    """The trials that can be made here; those of one wave run side by side."""
    trials = []
    for broker_name, database_name in product(arguments.brokers, arguments.databases):
        name = f"octovid_soak_{database_name}_{broker_name}_{os.getpid()}"
        path = folder / name
        path.mkdir(parents=True)
        try:
            broker = BROKERS[broker_name](name)
            stack.callback(broker.close)
            database = DATABASES[database_name](name, path)
            stack.callback(database.close)
        except UnavailableError as error:
            print(f"{database_name}, {broker_name}: skipped: {error}", flush=True)
            continue
        title = f"{database_name}, {broker_name}"
        trials.append(Trial(title, path, database, broker, f"{seed} {title}"))
    size = arguments.at_once
    return [trials[start : start + size] for start in range(0, len(trials), size)]


def _print_table(outcomes: list[Outcome]) -> None:
    faults = sum((outcome.faults for outcome in outcomes), Counter[str]())
    width = max((len(kind) for kind in faults), default=0)
    print("\nfaults injected")
    for kind, count in sorted(faults.items()):
        print(f"  {kind:{width}} {count:5}")
    print("\n" + "  ".join([f"{'':16}", *COLUMNS]))
    for outcome in outcomes:
        verdict = outcome.verdict
        values = {
            "clusters": outcome.clusters,
            "faults": outcome.faults.total(),
            "losses": len(verdict.losses),
            "stuck": len(verdict.stuck),
            "broken": len(verdict.broken),
            "settled": f"{outcome.settled_after:.0f} s",
        }
        cells = (
            f"{values.get(name, getattr(verdict, name, '')):>{width}}"
            for name, width in COLUMNS.items()
        )
        print("  ".join([f"{outcome.name:16}", *cells]))
    for outcome in outcomes:
        verdict = outcome.verdict
        for line in (verdict.losses + verdict.stuck + verdict.broken)[:MOST_LINES]:
            print(f"{outcome.name}: {line}")


if __name__ == "__main__":
    sys.exit(main())
