"""Texts without the API key and without what opens a video, for rows, logs, pages and terminals.

Whoever has the query of a signed link has the video, and a link turns up in many texts: in what
the gateway says, in what a database refuses, in the error of a receiver that could not fetch it.
``redact`` takes out what looks like a secret, whatever surrounds it, and every part of links that
are known to belong to the text. Each step reads the text a fixed number of times.
"""

from __future__ import annotations

import html
import json
import re
import traceback
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings

MAX_LINE = 500
"""Characters of a line that is kept."""
SHORTEST_KEY = 8
"""Characters of a key. A shorter one is no secret, and cannot be redacted: it may be part of any
word."""

_MAX_READ = 16 * MAX_LINE
"""Characters that are read for one line: what is behind them can only be cut off."""
_MAX_SECRET = 300
"""Characters of a key."""
_MAX_TRACEBACK_LINES = 100
_SHORTEST_PART = 6
_MAX_PARTS = 64
"""Parts of one link, and links of one JSON value, that are looked for."""
_CUT = "?…"

_Json = Any


def redact(text: str, links: Iterable[str] = ()) -> str:
    """Return ``text`` without secrets.

    Args:
        text: Any text; the time that this takes grows with its length, and no faster.
        links: Links that must not stand in it, whole or in parts, such as a task's video link.

    Returns:
        The text without the keys of ``OCTOVID`` in whatever spelling, the queries of links,
        the values of parameters that are known to be secret, long random tokens, and ``links``.
    """
    text = redact_keys(text)
    for part, instead in _parts_of_links(tuple(links)):
        text = text.replace(part, instead)
    text = _USER_INFO.sub(r"\1…@", text)
    text = _WORD.sub(_without_query, text)
    text = _NAMED_SECRET.sub(r"\1…", text)
    return _TOKEN.sub(_shortened, text)


def redact_keys(text: str) -> str:
    """Return ``text`` with ``***`` for every key of ``OCTOVID``, however it is spelled."""
    for key in _keys():
        text = _spellings(key).sub("***", text)
    return text


def one_line(text: str, links: Iterable[str] = ()) -> str:
    """Return ``text``, redacted, as one short line that a terminal can print.

    Args:
        text: Any text. Of a long one, only the beginning is read.
        links: As of ``redact``.
    """
    line = " ".join(printable(redact(_beginning(text, _MAX_READ), links)).split())
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…"


def traceback_text(error: BaseException, links: Iterable[str] = ()) -> str:
    """Return the traceback of ``error``, redacted, for a log: a record with the error itself
    would show its text, and in some handlers the variables of its frames.

    Args:
        error: Whose traceback.
        links: As of ``redact``.
    """
    lines = "".join(traceback.format_exception(error)).split("\n")
    kept = [_beginning(line, 2 * MAX_LINE) for line in lines[-_MAX_TRACEBACK_LINES:]]
    return printable_lines(redact("\n".join(kept), links))


