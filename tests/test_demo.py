"""The demo of the example project; ``demo --once`` itself is run by tox and CI."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from tests.processes import ROOT, wait_for


def processes_of_group(group: int) -> list[str]:
    """The processes of a group that live, by their command lines."""
    listing = subprocess.run(
        ["ps", "-ww", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in listing.stdout.splitlines()]
    return [args for pgid, stat, args in rows if int(pgid) == group and not stat.startswith("Z")]


class Demo:
    """``manage.py demo`` with a database and a port of its own."""

    def __init__(self, path: Path) -> None:
        with closing(socket.socket()) as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self.output = path / "demo.txt"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "demo", "--port", str(self.port)],
                cwd=ROOT,
                env=os.environ
                | {
                    "DJANGO_SETTINGS_MODULE": "example_project.settings",
                    "DATABASE_URL": f"sqlite:///{path / 'db.sqlite3'}",
                },
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def is_serving(self) -> bool:
        assert self.process.poll() is None, self.output.read_text()
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/admin/login/", timeout=5).ok
        except requests.ConnectionError:
            return False

    def group(self) -> int:
        """The process group of its children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(children.read_text().split()[0])


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    yield demo
    demo.process.kill()
    demo.process.wait(10)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -9)]
)
def test_no_child_outlives_it_however_it_ends(demo: Demo, how: int, code: int) -> None:
    wait_for(demo.is_serving, 60, demo.output.read_text)
    group = demo.group()
    wait_for(lambda: any("qcluster" in args for args in processes_of_group(group)), 30, "qcluster")

    demo.process.send_signal(how)

    assert demo.process.wait(20) == code
    wait_for(lambda: not processes_of_group(group), 20, lambda: str(processes_of_group(group)))
    if how == signal.SIGINT:
        assert "Traceback" not in demo.output.read_text()
        assert "stopped" in demo.output.read_text()


def test_shows_where_the_admin_is(demo: Demo) -> None:
    wait_for(demo.is_serving, 60, demo.output.read_text)
    wait_for(lambda: "admin: http" in demo.output.read_text(), 30, demo.output.read_text)

    assert (
        f"admin: http://127.0.0.1:{demo.port}/admin/octovid_django/videotask/"
        "  (login: demo, password: demo)"
    ) in demo.output.read_text().splitlines()
