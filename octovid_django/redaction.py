"""Redaction: removing keys, and the queries of signed links, from rows, logs, pages, terminals.

The query of a signed link opens the video, and a link turns up in many texts: in responses, in the
errors of databases, in the error of a receiver that could not fetch it. ``redact`` removes what
looks like a secret, whatever surrounds it, and every part of the links that it is given: from the
text as it stands, and from the text once escapes are undone. Each step reads the text a fixed
number of times.
"""

from __future__ import annotations

import re
import traceback
from base64 import b64encode
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from html.entities import html5
from itertools import islice
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings

MAX_LINE = 500
"""The most characters of one line."""
SHORTEST_KEY = 8
"""The fewest characters of a key. A shorter one cannot be redacted: it may be part of any word."""

_MAX_TEXT = 256 * 1024
"""The most characters that are read of a text, such as a page or a log."""
_MAX_READ = 16 * MAX_LINE
"""The most characters that are read for one line: the rest would be cut off anyway."""
_MAX_SECRET = 300
"""The most characters of a secret that is no key."""
_MAX_TRACEBACK_LINES = 100
_SHORTEST_PART = 6
_MAX_PARTS = 64
"""The most parts of one link, and links in one JSON value, that are searched for."""
_MAX_LINK = 8_192
"""The most characters of a link; no longer one is stored."""
_MAX_VALUES = 10_000
"""The most values of JSON that are searched for links."""

_Json = Any


def redact(text: str, links: Iterable[str] = ()) -> str:
    """Return ``text`` without secrets.

    Args:
        text: Any text; this takes time in proportion to its length.
        links: Links to remove, whole and in parts, such as the video link of a task. Of one that
            begins with ``?``, only the query is known.

    Returns:
        The text without the keys of ``OCTOVID`` in any spelling, the queries of links, the values
        of parameters that are known to be secret, long random tokens, and ``links``. Where only an
        escaped secret was found, the other escapes are undone too.
    """
    return Redaction(links).redact(text)


class Redaction:
    """Redacts several texts about the same links.

    Args:
        links: As of ``redact``.
    """

    def __init__(self, links: Iterable[str] = ()) -> None:
        self._links = links

    @cached_property
    def _parts(self) -> tuple[tuple[str, str], ...]:
        return _parts_of_links(self._links)

    def redact(self, text: str) -> str:
        """Do as the function ``redact``."""
        if len(text) < SHORTEST_KEY and _SHORT_WORD.fullmatch(text):
            return text
        return _also_unescaped(_beginning(text, _MAX_TEXT), self._redacted)

    def _redacted(self, text: str) -> str:
        return _redacted(text, self._parts)


def redact_keys(text: str) -> str:
    """Return ``text`` with ``***`` in place of every key of ``OCTOVID``, in any spelling."""
    for key in _keys():
        text = _spellings(key).sub("***", text)
    return text


def without_keys(value: _Json) -> _Json:
    """Return a JSON value with ``***`` in place of every key of ``OCTOVID`` in its strings and
    names, in any spelling, and escaped too.

    Decoding undoes escapes, so what is decoded may hold a key that its text did not show.
    """
    text = "\n".join(_strings(value))
    return value if _also_unescaped(text, redact_keys) == text else _without_keys(value)


def _without_keys(value: _Json) -> _Json:
    if isinstance(value, str):
        return _also_unescaped(value, redact_keys)
    if isinstance(value, dict):
        return {_without_keys(name): _without_keys(item) for name, item in value.items()}
    return [_without_keys(item) for item in value] if isinstance(value, list) else value


def _strings(value: _Json) -> Iterator[str]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            pending += item.keys()
            pending += item.values()
        elif isinstance(item, list):
            pending += item


def _also_unescaped(text: str, redacted: Callable[[str], str]) -> str:
    """``text`` as ``redacted`` returns it, without its escapes where only that shows a secret."""
    as_it_stands = redacted(text)
    unescaped = _unescaped(as_it_stands)
    without_escapes = redacted(unescaped)
    return as_it_stands if without_escapes == unescaped else without_escapes


