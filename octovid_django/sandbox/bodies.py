"""The JSON of the calls: orders that are read, and errors that are written."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

_FIELDS_IN_METADATA = (
    *("outcome", "fail_reason", "run_seconds", "duration", "resolution", "ratio"),
    *("link_lifetime", "needs_key", "error", "error_seconds"),
)


def read_order(body: bytes) -> dict[str, Any]:
    """Read the body of the creation call: the arguments of ``Sandbox.create``, unchecked.

    Raises:
        ValueError: The body is no such order; the message says what to send instead.
    """
    wanted = 'send a JSON object like {"model": "sandbox-video", "metadata": {"run_seconds": 6}}'
    try:
        order = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError(f"the body is not JSON: {wanted}") from None
    if not isinstance(order, dict):
        raise ValueError(f"the body is not an object: {wanted}")
    metadata = order.get("metadata", {})
    if not isinstance(metadata, dict):
        raise ValueError(f'"metadata" is not an object: {wanted}')
    known = {name: metadata[name] for name in _FIELDS_IN_METADATA if name in metadata}
    return {"model": order.get("model"), "prompt": _prompt(order), **known}


def _prompt(order: Mapping[str, Any]) -> str:
    content = order.get("content")
    parts = [part for part in content if isinstance(part, dict)] if type(content) is list else []
    texts = [order.get("prompt"), *(part.get("text") for part in parts)]
    return next((text for text in texts if isinstance(text, str)), "")


def error(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "data": None}


def invalid_request(message: str) -> dict[str, Any]:
    return error("invalid_request", message)


def invalid_token() -> dict[str, Any]:
    return new_api_error("Invalid token")


def new_api_error(message: str) -> dict[str, Any]:
    request_id = time.strftime("%Y%m%d%H%M%S", time.gmtime()) + secrets.token_hex(8)
    message = f"{message} (request id: {request_id})"
    return {"error": {"message": message, "type": "new_api_error", "code": ""}}


def invalid_url(method: str, path: str) -> dict[str, Any]:
    message = f"Invalid URL ({method} {path})"
    error = {"message": message, "type": "invalid_request_error", "param": "", "code": ""}
    return {"error": error}
