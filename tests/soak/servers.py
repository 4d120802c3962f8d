"""The databases and brokers of a soak: where they run, and a way to each that can be cut."""

from __future__ import annotations

import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from tests.proxy import Proxy


class UnavailableError(Exception):
    """It does not run here, or its driver is missing."""


class Server(ABC):
    """A database or a broker of one trial."""

    settings: dict[str, Any]
    """Its part of Django's or django-q2's settings."""
    environment: dict[str, str]
    """By which clusters get there: on a way that can be cut."""

    @abstractmethod
    def cut(self) -> None:
        """Keep the clusters from it."""

    @abstractmethod
    def mend(self) -> None:
        """Let them through again."""

    @abstractmethod
    def close(self) -> None:
        """Leave nothing behind."""


class Sqlite(Server):
    """A file, which the README recommends for one machine; to cut it is to lock it."""

    environment: dict[str, str] = {}

    def __init__(self, _: str, path: Path) -> None:
        self._path = path / "db.sqlite3"
        self._lock: sqlite3.Connection | None = None
        self.settings = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(self._path),
            "OPTIONS": {
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
            },
        }

    def cut(self) -> None:
        self._lock = sqlite3.connect(
            self._path, timeout=20, isolation_level=None, check_same_thread=False
        )
        self._lock.execute("BEGIN IMMEDIATE")

    def mend(self) -> None:
        if self._lock:
            self._lock.close()

    def close(self) -> None:
        self.mend()


class ProxiedServer(Server):
    """One that listens on a port, and that the clusters reach through a proxy.

    Args:
        url: Where it runs.
    """

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._proxy = Proxy(self._url.hostname or "", self._url.port or 0)

    def cut(self) -> None:
        self._proxy.cut()

    def mend(self) -> None:
        self._proxy.mend()

    def close(self) -> None:
        self._proxy.close()


class SqlServer(ProxiedServer):
    """A database of its own on a server that runs."""

    engine: str
    url: str
    drop = "DROP DATABASE IF EXISTS {}"

    def __init__(self, name: str, _: Path) -> None:
        super().__init__(self.url)
        self._name = name
        self._execute(f"CREATE DATABASE {name}")
        self.environment = {"SOAK_DATABASE_PORT": str(self._proxy.port)}
        self.settings = {
            "ENGINE": f"django.db.backends.{self.engine}",
            "NAME": name,
            "HOST": self._url.hostname,
            "PORT": self._url.port,
            "USER": self._url.username,
            "PASSWORD": self._url.password or "",
        }

    @abstractmethod
    def connect(self, server: SplitResult) -> Any:
        """A DB-API connection that commits by itself."""

    def close(self) -> None:
        super().close()
        self._execute(self.drop.format(self._name))

    def _execute(self, statement: str) -> None:
        connection = _available(lambda: self.connect(self._url))
        try:
            connection.cursor().execute(statement)
        finally:
            connection.close()


class Postgres(SqlServer):
    engine = "postgresql"
    url = os.environ.get("SOAK_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432")
    drop = "DROP DATABASE IF EXISTS {} WITH (FORCE)"

    def connect(self, server: SplitResult) -> Any:
        import psycopg  # noqa: PLC0415  a soak on SQLite alone does not need it

        return psycopg.connect(server.geturl(), autocommit=True, connect_timeout=5)


class MariaDB(SqlServer):
    engine = "mysql"
    url = os.environ.get("SOAK_MARIADB_URL", "mysql://root@127.0.0.1:3306")

    def connect(self, server: SplitResult) -> Any:
        import pymysql  # noqa: PLC0415

        return pymysql.connect(
            host=server.hostname,
            port=server.port or 0,
            user=server.username,
            password=server.password or "",
            autocommit=True,
            connect_timeout=5,
        )


class OrmBroker(Server):
    """The site's own database: it is cut together with that, never alone."""

    environment: dict[str, str] = {}

    def __init__(self, name: str) -> None:
        self.settings = {"name": name, "orm": "default", "redis": None}

    def cut(self) -> None:
        """Nothing."""

    def mend(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class RedisBroker(ProxiedServer):
    """A queue of its own on a Redis that runs."""

    url = os.environ.get("SOAK_REDIS_URL", "redis://127.0.0.1:6379/0")

    def __init__(self, name: str) -> None:
        super().__init__(self.url)
        self._queue = f"django_q:{name}:q"
        self._redis = _available(self._connect)
        there = f"redis://127.0.0.1:{self._proxy.port}{self._url.path}"
        self.environment = {"SOAK_REDIS_URL": there}
        self.settings = {"name": name, "orm": None, "redis": self.url}

    def _connect(self) -> Any:
        import redis  # noqa: PLC0415

        connection = redis.from_url(self.url, socket_timeout=5)
        connection.ping()
        return connection

    def close(self) -> None:
        super().close()
        self._redis.delete(self._queue)
        self._redis.close()


def _available(connect: Callable[[], Any]) -> Any:
    try:
        return connect()
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise UnavailableError(reason[0] if reason else type(error).__name__) from error


DATABASES: dict[str, Callable[[str, Path], Server]] = {
    "sqlite": Sqlite,
    "postgres": Postgres,
    "mariadb": MariaDB,
}
BROKERS: dict[str, Callable[[str], Server]] = {"orm": OrmBroker, "redis": RedisBroker}
