from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.models import QuerySet

from example_project.gallery.keeper import Keeper
from example_project.gallery.own_database import claim_database
from octovid_django.cluster.wakeup import wake
from octovid_django.enums import TaskStatus
from octovid_django.management.watch import task_view
from octovid_django.models import VideoTask

HOST = "127.0.0.1"
API_KEY = "demo-key"
LOGIN = "demo"
START_SECONDS = 60
ONCE_SECONDS = 120

ORDERS: list[dict[str, Any]] = [
    {"run_seconds": 4},
    {"run_seconds": 6, "duration": 10, "resolution": "1080p"},
    {"run_seconds": 8, "outcome": "FAILURE", "fail_reason": "The prompt was refused."},
    {"run_seconds": 10, "ratio": "9:16"},
    {"run_seconds": 12},
    {"run_seconds": 14, "outcome": "FAILURE", "fail_reason": "The model ran out of memory."},
    {"run_seconds": 16, "ratio": "1:1"},
    {"run_seconds": 20},
]


class Command(BaseCommand):
    help = (
        "Show the app at work: a sandbox gateway, a qcluster and the admin as child processes, "
        "and video tasks that complete within seconds. Ctrl-C stops everything."
    )
    requires_system_checks = ()  # the demo brings its own key

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--once",
            action="store_true",
            help=(
                "exit by itself: with code 0 when every task has completed and every signal was "
                f"received, with 1 when that takes more than {ONCE_SECONDS} seconds"
            ),
        )
        parser.add_argument(
            "--port",
            type=int,
            default=8000,
            help="of the admin (default: %(default)s); another one if it is in use",
        )

    def handle(self, *, once: bool, port: int, **options: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        ends_at = time.monotonic() + ONCE_SECONDS if once else float("inf")
        try:
            with ExitStack() as stack:
                self._run(stack, once=once, port=port, ends_at=ends_at)
        except KeyboardInterrupt:
            self.stdout.write("\nstopped")
            if once:
                sys.exit(1)

    def _run(self, stack: ExitStack, *, once: bool, port: int, ends_at: float) -> None:
        claim_database()
        call_command("migrate", verbosity=0)
        _create_login()
        VideoTask.objects.filter(metadata__demo=True).delete()

        log_dir = Path(stack.enter_context(TemporaryDirectory(prefix="octovid-demo-")))
        gateway_port, web_port = _free_port(), _free_port(port)
        gateway_url = f"http://{HOST}:{gateway_port}"
        keeper = stack.enter_context(_start(log_dir, gateway_url, gateway_port, web_port))
        for each in (gateway_port, web_port):
            _wait_for(lambda each=each: _is_listening(each), keeper, log_dir)

        admin_url = f"http://{HOST}:{web_port}/admin/octovid_django/videotask/"
        self.stdout.write(f"admin: {admin_url}  (login: {LOGIN}, password: {LOGIN})")
        self.stdout.flush()
        _in_a_thread(lambda: _order(gateway_url))
        tasks = VideoTask.objects.filter(metadata__demo=True).order_by("pk")
        with task_view(self.stdout) as show:
            while not _is_done(tasks):
                show(tasks.all())
                if time.monotonic() >= ends_at or not keeper.is_running:
                    break
                _sleep(0.5)
            show(tasks.all())

        self._report(tasks)
        if not _is_done(tasks):
            raise CommandError(f"not every task has completed and been delivered\n{_logs(log_dir)}")
        if not once:
            self.stdout.write(f"Watch the videos: {admin_url}  Ctrl-C stops everything.")
            self.stdout.flush()
            while keeper.is_running:
                _sleep(0.5)
            raise CommandError(f"a child process has exited\n{_logs(log_dir)}")

    def _report(self, tasks: QuerySet[VideoTask]) -> None:
        rows = [("task", "status", "signals received", "link")]
        for task in tasks.all():
            signals = ", ".join(str(each) for each in task.received_signals.order_by("pk"))
            rows.append((task.task_id, task.status, signals or "–", task.video_url or "–"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        self.stdout.write("")
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())


def _create_login() -> None:
    users = get_user_model().objects
    if not users.filter(username=LOGIN).exists():
        users.create_superuser(LOGIN, password=LOGIN)


def _start(log_dir: Path, gateway_url: str, gateway_port: int, web_port: int) -> Keeper:
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    sandbox = ["octovid_sandbox", "--port", str(gateway_port), "--api-key", API_KEY]
    return Keeper(
        {
            "sandbox": [*manage, *sandbox],
            "qcluster": [*manage, "qcluster"],
            "web": [*manage, "runserver", "--noreload", f"{HOST}:{web_port}"],
        },
        env=os.environ
        | {
            "ALLOWED_HOSTS": HOST,
            "OCTOVID_BASE_URL": gateway_url,
            "OCTOVID_API_KEY": API_KEY,
            "OCTOVID_POLL_INTERVAL": "2",
        },
        log_dir=log_dir,
    )


def _order(gateway_url: str) -> None:
    """Order the videos at the gateway, as a site does, track the tasks, and wake a worker up."""
    for number, order in enumerate(ORDERS, start=1):
        response = requests.post(
            f"{gateway_url}/v1/video/generations",
            json={
                "model": "sandbox-video",
                "content": [{"type": "text", "text": f"Demo video {number}"}],
                "metadata": order,
            },
            headers={"Authorization": f"Bearer {API_KEY}"},
            timeout=10,
        )
        response.raise_for_status()
        task_id = response.json()["task_id"]
        VideoTask.objects.track(task_id, metadata={"demo": True, "order": number})
    wake("octovid_django.tasks.refresh_due")  # the schedule's first run comes after 30 s


# Signals of the operating system. One may come at any moment, and stops the demo in seconds.

_is_interrupted = threading.Event()


def _interrupt(*_: object) -> None:
    _is_interrupted.set()
    raise KeyboardInterrupt


def _sleep(seconds: float) -> None:
    """Sleep; also notice a signal whose exception was lost, as it is in a weakref's callback."""
    if _is_interrupted.is_set():
        raise KeyboardInterrupt
    time.sleep(seconds)


def _in_a_thread(work: Callable[[], None]) -> None:
    """Run what writes to the database: a thread that waits for SQLite's lock sees no signal."""
    errors: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  it is raised where it is waited for
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        _sleep(0.1)
    if errors:
        raise errors[0]


def _is_done(tasks: QuerySet[VideoTask]) -> bool:
    return all(_expected_signals(task) <= _received_signals(task) for task in tasks.all())


def _expected_signals(task: VideoTask) -> set[str]:
    outcome = "video_succeeded" if task.status == TaskStatus.SUCCESS else "video_failed"
    return {outcome, "video_completed"}


def _received_signals(task: VideoTask) -> set[str]:
    return set(task.received_signals.values_list("signal", flat=True))


def _free_port(preferred: int = 0) -> int:
    for port in (preferred, 0):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((HOST, port))
            except OSError:
                continue
            return int(sock.getsockname()[1])
    raise CommandError("there is no free port")


def _is_listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((HOST, port)) == 0


def _wait_for(condition: Callable[[], bool], keeper: Keeper, log_dir: Path) -> None:
    ends_at = time.monotonic() + START_SECONDS
    while not condition():
        if not keeper.is_running or time.monotonic() >= ends_at:
            raise CommandError(f"a child process did not start\n{_logs(log_dir)}")
        _sleep(0.1)


def _logs(log_dir: Path) -> str:
    return "\n".join(
        f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}"
        for path in sorted(log_dir.glob("*.log"))
    )
