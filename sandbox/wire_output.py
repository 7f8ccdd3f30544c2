"""What a guest writes on stdout and stderr: kept within bounds, and made safe to be shown."""

import codecs
import re
from typing import Final, TypeAlias

__all__ = ["OutputBuffer", "printable"]

_CONTINUATION: Final = re.compile(rb"\A[\x80-\xbf]{1,3}")
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and line feed
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # order and width
    "\ud800-\udfff\U000e0000-\U000e007f]"  # half characters, tags
)

Chunk: TypeAlias = bytes  # inside OutputBuffer `bytes` is its method


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
        self._head = bytearray()
        self._tail = bytearray()

    @property
    def dropped(self) -> int:
        """How many of them were not kept."""
        return max(0, self.total - self._head_bytes - self._tail_bytes)

    def append(self, chunk: Chunk) -> None:
        """Add the next bytes. Time is in proportion to the chunk, however small it is."""
        self.total += len(chunk)
        room = self._head_bytes - len(self._head)
        self._head += chunk[:room]
        rest = chunk[room:]
        self._tail += rest[max(0, len(rest) - self._tail_bytes) :]
        # At twice its size, so that each byte is moved once at most.
        if len(self._tail) > 2 * self._tail_bytes:
            del self._tail[: len(self._tail) - self._tail_bytes]

    def text(self) -> str:
        """Read it as UTF-8, faults as U+FFFD, with a line where something was dropped.

        A character that was cut in two where the middle went is left away.
        """
        if not self.dropped:
            return self.bytes().decode(errors="replace")
        # Not final: it keeps the beginning of a character to itself.
        head = codecs.getincrementaldecoder("utf-8")("replace").decode(self._head)
        tail = _CONTINUATION.sub(b"", self._kept_tail()).decode(errors="replace")
        return f"{head}\n[... {self.dropped} bytes dropped ...]\n{tail}"

    def bytes(self) -> Chunk:
        """Give head and tail; nothing is put between them."""
        return Chunk(self._head) + self._kept_tail()

    def _kept_tail(self) -> Chunk:
        return Chunk(self._tail[max(0, len(self._tail) - self._tail_bytes) :])


def printable(text: str) -> str:
    r"""Make guest text safe for a terminal or a log: what acts or hides becomes an escape.

    Line feeds and tabs stay. Controls, direction overrides, the invisible: shown like \x1b.
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
