"""Bodies of responses: bounded before they are built, and otherwise unchanged."""

from __future__ import annotations

import gzip
import html
import json
import re
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octovid_django import body
from octovid_django.body import (
    KEPT_OF_LONG,
    LONG_STRING,
    MAX_NESTING,
    MAX_PARTS,
    MAX_TEXT,
    PIECE_BYTES,
    Outline,
    TooMuch,
    unpacked,
)
from octovid_django.links import read_link
from octovid_django.values import MAX_TEXT as MAX_VALUE_TEXT

CUT = " …"

characters = st.characters(codec="utf-8")
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(characters),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(characters), inner),
)


def outline(*pieces: bytes) -> bytes:
    outline = Outline()
    for piece in pieces:
        outline.feed(piece)
    return outline.close()


def split(data: bytes, ends: list[int]) -> list[bytes]:
    """``data`` in pieces that end there, and here and there."""
    places = sorted({end % (len(data) + 1) for end in ends})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


splits = st.lists(st.integers(0, 2**31), max_size=20)


class TestShortStrings:
    @given(documents, st.booleans(), splits)
    def test_json_with_short_strings_in_any_pieces_is_unchanged(
        self, document: Any, is_ascii: bool, ends: list[int]
    ) -> None:
        sent = json.dumps(document, ensure_ascii=is_ascii).encode()

        assert outline(*split(sent, ends)) == sent

    @given(st.binary(), splits)
    def test_bytes_that_are_no_json_in_any_pieces_are_unchanged(
        self, sent: bytes, ends: list[int]
    ) -> None:
        assert outline(*split(sent, ends)) == sent


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strings that need not be long to be long."""
    monkeypatch.setattr(body, "LONG_STRING", 40)
    monkeypatch.setattr(body, "KEPT_OF_LONG", 20)


texts = st.text(
    st.characters() | st.sampled_from('\\"/\n\x00é中\U0001f3ac\ud83c\udfac'), max_size=60
)


@pytest.mark.usefixtures("small")
class TestLongStrings:
    @given(st.lists(st.dictionaries(texts, texts)), splits)
    def test_only_long_strings_of_document_are_cut(
        self, document: list[dict[str, str]], ends: list[int]
    ) -> None:
        sent = json.dumps(document).encode()
        found = json.loads(outline(*split(sent, ends)), object_pairs_hook=list)

        wanted = json.loads(sent, object_pairs_hook=list)
        for one, other in zip(found, wanted, strict=True):
            for kept, whole in zip(sum(one, ()), sum(other, ()), strict=True):
                assert_is_cut(kept, whole, len(json.dumps(whole)) - 2)

    @given(texts.filter(lambda text: text.isprintable()), splits)
    def test_unescaped_long_string_is_cut_between_characters(
        self, text: str, ends: list[int]
    ) -> None:
        sent = json.dumps(text, ensure_ascii=False).encode()
        kept = json.loads(outline(*split(sent, ends)))

        assert_is_cut(kept, text, len(sent) - 2)

    @given(st.text(st.sampled_from('\\"u0d8c3 {[,]}é'), max_size=200), splits, splits)
    def test_any_pieces_give_same_result_for_json_or_not(
        self, text: str, ends: list[int], others: list[int]
    ) -> None:
        sent = text.encode()

        assert outline(*split(sent, ends)) == outline(*split(sent, others))


def assert_is_cut(kept: str, whole: str, sent_bytes: int) -> None:
    if sent_bytes <= 40:
        assert kept == whole
        return
    assert kept.endswith(CUT)
    beginning = kept.removesuffix(CUT)
    assert whole.startswith(beginning)
    ends = beginning[-1:] + whole[len(beginning) :][:1]
    assert not re.fullmatch("[\ud800-\udbff][\udc00-\udfff]", ends), "a pair is not torn"


class TestBodyBounds:
    def test_longest_allowed_link_is_kept_when_escaped(self) -> None:
        link = "https://cdn.test/?" + "&" * 8_174
        sent = json.dumps(link).replace("&", "\\u0026").encode()

        assert read_link(json.loads(outline(sent)), "") == link

    def test_too_long_link_is_cut_and_no_longer_link(self) -> None:
        for text in ("https://cdn.test/" + "a" * LONG_STRING, "https://cdn.test/" + "é" * 12_000):
            kept = json.loads(outline(json.dumps(text).encode()))

            assert len(kept) < len(text)
            assert read_link(kept, "") is None

    @pytest.mark.parametrize("spell", [str, str.upper, html.escape, quote, json.dumps])
    def test_key_split_by_cut_is_redacted(
        self, configure: Callable[..., None], spell: Callable[[str], str]
    ) -> None:
        key = "sk-0123456789/abc+def&ghi"
        configure(API_KEY=key)
        for before in range(KEPT_OF_LONG - 40, KEPT_OF_LONG + 1, 3):
            text = "." * before + spell(key).strip('"') + "." * LONG_STRING
            kept = outline(b'"' + text.encode() + b'"').decode()

            assert re.fullmatch(r'"\.+\**\.* \\u2026"', kept), kept[-60:]

    def test_string_of_repeated_keys_is_redacted_entirely(
        self, configure: Callable[..., None]
    ) -> None:
        key = "sk-" + "0123456789abcdef" * 10
        configure(API_KEY=key)
        kept = json.loads(outline(json.dumps(key * 2_000).encode()))

        assert re.fullmatch(r"\** …", kept)

    def test_cut_string_keeps_more_than_task_stores(self) -> None:
        kept = json.loads(outline(json.dumps("a" * LONG_STRING * 2).encode()))

        assert kept == "a" * KEPT_OF_LONG + CUT
        assert len(kept) > MAX_VALUE_TEXT

    @pytest.mark.parametrize(
        ("sent", "reason"),
        [
            (b"[" + b"[]," * MAX_PARTS, "has too many values"),
            (b"1," * (MAX_PARTS + 1), "has too many values"),
            (b'""' * (MAX_PARTS + 1), "has too many values"),
            (b"[" * (MAX_NESTING + 1), "is nested too deeply"),
            (b'{"a":' * (MAX_NESTING + 1), "is nested too deeply"),
            (b" " * (MAX_TEXT + 1), f"is larger than {MAX_TEXT} bytes, long strings aside"),
            (b"1" * (MAX_TEXT + 1), f"is larger than {MAX_TEXT} bytes, long strings aside"),
            ((b'"' + b"a" * LONG_STRING + b'",') * 10, "is larger than"),
        ],
        ids=["lists", "numbers", "strings", "deep", "deep_objects", "blanks", "number", "text"],
    )
    def test_body_beyond_bound_raises_too_much(self, sent: bytes, reason: str) -> None:
        with pytest.raises(TooMuch, match=reason):
            outline(sent)
        with pytest.raises(TooMuch):
            outline(*(sent[at : at + 7] for at in range(0, len(sent), 7)))

    def test_brackets_and_commas_in_string_do_not_count(self) -> None:
        sent = json.dumps("[{," * 20_000).encode()

        assert outline(sent) == sent

    def test_many_very_long_strings_stay_within_bounds(self) -> None:
        picture = b'"' + b"A" * 400_000 + b'",'

        assert len(outline(b"[" + picture * 50 + b"0]")) < MAX_TEXT


class TestGzipBody:
    def test_gzip_body_is_unpacked_in_bounded_pieces(self) -> None:
        sent = b"[]," * 1_000_000
        pieces = list(unpacked([gzip.compress(sent)]))

        assert b"".join(pieces) == sent
        assert max(map(len, pieces)) <= PIECE_BYTES

    @given(st.binary(max_size=1_000), splits)
    def test_gzip_body_in_any_pieces_unpacks_to_original(
        self, sent: bytes, ends: list[int]
    ) -> None:
        assert b"".join(unpacked(split(gzip.compress(sent), ends))) == sent

    def test_bytes_after_end_of_gzip_are_ignored(self) -> None:
        assert b"".join(unpacked([gzip.compress(b"{}") + b"\0" * 100, b"more"])) == b"{}"

    def test_body_that_is_no_gzip_raises_zlib_error(self) -> None:
        with pytest.raises(zlib.error):
            list(unpacked([b"plain text"]))
