"""What the body of a response may cost, bounded before anything is built from it.

A few kilobytes on the wire can be megabytes of JSON, and a megabyte of JSON can be a hundred of
Python's objects. So a body is unpacked piece by piece, and each piece passes an ``Outline``, which
keeps of long strings only how they begin, and counts what ``json.loads`` would have to build.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator

from requests import Response

from octovid_django.conf import octovid_settings
from octovid_django.exceptions import OctovidResponseError
from octovid_django.pages import is_page
from octovid_django.redaction import redact_keys

PACKING = "gzip"
"""It makes a thousand bytes of one at most; others, or one in another, know no such bound."""
PIECE_BYTES = 16 * 1024
LONG_STRING = 64 * 1024
"""Bytes of a string as it is sent. A longer one is kept in part: it is no link (``MAX_LINK``), and
too long for a payload."""
KEPT_OF_LONG = 8 * 1024
MAX_TEXT = 512 * 1024
"""Bytes that are kept of a body."""
MAX_PARTS = 30_000
"""Strings (names too), arrays, objects and commas; a response has a hundred or so."""
MAX_NESTING = 100

_CUT = rb" \u2026"
"""Stands for the rest of a long string. With its blank, what is left is no link."""
_QUOTE, _BACKSLASH = b'"', b"\\"
_IN_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
"""What goes on in a string: up to its end, or to a backslash whose other half is yet to come."""
_UNITS = re.compile(rb"(?:[^\\]+|(\\u[dD][89abAB]..)|\\u....|\\[^u])*", re.DOTALL)
"""The whole escapes in the beginning of a string; the group is half of a surrogate pair."""
_LAST_CHARACTER = re.compile(rb"[\xc0-\xff][\x80-\xbf]*\Z")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class TooMuch(Exception):  # noqa: N818  it is no error of ours
    """``json.loads`` should not build this; the text says why, as the end of a sentence."""


def read_body(response: Response) -> bytes:
    """Return the body, as much of it as matters; of an error that is too much, nothing.

    Raises:
        OctovidResponseError: It is larger than ``MAX_RESPONSE_BYTES``, or what ``TooMuch`` says, or
            packed in a way that nobody asked for.
        urllib3.exceptions.HTTPError: It broke off, or did not come in time.
        zlib.error: It cannot be unpacked.
    """
    packing = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packing not in ("identity", PACKING):
        raise OctovidResponseError("the gateway's answer is packed in a way that nobody asked for")
    pieces = _limited(_pieces(response))
    outline = Outline()
    try:
        for piece in _limited(unpacked(pieces)) if packing == PACKING else pieces:
            outline.feed(piece)
    except TooMuch as error:
        if 200 <= response.status_code < 300 and not is_page(response.headers, b""):
            raise OctovidResponseError(f"the gateway's response {error}") from None
        return b""  # the status says enough
    return outline.close()


def _pieces(response: Response) -> Iterator[bytes]:
    # Not by stream() or iter_content(): up to urllib3 2.7 those read lines of any length between
    # chunks. http.client, which read1() leaves them to, does not.
    while piece := response.raw.read1(PIECE_BYTES, decode_content=False):
        yield piece


def _limited(pieces: Iterable[bytes]) -> Iterator[bytes]:
    limit = octovid_settings.MAX_RESPONSE_BYTES
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise OctovidResponseError(f"the gateway's answer is larger than {limit} bytes")
        yield piece


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack gzip, into pieces of at most ``PIECE_BYTES``. What follows its end is ignored.

    Raises:
        zlib.error: It is no gzip.
    """
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for packed in pieces:
        rest = packed
        while rest and not unpacker.eof:
            yield unpacker.decompress(rest, PIECE_BYTES)
            rest = unpacker.unconsumed_tail
    yield unpacker.flush()


class Outline:
    """JSON as it comes, in pieces that may end anywhere: what is kept of it, and how much it is.

    What is no JSON passes too, and is ``json.loads``'s to refuse.
    """

    def __init__(self) -> None:
        self._kept = bytearray()
        self._rest = b""
        """The first half of an escape."""
        self._is_in_string = False
        self._start = 0
        """Where in what is kept that string begins."""
        self._is_cut = False
        self._parts = 0
        self._nesting = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece.

        Raises:
            TooMuch: Nothing more needs to come.
        """
        piece = self._rest + piece
        self._rest = b""
        at = 0
        while at < len(piece):
            at = self._inside(piece, at) if self._is_in_string else self._outside(piece, at)

    def close(self) -> bytes:
        """Return what is kept; nothing more comes."""
        return bytes(self._kept + self._rest)

    def _outside(self, piece: bytes, at: int) -> int:
        found = piece.find(_QUOTE, at)
        end = len(piece) if found < 0 else found + 1
        between = piece[at:end]
        self._parts += sum(map(between.count, (b"[", b"{", b",", _QUOTE)))
        if self._parts > MAX_PARTS:
            raise TooMuch("has too many values")
        for bracket in between.translate(None, _NO_BRACKETS):
            self._nesting += 1 if bracket in b"[{" else -1
            if self._nesting > MAX_NESTING:
                raise TooMuch("is nested too deeply")
        self._kept += between
        if len(self._kept) > MAX_TEXT:
            raise TooMuch(f"is larger than {MAX_TEXT} bytes, long strings aside")
        if found >= 0:
            self._is_in_string, self._start, self._is_cut = True, len(self._kept), False
        return end

    def _inside(self, piece: bytes, at: int) -> int:
        found = _IN_STRING.match(piece, at)
        end = found.end() if found else at
        if not self._is_cut:
            self._kept += piece[at:end]
            if len(self._kept) - self._start > LONG_STRING:
                self._cut()
        if end == len(piece):
            return end
        if piece[end : end + 1] == _QUOTE:
            self._kept += _QUOTE
            self._is_in_string = False
            return end + 1
        self._rest = piece[end:]
        return len(piece)

    def _cut(self) -> None:
        """Keep the beginning of the string, as far as nothing is torn there."""
        known = self._kept[self._start : self._start + LONG_STRING]
        redacted = redact_keys(known.decode("utf-8", "surrogateescape"))
        # Nobody would recognise a key by its first half, with which the end may begin.
        without_end = redacted.encode("utf-8", "surrogateescape")[:-KEPT_OF_LONG]
        beginning = without_end[:KEPT_OF_LONG]
        if units := _UNITS.match(beginning):
            is_torn = units.end(1) == units.end()
            beginning = beginning[: units.start(1) if is_torn else units.end()]
        self._kept[self._start :] = _LAST_CHARACTER.sub(b"", beginning) + _CUT
        self._is_cut = True
