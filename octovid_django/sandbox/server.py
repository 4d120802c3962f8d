"""The HTTP server of the sandbox."""

from __future__ import annotations

import hmac
import json
import logging
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socketserver import TCPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

from octovid_django.enums import TaskStatus
from octovid_django.sandbox import bodies
from octovid_django.sandbox.simulation import QueryError

logger = logging.getLogger("octovid_django.sandbox")

HOST = "127.0.0.1"
MAX_BODY_BYTES = 1024 * 1024
STOP_SECONDS = 5.0

_CREATE_PATH = "/v1/video/generations"
_QUERY_PATH = re.compile(r"/v1/video/generations/([^/]+)")
_VIDEO_PATH = re.compile(r"/videos/([^/]+)\.mp4")
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_CONTENT_PATH = re.compile(r"/v1/videos/([^/]+)/content")


class Gateway(Protocol):
    """What the server needs to respond to the calls."""

    api_key: str

    @property
    def create(self) -> Callable[..., str]: ...
    def state(self, task_id: str) -> dict[str, Any] | None: ...
    def query_error(self, task_id: str) -> QueryError | None: ...
    def link_error(self, task_id: str, expires: str, signature: str) -> str | None: ...


def is_same(query_values: str, secret: str) -> bool:
    """Compare in a time that does not reveal how much is right."""
    return hmac.compare_digest(query_values.encode("utf-8", "replace"), secret.encode())


@cache
def _video() -> bytes:
    return files("octovid_django.sandbox").joinpath("video.mp4").read_bytes()


