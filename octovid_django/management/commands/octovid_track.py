from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from octovid_django.conf import octovid_settings
from octovid_django.management.base import OctovidCommand
from octovid_django.models import VideoTask
from octovid_django.task_ids import bare_task_id, validate_task_id

MAX_QUOTED = 80
"""Characters of a wrong argument that are repeated."""


def _json_object(value: str) -> dict[str, Any]:
    quoted = repr(value if len(value) <= MAX_QUOTED else f"{value[:MAX_QUOTED]}…")
    try:
        metadata = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"--metadata {quoted} is not JSON: {error}") from None
    if not isinstance(metadata, dict):
        raise CommandError(f'--metadata {quoted} is not a JSON object like {{"order": 7}}')
    return metadata


class Command(OctovidCommand):
    help = "Track video tasks of the gateway: poll them until they complete."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "task_ids",
            metavar="TASK_ID",
            nargs="+",
            help="the id that the gateway's creation call returned",
        )
        parser.add_argument(
            "--metadata",
            metavar="JSON",
            help='application data of these tasks, a JSON object like {"order": 7}',
        )

    def handle(self, *, task_ids: list[str], metadata: str | None, **options: Any) -> None:
        octovid_settings.validate()
        task_ids = [validate_task_id(bare_task_id(text)) for text in task_ids]
        values = None if metadata is None else _json_object(metadata)
        for task_id in task_ids:
            is_known = VideoTask.objects.filter(task_id=task_id).exists()
            task = VideoTask.objects.track(task_id, metadata=values)
            self.stdout.write(
                f"{task_id}: {f'tracked already, {task.status}' if is_known else 'tracked'}"
            )
