"""What a task can be, and which of it is the end."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class TaskStatus(models.TextChoices):
    """The status of a video task.

    All but ``LOST`` are the gateway's own words (``data.status`` of its query call).
    """

    NOT_START = "NOT_START", _("not started")
    """Known to the gateway, not yet handed to a channel."""
    SUBMITTED = "SUBMITTED", _("submitted")
    """Handed to a channel."""
    QUEUED = "QUEUED", _("queued")
    """Waiting at the channel."""
    IN_PROGRESS = "IN_PROGRESS", _("in progress")
    """Being generated."""
    UNKNOWN = "UNKNOWN", _("unknown")
    """The gateway does not know, or uses a word that this app does not know."""
    SUCCESS = "SUCCESS", _("succeeded")
    """Final: the video was made."""
    FAILURE = "FAILURE", _("failed")
    """Final: the gateway says that there will be no video."""
    LOST = "LOST", _("lost")
    """Final, and ours: the gateway does not know the task for good, or it did not end in time.

    A later look that finds the task alive or done takes it back.
    """

    @property
    def is_final(self) -> bool:
        """Whether a task with this status is no longer polled."""
        return self in FINAL_STATUSES


STICKY_STATUSES = frozenset({TaskStatus.SUCCESS, TaskStatus.FAILURE})
"""The ends that the gateway declares: nothing it answers later takes them back."""

FINAL_STATUSES = STICKY_STATUSES | {TaskStatus.LOST}

ACTIVE_STATUSES = frozenset(TaskStatus) - FINAL_STATUSES
