"""What django-q2 calls. It stores these dotted paths: they are never renamed."""

from __future__ import annotations

from octovid_django import delivery, refresh, tick
from octovid_django.models import VideoTask


def refresh_due() -> None:
    """Refresh and deliver for about a minute. The schedule ``octovid-refresh`` calls this."""
    tick.tick()


def refresh_backlog() -> None:
    """Help a tick that has more due than one batch."""
    tick.help_out()


def refresh_tasks(pks: list[int]) -> None:
    """Refresh these tasks now, finished ones too: somebody wants to know.

    Args:
        pks: The primary keys of the tasks.
    """
    refresh.refresh_tasks(VideoTask.objects.filter(pk__in=pks))


def deliver_completion(pk: int) -> None:
    """Run the receivers of one task's end.

    Args:
        pk: The primary key of the ``VideoTask``.
    """
    delivery.deliver(pk)
