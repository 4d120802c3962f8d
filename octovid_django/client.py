"""The gateway's query call: one poll of one task (docs/gateway.md, sections 1 to 3)."""

from __future__ import annotations

import re
from datetime import timedelta

from octovid_django.body import read_body
from octovid_django.conf import octovid_settings
from octovid_django.exceptions import (
    OctovidAccountError,
    OctovidBaseURLError,
    OctovidResponseError,
    OctovidTaskError,
)
from octovid_django.links import path_segment
from octovid_django.pages import is_page
from octovid_django.response_errors import decode, error_of
from octovid_django.shape import account_status
from octovid_django.snapshot import TaskSnapshot
from octovid_django.transport import response_to, sealed

QUERY_PATH = "/v1/video/generations/"

_PLAIN_ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9_.:~@=+,-]+")
"""An id in which nothing between here and the gateway sees anything but a segment of a path."""


@sealed
def query_task(task_id: str) -> TaskSnapshot:
    """Poll one task (``GET {BASE_URL}/v1/video/generations/{task_id}``).

    Safe to call from several threads, and after a fork.

    Args:
        task_id: The id that the creation call returned.

    Returns:
        What the gateway reports.

    Raises:
        OctovidSettingsError: ``API_KEY`` or another setting is missing or wrong.
        OctovidAccountError: Scope account: polling other tasks meets the same error (401, 403,
            404, 429).
        OctovidTaskError: Scope task: ``task_not_exist``, a response that cannot be understood or
            is larger than ``MAX_RESPONSE_BYTES``, or an unexpected error.
        OctovidTransientError: A retry may succeed: no response within ``TIMEOUT`` seconds, 5xx,
            a redirect.
    """
    try:
        return _query(task_id)
    except OctovidAccountError as error:
        may_be_of_path = isinstance(error, OctovidBaseURLError) or bool(error.suspicion)
        if _PLAIN_ID.fullmatch(task_id) or not may_be_of_path:
            raise
        # A router that decodes the path takes an id with a "/" for another page, and a proxy may
        # refuse what an id holds: that says nothing about other tasks.
        failure = OctovidTaskError(str(error))
    raise failure


def _query(task_id: str) -> TaskSnapshot:
    with response_to(_url(task_id)) as response:
        status, headers, body = response.status_code, response.headers, read_body(response)
    if not 200 <= status < 300:
        raise error_of(status, headers, body)
    try:
        value = decode(body)
    except OctovidResponseError:
        if is_page(headers, body):
            raise OctovidBaseURLError(
                f"the gateway responded with {status} and a page for browsers. Check OCTOVID"
                '["BASE_URL"], and that no proxy in front of the gateway demands a browser'
            ) from None
        raise
    try:
        return TaskSnapshot.from_response(
            value,
            base_url=octovid_settings.BASE_URL,
            link_lifetime=timedelta(seconds=octovid_settings.LINK_LIFETIME),
            task_id=task_id,
        )
    except OctovidResponseError:
        reported_status = account_status(value) if isinstance(value, dict) else None
        if reported_status is None:
            raise
    raise error_of(reported_status, headers, body)


def _url(task_id: str) -> str:
    return octovid_settings.BASE_URL.rstrip("/") + QUERY_PATH + path_segment(task_id)
