"""Names of fields, however a gateway writes them: what they may hold is told by their words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice

from octovid_django.values import Json

_MAX_NAME = 100
_MAX_NAMES = 1_000
_MAX_TEXT = 16 * 1024
_MAX_PARTS = 500
"""Of the JSON in one string: ``body`` has counted nothing in it."""

_BOX_WORDS = (
    *("content", "data", "output", "result", "creation", "video", "generation", "response"),
    *("metadata", "generated", "generate", "sample", "asset", "work", "file"),
    *("task", "json", "base", "resp"),
)
"""A box is named with these words alone, the sooner, the better: so no input is one."""
_LINK_WORDS = ("result", "video", "", "output", "content", "download")
"""The same before "url" or "uri", or nothing: a result may be an enhanced version of the video."""
LINK_RANKS = len(_LINK_WORDS)


@lru_cache(maxsize=1024)
def snake_case(name: str) -> str:
    """Return ``videoUrls`` and ``video-urls`` as ``video_urls``."""
    if len(name) > _MAX_NAME:
        return name
    return re.sub("[ -]", "_", re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name)).lower()


def fields_of(value: Mapping[str, Json]) -> dict[str, Json]:
    """Return the fields of an object by their names in snake case; of two, the first."""
    fields: dict[str, Json] = {}
    for name, field in islice(value.items(), _MAX_NAMES):
        fields.setdefault(snake_case(name), field)
    return fields


def opened(value: Json) -> Json:
    """Return the object that a string is in JSON, and anything else as it is."""
    if not isinstance(value, str) or not value.startswith("{") or len(value) > _MAX_TEXT:
        return value
    if sum(map(value.count, "[{,")) > _MAX_PARTS:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def box_names(fields: Mapping[str, Json]) -> list[str]:
    """Return under which names a task may hold what was made of it, the likeliest first.

    That is an object, a list of such, or the link.
    """
    ranks = {name: _rank(_words(name), _BOX_WORDS) for name in fields}
    return sorted((name for name in fields if ranks[name] >= 0), key=lambda name: ranks[name])


def link_rank(name: str) -> int:
    """Return how good a link of this name is, 0 for the best; -1 where it is none to a video."""
    *words, last = _words(name)
    return _rank(tuple(words) or ("",), _LINK_WORDS) if last in ("url", "uri") else -1


def _rank(words: tuple[str, ...], known: tuple[str, ...]) -> int:
    ranks = [known.index(word) if word in known else -1 for word in words]
    return -1 if min(ranks, default=-1) < 0 else min(ranks)


@lru_cache(maxsize=1024)
def _words(name: str) -> tuple[str, ...]:
    """The words of a name in snake case, in the singular."""
    return tuple(word.removesuffix("s") for word in name[:_MAX_NAME].split("_"))
