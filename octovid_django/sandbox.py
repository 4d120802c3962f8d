"""A gateway on loopback, for demos and tests: the documented calls without any models behind.

    with Sandbox() as sandbox:
        task_id = sandbox.create(run_seconds=0.2)
        ...  # with OCTOVID = {"BASE_URL": sandbox.url, "API_KEY": sandbox.api_key}

Its tasks live in memory and end with it; ``manage.py octovid_sandbox`` runs one by itself.
"""

from __future__ import annotations

import hmac
import json
import logging
import math
import os
import re
import secrets
import socket
import string
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socketserver import TCPServer
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

from octovid_django.enums import TaskStatus

logger = logging.getLogger("octovid_django.sandbox")

HOST = "127.0.0.1"
MAX_BODY_BYTES = 1024 * 1024
MAX_RUN_SECONDS = 31_536_000

_CREATE_PATH = "/v1/video/generations"
_QUERY_PATH = re.compile(r"/v1/video/generations/([^/]+)")
_VIDEO_PATH = re.compile(r"/videos/([^/]+)\.mp4")
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_ASKED_IN_METADATA = ("outcome", "fail_reason", "run_seconds", "duration", "resolution", "ratio")
_TOKENS_PER_SECOND = 21_600
_STOP_SECONDS = 5.0


class _Step(NamedTuple):
    share: float
    """How much of ``run_seconds`` is over when the task gets here, 0 to 1."""
    status: TaskStatus
    upstream_status: str
    percent: int


_SUBMITTED, _STARTED, _FINISHED = 0.05, 0.2, 1.0
_STEPS = (
    _Step(0.0, TaskStatus.NOT_START, "queued", 0),
    _Step(_SUBMITTED, TaskStatus.SUBMITTED, "queued", 0),
    _Step(0.1, TaskStatus.QUEUED, "queued", 0),
    _Step(_STARTED, TaskStatus.IN_PROGRESS, "processing", 10),
    _Step(0.4, TaskStatus.IN_PROGRESS, "processing", 30),
    _Step(0.6, TaskStatus.IN_PROGRESS, "processing", 50),
    _Step(0.8, TaskStatus.IN_PROGRESS, "processing", 80),
)
_ENDS = {
    TaskStatus.SUCCESS: _Step(_FINISHED, TaskStatus.SUCCESS, "succeeded", 100),
    TaskStatus.FAILURE: _Step(_FINISHED, TaskStatus.FAILURE, "failed", 100),
}


def _is_number(value: Any, minimum: float, maximum: float) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and minimum <= value <= maximum


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": (_is_text, 'a string like "sandbox-video"'),
    "outcome": (lambda value: value in tuple(_ENDS), '"SUCCESS" or "FAILURE"'),
    "run_seconds": (
        lambda value: _is_number(value, 0, MAX_RUN_SECONDS),
        f"a number of seconds from 0 to {MAX_RUN_SECONDS}",
    ),
    "fail_reason": (lambda value: isinstance(value, str), "a string"),
    "duration": (
        lambda value: isinstance(value, int) and _is_number(value, 1, 3600),
        "a whole number of seconds from 1 to 3600",
    ),
    "resolution": (_is_text, 'a string like "720p"'),
    "ratio": (_is_text, 'a string like "16:9"'),
}
"""What an order must be like, by name: the check, and what to send instead."""


@dataclass(frozen=True, kw_only=True)
class _Task:
    """An order, and what the gateway says about it at any time: a function of the clock alone."""

    model: str
    outcome: str
    run_seconds: float
    fail_reason: str
    duration: int
    resolution: str
    ratio: str
    created_at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        for name, (is_right, wanted) in _RULES.items():
            if not is_right(getattr(self, name)):
                raise ValueError(f'"{name}" must be {wanted}')

    def moment(self, share: float) -> float:
        """When this much of the run is over (0 to 1), in Unix seconds."""
        return self.created_at + share * self.run_seconds

    def state(self, now: float, video_url: str) -> dict[str, Any]:
        """What the query call answers as ``data``, without the id.

        Args:
            now: Unix time in seconds.
            video_url: The link that a success shows.
        """
        steps = (*_STEPS, _ENDS[TaskStatus(self.outcome)])
        step = next((step for step in reversed(steps) if self.moment(step.share) <= now), steps[0])
        is_success, is_failure = (step.status == end for end in _ENDS)

        def unix_time(share: float) -> int:
            return int(self.moment(share)) if self.moment(share) <= now else 0

        return {
            "status": step.status.value,
            "progress": f"{step.percent}%",
            **({"fail_reason": self.fail_reason} if is_failure else {}),
            "submit_time": unix_time(_SUBMITTED),
            "start_time": unix_time(_STARTED),
            "finish_time": unix_time(_FINISHED),
            "data": {
                "status": step.upstream_status,
                "duration": self.duration,
                "resolution": self.resolution,
                "ratio": self.ratio,
                "content": {"video_url": video_url} if is_success else {},
                "usage": (
                    {"total_tokens": self.duration * _TOKENS_PER_SECOND} if is_success else {}
                ),
            },
        }


