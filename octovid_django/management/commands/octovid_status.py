from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.db.models import Count
from django.utils import timezone

from octovid_django.health import problems
from octovid_django.management.base import OctovidCommand
from octovid_django.models import VideoTask
from octovid_django.pause import gateway_state


class Command(OctovidCommand):
    help = (
        "Tell how the tasks and the gateway are. Exit code 1 when something is wrong: overdue "
        "tasks, ends that were not delivered, no schedule, a paused gateway, wrong settings."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="for programs")

    def handle(self, *, as_json: bool, **options: Any) -> None:
        report = _report()
        self.stdout.write(_as_json(report) if as_json else _as_text(report))
        if report["problems"]:
            sys.exit(1)


def _report() -> dict[str, Any]:
    state = gateway_state()
    by_status = VideoTask.objects.order_by("status").values("status").annotate(count=Count("pk"))
    return {
        "tasks": {row["status"]: row["count"] for row in by_status},
        "undelivered": VideoTask.objects.undelivered().count(),
        "last_tick_at": state.last_tick_at,
        "last_answer_at": state.last_answer_at,
        "paused_until": state.paused_until,
        "problems": [{"code": each.code, "message": each.message} for each in problems()],
    }


def _as_json(report: dict[str, Any]) -> str:
    return json.dumps(report, default=lambda moment: moment.isoformat(), ensure_ascii=False)


def _as_text(report: dict[str, Any]) -> str:
    tasks = ", ".join(f"{count} {status}" for status, count in report["tasks"].items())
    lines = [f"tasks: {tasks or 'none'}", f"undelivered ends: {report['undelivered']}"]
    for name in ("last_tick_at", "last_answer_at", "paused_until"):
        moment = report[name]
        when = f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}" if moment else "–"
        lines.append(f"{name.replace('_', ' ')}: {when}")
    lines += [f"! {problem['message']}" for problem in report["problems"]]
    return "\n".join([*lines, *([] if report["problems"] else ["all is well"])])
