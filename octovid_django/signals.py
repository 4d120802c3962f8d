"""The signals, all with ``sender=VideoTask`` and ``task`` (``VideoTask``).

``task`` is as it stands in the database: a signal comes after the commit of what it announces.

The three completion signals are delivered at least once, by a django-q2 worker, with ``attempt``
(``int``): 1, and 2, 3, … for a retry after a receiver raised or the worker was killed, and for a
resend. So receivers must be idempotent. One that raises stops neither the others nor the app.
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
    """The receiver and its error, in one redacted line."""


class Signal(dispatch.Signal):
    """A signal about a task. Errors of its receivers are logged, without the links of the task."""

    def notify(self, task: VideoTask, **arguments: Any) -> list[Failure]:
        """Call every receiver, also after one has raised.

        Args:
            task: The argument ``task`` of the receivers.
            arguments: The other arguments of the receivers.

        Returns:
            What the receivers raised.
        """
        links = task.known_links()  # as they are before a receiver changes the instance
        try:
            responses = self.send_robust(sender=type(task), task=task, **arguments)
        except Exception as error:  # noqa: BLE001  not all receivers could be called
            return [log_failure(task, error, links)]
        return [
            log_failure(task, response, links, receiver)
            for receiver, response in responses
            if isinstance(response, Exception)
        ]

    def _log_robust_failure(self, receiver: Callable[..., Any], err: Exception) -> None:
        """Log nothing: Django's record would hold the error, not redacted. ``notify`` logs it."""


def log_failure(
    task: VideoTask, error: BaseException, links: list[str], receiver: object = None
) -> Failure:
    """Log what a receiver raised, and return it.

    Args:
        task: The task that the receiver was called with.
        error: What it raised.
        links: The links of the task, to be redacted.
        receiver: The receiver, where it is known.

    Returns:
        The error, and one line about it.
    """
    name = getattr(receiver, "__qualname__", None) or "a receiver"
    trace = traceback_text(error, links)
    logger.error("Task %s: %s raised:\n%s", task.task_id, name, trace)
    return Failure(error, one_line(f"{name}: {describe(error)}", links))


video_succeeded = Signal()
"""The task succeeded: there is a video (``SUCCESS``). Arguments: ``task``, ``attempt``."""

video_failed = Signal()
"""The task failed, or is lost (``FAILURE``, ``LOST``). Arguments: ``task``, ``attempt``."""

video_completed = Signal()
"""The task has completed; sent after one of the two above. Arguments: ``task``, ``attempt``."""

video_progressed = Signal()
"""Status or progress changed, without completion. Best effort: sent once, or not at all.

Arguments: ``task``, ``previous_status`` (``TaskStatus``), ``previous_progress`` (``int``, percent).
"""
