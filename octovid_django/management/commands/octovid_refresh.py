from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from octovid_django.conf import octovid_settings
from octovid_django.management.base import OctovidCommand
from octovid_django.management.watch import task_view
from octovid_django.models import VideoTask
from octovid_django.pause import gateway_state
from octovid_django.redaction import one_line
from octovid_django.refresh import RefreshSummary, refresh_due, refresh_tasks

WATCH_SECONDS = 1.0


class Command(OctovidCommand):
    help = (
        "Poll the tasks that are due, or those that are named, now. Where “manage.py qcluster” "
        "runs, this is not needed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "task_ids", metavar="TASK_ID", nargs="*", help="default: the tasks that are due"
        )
        parser.add_argument(
            "--watch",
            action="store_true",
            help="go on, and show progress, until every task has completed or polling it was "
            "stopped, or Ctrl-C is pressed",
        )

    def handle(self, *, task_ids: list[str], watch: bool, **options: Any) -> None:
        octovid_settings.validate()
        named = self.existing(task_ids)
        if watch:
            refresh_tasks(named)
            self._watch(named or list(VideoTask.objects.active().order_by("pk")))
            return
        summary = refresh_tasks(named) if named else refresh_due()
        self.stdout.write(
            f"{summary.polled} polled, {summary.changed} changed, "
            f"{summary.completed} completed, {summary.failed} failed"
        )
        if summary.failed or (not summary.polled and gateway_state().is_paused):
            raise CommandError(self._reason(named, summary))

    def _reason(self, named: list[VideoTask], summary: RefreshSummary) -> str:
        if note := _pause_note():
            return note
        failing = VideoTask.objects.filter(error_count__gt=0).order_by("-polled_at")
        if named:
            failing = failing.filter(pk__in=[task.pk for task in named])
        task = failing.first()
        error = f"; {one_line(f'{task.task_id}: {task.last_error}')}" if task else ""
        return f"{summary.failed} of {summary.polled} polls failed{error}"

    def _watch(self, tasks: list[VideoTask]) -> None:
        watched = VideoTask.objects.filter(pk__in=[task.pk for task in tasks]).order_by("pk")
        if not tasks:
            self.stdout.write("no task is active")
        try:
            with task_view(self.stdout) as show:
                show(watched.all())
                while watched.active().polled().exists():
                    refresh_due()
                    show(watched.all(), _pause_note())
                    time.sleep(WATCH_SECONDS)
                show(watched.all())
        except KeyboardInterrupt:
            self.stdout.write("stopped watching; polling the tasks goes on where a cluster runs")


def _pause_note() -> str:
    state = gateway_state()
    return one_line(f"polling is paused: {state.pause_reason}") if state.is_paused else ""
