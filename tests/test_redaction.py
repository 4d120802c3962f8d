"""What is redacted in a text before it is stored or shown, and what an operator still reads."""

from __future__ import annotations

import base64
import html
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octovid_django.redaction import (
    MAX_LINE,
    links_in,
    one_line,
    printable_lines,
    redact,
    traceback_text,
)

KEY = "sk-0123456789+/<abcdef"
SIGNATURE = "5ec4e7"
TOKEN = "Zx81kQpLm29dTz7Yc0Vb4Nq6WsaB3"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJVadQssw5c"
LINK = f"https://cdn.example/made/v.mp4?X-Tos-Signature={SIGNATURE}&X-Tos-Expires=43200"


@pytest.fixture(autouse=True)
def key(configure: Callable[..., None]) -> None:
    configure(API_KEY=KEY)


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda key: key,
    "upper": str.upper,
    "quoted": lambda key: quote(key, safe=""),
    "quoted_twice": lambda key: quote(quote(key, safe=""), safe=""),
    "every_char_quoted": lambda key: "".join(f"%{ord(char):02X}" for char in key),
    "html": html.escape,
    "html_numbers": lambda key: "".join(f"&#{ord(char)};" for char in key),
    "html_names": lambda key: key.replace("+", "&plus;").replace("/", "&sol;"),
    "html_numbers_without_semicolons": lambda key: "".join(f"&#{ord(char)}" for char in key),
    "percent_u": lambda key: "".join(f"%u{ord(char):04x}" for char in key),
    "script_code_points": lambda key: "".join(f"\\u{{{ord(char):x}}}" for char in key),
    "script_octal": lambda key: "".join(f"\\{ord(char):03o}" for char in key),
    "quoted_printable": lambda key: "".join(f"={ord(char):02X}" for char in key),
    "html_hex": lambda key: "".join(f"&#x{ord(char):X};" for char in key),
    "json": lambda key: json.dumps(key).replace("/", r"\/"),
    "json_escapes": lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64_header": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "base64_inside": lambda key: base64.b64encode(f"a:{key}:b".encode()).decode(),
    "base64_for_urls": lambda key: base64.urlsafe_b64encode(f"ab{key}".encode()).decode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_key_in_any_encoding_is_redacted(encoding: str) -> None:
    encoded = ENCODINGS[encoding](KEY)

    redacted = redact(f"no access for {encoded} here")

    assert "***" in redacted
    assert encoded[4:-4] not in redacted
    assert redacted.startswith("no access for ")
    assert redacted.endswith(" here")


