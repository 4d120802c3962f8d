"""Videos that only the key opens: the gateway's content call (docs/gateway.md, section 2.18)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial

import requests
import urllib3

from octovid_django.conf import octovid_settings
from octovid_django.deadline import paced
from octovid_django.exceptions import OctovidBaseURLError, OctovidGatewayError
from octovid_django.links import content_url, needs_key
from octovid_django.transport import connection_error, open_response, response_to, sealed

VIDEO_TYPES = frozenset(
    f"video/{name}" for name in ("mp4", "webm", "quicktime", "ogg", "mpeg", "x-matroska", "3gpp")
)
"""Content types that count as a video. A browser runs none of them as code."""
_CONTENT_TYPE = re.compile(r"([\w/.+-]{1,60})\s*(?:;[^,]*)?")

_RETRYABLE = (408, 425, 429)
"""Statuses below 500 that may be others on a retry."""


@sealed
def find_video(task_id: str) -> str:
    """Request the first byte of a finished video, and return its link if there is one.

    Safe to call from several threads, and after a fork.

    Args:
        task_id: The id that the creation call returned.

    Returns:
        The link that opens the video with the key; "" if the gateway has no such video.

    Raises:
        OctovidSettingsError: ``API_KEY`` or another setting is missing or wrong.
        OctovidTransientError: The gateway cannot say for now.
    """
    url = content_url(octovid_settings.BASE_URL, task_id)
    headers = {"Accept": "*/*", "Accept-Encoding": "identity", "Range": "bytes=0-0"}
    with response_to(url, headers) as response:
        status = response.status_code
        if status in _RETRYABLE or status >= 500:
            raise OctovidGatewayError(f"the gateway responded with {status} in place of the video")
        is_video = (
            status in (requests.codes.ok, requests.codes.partial_content)
            and _video_type(response.headers) is not None
            and "Content-Encoding" not in response.headers
            and bool(response.raw.read(1))
        )
    return url if is_video else ""


class Video:
    """An open response that may be a video; ``video_type`` says whether it is. Close it."""

    def __init__(self, response: requests.Response, timeout: float) -> None:
        self._response = response
        self._timeout = timeout
        self.status_code = response.status_code
        self.headers = response.headers
        # As urllib3 has understood it, which reads no further.
        length = None if "Transfer-Encoding" in self.headers else response.raw.length_remaining
        self.content_length: int | None = length
        """The bytes that ``iter_content`` yields, where the gateway says so in a way that can be
        passed on."""
        self.video_type = _video_type(response.headers)
        """One of ``VIDEO_TYPES``; ``None`` where it is no video."""

    def iter_content(self, size: int) -> Iterator[bytes]:
        """Yield the body as it comes.

        The wait for the gateway is bounded as ``paced`` describes, however slowly the caller
        takes the pieces.

        Args:
            size: The most bytes of a piece.

        Raises:
            OctovidTransientError: The response broke off.
        """
        read = partial(self._response.raw.read1, size, decode_content=False)
        try:
            yield from paced(read, self._timeout)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            failure = connection_error(error, self._timeout)
        else:
            return
        raise failure

    def close(self) -> None:
        self._response.close()

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_video(url: str, byte_range: str = "") -> Video:
    """Open a link that only the key opens (docs/gateway.md, section 2.5), to be streamed.

    Args:
        url: At the gateway; see ``links.needs_key``.
        byte_range: The value of a browser's ``Range`` header, "" for the whole video.

    Returns:
        The open response, whatever its status; its head has come within ``TIMEOUT`` seconds.

    Raises:
        OctovidSettingsError: ``API_KEY`` or another setting is missing or wrong.
        OctovidAccountError: The link is not at the gateway: the key is not sent there.
        OctovidTransientError: There was no response.
    """
    if not needs_key(url, octovid_settings.BASE_URL):
        raise OctovidBaseURLError("the link is not at the gateway: the key is not sent there")
    headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
    if byte_range:
        headers["Range"] = byte_range
    return Video(open_response(url, headers), octovid_settings.TIMEOUT)


def _video_type(headers: Mapping[str, str]) -> str | None:
    """The one type that a response has, if it is ours: of several, browsers take the last."""
    found = _CONTENT_TYPE.fullmatch(headers.get("Content-Type", "").strip())
    video_type = found[1].lower() if found else ""
    return video_type if video_type in VIDEO_TYPES else None
