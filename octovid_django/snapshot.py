"""What the gateway's answer says about a task, whatever shape it comes in.

All tolerance of the gateway lives here: its documented answer, and the many that it is known to
give instead. Nothing here asks, stores or reads a clock.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from octovid_django.enums import TaskStatus
from octovid_django.exceptions import (
    OctovidAnswerError,
    OctovidTaskNotFoundError,
)
from octovid_django.links import link_expiry, read_link
from octovid_django.redaction import links_in, redact
from octovid_django.values import (
    MAX_BIG_INTEGER,
    MAX_INTEGER,
    Json,
    later,
    natural,
    read_moment,
    read_percent,
    read_text,
    read_word,
    storable,
)

T = TypeVar("T")

MAX_PAYLOAD_BYTES = 64 * 1024
MAX_NESTING = 20  # of the payload; MariaDB stores no JSON deeper than 32

_STATUS_BY_WORD = {
    "not_start": TaskStatus.NOT_START,
    "submitted": TaskStatus.SUBMITTED,
    "queued": TaskStatus.QUEUED,
    "pending": TaskStatus.QUEUED,
    "in_progress": TaskStatus.IN_PROGRESS,
    "processing": TaskStatus.IN_PROGRESS,
    "running": TaskStatus.IN_PROGRESS,
    "unknown": TaskStatus.UNKNOWN,
    "success": TaskStatus.SUCCESS,
    "succeeded": TaskStatus.SUCCESS,
    "completed": TaskStatus.SUCCESS,
    "failure": TaskStatus.FAILURE,
    "failed": TaskStatus.FAILURE,
    "cancelled": TaskStatus.FAILURE,
    "canceled": TaskStatus.FAILURE,
    "expired": TaskStatus.FAILURE,
}


@dataclass(frozen=True)
class TaskSnapshot:
    """What one answer says about a task. ``None`` or ``""`` is "it does not say"."""

    task_id: str
    status: TaskStatus | None
    """``UNKNOWN`` also for a word that nobody has heard of; ``upstream_status`` then keeps it."""
    upstream_status: str
    """The innermost status, verbatim."""
    progress: int | None
    """Percent, 0 to 100."""
    fail_reason: str
    """Why, with ``FAILURE`` only."""
    video_url: str
    """An absolute http(s) link, with ``SUCCESS`` only."""
    video_url_expires_at: datetime | None
    duration: int | None
    """Of the video, in seconds."""
    resolution: str
    ratio: str
    total_tokens: int | None
    submitted_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    payload: Json
    """The answer's ``data``, cut to what is worth keeping and safe to store."""

    @classmethod
    def from_answer(cls, answer: Json, *, base_url: str, link_lifetime: timedelta) -> TaskSnapshot:
        """Read a decoded answer of the query call.

        Args:
            answer: The decoded JSON. See CONTRACT.md, "The documented call" and "What the same
                endpoint also answers".
            base_url: What a link relative to the gateway is relative to.
            link_lifetime: How long after ``finish_time`` a link lives that does not say so itself.

        Returns:
            What the answer says; all times are aware and in UTC.

        Raises:
            OctovidTaskNotFoundError: It says ``task_not_exist``.
            OctovidAnswerError: It is an error, or not about a task at all.
        """
        if not isinstance(answer, dict):
            raise OctovidAnswerError(
                f"the gateway answered with a JSON {_kind(answer)}, not an object"
            )
        _raise_for_error(answer)
        layers = list(_layers(answer))

        words = list(_each(layers, "status", read_word))
        status = _STATUS_BY_WORD.get(words[0].lower(), TaskStatus.UNKNOWN) if words else None
        is_heard_of = bool(words) and words[0].lower() in _STATUS_BY_WORD
        contents = [content for layer in layers for content in _dicts(layer, "content")]
        usages = [usage for layer in layers for usage in _dicts(layer, "usage")]
        finished_at = _first(layers, "finish_time", read_moment)
        video_url, expires_at = "", None
        if status == TaskStatus.SUCCESS and (video_url := _video_url(layers, contents, base_url)):
            expires_at = link_expiry(video_url) or (
                finished_at and later(finished_at, link_lifetime)
            )
        payload = _payload(answer["data"] if _is_envelope(answer) else answer)
        links = links_in(payload)
        return cls(
            task_id=_first(layers, "task_id", read_word) or "",
            status=status,
            upstream_status=redact(words[-1] if is_heard_of else words[0], links) if words else "",
            progress=_first(layers, "progress", read_percent),
            fail_reason=(
                redact(_fail_reason(layers), links) if status == TaskStatus.FAILURE else ""
            ),
            video_url=video_url,
            video_url_expires_at=expires_at,
            duration=_first(layers, "duration", natural(MAX_INTEGER)),
            resolution=redact(_first(layers, "resolution", read_word) or "", links),
            ratio=redact(_first(layers, "ratio", read_word) or "", links),
            total_tokens=_first(usages, "total_tokens", natural(MAX_BIG_INTEGER)),
            submitted_at=_first(layers, "submit_time", read_moment),
            started_at=_first(layers, "start_time", read_moment),
            finished_at=finished_at,
            payload=payload,
        )


