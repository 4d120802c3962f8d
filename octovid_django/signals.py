"""What the app tells the site. Every signal is sent with ``sender=VideoTask``.

``task`` (``VideoTask``) is the task as it stands in the database: signals come after the commit
that they speak of.

The three that speak of an end are sent at least once for each end, from a django-q2 worker, with
``attempt`` (``int``): 1, and 2, 3, … when a receiver raised or the worker was killed before. A
receiver must bear being called twice with the same task; ``attempt`` tells that it may be. One
that raises stops neither the others nor the app.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from django import dispatch

from octovid_django.redaction import describe, one_line, traceback_text

if TYPE_CHECKING:
    from octovid_django.models import VideoTask

logger = logging.getLogger(__name__)


class Failure(NamedTuple):
    """What a receiver raised."""

    error: BaseException
    line: str
    """What and whose it is, in one redacted line."""


class Signal(dispatch.Signal):
    """A signal about a task. What its receivers raise is logged without the links of the task."""

    def notify(self, task: VideoTask, **arguments: Any) -> list[Failure]:
        """Call every receiver, also after one has raised.

        Args:
            task: What the signal is about.
            arguments: The other arguments of the receivers.

        Returns:
            What the receivers raised.
        """
        links = task.known_links()  # as they are before a receiver changes the instance
        try:
            responses = self.send_robust(sender=type(task), task=task, **arguments)
        except Exception as error:  # noqa: BLE001  none could be called, or not all
            return [log_failure(task, error, links)]
        return [
            log_failure(task, response, links, receiver)
            for receiver, response in responses
            if isinstance(response, Exception)
        ]

    def _log_robust_failure(self, receiver: Callable[..., Any], err: Exception) -> None:
        """Django's own record of it would hold the error as it is; ``notify`` logs it."""


def log_failure(
    task: VideoTask, error: BaseException, links: list[str], receiver: object = None
) -> Failure:
    """Log what a receiver raised, and return it.

    Args:
        task: What the receiver was called about.
        error: What it raised.
        links: Those of the task, which a receiver's error is likely to show.
        receiver: Which one it was, where that is known.
    """
    name = getattr(receiver, "__qualname__", None) or "a receiver"
    trace = traceback_text(error, links)
    logger.error("Task %s: %s raised:\n%s", task.task_id, name, trace)
    return Failure(error, one_line(f"{name}: {describe(error)}", links))


video_succeeded = Signal()
"""The video was made (``SUCCESS``). Arguments: ``task``, ``attempt``."""

video_failed = Signal()
"""There will be no video (``FAILURE``, ``LOST``). Arguments: ``task``, ``attempt``."""

video_completed = Signal()
"""The task has ended; sent after one of the two above. Arguments: ``task``, ``attempt``."""

video_progressed = Signal()
"""Status or progress changed, but this is not the end. Best effort: sent once, or not at all.

Arguments: ``task``, ``previous_status`` (``TaskStatus``), ``previous_progress`` (``int``, percent).
"""
