"""The pipes of a container's guest behind one epoll descriptor, without a thread."""

import os
import select
from collections.abc import Callable

READ_BYTES = 1 << 16
MOST_CHUNKS = 16
"""As much as a pipe holds at most: /proc/sys/fs/pipe-max-size is 1 MiB, pipe(7)."""

Handler = Callable[[], object]
Taker = Callable[[bytes], None]


class Pipes:
    """Non-blocking pipes to and from a guest. What the guest does not read waits here."""

    def __init__(self) -> None:
        """Start with none."""
        self._poll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._outputs: dict[int, Taker] = {}
        self._inputs: dict[int, bytearray] = {}
        self._ending: set[int] = set()

    def watch(self, descriptor: int, handler: Handler) -> None:
        """Call a handler whenever a descriptor is readable."""
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.EPOLLIN)

    def make_output(self, take: Taker) -> int:
        """Make a pipe from the guest, its bytes taken as they come; give the guest's end."""
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        self._outputs[ours] = take
        self.watch(ours, lambda: self._pass_on(ours))
        return theirs

    def make_input(self) -> tuple[int, int]:
        """Make a pipe to the guest; give our end, for write(), and the guest's."""
        theirs, ours = os.pipe()
        os.set_blocking(ours, False)
        self._inputs[ours] = bytearray()
        return ours, theirs

    def wait(self, seconds: float) -> None:
        """Wait for what comes next and handle it."""
        for descriptor, _ in self._poll.poll(max(0.0, seconds)):
            if handler := self._handlers.get(descriptor):
                handler()

    def write(self, descriptor: int, content: bytes, *, is_last: bool) -> None:
        """Write to the guest what it takes now and the rest as it reads."""
        waiting = self._inputs.get(descriptor)
        if waiting is None:  # it closed its end before
            return
        waiting += content
        if is_last:
            self._ending.add(descriptor)
        if descriptor not in self._handlers:
            self._handlers[descriptor] = lambda: self._write_on(descriptor)
            self._poll.register(descriptor, select.EPOLLOUT)
        self._write_on(descriptor)

    def drain(self) -> None:
        """Pass on what is still in the pipes: nobody is left to write."""
        for descriptor in [*self._outputs]:
            while self._pass_on(descriptor):
                pass

    def pass_on_what_is_there(self) -> None:
        """Pass on what was written before this; who still writes does not hold it up."""
        for descriptor in [*self._outputs]:
            for _ in range(MOST_CHUNKS):
                if not self._pass_on(descriptor):
                    break

    def _write_on(self, descriptor: int) -> None:
        waiting = self._inputs[descriptor]
        try:
            while waiting:
                del waiting[: os.write(descriptor, waiting[:READ_BYTES])]
        except BlockingIOError:
            return
        except OSError:  # it closed its end: what it did not read it did not want
            waiting.clear()
            self._ending.add(descriptor)
        self._poll.unregister(descriptor)
        del self._handlers[descriptor]
        if descriptor in self._ending:
            self._ending.discard(descriptor)
            os.close(descriptor)
            del self._inputs[descriptor]

    def _pass_on(self, descriptor: int) -> bool:
        """Pass on one chunk; say whether there may be more."""
        try:
            chunk = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return False
        if chunk:
            self._outputs[descriptor](chunk)
            return True
        self._poll.unregister(descriptor)
        del self._handlers[descriptor]
        os.close(descriptor)
        del self._outputs[descriptor]
        return False
