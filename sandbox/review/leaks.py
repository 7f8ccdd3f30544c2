"""Finding known secrets in a text, whole or in part, plain or in a common writing.

Known writings: plain in any case, reversed, rotated by 13, hexadecimal, base32 and base64 at every
alignment, percent-encoded; with anything put between the characters, as a line's end or the dots of
a host's name. A part of 12 characters of the writing is enough, of 15 in a text of over 256 KiB.
Not found: what was compressed, encrypted, encoded twice, or cut into shorter parts than that.
"""

import base64
import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from urllib.parse import unquote_to_bytes

__all__ = ["Leaks"]

_PART = 12
_SHORT_TEXT_BYTES = 1 << 18
_LONG_TEXT_STEP = 4
"""A part of 12 + 4 - 1 characters holds a place that is looked at, wherever it begins."""
_PIECE_BYTES = 1 << 20

_BETWEEN = bytes(set(range(256)) - set(b"abcdefghijklmnopqrstuvwxyz0123456789+/"))
"""What no writing of a secret needs."""
_ESCAPE = re.compile(rb"\\x|0x")
_WORD = re.compile(r"[^\s'\"=:@?&;,(){}\[\]<>]+")
_BASE32_GROUP = 5
_BASE64_GROUP = 3


class Leaks:
    """The parts of some secrets in all writings, to be looked up in texts."""

    def __init__(self, secrets: Sequence[Sequence[str]]) -> None:
        """Take each secret's random pieces; it goes by its place in the sequence."""
        self._parts = {
            part: number
            for number, cores in enumerate(secrets)
            for core in cores
            for form in _forms(core)
            for part in _parts(form.lower(), 1)
        }

    def find(self, text: str | bytes) -> frozenset[int]:
        """Give the places of the secrets that the text holds a part of."""
        content = text.encode(errors="replace") if isinstance(text, str) else text
        if len(content) < _PART:
            return frozenset()
        step = 1 if len(content) <= _SHORT_TEXT_BYTES else _LONG_TEXT_STEP
        parts = chain.from_iterable(_parts(view, step) for view in _views(content))
        return frozenset(self._parts[part] for part in parts if part in self._parts)

    def replaced(self, text: str, by: Callable[[int], str]) -> str:
        """Give the text with each word that holds a secret replaced, or all where only all does."""

        def replace(word: re.Match[str]) -> str:
            found = self.find(word[0])
            return by(min(found)) if found else word[0]

        clean = _WORD.sub(replace, text)
        rest = self.find(clean)
        return by(min(rest)) if rest else clean


def _forms(core: str) -> Iterator[bytes]:
    """Write a secret in each of the ways."""
    content = core.encode()
    yield content
    yield content[::-1]
    yield codecs.encode(core, "rot13").encode()
    yield content.hex().encode()
    for before in range(_BASE64_GROUP):
        yield _aligned(content, before, _BASE64_GROUP, 6, base64.b64encode)
    for before in range(_BASE32_GROUP):
        yield _aligned(content, before, _BASE32_GROUP, 5, base64.b32encode)


def _aligned(
    content: bytes, before: int, group: int, bits: int, encode: Callable[[bytes], bytes]
) -> bytes:
    """Encode what stands behind some other bytes, and keep what depends on no neighbour."""
    written = encode(bytes(before) + content).rstrip(b"=")
    first = -(-before * 8 // bits)
    last = len(written) - (1 if (before + len(content)) % group else 0)
    return written[first:last]


def _parts(text: bytes, step: int) -> Iterator[bytes]:
    return (text[start : start + _PART] for start in range(0, len(text) - _PART + 1, step))


def _views(content: bytes) -> Iterator[bytes]:
    """Give the text as it is looked at, piece by piece, so that a long one takes little memory."""
    for start in range(0, len(content), _PIECE_BYTES):
        piece = content[start : start + _PIECE_BYTES + 4 * _PART].lower()
        yield piece.translate(None, _BETWEEN)
        if _ESCAPE.search(piece):
            yield _ESCAPE.sub(b"", piece).translate(None, _BETWEEN)
        if b"%" in piece:
            yield unquote_to_bytes(piece).lower().translate(None, _BETWEEN)
