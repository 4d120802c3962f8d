"""The sandbox gateway over real sockets: requests and responses."""

from __future__ import annotations

import http.client
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import requests
import time_machine

from octovid_django.links import needs_key
from octovid_django.sandbox import Sandbox
from octovid_django.sandbox.server import MAX_BODY_BYTES

ROOT = Path(__file__).resolve().parent.parent
VIDEO = files("octovid_django.sandbox").joinpath("video.mp4").read_bytes()
TASK_ID = re.compile(r"cgt-\d{14}-[a-z0-9]{5}")
KEY = "sandbox-key"
OPTIONS = ("run_seconds", "error", "error_seconds", "link_lifetime", "needs_key")
BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(api_key=KEY) as sandbox:
        yield sandbox


@pytest.fixture
def http_session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update(BEARER)
        yield session


Post = Callable[..., requests.Response]
Query = Callable[[str], dict[str, Any]]


@pytest.fixture
def post(sandbox: Sandbox, http_session: requests.Session) -> Post:
    """Call the creation endpoint."""

    def post(body: object = None, **kwargs: Any) -> requests.Response:
        if body is not None:
            kwargs["json"] = body
        return http_session.post(f"{sandbox.url}/v1/video/generations", timeout=5, **kwargs)

    return post


@pytest.fixture
def query(sandbox: Sandbox, http_session: requests.Session) -> Query:
    """Call the query endpoint and return the ``data`` of a good response."""

    def query(task_id: str) -> dict[str, Any]:
        response = http_session.get(query_url(sandbox, task_id), timeout=5)
        assert response.status_code == 200
        assert response.json()["code"] == "success"
        data: dict[str, Any] = response.json()["data"]
        return data

    return query


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands at a whole second until it is shifted."""
    with time_machine.travel(1_775_908_080, tick=False) as traveller:
        yield traveller


@pytest.fixture
def video_url(sandbox: Sandbox, query: Query) -> str:
    """The link to the video of a task that has succeeded."""
    link: str = query(sandbox.create(run_seconds=0))["data"]["content"]["video_url"]
    return link


def query_url(sandbox: Sandbox, task_id: str) -> str:
    return f"{sandbox.url}/v1/video/generations/{quote(task_id, safe='')}"


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class TestCreate:
    def test_create_responds_with_whole_task_object(self, post: Post) -> None:
        response = post({"model": "doubao-seedance-2-0-260128"})

        assert response.status_code == 200
        assert response.headers["Content-Type"] == "application/json"
        body = response.json()
        assert TASK_ID.fullmatch(body["task_id"])
        assert abs(body.pop("created_at") - time.time()) < 5
        assert body == {
            "id": body["task_id"],
            "task_id": body["task_id"],
            "object": "video",
            "model": "doubao-seedance-2-0-260128",
            "status": "queued",
            "progress": 0,
        }

    def test_create_accepts_every_documented_field(self, post: Post, query: Query) -> None:
        content = [
            {"type": "text", "text": "a cat \ud800 on a roof"},
            {"type": "image_url", "image_url": {"url": "https://a.test/cat.png"}, "role": "x"},
        ]
        video = {"duration": 8, "resolution": "1080p", "ratio": "9:16"}
        ignored = {"seed": 7, "watermark": False, "callback_url": "https://a.test/"}
        metadata = {**video, **ignored}

        response = post({"model": "sandbox-video", "content": content, "metadata": metadata})

        state = query(response.json()["task_id"])["data"]
        assert {name: state[name] for name in video} == video

    def test_task_fails_as_its_metadata_orders(self, post: Post, query: Query) -> None:
        order = {"outcome": "FAILURE", "fail_reason": "No cats, please.", "run_seconds": 0.2}

        task_id = post({"model": "sandbox-video", "metadata": order}).json()["task_id"]

        wait_for(lambda: query(task_id)["status"] == "FAILURE")
        assert query(task_id)["fail_reason"] == "No cats, please."

    def test_task_ids_are_unique(self, sandbox: Sandbox) -> None:
        assert len({sandbox.create() for _ in range(10_000)}) == 10_000

    @pytest.mark.parametrize(
        ("body", "hint"),
        [
            (b"", "not JSON: send"),
            (b"{", "not JSON: send"),
            (b"\xff", "not JSON: send"),
            (b"[" * 100_000, "not JSON: send"),
            (b"[]", "not an object: send"),
            (b"{}", '"model" must be a string'),
            (b'{"model": ""}', '"model" must be a string'),
            (b'{"model": "m", "metadata": []}', '"metadata" is not an object'),
        ],
        ids=["empty", "half", "not UTF-8", "deep", "array", "no model", "empty model", "metadata"],
    )
    def test_create_with_bad_body_is_400_with_hint(
        self, post: Post, body: bytes, hint: str
    ) -> None:
        response = post(data=body)

        assert response.status_code == 400
        assert hint in response.json()["message"]
        assert {**response.json(), "message": ""} == {
            "code": "invalid_request",
            "message": "",
            "data": None,
        }

    @pytest.mark.parametrize(
        "metadata",
        [
            '{"outcome": "success"}',
            '{"outcome": ["SUCCESS"]}',
            '{"outcome": "LOST"}',
            '{"run_seconds": -1}',
            '{"run_seconds": "6"}',
            '{"run_seconds": true}',
            '{"run_seconds": null}',
            '{"run_seconds": NaN}',
            '{"run_seconds": Infinity}',
            '{"run_seconds": 1e999}',
            f'{{"run_seconds": 1{"0" * 400}}}',
            '{"fail_reason": 1}',
            '{"duration": 2.5}',
            '{"duration": 0}',
            '{"resolution": 720}',
            '{"ratio": ""}',
            '{"link_lifetime": -1}',
            '{"link_lifetime": "60"}',
            '{"link_lifetime": Infinity}',
            '{"needs_key": 1}',
            '{"needs_key": null}',
            '{"error": 404}',
            '{"error": "429"}',
            '{"error": 600}',
            '{"error": true}',
            '{"error": 429.0}',
            '{"error_seconds": NaN}',
            '{"error_seconds": -1}',
        ],
    )
    def test_create_with_bad_metadata_is_400_and_names_it(self, post: Post, metadata: str) -> None:
        response = post(data=f'{{"model": "m", "metadata": {metadata}}}')

        assert response.status_code == 400
        name = next(iter(json.loads(metadata)))
        assert response.json()["message"].startswith(f'"{name}" must be ')

    def test_create_in_python_refuses_bad_outcome(self, sandbox: Sandbox) -> None:
        with pytest.raises(ValueError, match='"outcome" must be "SUCCESS" or "FAILURE"'):
            sandbox.create(outcome="MAYBE")


class TestFraming:
    """A request whose end cannot be found is refused, and the connection with it."""

    @pytest.mark.parametrize("length", ["-1", "many", "1.5", "²", "1" * 30, ""])
    def test_invalid_content_length_is_400(self, sandbox: Sandbox, length: str) -> None:
        status, response = raw_post(sandbox, f"Content-Length: {length}\r\n", b"{}")

        assert status == 400
        assert "Content-Length" in response["message"]

    def test_missing_content_length_is_400(self, sandbox: Sandbox) -> None:
        status, response = raw_post(sandbox, "", b'{"model": "m"}')

        assert (status, response["code"]) == (400, "invalid_request")

    def test_chunked_body_is_400(self, sandbox: Sandbox) -> None:
        status, response = raw_post(
            sandbox, "Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"
        )

        assert status == 400
        assert "Content-Length" in response["message"]

    def test_body_one_byte_beyond_maximum_is_400(self, post: Post) -> None:
        largest = b'{"model": "m"}'.ljust(MAX_BODY_BYTES)

        assert post(data=largest).status_code == 200
        response = post(data=largest + b" ")
        assert response.status_code == 400
        assert "too large" in response.json()["message"]

    def test_request_that_is_not_http_is_400(self, sandbox: Sandbox) -> None:
        with socket.create_connection(address(sandbox), timeout=5) as client:
            client.sendall(b"\x16\x03\x01 is not HTTP\r\n\r\n")
            client.shutdown(socket.SHUT_WR)
            assert b" 400 " in read_all(client)


class TestQuery:
    def test_query_of_success_reports_every_stage(
        self, sandbox: Sandbox, query: Query, clock: time_machine.Traveller
    ) -> None:
        created_at = 1_775_908_080
        task_id = sandbox.create(run_seconds=100, resolution="480p", ratio="1:1")
        seen = []
        for _ in range(10):
            state = query(task_id)
            seen.append((state["status"], state["data"]["status"], state["progress"]))
            assert (state["data"]["content"], state["data"]["usage"]) == ({}, {})
            assert state["finish_time"] == 0
            clock.shift(10)

        assert seen == [
            ("NOT_START", "queued", "0%"),
            ("QUEUED", "queued", "0%"),
            *[("IN_PROGRESS", "processing", "10%")] * 2,
            *[("IN_PROGRESS", "processing", "30%")] * 2,
            *[("IN_PROGRESS", "processing", "50%")] * 2,
            *[("IN_PROGRESS", "processing", "80%")] * 2,
        ]
        final = query(task_id)
        content = final["data"].pop("content")
        assert content["video_url"].startswith(f"{sandbox.url}/videos/{task_id}.mp4?")
        assert final == {
            "task_id": task_id,
            "status": "SUCCESS",
            "progress": "100%",
            "submit_time": created_at + 5,
            "start_time": created_at + 20,
            "finish_time": created_at + 100,
            "data": {
                "status": "succeeded",
                "duration": 5,
                "resolution": "480p",
                "ratio": "1:1",
                "usage": {"total_tokens": 108_000},
            },
        }
        clock.shift(86_400)
        assert query(task_id)["status"] == "SUCCESS"

    def test_query_reports_0_for_times_to_come(
        self, sandbox: Sandbox, query: Query, clock: time_machine.Traveller
    ) -> None:
        task_id = sandbox.create(run_seconds=100)
        names = ("submit_time", "start_time", "finish_time")
        assert [query(task_id)[name] > 0 for name in names] == [False, False, False]

        clock.shift(6)
        assert query(task_id)["status"] == "SUBMITTED"
        assert [query(task_id)[name] > 0 for name in names] == [True, False, False]

        clock.shift(20)
        assert [query(task_id)[name] > 0 for name in names] == [True, True, False]

    def test_query_of_failure_reports_its_reason(self, sandbox: Sandbox, query: Query) -> None:
        task_id = sandbox.create(outcome="FAILURE", fail_reason="too bright", run_seconds=0)

        state = query(task_id)

        assert (state["status"], state["progress"]) == ("FAILURE", "100%")
        assert state["fail_reason"] == "too bright"
        assert state["data"]["status"] == "failed"
        assert (state["data"]["content"], state["data"]["usage"]) == ({}, {})

    def test_query_reports_fail_reason_only_after_failure(
        self, sandbox: Sandbox, query: Query
    ) -> None:
        assert "fail_reason" not in query(sandbox.create(outcome="FAILURE", run_seconds=60))
        assert "fail_reason" not in query(sandbox.create(run_seconds=0))

    def test_task_completes_by_itself(self, sandbox: Sandbox, query: Query) -> None:
        task_id = sandbox.create(run_seconds=0.2)

        assert query(task_id)["status"] != "SUCCESS"
        wait_for(lambda: query(task_id)["status"] == "SUCCESS")

    @pytest.mark.parametrize("task_id", ["task_x", "sora-2:task_01", "a/b?c#d", "..", "é%"])
    def test_query_of_unknown_task_is_400_task_not_exist(
        self, sandbox: Sandbox, http_session: requests.Session, task_id: str
    ) -> None:
        # requests would resolve "..": the path goes out as it is.
        connection = http.client.HTTPConnection(*address(sandbox), timeout=5)
        path = urlsplit(query_url(sandbox, task_id.replace(".", "%2E"))).path.replace(
            "%252E", "%2E"
        )
        connection.request("GET", path, headers=BEARER)
        response = connection.getresponse()

        assert response.status == 400
        assert json.load(response) == {
            "code": "task_not_exist",
            "message": "task_not_exist",
            "data": None,
        }
        connection.close()

    def test_query_accepts_percent_encoded_id(self, sandbox: Sandbox, query: Query) -> None:
        task_id = sandbox.create()
        encoded = "".join(f"%{ord(character):02X}" for character in task_id)

        response = requests.get(
            f"{sandbox.url}/v1/video/generations/{encoded}", headers=BEARER, timeout=5
        )

        assert response.json()["data"]["task_id"] == task_id

    def test_query_count_counts_every_call(
        self, sandbox: Sandbox, post: Post, http_session: requests.Session
    ) -> None:
        post({"model": "m"})
        assert sandbox.query_count == 0
        task_id = sandbox.create()

        def poll() -> None:
            for _ in range(25):
                requests.get(query_url(sandbox, task_id), headers=BEARER, timeout=5)

        threads = [threading.Thread(target=poll) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sandbox.query_count == 100
        http_session.get(query_url(sandbox, "unknown"), timeout=5)
        assert sandbox.query_count == 101


class TestAccess:
    @pytest.mark.parametrize(
        "authorization",
        [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {KEY}", KEY, "Bearer clé"],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_wrong_key_is_401(
        self, sandbox: Sandbox, method: str, authorization: str | None
    ) -> None:
        url = f"{sandbox.url}/v1/video/generations" if method == "POST" else query_url(sandbox, "x")
        headers = {} if authorization is None else {"Authorization": authorization}

        response = requests.request(method, url, headers=headers, json={"model": "m"}, timeout=5)

        assert response.status_code == 401
        error = response.json()["error"]
        assert re.fullmatch(r"Invalid token \(request id: \w+\)", error["message"])
        assert (error["type"], error["code"]) == ("new_api_error", "")

    @pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "clé"])
    def test_api_key_that_no_client_can_send_is_refused(self, key: str) -> None:
        with pytest.raises(ValueError, match="API key"):
            Sandbox(api_key=key)

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/"),
            ("GET", "/v1/video/generations"),
            ("GET", "/v1/video/generations/"),
            ("GET", "/v1/video/generations/a/b"),
            ("GET", "/api/v1/video/generations/a"),
            ("POST", "/v1/video/generations/a"),
            ("PUT", "/v1/video/generations"),
            ("DELETE", "/v1/video/generations/a"),
            ("OPTIONS", "/v1/video/generations/a"),
            ("BREW", "/v1/video/generations/a"),
            ("POST", "/videos/a.mp4"),
        ],
    )
    def test_other_path_or_method_is_404(self, sandbox: Sandbox, method: str, path: str) -> None:
        response = requests.request(
            method, f"{sandbox.url}{path}?a=b", headers=BEARER, data=b"{}", timeout=5
        )

        assert response.status_code == 404
        error = response.json()["error"]
        assert error["message"] == f"Invalid URL ({method} {path})"
        assert error["type"] == "invalid_request_error"

    def test_head_response_has_no_body(
        self, sandbox: Sandbox, http_session: requests.Session
    ) -> None:
        response = http_session.head(query_url(sandbox, "x"), timeout=5)

        assert (response.status_code, response.content) == (404, b"")


class TestVideo:
    def test_video_link_opens_without_key(self, video_url: str) -> None:
        response = requests.get(video_url, timeout=5)

        assert response.status_code == 200
        assert response.content == VIDEO
        assert response.headers["Content-Type"] == "video/mp4"
        assert response.headers["Accept-Ranges"] == "bytes"

    def test_video_is_small_mp4_that_starts_at_once(self) -> None:
        assert VIDEO[4:8] == b"ftyp"
        assert VIDEO.index(b"moov") < VIDEO.index(b"mdat")
        assert len(VIDEO) < 120_000

    def test_head_of_video_has_its_length(self, video_url: str) -> None:
        response = requests.head(video_url, headers={"Range": "bytes=0-9"}, timeout=5)

        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["Content-Length"] == str(len(VIDEO))

    @pytest.mark.parametrize(
        ("byte_range", "start", "stop"),
        [
            ("bytes=0-0", 0, 1),
            ("bytes=10-19", 10, 20),
            ("bytes=100-", 100, len(VIDEO)),
            ("bytes=-100", len(VIDEO) - 100, len(VIDEO)),
            ("bytes=-99999999", 0, len(VIDEO)),
            ("bytes=0-99999999", 0, len(VIDEO)),
        ],
    )
    def test_range_request_is_206_with_that_part(
        self, video_url: str, byte_range: str, start: int, stop: int
    ) -> None:
        response = requests.get(video_url, headers={"Range": byte_range}, timeout=5)

        assert response.status_code == 206
        assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(VIDEO)}"
        assert response.content == VIDEO[start:stop]

    @pytest.mark.parametrize(
        "byte_range", [f"bytes={len(VIDEO)}-", "bytes=99999999-100000000", "bytes=-0"]
    )
    def test_range_beyond_end_is_416(self, video_url: str, byte_range: str) -> None:
        response = requests.get(video_url, headers={"Range": byte_range}, timeout=5)

        assert (response.status_code, response.content) == (416, b"")
        assert response.headers["Content-Range"] == f"bytes */{len(VIDEO)}"

    @pytest.mark.parametrize(
        "headers",
        [
            {"Range": "bytes=0-1,5-6"},
            {"Range": "bytes=9-1"},
            {"Range": "bytes=-"},
            {"Range": "frames=1-2"},
            {"Range": f"bytes={'9' * 5000}-"},
            {"Range": "bytes=0-1", "If-Range": '"another video"'},
        ],
    )
    def test_unsupported_range_gets_whole_video(
        self, video_url: str, headers: dict[str, str]
    ) -> None:
        response = requests.get(video_url, headers=headers, timeout=5)

        assert response.status_code == 200
        assert response.content == VIDEO

    def test_video_link_expires_at_its_expiry(
        self, sandbox: Sandbox, query: Query, clock: time_machine.Traveller
    ) -> None:
        task_id = sandbox.create(run_seconds=10)
        clock.shift(10)
        state = query(task_id)
        link = state["data"]["content"]["video_url"]
        assert parse_qs(urlsplit(link).query)["Expires"] == [str(state["finish_time"] + 43_200)]

        clock.shift(43_199)
        assert requests.get(link, timeout=5).status_code == 200
        clock.shift(1)
        expired = requests.get(link, timeout=5)
        assert (expired.status_code, expired.json()["Message"]) == (403, "The link has expired")
        assert query(task_id)["data"]["content"]["video_url"] == link

    def test_link_lifetime_of_sandbox_sets_expiry(self) -> None:
        with Sandbox(link_lifetime=0) as sandbox:
            response = requests.get(
                query_url(sandbox, sandbox.create(run_seconds=0)), headers=BEARER, timeout=5
            )
            link = response.json()["data"]["data"]["content"]["video_url"]
            assert requests.get(link, timeout=5).status_code == 403

    @pytest.mark.parametrize(
        "forge",
        [
            lambda link: link.partition("?")[0],
            lambda link: link[:-1] + ("0" if link[-1] != "0" else "1"),
            lambda link: link.replace("Expires=", "Expires=9"),
            lambda link: link.replace("/cgt-", "/cgt-1"),
            lambda link: link.replace("Signature=", "Signature=%C3%A9"),
            lambda link: link.replace("Expires=", "Expires=never&Expires="),
        ],
        ids=["bare", "signature", "expiry", "other task", "not ASCII", "no time"],
    )
    def test_forged_video_link_is_403(self, video_url: str, forge: Callable[[str], str]) -> None:
        response = requests.get(forge(video_url), headers=BEARER, timeout=5)

        assert response.status_code == 403


class TestErrors:
    def test_429_has_retry_after_until_it_is_over(
        self,
        post: Post,
        sandbox: Sandbox,
        http_session: requests.Session,
        clock: time_machine.Traveller,
    ) -> None:
        order = {"error": 429, "error_seconds": 90, "run_seconds": 0}
        task_id = post({"model": "m", "metadata": order}).json()["task_id"]

        seen = []
        for seconds in (0, 30.5, 59.4, 0.1):
            clock.shift(seconds)
            response = http_session.get(query_url(sandbox, task_id), timeout=5)
            seen.append((response.status_code, response.headers.get("Retry-After")))

        assert seen == [(429, "90"), (429, "60"), (429, "1"), (200, None)]
        assert response.json()["data"]["status"] == "SUCCESS"

    def test_429_concerns_its_task_alone(self, sandbox: Sandbox, query: Query) -> None:
        sandbox.create(error=429)

        assert query(sandbox.create())["status"] == "NOT_START"

    def test_500_has_code_get_task_failed(
        self, sandbox: Sandbox, http_session: requests.Session
    ) -> None:
        response = http_session.get(query_url(sandbox, sandbox.create(error=500)), timeout=5)

        assert (response.status_code, response.json()["code"]) == (500, "get_task_failed")

    @pytest.mark.parametrize("status", [502, 503, 504, 524, 599])
    def test_other_5xx_is_html_page_without_retry_after(
        self, sandbox: Sandbox, http_session: requests.Session, status: int
    ) -> None:
        response = http_session.get(query_url(sandbox, sandbox.create(error=status)), timeout=5)

        assert response.status_code == status
        assert response.headers["Content-Type"] == "text/html"
        assert "Retry-After" not in response.headers

    def test_wrong_key_is_401_before_any_ordered_error(self, sandbox: Sandbox) -> None:
        response = requests.get(query_url(sandbox, sandbox.create(error=429)), timeout=5)

        assert response.status_code == 401


class TestStuck:
    def test_stuck_task_stays_at_50_percent(
        self, post: Post, query: Query, clock: time_machine.Traveller
    ) -> None:
        order = {"outcome": "STUCK", "run_seconds": 10}
        task_id = post({"model": "m", "metadata": order}).json()["task_id"]

        clock.shift(7)
        before = query(task_id)
        clock.shift(10_000_000)

        assert query(task_id) == before
        assert (before["status"], before["progress"]) == ("IN_PROGRESS", "50%")
        assert before["finish_time"] == 0


class TestLinksOfOneTask:
    def test_link_lifetime_in_metadata_sets_expiry_of_task(
        self, post: Post, query: Query, clock: time_machine.Traveller
    ) -> None:
        order = {"link_lifetime": 60, "run_seconds": 0}
        task_id = post({"model": "m", "metadata": order}).json()["task_id"]
        link = query(task_id)["data"]["content"]["video_url"]

        clock.shift(59)
        assert requests.get(link, timeout=5).status_code == 200
        clock.shift(1)
        assert requests.get(link, timeout=5).status_code == 403

    def test_link_that_needs_key_is_401_without_it(
        self, sandbox: Sandbox, post: Post, query: Query, http_session: requests.Session
    ) -> None:
        order = {"needs_key": True, "run_seconds": 0}
        task_id = post({"model": "m", "metadata": order}).json()["task_id"]
        link = query(task_id)["data"]["content"]["video_url"]

        assert link == f"{sandbox.url}/v1/videos/{task_id}/content"
        assert needs_key(link, sandbox.url)
        assert requests.get(link, timeout=5).status_code == 401
        assert http_session.get(link, timeout=5).content == VIDEO
        part = http_session.get(link, headers={"Range": "bytes=0-0"}, timeout=5)
        assert (part.status_code, part.content) == (206, VIDEO[:1])
        assert http_session.head(link, timeout=5).status_code == 200

    def test_content_of_succeeded_task_opens_with_key(
        self, sandbox: Sandbox, http_session: requests.Session
    ) -> None:
        link = f"{sandbox.url}/v1/videos/{sandbox.create(run_seconds=0)}/content"

        assert http_session.get(link, timeout=5).content == VIDEO

    @pytest.mark.parametrize(
        ("order", "status"),
        [({"run_seconds": 60}, 400), ({"outcome": "FAILURE", "run_seconds": 0}, 400), (None, 404)],
        ids=["running", "failed", "unknown"],
    )
    def test_content_of_other_task_is_400_or_404(
        self,
        sandbox: Sandbox,
        http_session: requests.Session,
        order: dict[str, Any] | None,
        status: int,
    ) -> None:
        task_id = "unknown" if order is None else sandbox.create(**order)

        response = http_session.get(f"{sandbox.url}/v1/videos/{task_id}/content", timeout=5)

        assert response.status_code == status
        assert response.json()["error"]["type"] == "new_api_error"


class TestLifecycle:
    def test_many_calls_share_one_connection(self, sandbox: Sandbox) -> None:
        connection = http.client.HTTPConnection(*address(sandbox), timeout=5)
        connection.connect()
        socket_used = connection.sock
        task_id = sandbox.create()
        calls = [
            ("GET", f"/v1/video/generations/{task_id}", None),
            ("POST", "/v1/video/generations", b"{"),
            ("PUT", "/anywhere", b"an unread body"),
            ("HEAD", "/videos/x.mp4", None),
            ("GET", f"/v1/video/generations/{task_id}", None),
        ]
        statuses = []
        for method, path, body in calls:
            connection.request(method, path, body=body, headers=BEARER)
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)

        assert statuses == [200, 400, 404, 403, 200]
        assert connection.sock is socket_used
        connection.close()

    def test_sandbox_listens_on_loopback_only(self, sandbox: Sandbox) -> None:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", sandbox.url)

    def test_port_in_use_raises_os_error(self, sandbox: Sandbox) -> None:
        with pytest.raises(OSError, match="in use"):
            Sandbox(port=address(sandbox)[1])

    def test_port_is_free_again_after_stop(self) -> None:
        with Sandbox() as first:
            requests.get(first.url, timeout=5)
        with Sandbox(port=address(first)[1]) as second:
            assert requests.get(second.url, timeout=5).status_code == 404

    def test_stopped_sandbox_responds_on_no_open_connection(self) -> None:
        with Sandbox() as sandbox, requests.Session() as session:
            assert session.get(sandbox.url, timeout=5).status_code == 404
            sandbox.stop()
            with pytest.raises(requests.ConnectionError):
                session.get(sandbox.url, timeout=5)

    def test_stop_is_quick_with_open_connections_and_idempotent(self) -> None:
        sandbox = Sandbox()
        sandbox.start()
        threads_before = threading.active_count()
        with socket.create_connection(address(sandbox), timeout=5):
            wait_for(lambda: threading.active_count() > threads_before)
            started = time.monotonic()
            sandbox.stop()
            sandbox.stop()
            assert time.monotonic() - started < 2

    def test_stop_of_sandbox_never_started_does_nothing(self) -> None:
        Sandbox().stop()

    def test_serve_forever_returns_after_stop(self) -> None:
        sandbox = Sandbox()
        thread = threading.Thread(target=sandbox.serve_forever)
        thread.start()
        assert requests.get(sandbox.url, timeout=5).status_code == 404

        sandbox.stop()
        thread.join(5)
        assert not thread.is_alive()

    def test_sandbox_prints_nothing_when_clients_hang_up(
        self, sandbox: Sandbox, video_url: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        path = video_url.removeprefix(sandbox.url)
        for request in (
            b"",
            b"GET /half",
            f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * 50,
            b"POST /v1/video/generations HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
        ):
            with socket.create_connection(address(sandbox), timeout=5) as client:
                client.sendall(request)
                # Closing with a response unread resets the connection.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sandbox.stop()

        assert capfd.readouterr() == ("", "")

    def test_sandbox_logs_at_debug_without_secrets(
        self, sandbox: Sandbox, post: Post, video_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG, logger="octovid_django.sandbox"):
            post({"model": "m", "prompt": "a cat"})
            requests.get(video_url, timeout=5)
            requests.get(f"{sandbox.url}/?key={KEY}", timeout=5)

        assert {record.levelno for record in caplog.records} == {logging.DEBUG}
        assert "POST '/v1/video/generations': 200" in caplog.text
        assert "a cat" in caplog.text
        assert KEY not in caplog.text
        assert parse_qs(urlsplit(video_url).query)["Signature"][0] not in caplog.text


class TestCommand:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_command_explains_its_use_serves_and_exits_0_on_signal(
        self, number: signal.Signals
    ) -> None:
        with run_command("--port", "0", "--api-key", "other-key") as process:
            try:
                output = read_until(process, "curl ")
                settings = re.search(r"OCTOVID = (\{.*\})", output)
                assert settings
                octovid = json.loads(settings[1])
                assert octovid["API_KEY"] == "other-key"
                assert re.search(r"listens at http://127\.0\.0\.1:\d+\.", output)
                assert '"outcome": "FAILURE"' in output + read_until(process, "needs_key")
                curl = next(line for line in output.splitlines() if "curl" in line)
                assert f"{octovid['BASE_URL']}/v1/video/generations" in curl
                response = requests.post(
                    f"{octovid['BASE_URL']}/v1/video/generations",
                    headers={"Authorization": "Bearer other-key"},
                    json={"model": "m"},
                    timeout=5,
                )
                assert response.status_code == 200
            finally:
                process.send_signal(number)
            out, err = process.communicate(timeout=20)

        assert (process.returncode, err) == (0, "")
        assert "stopped" in out

    def test_help_names_every_option_of_task(self) -> None:
        with run_command("--help") as process:
            out, _ = process.communicate(timeout=20)

        assert all(f'"{name}": ' in out for name in ("outcome", *OPTIONS))
        assert '"outcome": "FAILURE"          it fails; "STUCK"' in out

    def test_command_with_port_in_use_prints_one_line_error(self, sandbox: Sandbox) -> None:
        port = str(address(sandbox)[1])
        with run_command("--port", port) as process:
            _, err = process.communicate(timeout=20)

        assert process.returncode == 1
        assert err.count("\n") == 1
        assert port in err
        assert "--port 0" in err

    @pytest.mark.parametrize("port", ["65536", "-1", "http", "²", "9" * 5000])
    def test_command_with_invalid_port_is_usage_error(self, port: str) -> None:
        with run_command(f"--port={port}") as process:
            _, err = process.communicate(timeout=20)

        assert process.returncode == 2
        assert "a port is a number from 0 (any free one) to 65535" in err

    def test_command_with_unsendable_api_key_prints_one_line_error(self) -> None:
        with run_command("--port", "0", "--api-key", "two words") as process:
            _, err = process.communicate(timeout=20)

        assert process.returncode == 1
        assert err == "CommandError: the API key must be printable ASCII without spaces.\n"


def address(sandbox: Sandbox) -> tuple[str, int]:
    parts = urlsplit(sandbox.url)
    return str(parts.hostname), int(parts.port or 0)


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65_536), b""))


def raw_post(sandbox: Sandbox, headers: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """Post with these header lines as they are, and return the status and the JSON response."""
    head = (
        "POST /v1/video/generations HTTP/1.1\r\nHost: sandbox\r\n"
        f"Authorization: Bearer {KEY}\r\n{headers}\r\n"
    )
    with socket.create_connection(address(sandbox), timeout=5) as client:
        client.sendall(head.encode() + body)
        client.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(client)
        response.begin()
        status, decoded = response.status, json.load(response)
        response.close()
    return status, decoded


def run_command(*arguments: str) -> subprocess.Popen[str]:
    """Start ``manage.py octovid_sandbox`` as a user would."""
    ours = ("DJANGO_SETTINGS_MODULE", "COVERAGE_PROCESS_START", "DATABASE_URL", "REDIS_URL")
    return subprocess.Popen(
        [sys.executable, "manage.py", "octovid_sandbox", "--no-color", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in ours},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], word: str) -> str:
    """Read the output up to the line with ``word``; fail if the process exits before."""
    assert process.stdout
    output = ""
    for line in process.stdout:
        output += line
        if word in line:
            return output
    raise AssertionError(f"the command exited without {word!r}: {output}")
