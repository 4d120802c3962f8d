from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timezone
from encodings.idna import nameprep
from functools import partial
from urllib.parse import quote

import idna
import pytest

from octovid_django.links import (
    _host,
    content_url,
    is_content_url,
    link_expiry,
    needs_key,
    path_segment,
    read_link,
    read_task_link,
)

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
def test_read_link_accepts_http_urls_and_gateway_paths(value: str, link: str) -> None:
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
def test_read_link_of_other_value_is_none(value: object) -> None:
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
def test_link_expiry_is_read_from_signed_query(query: str) -> None:
    expires_at = link_expiry(f"https://cdn.example/v.mp4?{query}")

    assert expires_at == datetime(2026, 4, 12, 16, 36, 2, tzinfo=timezone.utc)
    assert expires_at.tzinfo is timezone.utc


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
def test_link_expiry_of_unsigned_or_absurd_query_is_none(query: str) -> None:
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
    ids=["gateway", "gateway with port", "gateway, signed", "other host", "other port"],
)
def test_needs_key_only_for_unsigned_link_at_gateway(url: str, needs: bool) -> None:
    assert needs_key(url, GATEWAY) is needs


CONTENT = "https://gateway.example/prefix/v1/videos/grok:t%2F1/content"


@pytest.mark.parametrize(
    "host",
    [
        *("http://localhost:3000", "https://LOCALHOST", "http://localhost.:3000", "http://0.0.0.0"),
        *("http://127.0.0.1:3000", "http://127.1", "http://2130706433", "http://0x7f000001"),
        *(
            "http://[::1]:3000",
            "http://[::ffff:127.0.0.1]",
            "http://a.localhost",
            "http://10.0.0.5",
        ),
        *("http://new-api:3000", "http://gateway.example", "https://Gateway.example:3000", ""),
        *("https://gateway.example/prefix", "https://gateway.example/other", "https://[fd00::1]"),
    ],
)
@pytest.mark.parametrize("segment", ["grok:t%2F1", "grok%3At%2f1"])
def test_content_link_of_task_at_internal_address_moves_to_gateway(host: str, segment: str) -> None:
    link = read_task_link(f"{host}/v1/videos/{segment}/content", GATEWAY, {"grok:t/1"})

    assert link == CONTENT.replace("grok:t%2F1", segment)


def test_content_link_moved_to_gateway_keeps_its_query() -> None:
    link = "http://localhost:3000/v1/videos/t/content?variant=hd"

    assert read_task_link(link, GATEWAY, {"t"}) == (
        "https://gateway.example/prefix/v1/videos/t/content?variant=hd"
    )


@pytest.mark.parametrize(
    "link",
    [
        *("https://cdn.example/v1/videos/t/content", "https://8.8.8.8/v1/videos/t/content"),
        *("https://gateway.example/v1/videos/u/content", "http://10.0.0.5/v.mp4"),
        "https://gateway.example/v1/videos/t/content/more",
    ],
)
def test_read_task_link_leaves_other_link_unchanged(link: str) -> None:
    assert read_task_link(link, GATEWAY, {"t"}) == link


@pytest.mark.parametrize(
    "link",
    [
        *("http://localhost:3000/v1/videos/u/content", "http://127.0.0.1/v.mp4", "http://0/v.mp4"),
        *("http://127.0.0.1\\.cdn.example/v.mp4", "https://cdn.example\\v.mp4"),
        *("http://localhost./v.mp4", "http://[::]/v.mp4", "http://127.1/v.mp4", "https://[::1", 7),
    ],
)
def test_read_task_link_to_loopback_is_none(link: object) -> None:
    assert read_task_link(link, GATEWAY, {"t"}) is None


SPELLINGS = [
    *("１２７.0.0.1", "127。0。0。1", "127.0.0｡1", "127．1", "%31%32%37.0.0.1", "①②⑦.0.0.1"),
    *(
        "ⓛocalhost",
        "LOCALHOST",
        "ｌｏｃａｌｈｏｓｔ",
        "local%68ost",
        "localhost%2e",
        "local%C2%ADhost",
    ),
    *("local\ufe0fhost", "a。localhost", "0x7f.1", "017700000001", "[::1%25lo]", "[::ffff:7f00:1]"),
    *("127.0x.0x.1", "0x", "0X.0.0.0"),
    *("[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]"),
    # Of later versions of Unicode than that of Python's own IDNA.
    *("ₗocalhost", "localhoₛₜ", "🯱🯲🯷.0.0.1", "127.0.0.🯱", "𝟏𝟐𝟕.0.0.1"),
    *(
        f"local{quote(ignored)}host"
        for ignored in (
            *("\u034f", "\u061c", "\u115f", "\u1160", "\u17b4", "\u1806", "\u180f", "\u200b"),
            *("\u2060", "\u2065", "\u206f", "\u3164", "\ufeff", "\uffa0", "\ufff0", "\ufff8"),
            *("\U0001bca0", "\U0001d173", "\U000e0001", "\U000e0100", "\U000e0fff"),
        )
    ),
    *("local\U000e0100host", "local\u115fhost", "loca\u3164lhost\U000e01ef", "12\u17b47.1"),
    *("ＬOCALHOſT", "a.localhost%E3%80%82", "127%EF%BD%A10%EF%BD%A10%EF%BD%A11"),
]


