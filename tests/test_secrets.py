"""The key and the signatures of links stay where they belong, whatever happens.

What a single exception's text holds is in ``test_exceptions`` and ``test_client``, what the checks
say in ``test_checks``, and that no redirect is followed in ``test_client`` and ``test_faults``.
"""

from __future__ import annotations

import html
import http.client
import json
import logging
import re
import shutil
import ssl
import subprocess
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import django
import pytest
import requests
from django.core.management import CommandError, call_command
from django.db import DataError, connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.log import AdminEmailHandler
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter
from django_q.models import Schedule

from octovid_django.client import query_task
from octovid_django.conf import octovid_settings
from octovid_django.content import open_video
from octovid_django.delivery import deliver
from octovid_django.exceptions import OctovidConnectionError, OctovidError, OctovidRedirectError
from octovid_django.models import GatewayState, VideoTask
from octovid_django.refresh import refresh_due, refresh_tasks
from octovid_django.signals import video_progressed, video_succeeded
from octovid_django.snapshot import TaskSnapshot
from tests.broker import take_messages
from tests.gateway import (
    Behaviour,
    Gateway,
    breaks_off,
    reports,
    resets,
    responds,
    running_gateway,
    sends,
    success,
)

KEY = "sk-0123456789abcdef"
SIGNATURE = "5ec4e7"
SIGNED = f"https://cdn.example/v.mp4?X-Tos-Signature={SIGNATURE}"
ECHO = f"Bearer {KEY} may not see {SIGNED}"
ESCAPED_KEY = "".join(f"\\u{ord(char):04x}" for char in KEY)
"""As JSON may write it: no search for the key finds it."""


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


DECODED_KEYS = {
    "json": escaped(KEY),
    "url": escaped("".join(f"%{ord(char):02x}" for char in KEY)),
    "url_digits": "".join(f"%{escaped(f'{ord(char):02x}')}" for char in KEY),
    "base64": escaped(b64encode(KEY.encode()).decode()),
    "html": escaped("".join(f"&#{ord(char)};" for char in KEY)),
    "html_twice": escaped("".join(f"&amp;#{ord(char)};" for char in KEY)),
    "url_twice": escaped("".join(f"%25{ord(char):02x}" for char in KEY)),
}
"""As JSON may write it: only what is decoded shows the key, or another spelling of it."""

MISTAKES = {"line_break": {"API_KEY": f"{KEY}\n"}, "list": {"API_KEY": [KEY]}, "no_dict": KEY}


@pytest.fixture(autouse=True)
def secrets(gateway: Gateway, configure: Callable[..., None]) -> None:
    configure(API_KEY=KEY, TIMEOUT=1)


def assert_is_clean(text: str) -> None:
    assert text
    assert KEY not in text
    assert SIGNATURE not in text


def forbidden(*_: object, **__: object) -> None:
    """Raise an unforeseen error whose text holds every secret."""
    raise KeyError(ECHO)


# Tracebacks. Of a frame they show its variables, and the lines around the one that runs: the key
# must not stand near the end of a test.


def shown(error: BaseException, *, debug: bool) -> str:
    """All that a traceback can show: Django's page and mail, with variables and settings."""
    reporter = ExceptionReporter(None, type(error), error, error.__traceback__)
    reporter.is_email = not debug
    plain = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "\n".join(
        [
            *(reporter.get_traceback_html(), reporter.get_traceback_text()),
            *(*plain.format(), repr(error), str(error)),
        ]
    )


