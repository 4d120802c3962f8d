"""Names of fields in a response: the words of a name decide what the field may hold."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice

from octovid_django.redaction import without_keys
from octovid_django.values import Json

_MAX_NAME = 100
_MAX_NAMES = 1_000
_MAX_TEXT = 16 * 1024
_MAX_PARTS = 500
"""The most values of JSON within a string, which ``body`` does not count."""

_BOX_WORDS = (
    *("content", "data", "output", "result", "creation", "video", "generation", "response"),
    *("metadata", "generated", "generate", "sample", "asset", "work", "file"),
    *("task", "json", "base", "resp"),
)
"""The names of boxes consist of these words alone, the likeliest first; so no input is a box."""
_LINK_WORDS = ("result", "video", "", "output", "content", "download")
"""The words before "url" or "uri", or none, the best first: a result may be an enhanced video."""
LINK_RANKS = len(_LINK_WORDS)


def snake_case(name: str) -> str:
    """Return ``videoUrls`` and ``video-urls`` as ``video_urls``."""
    return name if len(name) > _MAX_NAME else _snake_case(name)


@lru_cache(maxsize=1024)
def _snake_case(name: str) -> str:
    return re.sub("[ -]", "_", re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name)).lower()


def fields_of(value: Mapping[str, Json]) -> dict[str, Json]:
    """Return the fields of an object by their names in snake case; of equal ones, the first."""
    fields: dict[str, Json] = {}
    for name, field in islice(value.items(), _MAX_NAMES):
        fields.setdefault(snake_case(name), field)
    return fields


def opened(value: Json) -> Json:
    """Return the JSON object that a string holds, without keys; any other value unchanged."""
    if not isinstance(value, str) or not value.startswith("{") or len(value) > _MAX_TEXT:
        return value
    if sum(map(value.count, "[{,")) > _MAX_PARTS:
        return value
    try:
        return without_keys(json.loads(value))
    except (ValueError, RecursionError):
        return value


def box_names(fields: Mapping[str, Json]) -> list[str]:
    """Return the names of the boxes in an object, the likeliest first.

    A box may hold what was generated for a task: an object, a list of objects, or the link.
    """
    ranks = {name: _rank(_words(name[:_MAX_NAME]), _BOX_WORDS) for name in fields}
    return sorted((name for name in fields if ranks[name] >= 0), key=lambda name: ranks[name])


def link_rank(name: str) -> int:
    """Return the rank of a link by its name, 0 for the best; -1 where it is not one to a video."""
    *words, last = _words(name[:_MAX_NAME])
    return _rank(tuple(words) or ("",), _LINK_WORDS) if last in ("url", "uri") else -1


def _rank(words: tuple[str, ...], known: tuple[str, ...]) -> int:
    ranks = [known.index(word) if word in known else -1 for word in words]
    return -1 if min(ranks, default=-1) < 0 else min(ranks)


@lru_cache(maxsize=1024)
def _words(name: str) -> tuple[str, ...]:
    """The words of a name in snake case, in the singular."""
    return tuple(word.removesuffix("s") for word in name.split("_"))
