"""An event loop in a thread of its own: what stands behind every blocking face."""

import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from sandbox.errors import EngineFault

__all__ = ["LoopThread"]

T = TypeVar("T")
END_SECONDS = 30.0


class LoopThread:
    """An event loop in a thread of its own, for a blocking face. Started when first needed."""

    def __init__(self) -> None:
        """Start nothing."""
        self._opening = threading.Lock()
        self._is_closed = False
        self._portal: BlockingPortal | None = None
        self._thread: threading.Thread | None = None

    def wait(self, call: Callable[[], Awaitable[T]]) -> T:
        """Run a call in the loop and give its value; what interrupts the wait cancels the call."""
        is_over = threading.Event()

        async def whole_call() -> T:
            try:
                return await call()
            finally:
                is_over.set()

        future = self._open_portal().start_task_soon(whole_call)
        try:
            return future.result()
        except BaseException:
            if future.cancel():
                is_over.wait(END_SECONDS)  # nothing of the call is left when this raises
            raise

    def close(self, last: Callable[[], Awaitable[None]]) -> None:
        """Await a last call if the loop was ever started, and end it; again does nothing."""
        with self._opening:
            self._is_closed = True
            portal, self._portal = self._portal, None
            if portal and self._thread:
                portal.call(last)
                portal.call(portal.stop)
                self._thread.join()

    def _open_portal(self) -> BlockingPortal:
        with self._opening:
            if self._is_closed:
                message = "it is closed: make another"
                raise EngineFault(message)
            if self._portal is None:
                self._portal, self._thread = _start_portal()
            return self._portal


def _start_portal() -> tuple[BlockingPortal, threading.Thread]:
    """Start an event loop in a daemon thread: a sandbox left open must not keep a program alive."""
    ready = threading.Event()
    portals: list[BlockingPortal] = []

    async def serve() -> None:
        async with BlockingPortal() as portal:
            portals.append(portal)
            ready.set()
            await portal.sleep_until_stopped()

    thread = threading.Thread(target=anyio.run, args=(serve,), name="sandbox", daemon=True)
    thread.start()
    ready.wait()
    return portals[0], thread
