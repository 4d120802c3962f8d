"""What differs from host to host: the clock, and the way to the database and the broker."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

with suppress(ImportError):  # a driver for MariaDB that needs no compiler
    import pymysql

    pymysql.install_as_MySQLdb()

_AHEAD = timedelta(seconds=float(os.environ.get("SOAK_CLOCK_AHEAD", "0")))
_right_time = timezone.now


def _now() -> datetime:
    return _right_time() + _AHEAD


timezone.now = _now


def database(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a database, by this host's way to it."""
    port = os.environ.get("SOAK_DATABASE_PORT")
    return settings | ({"PORT": port} if port else {})


def broker(settings: dict[str, Any]) -> dict[str, Any]:
    """Return ``Q_CLUSTER``'s part about the broker, by this host's way to it."""
    url = os.environ.get("SOAK_REDIS_URL")
    return settings | ({"redis": url} if url else {})
