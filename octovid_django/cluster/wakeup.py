"""Messages that wake django-q2's workers up. They carry no state: the rows say what is due."""

from __future__ import annotations

import logging

from django_q.tasks import async_task

from octovid_django.cluster import OPTIONS
from octovid_django.conf import octovid_settings
from octovid_django.redaction import traceback_text

logger = logging.getLogger(__name__)


def wake(function: str, *args: int | list[int]) -> bool:
    """Have a worker call ``function``. It never raises: a lost message costs time, never data.

    Args:
        function: The dotted path of a function of ``octovid_django.tasks``.
        args: Its arguments.

    Returns:
        Whether the broker took the message.
    """
    try:
        cluster = octovid_settings.CLUSTER
        async_task(function, *args, q_options={**OPTIONS, "cluster": cluster})
    except Exception as error:  # noqa: BLE001  whatever a broker raises
        logger.error(
            "No worker could be woken up for %s, the next polling run does the work:\n%s",
            function,
            traceback_text(error),
        )
        return False
    return True
