"""Connections that hold nobody: a deadline for a whole response, and a limit for its head.

The timeout of requests is one for every address and every read: a server that drips a byte a
second never exceeds it. Connections of a ``DeadlineAdapter`` wait, inside ``with
deadline(seconds):``, only as long as is left of the whole. Looking a name up is the resolver's, and
has a limit of its own.

Nor do they let urllib3 know what they ask for: it logs that, and it may be a signed link.
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

MAX_HEAD_BYTES = 64 * 1024
"""Of a response before its body, interim (1xx) ones included: http.client takes a hundred times
as much, of interim ones as many as come."""
LOWEST_RATE = 8 * 1024
"""Bytes a second that are waited for; see ``paced``."""

_UNLOGGED = "/…"
"""What urllib3 takes for the path and the query."""

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


def paced(read: Callable[[], bytes], seconds: float) -> Iterator[bytes]:
    """Yield what ``read`` returns, until that is nothing.

    Only waiting for it is measured, not what whoever gets it does meanwhile, nor in which thread:
    no wait is longer than ``seconds``, nor are they all together, but for what ``LOWEST_RATE``
    allows for the bytes that came.

    Raises:
        TimeoutError: Or what is made of it: they are over.
    """
    left = seconds
    while True:
        started_at = time.monotonic()
        with deadline(left):
            piece = read()
        if not piece:
            return
        left = min(left - (time.monotonic() - started_at) + len(piece) / LOWEST_RATE, seconds)
        yield piece


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
    head_left: float = MAX_HEAD_BYTES
    """Bytes that may still come; without a limit once the head has."""

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
        self.head_left -= count or 0
        if self.head_left < 0:
            raise http.client.LineTooLong("head")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()  # keeps the socket open until it is closed itself
        self._reader = _DeadlineReader(sock, raw)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        self._reader.head_left = math.inf
        # Lines that are no headers: urllib3 would log them, and they may repeat the key.
        self.msg.set_payload("")
        self.msg.defects.clear()


class _Connection(HTTPConnection):
    response_class = _Response
    debuglevel = 0  # whatever http.client's is: it would print the key
    target = ""

    def _new_conn(self) -> socket.socket:
        return _connect(self, super()._new_conn)

    def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        super().putrequest(method, self.target, *args, **kwargs)


class _SecureConnection(_Connection, HTTPSConnection):
    pass


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


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def _make_request(self, conn: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        conn.target = url
        return super()._make_request(conn, method, _UNLOGGED, *args, **kwargs)


class _SecurePool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOL_CLASSES = {"http": _Pool, "https": _SecurePool}


class DeadlineAdapter(HTTPAdapter):
    """Transport whose reads end at the ``deadline`` of the context they are in."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOL_CLASSES

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOL_CLASSES
        return manager
