"""HTML pages that a proxy in front of the gateway sends in place of its responses."""

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
    is_declared = "html" in headers.get("Content-Type", "").lower()
    start = body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return is_declared or start.startswith(b"<!doctype html")


def is_challenge(status: int, headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether a proxy in front of the gateway demands a browser (a challenge page).

    A 403 with a page is never the gateway's, whose errors are JSON. A 503 with a page is most often
    an outage: a challenge has a header that says so, or a script, without which it cannot work.
    """
    if status not in (403, 503) or not is_page(headers, body):
        return False
    is_interactive = "cf-mitigated" in headers or b"<script" in body[:_MAX_READ].lower()
    return status == 403 or is_interactive


def page_text(headers: Mapping[str, str], body: bytes) -> str:
    """Return what kind of page it is, where that explains an error, else ""."""
    is_declared = headers.get("cf-mitigated", "").lower() == "challenge"
    is_marked_up = is_page(headers, body) or body[:1024].lstrip().startswith(b"<")
    if is_declared or (is_marked_up and _CHALLENGE.search(body[:_MAX_READ])):
        return "a challenge page of the proxy in front of it, which lets only browsers pass"
    return ""
