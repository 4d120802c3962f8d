from __future__ import annotations

from datetime import timedelta
from pydoc import locate
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from django_q.tasks import async_task

from octovid_django.models import VideoTask
from octovid_django.refresh import refresh_due
from octovid_django.sandbox import Sandbox
from tests.broker import take_messages

pytestmark = pytest.mark.django_db(transaction=True)

DELIVER = "octovid_django.tasks.deliver_completion"
Received = list[tuple[str, dict[str, Any]]]


@pytest.mark.parametrize("name", ["refresh_due", "refresh_backlog", "deliver_completion"])
def test_function_path_stored_by_django_q2_still_exists(name: str) -> None:
    assert callable(locate(f"octovid_django.tasks.{name}"))


def test_refresh_and_delivery_run_in_worker(
    sandbox: Sandbox, received: list[tuple[str, dict[str, Any]]]
) -> None:
    task = VideoTask.objects.track(sandbox.create(run_seconds=0))

    async_task("octovid_django.tasks.refresh_backlog", sync=True)
    assert received == []
    async_task("octovid_django.tasks.deliver_completion", task.pk, sync=True)

    assert [name for name, _ in received] == ["video_succeeded", "video_completed"]


class TestMessages:
    """Messages only wake workers up: they may come twice, late, or never."""

    @pytest.fixture
    def completed_task(self, sandbox: Sandbox) -> VideoTask:
        """A task whose completion is committed; its message was taken, as by a worker."""
        VideoTask.objects.track(sandbox.create(run_seconds=0))
        refresh_due()
        assert [message["func"] for message in take_messages()] == [DELIVER]
        return VideoTask.objects.get()

    def run(self, function: str, *args: int) -> None:
        async_task(function, *args, sync=True)

    def test_message_received_twice_is_idempotent(
        self, completed_task: VideoTask, received: Received
    ) -> None:
        self.run(DELIVER, completed_task.pk)
        self.run(DELIVER, completed_task.pk)

        assert [name for name, _ in received] == ["video_succeeded", "video_completed"]

    def test_message_received_hours_late_changes_nothing(
        self, completed_task: VideoTask, received: Received, sandbox: Sandbox
    ) -> None:
        self.run(DELIVER, completed_task.pk)
        call_count, query_count = len(received), sandbox.query_count

        with time_machine.travel(timezone.now() + timedelta(hours=7)):
            for function in ("refresh_due", "refresh_backlog"):
                self.run(f"octovid_django.tasks.{function}")
            self.run(DELIVER, completed_task.pk)

        assert (len(received), sandbox.query_count) == (call_count, query_count)

    def test_completion_with_lost_message_is_delivered_from_outbox(
        self, completed_task: VideoTask, received: Received
    ) -> None:
        self.run("octovid_django.tasks.refresh_due")

        assert [name for name, _ in received] == ["video_succeeded", "video_completed"]
        assert all(arguments["attempt"] == 1 for _, arguments in received)


def test_tick_runs_in_worker(sandbox: Sandbox) -> None:
    VideoTask.objects.track(sandbox.create(run_seconds=0))

    async_task("octovid_django.tasks.refresh_due", sync=True)

    task = VideoTask.objects.get()
    assert task.delivered_at
    assert task.delivered_at <= timezone.now()
