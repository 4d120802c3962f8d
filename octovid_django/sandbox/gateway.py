"""The sandbox gateway: its tasks and their links."""

from __future__ import annotations

import hmac
import logging
import math
import re
import secrets
import threading
import time
from types import TracebackType
from typing import Any

from octovid_django.enums import TaskStatus
from octovid_django.sandbox.server import HOST, STOP_SECONDS, Server, is_same
from octovid_django.sandbox.simulation import QueryError, SimulatedTask, new_task_id

logger = logging.getLogger("octovid_django.sandbox")


class Sandbox:
    """A gateway on a port of loopback, usable as a context manager.

    It listens once it is created, and responds between ``start()`` and ``stop()``. The state of a
    task depends only on the clock (``time.time``), so a test may travel in time.

    Args:
        api_key: The Bearer token that it accepts; printable ASCII without spaces.
        port: Where to listen; 0 is any free port.
        link_lifetime: Seconds from the completion of a task until its link expires; with 0 it is
            expired at once.

    Raises:
        OSError: The port is taken, or this user must not use it.
        ValueError: ``api_key`` or ``link_lifetime`` is invalid.
    """

    url: str
    """The value for ``OCTOVID["BASE_URL"]``, like ``http://127.0.0.1:40123``."""
    api_key: str
    """The value for ``OCTOVID["API_KEY"]``."""

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
        self._tasks: dict[str, SimulatedTask] = {}
        self._server = Server(port, self)
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
        """Respond from a thread. Call it once: a sandbox that was stopped cannot start again."""
        self._thread.start()

    def serve_forever(self) -> None:
        """Respond until ``stop()`` or ``KeyboardInterrupt``; start first where that is not done."""
        if not self._thread.is_alive():
            self.start()
        # With a timeout, because on Windows Ctrl-C does not interrupt one long wait.
        while self._thread.is_alive():
            self._thread.join(0.5)

    def stop(self) -> None:
        """Free the port and close every open connection. Idempotent."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(STOP_SECONDS)
        self._server.server_close()
        self._server.close_connections()

    @property
    def query_count(self) -> int:
        """How many query calls there were, whatever the response."""
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
        link_lifetime: float | None = None,
        needs_key: bool = False,
        error: int | None = None,
        error_seconds: float = 10.0,
    ) -> str:
        """Create a task, as the creation call does.

        Args:
            model: Any name.
            prompt: Any text; the video is always the same.
            outcome: Its final status, ``SUCCESS`` or ``FAILURE``; ``STUCK`` stays at 50 %.
            run_seconds: In how many seconds it completes, from 0 to a year.
            fail_reason: The reason that is reported, with ``FAILURE``.
            duration: Of the video, in seconds, as reported.
            resolution: Of the video, as reported.
            ratio: Of the video, as reported.
            link_lifetime: Seconds from the completion until its link expires; by default those of
                the sandbox.
            needs_key: Whether only the key opens its link (``…/v1/videos/{id}/content``).
            error: The status that the query call responds with at first: 429 (with
                ``Retry-After``), or one from 500 to 599.
            error_seconds: For how many seconds from now, from 0 to a year.

        Returns:
            The task id, like ``cgt-20260412163502-x8k2m``.

        Raises:
            ValueError: An argument is wrong; the message says what to write instead.
        """
        task = SimulatedTask(
            model=model,
            outcome=outcome,
            run_seconds=run_seconds,
            fail_reason=fail_reason,
            duration=duration,
            resolution=resolution,
            ratio=ratio,
            link_lifetime=link_lifetime,
            needs_key=needs_key,
            error=error,
            error_seconds=error_seconds,
        )
        with self._lock:
            task_id = new_task_id()
            while task_id in self._tasks:
                task_id = new_task_id()
            self._tasks[task_id] = task
        logger.debug("Task %s created: model %r, prompt %r", task_id, model, prompt)
        return task_id

    def state(self, task_id: str) -> dict[str, Any] | None:
        """Return the ``data`` that the query call reports of a task, ``None`` if it is unknown."""
        task = self._task(task_id)
        if task is None:
            return None
        return {"task_id": task_id, **task.state(time.time(), self._link(task_id, task))}

    def query_error(self, task_id: str) -> QueryError | None:
        """Return the error that the query call responds with in place of the state, if any."""
        task = self._task(task_id)
        return task.error_at(time.time()) if task else None

    def _task(self, task_id: str) -> SimulatedTask | None:
        with self._lock:
            return self._tasks.get(task_id)

    def _link(self, task_id: str, task: SimulatedTask) -> str:
        if task.needs_key:
            return f"{self.url}/v1/videos/{task_id}/content"
        lifetime = self._link_lifetime if task.link_lifetime is None else task.link_lifetime
        expires = str(int(task.finished_at + lifetime))
        signature = self._signature(task_id, expires)
        return f"{self.url}/videos/{task_id}.mp4?Expires={expires}&Signature={signature}"

    def link_error(self, task_id: str, expires: str, signature: str) -> str | None:
        """Return why a link to a video is not valid, ``None`` if it is.

        Args:
            task_id: The id of the task.
            expires: The ``Expires`` of the link, in Unix seconds.
            signature: The ``Signature`` of the link.
        """
        if not is_same(signature, self._signature(task_id, expires)):
            return "The signature is wrong"
        return "The link has expired" if time.time() >= int(expires) else None

    def _signature(self, task_id: str, expires: str) -> str:
        signed = f"{task_id}\n{expires}".encode("utf-8", "replace")
        return hmac.new(self._link_secret, signed, "sha256").hexdigest()
