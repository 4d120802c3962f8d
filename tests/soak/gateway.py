"""A gateway whose tasks run by the clock, that errs at random, and records every poll."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass

from octovid_django.sandbox.simulation import SimulatedTask
from tests.gateway import (
    BROKEN,
    DENIED,
    NOT_JSON,
    WRONG_KEY,
    Behaviour,
    Gateway,
    Request,
    breaks_off,
    resets,
    responds,
)

ERROR_SHARE = 0.08
"""Share of the responses that are an error with the scope task."""


def never_responds_for(seconds: float) -> Behaviour:
    """Nothing for a while, and then the end of the connection."""

    def behave(connection: socket.socket, stop: threading.Event) -> None:
        stop.wait(seconds)
        connection.close()

    return behave


ERRORS = {
    "502": BROKEN,
    "denied": DENIED,
    "no JSON": NOT_JSON,
    "half a response": breaks_off(),
    "reset": resets(),
    "silence": never_responds_for(4),
}
POISONS = {
    "poison403": responds(
        403, {"error": {"message": "no access to its model", "type": "api_error"}}
    ),
    "poison404": responds(404, {"error": {"message": "no such thing", "type": "api_error"}}),
}
"""What the gateway always responds about one task each, by the first word of its id."""
ACCOUNT_ERRORS = {"401": WRONG_KEY, "429": responds(429, Retry_After="2")}
"""They pause the account, the first for 15 s."""


@dataclass(frozen=True)
class Poll:
    """One request about a task."""

    task_id: str
    cluster: str
    """The one that polled: every cluster has a User-Agent of its own."""
    polled_at: float
    responded_at: float
    fault: str | None


class SoakGateway(Gateway):
    """Knows the tasks that ``create`` has begun.

    Args:
        rng: Decides where it errs.
    """

    def __init__(self, rng: random.Random) -> None:
        self.polls: list[Poll] = []
        self.faults: Counter[str] = Counter()
        self._rng = rng
        self._tasks: dict[str, SimulatedTask] = {}
        self._account_errors: list[str] = []
        super().__init__()

    def create(self, task_id: str, outcome: str, run_seconds: float) -> None:
        """Begin a task that completes after so many seconds."""
        self._tasks[task_id] = SimulatedTask(
            model="soak",
            outcome=outcome,
            run_seconds=run_seconds,
            fail_reason="soaked",
            duration=5,
            resolution="720p",
            ratio="16:9",
        )

    def fail_next(self, name: str) -> None:
        """Respond to the next request with one of ``ACCOUNT_ERRORS``."""
        self._account_errors.append(name)

    def respond(self, request: Request, connection: socket.socket) -> None:
        polled_at = time.time()
        fault = self._fault()
        behaviour = (ERRORS | ACCOUNT_ERRORS)[fault] if fault else self._simulated(request.task_id)
        try:
            behaviour(connection, self._stop)
        finally:
            self.polls.append(
                Poll(
                    request.task_id,
                    request.headers["user-agent"],
                    polled_at,
                    time.time(),
                    fault,
                )
            )

    def _fault(self) -> str | None:
        fault = None
        if self._account_errors:
            fault = self._account_errors.pop()
        elif self._rng.random() < ERROR_SHARE:
            fault = self._rng.choice(list(ERRORS))
        if fault:
            self.faults[fault] += 1
        return fault

    def _simulated(self, task_id: str) -> Behaviour:
        if poison := POISONS.get(task_id.partition("-")[0]):
            return poison
        state = self._tasks[task_id].state(time.time(), f"https://cdn.example/{task_id}.mp4")
        return responds(200, {"code": "success", "data": {"task_id": task_id, **state}})
