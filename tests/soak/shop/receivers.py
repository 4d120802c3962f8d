"""Receivers that record durably when they begin and when they finish, and that misbehave.

The first word of the task's id says how. They do so while the outcome is delivered; one that
vanishes does so when every receiver has finished, before that can be recorded.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import time
from typing import Any

from django.conf import settings

from octovid_django import signals
from octovid_django.models import VideoTask

NAMES = ("video_succeeded", "video_failed", "video_completed")


def connect() -> None:
    """Connect a receiver to every signal of a completion."""
    for name in NAMES:
        getattr(signals, name).connect(_receiver_of(name), weak=False)


def stale_copy(task_id: str) -> VideoTask:
    """The task as it was when it was tracked: a copy that a site may have kept somewhere."""
    task: VideoTask = pickle.loads((settings.BASE_DIR / "tracked" / task_id).read_bytes())
    return task


def _receiver_of(name: str) -> Any:
    def receive(task: VideoTask, attempt: int, **_: Any) -> None:
        _write_down(name, task, attempt, "begun")
        if name != "video_completed":
            _misbehave(task, attempt)
        _write_down(name, task, attempt, "done")
        if name == "video_completed" and _kind(task) == "vanishes" and attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    return receive


def _kind(task: VideoTask) -> str:
    return task.task_id.partition("-")[0]


def _write_down(name: str, task: VideoTask, attempt: int, what: str) -> None:
    record = {
        "signal": name,
        "task": task.task_id,
        "attempt": attempt,
        "what": what,
        "completed_at": task.completed_at and task.completed_at.timestamp(),
        "pid": os.getpid(),
        "at": time.time(),
    }
    with (settings.BASE_DIR / "received.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")


def _misbehave(task: VideoTask, attempt: int) -> None:
    kind = _kind(task)
    if kind == "stale":  # at every attempt
        stale = stale_copy(task.task_id)
        stale.metadata["attempt"] = attempt
        stale.save()
    elif attempt > 1:
        return
    elif kind == "raises":
        raise RuntimeError("no shelf left")
    elif kind == "hangs":
        time.sleep(settings.Q_CLUSTER["timeout"] + 30)
    elif kind == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "deletes":
        task.delete()
