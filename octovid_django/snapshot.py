"""What the gateway's answer says about a task, whatever shape it comes in.

All tolerance of the gateway lives here: its documented answer, and the many that it is known to
give instead. Nothing here asks, stores or reads a clock.
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
from octovid_django.redaction import links_in, one_line, redact
from octovid_django.statuses import status_of_word
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
    model: str = ""
    """What makes the video, as it was ordered where the answer says so."""

    @classmethod
    def from_response(
        cls, response: Json, *, base_url: str, link_lifetime: timedelta, task_id: str = ""
    ) -> TaskSnapshot:
        """Read a decoded answer of the query call.

        Args:
            response: The decoded JSON (docs/gateway.md, 1 and 2).
            base_url: What a link relative to the gateway is relative to.
            link_lifetime: How long after ``finish_time`` a link lives that does not say so itself.
            task_id: What was asked about, if the answer itself may call it otherwise.

        Returns:
            What the answer says; all times are aware and in UTC.

        Raises:
            OctovidTaskNotFoundError: It says ``task_not_exist``.
            OctovidResponseError: It is an error, or not about a task at all.
        """
        if not isinstance(response, dict):
            raise OctovidResponseError(
                f"the gateway answered with a JSON {_kind(response)}, not an object"
            )
        fields = fields_of(response)
        layers = list(_layers(fields))
        _raise_for_error(fields, layers)
        places = list(_places(fields))
        usages = [usage for place in places for usage in _dicts(place, "usage")]

        own_id = _first(layers, "task_id", _read_name) or _first(layers[:1], "id", _read_name) or ""
        words = _status_words(layers)
        meaning = status_of_word(words[0]) if words else None
        status = meaning or (TaskStatus.UNKNOWN if words else None)
        finished_at = _moment(layers, *_FINISHED)
        video_url, expires_at = "", None
        if status in STICKY_STATUSES:
            video_url = _video_url(
                places,
                lambda value: read_task_link(value, base_url, {task_id, own_id}),
                has_failed=status == TaskStatus.FAILURE,
            )
        if video_url:
            status = TaskStatus.SUCCESS  # a word of failure is not believed beside a video
            expires_at = link_expiry(video_url) or _moment(layers, "expires_at")
            if expires_at is None and finished_at:
                expires_at = later(finished_at, link_lifetime)
        links = [video_url, *links_in(response)]

        def shown(text: str | None, limit: int = MAX_WORD) -> str:
            return redact(text or "", links)[:limit]

        return cls(
            task_id=own_id,
            status=status,
            upstream_status=shown((words[-1] if meaning else words[0]) if words else None),
            progress=_first(layers, "progress", read_percent),
            fail_reason=(
                shown(_fail_reason(places), MAX_TEXT) if status == TaskStatus.FAILURE else ""
            ),
            video_url=video_url,
            video_url_expires_at=expires_at,
            duration=_figure(
                [*places, *usages], MAX_INTEGER, "duration", "seconds", "video_duration"
            ),
            resolution=shown(_first([*places, *usages], "resolution", read_text)),
            ratio=shown(
                _first(places, "ratio", read_text) or _first(places, "aspect_ratio", read_text)
            ),
            total_tokens=_figure([*usages, *places], MAX_BIG_INTEGER, "total_tokens"),
            model=shown(_model(layers), MAX_NAME),
            submitted_at=_moment(layers, *_SUBMITTED),
            started_at=_moment(layers, *_STARTED),
            finished_at=finished_at,
            payload=_payload(response["data"] if _is_envelope(response) else response),
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


def _layers(response: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """The tasks in an answer, the gateway's before its upstream's, without their envelopes."""
    layer = response
    for depth in range(MAX_NESTING):
        boxed = [] if "task_id" in layer else _dicts(layer, "task")
        task = next(filter(_says_status, boxed), None)
        is_envelope = task is not None or _is_envelope(layer, is_outermost=depth == 0)
        if not is_envelope:
            yield layer
        inner = task or opened(_only(layer.get("data")))
        if not isinstance(inner, dict) and not (is_envelope or _status_words([layer])):
            inner = next(filter(_says_status, _boxed_objects(layer)), None)
        if not isinstance(inner, dict):
            return
        layer = fields_of(inner)


def _only(value: Json) -> Json:
    """What a list of one holds, and else ``value`` itself."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _boxed_objects(fields: dict[str, Json]) -> Iterator[dict[str, Json]]:
    for name in box_names(fields):
        yield from _dicts(fields, name)


def _places(response: dict[str, Json]) -> Iterator[dict[str, Json]]:
    """Where something may be said about a task: in its layers and their boxes, the outer first."""
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
    """The words for the status, of one name. A long-running operation says but ``done``."""
    words = (list(_each(layers, name, read_word)) for name in _STATUS_NAMES)
    for found in filter(None, words):
        return found
    is_done = next((layer for layer in layers if layer.get("done") is True), None)
    return [] if is_done is None else ["failed" if is_done.get("error") else "done"]


def _says_status(layer: dict[str, Json]) -> bool:
    """Whether a word for the status is about the task, not about the call."""
    words = _status_words([layer])
    # A word of failure is about the call where it stands beside nothing that is of a task.
    is_of_call = words[:1] in (["error"], ["fail"]) and not _TASK_NAMES & layer.keys()
    return bool(words) and not is_of_call


def _raise_for_error(response: dict[str, Json], layers: list[dict[str, Json]]) -> None:
    code = response.get("code")
    if code == "task_not_exist":
        raise OctovidTaskNotFoundError("the gateway does not know this task (task_not_exist)")
    if "task_id" in response or any(map(_says_status, layers)):
        return
    is_refused = (
        response.get("success") is False
        or bool(_status_words([response]))
        or (isinstance(code, str) and code.lower() not in ("success", "ok", "0", "200", ""))
        or (isinstance(code, int) and code not in (0, 200))
    )
    if is_refused or not _is_envelope(response):
        kind = f"the error {read_word(code) or ''}".strip() if is_refused else "no task"
        said = read_text(error_text(response)) or "without a reason"
        text = f"the gateway answered with {kind}: {said}"
        raise OctovidResponseError(one_line(text, links_in(response)))


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


def _items(value: Json) -> list[Json]:
    """The first items of a list, and anything else as an only one; objects also from strings."""
    return [opened(item) for item in (value[:_MAX_ITEMS] if isinstance(value, list) else [value])]


def _dicts(layer: Mapping[str, Json], key: str) -> list[dict[str, Json]]:
    """The objects under ``key``: one, or the first of a list."""
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
    """The model as it was ordered: the outer layer knows that, the inner ones where it led to."""
    ordered = [place for layer in layers for place in (layer, *_dicts(layer, "properties"))]
    names = (_read_name(place.get("model") or place.get("origin_model_name")) for place in ordered)
    return (
        next(filter(None, names), None) or _first(ordered, "upstream_model_name", _read_name) or ""
    )


def _read_name(value: Json) -> str | None:
    return read_text(value, MAX_NAME)


# Reasons.


def _fail_reason(places: list[dict[str, Json]]) -> str:
    """Why, as ``reasons`` finds it; some gateways have but the place of the link for it."""
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

    Beside a word of failure a link must be a witness: neither the reason once more, nor what
    gateways make up for any task.
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
    """What stands under the name of a link, the best first."""
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
