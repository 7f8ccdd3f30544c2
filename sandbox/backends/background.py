"""Work after a call has its answer: what is left of it is cleared, what comes next prepared."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from sandbox.backends.waiting import in_trio

__all__ = ["Background"]

Job = Callable[[], Awaitable[None]]

END_SECONDS: Final = 20.0
"""Ample for all jobs that still run; those of a loop that was dropped never end."""


class Background:
    """Jobs on the event loop of the calls, outside of any task group: no call waits for them.

    A loop that ends first cancels them, maybe before their first step.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._is_quiet = anyio.Event()

    def start(self, job: Job) -> None:
        """Start a job; it must end by itself."""
        self._count += 1
        if in_trio():
            sys.modules["trio"].lowlevel.spawn_system_task(self._run_to_its_end, job)
            return
        task = asyncio.get_running_loop().create_task(_run(job))
        self._tasks.add(task)  # a loop keeps no reference of its own
        task.add_done_callback(self._end_task)

    async def _run_to_its_end(self, job: Job) -> None:
        try:
            await job()
        finally:
            self._end()

    def _end_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._end()

    def _end(self) -> None:
        self._count -= 1
        if not self._count:
            self._is_quiet.set()
            self._is_quiet = anyio.Event()

    async def wait(self) -> None:
        """Wait until every job has ended."""
        with anyio.move_on_after(END_SECONDS):
            while self._count:
                await self._is_quiet.wait()


async def _run(job: Job) -> None:
    await job()