@pytest.mark.parametrize("debug", [False, True], ids=["mail", "page"])
class TestTracebacks:
    @pytest.fixture(autouse=True)
    def debugging(self, settings: Any, debug: bool) -> None:
        settings.DEBUG = debug

    @pytest.mark.parametrize(
        "behaviour",
        [
            responds(401, {"error": {"message": ECHO}}),
            responds(500, ECHO),
            responds(200, ECHO),
            responds(200, {"code": "bad", "message": ECHO}),
            responds(302, Location=f"https://{KEY}.example/?X-Tos-Signature={SIGNATURE}"),
            responds(200, b"x" * 2000, Content_Encoding="gzip"),
            resets(),
            breaks_off(ECHO.encode()),
        ],
        ids=["401", "500", "no_json", "error", "redirect", "gzip", "reset", "incomplete"],
    )
    def test_traceback_of_poll_is_redacted(
        self, gateway: Gateway, behaviour: Behaviour, debug: bool
    ) -> None:
        gateway.default = behaviour
        with pytest.raises(OctovidError) as raised:
            query_task("t")

        assert_is_clean(shown(raised.value, debug=debug))

    @pytest.mark.parametrize(
        "place",
        [
            "octovid_django.snapshot.TaskSnapshot.from_response",
            "http.client.HTTPConnection.endheaders",
            "urllib3.connectionpool.HTTPConnectionPool._make_request",
            "urllib3.response.HTTPResponse.read1",
        ],
    )
    def test_traceback_of_unforeseen_error_is_redacted(
        self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, place: str, debug: bool
    ) -> None:
        gateway.default = responds(200, {"code": ECHO, "data": ECHO})
        monkeypatch.setattr(place, forbidden)
        with pytest.raises(OctovidError, match="unexpected KeyError") as raised:
            query_task("t")

        assert_is_clean(shown(raised.value, debug=debug))

    @pytest.mark.parametrize(
        "place",
        ["http.client.HTTPConnection.endheaders", "requests.sessions.Session.send"],
    )
    def test_traceback_of_video_request_is_redacted(
        self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, place: str, debug: bool
    ) -> None:
        monkeypatch.setattr(place, forbidden)
        with pytest.raises(OctovidError) as raised:
            open_video(f"{gateway.url}/v1/videos/t/content")

        assert_is_clean(shown(raised.value, debug=debug))

    @pytest.mark.parametrize("mistake", MISTAKES)
    def test_traceback_of_wrong_settings_is_redacted(
        self, settings: Any, mistake: str, debug: bool
    ) -> None:
        settings.OCTOVID = MISTAKES[mistake]
        with pytest.raises(OctovidError) as raised:
            octovid_settings.validate()

        settings.OCTOVID = {"API_KEY": KEY}
        assert_is_clean(shown(raised.value, debug=debug))


def test_settings_in_tracebacks_are_without_key() -> None:
    shown_settings = SafeExceptionReporterFilter().get_safe_settings()

    assert shown_settings["OCTOVID"]["TIMEOUT"] == 1
    assert KEY not in str(shown_settings)


def reachable(error: BaseException) -> str:
    """All that can be got at from ``error``: what it came from, and the variables of frames."""
    texts: list[str] = []
    pending: list[BaseException | None] = [error]
    while pending:
        if (each := pending.pop()) is None:
            continue
        texts += [repr(each), repr(vars(each))]
        pending += [each.__cause__, each.__context__]
        for frame, _line in traceback.walk_tb(each.__traceback__):
            if not frame.f_code.co_filename.endswith("test_secrets.py"):
                texts += map(repr, frame.f_locals.values())
    return "\n".join(texts)


@pytest.mark.parametrize(
    "behaviour",
    [responds(401, {"message": ECHO}), responds(200, ECHO), resets(), breaks_off(ECHO.encode())],
    ids=["401", "no_json", "reset", "incomplete"],
)
def test_exception_has_no_context_whose_frames_hold_key(
    gateway: Gateway, behaviour: Behaviour
) -> None:
    gateway.default = behaviour
    with pytest.raises(OctovidError) as polled:
        query_task("t")
    gateway.default = resets()
    with pytest.raises(OctovidError) as opened:
        open_video(f"{gateway.url}/v1/videos/t/content")

    assert_is_clean(reachable(polled.value))
    assert_is_clean(reachable(opened.value))


# Logs.


@pytest.fixture
def everything_logged(
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], str]:
    """Every logger at its lowest level, and http.client's own debug output: return all of it."""
    caplog.set_level(logging.NOTSET)
    for name in ("urllib3", "requests", "octovid_django", "django-q", "django"):
        caplog.set_level(logging.NOTSET, logger=name)
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 9)

    def everything() -> str:
        own = [record for record in caplog.records if not record.name.startswith("django.db")]
        formatter = logging.Formatter("%(name)s %(message)s")
        lines = [formatter.format(record) + str(record.args) for record in own]
        return "\n".join([*lines, *capfd.readouterr()])

    return everything


@pytest.fixture
def batch(gateway: Gateway, transactional_db: None) -> Iterator[None]:
    """Tasks with responses of every kind, each of which holds a secret."""
    escaped = f'{{"code": "bad", "message": "{ESCAPED_KEY}"}}'
    gateway.behaviours = {
        "success": success(SIGNED),
        "failure": reports("FAILURE", fail_reason=ECHO),
        "running": reports(
            "IN_PROGRESS", note=ECHO, data={KEY: [KEY], "status": KEY, "ratio": KEY}
        ),
        "error": responds(200, {"code": KEY, "message": ECHO}),
        "escaped": responds(400, escaped),
        "no_json": responds(200, ECHO),
        "server": responds(502, {"message": ECHO}),
        "redirect": responds(302, Location=f"https://{KEY}.example/"),
        "reset": resets(ECHO.encode()),
        "account": responds(401, {"error": {"message": ECHO}}),
    }
    for task_id in gateway.behaviours:
        VideoTask.objects.track(task_id)
    return None


