"""Connections with a deadline and a bounded head, and logs without secret parts of links."""

from __future__ import annotations

import http.client
import logging
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import pytest
import requests

from octovid_django.client import open_video, query_task
from octovid_django.deadline import (
    LOWEST_RATE,
    MAX_HEAD_BYTES,
    DeadlineAdapter,
    _seconds_left,
    deadline,
    paced,
)
from octovid_django.exceptions import OctovidConnectionError
from tests.gateway import Behaviour, Gateway, repeats, responds, running_gateway, sends

KEY = "sk-0123456789abcdef"
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(autouse=True)
def key(configure: Callable[..., None]) -> None:
    configure(API_KEY=KEY, TIMEOUT=5)


class TestResponseHead:
    @pytest.mark.parametrize(
        "behaviour",
        [
            sends(OK + b"X-Long: " + b"1" * MAX_HEAD_BYTES + b"\r\n\r\n"),
            sends(OK + b"X-A: 12345678901\r\n" * 4_000 + b"\r\n"),
            sends(OK + (b"X-Long: " + b"1" * 1_000 + b"\r\n") * 99 + b"\r\n"),
            repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
            repeats(b"", b"HTTP/1.1 100 Continue\r\nX-Long: " + b"1" * 1_000 + b"\r\n\r\n"),
            repeats(b"HTTP/1.1 200 ", b"OK"),
        ],
        ids=["line", "many_lines", "long_lines", "interim", "long_interim", "status_line"],
    )
    def test_too_large_head_is_refused_at_once(
        self, gateway: Gateway, behaviour: Behaviour
    ) -> None:
        gateway.default = behaviour
        for poll in (
            lambda: query_task("t"),
            lambda: open_video(f"{gateway.url}/v1/videos/t/content"),
        ):
            started_at = time.monotonic()
            with pytest.raises(OctovidConnectionError, match="no answer from the gateway"):
                poll()
            assert time.monotonic() - started_at < 4

    def test_large_head_is_read_and_connection_reused(self, gateway: Gateway) -> None:
        line = b"Content-Security-Policy: " + b"a" * 1_000 + b"\r\n"
        body = b'{"code": "success", "data": {"task_id": "t", "status": "QUEUED"}}'
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        gateway.default = sends(interim * 3 + OK + line * 40 + length + body, hang_up=False)

        for _ in range(3):
            assert query_task("t").status == "QUEUED"
        assert {request.connection for request in gateway.requests} == {1}

    def test_endless_head_of_proxy_is_refused_at_once(
        self, gateway: Gateway, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configure(BASE_URL="https://gateway.example", TIMEOUT=2)
        monkeypatch.setenv("https_proxy", gateway.url)
        monkeypatch.delenv("no_proxy", raising=False)
        gateway.default = repeats(OK, b"X-A: 1\r\n")
        started_at = time.monotonic()
        with pytest.raises(OctovidConnectionError):
            query_task("t")

        assert time.monotonic() - started_at < 1.5


class TestPacedReading:
    """With a clock of its own: reading takes as long as the test sets."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [1_000.0]
        monkeypatch.setattr("octovid_django.deadline.time.monotonic", lambda: now[0])
        return now

    def read(
        self, clock: list[float], sizes: Iterator[int], seconds: float
    ) -> tuple[Callable[[], bytes], list[float]]:
        """Pieces that take so long each, and the longest wait allowed for each."""
        limits: list[float] = []

        def read() -> bytes:
            limits.append(_seconds_left() or 0)
            clock[0] += seconds
            return b"x" * next(sizes)

        return read, limits

    def test_large_pieces_have_full_time_each(self, clock: list[float]) -> None:
        read, limits = self.read(clock, iter([LOWEST_RATE * 100, LOWEST_RATE * 100, 0]), 1)
        assert len(list(paced(read, 10))) == 2

        assert limits == pytest.approx([10, 10, 10])

    def test_small_pieces_share_time_and_raise_timeout(self, clock: list[float]) -> None:
        read, limits = self.read(clock, repeat(1), 1)
        with pytest.raises(TimeoutError):
            list(paced(read, 10))

        assert len(limits) == 11, "a byte gains next to no time"

    def test_time_between_reads_is_not_counted(self, clock: list[float]) -> None:
        read, limits = self.read(clock, iter([1] * 5 + [0]), 1)
        for _ in paced(read, 10):
            clock[0] += 1_000

        assert limits == pytest.approx([10, 9, 8, 7, 6, 5], abs=0.01)


class TestLogsOfRequests:
    LINK = "/v1/videos/t0ken-in-the-path/content?X-Signature=5ec4e7;key=5ec4e8"

    @pytest.fixture(params=["directly", "by_a_proxy"])
    def base_url(
        self,
        gateway: Gateway,
        configure: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        request: pytest.FixtureRequest,
    ) -> str:
        if request.param == "directly":
            return gateway.url
        monkeypatch.setenv("http_proxy", gateway.url)
        monkeypatch.delenv("no_proxy", raising=False)
        configure(BASE_URL="http://gateway.example")
        return "http://gateway.example"

    @pytest.mark.parametrize(
        "behaviour",
        [
            responds(200, b"mp4"),
            responds(302, Location="https://cdn.example/?X-Signature=5ec4e7"),
            sends(OK + b"Content-Length: 3\r\nnot a header\r\n\r\nmp4"),
            sends(OK + b": nameless\r\nContent-Length: 3\r\n\r\nmp4"),
            sends(b""),
        ],
        ids=["video", "redirect", "no_header", "nameless_header", "reset"],
    )
    def test_logs_contain_no_secret_part_of_link(
        self, gateway: Gateway, base_url: str, logged: Callable[[], str], behaviour: Behaviour
    ) -> None:
        gateway.default = behaviour
        try:
            with open_video(base_url + self.LINK) as video:
                list(video.iter_content(1_000))
        except OctovidConnectionError as error:
            print(error)

        log = logged()
        assert "urllib3.connectionpool" in log
        for secret in ("t0ken", "5ec4e7", "5ec4e8", KEY):
            assert secret not in log
        target = gateway.requests[0].line.split(" ")[1]
        assert target == base_url.removeprefix(gateway.url) + self.LINK

    @pytest.fixture
    def logged(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, capfd: Any
    ) -> Callable[[], str]:
        """All that is logged at any level, and what http.client prints."""
        monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 9)
        caplog.set_level(logging.NOTSET)
        records = caplog.records
        return lambda: "".join(
            [caplog.text, str([vars(record) for record in records]), *capfd.readouterr()]
        )

    def test_logs_of_other_requests_are_unchanged(
        self, gateway: Gateway, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        gateway.default = responds(200, b"mp4")
        with open_video(gateway.url + self.LINK):
            requests.get(gateway.url + "/of-the-site?a=b", timeout=5)

        assert "/of-the-site?a=b" in caplog.text


def test_deadline_does_not_affect_request_outside_of_it(gateway: Gateway) -> None:
    session = requests.Session()
    session.mount("http://", DeadlineAdapter())
    with running_gateway() as other, session:
        with deadline(0.0), pytest.raises(requests.RequestException):
            session.get(other.url, timeout=5)
        assert session.get(other.url, timeout=5).status_code == 200


def test_deadline_within_longer_deadline_shortens_it() -> None:
    with deadline(100):
        with deadline(1):
            assert (_seconds_left() or 0) <= 1
        assert (_seconds_left() or 0) > 1


def test_deadline_within_shorter_deadline_does_not_extend_it() -> None:
    with deadline(0.01):
        time.sleep(0.02)
        with deadline(100), pytest.raises(TimeoutError):
            _seconds_left()
    assert _seconds_left() is None
