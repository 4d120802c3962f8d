"""Pages: what a proxy in front of the gateway sends in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping

_MAX_READ = 64 * 1024
_CHALLENGE = re.compile(
    rb"just a moment|javascript and cookies|captcha|challenge|checking your browser"
    rb"|verify(ing)? (that )?you are (a )?human|are you (a )?(human|robot)",
    re.IGNORECASE,
)


def is_page(headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether a response is a page for a browser."""
    kind = headers.get("Content-Type", "").lower()
    return "html" in kind or re.match(rb"\s*<(!doctype html|html)\b", body[:1024], re.I) is not None


def is_challenge(headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether a page asks its reader to prove that they are human."""
    if headers.get("cf-mitigated", "").lower() == "challenge":
        return True
    return is_page(headers, body) and _CHALLENGE.search(body[:_MAX_READ]) is not None


def page_text(headers: Mapping[str, str], body: bytes) -> str:
    """Return what a page is, where that explains an error, else ""."""
    if is_challenge(headers, body):
        return "a challenge page of the proxy in front of it, which lets only browsers pass"
    return ""