def printable(text: str) -> str:
    """Return ``text`` with a blank for each character that a terminal obeys or cannot print.

    A line break is one of them; ``printable_lines`` keeps those.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def printable_lines(text: str) -> str:
    """Return ``text`` line by line as ``printable`` has it."""
    return "\n".join(map(printable, text.split("\n")))


def links_in(value: _Json) -> list[str]:
    """Return the links that stand in a JSON value, such as the payload of a task."""
    found: list[str] = []
    pending = [value]
    while pending and len(found) < _MAX_PARTS:
        item = pending.pop()
        if isinstance(item, dict):
            pending += item.values()
        elif isinstance(item, list):
            pending += item
        elif isinstance(item, str) and _LINK.match(item):
            found.append(item)
    return found


def _beginning(text: str, length: int) -> str:
    """Not up to the middle of a secret: nobody recognises it by its first half."""
    if len(text) <= length:
        return text
    last_word = _WORD.search(text[:length][::-1])
    return text[: length - min(len(last_word[0]) if last_word else 0, _MAX_SECRET)]


# Keys.


def _keys() -> Iterator[str]:
    """The keys in ``OCTOVID``, whatever else is wrong there."""
    configured = getattr(settings, "OCTOVID", None)
    values = [configured.get("API_KEY")] if isinstance(configured, Mapping) else [configured]
    for value in values:
        if isinstance(value, str) and len(value.strip()) >= SHORTEST_KEY:
            yield value.strip()


@lru_cache(maxsize=32)
def _spellings(key: str) -> re.Pattern[str]:
    """What matches ``key`` in any case, quoted for URLs, HTML, JSON or Python, and in base64."""
    spelled = "".join(f"(?:{'|'.join(_spellings_of_char(char))})" for char in key)
    first = re.escape("".join({*"%&\\", key[0].lower(), key[0].upper()}))
    encoded = {text for text in _in_base64(key) if len(text) >= SHORTEST_KEY}
    return re.compile("|".join([f"(?=[{first}]){spelled}", *map(re.escape, sorted(encoded))]))


def _spellings_of_char(char: str) -> list[str]:
    found = []
    for each in dict.fromkeys((char, char.lower(), char.upper())):
        number = ord(each)
        hexadecimal = "".join(
            f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{number:02x}"
        )
        named = html.escape(each)
        found += [
            re.escape(each),
            f"%(?:25)*{hexadecimal}",
            f"&#0*{number};",
            f"&#[xX]0*{hexadecimal};",
            rf"\\{{1,4}}(?:u00|x){hexadecimal}",
            *([re.escape(named)] if named != each else []),
            *([rf"\\{{1,4}}{re.escape(each)}"] if each in "\"'\\/" else []),
        ]
    return found


def _in_base64(key: str) -> Iterator[str]:
    """How ``key`` stands in base64 behind 0, 1 or 2 other bytes of a group of three."""
    for before in range(3):
        raw = b"\0" * before + key.encode()
        text = b64encode(raw).decode()
        whole = text[(before * 8 + 5) // 6 : len(raw) * 8 // 6]
        yield whole
        yield whole.replace("+", "-").replace("/", "_")


# What looks like a secret.

_LINK = re.compile(r"\s*(?:[a-zA-Z][a-zA-Z0-9+.-]{0,20}:)?(?:\\?/){1,2}[^\s/]")
_ORIGIN = re.compile(r"https?://[\w.:-]{1,100}")
_WORD = re.compile(r"\S+")
_CLOSING = "\"'<>()[]{},.;:!…"
_QUERY = re.compile(
    r"(?:\?|%(?:25)*3[fF]|&#63;|\\u003[fF])"  # a question mark, however it is quoted
    r"|[#;&](?=[\w.%-]{1,64}=)"
    r"|(?<=/)#|(?<=\w)#(?=[\w/])"
)
_USER_INFO = re.compile(r"((?:\\?/){2})[^/\\@\s]*@")
_NAMES = (
    r"x-(?:tos|amz|oss|goog|cos|ms|bce|obs|kss|ks|security)-[\w-]{1,40}"
    r"|(?:[a-z]{1,12}[_-]?)?(?:token|signature|secret|passw(?:or)?d|credentials?|hmac)"
    r"|(?:access|api|auth|secret|private|account|public)?[_-]?key(?:[_-]?(?:pair)?[_-]?id)?"
    r"|(?:oss|aws|google)access(?:key)?id|authorization|auth|sig|sign|pwd|policy|expires"
)
_NAMED_SECRET = re.compile(
    rf"(?i)(?<![\w-])"
    rf"((?:(?:{_NAMES})[\"']?\s?(?:=|%3d)\s?[\"']?"  # sig=…
    rf"|(?:{_NAMES})[\"']?\s?:\s?[\"']?(?=[^\s\"'&,;]{{0,64}}\d)(?=[^\s\"'&,;]{{12}})"  # sig: …
    rf"|bearer\s(?=[^\s\"'&,;]{{6}})))"
    rf"[^\s\"'&,;<>]+"
)
_TOKEN = re.compile(
    r"(?i)(?P<id>(?<![a-z0-9])(?:(?:task|video|cgt|req|request|trace)[_:-][a-z0-9]{1,64}(?![a-z0-9])"
    r"|request[ _-]?id\W{1,4}[\w-]{1,80}))"
    r"|(?P<jwt>eyj[\w-]{8,}\.[\w.-]+)|[a-z0-9_+~=-]{24,}"
)
_RANDOM = re.compile(r"[A-Za-z0-9]{20,}")


def _without_query(match: re.Match[str]) -> str:
    word = match[0]
    body = word.rstrip(_CLOSING)
    query = _QUERY.search(body)
    if query is None or query.end() == len(body):
        return word
    before = body[: query.start()]
    is_link = any(mark in before for mark in "/.:%") or not before.strip(_CLOSING)
    if not is_link and "=" not in body[query.end() :]:
        return word  # a question, not a query
    return before + _CUT + word[len(body) :]


def _shortened(match: re.Match[str]) -> str:
    """The beginning of a long random token; an id, a word and a number stay as they are."""
    token = match[0]
    run = _RANDOM.search(token)
    is_random = run is not None and not run[0].isdecimal() and not run[0].isalpha()
    is_random = bool(match["jwt"]) or is_random or (run is not None and _changes_case(run[0]))
    if match["id"] or not is_random:
        return token
    return f"{token[:4]}…"


def _changes_case(letters: str) -> bool:
    """Whether capitals stand among ``letters`` as they do in no word."""
    changes = sum(a.islower() and b.isupper() for a, b in pairwise(letters))
    return changes > len(letters) // 6


# Known links.


@lru_cache(maxsize=64)
def _parts_of_links(links: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """All that must not be left of ``links``, the longest first, and what stands there instead."""
    parts: dict[str, str] = {}
    for link in filter(None, links[:_MAX_PARTS]):
        parts |= dict.fromkeys(_parts(link), "…")
        parts |= dict.fromkeys(_spellings_of_part(link), _origin(link) + "/…")
    return tuple(sorted(parts.items(), key=lambda item: (-len(item[0]), item)))


def _origin(link: str) -> str:
    found = _ORIGIN.match(link)
    return found[0] if found else ""


def _parts(link: str) -> set[str]:
    try:
        path, query, fragment = urlsplit(link)[2:]
    except ValueError:
        path, query, fragment = "", link.partition("?")[2], ""
    fields = [field for field in re.split("[&;]", query) if field][:_MAX_PARTS]
    values = [field.partition("=")[2] or field for field in fields]
    segments = [each for each in path.split("/")[:_MAX_PARTS] if _RANDOM.search(each)]
    # A short number may stand anywhere.
    values = [each for each in values if not (each.isdecimal() and len(each) < 8)]
    pieces = (f"{path}?{query}", path, query, fragment, *values, *segments)
    return {spelling for piece in pieces for spelling in _spellings_of_part(piece)}


def _spellings_of_part(part: str) -> set[str]:
    if len(part) < _SHORTEST_PART:
        return set()
    return {
        *(part, unquote(part), quote(part, safe=""), quote(part), html.escape(part)),
        *(json.dumps(part)[1:-1], part.replace("/", r"\/"), part.replace("&", r"\u0026")),
    }
