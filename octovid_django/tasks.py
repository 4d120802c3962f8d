"""The functions that django-q2's workers call, by dotted paths that it stores: never rename one."""

from __future__ import annotations

from octovid_django import delivery, refresh, tick
from octovid_django.models import VideoTask


def refresh_due() -> None:
    """Do a polling run: poll and deliver for about a minute.

    The schedule ``octovid-refresh`` calls this. (``refresh.refresh_due`` polls what is due once.)
    """
    tick.tick()


def refresh_backlog() -> None:
    """Help a polling run that has more tasks due than one batch."""
    tick.help_out()


def refresh_by_pk(pks: list[int]) -> None:
    """Refresh these tasks on demand, completed ones too.

    Args:
        pks: The primary keys of the tasks.
    """
    refresh.refresh_tasks(VideoTask.objects.filter(pk__in=pks))


def deliver_completion(pk: int) -> None:
    """Deliver the completion of a task.

    Args:
        pk: The primary key of the ``VideoTask``.
    """
    delivery.deliver(pk)