@pytest.mark.parametrize(
    "text",
    [
        f"see {LINK}",
        f"HTTPS://cdn.example/v.mp4?X-Tos-Signature={SIGNATURE}",
        f"https://cdn.example/v'a.mp4?name='a&sig={SIGNATURE}",
        f'https://cdn.example/"v".mp4?sig={SIGNATURE}',
        f"/v1/files/a?sig={SIGNATURE}",
        f"cdn.example/v.mp4?sig={SIGNATURE}",
        f"v.mp4?{SIGNATURE}",
        f"//cdn.example/v.mp4?{SIGNATURE}",
        rf"https:\/\/cdn.example\/v.mp4?sig={SIGNATURE}",
        f"https%3A%2F%2Fcdn.example%2Fv.mp4%3Fsig%3D{SIGNATURE}",
        f"https%253A%252F%252Fcdn.example%252Fv.mp4%253Fsig%253D{SIGNATURE}",
        f"https://cdn.example/v.mp4;token={SIGNATURE}",
        f"https://cdn.example/v.mp4#{SIGNATURE}",
        f"https://cdn.example/v.mp4&amp;sig={SIGNATURE}",
        f"https://user:{SIGNATURE}@cdn.example/v.mp4",
        f"redis://:{SIGNATURE}@127.0.0.1:6379/0",
        f"https://cdn.example/{TOKEN}/v.mp4",
        f"https://cdn.example/v.mp4;{TOKEN}",
        f"https://cdn.example/{JWT}/v.mp4",
        f"the token is {TOKEN}",
        f"signature={SIGNATURE}",
        f"X-Amz-Signature: {SIGNATURE}a1b2c3d4",
        f"Authorization: Bearer {SIGNATURE}",
        f'{{"url":"https://cdn.example/v.mp4?sig={SIGNATURE}","status":"failed"}}',
        f"(https://cdn.example/v.mp4?sig={SIGNATURE})",
        f"看https://cdn.example/v.mp4?sig={SIGNATURE}。",
        f"https://cdn.example/v.mp4&#x3f;a&#x3d;{SIGNATURE}",
        f"https://cdn.example/v.mp4&quest;{SIGNATURE}",
        f"https://cdn.example/v.mp4%23{SIGNATURE}",
        rf"https:\u002f\u002fcdn.example/v.mp4\u003fsig\u003d{SIGNATURE}",
        f"https://cdn.example/v.mp4？sig＝{SIGNATURE}",
        f"https://cdn.example/v.mp4?a='x',&b={SIGNATURE}",
        f"https://cdn.example/a1b2c3d4e5f6{SIGNATURE}/v.mp4",
        rf"X-Tos-Signature\u003d{SIGNATURE}",
        f"X-Tos-Signature%253D{SIGNATURE}",
        f"X-Tos-Sig\u200bnature={SIGNATURE}",
        f"x_tos_signature={SIGNATURE}",
        f"sig=a'{SIGNATURE}",
        f"sig=a,{SIGNATURE}",
        f"sig=a;{SIGNATURE}",
        f"sig=a&amp;b={SIGNATURE}",
        f"cookie: sessionid={SIGNATURE}",
        f"{{'X-Tos-Signature': ['{SIGNATURE}']}}",
        f"('X-Tos-Signature', '{SIGNATURE}')",
        f'{{"token": "{SIGNATURE}"}}',
        rf"{{\"token\":\"{SIGNATURE}\"}}",
        f"Bearer%20{SIGNATURE}abc",
        f"https://user:a@{SIGNATURE}@cdn.example/v.mp4",
        f"user:{SIGNATURE}@cdn.example/v.mp4",
        f"https%3A%2F%2Fuser%3A{SIGNATURE}%40cdn.example%2Fv.mp4",
    ],
)
def test_secret_in_any_surrounding_is_redacted(text: str) -> None:
    redacted = redact(text)

    assert "…" in redacted
    assert SIGNATURE not in redacted
    assert TOKEN not in redacted
    assert not [part for part in JWT.split(".") if part in redacted]


@pytest.mark.parametrize(
    "text",
    [
        "The prompt was refused by the channel.",
        "failed? yes: why?",
        "失败?请重试。",
        "cgt-20260412163502-x8k2m",
        "sora-2:task_01k9abcdefghjkmnpqrstvwx",
        "grok:05c8a1b2-0000-4a2b-9c3d-1234567890ab",
        "quota exhausted (request id: 20260412163502123456789aBcDeFgH)",
        "https://octopusx.ai/v1/video/generations/cgt-20260412163502-x8k2m",
        "Invalid URL (GET /v1/video/generation)",
        "This token has no access to model doubao-seedance-2-0-260128",
        "Invalid token: expired",
        "issue #7, total_tokens=108900",
        "HTTPSConnectionPool(host='cdn.example', port=443): Max retries exceeded with url:",
        'File "/usr/lib/python3.11/site-packages/requests/adapters.py", line 700, in send',
        'Check OCTOVID["API_KEY"] and its quota',
        "DETAIL: Failing row contains (1, https://cdn.example/v, null).",
        "request_id: 4f9c0a1b2c3d4e5f60718293a4b5c6d7",
        "trace id 4f9c0a1b2c3d4e5f60718293a4b5c6d7",
        "https://octopusx.ai/v1/videos/task_01k9abcdefghjkmnpqrstvwxyz/content",
        "https://d1a2b3c4d5e6f7.cloudfront.net/doubao-seedance-1-0-pro/021775908082123/v.mp4",
        "tests.test_shop.TestH264Video.<locals>.AttachVideoToProductAndMailTheCustomer",
        "unexpected content type text/html;charset=utf-8",
        "expires: 2026-04-12T16:35:02Z, at 20260412T163502Z",
        "Invalid Bearer token provided",
        "password: must have 8 characters",
        "x=1&y=2, if a&b=c, 100%25?",
    ],
)
def test_text_without_secret_is_unchanged(text: str) -> None:
    assert redact(text) == text


