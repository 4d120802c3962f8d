"""The one link to a video: redirects to it, streams it, or explains why there is none."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Iterator
from functools import partial

import requests
from asgiref.sync import sync_to_async
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.utils.translation import gettext as _

from octovid_django.admin.responses import make_inert
from octovid_django.admin.times import written
from octovid_django.conf import octovid_settings
from octovid_django.content import Video, open_video
from octovid_django.exceptions import OctovidError, OctovidSettingsError
from octovid_django.links import needs_key, read_link
from octovid_django.models import VideoTask
from octovid_django.redaction import links_in, traceback_text

logger = logging.getLogger(__name__)

CHUNK_BYTES = 64 * 1024
MAX_LOCATION = 16_384
"""Characters of a redirect, quoted: what Django and browsers bear."""
_PASSED_ON = {
    "Content-Range": re.compile(r"bytes (?:[0-9]{1,18}-[0-9]{1,18}|\*)/(?:[0-9]{1,18}|\*)"),
    "Accept-Ranges": re.compile("bytes|none"),
}
"""The headers that a player needs, and all that they may say."""


class VideoRedirect(HttpResponseRedirect):
    """To a signed link, which it shows in no traceback."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class NoVideo(Exception):  # noqa: N818  it is no error
    """There is nothing to show; the text says why."""


def has_link(task: VideoTask) -> bool:
    """Whether ``respond`` has something to show."""
    return task.has_video and _link(task) is not None


def respond(task: VideoTask, request: HttpRequest) -> HttpResponseBase | None:
    """Show the video.

    Returns:
        What a browser gets, or ``None`` where it needs a page that plays the video: one that is
        streamed is in a sandbox, and not to be seen by itself.

    Raises:
        NoVideo: There is none.
    """
    try:
        return _respond(task, request)
    except NoVideo:
        raise
    except Exception as error:  # noqa: BLE001  logged, without the frames that hold the link
        trace = traceback_text(error, links_in(task.video_url))
    logger.error("Showing the video of task %s failed unexpectedly:\n%s", task, trace)
    raise NoVideo(_("The video cannot be shown: the log says why."))


def _respond(task: VideoTask, request: HttpRequest) -> HttpResponseBase | None:
    link = _link(task)
    if link is None or not task.has_video:
        raise NoVideo(_reason(task))
    try:
        is_ours = needs_key(link, octovid_settings.BASE_URL)
    except OctovidSettingsError as error:
        raise NoVideo(str(error)) from None
    response = _stream(link, request) if is_ours else VideoRedirect(link)
    if response:
        response["Referrer-Policy"] = "no-referrer"
    return response


def _link(task: VideoTask) -> str | None:
    """The link to the video, if a browser can be sent there."""
    try:
        link = read_link(task.video_url, octovid_settings.BASE_URL)
    except OctovidSettingsError:
        link = read_link(task.video_url, "")
    return link if link and _is_redirectable(link) else None


def _is_redirectable(link: str) -> bool:
    try:
        return len(VideoRedirect(link)["Location"]) <= MAX_LOCATION
    except (SuspiciousOperation, ValueError):
        return False


def _reason(task: VideoTask) -> str:
    if task.is_link_expired and task.video_url_expires_at:
        return _("The link to the video expired at %(when)s.") % {
            "when": written(task.video_url_expires_at)
        }
    if not task.is_finished:
        return _("The video is not ready yet.")
    return task.fail_reason or _("The gateway reported no link to the video.")


def _stream(link: str, request: HttpRequest) -> HttpResponseBase | None:
    try:
        source = open_video(link, request.headers.get("Range", ""))
    except OctovidError as error:
        raise NoVideo(str(error)) from None
    if source.status_code == requests.codes.requested_range_not_satisfiable:
        source.close()
        return make_inert(HttpResponse(status=source.status_code))
    is_whole = source.status_code in (requests.codes.ok, requests.codes.partial_content)
    if not is_whole or "Content-Encoding" in source.headers:  # of no use in parts
        source.close()
        raise NoVideo(
            _("The gateway does not send the video: it responded with %(status)d.")
            % {"status": source.status_code}
        )
    if source.video_type is None:
        source.close()
        raise NoVideo(_("What the gateway sends is no video."))
    if "text/html" in request.headers.get("Accept", ""):  # no player, but the address bar
        source.close()
        return None
    response: HttpResponseBase
    if request.method == "HEAD":
        source.close()
        response = HttpResponse(status=source.status_code)
    else:
        is_async = isinstance(request, ASGIRequest)
        chunks = _async_chunks(source) if is_async else _chunks(source)
        response = StreamingHttpResponse(chunks, status=source.status_code)
    response["Content-Type"] = source.video_type
    for name, value in _passed_on(source):
        response[name] = value
    return make_inert(response)


def _passed_on(source: Video) -> Iterator[tuple[str, str]]:
    if source.content_length is not None:
        yield "Content-Length", str(source.content_length)
    for name, pattern in _PASSED_ON.items():
        value = source.headers.get(name, "").strip()
        if pattern.fullmatch(value):
            yield name, value


async def _async_chunks(source: Video) -> AsyncIterator[bytes]:
    """The same under ASGI, where Django would hold the whole video in memory otherwise."""
    chunks = source.iter_content(CHUNK_BYTES)
    read = sync_to_async(partial(next, chunks, b""), thread_sensitive=False)
    try:
        while chunk := await read():
            yield chunk
    finally:
        source.close()


def _chunks(source: Video) -> Iterator[bytes]:
    with source:
        yield from source.iter_content(CHUNK_BYTES)
