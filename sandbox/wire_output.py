"""What a guest writes on stdout and stderr: kept within bounds, and made safe to be shown."""

import codecs
import re
from collections import deque
from typing import Final, TypeAlias

__all__ = ["OutputBuffer", "printable"]

_CONTINUATION: Final = re.compile(rb"\A[\x80-\xbf]{1,3}")
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and line feed
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # order and width
    "\ud800-\udfff\U000e0000-\U000e007f]"  # half characters, tags
)

_LARGE_BYTES: Final = 1 << 14

Chunk: TypeAlias = bytes  # inside OutputBuffer `bytes` is its method


class _Pieces:
    """Bytes in the order in which they came. Large ones are never copied before they are read."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: deque[Chunk] = deque()
        self._small = bytearray()  # what came last, until it is worth a piece of its own

    def add(self, chunk: Chunk) -> None:
        self.size += len(chunk)
        if len(chunk) >= _LARGE_BYTES:
            self._end_small()
            self._pieces.append(chunk)
            return
        self._small += chunk
        if len(self._small) >= _LARGE_BYTES:
            self._end_small()

    def keep_last(self, count: int) -> None:
        """Drop pieces of which nothing is among the last so many bytes."""
        while self._pieces and self.size - len(self._pieces[0]) >= count:
            self.size -= len(self._pieces.popleft())

    def all(self) -> list[Chunk]:
        self._end_small()
        return [*self._pieces]

    def _end_small(self) -> None:
        if self._small:
            self._pieces.append(Chunk(self._small))
            self._small.clear()


class OutputBuffer:
    """Keep the first and the last half of a stream of output, in flat memory.

    limit_bytes: how much is kept. Up to it nothing is lost; over it the middle goes.
    """

    total: int
    """How many bytes came."""

    def __init__(self, limit_bytes: int) -> None:
        """Start empty."""
        self.total = 0
        self._tail_bytes = limit_bytes // 2
        self._head_bytes = limit_bytes - self._tail_bytes
        self._head = _Pieces()
        self._tail = _Pieces()
        self._whole: tuple[int, Chunk] = (0, b"")

    @property
    def dropped(self) -> int:
        """How many of them were not kept."""
        return max(0, self.total - self._head_bytes - self._tail_bytes)

    def append(self, chunk: Chunk) -> None:
        """Add the next bytes. Time is in proportion to the chunk, however small it is."""
        self.total += len(chunk)
        room = self._head_bytes - self._head.size
        if room:
            self._head.add(chunk[:room])
        if rest := chunk[room:]:
            self._tail.add(rest[max(0, len(rest) - self._tail_bytes) :])
            self._tail.keep_last(self._tail_bytes)

    def text(self) -> str:
        """Read it as UTF-8, faults as U+FFFD, with a line where something was dropped.

        A character that was cut in two where the middle went is left away.
        """
        if not self.dropped:
            return self.bytes().decode(errors="replace")
        # Not final: it keeps the beginning of a character to itself.
        head = codecs.getincrementaldecoder("utf-8")("replace").decode(b"".join(self._head.all()))
        tail = _CONTINUATION.sub(b"", self._kept_tail()).decode(errors="replace")
        return f"{head}\n[... {self.dropped} bytes dropped ...]\n{tail}"

    def bytes(self) -> Chunk:
        """Give head and tail; nothing is put between them."""
        total, whole = self._whole
        if total != self.total:
            tail = [self._kept_tail()] if self.dropped else self._tail.all()
            whole = b"".join([*self._head.all(), *tail])
            self._whole = self.total, whole
        return whole

    def _kept_tail(self) -> Chunk:
        tail = b"".join(self._tail.all())
        return tail[max(0, len(tail) - self._tail_bytes) :]


def printable(text: str) -> str:
    r"""Make guest text safe for a terminal or a log: what acts or hides becomes an escape.

    Line feeds and tabs stay. Controls, direction overrides, the invisible: shown like \x1b.
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
