"""What the search box of the list finds.

Words are searched for in ids, reasons and metadata, all of them, as in Django's own search. Also:

- A number is found whole (``105`` is not in ``1051``), and in an id where digits begin.
- ``key: value``, with quotes or without, finds the metadata that says so, at any depth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import islice, takewhile
from typing import Any, TypeAlias, cast

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from octovid_django.models import VideoTask

Tasks: TypeAlias = QuerySet[VideoTask]
WordSearch: TypeAlias = Callable[[Tasks, str], tuple[Tasks, bool]]

METADATA = "metadata_text"
"""The name of the metadata's text, in ``search_fields``."""

MAX_TOKENS, MAX_CHARACTERS = 20, 1_000
"""Of what is typed; the rest is left out, and the page says so."""

_TOKEN = re.compile(
    r"""
    (?P<key> "[^"]+" | '[^']+' | [^\s"'{},:]+ ) \s*:\s*
    (?P<value> "[^"]+" | '[^']+' | [^\s"'{},]+ )
    | "[^"]*" | '[^']*' | \S+
    """,
    re.VERBOSE,
)
_NUMBER = re.compile("[0-9]+")


class _Conditions:
    """Stands in for a queryset in Django's own search, and keeps what that narrows it by.

    A queryset that is narrowed word by word, and each time by either of two spellings, would hold
    every condition twice for each word: 20 words would be a million of them.
    """

    def __init__(self, model: type[VideoTask]) -> None:
        self.model = model
        self.aliases: dict[str, Any] = {}
        self.condition = Q()

    def alias(self, **aliases: Any) -> _Conditions:
        self.aliases |= aliases
        return self

    def filter(self, *conditions: Q, **lookups: Any) -> _Conditions:
        self.condition &= Q(*conditions, **lookups)
        return self


def is_cut(term: str) -> bool:
    """Whether ``search`` leaves some of ``term`` out."""
    tokens = list(islice(_tokens(term), MAX_TOKENS + 1))
    return len(_searched(term)) < len(tokens)


def search(tasks: Tasks, term: str, by_words: WordSearch) -> tuple[Tasks, bool]:
    """Return the ``tasks`` that ``term`` finds, and whether some may be in it twice.

    Args:
        tasks: Where to search.
        term: What a person typed.
        by_words: Django's own search.
    """
    found, has_duplicates = Q(), False
    aliases: dict[str, Any] = {METADATA: Cast("metadata", TextField())}

    def says(words: str) -> Q:
        nonlocal has_duplicates
        says = Q()
        for spelling in (words, *_escaped(words)):
            conditions = _Conditions(tasks.model)
            has_duplicates |= by_words(cast("Tasks", conditions), spelling)[1]
            aliases.update(conditions.aliases)
            says |= conditions.condition
        return says

    for token in _searched(term):
        if token["key"]:
            pair = _has_pair(_bare(token["key"]), _bare(token["value"]))
            # Without blanks and quotes it may be an id.
            found &= pair if re.search(r"[\s\"']", token[0]) else says(token[0]) | pair
        else:
            found &= says(token[0])
            if _NUMBER.fullmatch(token[0]):
                found &= _holds_number(token[0])
    return tasks.alias(**aliases).filter(found), has_duplicates


def _searched(term: str) -> list[re.Match[str]]:
    """The tokens that are searched for: the first ones, each as a whole."""
    first = islice(_tokens(term), MAX_TOKENS)
    return list(takewhile(lambda token: token.end() <= MAX_CHARACTERS, first))


def _tokens(term: str) -> Iterator[re.Match[str]]:
    found = _TOKEN.finditer(term.strip().strip("{}"))
    return (token for token in found if token[0] != ",")


def _escaped(text: str) -> Iterator[str]:
    """How JSON may write ``text``: some databases keep the escapes it was written with."""
    if not text.isascii():
        yield json.dumps(text)[1:-1]


def _bare(text: str) -> str:
    return text[1:-1] if text[0] in "\"'" else text


def _has_pair(key: str, value: str) -> Q:
    """Whether the metadata says ``key: value``, or the id or the reason holds both."""
    says = Q()
    for name in ("task_id", "fail_reason"):
        says |= Q(**{f"{name}__icontains": f"{key}:"}) & Q(**{f"{name}__icontains": value})
    pattern = rf'"?{value}("|[^0-9.]|$)' if _NUMBER.fullmatch(value) else None
    for written_key in (key, *_escaped(key)):
        for written_value in (value, *_escaped(value)):
            value_pattern = pattern or f'"?[^"]*{re.escape(written_value)}'
            says |= Q(**{f"{METADATA}__iregex": f'"{re.escape(written_key)}": ?{value_pattern}'})
    return says


def _holds_number(number: str) -> Q:
    """Whether a text that holds the digits holds them as a number; those that do not may stay."""
    begins, ends = "(^|[^0-9])", "([^0-9]|$)"
    is_number = Q(task_id__regex=begins + number)
    are_digits = Q(task_id__contains=number)
    for name in ("fail_reason", METADATA):
        is_number |= Q(**{f"{name}__regex": begins + number + ends})
        are_digits |= Q(**{f"{name}__contains": number})
    return is_number | ~are_digits
