"""A gateway on a socket that behaves, task by task, as a test sets: badly, too."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

Behaviour = Callable[[socket.socket, threading.Event], None]
"""Responds to one request; the event is set when the gateway stops. May close the socket."""


@dataclass(frozen=True)
class Request:
    """What a client has sent."""

    line: str
    headers: dict[str, str]
    """By their names in lower case."""
    connection: int
    """The number of the connection it came by, from 1."""

    @property
    def task_id(self) -> str:
        return unquote(self.line.split(" ")[1].rpartition("/")[2])


# Behaviours.


def responds(status: int, body: Any = b"", **headers: str) -> Behaviour:
    """A whole response: ``body`` is bytes, text or else JSON; a header is ``Retry_After="5"``."""
    data = body if isinstance(body, bytes) else _encode(body)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return sends(_head(status, {**names, "Content-Length": str(len(data))}) + data, hang_up=False)


def responds_packed(size: int, times: int = 1) -> Behaviour:
    """A response in gzip, small on the wire, of so many bytes when it is unpacked."""
    body = b" " * size
    for _ in range(times):
        body = gzip.compress(body, 9)
    return responds(200, body, Content_Encoding=", ".join(["gzip"] * times))


def unpacks_to_a_gigabyte() -> Behaviour:
    """A megabyte of gzip, without its end: a client that unpacks all of it has failed."""
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    first = packer.compress(b" " * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b" " * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)
    return responds(200, first + block * 1023, Content_Encoding="gzip")


def sends(raw: bytes, *, hang_up: bool = True) -> Behaviour:
    """These bytes."""

    def behave(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(raw)
        if hang_up:
            connection.close()

    return behave


def breaks_off(body: bytes = b'{"code": ') -> Behaviour:
    """A part of the response that was promised."""
    return sends(_head(200, {"Content-Length": "1000"}) + body)


def breaks_off_between_chunks() -> Behaviour:
    """The same, of a response without a length."""
    return sends(_head(200, {"Transfer-Encoding": "chunked"}) + b"5\r\n{'a':\r\n")


def resets(first: bytes = b"") -> Behaviour:
    """A reset of the connection, after these bytes."""

    def behave(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(first)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return behave


def never_responds() -> Behaviour:
    """Nothing, on an open connection."""
    return drips(())


def drips(raw: Iterable[int], *, after: bytes = b"", pause: float = 0.02) -> Behaviour:
    """Byte by byte, more slowly than the client has time for, and then nothing more."""

    def behave(connection: socket.socket, stop: threading.Event) -> None:
        connection.sendall(after)
        for byte in raw:
            if stop.wait(pause):
                break
            connection.sendall(bytes([byte]))
        stop.wait()
        connection.close()

    return behave


def drips_blocks(block: bytes, *, times: int, pause: float) -> Behaviour:
    """A whole body, block by block."""

    def behave(connection: socket.socket, stop: threading.Event) -> None:
        connection.sendall(_head(200, {"Content-Length": str(len(block) * times)}))
        for _ in range(times):
            stop.wait(pause)
            connection.sendall(block)

    return behave


def never_stops() -> Behaviour:
    """A body without an end, as fast as it goes."""
    return repeats(_head(200, {"Content-Type": "application/json"}), b" ")


def repeats(first: bytes, again: bytes) -> Behaviour:
    """These bytes, and then others for ever, as fast as it goes."""
    bulk = again * (65_536 // len(again))

    def behave(connection: socket.socket, stop: threading.Event) -> None:
        connection.sendall(first)
        while not stop.is_set():
            connection.sendall(bulk)
        connection.close()

    return behave


def _encode(body: Any) -> bytes:
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {headers[name]}" for name in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


# Responses.


def reports(status: str, **data: Any) -> Behaviour:
    """What the query call reports of a task."""
    return responds(200, {"code": "success", "data": {"task_id": "t", "status": status, **data}})


def success(url: str = "https://cdn.example/v.mp4") -> Behaviour:
    return reports("SUCCESS", progress="100%", data={"content": {"video_url": url}})


DENIED = responds(400, {"code": "task_not_exist", "message": "task_not_exist", "data": None})
WRONG_KEY = responds(
    401, {"error": {"message": "invalid token", "type": "new_api_error", "code": ""}}
)
TOO_MANY = responds(429, {"error": {"message": "slow down"}})
BROKEN = responds(502, "<html><h1>Bad gateway</h1></html>", Content_Type="text/html")
NOT_JSON = responds(200, "<html>")


class Gateway:
    """Listens on loopback until it is closed, and records the requests that it gets."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        """By the task id; for any other id it is ``default``."""
        self.default = reports("IN_PROGRESS")
        self.requests: list[Request] = []
        self._stop = threading.Event()
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._tls = tls
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def polled(self) -> list[str]:
        """The tasks that were polled, in order."""
        return [request.task_id for request in self.requests]

    def close(self) -> None:
        self._stop.set()
        for each in (self._listener, *self._connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while not self._stop.is_set():
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                thread = threading.Thread(
                    target=self._serve, args=(connection, len(self._connections))
                )
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError), connection:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._connections[number - 1] = connection
            while head := _read_head(connection):
                line, *headers = head.decode("latin-1").split("\r\n")
                fields = (header.partition(":") for header in headers)
                request = Request(
                    line, {name.lower(): value.strip() for name, _, value in fields}, number
                )
                self.requests.append(request)
                self.respond(request, connection)

    def respond(self, request: Request, connection: socket.socket) -> None:
        """Respond to one request."""
        self.behaviours.get(request.task_id, self.default)(connection, self._stop)


def _read_head(connection: socket.socket) -> bytes:
    """The head of a request (a GET has no body), or nothing where the client has gone."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = connection.recv(65_536)
        if not part:
            return b""
        head += part
    return head.strip()


@contextmanager
def running_gateway(tls: ssl.SSLContext | None = None) -> Iterator[Gateway]:
    gateway = Gateway(tls)
    try:
        yield gateway
    finally:
        gateway.close()
