"""The pipes of one guest behind a single epoll descriptor: one wait for all, and no thread."""

import os
import select
from collections.abc import Callable
from typing import Final, TypeAlias

from sandbox.backends.waiting import Listener

__all__ = ["UNPRIVILEGED_USER", "Channels"]

UNPRIVILEGED_USER: Final = 65534
"""Who guests are on the host when the host is root."""

READ_BYTES: Final = 1 << 18
READS_AT_ONCE: Final = 32
"""Then the others have their turn."""

Handler: TypeAlias = Callable[[], object]
Taker: TypeAlias = Callable[[bytes], None]


class Channels:
    """Non-blocking pipes to and from a guest. What the guest does not read stays here."""

    def __init__(self) -> None:
        """Start with none."""
        self._poll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._readers: dict[int, Taker] = {}
        self._rest: dict[int, memoryview] = {}
        self._kept: set[int] = set()
        self._listener = Listener(self._poll.fileno(), self.handle)
        self.wake = self._listener.wake
        """Lets wait() return, once what is there is handled."""
        self.listen = self._listener.listen
        """Handles what comes though nobody waits."""
        self.wait = self._listener.wait
        """Handles what comes until wake(), or a moment of the monotonic clock."""
        self.spin = self._listener.spin
        """Handles what comes for a moment, without sleeping."""
        self.rest = self._listener.rest
        """Leaves what comes where it is, until the next wait."""

    def on_ready(self, descriptor: int, handler: Handler) -> None:
        """Call a handler whenever a descriptor is readable. The descriptor stays the caller's."""
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.EPOLLIN)

    def make_reader(self, take: Taker, *, has_name: bool = False) -> int:
        """Make a pipe from the guest, its bytes taken as they come; give the guest's end.

        has_name: whether the guest may open it again, as /dev/stdout.
        """
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        if has_name:
            _give_to_guest(theirs)
        self.adopt_reader(ours, take)
        return theirs

    def adopt_reader(self, ours: int, take: Taker) -> None:
        """Read from a descriptor that is ours already; it is closed with the others."""
        os.set_blocking(ours, False)
        self._readers[ours] = take
        self.on_ready(ours, lambda: self._read_on(ours))

    def make_writer(self, *, has_name: bool = False) -> tuple[int, int]:
        """Make a pipe to the guest; give our end, for send(), and the guest's."""
        theirs, ours = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(ours, False)
        if has_name:
            _give_to_guest(theirs)
        self._rest[ours] = memoryview(b"")
        return ours, theirs

    def send(self, descriptor: int, content: bytes) -> None:
        """Write what fits now and the rest as the guest reads; then end the pipe."""
        self._kept.discard(descriptor)
        self._send(descriptor, content)

    def send_more(self, descriptor: int, content: bytes) -> None:
        """Write likewise, but after what is under way, and leave the pipe open for more."""
        self._kept.add(descriptor)
        self._send(descriptor, bytes(self._rest[descriptor]) + content)

    def _send(self, descriptor: int, content: bytes) -> None:
        self._rest[descriptor] = memoryview(content)
        self._write(descriptor)
        if self._rest.get(descriptor) and descriptor not in self._handlers:
            self._handlers[descriptor] = lambda: self._write(descriptor)
            self._poll.register(descriptor, select.EPOLLOUT)

    def handle(self) -> None:
        """Handle what has come already."""
        for descriptor, _ in self._poll.poll(0):
            if handler := self._handlers.get(descriptor):
                handler()

    def drain(self) -> None:
        """Read the pipes to their end; only once all who could write are dead."""
        for descriptor in [*self._readers]:
            while self._read(descriptor):
                pass

    def close(self) -> None:
        """Close every pipe."""
        self.rest()
        for descriptor in [*self._readers, *self._rest]:
            self._forget(descriptor)
        self._poll.close()

    def _read_on(self, descriptor: int) -> None:
        """Take what is there, and what a guest writes meanwhile: a wait costs more than a read."""
        for _ in range(READS_AT_ONCE):
            if not self._read(descriptor):
                return

    def _read(self, descriptor: int) -> bool:
        """Take one chunk; say whether there may be more."""
        try:
            chunk = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return False
        except ConnectionResetError:  # it died, and had not read all that it was sent
            chunk = b""
        if not chunk:
            self._forget(descriptor)
            return False
        self._readers[descriptor](chunk)
        return True

    def _write(self, descriptor: int) -> None:
        try:
            written = os.write(descriptor, self._rest[descriptor]) if self._rest[descriptor] else 0
        except BlockingIOError:
            return
        except BrokenPipeError:  # the guest closed its end; what it did not read it did not want
            written = len(self._rest[descriptor])
        self._rest[descriptor] = self._rest[descriptor][written:]
        if self._rest[descriptor]:
            return
        if descriptor in self._kept:
            self.stop_handling(descriptor)
        else:
            self._forget(descriptor)

    def stop_handling(self, descriptor: int) -> None:
        """Call its handler no more, if it has one; the descriptor stays open."""
        if self._handlers.pop(descriptor, None):
            self._poll.unregister(descriptor)

    def _forget(self, descriptor: int) -> None:
        self.stop_handling(descriptor)
        self._readers.pop(descriptor, None)
        self._rest.pop(descriptor, None)
        os.close(descriptor)


def _give_to_guest(descriptor: int) -> None:
    """Let the guest open this pipe again by its name, /dev/stdout, also when the host is root."""
    if os.geteuid() == 0:
        os.fchown(descriptor, UNPRIVILEGED_USER, UNPRIVILEGED_USER)