def one_line(text: str, links: Iterable[str] = ()) -> str:
    """Return ``text``, redacted, as one short line that a terminal can print.

    Args:
        text: Any text. Of a long one, only the beginning is read.
        links: As of ``redact``.
    """
    line = " ".join(printable(redact(_beginning(text, _MAX_READ), links)).split())
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…"


def traceback_text(error: BaseException, links: Iterable[str] = ()) -> str:
    """Return the traceback of ``error``, redacted, for a log.

    A record with the error itself would show its text, and with some handlers the variables of its
    frames.

    Args:
        error: The exception that has the traceback.
        links: As of ``redact``.
    """
    lines = "".join(traceback.format_exception(error)).split("\n")
    kept = [_beginning(line, 2 * MAX_LINE) for line in lines[-_MAX_TRACEBACK_LINES:]]
    return printable_lines(redact("\n".join(kept), links))


def describe(error: BaseException) -> str:
    """Return the type and the text of ``error``, where it has one."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  its __str__ may raise anything
        return type(error).__name__


def printable(text: str) -> str:
    """Return ``text`` with a blank for each character that controls a terminal or is not printable.

    A line break is one of them; ``printable_lines`` keeps those.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def printable_lines(text: str) -> str:
    """Return ``text`` with each of its lines as ``printable`` returns it."""
    return "\n".join(map(printable, text.split("\n")))


def links_in(value: _Json) -> list[str]:
    """Return the links that stand in a JSON value, such as the payload of a task."""
    found: list[str] = []
    pending = deque([value])
    for _ in range(_MAX_VALUES):
        if not pending or len(found) >= _MAX_PARTS:
            break
        item = pending.popleft()
        if isinstance(item, dict):
            pending += item.values()
        elif isinstance(item, list):
            pending += item
        elif isinstance(item, str) and len(item) <= _MAX_LINK and _LINK.fullmatch(item):
            found.append(item.strip())
    return found


def _beginning(text: str, length: int) -> str:
    """The first ``length`` characters, without half a secret, which nothing would recognise."""
    if len(text) <= length:
        return text
    last_word = _WORD.search(text[:length][::-1])
    longest = max(_MAX_SECRET, *map(len, _keys()), 0)
    return text[: length - min(len(last_word[0]) if last_word else 0, longest)]


# Keys.


def _keys() -> Iterator[str]:
    """The keys in ``OCTOVID``, also where the rest of it is wrong."""
    configured = getattr(settings, "OCTOVID", None)
    values = [configured]
    if isinstance(configured, Mapping):
        accounts = configured.get("ACCOUNTS")
        each = accounts.values() if isinstance(accounts, Mapping) else ()
        values = [
            account.get("API_KEY")
            for account in (configured, *each)
            if isinstance(account, Mapping)
        ]
    for value in values:
        if isinstance(value, str) and len(value.strip()) >= SHORTEST_KEY:
            yield value.strip()


_ENTITIES: dict[str, list[str]] = defaultdict(list)
"""By a character, its names in HTML."""
for _name, _character in html5.items():
    _ENTITIES[_character].append(_name)
_PERCENT, _AMPERSAND = r"(?:%|\\{1,4}u0025)", r"(?:&|\\{1,4}u0026)"
"""Also as JSON may escape them within a text that is quoted already."""


@lru_cache(maxsize=32)
def _spellings(key: str) -> re.Pattern[str]:
    """What matches ``key`` in any case, quoted for URLs, HTML, JSON, scripts, mail, or base64."""
    spelled = "".join(f"(?:{'|'.join(_spellings_of_char(char))})" for char in key)
    first = re.escape("".join({*"%&=\\", key[0].lower(), key[0].upper()}))
    encoded = {text for text in _in_base64(key) if len(text) >= SHORTEST_KEY}
    in_base64 = "|".join(
        "".join(c if c.isalnum() else f"(?:{'|'.join(_spellings_of_char(c))})" for c in text)
        for text in sorted(encoded)
    )
    return re.compile(f"(?=[{first}]){spelled}|{in_base64}")


