"""The one link to a video, which every page shows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils.html import escape

from octovid_django.admin import video
from octovid_django.exceptions import OctovidConnectionError
from octovid_django.models import VideoTask
from tests.gateway import Gateway, resets, responds, sends

NOW = datetime(2026, 4, 12, 16, 35, tzinfo=timezone.utc)
SIGNED = "https://cdn.example/video.mp4?Expires=1&Signature=2"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


def succeeded(url: str = SIGNED, **values: Any) -> VideoTask:
    defaults = {"status": "SUCCESS", "video_url_expires_at": NOW + timedelta(hours=1)}
    return VideoTask.objects.create(task_id="cgt-1", video_url=url, **{**defaults, **values})


def video_url(task: VideoTask) -> str:
    return reverse("admin:octovid_django_videotask_video", args=[task.pk])


def reason(response: HttpResponse) -> str:
    """The reason on a page that shows no video."""
    assert response.status_code == 404
    assert "cdn.example" not in response.content.decode()
    text: str = response.context_data["reason"]
    assert escape(text) in response.content.decode()
    return text


class TestVideoRedirect:
    def test_valid_link_redirects_without_cache_and_referrer(self, admin_client: Client) -> None:
        response = admin_client.get(video_url(succeeded()))

        assert response.status_code == 302
        assert response["Location"] == SIGNED
        assert "no-store" in response["Cache-Control"]
        assert response["Referrer-Policy"] == "no-referrer"

    def test_expired_link_shows_reason(self, admin_client: Client) -> None:
        response = admin_client.get(video_url(succeeded(video_url_expires_at=NOW)))

        assert reason(response).startswith("The link to the video expired at April 12")

    @pytest.mark.parametrize("url", ["javascript:alert(1)", "//cdn.example/v.mp4", "https://["])
    def test_unsafe_link_is_treated_as_missing(self, admin_client: Client, url: str) -> None:
        response = admin_client.get(video_url(succeeded(url)))

        assert reason(response) == "The gateway reported no link to the video."

    def test_wrong_base_url_shows_reason(
        self, admin_client: Client, configure: Callable[..., None]
    ) -> None:
        configure(BASE_URL="octopusx.ai")

        text = reason(admin_client.get(video_url(succeeded())))
        assert text.startswith('OCTOVID["BASE_URL"] is wrong')

    def test_link_too_long_for_redirect_is_treated_as_missing(self, admin_client: Client) -> None:
        task = succeeded("https://cdn.example/v.mp4?Signature=" + "é" * 8_000)

        response = admin_client.get(video_url(task))

        assert reason(response) == "The gateway reported no link to the video."
        listed = admin_client.get(reverse("admin:octovid_django_videotask_changelist"))
        assert video_url(task) not in listed.content.decode()


class FailingMiddleware:
    """Middleware of a site that raises while it holds the response."""

    def __init__(self, get_response: Callable[..., HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        raise RuntimeError("of the site" if response else "")


class TestUnexpectedErrors:
    """Whatever fails, the signed link is on no ``DEBUG`` page, and in no mail made of it."""

    @pytest.fixture
    def debug_client(self, admin_client: Client, settings: Any) -> Client:
        settings.DEBUG = True
        admin_client.raise_request_exception = False
        return admin_client

    @pytest.mark.parametrize("name", ["needs_key", "read_link", "VideoRedirect"])
    def test_unexpected_error_is_shown_and_logged_without_signed_link(
        self,
        debug_client: Client,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        name: str,
    ) -> None:
        def fail(link: str, *_: object) -> None:
            raise RuntimeError(f"no such host: {link}")

        monkeypatch.setattr(video, name, fail)
        response = debug_client.get(video_url(succeeded()))

        assert reason(response) == "The video cannot be shown: the log says why."
        assert "RuntimeError: no such host" in caplog.text
        assert "Signature=2" not in caplog.text + response.content.decode()
        assert not [record for record in caplog.records if record.exc_info]

    def test_debug_page_of_failing_middleware_contains_no_signed_link(
        self, debug_client: Client, settings: Any
    ) -> None:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.FailingMiddleware"]
        response = debug_client.get(video_url(succeeded()))

        page = response.content.decode()
        assert "VideoRedirect" in page
        assert "of the site" in page
        assert "Signature" not in page


class TestNoVideo:
    @pytest.mark.parametrize(
        ("values", "text"),
        [
            ({"status": "IN_PROGRESS"}, "The video is not ready yet."),
            ({"status": "FAILURE", "fail_reason": "too dark"}, "too dark"),
            ({"status": "SUCCESS"}, "The gateway reported no link to the video."),
        ],
    )
    def test_task_without_video_shows_reason(
        self, admin_client: Client, values: dict[str, str], text: str
    ) -> None:
        task = VideoTask.objects.create(task_id="cgt-1", **values)

        assert reason(admin_client.get(video_url(task))) == text

    def test_unknown_task_returns_404(self, admin_client: Client) -> None:
        url = reverse("admin:octovid_django_videotask_video", args=["7/../x"])

        assert admin_client.get(url).status_code == 404


class TestVideoStream:
    """A link of the gateway's own opens only with the key: the site streams the video."""

    @pytest.fixture
    def task(self, gateway: Gateway, configure: Callable[..., None]) -> VideoTask:
        configure(API_KEY="sk-0123456789")
        return succeeded(f"{gateway.url}/v1/videos/cgt-1/content")

    def get(self, client: Client, task: VideoTask, **headers: str) -> tuple[HttpResponse, bytes]:
        response = client.get(video_url(task), headers=headers)
        return response, b"".join(response.streaming_content)

    def test_video_is_requested_with_key_and_streamed_without_foreign_headers(
        self, admin_client: Client, gateway: Gateway, task: VideoTask
    ) -> None:
        gateway.default = responds(200, b"mp4" * 100_000, Content_Type="video/mp4", X_Secret="1")

        response, body = self.get(admin_client, task)

        assert body == b"mp4" * 100_000
        assert response["Content-Type"] == "video/mp4"
        assert response["Content-Length"] == "300000"
        assert "X-Secret" not in response
        [request] = gateway.requests
        assert request.line == "GET /v1/videos/cgt-1/content HTTP/1.1"
        assert request.headers["authorization"] == "Bearer sk-0123456789"

    def test_asgi_streams_video_in_chunks(
        self, admin_user: User, gateway: Gateway, task: VideoTask
    ) -> None:
        gateway.default = responds(200, b"mp4" * 100_000, Content_Type="video/mp4")

        async def get() -> list[bytes]:
            client = AsyncClient()
            await client.aforce_login(admin_user)
            response = await client.get(video_url(task))
            return [chunk async for chunk in response.streaming_content]

        chunks = async_to_sync(get)()

        assert len(chunks) > 1
        assert b"".join(chunks) == b"mp4" * 100_000

    def test_range_request_streams_206_with_content_range(
        self, admin_client: Client, gateway: Gateway, task: VideoTask
    ) -> None:
        gateway.default = responds(
            206, b"p4", Content_Type="video/mp4", Content_Range="bytes 1-2/3", Accept_Ranges="bytes"
        )
        response, body = self.get(admin_client, task, range="bytes=1-2")

        assert (response.status_code, body) == (206, b"p4")
        assert response["Content-Range"] == "bytes 1-2/3"
        assert gateway.requests[0].headers["range"] == "bytes=1-2"

    @pytest.mark.parametrize(
        "kind",
        [
            *("text/html", "image/svg+xml", "application/octet-stream", "video", "video/", ""),
            *("video/mp4, text/html", "video/mp4,text/javascript", "text/html, video/mp4"),
            *(
                "video/mp4; a=b, text/html",
                "video/mp4;\ttext/html,",
                "video/x-msvideo\x0btext/html",
            ),
            *("video/html", "video/mp4 text/html", "*/*", "multipart/x-mixed-replace;boundary=a"),
        ],
    )
    def test_content_type_other_than_video_is_not_streamed(
        self, admin_client: Client, gateway: Gateway, task: VideoTask, kind: str
    ) -> None:
        gateway.default = responds(200, "<script>alert(1)</script>", Content_Type=kind)
        response = admin_client.get(video_url(task))

        assert reason(response) == "What the gateway sends is no video."

    @pytest.mark.parametrize(
        ("kind", "sent"),
        [("video/mp4", "video/mp4"), (" VIDEO/WebM ; codecs=vp9", "video/webm")],
    )
    def test_content_type_is_normalized_and_page_sandboxed(
        self, admin_client: Client, gateway: Gateway, task: VideoTask, kind: str, sent: str
    ) -> None:
        gateway.default = responds(200, b"mp4", Content_Type=kind)
        response, _ = self.get(admin_client, task)

        assert response["Content-Type"] == sent
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"

    def test_repeated_content_type_is_not_streamed(
        self, admin_client: Client, gateway: Gateway, task: VideoTask
    ) -> None:
        head = "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Type: text/html\r\n"
        gateway.default = sends(f"{head}Content-Length: 3\r\n\r\n<p>".encode())

        assert reason(admin_client.get(video_url(task))).endswith("is no video.")

    @pytest.mark.parametrize(
        "header",
        [
            "Content-Length: 0x3",
            "Content-Length: -3",
            "Content-Range: bytes */3, text/html",
            "Accept-Ranges: bytes, x",
        ],
    )
    def test_invalid_header_is_not_passed_on(
        self, admin_client: Client, gateway: Gateway, task: VideoTask, header: str
    ) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n{header}\r\n\r\n"
        gateway.default = sends(head.encode() + b"mp4")
        response, _ = self.get(admin_client, task)

        assert header.partition(":")[0] not in response

    def test_content_length_of_chunked_response_is_not_passed_on(
        self, admin_client: Client, gateway: Gateway, task: VideoTask
    ) -> None:
        head = "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nTransfer-Encoding: chunked\r\n"
        body = "Content-Length: 1\r\n\r\n3\r\nmp4\r\n0\r\n\r\n"
        gateway.default = sends((head + body).encode())
        response, streamed = self.get(admin_client, task)

        assert "Content-Length" not in response
        assert streamed == b"mp4"

    def test_browser_navigation_gets_page_with_player(
        self, admin_client: Client, gateway: Gateway, task: VideoTask
    ) -> None:
        gateway.default = responds(200, b"mp4", Content_Type="video/mp4")
        response = admin_client.get(video_url(task), headers={"accept": "text/html,*/*;q=0.8"})

        assert response["Content-Type"].startswith("text/html")
        assert f'src="{video_url(task)}"' in response.content.decode()
        assert "mp4" not in response.content.decode()

    def test_head_request_gets_headers_without_body(
        self, admin_client: Client, gateway: Gateway, task: VideoTask
    ) -> None:
        gateway.default = responds(200, b"mp4" * 1_000, Content_Type="video/mp4")
        response = admin_client.head(video_url(task))

        assert (response.status_code, response.content) == (200, b"")
        assert response["Content-Length"] == "3000"

    def test_range_beyond_end_returns_416(
        self, admin_client: Client, gateway: Gateway, task: VideoTask
    ) -> None:
        gateway.default = responds(416)

        assert admin_client.get(video_url(task)).status_code == 416

    @pytest.mark.parametrize(
        ("behaviour", "text"),
        [
            (responds(401), "The gateway does not send the video: it responded with 401."),
            (
                responds(302, Location="https://evil.example/"),
                "The gateway does not send the video: it responded with 302.",
            ),
            (
                responds(200, b"packed", Content_Encoding="gzip", Content_Type="video/mp4"),
                "The gateway does not send the video: it responded with 200.",
            ),
            (resets(), "no response from the gateway: Connection reset by peer"),
        ],
        ids=["401", "redirect", "packed", "reset"],
    )
    def test_error_of_gateway_is_shown_as_reason_without_key(
        self, admin_client: Client, gateway: Gateway, task: VideoTask, behaviour: Any, text: str
    ) -> None:
        gateway.default = behaviour
        response = admin_client.get(video_url(task))

        assert reason(response) == text
        assert "sk-0123456789" not in response.content.decode()

    def test_interrupted_stream_raises_connection_error(
        self, admin_client: Client, gateway: Gateway, task: VideoTask
    ) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 1000\r\n\r\n"
        gateway.default = sends(head + b"half a video")

        with pytest.raises(OctovidConnectionError, match="the response broke off"):
            self.get(admin_client, task)

    def test_plain_http_link_of_https_gateway_redirects_without_key(
        self,
        admin_client: Client,
        gateway: Gateway,
        task: VideoTask,
        configure: Callable[..., None],
    ) -> None:
        configure(BASE_URL=gateway.url.replace("http:", "https:"))

        response = admin_client.get(video_url(task))

        assert response["Location"] == task.video_url, "the browser goes there, without the key"
        assert gateway.requests == []


class TestVideoPermission:
    @pytest.mark.parametrize(("permission", "status"), [("view_videotask", 302), (None, 403)])
    def test_video_needs_view_permission(
        self, client: Client, permission: str | None, status: int
    ) -> None:
        user = User.objects.create_user("staff", is_staff=True)
        if permission:
            user.user_permissions.add(Permission.objects.get(codename=permission))
        client.force_login(user)

        assert client.get(video_url(succeeded())).status_code == status

    def test_anonymous_user_is_redirected_to_login(self, client: Client) -> None:
        assert "/login/" in client.get(video_url(succeeded()))["Location"]

    def test_post_returns_405(self, admin_client: Client) -> None:
        assert admin_client.post(video_url(succeeded())).status_code == 405
