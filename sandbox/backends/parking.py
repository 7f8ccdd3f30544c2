"""A zygote with guests parked ahead of time: locked down and waiting, each for one call."""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio

from sandbox.backends.background import Background
from sandbox.backends.cgroups import CallGroup
from sandbox.backends.guest import Guest
from sandbox.backends.processors import here
from sandbox.backends.session_guest import SessionGuest
from sandbox.backends.watched_guest import WatchedGuest
from sandbox.backends.zygote import Zygote
from sandbox.errors import EngineFault, SandboxError

__all__ = ["IDLE_SECONDS", "WarmZygote"]

SPARE: Final = 1
"""Guests that wait besides one for each call that ran at once of late."""
MOST_PARKED: Final = 8
CLEARING_ROUNDS, CLEARING_PAUSE_SECONDS = 100, 0.01
IDLE_SECONDS = 10.0
"""After so long without a call all that wait but one are given back."""


class WarmZygote:
    """Gives guests, parked ones first, and parks one more than calls ran at once of late.

    No call waits until the one before is cleared away, nor until guests for later ones are made:
    both are done in the background.
    """

    def __init__(self, zygote: Zygote) -> None:
        """Start nothing."""
        self._zygote = zygote
        self._parked: deque[Guest] = deque()
        self._running = 0
        self._opening = 0
        self._sessions: set[SessionGuest] = set()
        self._leaving: set[Guest] = set()
        self._most_running = 0
        self._has_work = anyio.Event()
        self._background = Background()

    @property
    def is_usable(self) -> bool:
        """Whether guests can still come from it."""
        return self._zygote.is_usable

    @property
    def is_idle(self) -> bool:
        """Whether no call runs on it, and no session lives."""
        return not (self._running or self._opening or self._sessions)

    async def start(self) -> None:
        """Start the zygote. Raises EngineFault or CannotEnforce; leaves nothing."""
        await self._zygote.start()

    @asynccontextmanager
    async def guest(self) -> AsyncGenerator[Guest]:
        """Give a guest for one call; nothing of the call runs when the block is left."""
        self._running += 1  # from here on it is not idle, and not ended to make room
        self._most_running = max(self._most_running, self._running)
        self._has_work.set()
        guest = None
        try:
            guest = await self._take()
            yield guest
        finally:
            try:
                if guest and not guest.is_over:
                    await guest.close()
            finally:
                self._running -= 1
                if guest:
                    self._leaving.add(guest)
                    self._background.start(partial(self._after_a_call, guest))

    async def session(self) -> SessionGuest:
        """Give a guest for a session; whoever takes it closes it."""
        self._opening += 1
        self._has_work.set()
        try:
            guest = await self._open_session()
        finally:
            self._opening -= 1
        self._sessions.add(guest)
        guest.on_close = self._sessions.discard
        self._background.start(self._park)
        return guest

    async def _open_session(self) -> SessionGuest:
        guest = await self._take()
        if not isinstance(guest, SessionGuest):
            message = "a zygote for calls was asked for a session"
            raise TypeError(message)
        try:
            await guest.open()
        except BaseException:
            await guest.close()
            raise
        return guest

    async def _take(self) -> Guest:
        while self._parked:
            guest = self._choose()
            self._parked.remove(guest)
            if guest.is_usable:
                return guest
            await guest.close()
        return await self._launch()

    def _choose(self) -> Guest:
        """Give the first that waits; a single call rather one that runs beside this program.

        On this program's own processor its answer would wait there until it has ended.
        """
        first = self._parked[0]
        if self._running > 1:
            return first
        number = here()
        return next((guest for guest in self._parked if number not in guest.processors), first)

    async def _after_a_call(self, guest: Guest) -> None:
        """Park guests for the next calls, and clear away what is left of one."""
        await self._park()
        await guest.close()
        self._leaving.discard(guest)
        await self._clear_groups()
        if self.is_idle and self.is_usable:
            await self._give_back_when_idle()

    async def _clear_groups(self) -> None:
        """Remove the group of a call: its last process may still be on its way out."""
        for _ in range(CLEARING_ROUNDS):
            if not self._zygote.group or self._zygote.group.clear():
                return
            await anyio.sleep(CLEARING_PAUSE_SECONDS)

    async def _park(self) -> None:
        """Launch what is missing. Each comes up by itself, in its own time."""
        wanted = min(self._most_running + SPARE, MOST_PARKED)
        while self.is_usable and len(self._parked) < wanted:
            try:
                guest = await self._launch()
            except SandboxError:  # the call that needs one will say what is wrong
                return
            self._parked.append(guest)

    async def _give_back_when_idle(self) -> None:
        self._has_work.set()  # another that waits already has nothing to wait for
        self._has_work = has_work = anyio.Event()
        with anyio.move_on_after(IDLE_SECONDS):
            await has_work.wait()
            return
        self._most_running = 0
        while len(self._parked) > 1:
            await self._parked.popleft().close()

    async def _launch(self) -> Guest:
        guest = self._kind(self._zygote, self._add_group())
        try:
            waiting = [other.processors for other in self._parked]
            await guest.launch(self._zygote.shares.next(waiting))
        except BaseException:
            await guest.close()
            raise
        return guest

    @property
    def _kind(self) -> type[Guest]:
        """Which kind of guest this zygote is for."""
        if self._zygote.plan.is_watched:
            return WatchedGuest
        return SessionGuest if self._zygote.plan.is_for_sessions else Guest

    def _add_group(self) -> CallGroup | None:
        if not self._zygote.group:
            return None
        try:
            return self._zygote.group.add_call(self._zygote.plan.policy.quota)
        except OSError as error:
            message = f"a control group cannot be made: {error}"
            raise EngineFault(message) from error

    async def aclose(self) -> None:
        """End the parked guests and the zygote."""
        self._zygote.let_go()  # all of them go with it
        self._has_work.set()
        await self._background.wait()
        while self._sessions:
            await self._sessions.pop().close()
        while self._leaving:  # where an event loop ended before their turn came
            await self._leaving.pop().close()
        while self._parked:
            await self._parked.popleft().close()
        await self._zygote.aclose()