def _spellings_of_char(char: str) -> list[str]:
    found = []
    for each in dict.fromkeys((char, char.lower(), char.upper())):
        number = ord(each)
        hexadecimal = "".join(
            f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{number:02x}"
        )
        names = "|".join(_ENTITIES.get(each, ()))
        found += [
            re.escape(each),
            f"{_PERCENT}(?:25)*(?:u00)?{hexadecimal}",
            f"{_AMPERSAND}#0*{number}(?:;|(?![0-9]))",
            f"{_AMPERSAND}#[xX]0*{hexadecimal}(?:;|(?![0-9a-fA-F]))",
            rf"\\{{1,4}}(?:u00{hexadecimal}|x{hexadecimal}|u\{{0*{hexadecimal}\}}|{number:03o})",
            f"={hexadecimal}",
            *([f"{_AMPERSAND}(?:{names})"] if names else []),
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


# Escapes.

_ESCAPE = re.compile(
    r"(?P<quoted>(?:%[0-9A-Fa-f]{2})+)"
    r"|%u(?P<percent_u>[0-9A-Fa-f]{4})|=(?P<mail>3[DFdf]|2[36Ff])"
    r"|\\{1,4}(?:u(?P<u>[0-9A-Fa-f]{4})|x(?P<x>[0-9A-Fa-f]{2})|(?P<octal>[0-3][0-7]{2})"
    r"|u\{0{0,9}(?P<braced>[0-9A-Fa-f]{1,6})\}|U00(?P<long>[0-9A-Fa-f]{6})|(?P<plain>[\"'/]))"
    r"|&#0{0,9}(?P<decimal>\d{1,7});?|&#[xX]0{0,9}(?P<hexadecimal>[0-9A-Fa-f]{1,6});?"
    r"|&(?P<name>[A-Za-z]{2,12};)"
)
_PERCENT_AGAIN = re.compile("%(?:25)+(?=[0-9A-Fa-fu])")
_MAX_ESCAPED = 3
"""How many times a text may be escaped: a quoted link in JSON in a message is so twice."""
_FULL_WIDTH = {char: char - 0xFEE0 for char in range(0xFF01, 0xFF5F)}


def _unescaped(text: str) -> str:
    """``text`` without URL quoting, HTML, JSON and Python escapes, full width signs and invisible
    characters."""
    text = text.translate(_FULL_WIDTH)
    for _ in range(_MAX_ESCAPED):
        text = _PERCENT_AGAIN.sub("%", text)
        text, count = _ESCAPE.subn(_unescaped_char, text)
        if not count:
            break
    if text.isprintable():
        return text
    return "".join(char for char in text if char.isprintable() or char.isspace())


def _unescaped_char(match: re.Match[str]) -> str:
    kind = match.lastgroup or ""
    value = match[kind]
    if kind == "quoted":
        return unquote(value, errors="replace")
    if kind == "plain":
        return value
    if kind == "name":
        return html5.get(value, match[0])
    number = int(value, {"decimal": 10, "octal": 8}.get(kind, 16))
    return chr(number) if number < 0x110000 else match[0]


# What looks like a secret.

_NAMES = (
    r"x[-_](?:tos|amz|oss|goog|cos|ms|bce|obs|kss|ks|security)[-_](?!request)[\w-]{1,40}"
    r"|[\w-]{0,24}(?:token|signature|secret|passw(?:or)?d|credentials?|hmac|session_?id)"
    r"|[\w-]{0,24}(?:access|api|auth|secret|private|pair)[_-]?key(?:[_-]?(?:pair)?[_-]?id)?"
    r"|(?:[\w-]{0,24}[_-])?(?:key|sig|sign|pwd|auth|authorization|key[_-]pair[_-]id)"
)
_NAME = re.compile(rf"(?i){_NAMES}")
_FIELD = re.compile(rf"(?i)(?<![\w-])({_NAMES})=.+")  # sig=…, and the rest of the word
_LABELLED = re.compile(  # sig: "…", ('sig', '…'), 'sig': ['…']
    rf"(?i)(?<![\w-])"
    rf"((?P<name>{_NAMES})(?:[\"'\\]{{1,6}}\s{{0,4}}[:=,]|\s{{0,4}}[:=])[\s\"'\\\[(]{{0,8}}"
    r"(?:(?:basic|bearer)\s{1,4})?)"
    r"(?:(?<=[\s\"'\\\[(:=,])(?=\S{0,48}\d)|(?=[^\s\"'&,;<>\\]{16}))"
    r"[^\s\"'&,;<>\\]{6,}"
)
_BEARER = re.compile(r"(?i)\b(bearer[\s:+]{1,3})(?=\S{0,64}[\d_/=+-])[\w.~+/=-]{6,}")
_BREAK = re.compile(r"(\s+|[\"'](?=[\])},:.;{\[(\\]*(?:[\"'\s]|$)))")
"""White space, and a closing quote: any other quote is part of a word."""
_WRAPPED = re.compile(r"([?&])[ \t]{0,9}\r?\n[ \t]{0,9}(?=[\w.-]{1,64}=)")
"""A query that a mail or a log has broken into lines."""
_WORD = re.compile(r"\S+")
_CLOSING = "\"'<>()[]{},.;:!?…。\\"
_USER_INFO = re.compile(r"((?:\\?/){2})[^/\\]+@|^[^/@:]{1,64}:[^/]*@(?=[^/@]*/)")
_MARK = re.compile(r"[?#&]|;(?!charset=)")
_TOKEN = re.compile(r"[A-Za-z0-9_+~-]{16,}={0,2}")
_RUN = re.compile(r"[A-Za-z0-9]{16,}")
_STEP = re.compile(r"[A-Za-z][0-9]|[0-9](?=[A-Za-z])")
"""Where letters become digits or digits letters: often in what is random, and rarely elsewhere."""
_ID = re.compile(
    r"(?i)(?:^|[_~+-])(?:task|cgt|video|gen|req|request|resp|trace|job|run|batch|msg|chatcmpl)"
    r"[_-][a-z0-9]{1,64}(?:-[a-z0-9]{1,12})?$"
    r"|^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
)
_ID_LABEL = re.compile(
    r"(?i)(?<![a-z])(?:request|req|task|trace|log|job|operation|generation|span)[\s_-]?ids?"
    r"[\"'\\\s:=(]{1,6}$|(?<![a-z])trace[\"'\s:=]{1,4}$"
)
_TIME = re.compile(r"\d{14}|\d{8}T\d{6}Z$")


def _redacted(text: str, parts: Iterable[tuple[str, str]]) -> str:
    """Return ``text`` without the secrets in it that are not escaped."""
    for part, instead in parts:
        text = text.replace(part, instead)
    text = redact_keys(text)
    text = _BEARER.sub(r"\1…", _LABELLED.sub(r"\1…", _WRAPPED.sub(r"\1", text)))
    words = _BREAK.split(text)
    is_behind_query = False
    for at in range(0, len(words), 2):
        word = words[at]
        if is_behind_query and words[at - 1].isspace():
            is_behind_query = False
        if is_behind_query and _MARK.search(word):
            words[at] = "…"  # the quote before it was part of the query
        else:
            words[at] = _without_query(word)
            is_behind_query = is_behind_query or words[at] != word
    return _TOKEN.sub(_shortened, "".join(words))


def _without_query(word: str) -> str:
    """A word without the secrets of a link, whether or not it looks like one."""
    if "@" in word:
        word = _USER_INFO.sub(lambda match: f"{match[1] or ''}…@", word)
    body = word.rstrip(_CLOSING)
    closing = word[len(body) :]
    at = _query_start(body)
    kept = body if at is None else f"{body[:at]}?…"
    kept = _FIELD.sub(r"\1=…", kept) if "=" in kept else kept
    return kept + (closing if kept is body else closing.lstrip("…"))


def _query_start(body: str) -> int | None:
    first = len(body) - len(body.lstrip(_CLOSING.replace("?", "")))
    path, dot, field = body.find("/"), body.find("."), body.rfind("=")
    for mark in _MARK.finditer(body):
        at = mark.start()
        is_behind_path, has_field = 0 <= path < at, field > at
        if at == len(body) - 1:
            return None
        if mark[0] == "?" and (is_behind_path or has_field or 0 <= dot < at or at == first):
            return at
        if mark[0] == "#" and (is_behind_path or has_field):
            return at
        if mark[0] in "&;" and is_behind_path and has_field:
            return at
    return None


def _shortened(match: re.Match[str]) -> str:
    """The beginning of a long random token; an id, a word and a number stay as they are."""
    token, text = match[0], match.string
    around = text[max(match.start() - 1, 0) : match.end() + 1]
    if not _is_random(token, is_in_path="/" in around or ";" in around):
        return token
    if _ID.search(token) or _ID_LABEL.search(text[max(match.start() - 40, 0) : match.start()]):
        return token
    return f"{token[:4]}…"


def _is_random(token: str, *, is_in_path: bool) -> bool:
    if token.startswith("eyJ"):  # a JSON Web Token
        return True
    shortest = 16 if is_in_path else 20
    runs = (run for run in _RUN.findall(token) if len(run) >= shortest and not _TIME.match(run))
    if any(len(_STEP.findall(run)) >= 3 for run in runs):
        return True
    has_all = len(token) >= 24 and not (token.islower() or token.isupper())
    return has_all and len(_STEP.findall(re.sub("[^A-Za-z0-9]", "", token))) >= 6


# Known links.

_LINK = re.compile(
    r"\s*(?:(?:[a-zA-Z][a-zA-Z0-9+.-]{0,20}:)?(?:\\?/){1,2}[^\s/]\S*|[^\s?]{1,2000}\?\S+)\s*"
)
_ORIGIN = re.compile(r"https?://[\w.:-]{1,100}")
_ORDINARY = re.compile(
    r"[a-z]{1,15}|[A-Z][a-z]{1,15}|\d{1,14}|\d{1,5}[a-zA-Z]{1,2}\d{0,5}|[a-z]{1,4}\d{1,3}"
)
"""A word or a number, such as ``failed``, ``720p``, ``1280x720``, ``h264``."""
_SHORT_WORD = re.compile(rf"(?:{_ORDINARY.pattern}|\d{{1,3}}:\d{{1,3}})?")
"""One of these, or an aspect ratio: a short one holds no secret."""


def _parts_of_links(links: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The parts of ``links`` to remove, the longest first, and what replaces each."""
    parts: dict[str, str] = {}
    for link in filter(None, islice(links, _MAX_PARTS)):
        found = _ORIGIN.match(link)
        for spelling in {link, _unescaped(link)}:
            parts |= dict.fromkeys(_parts(spelling), "…")
            if spelling and not spelling.startswith("?"):
                parts[spelling] = f"{found[0]}/…" if found else "…"
    return tuple(sorted(parts.items(), key=lambda item: (-len(item[0]), item)))


def _parts(link: str) -> set[str]:
    try:
        path = urlsplit(link).path
    except ValueError:
        path = ""
    path, _, parameters = path.partition(";")
    mark = re.search("[?#;]", link)
    query = link[mark.end() :] if mark else ""
    pieces = {f"{path}?{query}" if path else "", query, path, parameters}
    for field in re.split("[?#&;]", query)[:_MAX_PARTS]:
        name, is_pair, value = field.partition("=")
        value = value if is_pair else name
        is_secret = bool(is_pair) and _NAME.fullmatch(name) is not None
        if is_secret or not _is_ordinary(value):
            pieces |= {field, value, value.replace("+", " "), value.rstrip("=")}
    pieces |= {each for each in path.split("/")[:_MAX_PARTS] if not _is_ordinary(each)}
    return {piece for piece in pieces if len(piece) >= _SHORTEST_PART}


def _is_ordinary(value: str) -> bool:
    words = re.findall("[A-Za-z0-9]+", value)
    return bool(_ID.search(value)) or all(map(_ORDINARY.fullmatch, words))
