"""Links to videos: which may be shown, when they expire, and whether they need the key."""

from __future__ import annotations

import re
import socket
from collections.abc import Collection
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from unicodedata import category, normalize
from urllib.parse import parse_qsl, quote, unquote, urljoin, urlsplit

from octovid_django.values import MAX_INTEGER, Json, later, read_moment, read_number

MAX_LINK = 8_192

_DEFAULT_PORTS = {"http": 80, "https": 443}
_TRANSLATED = [IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48")]
"""Where the last four bytes are an address of IPv4 (NAT64)."""
_EMPTY_NUMBER = re.compile(r"(?<![^.])0x(?![^.])", re.IGNORECASE)
"""A part of an address that browsers read as 0."""
_IGNORED = re.compile(
    "[\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u1806\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-"
    "\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
"""What IDNA leaves out of a name: Unicode's “default ignorable” characters, and IDNA 2003's."""
_CONTENT_PATH = re.compile(r"/v1/videos/([^/]+)/content/?$")


def read_link(value: Json, base_url: str) -> str | None:
    """Read an http(s) link; any other value is none (docs/gateway.md, section 2.5).

    Args:
        value: From a response.
        base_url: What a link that begins with ``/`` is relative to.

    Returns:
        The absolute link, or ``None``.
    """
    if not isinstance(value, str) or not 0 < len(value) <= MAX_LINK:
        return None
    if not value.isprintable() or " " in value or "\\" in value:  # browsers read "\" as "/"
        return None
    try:
        if value.startswith("/") and not value.startswith("//"):
            value = urljoin(base_url, value)
        parts = urlsplit(value)
        has_host = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return None
    return value if parts.scheme in ("http", "https") and has_host else None


def read_task_link(value: Json, base_url: str, task_ids: Collection[str]) -> str | None:
    """Read a link to the video of a task, also from a gateway that does not know its own address.

    A link to the content of this very task is moved under ``base_url`` if its host is the gateway's
    or an internal one (docs/gateway.md, section 2.17). Any other loopback link is none, unless the
    gateway is on loopback too. So is any link whose host is no name that can be understood.

    Args:
        value: From a response.
        base_url: The URL of the gateway.
        task_ids: All ids that the task has.

    Returns:
        The absolute link, or ``None``.
    """
    url = read_link(value, base_url)
    if url is None:
        return None
    parts = urlsplit(url)
    host, gateway = _host(url), _host(base_url) or ""
    if host is None:
        return None
    content = _CONTENT_PATH.search(parts.path)
    if content and unquote(content[1]) in task_ids and (host == gateway or _is_internal(host)):
        return base_url.rstrip("/") + content[0] + (f"?{parts.query}" if parts.query else "")
    return None if _is_loopback(host) and not _is_loopback(gateway) else url


def content_url(base_url: str, task_id: str) -> str:
    """Return the URL of the content call for a task (docs/gateway.md, section 2.18)."""
    return f"{base_url.rstrip('/')}/v1/videos/{path_segment(task_id)}/content"


def is_content_url(url: str) -> bool:
    """Return whether a link is one that gateways give any task, with a video or without."""
    return _CONTENT_PATH.search(urlsplit(url).path) is not None


def path_segment(task_id: str) -> str:
    """Return ``task_id`` as one segment of a path, whatever it holds."""
    # quote() leaves dots alone, but a segment of nothing else would climb up the path.
    return quote(task_id, safe="") if task_id.strip(".") else task_id.replace(".", "%2E")


def link_expiry(url: str) -> datetime | None:
    """Return when a signed link expires (docs/gateway.md, section 2.6).

    Args:
        url: With ``X-Tos-Date`` and ``X-Tos-Expires`` in its query (or their likes, such as
            ``X-Amz-…``), or with ``Expires`` in Unix time.

    Returns:
        An aware time in UTC; ``None`` where the link does not say so.
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
            expires_at = later(signed_at, timedelta(seconds=lifetime))
            # Not every time zone can show the first and the last times that there are.
            return expires_at if expires_at and 1970 <= expires_at.year <= 5000 else None
    return read_moment(query.get("expires"))


def needs_key(url: str, base_url: str) -> bool:
    """Return whether only the Bearer token opens the link (docs/gateway.md, section 2.5).

    That is so at the gateway itself, except where the link is signed.
    """
    return _origin(url) == _origin(base_url) and link_expiry(url) is None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _host(url: str) -> str | None:
    """The host as who opens the link understands it, however it is spelled.

    ``None`` where that cannot be known: what is not in this Python's Unicode may be another
    spelling of a letter or a digit to a newer browser.
    """
    host = _IGNORED.sub("", unquote(urlsplit(url).hostname or ""))
    host = _IGNORED.sub("", normalize("NFKC", normalize("NFKC", host).casefold()))
    host = host.replace("\u3002", ".").rstrip(".")
    is_known = all(c.isascii() or (category(c)[0] not in "CZ" and c != "\ufffd") for c in host)
    return host if host and is_known else None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _is_internal(host: str) -> bool:
    """Whether ``host`` is a name or an address of a local network, unknown to the internet."""
    address = _address(host)
    return not address.is_global if address else "." not in host or _is_loopback(host)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that ``host`` is, also where it is written as browsers accept it (``127.1``)."""
    host = _EMPTY_NUMBER.sub("0", host)
    try:
        address = ip_address(host) if ":" in host else ip_address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
    if isinstance(address, IPv4Address):
        return address
    if any(address in network for network in _TRANSLATED):
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address
