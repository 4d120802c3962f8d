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
ASKING = (OctovidAccountError, OctovidTaskError, OctovidTransientError)


@pytest.mark.parametrize("kind", KINDS)
def test_every_text_is_one_readable_line(kind: type[OctovidError]) -> None:
    text = str(kind("a\nb\x00  c " + "!" * 10_000))

    assert text.startswith("a b c !!")
    assert len(text) == 500
    assert text.endswith("…")


@pytest.mark.parametrize("char", ["\ud83c", "\x1b", "\x7f", "\x85", "\u202e", "\u2028", "\ufdd0"])
def test_what_a_database_refuses_or_a_terminal_obeys_is_in_no_text(char: str) -> None:
    link = f"https://cdn.example/v.mp4?Signature=5ec{char}4e7"

    assert str(OctovidError(f"no{char}cats: {link}")) in (
        "no cats: https://cdn.example/v.mp4?…",
        "no cats: https://cdn.example/v.mp4?… 4e7",  # the character ends the link
    )


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_holds_the_secret_part_of_a_link(kind: type[OctovidError]) -> None:
    error = kind('see "https://cdn.example/v.mp4?X-Tos-Signature=5ec4e7#t=1", then http://a/#b')

    assert str(error) == 'see "https://cdn.example/v.mp4?…", then http://a/?…'


def test_asking_fails_by_whose_trouble_it_is_and_by_no_two_at_once() -> None:
    kinds = [kind for kind in KINDS if issubclass(kind, ASKING)]

    assert len(kinds) > len(ASKING)
    for kind in kinds:
        assert sum(issubclass(kind, each) for each in ASKING) == 1


def test_bad_arguments_are_also_what_python_calls_them() -> None:
    assert issubclass(exceptions.OctovidTaskIdError, ValueError)
    assert issubclass(exceptions.OctovidMetadataError, TypeError)