class Sandbox:
    """A gateway on a free port of this machine, usable as a context manager.

    It listens from the start of its life and answers between ``start()`` and ``stop()``. How a
    task goes depends on the clock (``time.time``) only, so a test may travel in time.

    Args:
        api_key: The Bearer token that it accepts; printable ASCII without spaces.
        port: Where to listen; 0 is any free port.
        link_lifetime: Seconds that a link to a video lives after the task's end; with 0 it is
            dead from the start.

    Raises:
        OSError: The port is taken, or not this user's to take.
        ValueError: No client can send such a key.
    """

    url: str
    """What goes to ``OCTOVID["BASE_URL"]``, like ``http://127.0.0.1:40123``."""
    api_key: str
    """What goes to ``OCTOVID["API_KEY"]``."""

    def __init__(
        self, *, api_key: str = "sandbox-key", port: int = 0, link_lifetime: float = 43_200
    ) -> None:
        if not re.fullmatch(r"[!-~]+", api_key):
            raise ValueError("the API key must be printable ASCII without spaces")
        if not math.isfinite(link_lifetime):
            raise ValueError("the lifetime of a link must be a finite number of seconds")
        self.api_key = api_key
        self._link_lifetime = link_lifetime
        self._link_secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._tasks: dict[str, _Task] = {}
        self._server = _Server(port, self)
        self.url = f"http://{HOST}:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="octovid-sandbox",
            daemon=True,
        )

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Answer from a thread of its own. Once in a life: a stopped sandbox stays stopped."""
        self._thread.start()

    def serve_forever(self) -> None:
        """Answer until ``stop()`` or ``KeyboardInterrupt``, starting where nobody has."""
        if not self._thread.is_alive():
            self.start()
        # With a timeout, because on Windows Ctrl-C does not interrupt one long wait.
        while self._thread.is_alive():
            self._thread.join(0.5)

    def stop(self) -> None:
        """Free the port and end every open connection. Does nothing the second time."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(_STOP_SECONDS)
        self._server.server_close()
        self._server.close_connections()

    @property
    def query_count(self) -> int:
        """How many query calls were answered, whatever the answer."""
        return self._server.query_count

    def create(  # noqa: PLR0913  each has its default
        self,
        *,
        model: str = "sandbox-video",
        prompt: str = "",
        outcome: str = TaskStatus.SUCCESS,
        run_seconds: float = 6.0,
        fail_reason: str = "The sandbox was asked to fail this task.",
        duration: int = 5,
        resolution: str = "720p",
        ratio: str = "16:9",
    ) -> str:
        """Create a task, as the creation call does.

        Args:
            model: Any name.
            prompt: Any text; the video is always the same.
            outcome: How the task ends: ``SUCCESS`` or ``FAILURE``.
            run_seconds: How many seconds from now it ends, from 0 to a year.
            fail_reason: Why, with ``FAILURE``.
            duration: Of the video, in seconds, as the answer says it.
            resolution: Of the video, as the answer says it.
            ratio: Of the video, as the answer says it.

        Returns:
            The task id, like ``cgt-20260412163502-x8k2m``.

        Raises:
            ValueError: An argument is wrong; the message says what to write instead.
        """
        task = _Task(
            model=model,
            outcome=outcome,
            run_seconds=run_seconds,
            fail_reason=fail_reason,
            duration=duration,
            resolution=resolution,
            ratio=ratio,
        )
        with self._lock:
            task_id = _new_task_id()
            while task_id in self._tasks:
                task_id = _new_task_id()
            self._tasks[task_id] = task
        logger.debug("created %s: model %r, prompt %r", task_id, model, prompt)
        return task_id

    def state(self, task_id: str) -> dict[str, Any] | None:
        """Return what the query call says about a task (its ``data``), ``None`` if unknown."""
        with self._lock:
            task = self._tasks.get(task_id)
        if task is None:
            return None
        expires = str(int(task.moment(_FINISHED) + self._link_lifetime))
        signature = self._signature(task_id, expires)
        link = f"{self.url}/videos/{task_id}.mp4?Expires={expires}&Signature={signature}"
        return {"task_id": task_id, **task.state(time.time(), link)}

    def link_trouble(self, task_id: str, expires: str, signature: str) -> str | None:
        """Return why a link to a video is not (or no longer) good, ``None`` if it is.

        Args:
            task_id: Whose video.
            expires: The link's own ``Expires``, in Unix seconds.
            signature: The link's own ``Signature``.
        """
        if not _is_same(signature, self._signature(task_id, expires)):
            return "The signature is wrong"
        return "The link has expired" if time.time() >= int(expires) else None

    def _signature(self, task_id: str, expires: str) -> str:
        signed = f"{task_id}\n{expires}".encode("utf-8", "replace")
        return hmac.new(self._link_secret, signed, "sha256").hexdigest()


