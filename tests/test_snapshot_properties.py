"""Whatever the gateway responds: our own exception, or what every database can store.

Hypothesis searches for a response that is neither. The database is the one that the tests run on.
``HYPOTHESIS_PROFILE=thorough`` searches longer.
"""

from __future__ import annotations

import copy
import json
import re
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octovid_django.client import query_task
from octovid_django.enums import TaskStatus
from octovid_django.exceptions import OctovidError, OctovidResponseError, OctovidTaskNotFoundError
from octovid_django.models import VideoTask
from octovid_django.snapshot import TaskSnapshot
from octovid_django.transition import after_error, after_response
from tests.gateway import Gateway, responds

RESPONSES = [
    json.loads(path.read_text())["response"]
    for path in sorted((Path(__file__).parent / "responses").glob("*.json"))
]
NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
VIDEO = "https://cdn.example/v.mp4"

signed_at = st.datetimes().map(lambda moment: re.sub("[-:]", "", moment.isoformat()[:19]))
links = st.one_of(
    st.sampled_from([VIDEO, "javascript:alert(1)", "/v1/videos/t/content", "https://[::1", "//a"]),
    st.sampled_from(["http://localhost:3000/v1/videos/t/content", "http://[::1]/v", "http://1/v"]),
    st.builds(
        "{}?X-Tos-Date={}Z&X-Tos-Expires={}".format, st.just(VIDEO), signed_at, st.integers()
    ),
    st.builds((VIDEO + "?Expires={}").format, st.integers() | st.floats()),
)
words = st.sampled_from(
    [*TaskStatus.values, "success", "completed", "running", "task_not_exist", "nobody's"]
)
texts = st.one_of(
    st.text(st.characters()),  # lone surrogates and NUL too
    st.sampled_from(
        [
            *("", " ", "\x00", "\ud800", "\U0001f3ac" * 300, "x" * 70_000, "data:" + "A" * 70_000),
            *("50%", "nan", "inf", "1e999", "9" * 400, "٣", "-1", "0.1"),
        ]
    ),
)
numbers = st.one_of(
    st.integers(),
    st.sampled_from([2**31, 2**63, 2**64, 10**400, -(10**400), 1775908082, 1775908082000]),
    st.floats(),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts, links, words)
names = st.sampled_from(
    [
        *("code", "success", "data", "task_id", "status", "progress", "fail_reason", "message"),
        *("submit_time", "start_time", "finish_time", "result_url", "url", "video_url", "error"),
        *("content", "usage", "total_tokens", "duration", "resolution", "ratio"),
        *("output", "outputs", "creations", "task_result", "videos", "metadata", "properties"),
        *("model", "origin_model_name", "seconds", "completed_at", "expires_at", "id"),
        *("task_status", "task_status_msg", "errorMessage", "detail"),
    ]
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names | texts, inner, max_size=8),
    max_leaves=30,
)
tasks = st.builds(
    lambda status, link, others: {
        "code": "success",
        "data": {"task_id": "t", "status": status, "result_url": link, **others},
    },
    words,
    links,
    st.dictionaries(names, scalars, max_size=6),
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value: where it is, and under which key or index."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        where = pending.pop()
        if isinstance(where, dict | list):
            keys = list(where) if isinstance(where, dict) else range(len(where))
            found += [(where, key) for key in keys]
            pending += [where[key] for key in keys]
    return found


@st.composite
def mutations(draw: st.DrawFn) -> Any:
    """A response of ``tests/responses/`` in which some places hold something else, or nothing."""
    response = {"": copy.deepcopy(draw(st.sampled_from(RESPONSES)))}
    for _ in range(draw(st.integers(1, 4))):
        where, key = draw(st.sampled_from(places(response)))
        change = draw(st.sampled_from(["replace", "remove", "add", "wrap", "deepen"]))
        if change == "replace":
            where[key] = draw(values)
        elif change == "remove" and isinstance(where, dict) and where is not response:
            del where[key]
        elif change == "add" and isinstance(where[key], dict):
            where[key][draw(names | texts)] = draw(values)
        elif change == "wrap":
            where[key] = {"code": "success", "data": where[key]}
        elif change == "deepen":
            for _ in range(draw(st.sampled_from([30, 400]))):
                where[key] = [where[key]]
    return response[""]


def read(response: Any) -> TaskSnapshot:
    return TaskSnapshot.from_response(
        response, base_url="https://octopusx.ai", link_lifetime=timedelta(hours=12)
    )


def assert_is_bounded(payload: Any) -> None:
    assert len(json.dumps(payload, allow_nan=False).encode()) <= 64 * 1024


def assert_can_be_stored(task: VideoTask, fields: dict[str, Any]) -> None:
    """The database stores these values, and returns the same.

    But for the payload: PostgreSQL writes some of its numbers in another way.
    """
    rows = VideoTask.objects.filter(pk=task.pk)
    with transaction.atomic():
        assert rows.update(**fields) == 1
        stored = rows.get()
        transaction.set_rollback(True)
    for name in fields.keys() - {"payload"}:
        assert getattr(stored, name) == fields[name]


def assert_can_be_shown(moment: datetime | None) -> None:
    """In every time zone, a few years before and after it too."""
    for zone in ("America/Los_Angeles", "Pacific/Kiritimati"):
        if moment is not None:
            assert 1960 < moment.astimezone(ZoneInfo(zone)).year < 9000


@pytest.fixture
def task(db: None) -> VideoTask:
    return VideoTask.objects.create(task_id="t", next_poll_at=NOW)


unchanging_fixtures = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@unchanging_fixtures
@given(response=tasks | mutations() | values)
def test_any_response_raises_own_exception_or_can_be_stored(task: VideoTask, response: Any) -> None:
    try:
        snapshot = read(response)
    except (OctovidResponseError, OctovidTaskNotFoundError) as error:
        assert_can_be_stored(task, after_error(task, error, NOW).fields)
        return
    assert_is_bounded(snapshot.payload)
    assert_can_be_stored(task, after_response(task, snapshot, NOW).fields)
    for name in ("submitted_at", "started_at", "finished_at", "video_url_expires_at"):
        assert_can_be_shown(getattr(snapshot, name))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """The bytes of a response, some of them changed, cut off or doubled."""
    body = bytearray(json.dumps(draw(st.sampled_from(RESPONSES))).encode())
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(body)))
        body[start : start + draw(st.integers(0, 20))] = draw(st.binary(max_size=20))
    return bytes(body)


@unchanging_fixtures
@given(body=bodies() | st.binary(max_size=200), status=st.sampled_from([200, 400, 401, 404, 500]))
def test_any_body_becomes_snapshot_or_raises_own_exception(
    gateway: Gateway, body: bytes, status: int
) -> None:
    gateway.default = responds(status, body)
    with suppress(OctovidError):
        assert_is_bounded(query_task("t").payload)
