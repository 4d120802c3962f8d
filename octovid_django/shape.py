"""What an error response means by its shape: identifiers, but no text in a human language."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from octovid_django.values import read_number

_ACCOUNT_STATUSES = (401, 402, 403, 429)
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_IDENTIFIER_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def _words(value: Any) -> set[str]:
    """The words of an identifier such as ``task_not_exist`` or ``taskNotFound``."""
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        return set()
    return {word.lower() for word in _IDENTIFIER_WORD.findall(value)}


def _named(fields: Mapping[str, Any], name: str) -> list[set[str]]:
    """The words of the identifiers of this name, in the response and in its ``error``."""
    parts = (fields, fields.get("error"))
    return [_words(part.get(name)) for part in parts if isinstance(part, dict)]


def names_task(fields: Mapping[str, Any]) -> bool:
    """Whether the ``param`` or the ``code`` of a 404 names the task."""
    words = [*_named(fields, "param"), *_named(fields, "code")]
    return any(each & {"task", "video", "id"} for each in words)


def denies_task(fields: Mapping[str, Any]) -> bool:
    """Whether the ``code`` of an error says that the task is unknown, as ``task_not_exist``."""
    return any(
        {"task", "not"} <= each and each & {"exist", "exists", "found"}
        for each in _named(fields, "code")
    )


def is_wrong_path(fields: Mapping[str, Any]) -> bool:
    """Whether the gateway has no such path; its message then repeats method and path."""
    error = fields.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return isinstance(message, str) and message.startswith("Invalid URL")


def account_status(fields: Mapping[str, Any]) -> int | None:
    """Return the ``code`` of a response with 200, if it is the status of an account error."""
    parts = (fields, fields.get("error"))
    codes = [read_number(part.get("code")) for part in parts if isinstance(part, Mapping)]
    return next((int(code) for code in codes if code in _ACCOUNT_STATUSES), None)
