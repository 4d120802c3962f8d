"""Every response that ``docs/gateway.md`` describes is a file in ``tests/responses/``.

``section`` is its section there. ``becomes`` holds what the snapshot says; what it leaves out, the
snapshot must not say. The payload is the response's ``data`` where the file has no other.
"""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from octovid_django import exceptions
from octovid_django.enums import TaskStatus
from octovid_django.snapshot import TaskSnapshot

RESPONSES = sorted((Path(__file__).parent / "responses").glob("*.json"))
UNREPORTED: dict[str, Any] = {
    **dict.fromkeys(("task_id", "upstream_status", "fail_reason", "video_url"), ""),
    **dict.fromkeys(("resolution", "ratio", "model"), ""),
    **dict.fromkeys(("status", "progress", "duration", "total_tokens"), None),
    **dict.fromkeys(("submitted_at", "started_at", "finished_at", "video_url_expires_at"), None),
}
VIDEO = "https://cdn.example/video.mp4"


def read(response: Any) -> TaskSnapshot:
    return TaskSnapshot.from_response(
        response, base_url="https://octopusx.ai", link_lifetime=timedelta(hours=12)
    )


def response(status: str = "IN_PROGRESS", **fields: Any) -> dict[str, Any]:
    return {"code": "success", "data": {"task_id": "task_1", "status": status, **fields}}


@pytest.mark.parametrize("path", RESPONSES, ids=[path.stem for path in RESPONSES])
def test_response_becomes_expected_snapshot_or_error(path: Path) -> None:
    case = json.loads(path.read_text())

    if "raises" in case:
        with pytest.raises(getattr(exceptions, case["raises"])):
            read(case["response"])
        return
    reported = {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in asdict(read(case["response"])).items()
    }
    assert reported == {**UNREPORTED, "payload": case["response"].get("data"), **case["becomes"]}


def test_every_section_of_contract_has_response() -> None:
    sections = {json.loads(path.read_text())["section"] for path in RESPONSES}

    assert sections == {"1", "3", *(f"2.{number}" for number in range(1, 18))}


def test_snapshot_is_frozen() -> None:
    snapshot = read(response())

    with pytest.raises(FrozenInstanceError):
        snapshot.status = TaskStatus.SUCCESS  # type: ignore[misc]


def test_snapshot_times_are_aware_and_in_utc() -> None:
    snapshot = read(response("SUCCESS", finish_time=1775908382, result_url=VIDEO))

    assert snapshot.finished_at == datetime(2026, 4, 11, 11, 53, 2, tzinfo=timezone.utc)
    assert snapshot.finished_at.tzinfo is timezone.utc
    assert snapshot.video_url_expires_at == snapshot.finished_at + timedelta(hours=12)


class TestErrors:
    @pytest.mark.parametrize(
        ("reported", "message"),
        [
            (
                {"code": "get_task_failed", "message": "record not found", "data": None},
                "the gateway responded with the error get_task_failed: record not found",
            ),
            (
                {"code": 500, "message": "oops", "data": {}},
                "the gateway responded with the error: oops",
            ),
            (
                {"error": {"message": "Invalid token", "type": "new_api_error", "code": ""}},
                "the gateway responded with no task: Invalid token",
            ),
            ([], "the gateway responded with a JSON array, not an object"),
            ("cat", "the gateway responded with a JSON string, not an object"),
            (None, "the gateway responded with a JSON null, not an object"),
            (True, "the gateway responded with a JSON boolean, not an object"),
            (7, "the gateway responded with a JSON number, not an object"),
            ({}, "the gateway responded with no task: without a reason"),
        ],
    )
    def test_error_names_what_came_instead_of_a_task(self, reported: Any, message: str) -> None:
        with pytest.raises(exceptions.OctovidResponseError) as raised:
            read(reported)

        assert str(raised.value) == message

    def test_task_with_nested_object_named_task_is_read_itself(self) -> None:
        reported = response("SUCCESS", task={"type": "video", "status": "running"})

        assert read(reported).status == TaskStatus.SUCCESS

    def test_code_beside_task_is_no_error(self) -> None:
        reported = {"code": "0", "task_id": "task_1", "status": "running"}

        assert read(reported).status == TaskStatus.IN_PROGRESS


