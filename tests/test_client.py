"""One request to a gateway on a socket, and everything that can come instead of a response."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import re
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import time_machine

from octovid_django import __version__
from octovid_django.client import query_task
from octovid_django.content import find_video, open_video
from octovid_django.enums import TaskStatus
from octovid_django.exceptions import (
    OctovidAccountError,
    OctovidAuthenticationError,
    OctovidBaseURLError,
    OctovidConnectionError,
    OctovidError,
    OctovidGatewayError,
    OctovidRateLimitError,
    OctovidRedirectError,
    OctovidResponseError,
    OctovidSettingsError,
    OctovidTaskError,
    OctovidTaskNotFoundError,
    OctovidTimeoutError,
    OctovidTransientError,
)
from tests.gateway import (
    BROKEN,
    DENIED,
    TOO_MANY,
    Behaviour,
    Gateway,
    breaks_off,
    breaks_off_between_chunks,
    drips,
    drips_blocks,
    never_responds,
    never_stops,
    repeats,
    reports,
    resets,
    responds,
    responds_packed,
    running_gateway,
    sends,
)

Configure = Callable[..., None]
KEY = "sk-0123456789abcdef"


@pytest.fixture(autouse=True)
def key(configure: Configure) -> None:
    configure(API_KEY=KEY)


def error_of(gateway: Gateway, behaviour: Behaviour) -> OctovidError:
    """The error that a query raises at a gateway that behaves like this."""
    gateway.default = behaviour
    with pytest.raises(OctovidError) as raised:
        query_task("cgt-1")
    return raised.value


class TestQueryRequest:
    def test_query_sends_documented_request_with_key(self, gateway: Gateway) -> None:
        snapshot = query_task("cgt-20260412163502-x8k2m")

        assert snapshot.status == TaskStatus.IN_PROGRESS
        [request] = gateway.requests
        assert request.line == "GET /v1/video/generations/cgt-20260412163502-x8k2m HTTP/1.1"
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["accept"] == "application/json"
        assert request.headers["user-agent"] == f"octovid-django/{__version__}"

    @pytest.mark.parametrize(
        ("task_id", "segment"),
        [
            ("grok:05c8/a", "grok%3A05c8%2Fa"),
            ("a?b=c#d", "a%3Fb%3Dc%23d"),
            ("../../admin", "..%2F..%2Fadmin"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("%2e%2e", "%252e%252e"),
            ("a;b&c+d", "a%3Bb%26c%2Bd"),
            ("视频", "%E8%A7%86%E9%A2%91"),
            ("x" * 191, "x" * 191),
        ],
    )
    def test_task_id_is_escaped_into_one_path_segment(
        self, gateway: Gateway, task_id: str, segment: str
    ) -> None:
        query_task(task_id)

        [request] = gateway.requests
        assert request.line == f"GET /v1/video/generations/{segment} HTTP/1.1"
        assert request.task_id == task_id

    @pytest.mark.parametrize("suffix", ["/", "/gateway", "/gateway/"])
    def test_path_of_base_url_is_kept(
        self, gateway: Gateway, configure: Configure, suffix: str
    ) -> None:
        configure(BASE_URL=gateway.url + suffix)
        query_task("t")

        prefix = suffix.rstrip("/")
        assert gateway.requests[0].line == f"GET {prefix}/v1/video/generations/t HTTP/1.1"

    def test_changed_settings_apply_to_next_request(
        self, gateway: Gateway, configure: Configure
    ) -> None:
        query_task("t")
        configure(API_KEY="sk-another")
        query_task("t")
        with running_gateway() as second:
            configure(BASE_URL=second.url)
            query_task("t")

            assert [len(gateway.requests), len(second.requests)] == [2, 1]
        assert gateway.requests[1].headers["authorization"] == "Bearer sk-another"

    def test_missing_api_key_sends_no_request(self, gateway: Gateway, configure: Configure) -> None:
        configure(API_KEY="")
        with pytest.raises(OctovidSettingsError, match="API_KEY"):
            query_task("t")

        assert gateway.requests == []

    def test_connection_is_reused_for_next_request(self, gateway: Gateway) -> None:
        for _ in range(3):
            query_task("t")

        assert {request.connection for request in gateway.requests} == {1}

    def test_login_in_netrc_is_not_used(
        self, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password secret\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        query_task("t")

        assert gateway.requests[0].headers["authorization"] == f"Bearer {KEY}"

    def test_cookies_of_gateway_are_not_sent_back(self, gateway: Gateway) -> None:
        gateway.default = responds(
            200,
            {"code": "success", "data": {"task_id": "t", "status": "QUEUED"}},
            Set_Cookie="session=1; Path=/",
        )
        query_task("t")
        query_task("t")

        assert "cookie" not in gateway.requests[1].headers

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_forked_process_opens_connection_of_its_own(self, gateway: Gateway) -> None:
        query_task("parent")
        child = os.fork()
        if child == 0:
            try:
                query_task("child")
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        query_task("parent")

        by_connection = {(request.task_id, request.connection) for request in gateway.requests}
        assert by_connection == {("parent", 1), ("child", 2)}


class TestResponse:
    def test_gzip_response_is_unpacked(self, gateway: Gateway) -> None:
        gateway.default = responds_packed(4096)

        assert "JSON" in str(error_of(gateway, gateway.default)), "blanks: unpacked, but no JSON"

    def test_gzip_response_that_comes_byte_by_byte_is_read(self, gateway: Gateway) -> None:
        body = json.dumps({"code": "success", "data": {"task_id": "t", "status": "QUEUED"}})
        packed = gzip.compress(body.encode())
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        gateway.default = drips(packed, after=head.encode(), pause=0.001)

        assert query_task("t").status == TaskStatus.QUEUED

    def test_response_with_byte_order_mark_is_read(self, gateway: Gateway) -> None:
        body = {"code": "success", "data": {"task_id": "t", "status": "QUEUED"}}
        gateway.default = responds(200, b"\xef\xbb\xbf" + json.dumps(body).encode())

        assert query_task("t").status == TaskStatus.QUEUED

    def test_chunked_response_is_read(self, gateway: Gateway) -> None:
        body = b'{"code": "success", "data": {"task_id": "t", "status": "QUEUED"}}'
        gateway.default = sends(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + f"{len(body):x}\r\n".encode()
            + body
            + b"\r\n0\r\n\r\n"
        )

        assert query_task("t").status == TaskStatus.QUEUED

    def test_relative_link_is_resolved_against_base_url(self, gateway: Gateway) -> None:
        gateway.default = reports("SUCCESS", result_url="/v1/videos/t/content")

        assert query_task("t").video_url == f"{gateway.url}/v1/videos/t/content"

    def test_key_repeated_in_response_is_redacted(self, gateway: Gateway) -> None:
        gateway.default = reports("FAILURE", fail_reason=f"refused: Bearer {KEY}", seen=[KEY])
        snapshot = query_task("t")

        assert KEY not in repr(snapshot)
        assert snapshot.fail_reason == "refused: Bearer ***"


HTML = "<html><body><h1>Something</h1></body></html>"
ERRORS: dict[str, tuple[Behaviour, type[OctovidError], str]] = {
    "task_not_exist": (
        DENIED,
        OctovidTaskNotFoundError,
        "the gateway does not know this task (task_not_exist)",
    ),
    "other_400": (
        responds(400, {"code": "invalid_request", "message": "what?", "data": None}),
        OctovidTaskError,
        "the gateway responded with 400 Bad Request: what?",
    ),
    "401": (
        responds(401, {"error": {"message": "no key", "type": "new_api_error", "code": ""}}),
        OctovidAuthenticationError,
        (
            "the gateway responded with 401 Unauthorized: no key. "
            'Check OCTOVID["API_KEY"] and its quota'
        ),
    ),
    "403": (
        responds(403, {"error": {"message": "no quota", "type": "new_api_error", "code": ""}}),
        OctovidAuthenticationError,
        (
            "the gateway responded with 403 Forbidden: no quota. "
            'Check OCTOVID["API_KEY"] and its quota'
        ),
    ),
    "401_string": (
        responds(401, {"error": "no key"}),
        OctovidAuthenticationError,
        (
            "the gateway responded with 401 Unauthorized: no key. "
            'Check OCTOVID["API_KEY"] and its quota'
        ),
    ),
    "403_html": (
        responds(403, HTML),
        OctovidAuthenticationError,
        (
            "the gateway responded with 403 Forbidden. "
            'Check OCTOVID["BASE_URL"], and the proxy in front of the gateway'
        ),
    ),
    "403_challenge": (
        responds(403, "<html><title>Just a moment...</title>", cf_mitigated="challenge"),
        OctovidAuthenticationError,
        (
            "the gateway responded with 403 Forbidden: "
            "a challenge page of the proxy in front of it, "
            'which lets only browsers pass. Check OCTOVID["BASE_URL"], '
            "and the proxy in front of the gateway"
        ),
    ),
    "403_problem": (
        responds(403, {"type": "about:blank", "title": "Error 1020: Access denied", "status": 403}),
        OctovidAuthenticationError,
        (
            "the gateway responded with 403 Forbidden: Error 1020: Access denied. "
            'Check OCTOVID["BASE_URL"], and the proxy in front of the gateway'
        ),
    ),
    "429_problem": (
        responds(429, {"title": "Error 1015", "status": 429, "detail": "You are rate-limited."}),
        OctovidRateLimitError,
        "the gateway responded with 429 Too Many Requests: You are rate-limited.",
    ),
    "503_challenge": (
        responds(503, "<html>Checking your browser"),
        OctovidGatewayError,
        (
            "the gateway responded with 503 Service Unavailable: "
            "a challenge page of the proxy in front of it, which lets only browsers pass"
        ),
    ),
    "404": (
        responds(404, {"error": {"message": "Invalid URL", "type": "invalid_request_error"}}),
        OctovidBaseURLError,
        'the gateway responded with 404 Not Found: Invalid URL. Check OCTOVID["BASE_URL"]',
    ),
    "404_html": (
        responds(404, HTML),
        OctovidBaseURLError,
        'the gateway responded with 404 Not Found. Check OCTOVID["BASE_URL"]',
    ),
    "429": (
        TOO_MANY,
        OctovidRateLimitError,
        "the gateway responded with 429 Too Many Requests: slow down",
    ),
    "429_empty": (
        responds(429),
        OctovidRateLimitError,
        "the gateway responded with 429 Too Many Requests",
    ),
    "500": (
        responds(500, {"code": "get_task_failed", "message": "db is busy", "data": None}),
        OctovidGatewayError,
        "the gateway responded with 500 Internal Server Error: db is busy",
    ),
    "502": (BROKEN, OctovidGatewayError, "the gateway responded with 502 Bad Gateway"),
    "503": (
        responds(503, HTML),
        OctovidGatewayError,
        "the gateway responded with 503 Service Unavailable",
    ),
    "504": (
        responds(504, HTML),
        OctovidGatewayError,
        "the gateway responded with 504 Gateway Timeout",
    ),
    **{
        str(status): (
            responds(status, HTML),
            OctovidGatewayError,
            f"the gateway responded with {status} (not a standard status)",
        )
        for status in range(520, 525)
    },
    "redirect": (
        responds(302, Location="https://evil.example/?token=1"),
        OctovidRedirectError,
        (
            "the gateway responded with 302 Found, pointing at https://evil.example. "
            "The redirect was not followed"
        ),
    ),
    "redirect_nowhere": (
        responds(307, Location="https://[::1"),
        OctovidRedirectError,
        "the gateway responded with 307 Temporary Redirect. The redirect was not followed",
    ),
    "html": (responds(200, HTML), OctovidResponseError, "the gateway's response is not JSON"),
    "empty": (responds(200), OctovidResponseError, "the gateway's response is not JSON"),
    "invalid_utf8": (
        responds(200, b'{"a": "\xff"}'),
        OctovidResponseError,
        "the gateway's response is not JSON",
    ),
    "deep_nesting": (
        responds(200, b"[" * 100_000),
        OctovidResponseError,
        "the gateway's response is nested too deeply",
    ),
    "too_many_values": (
        responds(200, b"[" + b"0," * 100_000 + b"0]"),
        OctovidResponseError,
        "the gateway's response has too many values",
    ),
    "too_much_text": (
        responds(200, b" " * 600_000),
        OctovidResponseError,
        "the gateway's response is larger than 524288 bytes, long strings aside",
    ),
    "502_with_too_many_values": (
        responds(502, b"," * 100_000),
        OctovidGatewayError,
        "the gateway responded with 502 Bad Gateway",
    ),
    "array": (
        responds(200, []),
        OctovidResponseError,
        "the gateway responded with a JSON array, not an object",
    ),
    "error_with_200": (
        responds(200, {"code": "get_task_failed", "message": "db is busy", "data": None}),
        OctovidResponseError,
        "the gateway responded with the error get_task_failed: db is busy",
    ),
    "reset": (
        resets(),
        OctovidConnectionError,
        "no response from the gateway: Connection reset by peer",
    ),
    "reset_within_body": (
        resets(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        OctovidConnectionError,
        "no response from the gateway: Connection reset by peer",
    ),
    "closed_at_once": (
        sends(b""),
        OctovidConnectionError,
        "no response from the gateway: RemoteDisconnected",
    ),
    "half_a_body": (
        breaks_off(),
        OctovidConnectionError,
        "no response from the gateway: the response broke off",
    ),
    "half_a_chunk": (
        breaks_off_between_chunks(),
        OctovidConnectionError,
        "no response from the gateway: the response broke off",
    ),
    "not_http": (
        sends(b"SSH-2.0-OpenSSH_9.2\r\n"),
        OctovidConnectionError,
        "no response from the gateway: BadStatusLine",
    ),
    "200_with_code_401": (
        responds(200, {"code": 401, "msg": "no access"}),
        OctovidAuthenticationError,
        (
            "the gateway responded with 401 Unauthorized: no access. "
            'Check OCTOVID["API_KEY"] and its quota'
        ),
    ),
    "200_with_code_429": (
        responds(200, {"error": {"code": "429", "message": "slow down"}}, Retry_After="7"),
        OctovidRateLimitError,
        "the gateway responded with 429 Too Many Requests: slow down",
    ),
    "200_with_code_500": (
        responds(200, {"code": 500, "msg": "no such record"}),
        OctovidResponseError,
        "the gateway responded with the error: no such record",
    ),
    "not_the_declared_encoding": (
        responds(200, b"plain", Content_Encoding="gzip"),
        OctovidConnectionError,
        "no response from the gateway: the response cannot be decompressed",
    ),
}


class TestRequestErrors:
    """Every documented error of the gateway, and every way in which a connection can break."""

    @pytest.mark.parametrize("name", ERRORS)
    def test_each_fault_raises_its_own_error_with_readable_message(
        self, gateway: Gateway, name: str
    ) -> None:
        behaviour, kind, message = ERRORS[name]
        error = error_of(gateway, behaviour)

        assert str(error) == message
        assert type(error) is kind

    def test_request_after_error_succeeds(self, gateway: Gateway) -> None:
        for behaviour in (resets(), breaks_off(), BROKEN, responds(200, HTML)):
            error_of(gateway, behaviour)
            gateway.default = reports("QUEUED")
            assert query_task("t").status == TaskStatus.QUEUED

    def test_refused_connection_raises_connection_error(self, configure: Configure) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        configure(BASE_URL=f"http://127.0.0.1:{port}")

        with pytest.raises(OctovidConnectionError) as raised:
            query_task("t")
        assert str(raised.value) == "no response from the gateway: Connection refused"

    def test_unresolvable_host_raises_connection_error(self, configure: Configure) -> None:
        configure(BASE_URL="http://gateway.invalid", TIMEOUT=5)

        with pytest.raises(OctovidConnectionError, match="no response from the gateway"):
            query_task("t")

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirect_is_not_followed(self, gateway: Gateway, status: int) -> None:
        with running_gateway() as other:
            error_of(gateway, responds(status, Location=f"{other.url}/v1/video/generations/t"))

            assert other.requests == []

    def test_authentication_base_url_and_rate_limit_errors_have_account_scope(self) -> None:
        kinds = (OctovidAuthenticationError, OctovidBaseURLError, OctovidRateLimitError)
        assert all(issubclass(kind, OctovidAccountError) for kind in kinds)
        assert not issubclass(OctovidTransientError, OctovidAccountError)

    def test_error_can_be_pickled(self) -> None:
        error = OctovidRateLimitError("slow down")

        assert str(pickle.loads(pickle.dumps(error))) == "slow down"


class TestRetryAfter:
    def read(self, gateway: Gateway, value: str) -> timedelta | None:
        error = error_of(gateway, responds(429, Retry_After=value))
        assert isinstance(error, OctovidRateLimitError)
        return error.retry_after

    def test_429_with_retry_after_in_seconds_is_parsed(self, gateway: Gateway) -> None:
        assert self.read(gateway, "120") == timedelta(minutes=2)

    @pytest.mark.parametrize(
        "date", ["Sun, 12 Apr 2026 16:36:00 GMT", "Sun, 12 Apr 2026 18:36:00 +0200"]
    )
    def test_429_with_retry_after_as_date_is_parsed(self, gateway: Gateway, date: str) -> None:
        now = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
        with time_machine.travel(now, tick=False):
            assert self.read(gateway, date) == timedelta(minutes=1)

    @pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "9" * 400, "٣"])
    def test_429_with_invalid_retry_after_gives_none(self, gateway: Gateway, value: str) -> None:
        assert self.read(gateway, value.encode().decode("latin-1")) is None

    def test_429_without_retry_after_gives_none(self, gateway: Gateway) -> None:
        error = error_of(gateway, TOO_MANY)
        assert isinstance(error, OctovidRateLimitError)
        assert error.retry_after is None


@contextmanager
def full_listener(host: str, port: int) -> Iterator[None]:
    """An address that accepts no connection: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield


def resolve(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    """Let ``gateway.example`` have these addresses."""
    genuine = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> list[Any]:
        hosts = addresses if host == "gateway.example" else [host]
        return [found for each in hosts for found in genuine(each, *args, **kwargs)]

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class TestRequestDeadline:
    """``TIMEOUT`` is for the whole response, however its bytes come."""

    @pytest.fixture(autouse=True)
    def short_timeout(self, configure: Configure, key: None) -> Iterator[None]:
        configure(TIMEOUT=0.5)
        started_at = time.monotonic()
        yield
        assert time.monotonic() - started_at < 10, "a worker was blocked"

    @pytest.mark.parametrize(
        "behaviour",
        [
            never_responds(),
            drips(OK * 10),
            drips(b" " * 10_000, after=OK),
            drips((), after=OK + b'{"code":'),
            drips(b"X-Header: 1\r\n" * 1_000, after=b"HTTP/1.1 200 OK\r\n"),
            drips(
                b"5\r\n12345\r\n" * 1_000,
                after=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
        ],
        ids=["silence", "headers", "body", "half_a_body", "endless_headers", "chunks"],
    )
    def test_slow_response_raises_timeout_error(
        self, gateway: Gateway, behaviour: Behaviour
    ) -> None:
        error = error_of(gateway, behaviour)

        assert type(error) is OctovidTimeoutError
        assert str(error) == "no complete response from the gateway within 0.5 s"

    def test_deadline_is_shared_by_all_addresses_of_host(
        self, gateway: Gateway, configure: Configure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = int(gateway.url.rpartition(":")[2])
        with ExitStack() as stack:
            for number in range(2, 8):
                stack.enter_context(full_listener(f"127.0.0.{number}", port))
            resolve(monkeypatch, [f"127.0.0.{number}" for number in range(2, 8)])
            configure(BASE_URL=f"http://gateway.example:{port}")
            started_at = time.monotonic()
            error = error_of(gateway, reports("QUEUED"))
            assert type(error) is OctovidTimeoutError
            assert time.monotonic() - started_at < 2, "six times 0.5 s would be 3"

            resolve(monkeypatch, ["127.0.0.2", "127.0.0.9", "127.0.0.1"])
            assert query_task("t").status == TaskStatus.QUEUED

    def test_deadline_starts_anew_for_each_request(self, gateway: Gateway) -> None:
        for _ in range(2):
            error_of(gateway, never_responds())
            gateway.default = reports("QUEUED")
            query_task("t")


class TestResponseSizeLimit:
    @pytest.fixture(autouse=True)
    def limit(self, configure: Configure, key: None) -> None:
        configure(MAX_RESPONSE_BYTES=100_000)

    @pytest.mark.parametrize(
        "behaviour",
        [
            responds(200, b" " * 100_001),
            responds_packed(50_000_000),
            never_stops(),
            responds(500, b" " * 10**6),
        ],
        ids=["body", "unpacked", "endless", "error"],
    )
    def test_response_larger_than_limit_raises_response_error(
        self, gateway: Gateway, behaviour: Behaviour
    ) -> None:
        error = error_of(gateway, behaviour)

        assert type(error) is OctovidResponseError
        assert str(error) == "the gateway's response is larger than 100000 bytes"

    def test_response_as_large_as_limit_is_read(self, gateway: Gateway) -> None:
        body = json.dumps({"code": "success", "data": {"task_id": "t", "status": "QUEUED"}})
        gateway.default = responds(200, body.ljust(100_000))

        assert query_task("t").status == TaskStatus.QUEUED


class TestErrorsWithoutSecrets:
    @pytest.mark.parametrize("name", ERRORS)
    def test_error_and_traceback_contain_no_key(self, gateway: Gateway, name: str) -> None:
        error = error_of(gateway, ERRORS[name][0])

        for text in (str(error), repr(error), *traceback.format_exception(error)):
            assert KEY not in text

    @pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
    def test_secrets_repeated_by_gateway_are_redacted(self, gateway: Gateway, status: int) -> None:
        link = "https://cdn.example/v.mp4?X-Tos-Signature=5ec4e7"
        message = f"Bearer {KEY} may not\nsee {link}\x00" + "!" * 10_000
        body: dict[str, Any] = {"code": "bad", "message": message, "error": {"message": message}}
        text = str(error_of(gateway, responds(status, body)))

        assert KEY not in text
        assert "5ec4e7" not in text
        assert "https://cdn.example/v.mp4?…" in text
        assert re.fullmatch(r"[^\n\x00]{1,500}", text), "one readable line"


class TestOpenVideo:
    """A link that only the key opens, to be streamed."""

    @pytest.fixture
    def link(self, gateway: Gateway, configure: Configure, key: None) -> str:
        configure(TIMEOUT=0.5)
        return f"{gateway.url}/v1/videos/t/content"

    def test_video_is_requested_with_key_and_range(self, gateway: Gateway, link: str) -> None:
        gateway.default = responds(206, b"mp4", Content_Type="video/mp4")
        with open_video(link, "bytes=0-2") as video:
            assert (video.status_code, video.content_length) == (206, 3)
            assert b"".join(video.iter_content(2)) == b"mp4"

        [request] = gateway.requests
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["range"] == "bytes=0-2"

    @pytest.mark.parametrize(
        "behaviour",
        [
            never_responds(),
            drips(OK * 10),
            drips(b"X-Header: 1\r\n" * 1_000, after=b"HTTP/1.1 200 OK\r\n"),
            drips(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
        ],
        ids=["silence", "head", "headers", "interim_responses"],
    )
    def test_slow_head_raises_timeout_error(
        self, gateway: Gateway, link: str, behaviour: Behaviour
    ) -> None:
        gateway.default = behaviour
        started_at = time.monotonic()
        with pytest.raises(OctovidTimeoutError):
            open_video(link)

        assert time.monotonic() - started_at < 5

    @pytest.mark.parametrize(
        "behaviour",
        [
            drips((), after=OK + b"mp4"),
            drips(b"mp4" * 3_000, after=OK),
            drips(b"1\r\nm\r\n" * 3_000, after=CHUNKED),
            drips(b"0" * 3_000 + b"1\r\nm\r\n", after=CHUNKED),
            drips(b"X-Trailer: 1\r\n" * 1_000, after=CHUNKED + b"1\r\nm\r\n0\r\n"),
            drips(b"mp4" * 3_000, after=b"HTTP/1.1 200 OK\r\n\r\n"),
        ],
        ids=["stalls", "body", "chunks", "chunk_size", "trailers", "no_length"],
    )
    def test_slow_body_raises_timeout_error(
        self, gateway: Gateway, link: str, behaviour: Behaviour
    ) -> None:
        gateway.default = behaviour
        started_at = time.monotonic()
        with open_video(link) as video, pytest.raises(OctovidTimeoutError):
            list(video.iter_content(10_000))

        assert time.monotonic() - started_at < 5

    def test_steady_body_and_slow_reader_may_outlast_timeout(
        self, gateway: Gateway, link: str
    ) -> None:
        gateway.default = drips_blocks(b"m" * 8_192, times=12, pause=0.1)
        with open_video(link) as video:
            pieces = []
            for piece in video.iter_content(8_192):
                pieces.append(piece)
                time.sleep(0.6 if len(pieces) == 1 else 0)

        assert b"".join(pieces) == b"m" * 8_192 * 12

    def test_deadline_holds_for_reads_by_several_threads(self, gateway: Gateway, link: str) -> None:
        gateway.default = drips(b"mp4" * 3_000, after=OK)
        with open_video(link) as video, ThreadPoolExecutor(1) as a, ThreadPoolExecutor(1) as b:
            pieces = video.iter_content(10_000)
            reads = (pool.submit(next, pieces).result() for pool in cycle((a, b)))
            with pytest.raises(OctovidTimeoutError):
                list(reads)

    @pytest.mark.parametrize(
        ("head", "length"),
        [
            (b"Content-Length: 3\r\n", 3),
            (b"Content-Length: 3\r\nContent-Length: 3\r\n", 3),
            (b"Content-Length: +3\r\n", 3),
            (b"Content-Length: 3 bytes\r\n", None),
            (b"Content-Length: -3\r\n", None),
            (b"Content-Length:\r\n", None),
            (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", None),
            (b"Content-Length: 3\r\nTransfer-Encoding: identity\r\n", None),
            (b"", None),
        ],
    )
    def test_content_length_is_given_only_where_valid(
        self, gateway: Gateway, link: str, head: bytes, length: int | None
    ) -> None:
        gateway.default = sends(b"HTTP/1.1 200 OK\r\n" + head + b"\r\nmp4")
        with open_video(link) as video:
            assert video.content_length == length

    def test_interrupted_body_raises_connection_error_without_key(
        self, gateway: Gateway, link: str
    ) -> None:
        for behaviour in (breaks_off(), breaks_off_between_chunks(), resets(OK + b"mp4")):
            gateway.default = behaviour
            with open_video(link) as video, pytest.raises(OctovidConnectionError) as raised:
                list(video.iter_content(10_000))
            assert raised.value.__context__ is None, "the frames of requests hold the key"

    @pytest.mark.parametrize(
        "url", ["https://cdn.example/v.mp4", "http://127.0.0.1:1/v.mp4", "https://127.0.0.1/v.mp4"]
    )
    def test_link_outside_base_url_is_refused_without_sending_key(
        self, link: str, url: str
    ) -> None:
        with pytest.raises(OctovidBaseURLError, match="key is not sent there"):
            open_video(url)


class TestFindVideo:
    """The documented fall-back: a request for the first byte of the video."""

    @pytest.fixture(autouse=True)
    def prefixed(self, gateway: Gateway, configure: Configure, key: None) -> None:
        configure(BASE_URL=gateway.url + "/prefix/", TIMEOUT=0.5)

    @pytest.mark.parametrize("status", [200, 206])
    def test_first_byte_is_requested_with_key(self, gateway: Gateway, status: int) -> None:
        gateway.default = responds(status, b"\0", Content_Type="Video/MP4")

        assert find_video("a/b") == f"{gateway.url}/prefix/v1/videos/a%2Fb/content"

        [request] = gateway.requests
        assert request.line == "GET /prefix/v1/videos/a%2Fb/content HTTP/1.1"
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["range"] == "bytes=0-0"

    def test_endless_video_is_not_read_to_end(self, gateway: Gateway) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n"
        gateway.default = repeats(head, b"mp4!")

        assert find_video("t")

    @pytest.mark.parametrize(
        "behaviour",
        [
            responds(200, {"code": "success", "data": None}, Content_Type="application/json"),
            responds(200, "<html>", Content_Type="text/html"),
            responds(200, b"", Content_Type="video/mp4"),
            responds(200, b"\0"),
            responds(206, b"\0", Content_Type="video/mp4", Content_Encoding="gzip"),
            responds(302, Location="https://cdn.example/v.mp4", Content_Type="video/mp4"),
            responds(404, b"no", Content_Type="video/mp4"),
            responds(416, b"", Content_Type="video/mp4"),
            *(responds(status, {"error": {"message": "no"}}) for status in (400, 401, 402, 403)),
        ],
    )
    def test_response_without_video_gives_no_link(
        self, gateway: Gateway, behaviour: Behaviour
    ) -> None:
        gateway.default = behaviour

        assert find_video("t") == ""
        assert len(gateway.requests) == 1

    @pytest.mark.parametrize(
        "behaviour",
        [
            *(
                BROKEN,
                TOO_MANY,
                never_responds(),
                resets(),
                responds(408),
                responds(425),
                responds(503),
                responds(520),
            ),
            drips((), after=b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n"),
        ],
    )
    def test_temporary_fault_raises_transient_error(
        self, gateway: Gateway, behaviour: Behaviour
    ) -> None:
        gateway.default = behaviour
        started_at = time.monotonic()

        with pytest.raises(OctovidTransientError) as raised:
            find_video("t")

        assert time.monotonic() - started_at < 5
        assert KEY not in str(raised.value)


class TestProxyOfEnvironment:
    """The proxy of the environment gets the request, and has no more time than the gateway."""

    @pytest.fixture(autouse=True)
    def proxied(
        self, gateway: Gateway, configure: Configure, key: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", gateway.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        configure(BASE_URL="http://gateway.example", TIMEOUT=0.5)

    def test_request_goes_to_proxy(self, gateway: Gateway) -> None:
        query_task("t")

        [request] = gateway.requests
        assert request.line == "GET http://gateway.example/v1/video/generations/t HTTP/1.1"

    def test_slow_proxy_raises_timeout_error(self, gateway: Gateway) -> None:
        assert type(error_of(gateway, drips(b" " * 10_000, after=OK))) is OctovidTimeoutError
