"""Make the pictures in ``docs/`` anew: ``python -m docs.screenshots`` (with the extra ``test``).

The example project's admin runs on a new database with a month's tasks in it, beside a sandbox
gateway that serves the video. Chromium opens the list and the page of a task, in light and dark.
"""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import django
import time_machine
from django.core.management import call_command

from octovid_django.sandbox import Sandbox
from tests.browser import Browser, running_browser
from tests.processes import wait_for

SIZES = {"list": (1440, 1100), "task": (1360, 900)}
"""The size of each picture, in pixels."""
DOCS = Path(__file__).resolve().parent
REASONS = ("The prompt was refused by the model.", "The reference image cannot be read.")


def main() -> None:
    with ExitStack() as stack:
        work = Path(stack.enter_context(TemporaryDirectory(prefix="octovid-screenshots-")))
        sandbox = stack.enter_context(Sandbox())
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "example_project.settings",
            "DATABASE_URL": f"sqlite:///{work / 'db.sqlite3'}",
            "OCTOVID_BASE_URL": sandbox.url,
            "OCTOVID_API_KEY": sandbox.api_key,
        }
        django.setup()
        call_command("migrate", verbosity=0)
        task_pk = _fill(sandbox)
        url, session = stack.enter_context(_site(work)), _session()
        browser = stack.enter_context(running_browser(work / "profile"))
        browser.driver.get(f"{url}/admin/login/")
        browser.driver.add_cookie({"name": "sessionid", "value": session})
        pages = {"list": "/admin/octovid_django/videotask/"}
        pages["task"] = f"{pages['list']}{task_pk}/change/"
        for theme in ("light", "dark"):
            browser.prefer(theme)
            for name, path in pages.items():
                browser.resize(*SIZES[name])
                _shoot(browser, url + path, DOCS / f"{name}-{theme}.png")


def _fill(sandbox: Sandbox) -> int:
    """Fill the database with past tasks, and track new ones; return the key of the one to show."""
    from octovid_django.models import VideoTask
    from octovid_django.refresh import refresh_tasks

    chance = random.Random(7)
    now = datetime.now(timezone.utc)
    past = []
    for number in range(900):
        completed_at = now - timedelta(hours=chance.triangular(1, 24 * 29, 8))
        outcome = chance.choices(["SUCCESS", "FAILURE", "LOST"], [90, 8, 2])[0]
        took = timedelta(seconds=chance.lognormvariate(4.6, 0.5))
        past.append(
            VideoTask(
                task_id=f"cgt-past-{number:04}",
                status=outcome,
                progress=100 if outcome == "SUCCESS" else 30,
                fail_reason="" if outcome == "SUCCESS" else chance.choice(REASONS),
                total_tokens=chance.randrange(40_000, 250_000) if outcome == "SUCCESS" else None,
                submitted_at=completed_at - took - timedelta(seconds=4),
                started_at=completed_at - took,
                finished_at=completed_at,
                completed_at=completed_at,
                delivered_at=completed_at + timedelta(seconds=1),
            )
        )
    VideoTask.objects.bulk_create(past)
    for task in past:
        task.created_at = task.submitted_at or now
    VideoTask.objects.bulk_update(past, ["created_at"])

    orders = [
        *({"run_seconds": 0, "duration": 10, "resolution": "1080p"}, {"run_seconds": 0}),
        {"run_seconds": 0, "outcome": "FAILURE", "fail_reason": REASONS[0]},
        *({"run_seconds": seconds} for seconds in (90, 120, 200, 500)),
    ]
    with time_machine.travel(now - timedelta(minutes=1)):
        tasks = [VideoTask.objects.track(sandbox.create(**order)) for order in orders]
    refresh_tasks(tasks)
    completed = VideoTask.objects.finished().filter(pk__in=[task.pk for task in tasks])
    completed.update(delivered_at=now + timedelta(seconds=2), next_delivery_at=None)
    task = tasks[0]
    finished_at = now - timedelta(minutes=2)
    VideoTask.objects.filter(pk=task.pk).update(
        submitted_at=finished_at - timedelta(seconds=96),
        started_at=finished_at - timedelta(seconds=91),
        finished_at=finished_at,
        completed_at=finished_at + timedelta(seconds=6),
        delivered_at=finished_at + timedelta(seconds=7),
        metadata={"product": 7, "customer": "Ada"},
    )
    unknown = VideoTask.objects.track("cgt-20260412163502-x8k2m")
    refresh_tasks([unknown])
    return task.pk


def _session() -> str:
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client.cookies["sessionid"].value


@contextmanager
def _site(work: Path) -> Iterator[str]:
    from example_project.gallery.keeper import Keeper

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    manage = [sys.executable, str(DOCS.parent / "manage.py")]
    command = [*manage, "runserver", "--noreload", f"127.0.0.1:{port}"]
    with Keeper({"web": command}, env=os.environ, log_dir=work):
        wait_for(lambda: _is_listening(port), 30, "the site")
        yield f"http://127.0.0.1:{port}"


def _is_listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _shoot(browser: Browser, url: str, path: Path) -> None:
    browser.driver.get(url)
    wait_for(lambda: browser.script("return document.readyState") == "complete", 20, url)
    if browser.script("return !!document.querySelector('video')"):
        _play_a_second(browser)
    browser.driver.save_screenshot(str(path))


def _play_a_second(browser: Browser) -> None:
    """Make the player show a picture of its video; by itself it loads nothing."""
    video = "document.querySelector('video')"
    browser.script(f"const video = {video}; video.muted = true; video.play()")
    wait_for(lambda: browser.script(f"return {video}.currentTime") > 1, 20, "the video")
    browser.script(f"{video}.pause()")


if __name__ == "__main__":
    main()