class TestLinks:
    """Only http and https, and only of a task that has succeeded."""

    @pytest.mark.parametrize(
        "link",
        [
            *("javascript:alert(1)", "JaVaScRiPt:alert(1)", "\tjavascript:alert(1)"),
            *("data:video/mp4;base64,AAAA", "ftp://cdn.example/video.mp4", "//cdn.example/v.mp4"),
            *("https://", "https:///v.mp4", "https://octopusx.ai@evil.example/v.mp4"),
            *("https://cdn.example/a b.mp4", "https://cdn.example/\n.mp4", "video.mp4", " ", ""),
            *("https://[::1/v.mp4", "https://cdn.example/\u202e4pm.exe", VIDEO + "x" * 10_000),
            *(7, True, None, {"url": VIDEO}),
        ],
    )
    def test_value_that_is_no_http_link_is_no_video_url(self, link: Any) -> None:
        reported = response(
            "SUCCESS", result_url=link, url=link, data={"content": {"video_url": link}}
        )

        assert read(reported).video_url == ""

    @pytest.mark.parametrize("status", ["IN_PROGRESS", "FAILURE", "QUEUED", "nonsense"])
    def test_task_that_has_not_succeeded_has_no_video_url(self, status: str) -> None:
        snapshot = read(response(status, result_url=VIDEO, fail_reason=VIDEO))

        assert snapshot.video_url == ""
        assert snapshot.video_url_expires_at is None

    def test_video_url_wins_over_generic_url(self) -> None:
        inner = {"content": {"video_url": VIDEO}, "url": "https://cdn.example/poster.jpg"}

        assert read(response("SUCCESS", data=inner)).video_url == VIDEO

    def test_result_url_wins_over_link_of_upstream(self) -> None:
        inner = {"content": {"video_url": "https://cdn.example/raw.mp4"}}

        assert read(response("SUCCESS", data=inner, result_url=VIDEO)).video_url == VIDEO

    @pytest.mark.parametrize("name", ["input", "request", "images", "error", "properties", "links"])
    def test_link_of_the_input_is_no_video_url(self, name: str) -> None:
        reported = response("SUCCESS", data={name: {"url": VIDEO, "video_url": VIDEO}})

        assert read(reported).video_url == ""

    @pytest.mark.parametrize(
        "name", ["image_url", "last_frame_url", "cover_url", "callback_url", "original_result_url"]
    )
    def test_link_of_image_cover_or_callback_is_no_video_url(self, name: str) -> None:
        assert read(response("SUCCESS", data={"content": {name: VIDEO}})).video_url == ""

    def test_link_at_localhost_moves_to_gateway_for_either_task_id(self) -> None:
        """The id that was polled, and the one in the response."""
        for own_id in ("polled/1", "task_1"):
            link = f"http://127.0.0.1:3000/v1/videos/{quote(own_id, safe='')}/content"
            snapshot = TaskSnapshot.from_response(
                response("SUCCESS", result_url=link),
                base_url="https://octopusx.ai/api",
                link_lifetime=timedelta(hours=12),
                task_id="polled/1",
            )
            path = f"/api/v1/videos/{quote(own_id, safe='')}/content"
            assert snapshot.video_url == f"https://octopusx.ai{path}"

    @pytest.mark.parametrize("word", ["FAILURE", "failed", "error", "timeout", "rejected"])
    def test_failure_status_beside_a_link_is_success(self, word: str) -> None:
        snapshot = read(response(word, fail_reason="task failed", data={"output": VIDEO}))

        assert (snapshot.status, snapshot.video_url) == (TaskStatus.SUCCESS, VIDEO)
        assert snapshot.fail_reason == ""

    def test_link_without_any_time_has_no_expiry(self) -> None:
        assert read(response("SUCCESS", result_url=VIDEO)).video_url_expires_at is None


FIELDS = (
    *("task_id", "status", "progress", "fail_reason", "result_url", "url", "error", "message"),
    *("submit_time", "start_time", "finish_time", "duration", "resolution", "ratio"),
    *("content", "usage", "data", "output", "creations", "metadata", "properties", "model"),
    *("task_status_msg", "completed_at", "seconds"),
)
WEIRD = [
    *(None, True, False, 0, -1, 2**31, 2**63, 2**64, 10**400, -(10**400), 0.5, 1e308, -1e308),
    *(float("nan"), float("inf"), float("-inf"), "", " ", "\x00", "\ud800", "\U0001f3ac" * 300),
    *("1e999", "nan", "-0", "٣", "x" * 100_000, [], [[]], [{}], {}, {"data": {}}),
    *({"video_url": []}, {"total_tokens": "many"}, {"total_tokens": 10**30}, {"message": []}),
]


