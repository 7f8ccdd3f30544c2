"""Work after a call has its answer: what is left of it is cleared, what comes next prepared."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import anyio

__all__ = ["Background"]

Job = Callable[[], Awaitable[None]]


class Background:
    """Jobs on the event loop of the calls, outside of any task group: no call waits for them.

    A loop that ends first cancels them; what they hold is then the kernel's to clear.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._is_quiet = anyio.Event()

    def start(self, job: Job) -> None:
        """Start a job; it must end by itself."""
        self._count += 1
        if (trio := sys.modules.get("trio")) and trio.lowlevel.in_trio_task():
            trio.lowlevel.spawn_system_task(self._run, job)
            return
        task = asyncio.get_running_loop().create_task(self._run(job))
        self._tasks.add(task)  # a loop keeps no reference of its own
        task.add_done_callback(self._tasks.discard)

    async def _run(self, job: Job) -> None:
        try:
            await job()
        finally:
            self._count -= 1
            if not self._count:
                self._is_quiet.set()
                self._is_quiet = anyio.Event()

    async def wait(self) -> None:
        """Wait until every job has ended."""
        while self._count:
            await self._is_quiet.wait()
