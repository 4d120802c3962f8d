"""Real sites in real processes: a new Django project, its commands and its qcluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

ROOT = Path(__file__).resolve().parent.parent
REDIS_URL = os.environ.get("REDIS_URL", "")
"""Where the tests' Redis is; without one django-q2 uses the database."""

RECEIVERS = """
import json
import os

from django.apps import AppConfig
from django.conf import settings


class ShopConfig(AppConfig):
    name = "shop"

    def ready(self):
        from octovid_django import signals

        for name in ("video_succeeded", "video_failed", "video_completed"):
            getattr(signals, name).connect(self.receiver_of(name), weak=False)

    def receiver_of(self, name):
        def receive(sender, task, attempt, **kwargs):
            line = json.dumps([name, task.task_id, task.status, attempt]) + "\\n"
            with open(settings.BASE_DIR / "received.jsonl", "a") as file:
                file.write(line)

        return receive
"""


def wait_for(condition: Callable[[], Any], seconds: float, what: Callable[[], str] | str) -> Any:
    """Return what ``condition`` gives as soon as that is true; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.2)


def readme_code(name: str) -> str:
    """The Python code of the README that holds ``name``."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return next(block for block in blocks if name in block)


def settings_of_broker() -> dict[str, Any]:
    """What ``Q_CLUSTER`` has for a broker that no other cluster uses."""
    return {"name": f"test-{uuid4().hex}", "orm": None, "redis": REDIS_URL} if REDIS_URL else {}


class Site:
    """A project made with ``django-admin startproject``, with the README's settings.

    Args:
        path: An empty directory for it.
        gateway_url: Where its gateway is.
        q_cluster: What its ``Q_CLUSTER`` has beside the README's.
        octovid: What its ``OCTOVID`` has beside the README's.
        shop: The app with its receivers; without one, they write down what they are called with.
        settings: More code for the end of its settings.
    """

    def __init__(
        self,
        path: Path,
        gateway_url: str,
        *,
        q_cluster: dict[str, Any] | None = None,
        octovid: dict[str, Any] | None = None,
        shop: Path | None = None,
        settings: str = "",
    ) -> None:
        self.path = path
        self._clusters: list[subprocess.Popen[bytes]] = []
        self._env = os.environ | {"OCTOVID_API_KEY": "sandbox-key"}
        self._env.pop("DJANGO_SETTINGS_MODULE", None)
        self._run(sys.executable, "-m", "django", "startproject", "mysite", ".")
        if shop:
            shutil.copytree(shop, path / "shop")
        else:
            (path / "shop").mkdir()
            (path / "shop" / "__init__.py").touch()
            (path / "shop" / "apps.py").write_text(RECEIVERS)
        with (path / "mysite" / "settings.py").open("a") as file:
            file.write(readme_code("INSTALLED_APPS"))
            file.write('\nINSTALLED_APPS += ["shop.apps.ShopConfig"]\n')
            file.write(f"OCTOVID |= { ({'BASE_URL': gateway_url} | (octovid or {}))!r}\n")
            q_cluster = {**settings_of_broker(), **(q_cluster or {})}
            file.write(f"Q_CLUSTER |= {q_cluster!r}\n{settings}")

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.path,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``manage.py`` with these arguments until it exits."""
        return self._run(sys.executable, "manage.py", *arguments)

    def python(self, code: str) -> str:
        """Return what this code prints in the site's shell."""
        result = self.manage("shell", "-v", "0", "-c", code)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def status(self) -> dict[str, Any]:
        """Return what ``octovid_status --json`` prints."""
        report: dict[str, Any] = json.loads(self.manage("octovid_status", "--json").stdout)
        return report

    def received(self) -> list[Any]:
        """Return what the receivers wrote down, here signal, task id, status, attempt."""
        path = self.path / "received.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def log(self) -> str:
        """Return what the qclusters have printed."""
        return (self.path / "qcluster.log").read_text()

    def wake(self) -> None:
        """Queue a polling run, so that a test need not wait for django-q2's scheduler."""
        self.python(
            "from octovid_django.cluster.wakeup import wake;"
            "wake('octovid_django.tasks.refresh_due')"
        )

    def start(self, *arguments: str, stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start ``manage.py`` with these arguments, its input and output ours to use."""
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=self.path,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )

    def start_qcluster(
        self, log: str = "qcluster.log", **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a real qcluster, the leader of a process group of its own.

        Args:
            log: The name of the file that it prints to.
            environment: What it has beside the tests' own.
        """
        with (self.path / log).open("ab") as file:
            cluster = subprocess.Popen(
                [sys.executable, "manage.py", "qcluster"],
                cwd=self.path,
                env=self._env | environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._clusters.append(cluster)
        return cluster

    def kill(self, cluster: subprocess.Popen[bytes]) -> None:
        """Kill a qcluster with all its processes by SIGKILL."""
        with suppress(ProcessLookupError):
            os.killpg(cluster.pid, signal.SIGKILL)
        cluster.wait(10)

    def close(self) -> None:
        """Leave no process behind."""
        for cluster in self._clusters:
            self.kill(cluster)
