"""Connections that hold nobody, take no head without end, and let nobody log what they ask for."""

from __future__ import annotations

import http.client
import logging
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import pytest
import requests

from octovid_django.client import query_task
from octovid_django.content import open_video
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


class TestHead:
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
    def test_that_is_too_large_is_refused_at_once(
        self, gateway: Gateway, behaviour: Behaviour
    ) -> None:
        gateway.default = behaviour
        for poll in (
            lambda: query_task("t"),
            lambda: open_video(f"{gateway.url}/v1/videos/t/content"),
        ):
            started_at = time.monotonic()
            with pytest.raises(OctovidConnectionError, match="no response from the gateway"):
                poll()
            assert time.monotonic() - started_at < 4

    def test_that_is_large_is_read(self, gateway: Gateway) -> None:
        line = b"Content-Security-Policy: " + b"a" * 1_000 + b"\r\n"
        body = b'{"code": "success", "data": {"task_id": "t", "status": "QUEUED"}}'
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        gateway.default = sends(interim * 3 + OK + line * 40 + length + body, hang_up=False)

        for _ in range(3):
            assert query_task("t").status == "QUEUED"
        assert {request.connection for request in gateway.requests} == {1}

    def test_of_a_proxy_is_bounded_too(
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


class TestPaced:
    """With a clock of its own: reading takes as long as the test says."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [1_000.0]
        monkeypatch.setattr("octovid_django.deadline.time.monotonic", lambda: now[0])
        return now

    def read(
        self, clock: list[float], sizes: Iterator[int], seconds: float
    ) -> tuple[Callable[[], bytes], list[float]]:
        """Pieces that take so long each, and when each wait would end at the latest."""
        limits: list[float] = []

        def read() -> bytes:
            limits.append(_seconds_left() or 0)
            clock[0] += seconds
            return b"x" * next(sizes)

        return read, limits

    def test_waits_at_most_so_long_for_each(self, clock: list[float]) -> None:
        read, limits = self.read(clock, iter([LOWEST_RATE * 100, LOWEST_RATE * 100, 0]), 1)
        assert len(list(paced(read, 10))) == 2

        assert limits == pytest.approx([10, 10, 10])

    def test_waits_at_most_so_long_for_all_where_little_comes(self, clock: list[float]) -> None:
        read, limits = self.read(clock, repeat(1), 1)
        with pytest.raises(TimeoutError):
            list(paced(read, 10))

        assert len(limits) == 11, "a byte is worth a moment"

    def test_does_not_measure_what_is_done_with_them(self, clock: list[float]) -> None:
        read, limits = self.read(clock, iter([1] * 5 + [0]), 1)
        for _ in paced(read, 10):
            clock[0] += 1_000

        assert limits == pytest.approx([10, 9, 8, 7, 6, 5], abs=0.01)


class TestLogs:
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
    def test_of_no_logger_show_what_is_secret_of_a_link(
        self, gateway: Gateway, base_url: str, logged: Callable[[], str], behaviour: Behaviour
    ) -> None:
        gateway.default = behaviour
        try:
            with open_video(base_url + self.LINK) as video:
                list(video.iter_content(1_000))
        except OctovidConnectionError as error:
            print(error)

        said = logged()
        assert "urllib3.connectionpool" in said
        for secret in ("t0ken", "5ec4e7", "5ec4e8", KEY):
            assert secret not in said
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

    def test_of_the_sites_own_requests_are_as_they_were(
        self, gateway: Gateway, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        gateway.default = responds(200, b"mp4")
        with open_video(gateway.url + self.LINK):
            requests.get(gateway.url + "/of-the-site?a=b", timeout=5)

        assert "/of-the-site?a=b" in caplog.text


def test_deadline_in_one_context_ends_no_other_request(gateway: Gateway) -> None:
    session = requests.Session()
    session.mount("http://", DeadlineAdapter())
    with running_gateway() as other, session:
        with deadline(0.0), pytest.raises(requests.RequestException):
            session.get(other.url, timeout=5)
        assert session.get(other.url, timeout=5).status_code == 200


def test_deadline_in_a_longer_one_is_the_shorter() -> None:
    with deadline(100):
        with deadline(1):
            assert (_seconds_left() or 0) <= 1
        assert (_seconds_left() or 0) > 1


def test_deadline_in_a_shorter_one_does_not_prolong_it() -> None:
    with deadline(0.01):
        time.sleep(0.02)
        with deadline(100), pytest.raises(TimeoutError):
            _seconds_left()
    assert _seconds_left() is None