def _kind(value: Json) -> str:
    names = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


# The layers of an answer: envelopes, the gateway's task, the upstream's task, from the outside in.


def _is_envelope(layer: dict[str, Json], *, is_outermost: bool = True) -> bool:
    """Whether ``layer`` only wraps a task. A gateway's task has ``data`` too, but also an id."""
    if "data" not in layer or "task_id" in layer:
        return False
    is_marked = "code" in layer or "success" in layer
    return is_marked or (is_outermost and isinstance(layer["data"], dict))


def _layers(answer: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """The tasks in an answer, the gateway's before its upstream's, without their envelopes."""
    layer: Json = answer
    for depth in range(MAX_NESTING):
        if not isinstance(layer, dict):
            return
        if not _is_envelope(layer, is_outermost=depth == 0):
            yield layer
        layer = layer.get("data")


def _raise_for_error(answer: dict[str, Json]) -> None:
    code = answer.get("code")
    if code == "task_not_exist":
        raise OctovidTaskNotFoundError("the gateway does not know this task (task_not_exist)")
    if isinstance(answer.get("status"), str) or "task_id" in answer:
        return
    is_refused = (
        answer.get("success") is False
        or (isinstance(code, str) and code.lower() not in ("success", "ok", "0", "200", ""))
        or (isinstance(code, int) and code not in (0, 200))
    )
    if is_refused or not _is_envelope(answer):
        kind = f"the error {read_word(code) or ''}".strip() if is_refused else "no task"
        said = _error_text(answer) or read_text(answer.get("message")) or "without a reason"
        raise OctovidAnswerError(f"the gateway answered with {kind}: {said}")


def _each(
    layers: Iterable[Mapping[str, Json]], key: str, read: Callable[[Json], T | None]
) -> Iterator[T]:
    """What ``read`` makes of ``key``, for every layer where it makes something of it."""
    for layer in layers:
        value = read(layer.get(key))
        if value is not None:
            yield value


def _first(
    layers: Iterable[Mapping[str, Json]], key: str, read: Callable[[Json], T | None]
) -> T | None:
    return next(_each(layers, key, read), None)


def _dicts(layer: Mapping[str, Json], key: str) -> list[dict[str, Json]]:
    value = layer.get(key)
    return [value] if isinstance(value, dict) else []


# Reasons.


def _error_text(layer: Mapping[str, Json]) -> str | None:
    error = layer.get("error")
    if isinstance(error, dict):
        return read_text(error.get("message")) or read_text(error.get("code"))
    return read_text(error)


def _fail_reason(layers: list[dict[str, Json]]) -> str:
    readers: list[Callable[[Mapping[str, Json]], str | None]] = [
        lambda layer: read_text(layer.get("fail_reason")),
        _error_text,
        lambda layer: read_text(layer.get("message")),
    ]
    reasons = (read(layer) for read in readers for layer in layers)
    return next((reason for reason in reasons if reason), "")


# Links.


def _video_url(
    layers: list[dict[str, Json]], contents: list[dict[str, Json]], base_url: str
) -> str:
    def link(value: Json) -> str | None:
        return read_link(value, base_url)

    places: list[tuple[list[dict[str, Json]], str]] = [
        (contents, "video_url"),
        (layers, "video_url"),
        (layers, "url"),
        (layers, "result_url"),
        (layers, "fail_reason"),  # where older gateways put it
    ]
    links = (_first(place, key, link) for place, key in places)
    return next((url for url in links if url), "")


# The payload.


def _payload(data: Json) -> Json:
    """``data``, cut until it is safe to store: ``data:`` links first, then ever shorter strings."""
    for max_text, max_items in ((MAX_PAYLOAD_BYTES, 10_000), (2_000, 1_000), (200, 100), (40, 20)):
        payload = _cut(data, max_text, max_items, MAX_NESTING)
        if len(json.dumps(payload).encode()) <= MAX_PAYLOAD_BYTES:
            return payload
    return None


def _cut(value: Json, max_text: int, max_items: int, max_depth: int) -> Json:
    if isinstance(value, str):
        limit = min(max_text, 40) if value.startswith("data:") else max_text
        kept = storable(value[:limit])
        return kept if len(value) <= limit else f"{kept}… ({len(value)} characters)"
    if isinstance(value, (dict, list)) and max_depth == 0:
        return "…"
    if isinstance(value, dict):
        return {
            _cut(str(key), min(max_text, 200), 0, 0): _cut(item, max_text, max_items, max_depth - 1)
            for key, item in list(value.items())[:max_items]
        }
    if isinstance(value, list):
        return [_cut(item, max_text, max_items, max_depth - 1) for item in value[:max_items]]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -MAX_BIG_INTEGER <= value <= MAX_BIG_INTEGER:
        return f"{float(value):.6g}" if abs(value) < 10**300 else "…"
    return value
