"""One question to the gateway: the query call, with a deadline, a size limit and no redirects."""

from __future__ import annotations

import json
import logging
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from functools import cache, partial, wraps
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.auth import AuthBase

from octovid_django import __version__
from octovid_django.body import PACKING, read_body
from octovid_django.conf import octovid_settings
from octovid_django.deadline import DeadlineAdapter, deadline, paced
from octovid_django.exceptions import (
    OctovidAuthenticationError,
    OctovidBaseURLError,
    OctovidConnectionError,
    OctovidError,
    OctovidGatewayError,
    OctovidRateLimitError,
    OctovidRedirectError,
    OctovidResponseError,
    OctovidTaskError,
    OctovidTaskNotFoundError,
    OctovidTimeoutError,
)
from octovid_django.links import content_url, needs_key, path_segment
from octovid_django.pages import is_challenge, is_page, page_text
from octovid_django.reasons import error_text, is_of_gateway
from octovid_django.redaction import describe, redact_keys, traceback_text
from octovid_django.shape import account_status, denies_task, is_wrong_path, names_task
from octovid_django.snapshot import TaskSnapshot

T = TypeVar("T")

logger = logging.getLogger(__name__)

QUERY_PATH = "/v1/video/generations/"
USER_AGENT = f"octovid-django/{__version__}"

VIDEO_TYPES = frozenset(
    f"video/{name}" for name in ("mp4", "webm", "quicktime", "ogg", "mpeg", "x-matroska", "3gpp")
)
"""What is taken for a video. A browser runs none of it, whatever the bytes are."""
_CONTENT_TYPE = re.compile(r"([\w/.+-]{1,60})\s*(?:;[^,]*)?")

_MAX_REASON = 300
_RETRYABLE = (408, 425, 429)
"""Answers below 500 that may be another in a moment."""


class _BearerAuth(AuthBase):
    """The key, read when it is sent. An explicit auth also keeps ``~/.netrc`` out."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {octovid_settings.API_KEY}"
        return request


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None, whatever the answer points at: not even to look at it."""
        return None


@cache
def _session(pid: int) -> _Session:
    """The session of the process ``pid``: a fork must not share its parent's connections."""
    session = _Session()
    session.headers.update(
        {"Accept": "application/json", "Accept-Encoding": PACKING, "User-Agent": USER_AGENT}
    )
    session.auth = _BearerAuth()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter(pool_maxsize=octovid_settings.CONCURRENCY))
    return session


def _sealed(call: Callable[[str], T]) -> Callable[[str], T]:
    """``call``, whose exceptions are our own, without the frames that they come from.

    Those hold the key and the answer, and there are tracebacks that show variables.
    """

    @wraps(call)
    def sealed(task_id: str) -> T:
        try:
            return call(task_id)
        except OctovidError as error:
            failure = error
        except Exception as error:  # noqa: BLE001  logged, with a traceback without variables
            trace = traceback_text(error)
            logger.error("Polling task %s failed in an unforeseen way:\n%s", task_id, trace)
            failure = OctovidTaskError(f"unforeseen {describe(error)}")
        raise _without_frames(failure)

    return sealed