def test_link_loses_its_query_and_the_text_around_it_stays() -> None:
    text = f'see "{LINK}#t=1", then http://a/#b'

    assert redact(text) == 'see "https://cdn.example/made/v.mp4?…", then http://a/?…'


@pytest.mark.parametrize(
    "part",
    [
        LINK,
        LINK.partition("?")[2],
        LINK.removeprefix("https://cdn.example"),
        SIGNATURE,
        "/made/v.mp4",
        quote(LINK, safe=""),
        html.escape(LINK),
        json.dumps(LINK).replace("/", r"\/"),
    ],
)
def test_known_link_is_redacted_whole_and_in_parts(part: str) -> None:
    redacted = redact(f"cannot fetch {part} now", [LINK])

    assert SIGNATURE not in redacted
    assert "/made/" not in redacted
    assert redacted.startswith("cannot fetch ")
    assert redacted.endswith(" now")


@pytest.mark.parametrize(
    "part",
    [
        "ab/cd+ef==",
        "ab%2fcd%2bef%3d%3d",
        json.dumps(json.dumps({"sign": "ab/cd+ef=="})),
        "s3cr3t",
        "TOPSECRET",
        "k=s3cr3t&foo=TOPSECRET",
        str({"k": ["s3cr3t"]}),
    ],
)
def test_query_value_of_known_link_is_redacted_in_any_encoding(part: str) -> None:
    link = "https://cdn.example/v.mp4?X-Tos-Sign=ab%2Fcd%2Bef%3D%3D&k=s3cr3t&foo=TOPSECRET"

    redacted = redact(f"bad {part} here", [link])

    assert not [each for each in ("ab/cd", "ab%2fcd", "s3cr3t", "TOPSECRET") if each in redacted]
    assert redacted.startswith("bad ")
    assert redacted.endswith(" here")


@pytest.mark.parametrize(
    "text",
    [
        "the request failed: 1280x720 is no size for sora-2-pro",
        "task cgt-20260412163502-x8k2m: content refused",
    ],
)
def test_ordinary_word_in_known_link_is_not_redacted(text: str) -> None:
    query = "size=1280x720&model=sora-2-pro&task=cgt-20260412163502-x8k2m&a=failed&b=content"

    assert redact(text, [f"https://cdn.example/v.mp4?{query}"]) == text


def test_key_escaped_like_go_json_is_redacted() -> None:
    encoded = html.escape(KEY).replace("&", r"\u0026")

    assert redact(f"no access for {encoded}") == "no access for ***"


def test_key_of_every_account_is_redacted(configure: Callable[..., None]) -> None:
    configure(ACCOUNTS={"second": {"API_KEY": "second-0123456789"}, "wrong": None})

    assert redact(f"{KEY} and second-0123456789") == "*** and ***"


def test_very_long_text_is_truncated_and_redacted() -> None:
    redacted = redact("word " * 100_000 + LINK)

    assert len(redacted) < 300_000
    assert SIGNATURE not in redacted


def test_links_in_payload_are_found() -> None:
    payload = {"content": {"video_url": LINK}, "frames": ["/f/1.png"], "n": 3, "text": "no link"}

    assert sorted(links_in(payload)) == ["/f/1.png", LINK]


def test_link_too_long_to_be_stored_is_not_searched_for() -> None:
    assert links_in({"url": "https://cdn.example/" + "x" * 8_192}) == []


def test_redacting_keeps_nothing_of_texts_and_links_in_memory() -> None:
    redact("what is compiled once")
    tracemalloc.start()
    for number in range(200):
        link = f"https://cdn.example/{number}/v.mp4?" + "&".join(
            f"a{n}=x{n}" * 9 for n in range(99)
        )
        redact(f"cannot fetch {link}", [link])
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert kept < 3_000_000
    assert peak < 10_000_000


