"""Which event loop runs what: each loop that a toolset serves has places of its own."""

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from anyio.lowlevel import current_token

from sandbox.tools.execution import Places, Settings

__all__ = ["Homes"]


@dataclass(frozen=True)
class _Home:
    """What runs in one event loop, which is not kept alive by this."""

    loop: "weakref.ref[Any]"
    places: Places

    @property
    def is_over(self) -> bool:
        """Whether nothing runs in it any more: of asyncio it is closed, trio's takes no calls."""
        loop = self.loop()
        if loop is None or hasattr(loop, "is_closed"):
            return loop is None or bool(loop.is_closed())
        try:
            loop.run_sync_soon(int)
        except RuntimeError:  # trio.RunFinishedError
            return True
        return False


class Homes:
    """The places of every event loop that came so far, those of loops that are over given up."""

    def __init__(self, settings: Settings) -> None:
        """Start with none."""
        self._settings = settings
        self._lock = threading.Lock()
        self._homes: list[_Home] = []

    async def here(self) -> Places:
        """Give those of this event loop, made when first needed."""
        loop = current_token().native_token
        with self._lock:
            for home in self._homes:
                if home.loop() is loop:
                    return home.places
            made = _Home(weakref.ref(loop), Places(self._settings))
            self._homes.append(made)
        await self._close(lambda home: home.is_over)
        return made.places

    async def aclose(self) -> None:
        """End what runs in this event loop, and what loops that are over have left."""
        loop = current_token().native_token
        await self._close(lambda home: home.is_over or home.loop() is loop)

    async def _close(self, is_meant: Callable[[_Home], bool]) -> None:
        with self._lock:
            meant = [home for home in self._homes if is_meant(home)]
            self._homes = [home for home in self._homes if home not in meant]
        for home in meant:
            await home.places.aclose()
