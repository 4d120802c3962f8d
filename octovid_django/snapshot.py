"""What a response reports about a task, whatever its shape (docs/gateway.md, sections 1 and 2).

All tolerance of the gateway is here: the documented response, and the many others that it is known
to send. Nothing here sends a request, stores anything or reads a clock.
"""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from octovid_django.enums import STICKY_STATUSES, TaskStatus
from octovid_django.exceptions import (
    OctovidResponseError,
    OctovidTaskNotFoundError,
)
from octovid_django.links import is_content_url, link_expiry, read_task_link
from octovid_django.names import LINK_RANKS, box_names, fields_of, link_rank, opened
from octovid_django.reasons import error_text, fail_reason
from octovid_django.redaction import Redaction, links_in, one_line
from octovid_django.statuses import read_status
from octovid_django.values import (
    MAX_BIG_INTEGER,
    MAX_INTEGER,
    MAX_TEXT,
    MAX_WORD,
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
MAX_NAME = 191  # of a task or a model

_MAX_PLACES = 200
_MAX_ITEMS = 10

_STATUS_NAMES = ("status", "task_status", "state")
_TASK_NAMES = {"id", "task_id", "progress"}
_SUBMITTED = ("submit_time", "created_at", "create_time")
_STARTED = ("start_time", "started_at")
_FINISHED = ("finish_time", "completed_at", "finished_at", "complete_time", "ended_at", "end_time")


@dataclass(frozen=True)
class TaskSnapshot:
    """What one response reports about a task; ``None`` and ``""`` stand for "not reported"."""

    task_id: str
    status: TaskStatus | None
    """``UNKNOWN`` also for a status word that is not known; ``upstream_status`` then keeps it."""
    upstream_status: str
    """The raw upstream status: the innermost status word, verbatim."""
    progress: int | None
    """Percent, 0 to 100."""
    fail_reason: str
    """Why the task failed, with ``FAILURE`` only."""
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
    """The ``data`` of the response, cut to what is safe to store, at most 64 KB of JSON."""
    model: str = ""
    """The model that generates the video, as ordered where the response has that."""

    @classmethod
    def from_response(
        cls, response: Json, *, base_url: str, link_lifetime: timedelta, task_id: str = ""
    ) -> TaskSnapshot:
        """Read a response of the query call.

        Args:
            response: The decoded JSON.
            base_url: The URL of the gateway, which links may be relative to.
            link_lifetime: How long after ``finish_time`` a link expires that does not say so.
            task_id: The id that was queried, where the response may have another one.

        Returns:
            What the response reports; all times are aware and in UTC.

        Raises:
            OctovidTaskNotFoundError: The response is ``task_not_exist``.
            OctovidResponseError: The response is an error, or not about a task at all.
        """
        if not isinstance(response, dict):
            raise OctovidResponseError(
                f"the gateway responded with a JSON {_kind(response)}, not an object"
            )
        fields = fields_of(response)
        layers = list(_layers(fields))
        _raise_for_error(fields, layers)
        places = list(_places(fields))
        usages = [usage for place in places for usage in _dicts(place, "usage")]

        own_id = _first(layers, "task_id", _read_name) or _first(layers[:1], "id", _read_name) or ""
        status, upstream_status = read_status(_status_words(layers))
        finished_at = _moment(layers, *_FINISHED)
        video_url, expires_at = "", None
        if status in STICKY_STATUSES:
            video_url = _video_url(
                places,
                lambda value: read_task_link(value, base_url, {task_id, own_id}),
                has_failed=status == TaskStatus.FAILURE,
            )
        if video_url:
            status = TaskStatus.SUCCESS  # beside a video, a status word of failure does not count
            expires_at = link_expiry(video_url) or _moment(layers, "expires_at")
            if expires_at is None and finished_at:
                expires_at = later(finished_at, link_lifetime)
        redaction = Redaction([video_url, *links_in(response)])

        def clean(text: str | None, limit: int = MAX_WORD) -> str:
            return redaction.redact(text or "")[:limit]

        return cls(
            task_id=own_id,
            status=status,
            upstream_status=clean(upstream_status),
            progress=_first(layers, "progress", read_percent),
            fail_reason=(
                clean(_fail_reason(places), MAX_TEXT) if status == TaskStatus.FAILURE else ""
            ),
            video_url=video_url,
            video_url_expires_at=expires_at,
            duration=_figure(
                [*places, *usages], MAX_INTEGER, "duration", "seconds", "video_duration"
            ),
            resolution=clean(_first([*places, *usages], "resolution", read_text)),
            ratio=clean(
                _first(places, "ratio", read_text) or _first(places, "aspect_ratio", read_text)
            ),
            total_tokens=_figure([*usages, *places], MAX_BIG_INTEGER, "total_tokens"),
            model=clean(_model(layers), MAX_NAME),
            submitted_at=_moment(layers, *_SUBMITTED),
            started_at=_moment(layers, *_STARTED),
            finished_at=finished_at,
            payload=_payload(response["data"] if _is_envelope(response) else response),
        )


def _kind(value: Json) -> str:
    names = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


# The layers of a response, from the outside in: envelopes, the gateway's task, the upstream's task.


def _is_envelope(layer: dict[str, Json], *, is_outermost: bool = True) -> bool:
    """Whether ``layer`` only wraps a task. A gateway's task has ``data`` too, but also an id."""
    if "data" not in layer or "task_id" in layer:
        return False
    is_marked = "code" in layer or "success" in layer
    return is_marked or (is_outermost and isinstance(layer["data"], dict))


def _layers(response: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """The tasks in a response without their envelopes, the gateway's before its upstream's."""
    layer = response
    for depth in range(MAX_NESTING):
        boxed = [] if "task_id" in layer else _dicts(layer, "task")
        task = next(filter(_has_task_status, boxed), None)
        is_envelope = task is not None or _is_envelope(layer, is_outermost=depth == 0)
        if not is_envelope:
            yield layer
        inner = task or opened(_only(layer.get("data")))
        if not isinstance(inner, dict) and not (is_envelope or _status_words([layer])):
            inner = next(filter(_has_task_status, _boxed_objects(layer)), None)
        if not isinstance(inner, dict):
            return
        layer = fields_of(inner)


def _only(value: Json) -> Json:
    """The item of a list of one; any other value itself."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _boxed_objects(fields: dict[str, Json]) -> Iterator[dict[str, Json]]:
    for name in box_names(fields):
        yield from _dicts(fields, name)


def _places(response: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """Where the fields of a task may stand: in the layers and their boxes, the outer first."""
    is_envelope = _is_envelope(response)
    pending = deque(_dicts({"": response["data"] if is_envelope else response}, ""))
    for _ in range(_MAX_PLACES):
        if not pending:
            break
        place = pending.popleft()
        yield place
        pending += islice(_boxed_objects(place), _MAX_PLACES)
    if is_envelope:
        yield response
        yield from islice(_boxed_objects({**response, "data": None}), _MAX_ITEMS)


def _status_words(layers: list[dict[str, Json]]) -> list[str]:
    """The status words under one name. A long-running operation has only ``done``."""
    words = (list(_each(layers, name, read_word)) for name in _STATUS_NAMES)
    for found in filter(None, words):
        return found
    is_done = next((layer for layer in layers if layer.get("done") is True), None)
    return [] if is_done is None else ["failed" if is_done.get("error") else "done"]


def _has_task_status(layer: dict[str, Json]) -> bool:
    """Whether ``layer`` has a status word about the task, not about the call."""
    words = _status_words([layer])
    # A word of failure is about the call if no field of a task stands beside it.
    is_of_call = words[:1] in (["error"], ["fail"]) and not _TASK_NAMES & layer.keys()
    return bool(words) and not is_of_call


def _raise_for_error(response: dict[str, Json], layers: list[dict[str, Json]]) -> None:
    code = response.get("code")
    if code == "task_not_exist":
        raise OctovidTaskNotFoundError("the gateway does not know this task (task_not_exist)")
    if "task_id" in response or any(map(_has_task_status, layers)):
        return
    is_refused = (
        response.get("success") is False
        or bool(_status_words([response]))
        or (isinstance(code, str) and code.lower() not in ("success", "ok", "0", "200", ""))
        or (isinstance(code, int) and code not in (0, 200))
    )
    if is_refused or not _is_envelope(response):
        kind = f"the error {read_word(code) or ''}".strip() if is_refused else "no task"
        reason = read_text(error_text(response)) or "without a reason"
        text = f"the gateway responded with {kind}: {reason}"
        raise OctovidResponseError(one_line(text, links_in(response)))


def _each(
    layers: Iterable[Mapping[str, Json]], key: str, read: Callable[[Json], T | None]
) -> Iterator[T]:
    """What ``read`` returns for ``key``, of every layer where that is not ``None``."""
    for layer in layers:
        value = read(layer.get(key))
        if value is not None:
            yield value


def _first(
    layers: Iterable[Mapping[str, Json]], key: str, read: Callable[[Json], T | None]
) -> T | None:
    return next(_each(layers, key, read), None)


def _items(value: Json) -> list[Json]:
    """The first items of a list, or the value as one item; JSON objects in strings are decoded."""
    return [opened(item) for item in (value[:_MAX_ITEMS] if isinstance(value, list) else [value])]


def _dicts(layer: Mapping[str, Json], key: str) -> list[dict[str, Json]]:
    """The objects under ``key``: one, or the first ones of a list."""
    return [fields_of(item) for item in _items(layer.get(key)) if isinstance(item, dict)]


# Figures.


def _figure(places: list[dict[str, Json]], maximum: int, *names: str) -> int | None:
    read = natural(maximum)
    figures = (_first(places, name, lambda value: read(value) or None) for name in names)
    return next(filter(None, figures), None)


def _moment(layers: list[dict[str, Json]], *names: str) -> datetime | None:
    moments = (_first(layers, name, read_moment) for name in names)
    return next(filter(None, moments), None)


def _model(layers: list[dict[str, Json]]) -> str:
    """The model as ordered, which outer layers have; inner ones may have another."""
    ordered = [place for layer in layers for place in (layer, *_dicts(layer, "properties"))]
    names = (_read_name(place.get("model") or place.get("origin_model_name")) for place in ordered)
    return (
        next(filter(None, names), None) or _first(ordered, "upstream_model_name", _read_name) or ""
    )


def _read_name(value: Json) -> str | None:
    return read_text(value, MAX_NAME)


# Reasons.


def _fail_reason(places: list[dict[str, Json]]) -> str:
    """The reason as ``reasons`` finds it; some gateways put it where a link belongs."""
    texts = filter(None, map(read_text, _named_as_links(places)))
    return fail_reason(places, filter(_is_sentence, texts))


def _is_sentence(text: str) -> bool:
    is_address = re.match(r"[\w.+-]*:(//|\S)|/", text) is not None
    return not is_address and (" " in text or not text.isascii())


# Links.


def _video_url(
    places: list[dict[str, Json]], read: Callable[[Json], str | None], *, has_failed: bool
) -> str:
    """The best link to the video, "" where there is none.

    With a status word of failure a link counts only if it is evidence of a video: neither a copy of
    the reason, nor a content link, which gateways give any task.
    """
    named = _named_as_links(places)
    boxed = [item for place in places for name in box_names(place) for item in _items(place[name])]
    reasons = [place.get("fail_reason") for place in places]  # where older gateways put it
    for value in (*named, *boxed, *reasons):
        link = read(value)
        if link and not (has_failed and (value in reasons or is_content_url(link))):
            return link
    return ""


def _named_as_links(places: list[dict[str, Json]]) -> list[Json]:
    """The values under the names of links, the best first."""
    found: list[list[Json]] = [[] for _ in range(LINK_RANKS)]
    for place in places:
        for name, value in place.items():
            if (rank := link_rank(name)) >= 0:
                found[rank] += _items(value)
    return [value for values in found for value in values]


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
