"""Links to videos: which may be shown, when they die, and whether they need the key."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl, urljoin, urlsplit

from octovid_django.values import MAX_INTEGER, Json, later, read_moment, read_number

MAX_LINK = 8_192

_DEFAULT_PORTS = {"http": 80, "https": 443}


def read_link(value: Json, base_url: str) -> str | None:
    """Read an absolute http(s) link; anything else that a gateway calls a link is none.

    Args:
        value: What the gateway sent.
        base_url: What a link that begins with ``/`` is relative to.
    """
    if not isinstance(value, str) or not 0 < len(value) <= MAX_LINK:
        return None
    if not value.isprintable() or " " in value:
        return None
    try:
        if value.startswith("/") and not value.startswith("//"):
            value = urljoin(base_url, value)
        parts = urlsplit(value)
        has_host = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return None
    return value if parts.scheme in ("http", "https") and has_host else None


def link_expiry(url: str) -> datetime | None:
    """Return when a signed link dies, where it says so (CONTRACT.md, "also answers" 6).

    Args:
        url: With ``X-Tos-Date`` and ``X-Tos-Expires`` in its query (or their likes, as
            ``X-Amz-…``), or ``Expires`` in Unix time.

    Returns:
        An aware time in UTC.
    """
    query = {key.lower(): value for key, value in parse_qsl(urlsplit(url).query)}
    for key, value in query.items():
        signer = re.fullmatch(r"(x-\w+)-date", key)
        lifetime = read_number(query.get(f"{signer[1]}-expires")) if signer else None
        if lifetime is not None and 0 < lifetime <= MAX_INTEGER:
            try:
                signed_at = datetime.strptime(value, "%Y%m%dT%H%M%S%z").astimezone(timezone.utc)
            except (ValueError, OverflowError):
                continue
            dies_at = later(signed_at, timedelta(seconds=lifetime))
            # Not every time zone can show the first and the last times that there are.
            return dies_at if dies_at and 1970 <= dies_at.year <= 5000 else None
    return read_moment(query.get("expires"))


def needs_key(url: str, base_url: str) -> bool:
    """Return whether only the Bearer token opens the link (CONTRACT.md, "also answers" 5).

    That is so at the gateway itself, except where the link is signed.
    """
    return _origin(url) == _origin(base_url) and link_expiry(url) is None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
