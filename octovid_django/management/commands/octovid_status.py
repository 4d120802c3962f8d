from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.db import OperationalError, connections, router
from django.db.models import Count
from django.utils import timezone
from django.utils.translation import gettext as _

from octovid_django.health import problems
from octovid_django.management.base import OctovidCommand
from octovid_django.models import VideoTask
from octovid_django.pause import gateway_state
from octovid_django.redaction import one_line


class Command(OctovidCommand):
    help = (
        "Show the state of the tasks and of the gateway. Exit code 1 when there is a problem: "
        "polling is paused; the gateway, the broker or the database cannot be reached; tasks are "
        "overdue or stuck; completions are not delivered, or links expire before; the schedule is "
        "missing; settings are wrong."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="print one JSON object"
        )

    def handle(self, *, as_json: bool, **options: Any) -> None:
        report = _database_problem() or _report()
        for line in [_as_json(report)] if as_json else _as_lines(report):
            self.stdout.write(line)
        if report["problems"]:
            sys.exit(1)


def _database_problem() -> dict[str, Any] | None:
    """The report where the database cannot be reached; ``None`` where it can."""
    try:
        connections[router.db_for_read(VideoTask)].ensure_connection()
    except OperationalError as error:
        message = one_line(_("The database cannot be reached: %(error)s") % {"error": error})
        return {"problems": [{"code": "database", "message": message}]}
    return None


def _report() -> dict[str, Any]:
    state = gateway_state()
    by_status = VideoTask.objects.order_by("status").values("status").annotate(count=Count("pk"))
    return {
        "tasks": {row["status"]: row["count"] for row in by_status},
        "undelivered": VideoTask.objects.undelivered().count(),
        "last_run_at": state.last_run_at,
        "last_response_at": state.last_response_at,
        "paused_until": state.paused_until,
        "problems": [{"code": each.code, "message": each.message} for each in problems()],
    }


def _as_json(report: dict[str, Any]) -> str:
    return json.dumps(report, default=lambda moment: moment.isoformat(), ensure_ascii=False)


def _as_lines(report: dict[str, Any]) -> list[str]:
    problems = [f"! {problem['message']}" for problem in report["problems"]]
    if "tasks" not in report:
        return problems
    tasks = ", ".join(f"{count} {status}" for status, count in report["tasks"].items())
    lines = [f"tasks: {tasks or 'none'}", f"undelivered completions: {report['undelivered']}"]
    for name in ("last_run_at", "last_response_at", "paused_until"):
        moment = report[name]
        when = f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}" if moment else "–"
        lines.append(f"{name.replace('_', ' ')}: {when}")
    return [*lines, *(problems or ["all is well"])]
