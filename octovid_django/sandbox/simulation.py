"""The states of a task at the sandbox, as a function of the clock alone."""

from __future__ import annotations

import math
import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from octovid_django.enums import TaskStatus

MAX_RUN_SECONDS = 31_536_000
TOO_MANY_REQUESTS = 429

_TOKENS_PER_SECOND = 21_600


class QueryError(NamedTuple):
    """The error that the query call responds with in place of the state of a task."""

    status: int
    retry_after: int
    """Seconds until it is over."""


class _Step(NamedTuple):
    share: float
    """Which share of ``run_seconds`` has passed when the task gets here, 0 to 1."""
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
_STUCK_STEPS = tuple(step for step in _STEPS if step.percent <= 50)
STUCK = "STUCK"
"""The outcome of a task that stays at 50 % for ever."""
_COMPLETIONS = {
    TaskStatus.SUCCESS: _Step(_FINISHED, TaskStatus.SUCCESS, "succeeded", 100),
    TaskStatus.FAILURE: _Step(_FINISHED, TaskStatus.FAILURE, "failed", 100),
}


def _is_number(value: Any, minimum: float, maximum: float) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and minimum <= value <= maximum


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_error(value: Any) -> bool:
    is_status = isinstance(value, int) and (value == TOO_MANY_REQUESTS or 500 <= value <= 599)
    return value is None or is_status


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": (_is_text, 'a string like "sandbox-video"'),
    "outcome": (
        lambda value: value in (*_COMPLETIONS, STUCK),
        '"SUCCESS" or "FAILURE", or "STUCK" for a task that stays at 50 % for ever',
    ),
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
    "link_lifetime": (
        lambda value: value is None or _is_number(value, 0, MAX_RUN_SECONDS),
        f"a number of seconds from 0 to {MAX_RUN_SECONDS}",
    ),
    "needs_key": (lambda value: isinstance(value, bool), "true or false"),
    "error": (_is_error, "429 or a number from 500 to 599"),
    "error_seconds": (
        lambda value: _is_number(value, 0, MAX_RUN_SECONDS),
        f"a number of seconds from 0 to {MAX_RUN_SECONDS}",
    ),
}
"""The rules for the fields of an order: the check, and what to send instead."""


@dataclass(frozen=True, kw_only=True)
class SimulatedTask:
    """An order, and what the gateway reports about it at any time."""

    model: str
    outcome: str
    run_seconds: float
    fail_reason: str
    duration: int
    resolution: str
    ratio: str
    link_lifetime: float | None = None
    """``None``: that of the sandbox."""
    needs_key: bool = False
    error: int | None = None
    error_seconds: float = 0
    created_at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        for name, (is_right, wanted) in _RULES.items():
            if not is_right(getattr(self, name)):
                raise ValueError(f'"{name}" must be {wanted}')

    @property
    def finished_at(self) -> float:
        """When the task completes, in Unix seconds."""
        return self._moment(_FINISHED)

    def error_at(self, now: float) -> QueryError | None:
        """Return the error that the query call responds with in place of the state, if any.

        Args:
            now: Unix time in seconds.
        """
        left = self.created_at + self.error_seconds - now
        if self.error is None or left <= 0:
            return None
        return QueryError(self.error, math.ceil(left))

    def _moment(self, share: float) -> float:
        """When this share of the run has passed (0 to 1), in Unix seconds."""
        return self.created_at + share * self.run_seconds

    def state(self, now: float, video_url: str) -> dict[str, Any]:
        """Return the ``data`` that the query call reports, without the id.

        Args:
            now: Unix time in seconds.
            video_url: The link that a success has.
        """
        steps = (
            _STUCK_STEPS
            if self.outcome == STUCK
            else (*_STEPS, _COMPLETIONS[TaskStatus(self.outcome)])
        )
        step = next((step for step in reversed(steps) if self._moment(step.share) <= now), steps[0])
        is_success, is_failure = (step.status == completion for completion in _COMPLETIONS)

        def unix_time(share: float) -> int:
            return int(self._moment(share)) if self._moment(share) <= now else 0

        return {
            "status": step.status.value,
            "progress": f"{step.percent}%",
            **({"fail_reason": self.fail_reason} if is_failure else {}),
            "submit_time": unix_time(_SUBMITTED),
            "start_time": unix_time(_STARTED),
            "finish_time": unix_time(_FINISHED) if is_success or is_failure else 0,
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


def new_task_id() -> str:
    suffix = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(5))
    return time.strftime("cgt-%Y%m%d%H%M%S-", time.gmtime()) + suffix
