"""What the commands share: an error is one line on stderr and exit code 1, never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db import DatabaseError, OperationalError, ProgrammingError

from octovid_django.exceptions import OctovidError
from octovid_django.models import VideoTask
from octovid_django.redaction import one_line, printable
from octovid_django.task_ids import bare_task_id, validate_task_id


class _Lines(OutputWrapper):
    """Writes one line at a time, without control characters: parts come from the gateway."""

    def write(  # type: ignore[override]  # as its base class does
        self,
        msg: str = "",
        style_func: Callable[[str], str] | None = None,
        ending: str | None = None,
    ) -> None:
        super().write(printable(str(msg).removesuffix("\n")), style_func, ending)


class OctovidCommand(BaseCommand):
    """A command whose errors are one line each, those of the settings included."""

    requires_system_checks = ()  # their report of wrong settings has many lines

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(*args, **kwargs)
        report = parser.error
        parser.error = lambda message: report(printable(message))  # type: ignore[method-assign]
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        options["stdout"] = _Lines(options.get("stdout") or sys.stdout)
        options["stderr"] = _Lines(options.get("stderr") or sys.stderr)
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            failure = CommandError(printable(str(error)), returncode=error.returncode)
        except OctovidError as error:
            failure = CommandError(str(error))
        except (OperationalError, ProgrammingError) as error:
            failure = CommandError(one_line(f"{error} (has “manage.py migrate” been run?)"))
        except DatabaseError as error:
            failure = CommandError(one_line(f"database error: {error}"))
        raise failure  # without its cause: databases quote the rows that they refuse

    def existing(self, task_ids: list[str]) -> list[VideoTask]:
        """Return the tasks with these ids, in this order.

        Raises:
            OctovidTaskIdError: One of them cannot be the id of a task.
            CommandError: One of them is not tracked.
        """
        task_ids = [validate_task_id(bare_task_id(text)) for text in task_ids]
        found = {task.task_id: task for task in VideoTask.objects.filter(task_id__in=task_ids)}
        missing = [task_id for task_id in task_ids if task_id not in found]
        if missing:
            raise CommandError(
                f"not tracked: {', '.join(missing)}. To track it, run "
                f"“manage.py octovid_track {missing[0]}”."
            )
        return [found[task_id] for task_id in task_ids]
