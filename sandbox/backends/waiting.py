"""One wait, with an end, for all that comes on one descriptor: what every call does."""

import asyncio
import math
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

__all__ = ["Listener", "in_trio", "is_only_call", "under_way"]

SPIN_SECONDS: Final = 0.0005
"""Twice what the shortest calls take, and no more than the event loop can be kept from others."""


def in_trio() -> bool:
    """Say whether this runs in a task of trio's, also where that runs on top of asyncio."""
    return (trio := sys.modules.get("trio")) is not None and trio.lowlevel.in_trio_task()


_under_way: Final = set[object]()


@contextmanager
def under_way() -> Generator[None]:
    """Count a call as under way: one that is alone may be waited for without sleeping."""
    call = object()
    _under_way.add(call)
    try:
        yield
    finally:
        _under_way.discard(call)


def is_only_call() -> bool:
    """Say whether no more than one call is under way."""
    return len(_under_way) <= 1


class Listener:
    """Has what comes handled at once; who waits is woken only when something matters.

    On asyncio it is a reader of the loop's own, which stays from one wait to the next, and a timer:
    a cancel scope for each event costs more than all else that the host does with it.
    """

    def __init__(self, descriptor: int, handle: Callable[[], None]) -> None:
        """Read nothing yet. handle: takes all that is there, or what is left calls it again."""
        self._descriptor = descriptor
        self._handle = handle
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_woken = False
        self._error: BaseException | None = None

    def wake(self) -> None:
        """Let who waits go on, once all that is there is handled."""
        self._is_woken = True

    def listen(self) -> None:
        """Have what comes handled though nobody waits; on trio it stays until somebody does."""
        if in_trio():
            return
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self.rest()
            loop.add_reader(self._descriptor, self._take)
            self._loop = loop

    async def wait(self, until: float) -> None:
        """Handle what comes until wake(), or until this moment of the monotonic clock.

        Returns at once where wake() was called since the last wait. Raises what handling does.
        """
        try:
            if not self._is_woken:
                await self._sleep(until)
            if not self._is_woken:
                self._handle()
        finally:
            self._is_woken = False
        error, self._error = self._error, None
        if error:
            raise error

    async def _sleep(self, until: float) -> None:
        if in_trio():
            await self._sleep_by_scope(until)
        else:
            await self._sleep_by_reader(until)

    async def spin(self, is_over: Callable[[], bool]) -> None:
        """Handle what comes, for a moment without sleeping, until is_over(); one call alone may.

        Raises what handling does. A processor that sleeps takes longer to wake than the shortest
        calls do, and on a virtual one the program is then moved to where the guest still ends.
        """
        if not is_only_call():
            return
        await checkpoint()  # what else the loop has to do goes first: there may be no other wait
        until = time.monotonic() + SPIN_SECONDS
        while is_only_call() and not is_over() and time.monotonic() < until:
            self._handle()

    def rest(self) -> None:
        """Leave what comes where it is, until the next wait."""
        if self._loop and not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        self._loop = None

    async def _sleep_by_scope(self, until: float) -> None:
        with anyio.move_on_after(max(0.0, until - time.monotonic())):
            while not self._is_woken:
                await anyio.wait_readable(self._descriptor)
                self._handle()

    async def _sleep_by_reader(self, until: float) -> None:
        self.listen()
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        left = until - time.monotonic()
        timer = None if left == math.inf else loop.call_later(max(0.0, left), _end, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer:
                timer.cancel()

    def _take(self) -> None:
        try:
            self._handle()
        except BaseException as error:
            if not self._waiter:
                self.rest()
                if not isinstance(error, Exception):
                    raise
            self._error, self._is_woken = error, True  # it is the next wait's to raise
        if self._is_woken and self._waiter:
            _end(self._waiter)


def _end(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