@pytest.mark.parametrize("host", SPELLINGS)
def test_read_task_link_to_loopback_in_other_spelling_is_none(host: str) -> None:
    assert read_task_link(f"http://{host}:3000/v.mp4", GATEWAY, {"t"}) is None


@pytest.mark.parametrize("host", SPELLINGS)
def test_content_link_of_task_at_loopback_in_other_spelling_moves_to_gateway(host: str) -> None:
    link = read_task_link(f"http://{host}/v1/videos/t/content", GATEWAY, {"t"})

    assert link == "https://gateway.example/prefix/v1/videos/t/content"


def test_host_is_folded_as_idna_of_any_age_does() -> None:
    def mapped(host: str) -> set[str]:
        readings = set()
        for read in (nameprep, partial(idna.uts46_remap, std3_rules=False)):
            with suppress(UnicodeError):  # idna's own error is one too
                readings.add(read(host))
        return {reading for reading in readings if reading.isascii()}

    different = {
        hex(code): character
        for code in (*range(128, 0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE1000))
        if (character := chr(code)) != "\u3002"  # a dot, but not to nameprep
        and mapped(f"a{character}b") - {_host(f"http://a{quote(character)}b/")}
        and _host(f"http://a{quote(character)}b/") is not None
    }

    assert different == {}


@pytest.mark.parametrize(
    "host",
    [
        *("local%F0%9C%B3%95host", "%F0%9C%B3%B1.0.0.1"),  # outlined, of Unicode 16
        *("local%F3%B0%80%80host", "local%FFhost", "%C2%AD", "a%E2%80%A8b.example"),
        "a%CD%B8b.example",
    ],
    ids=["letter", "digit", "private", "no UTF-8", "nothing", "line end", "unassigned"],
)
def test_read_task_link_to_host_that_is_no_name_is_none(host: str) -> None:
    for path in ("v.mp4", "v1/videos/t/content"):
        link = read_task_link(f"https://{host}/{path}", GATEWAY, {"t"})
        assert link in (None, "https://gateway.example/prefix/v1/videos/t/content")
        assert link is None or path != "v.mp4"


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1.cdn.example", "localhost.cdn.example", "cdn%2Eexample", "xn--fsq.example"),
        *(
            "例子.example",
            "127x.example",
            "[64:ff9b::808:808]",
            "[2606:4700::7f00:1]",
            "a%00b.example",
        ),
        *("straße.example", "münchen.example", "עברית.example", "i❤.example", "ไทย.example"),
    ],
)
def test_read_task_link_to_other_host_that_looks_odd_stays_as_it_is(host: str) -> None:
    link = f"https://{host}/v.mp4"

    assert read_task_link(link, GATEWAY, {"t"}) == link


@pytest.mark.parametrize("host", ["ⓖateway.example", "gateway。example", "gateway%2eexample"])
def test_gateway_in_other_spelling_does_not_get_the_key(host: str) -> None:
    assert not needs_key(f"https://{host}/v.mp4", GATEWAY)


def test_read_task_link_to_loopback_is_kept_for_gateway_on_loopback() -> None:
    link = "http://127.0.0.1:8001/videos/t.mp4"

    assert read_task_link(link, "http://localhost:8001", {"t"}) == link


@pytest.mark.parametrize(
    ("task_id", "segment"),
    [("grok:t/1", "grok%3At%2F1"), ("..", "%2E%2E"), (".", "%2E"), ("a.b?#%", "a.b%3F%23%25")],
)
def test_task_id_is_quoted_as_one_path_segment(task_id: str, segment: str) -> None:
    assert path_segment(task_id) == segment
    assert content_url(GATEWAY + "/", task_id) == f"{GATEWAY}/v1/videos/{segment}/content"
    assert is_content_url(content_url(GATEWAY, task_id))
