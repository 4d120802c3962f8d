"""What an error response means: an exception, and its scope (docs/gateway.md, section 3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from octovid_django.exceptions import (
    OctovidAuthenticationError,
    OctovidBaseURLError,
    OctovidError,
    OctovidGatewayError,
    OctovidRateLimitError,
    OctovidRedirectError,
    OctovidResponseError,
    OctovidTaskError,
    OctovidTaskNotFoundError,
)
from octovid_django.pages import is_challenge, page_text
from octovid_django.reasons import error_text, is_of_gateway
from octovid_django.redaction import redact_keys, without_keys
from octovid_django.shape import denies_task, is_wrong_path, names_task

_MAX_REASON = 300


def decode(body: bytes) -> Any:
    """Return the JSON value of a body, without keys.

    Raises:
        OctovidResponseError: The body is not JSON.
    """
    try:
        # A gateway that repeats the key must not get it stored.
        return without_keys(json.loads(body.decode("utf-8-sig")))
    except (ValueError, RecursionError):
        raise OctovidResponseError("the gateway's response is not JSON") from None


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> OctovidError:
    """Return the exception that an error response stands for.

    Args:
        status: Of HTTP; 200 to 299 is none of an error.
        headers: Of the response.
        body: As ``read_body`` returns it.
    """
    try:
        value = decode(body)
    except OctovidResponseError:
        value = None
    fields = value if isinstance(value, dict) else {}
    if denies_task(fields):
        return OctovidTaskNotFoundError("the gateway does not know this task (task_not_exist)")
    reason = f"{status} {_phrase(status)}{_explanation(value, headers, body)}"
    message = f"the gateway responded with {reason}"
    if status in (401, 402, 403) or is_challenge(status, headers, body):
        # A proxy may refuse one task for what its id holds, also by a page.
        may_be_of_task = status not in (401, 402)
        return OctovidAuthenticationError(
            f"{message}. {_advice(value)}", suspicion=str(status) if may_be_of_task else ""
        )
    if status == 404:
        return _not_found(fields, message)
    if status == 429:
        return OctovidRateLimitError(message, retry_after=_retry_after(headers))
    if 300 <= status < 400:
        target = _redirect_target(headers)
        return OctovidRedirectError(
            f"{message}{target}. The redirect was not followed", reason=reason + target
        )
    if status >= 500:
        return OctovidGatewayError(message, reason=reason)
    return OctovidTaskError(message)


def _not_found(fields: Mapping[str, Any], message: str) -> OctovidError:
    if names_task(fields):
        return OctovidTaskNotFoundError("the gateway does not know this task (404 Not Found)")
    return OctovidBaseURLError(
        f'{message}. Check OCTOVID["BASE_URL"]', suspicion="" if is_wrong_path(fields) else "404"
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(not a standard status)"


def _explanation(value: Any, headers: Mapping[str, str], body: bytes) -> str:
    """What an error response says about itself, after a colon; "" where it says nothing."""
    text = error_text(value) or (page_text(headers, body) if value is None else "")
    return f": {text[:_MAX_REASON]}" if text else ""


def _advice(value: Any) -> str:
    """What to check: only the gateway knows of keys, a proxy in front of it does not."""
    if is_of_gateway(value):
        return 'Check OCTOVID["API_KEY"] and its quota'
    return 'Check OCTOVID["BASE_URL"], and the proxy in front of the gateway'


def _redirect_target(headers: Mapping[str, str]) -> str:
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
