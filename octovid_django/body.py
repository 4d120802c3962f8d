"""The body of a response, with a bound for what it may cost before anything is built from it.

A few kilobytes on the wire can be megabytes of JSON, and a megabyte of JSON can be a hundred of
Python's objects. So a body is decompressed piece by piece, and each piece passes an ``Outline``,
which keeps only the beginning of long strings, and counts what ``json.loads`` would have to build.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

from requests import Response

from octovid_django.conf import octovid_settings
from octovid_django.exceptions import OctovidResponseError
from octovid_django.pages import is_page
from octovid_django.redaction import redact_keys

ENCODING = "gzip"
"""The only ``Content-Encoding`` accepted. gzip makes at most a thousand bytes of one; other
encodings, and nested ones, have no such bound."""
PIECE_BYTES = 16 * 1024
LONG_STRING = 64 * 1024
"""Bytes of a string as sent. Of a longer one only the beginning is kept: it is no link
(``MAX_LINK``), and too long for a payload."""
KEPT_OF_LONG = 8 * 1024
MAX_TEXT = 512 * 1024
"""The most bytes that are kept of a body."""
MAX_PARTS = 30_000
"""The most strings (names too), arrays, objects and commas; a response has about a hundred."""
MAX_NESTING = 100

_CUT = rb" \u2026"
"""Stands for the rest of a long string. Its blank keeps what is left from being a link."""
_QUOTE, _BACKSLASH = b'"', b"\\"
_IN_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
"""The rest of a string: up to its end, or to a backslash whose other half is yet to come."""
_UNITS = re.compile(rb"(?:[^\\]+|(\\u[dD][89abAB]..)|\\u....|\\[^u])*", re.DOTALL)
"""The whole escapes in the beginning of a string; the group is half of a surrogate pair."""
_LAST_CHARACTER = re.compile(rb"[\xc0-\xff][\x80-\xbf]*\Z")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class TooMuch(Exception):  # noqa: N818  it is no error of ours
    """``json.loads`` must not build this; the text says why, as the end of a sentence."""


def read_body(response: Response) -> bytes:
    """Return the body, without the rest of long strings; of an error that is too large, nothing.

    Args:
        response: Open, and not read yet.

    Raises:
        OctovidResponseError: It is larger than ``MAX_RESPONSE_BYTES``, has too many values, is
            nested too deeply, or has a ``Content-Encoding`` that was not requested.
        urllib3.exceptions.HTTPError: It broke off, or did not come in time.
        zlib.error: It cannot be decompressed.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", ENCODING):
        raise OctovidResponseError(
            "the gateway's response has a Content-Encoding that was not requested"
        )
    pieces: Iterator[bytes] = _limited(_pieces(response))
    if encoding == ENCODING:
        pieces = filter(None, _limited(decompressed(pieces)))
    first = next(pieces, b"")
    second = next(pieces, b"")
    if not second and sum(map(first.count, (b"[", b"{"))) <= MAX_NESTING:
        return first  # whatever its brackets are for: one piece exceeds no other bound
    outline = Outline()
    try:
        for piece in chain((first, second), pieces):
            outline.feed(piece)
    except TooMuch as error:
        if 200 <= response.status_code < 300 and not is_page(response.headers, b""):
            raise OctovidResponseError(f"the gateway's response {error}") from None
        return b""  # the status suffices
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
            raise OctovidResponseError(f"the gateway's response is larger than {limit} bytes")
        yield piece


def decompressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress gzip, into pieces of at most ``PIECE_BYTES``. What follows its end is ignored.

    Raises:
        zlib.error: It is not gzip.
    """
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for piece in pieces:
        rest = piece
        while rest and not decompressor.eof:
            yield decompressor.decompress(rest, PIECE_BYTES)
            rest = decompressor.unconsumed_tail
    yield decompressor.flush()


class Outline:
    """JSON as it comes, in pieces that may end anywhere: what is kept of it, and its size.

    What is not JSON passes too: ``json.loads`` refuses it.
    """

    def __init__(self) -> None:
        self._kept = bytearray()
        self._rest = b""
        """The first half of an escape, at the end of the last piece."""
        self._is_in_string = False
        self._start = 0
        """Where in ``_kept`` that string begins."""
        self._is_cut = False
        self._parts = 0
        self._nesting = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece.

        Raises:
            TooMuch: The JSON exceeds a bound; feed it no more.
        """
        piece = self._rest + piece
        self._rest = b""
        at = 0
        while at < len(piece):
            at = self._inside(piece, at) if self._is_in_string else self._outside(piece, at)

    def close(self) -> bytes:
        """Return what is kept, once the last piece has been fed."""
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
        """Keep only the beginning of the string, and no half of a character or an escape."""
        known = self._kept[self._start : self._start + LONG_STRING]
        redacted = redact_keys(known.decode("utf-8", "surrogateescape"))
        # The end may be the first half of a key, which nothing would recognise and redact.
        without_end = redacted.encode("utf-8", "surrogateescape")[:-KEPT_OF_LONG]
        beginning = without_end[:KEPT_OF_LONG]
        if units := _UNITS.match(beginning):
            is_torn = units.end(1) == units.end()
            beginning = beginning[: units.start(1) if is_torn else units.end()]
        self._kept[self._start :] = _LAST_CHARACTER.sub(b"", beginning) + _CUT
        self._is_cut = True