@pytest.mark.usefixtures("batch")
class TestLogs:
    def test_logs_of_every_level_hold_no_secret(self, everything_logged: Callable[[], str]) -> None:
        refresh_due()

        text = everything_logged()
        assert "urllib3.connectionpool" in text
        assert "polling paused" in text
        assert_is_clean(text)

    def test_log_of_unforeseen_error_holds_no_secret(
        self, monkeypatch: pytest.MonkeyPatch, everything_logged: Callable[[], str]
    ) -> None:
        monkeypatch.setattr(TaskSnapshot, "from_response", forbidden)
        refresh_due()

        text = everything_logged()
        assert "polling met an unexpected error" in text
        assert "in forbidden" in text, "the traceback is there, but for variables"
        assert_is_clean(text)

    def test_log_of_database_error_holds_no_secret(
        self, everything_logged: Callable[[], str]
    ) -> None:
        def refuse_links(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
            if SIGNED in (params or ()):
                raise DataError(f"DETAIL: Failing row contains (1, {SIGNED}, null).")
            return execute(sql, params, *rest)

        with connection.execute_wrapper(refuse_links):
            refresh_due()

        text = everything_logged()
        assert "Task success: the response cannot be stored: DETAIL: Failing row" in text
        assert_is_clean(text)

    def test_mail_to_admins_holds_no_secret(
        self, monkeypatch: pytest.MonkeyPatch, settings: Any, mailoutbox: list[Any]
    ) -> None:
        address = "admin@example.com"
        settings.ADMINS = [address if django.VERSION >= (6,) else ("Admin", address)]
        settings.DEBUG = False
        monkeypatch.setattr(TaskSnapshot, "from_response", forbidden)
        handler = AdminEmailHandler(include_html=True)
        logger = logging.getLogger("octovid_django")
        logger.addHandler(handler)
        try:
            refresh_due()
        finally:
            logger.removeHandler(handler)

        assert len(mailoutbox) > 1
        for mail in mailoutbox:
            assert_is_clean(mail.message().as_string())
            for alternative in mail.alternatives:
                assert_is_clean(str(alternative))


# Errors of receivers that could not fetch the video.


@pytest.mark.django_db(transaction=True)
class TestReceiverErrors:
    """A receiver that fetches the video from a host that cannot be reached."""

    SIGNED = f"http://127.0.0.1:9/made-for-ada/v.mp4?X-Tos-Signature={SIGNATURE}&X-Tos-Expires=9"

    @pytest.fixture
    def task(self) -> Iterator[VideoTask]:
        now = timezone.now()
        task = VideoTask.objects.create(
            task_id="signed",
            status="SUCCESS",
            video_url=self.SIGNED,
            payload={"content": {"last_frame_url": self.SIGNED.replace("v.mp4", "frame.png")}},
            completed_at=now,
            next_delivery_at=now,
        )

        def fetch(task: VideoTask, **_: Any) -> None:
            urls = [task.video_url, task.payload["content"]["last_frame_url"]]
            task.video_url = ""
            try:
                requests.get(urls[0], timeout=1)
            except requests.RequestException as error:
                raise RuntimeError(f"{urls[1]}: {error}") from error

        for signal in (video_succeeded, video_progressed):
            signal.connect(fetch)
        yield task
        for signal in (video_succeeded, video_progressed):
            signal.disconnect(fetch)

    def test_receiver_error_is_redacted_in_rows_logs_and_pages(
        self, task: VideoTask, admin_client: Client, everything_logged: Callable[[], str]
    ) -> None:
        deliver(task.pk)

        admin = "admin:octovid_django_videotask"
        selected = {"_selected_action": [task.pk]}
        responses = [
            admin_client.get(reverse(f"{admin}_changelist")),
            admin_client.get(reverse(f"{admin}_change", args=[task.pk])),
            admin_client.get(reverse(f"{admin}_live"), {"ids": task.pk}),
            admin_client.post(reverse(f"{admin}_changelist"), {"action": "export_csv", **selected}),
            admin_client.post(
                reverse(f"{admin}_changelist"), {"action": "export_json", **selected}
            ),
        ]
        task.refresh_from_db()
        texts = [response.content.decode() for response in responses]
        own = "\n".join(
            line for line in everything_logged().splitlines() if not line.startswith("urllib3")
        )
        assert "Max retries exceeded" in task.delivery_error
        assert "signed" in own
        assert "in fetch" in own, "the traceback is there"
        for text in (task.delivery_error, own, *texts):
            assert "Max retries exceeded" in text
            assert_is_clean(text)
        assert "made-for-ada" not in task.delivery_error + own

    def test_system_exit_of_receiver_is_redacted_and_stops_nothing(
        self, task: VideoTask, gateway: Gateway, everything_logged: Callable[[], str]
    ) -> None:
        def leave(task: VideoTask, **_: Any) -> None:
            raise SystemExit(f"cannot copy {SIGNATURE}: {self.SIGNED}")

        VideoTask.objects.filter(pk=task.pk).update(
            status="QUEUED", completed_at=None, next_delivery_at=None, next_poll_at=timezone.now()
        )
        gateway.default = reports("IN_PROGRESS")
        video_progressed.connect(leave)
        try:
            assert refresh_due().changed == 1
        finally:
            video_progressed.disconnect(leave)

        own = [line for line in everything_logged().splitlines() if "SystemExit" in line]
        assert own
        assert_is_clean("\n".join(own))

    def test_receiver_error_without_text_is_recorded(self, task: VideoTask) -> None:
        class SilentError(Exception):
            def __str__(self) -> str:
                raise ValueError(SIGNATURE)

        def fail(**_: Any) -> None:
            raise SilentError

        video_succeeded.connect(fail)
        try:
            assert not deliver(task.pk)
        finally:
            video_succeeded.disconnect(fail)

        task.refresh_from_db()
        assert "fail: SilentError" in task.delivery_error
        assert_is_clean(task.delivery_error)

    def test_error_of_progress_receiver_is_logged_redacted(
        self, task: VideoTask, gateway: Gateway, everything_logged: Callable[[], str]
    ) -> None:
        VideoTask.objects.filter(pk=task.pk).update(
            status="QUEUED", completed_at=None, next_delivery_at=None, next_poll_at=timezone.now()
        )
        gateway.default = reports("IN_PROGRESS", data={"content": task.payload["content"]})
        refresh_due()

        lines = everything_logged().splitlines()
        own = "\n".join(line for line in lines if not line.startswith("urllib3"))
        assert "raised:" in own
        assert_is_clean(own)


# Rows, messages and pages.


@pytest.mark.usefixtures("batch")
class TestStoredAndShown:
    def test_rows_and_messages_hold_no_key(self) -> None:
        refresh_due()

        rows = [*VideoTask.objects.values(), *GatewayState.objects.values()]
        assert KEY not in str([rows, take_messages(), list(Schedule.objects.values())])
        statuses = set(VideoTask.objects.values_list("status", flat=True))
        assert statuses == {"NOT_START", "SUCCESS", "FAILURE", "IN_PROGRESS"}

    @pytest.mark.parametrize("spelling", DECODED_KEYS)
    @pytest.mark.parametrize("is_in_string", [False, True], ids=["object", "json_in_string"])
    def test_row_holds_no_key_that_only_decoding_shows(
        self, gateway: Gateway, spelling: str, is_in_string: bool
    ) -> None:
        link = f"https://evil.example/{DECODED_KEYS[spelling]}/v.mp4"
        inner = f'{{"content": {{"video_url": "{link}"}}, "{DECODED_KEYS[spelling]}": 1}}'
        if is_in_string:  # whose own backslashes are escaped as any other character may be
            inner = '"' + inner.replace("\\", "\\u005c").replace('"', '\\"') + '"'
        gateway.default = responds(
            200,
            '{"code": "success", "data": {"task_id": "t", "status": "SUCCESS", "data": '
            + inner
            + "}}",
        )
        VideoTask.objects.all().delete()
        VideoTask.objects.track("t")
        refresh_due()

        task = VideoTask.objects.get()
        text = json.dumps([task.video_url, task.payload])
        assert task.status == "SUCCESS"
        for _ in range(5):
            assert KEY.lower() not in text.lower()
            assert b64encode(KEY.encode()).decode()[:-2] not in text
            text = html.unescape(unquote(re.sub(r"\\+u(....)", lambda u: chr(int(u[1], 16)), text)))

    def test_admin_pages_hold_no_key(self, admin_client: Client) -> None:
        refresh_due()
        pks = list(VideoTask.objects.values_list("pk", flat=True))
        admin = "admin:octovid_django_videotask"
        pages = [
            admin_client.get(reverse(f"{admin}_changelist")),
            admin_client.get(reverse(f"{admin}_live"), {"ids": ",".join(map(str, pks))}),
            admin_client.get(reverse("admin:octovid_django_gatewaystate_changelist")),
            *(admin_client.get(reverse(f"{admin}_change", args=[pk])) for pk in pks),
        ]

        for page in pages:
            assert page.status_code == 200
            assert KEY not in page.content.decode()

    def test_pages_show_fail_reason_without_signature_of_link(
        self, admin_client: Client, gateway: Gateway
    ) -> None:
        task = VideoTask.objects.track("refused")
        reason = f"cannot copy {SIGNED}"
        data = {"task_id": "refused", "status": "FAILURE", "fail_reason": reason}
        gateway.behaviours["refused"] = responds(200, {"code": "success", "data": data})
        refresh_tasks([task])

        admin = "admin:octovid_django_videotask"
        export = {"action": "export_csv", "_selected_action": [task.pk]}
        for page in (
            admin_client.get(reverse(f"{admin}_changelist")),
            admin_client.get(reverse(f"{admin}_change", args=[task.pk])),
            admin_client.get(reverse(f"{admin}_live"), {"ids": task.pk}),
            admin_client.get(reverse(f"{admin}_video", args=[task.pk])),
            admin_client.post(reverse(f"{admin}_changelist"), export),
        ):
            text = page.content.decode()
            assert "cannot copy https://" in text
            assert SIGNED.partition("?")[2] not in text

    @pytest.mark.parametrize("arguments", [(), ("--json",)], ids=["text", "json"])
    def test_status_command_prints_no_secret(self, arguments: tuple[str, ...]) -> None:
        refresh_due()
        out, err = StringIO(), StringIO()
        with pytest.raises((CommandError, SystemExit)) as raised:
            call_command("octovid_status", *arguments, stdout=out, stderr=err)

        text = out.getvalue() + err.getvalue() + str(raised.value)
        assert "401" in text
        assert_is_clean(text)


# Where the key is sent.


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A new certificate for 127.0.0.1, with its private key."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl to make a certificate with")
    path = tmp_path / "gateway.pem"
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=gateway"
    alternative = "subjectAltName=IP:127.0.0.1"
    command = ["openssl", *options.split(), "-addext", alternative, "-keyout", path, "-out", "-"]
    made = subprocess.run(command, capture_output=True, check=True)
    path.write_bytes(path.read_bytes() + made.stdout)
    return path


