"""The handler's way to the host: partial values and notes, in whole frames."""

import _thread
import os
from collections.abc import Callable
from typing import Any

import answer
import plain

DESCRIPTOR = 4  # the same number as in guest.py
MOST_NOTE_BYTES = 1 << 16
MOST_PARTIALS = 8_000


class Channel:
    """Sends frames from the handler's own process, one at a time, and never half of one."""

    def __init__(self, limit_bytes: int, depth: int) -> None:
        """Allow as many bytes of partial values as the host takes. Made in the main thread."""
        self._after: Callable[[], None] | None = None
        self._is_busy = False
        self._lock = _thread.allocate_lock()  # threading would cost every guest its import
        self._main, self._process = _thread.get_ident(), os.getpid()
        self._left_bytes, self._depth = limit_bytes, depth
        self._left_partials, self._left_note_bytes = MOST_PARTIALS, MOST_NOTE_BYTES

    def emit(self, value: Any) -> None:
        """Send a partial value; more than the host takes is left away, and the call goes on.

        Raises ValueError for what is not JSON, RuntimeError in a child process.
        """
        if os.getpid() != self._process:
            message = "progress is told by the handler's own process, not by a child of it"
            raise RuntimeError(message)
        body = answer.encode_value(plain.to_json(value), depth=self._depth)
        if self._left_partials and len(body) <= self._left_bytes:
            self._left_partials -= 1
            self._left_bytes -= len(body)
            self._send(body, answer.PARTIAL)

    def note(self, fact: dict[str, Any], *, is_last: bool = False) -> None:
        """Send a fact about the handler: as many as leave room for an error, and the last one."""
        body = answer.encode_value(fact, depth=2)
        self._left_note_bytes -= len(body)
        if (is_last or self._left_note_bytes >= 0) and os.getpid() == self._process:
            self._send(body, answer.NOTE)

    def when_free(self, act: Callable[[], None]) -> None:
        """Act now, or as soon as the frame is whole that the main thread is sending."""
        if self._is_busy:
            self._after = act
        else:
            act()

    def _send(self, body: bytes, kind: int) -> None:
        if _thread.get_ident() != self._main:
            return self._write(body, kind)
        self._is_busy = True
        try:
            self._write(body, kind)
        finally:
            self._is_busy = False
        if self._after:
            act, self._after = self._after, None
            act()
        return None

    def _write(self, body: bytes, kind: int) -> None:
        with self._lock:
            answer.send_bytes(DESCRIPTOR, body, kind)