def _is_same(said: str, secret: str) -> bool:
    return hmac.compare_digest(said.encode("utf-8", "replace"), secret.encode())


def _new_task_id() -> str:
    suffix = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(5))
    return time.strftime("cgt-%Y%m%d%H%M%S-", time.gmtime()) + suffix


@cache
def _video() -> bytes:
    return files("octovid_django").joinpath("sandbox.mp4").read_bytes()


class _Server(ThreadingHTTPServer):
    """Remembers its connections, so that none outlives it."""

    # On Windows the same option lets two servers share a port, and so does the other one anywhere.
    allow_reuse_address = os.name == "posix"
    allow_reuse_port = False
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
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
        """End every open connection and wait, with a bound, until its thread is through with it."""
        with self._connections_changed:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._connections_changed.wait_for(lambda: not self._connections, _STOP_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, (ConnectionError, TimeoutError)):
            logger.debug("the client went away: %r", error)
        else:
            logger.error("the sandbox has a bug", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    """One connection: HTTP on one side, the sandbox on the other."""

    server: _Server
    protocol_version = "HTTP/1.1"
    # Of what cannot be read: the answer to HTTP/0.9 would have no status line.
    default_request_version = "HTTP/1.0"
    disable_nagle_algorithm = True
    timeout = 60

    def _answer(self) -> None:
        try:
            body = self.rfile.read(self._body_length())
        except ValueError as error:
            self._hang_up(HTTPStatus.BAD_REQUEST, _invalid_request(str(error)))
            return
        path, _, query = self.path.partition("?")
        if self.command == "POST" and path == _CREATE_PATH:
            self._answer_create(body)
        elif self.command == "GET" and (match := _QUERY_PATH.fullmatch(path)):
            self._answer_query(unquote(match[1]))
        elif self.command in ("GET", "HEAD") and (match := _VIDEO_PATH.fullmatch(path)):
            self._answer_video(unquote(match[1]), query)
        else:
            self._send_json(HTTPStatus.NOT_FOUND, _invalid_url(self.command, path))

    do_GET = do_HEAD = do_POST = _answer  # noqa: N815  http.server's names
    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815

    def _body_length(self) -> int:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,18}", length):
            raise ValueError("send the body as a whole, and its bytes in Content-Length")
        if int(length) > MAX_BODY_BYTES:
            raise ValueError(f"the body is too large: send at most {MAX_BODY_BYTES} bytes")
        return int(length)

    def _is_allowed(self) -> bool:
        scheme, _, key = self.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and _is_same(key.strip(), self.server.sandbox.api_key)

    def _answer_create(self, body: bytes) -> None:
        if not self._is_allowed():
            self._send_json(HTTPStatus.UNAUTHORIZED, _invalid_token())
            return
        try:
            order = _order(body)
            task_id = self.server.sandbox.create(**order)
        except ValueError as error:
            self._send_json(HTTPStatus.BAD_REQUEST, _invalid_request(str(error)))
            return
        answer = {
            "id": task_id,
            "task_id": task_id,
            "object": "video",
            "model": order["model"],
            "status": "queued",
            "progress": 0,
            "created_at": int(time.time()),
        }
        self._send_json(HTTPStatus.OK, answer)

    def _answer_query(self, task_id: str) -> None:
        self.server.count_query()
        if not self._is_allowed():
            self._send_json(HTTPStatus.UNAUTHORIZED, _invalid_token())
        elif (state := self.server.sandbox.state(task_id)) is None:
            self._send_json(HTTPStatus.BAD_REQUEST, _error("task_not_exist", "task_not_exist"))
        else:
            self._send_json(HTTPStatus.OK, {"code": "success", "data": state})

    def _answer_video(self, task_id: str, query: str) -> None:
        said = parse_qs(query)
        expires, signature = (said.get(name, [""])[0] for name in ("Expires", "Signature"))
        trouble = self.server.sandbox.link_trouble(task_id, expires, signature)
        if trouble:
            self._send_json(HTTPStatus.FORBIDDEN, {"Code": "AccessDenied", "Message": trouble})
            return
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
        """The bytes that the client asks for; empty if there are none such, ``None`` for all."""
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

    def _send_json(self, status: HTTPStatus, answer: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _send(self, status: HTTPStatus, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _hang_up(self, status: HTTPStatus, answer: Mapping[str, Any]) -> None:
        """Answer, and close: where the next request begins is anybody's guess."""
        self.close_connection = True
        self._send_json(status, answer)
        # To close on unread bytes is to reset, and a client may lose the answer to that.
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1)
            for _ in range(256):
                if not self.connection.recv(64 * 1024):
                    break

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say in JSON what ``http.server`` says in HTML; a method it does not know is a 404."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            path = self.path.partition("?")[0]
            self._hang_up(HTTPStatus.NOT_FOUND, _invalid_url(self.command, path))
        else:
            status = HTTPStatus(code)
            self._hang_up(status, _invalid_request(message or status.phrase))

    def version_string(self) -> str:
        return "octovid-sandbox"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        # Neither headers nor query: the one carries the key, the other a signature.
        path = getattr(self, "path", "").partition("?")[0]
        logger.debug("%s %r: %s", self.command, path, int(code))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the parent's name
        logger.debug(format, *args)


def _order(body: bytes) -> dict[str, Any]:
    """Read the body of the creation call: the arguments of ``Sandbox.create``, unchecked.

    Raises:
        ValueError: It is nothing of the kind; the message says what to send instead.
    """
    wanted = 'send a JSON object like {"model": "sandbox-video", "metadata": {"run_seconds": 6}}'
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError(f"the body is not JSON: {wanted}") from None
    if not isinstance(asked, dict):
        raise ValueError(f"the body is not an object: {wanted}")
    metadata = asked.get("metadata", {})
    if not isinstance(metadata, dict):
        raise ValueError(f'"metadata" is not an object: {wanted}')
    known = {name: metadata[name] for name in _ASKED_IN_METADATA if name in metadata}
    return {"model": asked.get("model"), "prompt": _prompt(asked), **known}


def _prompt(asked: Mapping[str, Any]) -> str:
    content = asked.get("content")
    parts = [part for part in content if isinstance(part, dict)] if type(content) is list else []
    texts = [asked.get("prompt"), *(part.get("text") for part in parts)]
    return next((text for text in texts if isinstance(text, str)), "")


def _error(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "data": None}


def _invalid_request(message: str) -> dict[str, Any]:
    return _error("invalid_request", message)


def _invalid_token() -> dict[str, Any]:
    request_id = time.strftime("%Y%m%d%H%M%S", time.gmtime()) + secrets.token_hex(8)
    message = f"Invalid token (request id: {request_id})"
    return {"error": {"message": message, "type": "new_api_error", "code": ""}}


def _invalid_url(method: str, path: str) -> dict[str, Any]:
    message = f"Invalid URL ({method} {path})"
    error = {"message": message, "type": "invalid_request_error", "param": "", "code": ""}
    return {"error": error}
