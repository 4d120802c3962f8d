from __future__ import annotations

from datetime import datetime, timezone

import pytest

from octovid_django.links import link_expiry, needs_key, read_link

GATEWAY = "https://gateway.example/prefix"


@pytest.mark.parametrize(
    ("value", "link"),
    [
        ("https://cdn.example/v.mp4?sig=a%2Fb#t=1", "https://cdn.example/v.mp4?sig=a%2Fb#t=1"),
        ("http://cdn.example:8080/v.mp4", "http://cdn.example:8080/v.mp4"),
        ("HTTPS://cdn.example/v.mp4", "HTTPS://cdn.example/v.mp4"),
        ("/v1/videos/t/content", "https://gateway.example/v1/videos/t/content"),
    ],
)
def test_http_links_are_links(value: str, link: str) -> None:
    assert read_link(value, GATEWAY) == link


@pytest.mark.parametrize(
    "value",
    [
        *("", "video.mp4", "the prompt was refused", "javascript:alert(1)", "ftp://cdn.example/v"),
        *("data:video/mp4;base64,AAAA", "//cdn.example/v.mp4", "https://", "https:///v.mp4"),
        *("https://user@cdn.example/v.mp4", "https://cdn.example/a b", "https://cdn.example/\n"),
        *("https://cdn.example:99999/v.mp4", "https://cdn.example:0/v.mp4"),
        *("https://[::1/v.mp4", "https://cdn.example/\u202egpm.4", "https://" + "x" * 9000),
        *(None, 7, True, ["https://cdn.example/v.mp4"], {"url": "https://cdn.example/v.mp4"}),
    ],
)
def test_anything_else_is_none(value: object) -> None:
    assert read_link(value, GATEWAY) is None


@pytest.mark.parametrize(
    "query",
    [
        "X-Tos-Date=20260412T163502Z&X-Tos-Expires=60",
        "X-Amz-Date=20260412T163502Z&X-Amz-Expires=60",
        "x-amz-expires=60&x-amz-date=20260412T163502Z",
        "X-Amz-Date=20260412T183502%2B0200&X-Amz-Expires=60",
        "Expires=1776011762",
        "Signature=x&expires=1776011762000",
    ],
)
def test_a_signed_link_says_when_it_dies(query: str) -> None:
    dies_at = link_expiry(f"https://cdn.example/v.mp4?{query}")

    assert dies_at == datetime(2026, 4, 12, 16, 36, 2, tzinfo=timezone.utc)
    assert dies_at.tzinfo is timezone.utc


@pytest.mark.parametrize(
    "query",
    [
        *("", "X-Tos-Expires=60", "X-Tos-Date=20260412T163502Z", "Expires=never", "Expires=0"),
        *("X-Tos-Date=today&X-Tos-Expires=60", "X-Tos-Date=20260412T163502Z&X-Tos-Expires=-1"),
        *("X-Tos-Date=99991231T235959Z&X-Tos-Expires=60", "Expires=99999999999999999999"),
        "X-Tos-Date=20260412T163502Z&X-Amz-Expires=60",
        *("X-Tos-Date=00010101T000000%2B2359&X-Tos-Expires=60", "Expires=1e400"),
        "X-Amz-Date=99991231T235959-0100&X-Amz-Expires=60",
        *(
            "X-Tos-Date=00010101T000000Z&X-Tos-Expires=1",
            "X-Tos-Date=99991231T235900Z&X-Tos-Expires=1",
        ),
    ],
)
def test_any_other_does_not(query: str) -> None:
    assert link_expiry(f"https://cdn.example/v.mp4?{query}") is None


@pytest.mark.parametrize(
    ("url", "needs"),
    [
        ("https://gateway.example/v1/videos/t/content", True),
        ("https://gateway.example:443/v1/videos/t/content", True),
        ("https://gateway.example/files/v.mp4?Expires=1776011762&Signature=x", False),
        ("https://cdn.example/v.mp4", False),
        ("https://gateway.example:8443/v1/videos/t/content", False),
    ],
    ids=["at the gateway", "at its port", "at the gateway, signed", "elsewhere", "another port"],
)
def test_an_unsigned_link_at_the_gateway_needs_the_key(url: str, needs: bool) -> None:
    assert needs_key(url, GATEWAY) is needs
