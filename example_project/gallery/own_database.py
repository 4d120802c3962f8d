"""A database that the demo may fill, with a superuser whose password everybody knows.

It is the demo's own: it had no table when the demo first used it, and is marked since. On a server
it must also be on this machine, and the site in development. Nothing is written before that is
sure.
"""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import DatabaseError, connection

MARKER = "octovid_demo"


def claim_database() -> None:
    """Make the database the demo's own.

    Raises:
        CommandError: It belongs to others, or may; nothing was written.
    """
    database = settings.DATABASES["default"]
    is_file = database["ENGINE"] == "django.db.backends.sqlite3"
    tables = _tables_of_file(str(database["NAME"])) if is_file else _tables_of_server(database)
    if MARKER in tables:
        return
    if tables:
        raise _refusal("this one holds tables of others")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {MARKER} (id integer)")


def _refusal(reason: str) -> CommandError:
    return CommandError(
        f"The demo makes a superuser with a known password, so it needs a database of its own: "
        f"{reason}. Set DATABASE_URL to a file that does not exist yet, such as "
        f"sqlite:///demo.sqlite3; or, with DEBUG, to an empty database on this machine."
    )


def _tables_of_file(name: str) -> list[str]:
    """Read the file without Django, whose connection would change its journal mode."""
    if name == ":memory:" or name.startswith("file:"):
        raise _refusal("this one is in memory, and several processes must share it")
    path = Path(name).absolute()
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            return [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
    except sqlite3.Error as error:
        raise _refusal(f"this file cannot be read as one ({error})") from None


def _tables_of_server(database: dict[str, Any]) -> list[str]:
    if not settings.DEBUG:
        raise _refusal("this one is on a server, and DEBUG is off")
    options = dict(database.get("OPTIONS", {}))
    hosts = [host for host in (database["HOST"], options.pop("host", "")) if host]
    if not hosts or options or not all(map(_is_here, hosts)):
        raise _refusal("DATABASE_URL does not say plainly that this one is on this machine")
    try:
        connection.ensure_connection()
        if not _is_here(_peer()):
            raise _refusal("this one is on another machine")
        with connection.cursor() as cursor:
            return [each.name for each in connection.introspection.get_table_list(cursor)]
    except (DatabaseError, ImproperlyConfigured) as error:
        raise _refusal(f"this one cannot be reached ({error})") from None


def _is_here(host: str) -> bool:
    """Whether a host is a socket's path or the loopback interface, and not a name like one."""
    if host == "localhost" or Path(host).is_absolute():
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _peer() -> str:
    """The host that the connection leads to, whatever settings and driver environment say."""
    driver: Any = connection.connection
    if connection.vendor == "mysql":
        # "127.0.0.1 via TCP/IP" of mysqlclient, "socket 127.0.0.1:3306" of PyMySQL, or
        # "Localhost via UNIX socket" of both.
        info = str(driver.get_host_info()).lower()
        is_pymysql = info.startswith("socket ")
        return info.split()[1].rpartition(":")[0] if is_pymysql else info.split()[0]
    if connection.vendor != "postgresql":
        return ""
    with socket.socket(fileno=os.dup(driver.fileno())) as sock:
        return "localhost" if sock.family == socket.AF_UNIX else str(sock.getpeername()[0])
