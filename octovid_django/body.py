"""What the body of a response may cost, bounded before anything is built from it.

A few kilobytes on the wire can be megabytes of JSON, and a megabyte of JSON can be a hundred of
Python's objects. So a body is unpacked piece by piece, and each piece passes an ``Outline``, which
keeps of long strings only how they begin, and counts what ``json.loads`` would have to build.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator

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
        beginning = bytes(self._kept[self._start : self._start + KEPT_OF_LONG])
        if units := _UNITS.match(beginning):
            is_torn = units.end(1) == units.end()
            beginning = beginning[: units.start(1) if is_torn else units.end()]
        self._kept[self._start :] = _LAST_CHARACTER.sub(b"", beginning) + _CUT
        self._is_cut = True
