"""Messages to django-q2's workers. They carry no state: the rows tell what there is to do."""

from __future__ import annotations

import logging

from django_q.tasks import async_task

from octovid_django.conf import Q_OPTIONS, octovid_settings

logger = logging.getLogger(__name__)


def wake(function: str, *args: int | list[int]) -> bool:
    """Have a worker call ``function``. It never raises: a lost call costs time, never data.

    Args:
        function: The dotted path of one of ``octovid_django.tasks``.
        args: Its arguments.

    Returns:
        Whether the broker took the call.
    """
    try:
        cluster = octovid_settings.CLUSTER
        async_task(function, *args, q_options={**Q_OPTIONS, "cluster": cluster})
    except Exception:
        logger.exception(
            "No worker could be woken up for %s: the next tick does its work", function
        )
        return False
    return True
