"""The demo and the settings of the example project; ``demo --once`` is run by tox and CI."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from tests.processes import ROOT, wait_for


def processes_of_group(group: int) -> list[str]:
    """The command lines of the running processes of a group."""
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
                    "ALLOWED_HOSTS": "*",
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

    def is_listening(self) -> bool:
        with closing(socket.socket()) as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

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
    ("number", "code"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -9)],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
def test_no_child_process_remains_after_demo_is_stopped_or_killed(
    demo: Demo, number: int, code: int
) -> None:
    wait_for(demo.is_serving, 60, demo.output.read_text)
    group = demo.group()
    wait_for(lambda: any("qcluster" in args for args in processes_of_group(group)), 30, "qcluster")

    demo.process.send_signal(number)

    assert demo.process.wait(20) == code
    wait_for(lambda: not processes_of_group(group), 20, lambda: str(processes_of_group(group)))
    if number == signal.SIGINT:
        assert "Traceback" not in demo.output.read_text()
        assert "stopped" in demo.output.read_text()


def test_sigterm_stops_demo_while_database_is_locked(demo: Demo, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "db.sqlite3", isolation_level=None)) as database:
        deadline = time.monotonic() + 60
        while not demo.is_listening():  # it writes as soon as it finds that out itself
            assert demo.process.poll() is None, demo.output.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        database.execute("BEGIN IMMEDIATE")
        wait_for(lambda: "admin: http" in demo.output.read_text(), 30, demo.output.read_text)

        demo.process.send_signal(signal.SIGTERM)

        assert demo.process.wait(15) == 0, "SQLite waits for 20 s"


def test_demo_prints_url_and_login_of_admin(demo: Demo) -> None:
    wait_for(demo.is_serving, 60, demo.output.read_text)
    wait_for(lambda: "admin: http" in demo.output.read_text(), 30, demo.output.read_text)

    assert (
        f"admin: http://127.0.0.1:{demo.port}/admin/octovid_django/videotask/"
        "  (login: demo, password: demo)"
    ) in demo.output.read_text().splitlines()


def example(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``manage.py`` of the example project to its end."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "example_project.settings"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_refused(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 1
    assert result.stderr.startswith("CommandError: The demo makes a superuser"), result.stderr
    assert "Traceback" not in result.stderr
    assert "s3cret" not in result.stdout + result.stderr


class TestDatabaseOfDemo:
    """A superuser with a known password is made in a database of the demo's own, or nowhere."""

    @pytest.mark.parametrize("debug", ["on", "off"])
    def test_another_existing_database_is_refused_and_unchanged(
        self, tmp_path: Path, debug: str
    ) -> None:
        path = tmp_path / "shop.sqlite3"
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE customers (name text)")
        before = path.read_bytes()

        result = example(
            "demo", "--once", DATABASE_URL=f"sqlite:///{path}", DEBUG=debug, SECRET_KEY="x" * 50
        )

        assert_refused(result)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_database_of_the_migrated_site_is_refused(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'db.sqlite3'}"
        assert example("migrate", DATABASE_URL=url, OCTOVID_API_KEY="sandbox-key").returncode == 0

        assert_refused(example("demo", "--once", DATABASE_URL=url))

    def test_file_that_is_no_database_is_refused_and_unchanged(self, tmp_path: Path) -> None:
        path = tmp_path / "letter.txt"
        path.write_text("Dear customer, " * 1000)

        assert_refused(example("demo", "--once", DATABASE_URL=f"sqlite:///{path}"))
        assert path.read_text() == "Dear customer, " * 1000

    def test_database_in_memory_is_refused(self) -> None:
        assert_refused(example("demo", "--once", DATABASE_URL="sqlite://:memory:"))

    def test_own_database_is_used_again(self, tmp_path: Path) -> None:
        for _ in range(2):
            demo = Demo(tmp_path)
            try:
                wait_for(demo.is_serving, 60, demo.output.read_text)
            finally:
                demo.process.kill()
                demo.process.wait(10)


def test_demo_is_served_to_loopback_names_only(demo: Demo, tmp_path: Path) -> None:
    wait_for(demo.is_serving, 60, demo.output.read_text)
    url = f"http://127.0.0.1:{demo.port}/admin/login/"

    assert requests.get(url, headers={"Host": "evil.example"}, timeout=5).status_code == 400


class TestSecretKeyOfExample:
    SHOW = (
        "shell",
        "-v",
        "0",
        "-c",
        "from django.conf import settings; print(settings.SECRET_KEY)",
    )

    def test_key_of_environment_is_used(self) -> None:
        assert example(*self.SHOW, SECRET_KEY="from outside").stdout.strip() == "from outside"

    def test_generated_key_is_kept_secret_and_the_same_in_each_process(self) -> None:
        keys = {example(*self.SHOW, SECRET_KEY="").stdout.strip() for _ in range(2)}

        (key,) = keys
        assert len(key) >= 50
        assert (ROOT / ".secret_key").stat().st_mode & 0o077 == 0
        ignored = subprocess.run(
            ["git", "check-ignore", "-q", ".secret_key"], cwd=ROOT, check=False
        )
        assert ignored.returncode in (0, 128)  # 128: this is no clone

    def test_missing_key_without_debug_prevents_start(self) -> None:
        result = example("check", SECRET_KEY="", DEBUG="off")

        assert result.returncode == 1
        assert "ImproperlyConfigured: Set SECRET_KEY" in result.stderr