class Server(ThreadingHTTPServer):
    """A server that closes its connections when it stops."""

    # On Windows the same option lets two servers share a port, and so does the other one anywhere.
    allow_reuse_address = os.name == "posix"
    allow_reuse_port = False
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, gateway: Gateway) -> None:
        self.gateway = gateway
        self.query_count = 0
        self._count_lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._connections_changed = threading.Condition()
        super().__init__((HOST, port), _Handler)

    def server_bind(self) -> None:
        # Without HTTPServer's look-up of the host's name, which takes seconds on some machines.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.socket.getsockname()[1]

    def count_query(self) -> None:
        with self._count_lock:
            self.query_count += 1

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_changed:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_changed:
            super().shutdown_request(request)
            self._connections.discard(request)
            self._connections_changed.notify_all()

    def close_connections(self) -> None:
        """Close every open connection and wait, with a bound, until its thread is done with it."""
        with self._connections_changed:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._connections_changed.wait_for(lambda: not self._connections, STOP_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, (ConnectionError, TimeoutError)):
            logger.debug("the client went away: %r", error)
        else:
            logger.error("the sandbox has a bug", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    # For a request that cannot be read: a response to HTTP/0.9 would have no status line.
    default_request_version = "HTTP/1.0"
    disable_nagle_algorithm = True
    timeout = 60

    def _respond(self) -> None:
        try:
            body = self.rfile.read(self._body_length())
        except ValueError as error:
            self._hang_up(HTTPStatus.BAD_REQUEST, bodies.invalid_request(str(error)))
            return
        path, _, query = self.path.partition("?")
        if self.command == "POST" and path == _CREATE_PATH:
            self._respond_create(body)
        elif self.command == "GET" and (match := _QUERY_PATH.fullmatch(path)):
            self._respond_query(unquote(match[1]))
        elif self.command in ("GET", "HEAD") and (match := _VIDEO_PATH.fullmatch(path)):
            self._respond_video(unquote(match[1]), query)
        elif self.command in ("GET", "HEAD") and (match := _CONTENT_PATH.fullmatch(path)):
            self._respond_content(unquote(match[1]))
        else:
            self._send_json(HTTPStatus.NOT_FOUND, bodies.invalid_url(self.command, path))

    do_GET = do_HEAD = do_POST = _respond  # noqa: N815  http.server's names
    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _respond  # noqa: N815

    def _body_length(self) -> int:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,18}", length):
            raise ValueError("send the body as a whole, and its bytes in Content-Length")
        if int(length) > MAX_BODY_BYTES:
            raise ValueError(f"the body is too large: send at most {MAX_BODY_BYTES} bytes")
        return int(length)

    def _is_allowed(self) -> bool:
        scheme, _, key = self.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and is_same(key.strip(), self.server.gateway.api_key)

    def _respond_create(self, body: bytes) -> None:
        if not self._is_allowed():
            self._send_json(HTTPStatus.UNAUTHORIZED, bodies.invalid_token())
            return
        try:
            order = bodies.read_order(body)
            task_id = self.server.gateway.create(**order)
        except ValueError as error:
            self._send_json(HTTPStatus.BAD_REQUEST, bodies.invalid_request(str(error)))
            return
        content = {
            "id": task_id,
            "task_id": task_id,
            "object": "video",
            "model": order["model"],
            "status": "queued",
            "progress": 0,
            "created_at": int(time.time()),
        }
        self._send_json(HTTPStatus.OK, content)

    def _respond_query(self, task_id: str) -> None:
        self.server.count_query()
        if not self._is_allowed():
            self._send_json(HTTPStatus.UNAUTHORIZED, bodies.invalid_token())
        elif error := self.server.gateway.query_error(task_id):
            self._send_error(error)
        elif (state := self.server.gateway.state(task_id)) is None:
            self._send_json(
                HTTPStatus.BAD_REQUEST, bodies.error("task_not_exist", "task_not_exist")
            )
        else:
            self._send_json(HTTPStatus.OK, {"code": "success", "data": state})

    def _send_error(self, error: QueryError) -> None:
        """Respond as the gateway does (429, 500), or as the proxy in front of it."""
        if error.status == HTTPStatus.TOO_MANY_REQUESTS:
            body = json.dumps(bodies.new_api_error("Too many requests")).encode()
            headers = {"Content-Type": "application/json", "Retry-After": str(error.retry_after)}
            self._send(error.status, body, headers)
        elif error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            failed = bodies.error("get_task_failed", "The sandbox was asked to fail this query.")
            self._send_json(error.status, failed)
        else:
            page = f"<html><head><title>{error.status}</title></head><body></body></html>"
            self._send(error.status, page.encode(), {"Content-Type": "text/html"})

    def _respond_content(self, task_id: str) -> None:
        """Respond with the video of a task that has succeeded; only the key opens it."""
        state = self.server.gateway.state(task_id)
        if not self._is_allowed():
            self._send_json(HTTPStatus.UNAUTHORIZED, bodies.invalid_token())
        elif state is None:
            self._send_json(HTTPStatus.NOT_FOUND, bodies.new_api_error("Task not found"))
        elif state["status"] != TaskStatus.SUCCESS:
            not_yet = f"Task is not completed yet, current status: {state['status']}"
            self._send_json(HTTPStatus.BAD_REQUEST, bodies.new_api_error(not_yet))
        else:
            self._send_video()

    def _respond_video(self, task_id: str, query: str) -> None:
        query_values = parse_qs(query)
        expires, signature = (query_values.get(name, [""])[0] for name in ("Expires", "Signature"))
        error = self.server.gateway.link_error(task_id, expires, signature)
        if error:
            self._send_json(HTTPStatus.FORBIDDEN, {"Code": "AccessDenied", "Message": error})
        else:
            self._send_video()

    def _send_video(self) -> None:
        """Respond with the video, or with the requested range of it."""
        video = _video()
        headers = {"Content-Type": "video/mp4", "Accept-Ranges": "bytes"}
        wanted = self._wanted_range(len(video))
        if wanted is None:
            self._send(HTTPStatus.OK, video, headers)
        elif not wanted:
            headers["Content-Range"] = f"bytes */{len(video)}"
            self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", headers)
        else:
            headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{len(video)}"
            part = video[wanted.start : wanted.stop]
            self._send(HTTPStatus.PARTIAL_CONTENT, part, headers)

    def _wanted_range(self, size: int) -> range | None:
        """The requested bytes; empty if the video has none of them, ``None`` for all."""
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        # There is no validator that an If-Range could match.
        if self.command != "GET" or match is None or "If-Range" in self.headers:
            return None
        first, last = match.groups()
        if first and last and int(last) < int(first):
            return None
        if first:
            return range(min(int(first), size), min(int(last) + 1, size) if last else size)
        return range(max(size - int(last), 0), size) if last else None

    def _send_json(self, status: int, content: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _hang_up(self, status: HTTPStatus, content: Mapping[str, Any]) -> None:
        """Respond, and close: it is unknown where the next request begins."""
        self.close_connection = True
        self._send_json(status, content)
        # Closing with unread bytes resets the connection: the client may never see the response.
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1)
            for _ in range(256):
                if not self.connection.recv(64 * 1024):
                    break

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Respond in JSON where ``http.server`` would in HTML; an unknown method is a 404."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            path = self.path.partition("?")[0]
            self._hang_up(HTTPStatus.NOT_FOUND, bodies.invalid_url(self.command, path))
        else:
            status = HTTPStatus(code)
            self._hang_up(status, bodies.invalid_request(message or status.phrase))

    def version_string(self) -> str:
        return "octovid-sandbox"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        # Neither headers nor query: they carry the key and the signature.
        path = getattr(self, "path", "").partition("?")[0]
        logger.debug("%s %r: %s", self.command, path, int(code))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the parent's name
        logger.debug(format, *args)
