"""Whether django-q2's broker can be reached, found out in bounded time."""

from __future__ import annotations

import threading

from django_q.brokers import get_broker
from django_q.conf import Conf

from octovid_django.redaction import one_line

SECONDS = 2.0
"""How long the broker has to respond to a ping."""

_ping_lock = threading.Lock()


def broker_error() -> str | None:
    """Ping the broker, and return its error.

    Clients of brokers have no deadline: a ping that hangs is left to its own thread, and no
    second one is sent meanwhile. The ORM broker needs no ping: it is the database.

    Returns:
        One line; ``None`` where the broker can be reached.
    """
    if Conf.ORM:
        return None
    errors: list[str] = []

    def ping() -> None:
        try:
            get_broker().ping()
        except Exception as error:  # noqa: BLE001  each broker has its own
            errors.append(one_line(str(error)) or type(error).__name__)
        finally:
            _ping_lock.release()

    timed_out = f"no response within {SECONDS:g} s"
    if not _ping_lock.acquire(timeout=SECONDS):
        return timed_out
    thread = threading.Thread(target=ping, name="octovid-broker", daemon=True)
    thread.start()
    thread.join(SECONDS)
    return timed_out if thread.is_alive() else next(iter(errors), None)
