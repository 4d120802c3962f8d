"""A batch of which one task, or every task, meets a fault of the gateway on a real socket.

The error of one request is in ``test_client``. Here is what becomes of the batch: the other tasks
are refreshed, the task stores its error, and all of them recover by themselves.
"""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import time_machine

from octovid_django.body import MAX_PARTS, MAX_TEXT
from octovid_django.models import VideoTask
from octovid_django.pause import gateway_state
from octovid_django.refresh import RefreshSummary, refresh_due
from tests.gateway import (
    Behaviour,
    Gateway,
    breaks_off,
    breaks_off_between_chunks,
    drips,
    never_responds,
    never_stops,
    repeats,
    reports,
    resets,
    responds,
    responds_packed,
    running_gateway,
    sends,
    success,
    unpacks_to_a_gigabyte,
)
from tests.peak import measure

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
KEY = "sk-0123456789abcdef"
SIGNATURE = "5ec4e7"
ECHO = f"no\x00 \ud83c \x1b[31mBearer {KEY}\nhttps://cdn.example/v.mp4?X-Tos-Signature={SIGNATURE}"
"""What no gateway should send, and no database, log or terminal take as it is."""
HTML = f"<html><body><h1>{ECHO}</h1></body></html>".encode("utf-8", "surrogatepass")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"
IDS = ("t0", "t1", "t2", "t3")


OF_THE_ACCOUNT_IF_REPEATED = {"403", "403_html", "404", "404_html", "challenge"}


def new_api_error(message: str = ECHO) -> dict[str, Any]:
    return {"error": {"message": message, "type": "new_api_error", "code": ""}}


