"""Child processes that cannot outlive the process that started them, however that one exits.

``Keeper`` runs this module as a process of its own, the leader of a process group. That process
starts the commands in its group and waits until its standard input is closed: it is a pipe, which
the operating system closes when the starter is gone, also when it was killed. Then it stops the
whole group.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

Command = Sequence[str]

GRACE_SECONDS = 3.0
POLL_SECONDS = 0.1


class Keeper:
    """Runs commands until it is closed.

    Args:
        commands: What to run, by the name of its log file.
        env: The environment of the commands.
        log_dir: The directory for their output, one file each.
    """

    def __init__(
        self, commands: Mapping[str, Command], *, env: Mapping[str, str], log_dir: Path
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(log_dir), json.dumps(commands)],
            stdin=subprocess.PIPE,
            env=dict(env),
            start_new_session=True,
        )

    @property
    def is_running(self) -> bool:
        """Whether every command runs."""
        return self._process.poll() is None

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2 * GRACE_SECONDS)
        with suppress(ProcessLookupError):  # it may have been killed, or stopped, alone
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def keep(log_dir: Path, commands: Mapping[str, Command]) -> None:
    """Run ``commands`` until standard input is closed or one of them exits; then stop the group."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # SIG_IGN would be inherited
    children = []
    for name, command in commands.items():
        with (log_dir / f"{name}.log").open("wb") as log:
            children.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
                )
            )
    while all(child.poll() is None for child in children):
        is_readable, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
        if is_readable:  # nobody writes to it, so it was closed
            break
    os.killpg(0, signal.SIGTERM)
    ends_at = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < ends_at and any(child.poll() is None for child in children):
        time.sleep(POLL_SECONDS)
    os.killpg(0, signal.SIGKILL)  # this process too: nothing is left


if __name__ == "__main__":
    keep(Path(sys.argv[1]), json.loads(sys.argv[2]))
