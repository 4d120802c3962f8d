"""What the search box of the list finds.

Words are looked for in ids, reasons and metadata, all of them, as in Django's own search. Besides:

- A number is found whole (``105`` is not in ``1051``), and in an id where digits begin.
- ``key: value``, with quotes or without, finds the metadata that says so, at any depth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from octovid_django.models import VideoTask

Tasks: TypeAlias = QuerySet[VideoTask]
WordSearch: TypeAlias = Callable[[Tasks, str], tuple[Tasks, bool]]

METADATA = "metadata_text"
"""The name of the metadata's text, in ``search_fields``."""

_TOKEN = re.compile(
    r"""
    (?P<key> "[^"]+" | '[^']+' | [^\s"'{},:]+ ) \s*:\s*
    (?P<value> "[^"]+" | '[^']+' | [^\s"'{},]+ )
    | "[^"]*" | '[^']*' | \S+
    """,
    re.VERBOSE,
)
_NUMBER = re.compile("[0-9]+")


def search(tasks: Tasks, term: str, by_words: WordSearch) -> tuple[Tasks, bool]:
    """Return the ``tasks`` that ``term`` finds, and whether some may be in it twice.

    Args:
        tasks: Where to look.
        term: What a person typed.
        by_words: Django's own search.
    """
    tasks = tasks.alias(**{METADATA: Cast("metadata", TextField())})
    has_duplicates = False
    for token in _TOKEN.finditer(term.strip().strip("{}")):
        if token["key"]:
            with_pair = tasks.filter(_has_pair(_bare(token["key"]), _bare(token["value"])))
            if re.search(r"[\s\"']", token[0]):
                tasks = with_pair
                continue
            found, is_doubled = _by_words(tasks, token[0], by_words)  # it may be an id
            tasks, has_duplicates = found | with_pair, has_duplicates or is_doubled
        elif token[0] != ",":
            tasks, is_doubled = _by_words(tasks, token[0], by_words)
            has_duplicates |= is_doubled
            if _NUMBER.fullmatch(token[0]):
                tasks = tasks.filter(_holds_number(token[0]))
    return tasks, has_duplicates


def _by_words(tasks: Tasks, words: str, by_words: WordSearch) -> tuple[Tasks, bool]:
    found, has_duplicates = by_words(tasks, words)
    for escaped in _escaped(words):
        found |= by_words(tasks, escaped)[0]
    return found, has_duplicates


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