TASK_ERRORS: dict[str, tuple[Behaviour, str]] = {
    "reset_before_response": (resets(), "Connection reset by peer"),
    "reset_within_response": (resets(OK + b'{"code":'), "Connection reset by peer"),
    "closed_before_response": (sends(b""), "no response from the gateway"),
    "half_a_body": (breaks_off(), "the response broke off"),
    "half_a_chunk": (breaks_off_between_chunks(), "the response broke off"),
    "half_a_head": (sends(b"HTTP/1.1 200 OK\r\nContent-"), "the gateway's response is not JSON"),
    "silence": (never_responds(), "no complete response from the gateway within 0.5 s"),
    "silence_within_response": (drips((), after=OK + b'{"code":'), "no complete response"),
    "body_byte_by_byte": (drips(b" " * 10_000, after=OK), "no complete response"),
    "head_byte_by_byte": (drips(OK * 100), "no complete response"),
    "endless_body": (never_stops(), "larger than 100000 bytes"),
    "endless_headers": (repeats(b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n"), "no response"),
    "endless_header": (repeats(b"HTTP/1.1 200 OK\r\nX-A: ", b"1" * 100), "no response"),
    "endless_interim_responses": (
        repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "no response from the gateway",
    ),
    "gzip_of_a_gigabyte": (unpacks_to_a_gigabyte(), "larger than 100000 bytes"),
    "gzip_in_gzip": (responds_packed(50_000, times=2), "Content-Encoding that was not requested"),
    "unknown_encoding": (
        responds(200, b"(", Content_Encoding="zstd"),
        "Content-Encoding that was not requested",
    ),
    "not_the_declared_encoding": (
        responds(200, HTML, Content_Encoding="gzip"),
        "the response cannot be decompressed",
    ),
    "not_http": (sends(b"SSH-2.0-OpenSSH_9.2\r\n"), "no response from the gateway"),
    "html_without_content_type": (responds(200, HTML), "the gateway's response is not JSON"),
    "403": (responds(403, new_api_error()), "responded with 403 Forbidden: no"),
    "403_html": (responds(403, HTML, Content_Type="text/html"), "responded with 403 Forbidden."),
    "404": (responds(404, new_api_error()), "responded with 404 Not Found: no"),
    "404_html": (responds(404, HTML, Content_Type="text/html"), "responded with 404 Not Found."),
    "404_of_the_task": (
        responds(404, {"code": None, "message": ECHO, "param": "task_id", "type": "invalid"}),
        "the gateway does not know this task",
    ),
    "empty": (responds(200), "the gateway's response is not JSON"),
    "invalid_utf8": (responds(200, b'{"code": "\xff"}'), "the gateway's response is not JSON"),
    "half_a_json": (responds(200, b'{"code": "suc'), "the gateway's response is not JSON"),
    "deep_nesting": (
        responds(200, b'{"data":' * 12_000),
        "the gateway's response is nested too deep",
    ),
    "many_values": (responds(200, b"[" + b"0," * 49_000 + b"0]"), "response has too many values"),
    "number_of_a_million_digits": (responds(200, b'{"code": ' + b"9" * 90_000 + b"}"), "not JSON"),
    "array": (responds(200, [ECHO]), "the gateway responded with a JSON array, not an object"),
    "string": (responds(200, json.dumps(ECHO)), "a JSON string, not an object"),
    "json_null": (responds(200, "null"), "a JSON null, not an object"),
    "no_task": (responds(200, {}), "the gateway responded with no task: without a reason"),
    "error_with_200": (
        responds(200, {"code": "bad", "message": ECHO}),
        "with the error bad: no",
    ),
    "error_in_code_with_200": (responds(200, {"code": ECHO, "message": ""}), "with the error no"),
    "unknown_task": (
        responds(400, {"code": "task_not_exist", "message": "task_not_exist", "data": None}),
        "the gateway does not know this task (task_not_exist)",
    ),
    "other_400": (
        responds(400, {"code": "bad", "message": ECHO}),
        "responded with 400 Bad Request: no",
    ),
    "500": (
        responds(500, {"code": "get_task_failed", "message": ECHO, "data": None}),
        "responded with 500 Internal Server Error: no",
    ),
    **{
        f"{status}_html": (
            responds(status, HTML, Content_Type="text/html"),
            f"responded with {status} ",
        )
        for status in (502, 503, 504, *range(520, 525))
    },
    "challenge": (
        responds(503, HTML, Content_Type="text/html", cf_mitigated="challenge"),
        "page of the proxy",
    ),
    "unknown_http_status": (responds(999, HTML), "responded with 999 "),
    "redirect": (
        responds(302, Location=f"https://{KEY}.example/?key={KEY}"),
        "pointing at https://***.example. The redirect was not followed",
    ),
}
"""Errors of a task, and transient ones: what the gateway does, and the error that is stored."""

ACCOUNT_ERRORS: dict[str, tuple[Behaviour, str, int]] = {
    "401": (responds(401, new_api_error()), "responded with 401 Unauthorized: no", 15),
    "402": (responds(402, new_api_error()), "responded with 402 Payment Required: no", 15),
    "page": (responds(200, HTML, Content_Type="text/html"), "responded with 200 and a page", 15),
    "404": (
        responds(404, new_api_error("Invalid URL")),
        "responded with 404 Not Found: Invalid URL",
        15,
    ),
    "429": (responds(429, new_api_error()), "responded with 429 Too Many Requests: no", 15),
    "429_empty": (responds(429), "responded with 429 Too Many Requests", 15),
    "429_retry_after_seconds": (responds(429, Retry_After="77"), "responded with 429", 77),
    "429_retry_after_date": (
        responds(429, Retry_After="Sun, 12 Apr 2026 16:36:00 GMT"),
        "responded with 429",
        60,
    ),
    "429_retry_after_invalid": (responds(429, Retry_After="soon"), "responded with 429", 15),
}
"""Errors of the account: what the gateway does, the pause's reason and its seconds."""

BIG = 2**70
TOLERATED: dict[str, Behaviour] = {
    "wrong_content_type": responds(
        200,
        {"code": "success", "data": {"task_id": "t", "status": "IN_PROGRESS", "progress": "50%"}},
        Content_Type="text/html",
    ),
    "numbers_beyond_64_bits": reports(
        "IN_PROGRESS",
        progress=50,
        submit_time=BIG,
        quota=-BIG,
        data={"duration": BIG, "usage": {"total_tokens": BIG}, "seed": 10**400, "cost": 1e308},
    ),
    "numbers_that_are_none": responds(
        200,
        '{"code": "success", "data": {"task_id": "t", "status": "IN_PROGRESS", "progress": 50,'
        ' "finish_time": NaN, "data": {"duration": Infinity, "seed": -1e999}}}',
    ),
    "text_that_databases_refuse": reports(
        "IN_PROGRESS",
        progress="50%",
        fail_reason=ECHO,
        data={ECHO: ECHO, "status": ECHO, "resolution": ECHO, "ratio": "\U0001f3ac" * 100},
    ),
}
"""Odd values that are no error: the task is refreshed all the same."""


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Coordinates]:
    with time_machine.travel(NOW, tick=False) as coordinates:
        yield coordinates


@pytest.fixture(autouse=True)
def batch(gateway: Gateway, configure: Callable[..., None]) -> Gateway:
    """Tasks that are due, one after the other, and of which none has an error yet."""
    configure(API_KEY=KEY, TIMEOUT=0.5, MAX_RESPONSE_BYTES=100_000)
    gateway.default = reports("IN_PROGRESS", progress="50%")
    for number, task_id in enumerate(IDS):
        task = VideoTask.objects.track(task_id)
        VideoTask.objects.filter(pk=task.pk).update(
            next_poll_at=NOW - timedelta(seconds=len(IDS) - number)
        )
    return gateway


def tasks(*task_ids: str) -> list[VideoTask]:
    found = {task.task_id: task for task in VideoTask.objects.all()}
    return [found[task_id] for task_id in task_ids or IDS]


def assert_refreshed(*task_ids: str) -> None:
    """Polled without an error."""
    for task in tasks(*task_ids):
        assert (task.status, task.progress) == ("IN_PROGRESS", 50)
        assert (task.error_count, task.last_error) == (0, "")
        assert task.next_poll_at == NOW + timedelta(seconds=15)


def assert_error_stored(message: str, *task_ids: str) -> None:
    """Unchanged but for the error, and due again soon."""
    for task in tasks(*task_ids):
        assert (task.status, task.progress, task.error_count) == ("NOT_START", 0, 1)
        assert message in task.last_error
        assert_readable(task.last_error)
        assert task.next_poll_at is not None
        assert NOW < task.next_poll_at <= NOW + timedelta(seconds=18)


def assert_readable(text: str) -> None:
    """One line for people, without the key and without what opens a signed link."""
    assert text
    assert text.isprintable()
    assert len(text) <= 500
    assert KEY not in text
    assert SIGNATURE not in text


def assert_all_complete(gateway: Gateway, clock: time_machine.Coordinates, *, after: int) -> None:
    """The gateway recovers, and so does every task by the next polls alone."""
    gateway.default = success()
    gateway.behaviours.clear()
    clock.shift(after)

    while refresh_due().polled:
        pass

    assert not gateway_state().is_paused
    for task in tasks():
        assert (task.status, task.has_video) == ("SUCCESS", True)
        assert (task.error_count, task.last_error) == (0, "")


@pytest.mark.parametrize("name", TASK_ERRORS)
class TestTaskAndTransientErrors:
    def test_error_of_one_task_leaves_others_refreshed(
        self, gateway: Gateway, clock: time_machine.Coordinates, name: str
    ) -> None:
        gateway.behaviours["t1"], message = TASK_ERRORS[name]

        assert refresh_due() == RefreshSummary(polled=4, changed=3, failed=1)

        assert_refreshed("t0", "t2", "t3")
        assert_error_stored(message, "t1")
        assert gateway_state().pause_count == 0
        assert_all_complete(gateway, clock, after=20)

    def test_error_of_every_task_does_not_pause_account(
        self, gateway: Gateway, clock: time_machine.Coordinates, name: str
    ) -> None:
        if name in OF_THE_ACCOUNT_IF_REPEATED:
            pytest.skip("of several tasks this is an error of the account")
        gateway.default, message = TASK_ERRORS[name]

        assert refresh_due() == RefreshSummary(polled=4, failed=4)

        assert_error_stored(message)
        assert gateway_state().pause_count == 0
        assert_all_complete(gateway, clock, after=20)


@pytest.mark.parametrize("name", ACCOUNT_ERRORS)
class TestAccountErrors:
    def test_account_error_of_one_task_pauses_polling_and_is_stored_on_it(
        self,
        gateway: Gateway,
        clock: time_machine.Coordinates,
        configure: Callable[..., None],
        name: str,
    ) -> None:
        configure(CONCURRENCY=1)
        gateway.behaviours["t1"], reason, seconds = ACCOUNT_ERRORS[name]

        assert refresh_due() == RefreshSummary(polled=2, changed=1, failed=1)

        assert gateway.polled == ["t0", "t1"], "the rest of the batch is not polled"
        assert_refreshed("t0")
        for task in tasks("t2", "t3"):
            assert (task.status, task.error_count, task.last_error) == ("NOT_START", 0, "")
        assert_error_stored(reason, "t1")
        state = gateway_state()
        assert state.paused_until == NOW + timedelta(seconds=seconds)
        assert reason in state.pause_reason
        assert_readable(state.pause_reason)

        clock.shift(seconds - 1)
        assert refresh_due() == RefreshSummary()
        assert_all_complete(gateway, clock, after=2)

    def test_account_error_of_every_task_is_met_by_first_request_only(
        self,
        gateway: Gateway,
        clock: time_machine.Coordinates,
        configure: Callable[..., None],
        name: str,
    ) -> None:
        configure(CONCURRENCY=1)
        gateway.default, _, seconds = ACCOUNT_ERRORS[name]

        assert refresh_due() == RefreshSummary(polled=1, failed=1)

        assert gateway_state().pause_count == 1
        clock.shift(seconds - 1)
        assert refresh_due() == RefreshSummary()
        assert_all_complete(gateway, clock, after=2)


@pytest.mark.parametrize("name", TOLERATED)
def test_odd_values_are_tolerated_and_stored_safely(gateway: Gateway, name: str) -> None:
    gateway.behaviours["t1"] = TOLERATED[name]

    assert refresh_due() == RefreshSummary(polled=4, changed=4)

    assert_refreshed()
    (odd,) = tasks("t1")
    assert KEY not in str(vars(odd))


def test_refused_connections_are_stored_on_every_task_without_pause(
    gateway: Gateway, clock: time_machine.Coordinates, configure: Callable[..., None]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configure(BASE_URL=f"http://127.0.0.1:{port}")

    assert refresh_due() == RefreshSummary(polled=4, failed=4)

    assert_error_stored("no response from the gateway: Connection refused")
    configure(BASE_URL=gateway.url)
    assert_all_complete(gateway, clock, after=20)


def test_every_fault_in_one_batch_leaves_other_tasks_refreshed(
    gateway: Gateway, clock: time_machine.Coordinates
) -> None:
    # A second 403 or 404 would be an error of the account.
    names = TASK_ERRORS.keys() - {"403_html", "404_html"}
    gateway.behaviours |= {name: TASK_ERRORS[name][0] for name in names}
    for name in names:
        VideoTask.objects.track(name)

    assert refresh_due().failed == len(names)

    assert_refreshed(*IDS)
    assert_error_stored("", *names)


def test_redirects_are_not_followed(gateway: Gateway) -> None:
    with running_gateway() as other:
        for status, task_id in zip((301, 302, 307, 308), IDS, strict=True):
            gateway.behaviours[task_id] = responds(status, Location=other.url)

        assert refresh_due() == RefreshSummary(polled=4, failed=4)

        assert other.requests == []


SUCCESS = b'{"code": "success", "data": {"task_id": "t", "status": "SUCCESS", "data": {"x": ['
MEGABYTE = 2**20


def packed(item: str, times: int, between: str = ",") -> bytes:
    """A ``SUCCESS`` with so many of these, in gzip."""
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    again = (item + between).encode()
    bulk = max(1, 65_536 // len(again))
    body = [packer.compress(SUCCESS)]
    body += [packer.compress(again * bulk) for _ in range(times // bulk)]
    body += [packer.compress(again * (times % bulk) + b"0]}}}"), packer.flush()]
    return b"".join(body)


BOXES = ("content", "data", "output", "result", "video", "sample", "asset", "work", "file")
WORST_ACCEPTED = {
    "arrays": packed("[]", MAX_PARTS // 2 - 50),
    "objects": packed('{"a": {"b": 1.5}}', MAX_PARTS // 5 - 50),
    "nested": packed("[" * 90 + "]" * 90, MAX_PARTS // 91 - 2),
    "numbers": packed("1" * (MAX_TEXT // MAX_PARTS - 2), MAX_PARTS - 50),
    "wide_strings": packed(f'"{"a" * 30}\U0001f3ac"', MAX_TEXT // 37 - 50),
    "wider_strings": packed(f'"{"a" * 60_000}\U0001f3ac"', MAX_TEXT // 60_007),
    "long_strings": packed(f'"{"A" * 400_000}"', 60),
    "json_in_strings": gzip.compress(
        json.dumps(
            {
                "code": "success",
                "data": {
                    "task_id": "attack",
                    "status": "SUCCESS",
                    "result_url": "https://cdn.example/v.mp4",
                    "data": {
                        f"{outer}_{inner}": json.dumps({"a": [[]] * 1_450})
                        for outer in BOXES
                        for inner in BOXES
                    },
                },
            }
        ).encode()
    ),
    "a_video": packed(f'"data:video/mp4;base64,{"A" * 31 * MEGABYTE}"', 1),
}
"""Each goes up to a bound, and is read as the ``SUCCESS`` that it is."""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux measures it")
class TestMemoryBounds:
    """The most that a process of its own holds while it polls."""

    @pytest.mark.parametrize("name", WORST_ACCEPTED)
    def test_memory_of_largest_accepted_response_is_bounded(
        self, gateway: Gateway, name: str
    ) -> None:
        gateway.behaviours["attack"] = responds(200, WORST_ACCEPTED[name], Content_Encoding="gzip")
        cost = measure(gateway.url)

        assert cost.results == ["SUCCESS"]
        assert cost.megabytes < 32

    @pytest.mark.parametrize("name", WORST_ACCEPTED)
    def test_memory_of_32_concurrent_responses_is_bounded(
        self, gateway: Gateway, name: str
    ) -> None:
        gateway.behaviours["attack"] = responds(200, WORST_ACCEPTED[name], Content_Encoding="gzip")
        cost = measure(gateway.url, 32)

        assert cost.results == ["SUCCESS"] * 32
        assert cost.megabytes < 256

    @pytest.mark.parametrize(
        "behaviour",
        [
            responds(200, packed("[]", 10 * MEGABYTE), Content_Encoding="gzip"),
            unpacks_to_a_gigabyte(),
            repeats(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"1" * 60_000 + b"\r\n"),
            repeats(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1" * 100),
            repeats(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"1" * 100),
            repeats(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"1" * 100),
            repeats(
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03",
                b"\0\0\0\xff\xff",  # a block of nothing
            ),
            repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ],
        ids=[
            *("values", "gigabyte", "headers", "chunk_size", "chunk_extension", "trailer"),
            *("empty_gzip", "interim_responses"),
        ],
    )
    def test_memory_and_time_of_refused_response_are_bounded(
        self, gateway: Gateway, behaviour: Behaviour
    ) -> None:
        gateway.behaviours["attack"] = behaviour
        cost = measure(gateway.url)

        assert cost.results[0].startswith("Octovid")
        assert cost.megabytes < 32
        assert cost.cpu_seconds < 3