def _without_frames(error: OctovidError) -> OctovidError:
    """``error`` as it stands, and nothing of where it comes from."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


@_sealed
def query_task(task_id: str) -> TaskSnapshot:
    """Ask the gateway about one task (``GET {BASE_URL}/v1/video/generations/{task_id}``).

    Safe to call from several threads, and after a fork.

    Args:
        task_id: The id that the creation call returned.

    Returns:
        What the gateway says.

    Raises:
        OctovidSettingsError: ``API_KEY`` or another setting is missing or wrong.
        OctovidAccountError: Asking about other tasks meets the same trouble (401, 403, 404, 429).
        OctovidTaskError: The trouble is this task's (``task_not_exist``, an answer that cannot
            be understood, or one of more than ``MAX_RESPONSE_BYTES``), or unforeseen.
        OctovidTransientError: It may pass (no answer within ``TIMEOUT`` seconds, 5xx, a redirect).
    """
    with _response_to(_url(task_id)) as response:
        status, headers, body = response.status_code, response.headers, read_body(response)
    if not 200 <= status < 300:
        raise _error(status, headers, body)
    try:
        answer = _decode(body)
    except OctovidResponseError:
        if is_page(headers, body):
            raise OctovidBaseURLError(
                f"the gateway answered {status} with a page for browsers. Check OCTOVID"
                '["BASE_URL"], and that no proxy in front of the gateway asks for a browser'
            ) from None
        raise
    try:
        return TaskSnapshot.from_response(
            answer,
            base_url=octovid_settings.BASE_URL,
            link_lifetime=timedelta(seconds=octovid_settings.LINK_LIFETIME),
            task_id=task_id,
        )
    except OctovidResponseError:
        said = account_status(answer) if isinstance(answer, dict) else None
        if said is None:
            raise
    raise _error(said, headers, body)


@_sealed
def find_video(task_id: str) -> str:
    """Ask the gateway for the first byte of a finished video (docs/gateway.md, 2.18).

    Safe to call from several threads, and after a fork.

    Returns:
        The link that opens it with the key, "" if the gateway has no such video.

    Raises:
        OctovidSettingsError: ``API_KEY`` or another setting is missing or wrong.
        OctovidTransientError: The gateway cannot say for now.
    """
    url = content_url(octovid_settings.BASE_URL, task_id)
    headers = {"Accept": "*/*", "Accept-Encoding": "identity", "Range": "bytes=0-0"}
    with _response_to(url, headers) as answer:
        status = answer.status_code
        if status in _RETRYABLE or status >= 500:
            raise OctovidGatewayError(f"the gateway answered {status} when asked for the video")
        is_video = (
            status in (requests.codes.ok, requests.codes.partial_content)
            and _video_type(answer.headers) is not None
            and "Content-Encoding" not in answer.headers
            and bool(answer.raw.read(1))
        )
    return url if is_video else ""


class Video:
    """An open response that is a video, or says why not. Who reads it closes it."""

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
        """Yield the body as it comes, in pieces of at most ``size`` bytes.

        The gateway is waited for as ``paced`` does, whoever takes how long for what it gets.

        Raises:
            OctovidTransientError: It broke off.
        """
        read = partial(self._response.raw.read1, size, decode_content=False)
        try:
            yield from paced(read, self._timeout)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            failure = _connection_error(error, self._timeout)
        else:
            return
        raise failure

    def close(self) -> None:
        self._response.close()

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _video_type(headers: Mapping[str, str]) -> str | None:
    """The one type that a response has, if it is ours: of several, browsers take the last."""
    found = _CONTENT_TYPE.fullmatch(headers.get("Content-Type", "").strip())
    video_type = found[1].lower() if found else ""
    return video_type if video_type in VIDEO_TYPES else None


def open_video(url: str, byte_range: str = "") -> Video:
    """Open a link that only the key opens (docs/gateway.md, 2.5), to be streamed.

    Args:
        url: At the gateway; see ``links.needs_key``.
        byte_range: What a browser asks for in ``Range``, "" for all.

    Returns:
        The open response, whatever its status; its head has come within ``TIMEOUT`` seconds.

    Raises:
        OctovidSettingsError: ``API_KEY`` or another setting is missing or wrong.
        OctovidAccountError: The link is not at the gateway: the key does not go there.
        OctovidTransientError: There was no answer.
    """
    if not needs_key(url, octovid_settings.BASE_URL):
        raise OctovidBaseURLError("the link is not the gateway's, the key is not sent there")
    headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
    if byte_range:
        headers["Range"] = byte_range
    timeout = octovid_settings.TIMEOUT
    session = _session(os.getpid())
    try:
        with deadline(timeout):
            response = session.get(url, headers=headers, timeout=timeout, stream=True)
        return Video(response, timeout)
    except Exception as error:  # noqa: BLE001  whatever it is, its frames hold the key
        failure = _connection_error(error, timeout)
    raise _without_frames(failure)


def _url(task_id: str) -> str:
    return octovid_settings.BASE_URL.rstrip("/") + QUERY_PATH + path_segment(task_id)


@contextmanager
def _response_to(url: str, headers: Mapping[str, str] | None = None) -> Iterator[requests.Response]:
    """The open answer to a question with the key, to be read within ``TIMEOUT`` seconds."""
    session = _session(os.getpid())
    prepared = session.prepare_request(requests.Request("GET", url, headers=headers))
    prepared.url = url  # requests has decoded the dots again
    timeout = octovid_settings.TIMEOUT
    environment = session.merge_environment_settings(
        url, proxies={}, stream=True, verify=None, cert=None
    )
    try:
        with (
            deadline(timeout),
            session.send(prepared, timeout=timeout, **environment) as answer,
        ):
            yield answer
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        zlib.error,
        OSError,
    ) as error:
        raise _connection_error(error, timeout) from None


def _decode(body: bytes) -> Any:
    try:
        # Before it is decoded: a gateway that repeats the key must not get it stored.
        return json.loads(redact_keys(body.decode("utf-8-sig")))
    except (ValueError, RecursionError):
        raise OctovidResponseError("the gateway's answer is not JSON") from None


def _error(status: int, headers: Mapping[str, str], body: bytes) -> OctovidError:
    """What an answer with an error status means (docs/gateway.md, 3)."""
    try:
        answer = _decode(body)
    except OctovidResponseError:
        answer = None
    fields = answer if isinstance(answer, dict) else {}
    if denies_task(fields):
        return OctovidTaskNotFoundError("the gateway does not know this task (task_not_exist)")
    reason = f"{status} {_phrase(status)}{_said(answer, headers, body)}"
    said = f"the gateway answered {reason}"
    if status in (401, 402, 403) or is_challenge(status, headers, body):
        is_of_row = status == 403 and not is_challenge(status, headers, body)
        return OctovidAuthenticationError(
            f"{said}. {_advice(answer)}", suspicion="403" if is_of_row else ""
        )
    if status == 404:
        return _not_found(fields, said)
    if status == 429:
        return OctovidRateLimitError(said, retry_after=_retry_after(headers))
    if 300 <= status < 400:
        target = _target(headers)
        return OctovidRedirectError(f"{said}{target}. It was not followed", reason=reason + target)
    return OctovidGatewayError(said, reason=reason) if status >= 500 else OctovidTaskError(said)


def _not_found(fields: Mapping[str, Any], said: str) -> OctovidError:
    if names_task(fields):
        return OctovidTaskNotFoundError("the gateway does not know this task (404 Not Found)")
    return OctovidBaseURLError(
        f'{said}. Check OCTOVID["BASE_URL"]', suspicion="" if is_wrong_path(fields) else "404"
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(not a standard status)"


def _said(answer: Any, headers: Mapping[str, str], body: bytes) -> str:
    """What an error says of itself, after a colon, "" where it says nothing."""
    text = error_text(answer) or (page_text(headers, body) if answer is None else "")
    return f": {text[:_MAX_REASON]}" if text else ""


def _advice(answer: Any) -> str:
    """Where to look when we are refused: only the gateway knows of keys, no page in front of it."""
    if is_of_gateway(answer):
        return 'Check OCTOVID["API_KEY"] and its quota'
    return 'Check OCTOVID["BASE_URL"], and the proxy in front of the gateway'


def _target(headers: Mapping[str, str]) -> str:
    try:
        parts = urlsplit(redact_keys(headers.get("Location", "")))
    except ValueError:
        return ""
    return f", pointing at {parts.scheme}://{parts.hostname}" if parts.hostname else ""


def _retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """``Retry-After``, in seconds or as a date; ``None`` where it is absent or makes no sense."""
    value = headers.get("Retry-After", "").strip()
    try:
        if value.isdecimal():
            return timedelta(seconds=int(value))
        moment = parsedate_to_datetime(value)
        return moment.replace(tzinfo=moment.tzinfo or timezone.utc) - datetime.now(timezone.utc)
    except (ValueError, TypeError, OverflowError):
        return None


def _connection_error(error: BaseException, timeout: float) -> OctovidConnectionError:
    causes = _causes(error)
    if any(isinstance(cause, (TimeoutError, requests.Timeout)) for cause in causes):
        return OctovidTimeoutError(
            f"no whole answer from the gateway within {timeout:g} s",
            reason=f"no whole answer within {timeout:g} s",
        )
    reasons = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    if reasons:
        reason = reasons[-1]
    elif isinstance(error, urllib3.exceptions.ProtocolError):
        reason = "the answer broke off"
    elif isinstance(error, zlib.error):
        reason = "the answer cannot be unpacked"
    else:
        reason = type(causes[-1]).__name__
    return OctovidConnectionError(f"no answer from the gateway: {reason}", reason=reason)


def _causes(error: BaseException) -> list[BaseException]:
    """``error`` and all that it came from, also as urllib3 and requests wrap it."""
    found: list[BaseException] = []
    pending = [error]
    while pending:
        cause = pending.pop(0)
        if cause not in found:
            found.append(cause)
            wrapped = (cause.__cause__, cause.__context__, getattr(cause, "reason", None))
            related = (*wrapped, *cause.args)
            pending += [part for part in related if isinstance(part, BaseException)]
    return found
