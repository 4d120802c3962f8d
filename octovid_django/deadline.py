"""An end for a whole answer.

The timeout of requests is one for every address and every read: a server that drips a byte a
second never exceeds it. Connections of a ``DeadlineAdapter`` wait, inside ``with
deadline(seconds):``, only as long as is left of the whole. Looking a name up is the resolver's, and
has a limit of its own.
"""

from __future__ import annotations

import http.client
import io
import math
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from urllib3 import ProxyManager

_ends_at: ContextVar[float] = ContextVar("ends_at", default=math.inf)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Let connecting and reading in this context fail once ``seconds`` have passed.

    Inside of another deadline that one holds too.
    """
    token = _ends_at.set(min(time.monotonic() + seconds, _ends_at.get()))
    try:
        yield
    finally:
        _ends_at.reset(token)


def _seconds_left(shares: int = 1) -> float | None:
    """Return how long one of ``shares`` parts of the time that is left is.

    Outside of a ``deadline`` that is ``None``, and the timeout of requests holds.

    Raises:
        TimeoutError: Nothing is left.
    """
    left = _ends_at.get() - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return None if left == math.inf else left / shares


class _DeadlineReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        left = _seconds_left()
        if left is not None:
            self._sock.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()  # keeps the socket open until it is closed itself
        self.fp = io.BufferedReader(_DeadlineReader(sock, raw))


class _HTTPConnection(HTTPConnection):
    response_class = _Response
    debuglevel = 0  # whatever http.client's is: it would print the key

    def _new_conn(self) -> socket.socket:
        return _connect(self, super()._new_conn)


class _HTTPSConnection(HTTPSConnection):
    response_class = _Response
    debuglevel = 0

    def _new_conn(self) -> socket.socket:
        return _connect(self, super()._new_conn)


def _connect(connection: HTTPConnection, connect: Callable[[], socket.socket]) -> socket.socket:
    """Try the addresses of the host in turn, each in its share of the time that is left.

    Args:
        connection: What to connect.
        connect: Does so, and would give the whole time to every address.
    """
    name = connection._dns_host
    addresses = _addresses(name, connection.port)
    try:
        for untried in range(len(addresses), 0, -1):
            connection._dns_host = addresses[-untried]
            left = _seconds_left(untried)
            if left is not None:
                connection.timeout = left
            try:
                return connect()
            except (ConnectTimeoutError, NewConnectionError):
                if untried == 1:
                    raise
    finally:
        connection._dns_host = name
    return connect()  # which says why there is no address


def _addresses(name: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class _HTTPConnectionPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSConnectionPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOL_CLASSES = {"http": _HTTPConnectionPool, "https": _HTTPSConnectionPool}


class DeadlineAdapter(HTTPAdapter):
    """Transport whose reads end at the ``deadline`` of the context they are in."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOL_CLASSES

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOL_CLASSES
        return manager
