"""For the tests of an application: do at once, in this process, what the cluster does."""

from __future__ import annotations

import math
import time

from octovid_django import delivery
from octovid_django.models import VideoTask
from octovid_django.pause import gateway_state
from octovid_django.refresh import refresh_tasks

NAP = 0.05
"""Seconds between two polls."""


def complete(task: VideoTask, *, timeout: float = 10) -> None:
    """Poll ``task`` until it completes, and run the receivers of its completion.

    ``task`` is up to date afterwards.

    Args:
        task: A saved task, of a ``Sandbox`` or of a gateway of your own.
        timeout: About how long to wait for the completion, in seconds.

    Raises:
        Exception: The first error of a receiver, so that the test fails by it.
        TimeoutError: The task did not complete in time; the message says why, if that is known.
        OctovidSettingsError: ``API_KEY`` or another setting is missing or wrong.
    """
    # Counted, because the clock of a test may stand still.
    for _ in range(math.ceil(timeout / NAP) or 1):
        refresh_tasks([task])
        task.refresh_from_db()
        if task.completed_at:
            break
        time.sleep(NAP)
    else:
        reason = task.last_error or gateway_state().pause_reason or f"it is {task.status}"
        raise TimeoutError(f"{task.task_id} has not completed within {timeout:g} s: {reason}")
    errors = delivery.attempt(task.pk)
    task.refresh_from_db()
    if errors:
        raise errors[0]
    if not task.delivered_at:  # attempted before, by a cluster that runs in this very process
        raise AssertionError(f"a receiver of {task.task_id} has raised: {task.delivery_error}")
