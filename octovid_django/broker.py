"""Whether django-q2's broker can be reached, told in bounded time."""

from __future__ import annotations

import threading

from django_q.brokers import get_broker
from django_q.conf import Conf

from octovid_django.redaction import one_line

SECONDS = 2.0
"""How long a broker has for its response."""

_is_asking = threading.Lock()


def broker_error() -> str | None:
    """Return in one line why the broker cannot be reached, ``None`` where it can.

    Brokers know no deadline: one that hangs is left to its own thread, and never asked twice at
    once. The ORM broker is a database that whoever asks has reached already.
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
            _is_asking.release()

    silent = f"no response within {SECONDS:g} s"
    if not _is_asking.acquire(timeout=SECONDS):
        return silent
    thread = threading.Thread(target=ping, name="octovid-broker", daemon=True)
    thread.start()
    thread.join(SECONDS)
    return silent if thread.is_alive() else next(iter(errors), None)
