"""The site's web process: it tracks tasks and reports their state, one line at a time."""

from __future__ import annotations

import json
import pickle
import sys
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections
from django_q.brokers import get_broker
from shop.receivers import stale_copy

from octovid_django.cluster.wakeup import wake
from octovid_django.models import VideoTask
from octovid_django.pause import gateway_state

COLUMNS = (
    *("task_id", "status", "next_poll_at", "error_count", "poll_count", "completed_at"),
    *("delivered_at", "delivery_attempts", "next_delivery_at", "delivery_error", "last_error"),
)


class Command(BaseCommand):
    help = "Do what the lines of standard input say: a JSON array of a name and its arguments."

    def handle(self, **_: Any) -> None:
        for line in sys.stdin:
            name, *arguments = json.loads(line)
            close_old_connections()
            result = getattr(self, name)(*arguments)
            self.stdout.write(json.dumps(result, default=datetime.timestamp))
            self.stdout.flush()

    def track(self, task_ids: list[str]) -> None:
        folder = settings.BASE_DIR / "tracked"
        folder.mkdir(exist_ok=True)
        for task_id in task_ids:
            task = VideoTask.objects.track(task_id, metadata={"shelf": 1})
            (folder / task_id).write_bytes(pickle.dumps(task))

    def save_stale(self, task_ids: list[str]) -> None:
        """Save tasks as they were when they were tracked."""
        for task_id in task_ids:
            with suppress(DatabaseError):  # it was deleted
                stale_copy(task_id).save()

    def wake(self) -> None:
        """Queue a polling run, as the schedule does less often."""
        wake("octovid_django.tasks.refresh_due")

    def repeat_messages(self) -> None:
        """Queue the message about every completion again."""
        for pk in VideoTask.objects.finished().values_list("pk", flat=True):
            wake("octovid_django.tasks.deliver_completion", pk)

    def lose_messages(self) -> None:
        """Drop every message that no cluster has fetched yet."""
        get_broker().purge_queue()

    def state(self) -> dict[str, Any]:
        state = gateway_state()
        return {
            "tasks": list(VideoTask.objects.values(*COLUMNS)),
            "last_run_at": state.last_run_at,
            "pause_reason": state.pause_reason,
        }
