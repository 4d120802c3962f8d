"""Tasks in the terminal; ``tests/test_commands.py`` shows them in ``octovid_refresh --watch``."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from django.core.management.base import OutputWrapper

from octovid_django.management import watch
from octovid_django.models import VideoTask


def task(**values: object) -> VideoTask:
    defaults = {"pk": 1, "task_id": "cgt-1", "status": "IN_PROGRESS", "progress": 30}
    return VideoTask(**{**defaults, **values})


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """A real pseudo-terminal as standard output; calling it reads what was written to it."""
    reader, writer = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)

        def read() -> str:
            stdout.flush()
            screen = b""
            while select.select([reader], [], [], 0)[0]:
                screen += os.read(reader, 65536)
            return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.decode())

        yield read
        monkeypatch.undo()
    os.close(reader)


def test_output_without_terminal_is_one_line_per_change() -> None:
    stdout = StringIO()
    with watch.task_view(OutputWrapper(stdout)) as show:
        show([task()])
        show([task()])
        show([task(progress=50, last_error="refused")])
        show([task(status="FAILURE", progress=100, fail_reason="no cats")])

    assert stdout.getvalue().splitlines() == [
        "cgt-1   30 %  IN_PROGRESS",
        "cgt-1   50 %  IN_PROGRESS  refused",
        "cgt-1  100 %  FAILURE  no cats",
    ]


def test_repeated_note_is_written_once() -> None:
    stdout = StringIO()
    with watch.task_view(OutputWrapper(stdout)) as show:
        for note in ("paused", "paused", "still paused", "", "paused"):
            show([], note)

    assert stdout.getvalue().splitlines() == ["paused", "still paused", "paused"]


def test_terminal_shows_one_bar_per_task(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as read:
        with watch.task_view(OutputWrapper(sys.stdout)) as show:
            show([task(), task(pk=2, task_id="cgt-[red]2", progress=70)])
            show([task(status="SUCCESS", progress=100)], "paused")
            show([], "paused")
        screen = read()

    assert screen.count("paused") == 1
    assert "cgt-1" in screen
    assert "cgt-[red]2" in screen, "an id is text, not markup"
    assert "━" in screen
    assert "100 %" in screen
    assert "succeeded" in screen


def test_terminal_without_rich_shows_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as read:
        monkeypatch.setattr(watch, "Progress", None)
        with watch.task_view(OutputWrapper(sys.stdout)) as show:
            show([task()])
        screen = read()

    assert screen.split() == ["cgt-1", "30", "%", "IN_PROGRESS"]


def test_rich_is_no_required_dependency() -> None:
    setup = (Path(__file__).resolve().parent.parent / "setup.cfg").read_text()
    required = setup[setup.index("install_requires") : setup.index("[options.packages.find]")]
    assert "rich" not in required


HOSTILE = "no\x1b[2J\x1b]0;title\x07\x9b31m\u202ecats\nforged  100 %  SUCCESS\rx"
HARMLESS = "no [2J ]0;title 31m cats forged 100 % SUCCESS x"


@pytest.mark.parametrize("has_rich", [True, False], ids=["bars", "lines"])
def test_terminal_control_characters_from_gateway_are_removed(
    monkeypatch: pytest.MonkeyPatch, has_rich: bool
) -> None:
    if not has_rich:
        monkeypatch.setattr(watch, "Progress", None)
    with terminal(monkeypatch) as read:
        monkeypatch.setenv("COLUMNS", "200")
        with watch.task_view(OutputWrapper(sys.stdout)) as show:
            show([task(task_id="cgt-\x1b[2J1", status="FAILURE", fail_reason=HOSTILE)])
            show([task(pk=2, task_id="cgt-2", last_error=HOSTILE)], f"paused: {HOSTILE}")
        screen = read()

    assert HARMLESS in screen
    assert "paused: no [2J ]0;title" in screen
    assert "cgt- [2J1" in screen
    for char in ("\x1b", "\x07", "\x9b", "\u202e"):
        assert char not in screen
    assert not [line for line in screen.splitlines() if line.startswith("forged")]
