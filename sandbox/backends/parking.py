"""A zygote with guests parked ahead of time: locked down and waiting, each for one call."""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from sandbox.backends.cgroups import CallGroup
from sandbox.backends.guest import Guest
from sandbox.backends.zygote import Zygote
from sandbox.errors import EngineFault, SandboxError

__all__ = ["WarmZygote"]

MOST_PARKED: Final = 8


class WarmZygote:
    """Gives guests, parked ones first, and parks as many as there are calls at once."""

    def __init__(self, zygote: Zygote) -> None:
        """Start nothing."""
        self._zygote = zygote
        self._parked: deque[Guest] = deque()
        self._running = 0

    @property
    def is_usable(self) -> bool:
        """Whether guests can still come from it."""
        return self._zygote.is_usable

    @property
    def is_idle(self) -> bool:
        """Whether no call runs on it."""
        return self._running == 0

    async def start(self) -> None:
        """Start the zygote. Raises EngineFault or CannotEnforce; leaves nothing."""
        await self._zygote.start()

    @asynccontextmanager
    async def guest(self) -> AsyncGenerator[Guest]:
        """Give a guest for one call; it is dead and gone when the block is left."""
        self._running += 1  # from here on it is not idle, and not ended to make room
        try:
            guest = await self._take()
            try:
                yield guest
            finally:
                await guest.close()
        finally:
            self._running -= 1

    async def park(self) -> None:
        """Launch a guest for a later call, if fewer wait than run now. It comes up by itself."""
        if len(self._parked) >= min(self._running + 3, MOST_PARKED) or not self.is_usable:
            return
        try:
            self._parked.append(await self._launch())
        except SandboxError:  # the call that needs one will say what is wrong
            return

    async def _take(self) -> Guest:
        while self._parked:
            guest = self._parked.popleft()
            if guest.is_usable:
                return guest
            await guest.close()
        return await self._launch()

    async def _launch(self) -> Guest:
        guest = Guest(self._zygote, self._add_group())
        try:
            await guest.launch()
        except BaseException:
            await guest.close()
            raise
        return guest

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
        while self._parked:
            await self._parked.popleft().close()
        await self._zygote.aclose()
