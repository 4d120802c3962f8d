"""The errors: their texts, without secrets, and the scope of each."""

from __future__ import annotations

import pytest

from octovid_django import exceptions
from octovid_django.exceptions import (
    OctovidAccountError,
    OctovidError,
    OctovidTaskError,
    OctovidTransientError,
)

KINDS = [
    kind
    for kind in vars(exceptions).values()
    if isinstance(kind, type) and issubclass(kind, OctovidError)
]
SCOPES = (OctovidAccountError, OctovidTaskError, OctovidTransientError)


@pytest.mark.parametrize("kind", KINDS)
def test_error_text_is_one_line_of_at_most_500_characters(kind: type[OctovidError]) -> None:
    text = str(kind("a\nb\x00  c " + "!" * 10_000))

    assert text.startswith("a b c !!")
    assert len(text) == 500
    assert text.endswith("…")


@pytest.mark.parametrize("char", ["\ud83c", "\x1b", "\x7f", "\x85", "\u202e", "\u2028", "\ufdd0"])
def test_error_text_contains_no_invalid_or_control_character(char: str) -> None:
    link = f"https://cdn.example/v.mp4?Signature=5ec{char}4e7"

    assert str(OctovidError(f"no{char}cats: {link}")) in (
        "no cats: https://cdn.example/v.mp4?…",
        "no cats: https://cdn.example/v.mp4?… 4e7",  # the character ends the link
    )


@pytest.mark.parametrize("kind", KINDS)
def test_signed_links_in_error_text_are_redacted(kind: type[OctovidError]) -> None:
    error = kind('see "https://cdn.example/v.mp4?X-Tos-Signature=5ec4e7#t=1", then http://a/#b')

    assert str(error) == 'see "https://cdn.example/v.mp4?…", then http://a/?…'


def test_each_request_error_has_exactly_one_scope() -> None:
    kinds = [kind for kind in KINDS if issubclass(kind, SCOPES)]

    assert len(kinds) > len(SCOPES)
    for kind in kinds:
        assert sum(issubclass(kind, each) for each in SCOPES) == 1


def test_argument_errors_are_value_error_and_type_error() -> None:
    assert issubclass(exceptions.OctovidTaskIdError, ValueError)
    assert issubclass(exceptions.OctovidMetadataError, TypeError)