@pytest.mark.parametrize(
    "query",
    [
        *("?n=''&ticket=SECRET", "?f='a']'&ticket=SECRET", "?a=','&ticket=SECRET"),
        *(
            "%u003fticket%u003dSECRET",
            r"\u{3f}ticket\u{3d}SECRET",
            r"\U0000003fticket\U0000003dSECRET",
        ),
        *(r"\077ticket\075SECRET", "=3Fticket=3DSECRET", "&#63ticket&#61SECRET"),
        *("%252525253Fticket%252525253DSECRET", "?\nticket=SECRET", "?a=1&\r\n  ticket=SECRET"),
        "?a=1&%u0073ig%u006eature=SECRET",
    ],
)
def test_query_of_link_is_redacted_however_it_is_spelled(query: str) -> None:
    redacted = redact(f"cannot fetch https://cdn.example/v.mp4{query} of today")

    assert "SECRET" not in redacted
    assert redacted.startswith("cannot fetch https://cdn.example/v.mp4")
    assert redacted.endswith(" of today")


def test_text_behind_link_in_compact_json_stays() -> None:
    text = '{"url":"https://cdn.example/v.mp4?sig=1","message":"no quota left"}'

    assert '"message":"no quota left"}' in redact(text)


def test_segment_of_path_of_known_link_is_redacted() -> None:
    assert "Kd8sPq2vL4" not in redact(
        "refused Kd8sPq2vL4", ["https://cdn.example/Kd8sPq2vL4/v.mp4"]
    )


def test_key_of_any_length_is_truncated_nowhere(configure: Callable[..., None]) -> None:
    key = "k0" * 250
    configure(API_KEY=key)

    assert "k0k0" not in one_line(" x" * 3_900 + " " + key)


def test_links_in_payload_are_bounded() -> None:
    assert len(links_in([LINK] * 10_000)) < 100


UNITS = (
    *("http://", "//", "a@", "%25", "%253f", r"\/", "x-amz-a", "sig:", "sig=", "token", "a-"),
    *("aB3", "&#0", "&#x0", "\\", "Bearer ", "?", "request id ", "task_", "https://a:b", ";a"),
    *(
        "'",
        '"',
        '",',
        "key:key:",
        "token[[[",
        "a:@",
        "://",
        "&amp;",
        "a1",
        "&#00000",
        "%2",
        "a1b2-",
    ),
    *(r"\u00", "s", "sk-0123456789", " ", "\n", "é", "=", "-", "#a", "?a="),
)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("function", [redact, one_line])
def test_redaction_time_is_linear_in_text_length(function: Callable[[str], str], unit: str) -> None:
    def seconds(length: int) -> float:
        text = (unit * length)[:length]
        took = []
        for _ in range(3):
            start = time.process_time()
            function(text)
            took.append(time.process_time() - start)
        return min(took)

    seconds(1_000)  # compiles what it needs
    # Quadratic time would be 256 times as long; the second term allows for the clock.
    assert seconds(64_000) < 64 * seconds(4_000) + 0.1


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_one_line_is_short_and_printable_for_any_text(text: str) -> None:
    line = one_line(text)

    assert len(line) <= MAX_LINE
    assert line.isprintable()


@given(st.text(max_size=60), st.text(max_size=60))
def test_key_between_any_texts_is_redacted(before: str, after: str) -> None:
    assert KEY not in redact(before + KEY + after)


@pytest.mark.parametrize("before", range(7_990, 8_010))
def test_key_at_truncation_point_leaves_no_part(before: int) -> None:
    text = " ".join(["https://cdn.example/?" + "a" * (before - 25), KEY])

    assert KEY[:8] not in one_line(text)


@pytest.mark.parametrize(
    "char", ["\x1b", "\x07", "\x9b", "\x85", "\u202e", "\u2066", "\u2028", "\ufeff", "\r", "\t"]
)
def test_terminal_control_character_becomes_blank(char: str) -> None:
    assert printable_lines(f"a{char}b\nc") == "a b\nc"
    assert one_line(f"a{char}\nb") == "a b"


def test_traceback_is_redacted_and_bounded() -> None:
    def fail(depth: int) -> Any:
        if depth:
            return fail(depth - 1)
        raise ValueError(f"cannot fetch {LINK} with {KEY} " + "x" * 1_000_000)

    with pytest.raises(ValueError, match="cannot fetch") as raised:
        fail(200)
    text = traceback_text(raised.value, [LINK])

    assert "in fail" in text
    assert "ValueError: cannot fetch" in text
    assert SIGNATURE not in text
    assert KEY not in text
    assert len(text) < 200_000
