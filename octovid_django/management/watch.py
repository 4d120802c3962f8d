"""Tasks in the terminal: progress bars where rich is installed, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from django.core.management.base import OutputWrapper

from octovid_django.models import VideoTask
from octovid_django.redaction import one_line, printable

try:
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
except ImportError:  # the extra "watch"
    Progress = None  # type: ignore[assignment,misc]


class Show(Protocol):
    def __call__(self, tasks: Iterable[VideoTask], note: str = "") -> None:
        """Show ``tasks`` as they are, and ``note`` when it changes."""


@contextmanager
def task_view(stdout: OutputWrapper) -> Iterator[Show]:
    """Give a function that shows tasks each time it is called."""
    if Progress is not None and stdout.isatty():
        with _bars() as show:
            yield show
    else:
        yield _lines(stdout)


def _detail(task: VideoTask) -> str:
    return one_line(task.fail_reason or task.last_error, task.known_links())


def _lines(stdout: OutputWrapper) -> Show:
    shown: dict[str, str] = {}

    def show(tasks: Iterable[VideoTask], note: str = "") -> None:
        lines = {"": printable(note)}
        for task in tasks:
            name = printable(task.task_id)
            line = f"{name}  {task.progress:3d} %  {task.status}  {_detail(task)}"
            lines[name] = line.rstrip()
        for key, line in lines.items():
            if line and shown.get(key) != line:
                stdout.write(line)
        shown.update(lines)
        stdout.flush()

    return show


@contextmanager
def _bars() -> Iterator[Show]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[status]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    with Progress(*columns) as progress:
        bars: dict[int, TaskID] = {}
        shown_note = ""

        def show(tasks: Iterable[VideoTask], note: str = "") -> None:
            nonlocal shown_note
            if note and note != shown_note:
                progress.console.print(printable(note), markup=False)
            shown_note = note
            for task in tasks:
                state: dict[str, Any] = {
                    "completed": task.progress,
                    "status": task.get_status_display(),
                    "detail": _detail(task),
                }
                if task.pk in bars:
                    progress.update(bars[task.pk], **state)
                else:
                    name = printable(task.task_id)
                    bars[task.pk] = progress.add_task(name, total=100, **state)
                if task.is_finished:
                    progress.stop_task(bars[task.pk])

        yield show
