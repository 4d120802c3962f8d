from __future__ import annotations

from pydoc import locate
from typing import Any

import pytest
from django.utils import timezone
from django_q.tasks import async_task

from octovid_django.models import VideoTask
from octovid_django.sandbox import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("name", ["refresh_due", "refresh_backlog", "deliver_completion"])
def test_the_paths_that_django_q2_stores_are_never_renamed(name: str) -> None:
    assert callable(locate(f"octovid_django.tasks.{name}"))


def test_a_refresh_and_a_delivery_run_in_a_worker(
    sandbox: Sandbox, received: list[tuple[str, dict[str, Any]]]
) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=0))

    async_task("octovid_django.tasks.refresh_backlog", sync=True)
    assert received == []
    async_task("octovid_django.tasks.deliver_completion", task.pk, sync=True)

    assert [name for name, _ in received] == ["video_succeeded", "video_completed"]


def test_a_tick_runs_in_a_worker(sandbox: Sandbox) -> None:
    VideoTask.objects.track(sandbox.create(run_seconds=0))

    async_task("octovid_django.tasks.refresh_due", sync=True)

    task = VideoTask.objects.get()
    assert task.delivered_at
    assert task.delivered_at <= timezone.now()
