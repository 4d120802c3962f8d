"""The whole path, in a new project, with a real qcluster: what the README promises a newcomer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from octovid_django.sandbox import Sandbox
from tests.processes import Site, readme_code, wait_for

START_SECONDS = 90
"""django-q2 first checks its schedules half a minute after its start."""


@pytest.fixture
def new_site(tmp_path: Path, sandbox: Sandbox) -> Iterator[Callable[..., Site]]:
    sites = []

    def start(**options: Any) -> Site:
        site = Site(tmp_path, sandbox.url, **options)
        sites.append(site)
        migrated = site.manage("migrate")
        assert migrated.returncode == 0, migrated.stderr
        return site

    yield start
    for site in sites:
        site.close()


SCHEDULES = (
    "from django_q.models import Schedule; "
    "print(list(Schedule.objects.values_list('name', 'minutes', 'func')))"
)


def test_new_site_delivers_completion_once(new_site: Callable[..., Site], sandbox: Sandbox) -> None:
    site = new_site()
    assert site.manage("check").returncode == 0
    assert site.python(SCHEDULES) == (
        "[('octovid-refresh', 1, 'octovid_django.tasks.refresh_due')]"
    )
    site.python("from django_q.models import Schedule; Schedule.objects.update(minutes=2)")
    site.manage("migrate")
    assert "'octovid-refresh', 2," in site.python(SCHEDULES), "an operator's edit is kept"

    task_id = sandbox.create(run_seconds=1)
    assert site.manage("octovid_track", task_id).returncode == 0
    site.start_qcluster()
    wait_for(site.received, START_SECONDS, site.log)

    wait_for(lambda: site.status()["undelivered"] == 0, 10, site.log)
    assert site.received() == [
        ["video_succeeded", task_id, "SUCCESS", 1],
        ["video_completed", task_id, "SUCCESS", 1],
    ]
    status = site.status()
    assert status["tasks"] == {"SUCCESS": 1}
    assert status["problems"] == []


def test_single_worker_delivers_within_seconds_of_completion(
    new_site: Callable[..., Site], sandbox: Sandbox
) -> None:
    site = new_site(q_cluster={"workers": 1}, octovid={"POLL_INTERVAL": 1})
    # The polling run holds the only worker until the last of them has completed.
    task_ids = [sandbox.create(run_seconds=seconds) for seconds in (8, 10, 12, 14)]
    site.manage("octovid_track", *task_ids)
    site.wake()
    site.start_qcluster()
    wait_for(lambda: len(site.received()) == 2 * len(task_ids), 60, site.log)

    longest_wait = site.python(
        "from octovid_django.models import VideoTask; "
        "print(max(t.delivered_at - t.finished_at for t in VideoTask.objects.all()).seconds)"
    )
    assert int(longest_wait) < 8


@pytest.mark.timeout(480)
def test_killed_qcluster_loses_no_completion(
    new_site: Callable[..., Site], sandbox: Sandbox
) -> None:
    site = new_site(octovid={"POLL_INTERVAL": 1, "TIMEOUT": 2, "BATCH_SIZE": 10})
    task_ids = [sandbox.create(run_seconds=run_seconds / 4) for run_seconds in range(1, 31)]
    site.manage("octovid_track", *task_ids)
    site.wake()
    cluster = site.start_qcluster()
    wait_for(lambda: sandbox.query_count > 10, START_SECONDS, site.log)
    site.kill(cluster)

    assert site.status()["tasks"] != {"SUCCESS": len(task_ids)}, "killed before all had completed"
    site.start_qcluster()
    wait_for(
        lambda: (
            {task_id for signal, task_id, *_ in site.received() if signal == "video_completed"}
            == set(task_ids)
        ),
        150,
        site.log,
    )

    # A worker that was killed between its receivers and their record leaves its lease behind.
    wait_for(lambda: site.status()["undelivered"] == 0, 180, site.log)
    assert site.status()["tasks"] == {"SUCCESS": len(task_ids)}


def test_code_of_readme_runs(new_site: Callable[..., Site]) -> None:
    site = new_site()
    (site.path / "shop" / "tests.py").write_text(
        readme_code("@receiver(video_succeeded)") + readme_code("class VideoTests")
    )
    result = site.manage("test", "shop")

    assert result.returncode == 0, result.stderr
    assert "Ran 1 test" in result.stderr
    assert "http://127.0.0.1" in result.stdout, "the receiver prints the link"


def test_raising_receiver_fails_test_of_readme(new_site: Callable[..., Site]) -> None:
    site = new_site()
    receivers = readme_code("@receiver(video_succeeded)").replace("print(", "raise KeyError(")
    (site.path / "shop" / "tests.py").write_text(receivers + readme_code("class VideoTests"))

    result = site.manage("test", "shop")

    assert result.returncode == 1
    assert "KeyError" in result.stderr
    assert "FAILED (errors=1)" in result.stderr
