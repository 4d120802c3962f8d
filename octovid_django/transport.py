"""One request to the gateway: with the key, a deadline and a size limit, without redirects."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache, wraps
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NamedTuple, TypeVar

import requests
import urllib3
from requests.adapters import BaseAdapter
from requests.auth import AuthBase

from octovid_django import __version__
from octovid_django.body import ENCODING
from octovid_django.conf import octovid_settings
from octovid_django.deadline import DeadlineAdapter, deadline
from octovid_django.exceptions import (
    OctovidConnectionError,
    OctovidError,
    OctovidTaskError,
    OctovidTimeoutError,
)
from octovid_django.redaction import describe, traceback_text

T = TypeVar("T")

logger = logging.getLogger(__name__)

USER_AGENT = f"octovid-django/{__version__}"


class _BearerAuth(AuthBase):
    """The key, read when it is sent. An explicit auth also keeps ``~/.netrc`` out."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {octovid_settings.API_KEY}"
        return request


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return ``None`` for every response: no redirect is followed."""
        return None


@cache
def _session(pid: int) -> _Session:
    """The session of the process ``pid``: a fork must not share its parent's connections."""
    session = _Session()
    session.headers.update(
        {"Accept": "application/json", "Accept-Encoding": ENCODING, "User-Agent": USER_AGENT}
    )
    session.auth = _BearerAuth()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter(pool_maxsize=octovid_settings.CONCURRENCY))
    return session


def sealed(call: Callable[[str], T]) -> Callable[[str], T]:
    """Let ``call``, which takes a task id, raise only ``OctovidError``, and without frames.

    The frames hold the key and the response, and some tracebacks show variables.
    """

    @wraps(call)
    def sealed_call(task_id: str) -> T:
        try:
            return call(task_id)
        except OctovidError as error:
            failure = error
        except Exception as error:  # noqa: BLE001  logged, with a traceback without variables
            trace = traceback_text(error)
            logger.error("Task %s: polling met an unexpected error:\n%s", task_id, trace)
            failure = OctovidTaskError(f"unexpected {describe(error)}")
        raise _without_frames(failure)

    return sealed_call


def _without_frames(error: OctovidError) -> OctovidError:
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class _Route(NamedTuple):
    """What is the same for every request with the same settings, headers and environment."""

    request: requests.PreparedRequest
    adapter: BaseAdapter
    environment: Mapping[str, Any]
    """Proxies, the CA bundle and the like, as arguments of the adapter."""


_ENVIRONMENT = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "REQUEST_METHOD"),
)
"""The variables that requests reads for a request."""


@lru_cache(maxsize=8)
def _route(
    pid: int, origin: str, key: str, headers: tuple[tuple[str, str], ...], _: tuple[str | None, ...]
) -> _Route:
    session = _session(pid)
    environment = session.merge_environment_settings(
        origin, proxies={}, stream=True, verify=None, cert=None
    )
    request = session.prepare_request(requests.Request("GET", origin, headers=dict(headers)))
    return _Route(request, session.get_adapter(origin), environment)


def _send(url: str, headers: Mapping[str, str], timeout: float) -> requests.Response:
    """Send a GET past the session, which would work out the same anew for each."""
    base_url = octovid_settings.BASE_URL
    route = _route(
        os.getpid(),
        base_url,
        octovid_settings.API_KEY,
        tuple(headers.items()),
        tuple(map(os.environ.get, _ENVIRONMENT)),
    )
    request = requests.PreparedRequest()
    request.method, request.url = "GET", url
    request.headers = route.request.headers.copy()
    request._cookies = route.request._cookies  # type: ignore[attr-defined]
    request.hooks = route.request.hooks
    return route.adapter.send(request, timeout=timeout, **route.environment)


@contextmanager
def response_to(url: str, headers: Mapping[str, str] | None = None) -> Iterator[requests.Response]:
    """Give the open response to a GET with the key, to be read within ``TIMEOUT`` seconds.

    Args:
        url: At the gateway, percent-encoded.
        headers: Request headers beside those of the session.

    Raises:
        OctovidSettingsError: ``API_KEY`` or another setting is missing or wrong.
        OctovidConnectionError: No complete response came within ``TIMEOUT`` seconds.
    """
    timeout = octovid_settings.TIMEOUT
    try:
        with deadline(timeout), _send(url, headers or {}, timeout) as response:
            yield response
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        zlib.error,
        OSError,
    ) as error:
        raise connection_error(error, timeout) from None


def open_response(url: str, headers: Mapping[str, str]) -> requests.Response:
    """Return the open response to a GET with the key; only its head has a deadline.

    Args:
        url: At the gateway.
        headers: Request headers beside those of the session.

    Raises:
        OctovidSettingsError: ``API_KEY`` or another setting is missing or wrong.
        OctovidConnectionError: No head came within ``TIMEOUT`` seconds.
    """
    timeout = octovid_settings.TIMEOUT
    session = _session(os.getpid())
    try:
        with deadline(timeout):
            return session.get(url, headers=headers, timeout=timeout, stream=True)
    except Exception as error:  # noqa: BLE001  whatever it is, its frames hold the key
        failure = connection_error(error, timeout)
    raise _without_frames(failure)


def connection_error(error: BaseException, timeout: float) -> OctovidConnectionError:
    """Return what ``error``, raised by a connection, means.

    Args:
        error: What the connection, requests or urllib3 raised.
        timeout: The deadline that the request had, in seconds.
    """
    causes = _causes(error)
    if any(isinstance(cause, (TimeoutError, requests.Timeout)) for cause in causes):
        return OctovidTimeoutError(
            f"no complete response from the gateway within {timeout:g} s",
            reason=f"no complete response within {timeout:g} s",
        )
    reasons = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    if reasons:
        reason = reasons[-1]
    elif isinstance(error, urllib3.exceptions.ProtocolError):
        reason = "the response broke off"
    elif isinstance(error, zlib.error):
        reason = "the response cannot be decompressed"
    else:
        reason = type(causes[-1]).__name__
    return OctovidConnectionError(f"no response from the gateway: {reason}", reason=reason)


def _causes(error: BaseException) -> list[BaseException]:
    """``error`` and all its causes, also those that urllib3 and requests wrap."""
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
