"""Reads what a waiting call points to, out of its process's memory, proc_pid_mem(5).

The process waits in the kernel, but its threads and whoever shares its memory may not: what is
read here is written down, and nothing is decided by it.
"""

import os
import struct
from typing import NamedTuple

PATH_BYTES = 4096  # PATH_MAX
FIRST_BYTES = 256
WORDS = struct.Struct("=64Q")
ARGUMENT_BYTES, ARGUMENTS_BYTES = 2048, 8192


class Unreadable(Exception):
    """There is nothing at this address."""


class Argv(NamedTuple):
    """The arguments of a program, and whether some were cut or left out."""

    words: list[str]
    is_cut: bool


class Memory:
    """The memory of one process, as it is until it becomes another program."""

    def __init__(self, process: int) -> None:
        """Open it. Raises OSError where the process is gone."""
        self._descriptor = os.open(f"/proc/{process}/mem", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let it go."""
        os.close(self._descriptor)

    def read(self, address: int, size: int) -> bytes:
        """Give up to so many bytes: fewer where the memory ends. Raises Unreadable for none."""
        try:
            content = os.pread(self._descriptor, size, address)
        except (OSError, OverflowError) as fault:
            raise Unreadable from fault
        if not content:
            raise Unreadable
        return content

    def text(self, address: int, most_bytes: int = PATH_BYTES) -> str:
        """Give a text that ends with NUL, cut at so many bytes; see text_of()."""
        return text_of(self._until_nul(address, most_bytes))

    def _until_nul(self, address: int, most_bytes: int) -> bytes:
        content = self.read(address, min(FIRST_BYTES, most_bytes))
        end = content.find(0)
        if end < 0 and most_bytes > FIRST_BYTES:
            content = self.read(address, most_bytes)
            end = content.find(0)
        return content if end < 0 else content[:end]

    def argv(self, address: int) -> Argv:
        """Give the arguments of a program, execve(2)."""
        words: list[str] = []
        is_cut, left = False, ARGUMENTS_BYTES
        content = self.read(address, WORDS.size)
        for (pointer,) in struct.iter_unpack("=Q", content[: len(content) // 8 * 8]):
            if not pointer:
                return Argv(words, is_cut)
            if left <= 0:
                break
            word = self._until_nul(pointer, ARGUMENT_BYTES)
            is_cut = is_cut or len(word) == ARGUMENT_BYTES
            left -= len(word)
            words.append(text_of(word))
        return Argv(words, is_cut=True)

    def words(self, address: int, count: int) -> tuple[int, ...]:
        """Give so many 64-bit words. Raises Unreadable where there are fewer."""
        content = self.read(address, 8 * count)
        if len(content) < 8 * count:
            raise Unreadable
        return struct.unpack(f"={count}Q", content)


def text_of(content: bytes) -> str:
    """Make a text of any bytes, from which they can be made again."""
    return content.decode("utf-8", "surrogateescape")


def shown(text: str) -> str:
    """Make a text of text_of() one that every reader takes: what is no UTF-8 becomes an escape."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
