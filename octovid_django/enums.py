"""The statuses of a task, and which of them are final."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class TaskStatus(models.TextChoices):
    """The status of a video task.

    All but ``LOST`` are the gateway's (``data.status`` of its query call).
    """

    NOT_START = "NOT_START", _("not started")
    """Known to the gateway, not yet handed to an upstream channel."""
    SUBMITTED = "SUBMITTED", _("submitted")
    """Handed to an upstream channel."""
    QUEUED = "QUEUED", _("queued")
    """Waiting in the queue of the upstream channel."""
    IN_PROGRESS = "IN_PROGRESS", _("in progress")
    """Being generated."""
    UNKNOWN = "UNKNOWN", _("unknown")
    """The gateway does not know, or reports a status that this app does not know."""
    SUCCESS = "SUCCESS", _("succeeded")
    """Final: the video was made."""
    FAILURE = "FAILURE", _("failed")
    """Final: the gateway reports that there will be no video."""
    LOST = "LOST", _("lost")
    """Final, and set by this app: the gateway does not know the task, again and again, or the task
    did not complete within ``LOST_AFTER``.

    A later poll that finds the task active or completed recovers it.
    """

    @property
    def is_final(self) -> bool:
        """Whether a task with this status has completed, and is no longer polled."""
        return self in FINAL_STATUSES


STICKY_STATUSES = frozenset({TaskStatus.SUCCESS, TaskStatus.FAILURE})
"""Final statuses that the gateway reports: no later response changes them."""

FINAL_STATUSES = STICKY_STATUSES | {TaskStatus.LOST}

ACTIVE_STATUSES = frozenset(TaskStatus) - FINAL_STATUSES
