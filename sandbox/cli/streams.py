"""The descriptors of the command line: guest bytes out as they come, standard input in."""

import codecs
import os
import select
import stat
from typing import Final

from anyio import wait_writable

from sandbox.errors import BadCall, EngineFault
from sandbox.wire import printable

__all__ = ["Stream", "read_input", "read_to_end"]

PIECE_BYTES: Final = 4096
"""A pipe that poll(2) calls writable takes at least this without blocking, pipe(7)."""
READ_BYTES: Final = 1 << 18
MOST_INPUT_BYTES: Final = 64 << 20
MOST_SILENCE_SECONDS: Final = 10.0


class Stream:
    """Standard output or error. A terminal gets what is safe to show, anything else raw bytes."""

    def __init__(self, descriptor: int) -> None:
        """Look at what is behind a descriptor."""
        self._descriptor = descriptor
        self._is_terminal = os.isatty(descriptor)
        self._can_wait = self._is_terminal or _is_pipe(descriptor)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def write(self, content: bytes) -> None:
        """Write all of it; a slow reader holds up this task alone.

        Raises BrokenPipeError when the reader is gone, EngineFault when it cannot be written.
        """
        rest = memoryview(self._shown(content))
        while rest:
            if self._can_wait:
                await wait_writable(self._descriptor)
            rest = rest[self._write_some(rest[:PIECE_BYTES]) :]

    def write_now(self, text: str) -> None:
        """Write text before doing anything else; raises what write() does."""
        rest = memoryview(self._shown(text.encode(errors="backslashreplace")))
        while rest:
            rest = rest[self._write_some(rest) :]

    def _shown(self, content: bytes) -> bytes:
        if not self._is_terminal:
            return content
        return printable(self._decoder.decode(content)).encode()

    def _write_some(self, piece: memoryview) -> int:
        """Write what fits; whoever gave us the descriptor may have made it non-blocking."""
        try:
            return os.write(self._descriptor, piece)
        except BlockingIOError:
            select.select([], [self._descriptor], [])
            return 0
        except BrokenPipeError:
            raise
        except OSError as fault:
            message = f"output cannot be written: {fault.strerror}: check where it goes"
            raise EngineFault(message, started="yes") from fault


def read_input(*, is_wanted: bool | None) -> bytes:
    """Give standard input for the guest; raises BadCall for more than 64 MiB.

    is_wanted: True reads it to its end, False gives nothing. None reads a file or a pipe, but a
    pipe that stays silent and open for 10 seconds is a fault: nobody may mean to write to it.
    """
    if is_wanted is None:
        is_file = stat.S_ISREG(os.fstat(0).st_mode)
        is_wanted = is_file or _is_pipe(0)
        silence_seconds = MOST_SILENCE_SECONDS
    else:
        silence_seconds = None
    return read_to_end(0, silence_seconds=silence_seconds) if is_wanted else b""


def read_to_end(descriptor: int, *, silence_seconds: float | None) -> bytes:
    """Read a descriptor to its end. Raises BadCall over 64 MiB, or after so long a silence."""
    content = bytearray()
    while True:
        _wait_for_bytes(descriptor, silence_seconds)
        piece = os.read(descriptor, READ_BYTES)
        if not piece:
            return bytes(content)
        content += piece
        if len(content) > MOST_INPUT_BYTES:
            message = f"standard input is over {MOST_INPUT_BYTES >> 20} MiB: give it by --file"
            raise BadCall(message)


def _wait_for_bytes(descriptor: int, silence_seconds: float | None) -> None:
    readable, _, _ = select.select([descriptor], [], [], silence_seconds)
    if not readable:
        message = (
            f"standard input is open but silent for {silence_seconds:.0f} s: "
            "close it, or say --no-stdin, or --stdin to wait for its end"
        )
        raise BadCall(message)


def _is_pipe(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
