"""Readers of single values from responses; ``None`` is what they return for a value of no use."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

Json = Any  # what json.loads returns

MAX_TEXT = 2_000
MAX_WORD = 64
MAX_INTEGER = 2**31 - 1
MAX_BIG_INTEGER = 2**63 - 1

_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Return ``text`` without the characters that databases refuse (NUL, lone surrogates)."""
    return _UNSTORABLE.sub("\ufffd", text)


def json_text(value: Any, **options: Any) -> str:
    """Return ``value`` as JSON that people can read and that every page and file can hold: half a
    surrogate pair stays an escape."""
    text = json.dumps(value, ensure_ascii=False, **options)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def read_text(value: Json, limit: int = MAX_TEXT) -> str | None:
    """Read a string of at most ``limit`` characters that is not blank."""
    return storable(value[:limit]).strip() or None if isinstance(value, str) else None


def read_word(value: Json) -> str | None:
    """Read a short string that is not blank."""
    return read_text(value, MAX_WORD)


def read_number(value: Json) -> float | None:
    """Read a finite number, also from a string. Integers stay exact."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value[:MAX_WORD])
        except ValueError:
            return None
    if isinstance(value, int):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else None


def natural(maximum: int) -> Callable[[Json], int | None]:
    """Return a reader of whole numbers from 0 to ``maximum``."""

    def read(value: Json) -> int | None:
        number = read_number(value)
        return round(number) if number is not None and 0 <= number <= maximum else None

    return read


def read_percent(value: Json) -> int | None:
    """Read a percentage as an integer from 0 to 100, with or without its sign."""
    number = read_number(value.strip().removesuffix("%") if isinstance(value, str) else value)
    return None if number is None else int(min(max(number, 0), 100))


def read_moment(value: Json) -> datetime | None:
    """Read a time: ISO 8601 with a time zone, or Unix time.

    Unix time is in seconds, or in milliseconds where seconds would be after the year 5000.

    Returns:
        An aware time in UTC.
    """
    number = read_number(value)
    if number is None:
        return _read_iso_moment(value) if isinstance(value, str) else None
    if not 0 < number < 1e14:
        return None
    return datetime.fromtimestamp(number if number < 1e11 else number / 1000, tz=timezone.utc)


def _read_iso_moment(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", value[:MAX_WORD].strip()))
    except ValueError:
        return None
    is_sure = moment.tzinfo is not None and 1970 <= moment.year <= 5000
    return moment.astimezone(timezone.utc) if is_sure else None


def later(moment: datetime, delay: timedelta) -> datetime | None:
    """Return the time ``delay`` after ``moment``, ``None`` where it is out of range."""
    try:
        return moment + delay
    except OverflowError:
        return None