@pytest.fixture
def secure_gateway(certificate: Path, configure: Callable[..., None]) -> Iterator[Gateway]:
    """A gateway over https that the settings point at."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with running_gateway(tls) as gateway:
        configure(BASE_URL=gateway.url)
        yield gateway


class TestOverTLS:
    def test_key_is_not_sent_after_redirect_from_https_to_http(
        self,
        secure_gateway: Gateway,
        certificate: Path,
        gateway: Gateway,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        secure_gateway.default = responds(301, Location=f"{gateway.url}/v1/video/generations/t")
        with pytest.raises(OctovidRedirectError, match="pointing at http:"):
            query_task("t")
        with open_video(f"{secure_gateway.url}/v1/videos/t/content") as video:
            assert video.status_code == 301

        assert [request.headers["authorization"] for request in secure_gateway.requests] == (
            [f"Bearer {KEY}"] * 2
        )
        assert gateway.requests == []

    def test_key_is_not_sent_to_server_with_untrusted_certificate(
        self, secure_gateway: Gateway
    ) -> None:
        with pytest.raises(OctovidConnectionError, match="certificate"):
            query_task("t")

        assert secure_gateway.requests == []


@pytest.mark.django_db(transaction=True)
def test_head_line_without_colon_is_in_no_log(
    gateway: Gateway, configure: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    configure(API_KEY=KEY)
    body = b'{"code": "success", "data": {"task_id": "t", "status": "IN_PROGRESS"}}'
    line = f"your key is {KEY} for {SIGNED}"
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{line}\r\n\r\n"
    gateway.default = sends(head.encode() + body)
    with caplog.at_level("DEBUG"):
        refresh_tasks([VideoTask.objects.create(task_id="t")])

    assert VideoTask.objects.get().poll_count == 1
    assert KEY not in caplog.text
    assert SIGNATURE not in caplog.text
