"""Sessions: one call, a fork of one that holds much, and a thousand alive at once."""

import inspect
import resource
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Final

import anyio

from sandbox import AsyncSandbox
from tests.benchmarks.memory import GROUP, SETTLED_SECONDS, guest_memory_bytes, memory_row
from tests.benchmarks.names import PSS_SESSION, SESSION, SESSION_FORK, THOUSAND_SESSIONS
from tests.benchmarks.rows import NotThere, Row
from tests.benchmarks.subjects import FEW, Act, Source, Times, one

__all__ = ["measure_idle_sessions", "measure_many_sessions", "session_sources"]

FORK_EVERY: Final = 10
IDLE: Final = 4
MANY: Final = 1000
HUNDRED_MEGABYTES: Final = "import os\nstate = bytearray(os.urandom(1 << 20) * 96)\nlen(state)"


def session_sources() -> Iterator[Source]:
    """Give a call in a session, and a fork of one."""
    yield Source(names=(SESSION,), open=_call, repeats=FEW)
    yield Source(names=(SESSION_FORK,), open=_fork, every=FORK_EVERY)


def _session(box: AsyncSandbox) -> Any:
    """Make a session, if this version has any; no type is known of it as long as it may not."""
    make: Any = getattr(box, "session", None)
    if make is None:
        message = "AsyncSandbox has no session"
        raise NotThere(message)
    return make()


@asynccontextmanager
async def _call() -> AsyncGenerator[Act]:
    async with AsyncSandbox() as box, _session(box) as session:

        async def run() -> None:
            (await session.run("1")).unwrap()

        await run()
        yield one(SESSION, run)


@asynccontextmanager
async def _fork() -> AsyncGenerator[Act]:
    async with AsyncSandbox() as box, _session(box) as session:
        fork: Any = getattr(session, "fork", None)
        if fork is None:
            message = "a session has no fork"
            raise NotThere(message)
        (await session.run(HUNDRED_MEGABYTES)).unwrap()

        async def turn() -> Times:
            started = time.perf_counter()
            branches = await fork(1)
            seconds = time.perf_counter() - started
            for branch in branches:
                await _close(branch)
            return {SESSION_FORK: [seconds]}

        yield turn


async def _close(session: Any) -> None:
    close = getattr(session, "aclose", None) or session.close
    ended = close()
    if inspect.isawaitable(ended):
        await ended


async def measure_idle_sessions() -> list[Row]:
    """Weigh some sessions that have answered and wait."""
    async with AsyncExitStack() as stack:
        box = await stack.enter_async_context(AsyncSandbox())
        for _ in range(IDLE):
            session = await stack.enter_async_context(_session(box))
            (await session.run("1")).unwrap()
        await anyio.sleep(SETTLED_SECONDS)
        guests = sorted(guest_memory_bytes())  # parked ones wait too, and have done less
        return [memory_row(PSS_SESSION, guests[-IDLE:])]


@contextmanager
def _many_descriptors() -> Generator[None]:
    """Let this program open as many as it may: many a host starts programs with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def measure_many_sessions() -> list[Row]:
    """Have a thousand alive at once; each answers once all of them are there."""
    async with AsyncExitStack() as stack:
        stack.enter_context(_many_descriptors())
        box = await stack.enter_async_context(AsyncSandbox(parallel=MANY))
        started = time.perf_counter()
        sessions: list[Any] = [await stack.enter_async_context(_session(box)) for _ in range(MANY)]
        opened = time.perf_counter() - started
        answers = [(await session.run("6 * 7")).value for session in sessions]
        weights = sorted(guest_memory_bytes())[-MANY:]
        note = f"opened in {opened:.1f} s, {sum(weights) / MANY / 1e6:.1f} MB each (PSS)"
        amount = float(answers.count(42))
        return [Row(name=THOUSAND_SESSIONS, group=GROUP, amount=amount, unit="answers", note=note)]
