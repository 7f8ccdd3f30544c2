"""Containers started ahead of time, each for one call; never more than there may be."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Final

from sandbox.backends.container_start import Container
from sandbox.errors import SandboxError

__all__ = ["ContainerStock"]

WORKERS: Final = 4
"""Threads that talk to the engine, all containers together."""

Start = Callable[[], Container]


class ContainerStock:
    """A bounded number of waiting containers, of several kinds. Safe to use from any thread.

    most: so many wait or are being started at once, all kinds together.
    """

    def __init__(self, most: int) -> None:
        """Start with none, and with no thread."""
        self._most = most
        self._lock = threading.Lock()
        self._ready: OrderedDict[str, deque[Container]] = OrderedDict()
        self._starting = 0
        self._is_closed = False
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="sandbox-worker")
        self._jobs: set[Future[None]] = set()

    def take(self, kind: str) -> Container | None:
        """Give a waiting container of a kind, if one is there that lives."""
        while container := self._pop(kind):
            if container.is_alive:
                return container
            self.submit(container.discard)
        return None

    def _pop(self, kind: str) -> Container | None:
        with self._lock:
            waiting = self._ready.get(kind)
            return waiting.popleft() if waiting else None

    def refill(self, kind: str, start: Start) -> None:
        """Start in the background what is missing of a kind; where there is no room others go."""
        with self._lock:
            waiting = self._ready.setdefault(kind, deque())
            self._ready.move_to_end(kind)
            missing = 0 if self._is_closed else self._most - len(waiting) - self._starting
            spare = [self._ready_of_others(kind) for _ in range(missing)]
            self._starting += max(0, missing)
        for container in filter(None, spare):
            self.submit(container.discard)
        for _ in range(missing):
            self.submit(lambda: self._start(kind, start))

    def _ready_of_others(self, kind: str) -> Container | None:
        """Take out a container of the kind used longest ago, to make room."""
        others = (kept for name, kept in self._ready.items() if kept and name != kind)
        kept = next(others, None)
        return kept.popleft() if kept else None

    def _start(self, kind: str, start: Start) -> None:
        """Start one; a fault of it is told to the call that then has to start its own."""
        try:
            container = start()
        except SandboxError:
            with self._lock:
                self._starting -= 1
            return
        with self._lock:
            self._starting -= 1
            is_wanted = not self._is_closed
            if is_wanted:
                self._ready.setdefault(kind, deque()).append(container)
        if not is_wanted:
            container.discard()

    def submit(self, job: Callable[[], None]) -> None:
        """Do something with the engine in the background; its faults are nobody's any more."""
        try:
            future = self._workers.submit(self.run_quietly, job)
        except RuntimeError:  # closed meanwhile: nobody else would do it
            self.run_quietly(job)
            return
        self._jobs.add(future)
        future.add_done_callback(self._jobs.discard)

    @staticmethod
    def run_quietly(job: Callable[[], None]) -> None:
        """Do it now; what cannot be removed is left to the next sweep."""
        with suppress(SandboxError, OSError):
            job()

    def close(self) -> None:
        """Discard all that wait, and wait for what is under way. Blocks."""
        with self._lock:
            self._is_closed = True
            waiting = [container for kept in self._ready.values() for container in kept]
            self._ready.clear()
        for container in waiting:
            self.submit(container.discard)
        while self._jobs:
            wait([*self._jobs])
        self._workers.shutdown()
