"""A broker that cannot be reached: a Redis server of the test's own, which is killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from octovid_django.sandbox import Sandbox
from tests.processes import ROOT, Site, wait_for

REDIS_SERVER = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(
    not REDIS_SERVER, reason="there is no redis-server: install Debian's package of it"
)

OVERDUE = """
from datetime import timedelta
from django.utils import timezone
from octovid_django.models import VideoTask
late = timezone.now() - timedelta(minutes=3)
VideoTask.objects.filter(task_id="cgt-1").update(next_poll_at=late)
VideoTask.objects.create(
    task_id="cgt-2", status="FAILURE", completed_at=late, next_delivery_at=late
)
"""


class RedisServer:
    """A server on a port of its own, with nothing on disk."""

    def __init__(self, path: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.process = subprocess.Popen(
            [
                *(str(REDIS_SERVER), "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", str(path)),
            ],
            stdout=subprocess.DEVNULL,
        )

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def is_up(self) -> bool:
        import redis  # noqa: PLC0415  its client is optional

        assert self.process.poll() is None, "another process has taken its port"
        try:
            with redis.from_url(self.url) as connection:
                return bool(connection.ping())
        except redis.ConnectionError:
            return False

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    pytest.importorskip("redis")
    server = RedisServer(tmp_path)
    try:
        wait_for(server.is_up, 20, "Redis does not start")
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture
def site(tmp_path: Path, server: RedisServer, sandbox: Sandbox) -> Iterator[Site]:
    (tmp_path / "site").mkdir()
    q_cluster: dict[str, Any] = {"orm": None, "redis": server.url}
    site = Site(tmp_path / "site", sandbox.url, q_cluster=q_cluster)
    assert site.manage("migrate").returncode == 0
    yield site
    site.close()


def test_readme_names_package_that_redis_broker_needs() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")

    (line,) = [line for line in readme.splitlines() if line.startswith("- **Broker**")]
    assert "`pip install redis`" in line


@needs_redis
def test_status_with_killed_redis_reports_broker_and_not_cluster(
    site: Site, server: RedisServer
) -> None:
    assert site.manage("octovid_track", "cgt-1").returncode == 0
    site.python(OVERDUE)
    (overdue, undelivered) = site.status()["problems"]
    assert "Is “manage.py qcluster” running?" in overdue["message"] + undelivered["message"]

    server.kill()

    status = site.manage("octovid_status")
    assert status.returncode == 1
    assert "Traceback" not in status.stderr, "django-q2 logs a line of its own"
    (problem,) = [line for line in status.stdout.splitlines() if line.startswith("!")]
    assert problem == (
        "! The broker of django-q2 cannot be reached, so no work gets to its workers: "
        f"Error 111 connecting to 127.0.0.1:{server.port}. Connection refused. "
        "Work goes on by itself when it is back."
    )