class TestHostileResponses:
    """Whatever comes, it is refused by our own error, or fits into any database."""

    @pytest.mark.parametrize("field", FIELDS)
    @pytest.mark.parametrize("value", WEIRD, ids=[f"value{n}" for n in range(len(WEIRD))])
    @pytest.mark.parametrize("status", ["SUCCESS", "FAILURE"])
    def test_weird_value_is_refused_or_storable(self, field: str, value: Any, status: str) -> None:
        reported = response(status)
        reported["data"] |= {field: value}
        try:
            snapshot = read(reported)
        except exceptions.OctovidResponseError:
            return
        assert_storable(snapshot)

    def test_huge_data_link_is_truncated(self) -> None:
        inner = {"content": {"video_url": "data:video/mp4;base64," + "A" * 8_000_000}, "seed": 7}
        snapshot = read(response("SUCCESS", data=inner))

        assert_storable(snapshot)
        assert snapshot.payload["data"]["seed"] == 7, "only the link is truncated"
        assert snapshot.payload["data"]["content"]["video_url"] == (
            "data:video/mp4;base64,AAAAAAAAAAAAAAAAAA… (8000022 characters)"
        )

    def test_short_strings_beside_a_long_one_are_kept(self) -> None:
        snapshot = read(response(data={"log": "y" * 200_000, "seed": "7"}))

        assert_storable(snapshot)
        assert snapshot.payload["data"]["seed"] == "7"
        assert snapshot.payload["data"]["log"].endswith("… (200000 characters)")

    @pytest.mark.parametrize(
        "inner",
        [
            [0] * 1_000_000,
            {str(number): "x" * 100 for number in range(20_000)},
            {"k" * 100_000: 1},
            [["\u200b" * 100] * 100] * 100,
        ],
    )
    def test_bulky_payload_stays_within_its_bound(self, inner: Any) -> None:
        assert_storable(read(response(data=inner)))

    def test_status_resolution_ratio_and_model_are_redacted_and_bounded(self) -> None:
        link = "https://cdn.example/v.mp4?k=s3cr3t-of-a-link"
        words = {
            "status": "odd //a@//a@//a@//a@//a@//a@//a@//a@//a@//a@//a@//a@//a@//a@//a@",
            "resolution": f"{'x' * 55} {link}",
            "ratio": "k=s3cr3t-of-a-link",
            "model": f"model {link}",
            "data": {"content": {"video_url": link}},
        }
        snapshot = read(response(**words))

        for text in (snapshot.upstream_status, snapshot.resolution, snapshot.ratio):
            assert len(text) <= 64
            assert "s3c" not in text
        assert "s3c" not in snapshot.model

    def test_deeply_nested_payload_is_storable(self) -> None:
        inner: Any = "core"
        for _ in range(500):
            inner = {"data": inner, "list": [inner]}
            inner = {"data": inner}
        assert_storable(read(response(data=inner)))

    def test_task_within_500_envelopes_has_no_status(self) -> None:
        reported: Any = response("SUCCESS", result_url=VIDEO)
        for _ in range(500):
            reported = {"code": "success", "data": reported}
        snapshot = read(reported)

        assert_storable(snapshot)
        assert snapshot.status is None, "what lies that deep is not read"

    def test_characters_that_databases_refuse_are_replaced(self) -> None:
        snapshot = read(
            response("FAILURE", fail_reason="no\x00 \ud83c cats", data={"\x00": "\udfff"})
        )

        assert_storable(snapshot)
        assert snapshot.fail_reason == "no\ufffd \ufffd cats"
        assert snapshot.payload["data"] == {"\ufffd": "\ufffd"}


def assert_storable(snapshot: TaskSnapshot) -> None:
    """It fits into the columns of ``VideoTask``, and its JSON into those of MariaDB."""
    text = json.dumps(snapshot.payload, allow_nan=False)
    assert len(text.encode()) <= 64 * 1024
    assert nesting(snapshot.payload) <= 31
    values = asdict(snapshot)
    lengths = {"upstream_status": 64, "resolution": 64, "ratio": 64, "model": 191, "task_id": 191}
    for name, length in lengths.items():
        assert len(values[name]) <= length
    for value in (json.dumps(snapshot.payload, ensure_ascii=False), *values.values()):
        if isinstance(value, str):
            value.encode()
            assert "\x00" not in value
    assert snapshot.progress is None or 0 <= snapshot.progress <= 100
    assert snapshot.duration is None or 0 <= snapshot.duration < 2**31
    assert snapshot.total_tokens is None or 0 <= snapshot.total_tokens < 2**63
    for name in ("submitted_at", "started_at", "finished_at", "video_url_expires_at"):
        assert values[name] is None or values[name].tzinfo is timezone.utc
    assert snapshot.status is None or snapshot.status in TaskStatus


def nesting(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)):
        return 0
    return 1 + max(map(nesting, children), default=0)
