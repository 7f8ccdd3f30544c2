"""Frames between the host and PID 1 of a container, over what it has as stdin and stdout.

A frame is its body's length (32 bits, big-endian), its kind (8 bits), its body. sandbox/wire.py
reads what is sent here; sandbox/backends/container.py writes what is received.
"""

import os
import struct

WIRE_VERSION = 2
"""What both sides must agree on; the host refuses a container that says another."""

CONFIGURATION, CALL, STDIN, STDIN_END, TERMINATE, KILL = range(1, 7)
TURN, PAYLOAD, INTERRUPT, REST, FILES, FILE_NAMED = range(7, 13)
"""What the host sends; the second line to a session alone."""
HELLO, READY, STDOUT, STDERR, ANSWER, ENDED, REPORT, FILE, LEFT_OUT, DONE, FAULT = range(1, 12)
PIECE, SHOWN = 12, 13
"""What it is sent; the second line by a session alone."""

HEADER = struct.Struct(">IB")
CHUNK_BYTES = 1 << 18
FIRST_FREE = 10
"""Above the descriptors that a guest is given."""

Frame = tuple[int, bytes]


class Link:
    """PID 1's end. Only PID 1 has it: its descriptors are closed in every child."""

    def __init__(self) -> None:
        """Take stdin and stdout over, and leave /dev/null in their places."""
        self.incoming = _move(0, os.O_RDONLY)
        self.outgoing = _move(1, os.O_WRONLY)
        self._received = bytearray()

    def send(self, kind: int, *parts: bytes) -> None:
        """Send a frame, waiting while the engine takes no more. A host that is gone ends this.

        parts: the body, in pieces: a file is not copied again, in memory that the guest fills.
        """
        header = HEADER.pack(sum(map(len, parts)), kind)
        try:
            for part in (header, *parts):
                rest = memoryview(part)
                while rest:
                    rest = rest[os.write(self.outgoing, rest) :]
        except OSError:
            os._exit(0)

    def wait(self, kind: int) -> bytes:
        """Wait for a frame of this kind, the next that comes. A host that is gone ends this."""
        while not (frame := self.take()):
            self.read()
        if frame[0] != kind:
            message = f"the host sent a frame of kind {frame[0]}, and not of {kind}"
            raise ValueError(message)
        return frame[1]

    def read(self) -> None:
        """Read what has come. At the end of the stream the host is gone, and so is this."""
        chunk = os.read(self.incoming, CHUNK_BYTES)
        if not chunk:
            os._exit(0)
        self._received += chunk

    def take(self) -> Frame | None:
        """Give the next whole frame that has come."""
        if len(self._received) < HEADER.size:
            return None
        length, kind = HEADER.unpack_from(self._received)
        end = HEADER.size + length
        if len(self._received) < end:
            return None
        body = bytes(self._received[HEADER.size : end])
        del self._received[:end]
        return kind, body

    def close(self) -> None:
        """Close it, in a child."""
        os.close(self.incoming)
        os.close(self.outgoing)


def _move(descriptor: int, flags: int) -> int:
    moved = os.dup(descriptor)
    while moved < FIRST_FREE:
        moved = os.dup(moved)
    nothing = os.open("/dev/null", flags)
    os.dup2(nothing, descriptor)
    os.close(nothing)
    return moved
