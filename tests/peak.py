"""The memory that polls take, in a process of their own: ``python -m tests.peak URL N``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import django


@dataclass(frozen=True)
class Cost:
    """What polls have cost, and their results."""

    megabytes: float
    """Between what the process held before, and the most that it ever held."""
    cpu_seconds: float
    results: list[str]
    """The status or the error of each."""


def measure(url: str, polls: int = 1) -> Cost:
    """Poll the gateway at ``url`` so many times at once, in another process."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.peak", url, str(polls)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=Path(__file__).parent.parent,
    )
    return Cost(**json.loads(ran.stdout))


def main(url: str, polls: int) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from django.test import override_settings  # noqa: PLC0415

    from octovid_django.client import query_task  # noqa: PLC0415
    from octovid_django.exceptions import OctovidError  # noqa: PLC0415

    def poll(task_id: str) -> str:
        try:
            return str(query_task(task_id).status)
        except OctovidError as error:
            return f"{type(error).__name__}: {error}"

    octovid = {"BASE_URL": url, "API_KEY": "sk-0123456789abcdef", "TIMEOUT": 60}
    with override_settings(OCTOVID=octovid), ThreadPoolExecutor(polls) as pool:
        list(pool.map(poll, ["warm-up"] * polls))  # threads and connections
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak is what is held now
        held = _memory("VmRSS")
        started_at = time.process_time()
        results = list(pool.map(poll, ["attack"] * polls))
        cpu_seconds = time.process_time() - started_at
    megabytes = _memory("VmHWM") - held
    json.dump(vars(Cost(megabytes, cpu_seconds, results)), sys.stdout)


def _memory(name: str) -> float:
    """What Linux reports of this process, in megabytes."""
    fields = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8")))
    return int(fields[name]) / 1024


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
