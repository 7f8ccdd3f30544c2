"""Many things measured in turn, so that a slow moment of the host slows all of them alike."""

import random
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import anyio
import anyio.to_thread

from tests.benchmarks.fork_helper import ForkHelper
from tests.benchmarks.names import BARE_FORK
from tests.benchmarks.rows import NotThere, Row

__all__ = [
    "FEW",
    "Act",
    "Choice",
    "Rounds",
    "Source",
    "Times",
    "blocking",
    "measure_in_turn",
    "one",
    "reason",
    "timed",
]

SEED: Final = 20240229
MOST_REASON: Final = 160
FEW: Final = 5
"""How often what takes a millisecond or two is measured in one turn."""
REST_SECONDS: Final = 0.02
"""Between two turns: what one of them leaves to be done is not part of the next one's time."""

Times: TypeAlias = Mapping[str, Sequence[float]]
"""What one turn measured: seconds, by the name of the row that they belong to."""
Act: TypeAlias = Callable[[], Awaitable[Times]]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Something to measure. open: starts it, gives what takes one turn, and ends it.

    names: its rows, in order; where it does not start they say why. every: it has its turn in each
    so-many-th round. repeats: how often it is measured in one turn: the first time after others
    finds the processor's caches full of theirs. rest_seconds: before each time.
    """

    names: tuple[str, ...]
    open: Callable[[], AbstractAsyncContextManager[Act]]
    every: int = 1
    repeats: int = 1
    rest_seconds: float = REST_SECONDS
    leaves_out: str = ""
    note: str = ""


@dataclass(frozen=True)
class Choice:
    """Which rows somebody wants: all, or groups of these names and rows with these words."""

    words: tuple[str, ...] = ()

    def has(self, group: str, *names: str) -> bool:
        """Say whether a group, or one row with one of these names, is wanted."""
        words = [word.lower() for word in self.words]
        by_name = any(word in name.lower() for word in words for name in names)
        return not words or group.lower() in words or by_name

    def of(self, group: str, sources: Iterable[Source]) -> list[Source]:
        """Give those of a group that are wanted."""
        return [source for source in sources if self.has(group, *source.names)]


class _Turns:
    """One source, and what was measured of it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.act: Act | None = None
        self.times: dict[str, list[float]] = {name: [] for name in source.names}
        self.fault = ""
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        try:
            self.act = await self._stack.enter_async_context(self.source.open())
        except Exception as error:  # noqa: BLE001 - whatever it is, the row says it
            self.fault = reason(error)

    async def close(self) -> None:
        try:
            await self._stack.aclose()
        except Exception as error:  # noqa: BLE001 - ditto
            self.fault = reason(error)

    async def take(self, *, counts: bool) -> None:
        try:
            for _ in range(self.source.repeats if self.act else 0):
                await self._measure(counts=counts)
        except Exception as error:  # noqa: BLE001 - ditto
            self.act, self.fault = None, reason(error)

    async def _measure(self, *, counts: bool) -> None:
        await anyio.sleep(self.source.rest_seconds)
        times: Times = await self.act() if self.act else {}
        for name, seconds in times.items() if counts else ():
            self.times[name] += seconds

    def rows(self, group: str, bare_fork_seconds: float) -> list[Row]:
        return [
            Row(
                name=name,
                group=group,
                seconds=tuple(seconds),
                bare_fork_seconds=bare_fork_seconds,
                leaves_out=self.source.leaves_out,
                missing="" if seconds else self.fault or "had no turn",
                note=f"stopped: {self.fault}" if seconds and self.fault else self.source.note,
            )
            for name, seconds in self.times.items()
        ]


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """How a group is measured.

    warm_up: rounds before those that count, without what has its turn in few of them only.
    settle_seconds: before each turn, for what goes on after the one before has its answer.
    beside_fork: whether a bare fork takes its turns too, and the ratios say something.
    """

    count: int
    warm_up: int = 0
    settle_seconds: float = 0.0
    beside_fork: bool = True


async def measure_in_turn(group: str, sources: Sequence[Source], rounds: Rounds) -> list[Row]:
    """Give each source its turn in each round, in another order each time."""
    if not sources:
        return []
    turns = [_Turns(source) for source in (*((_BARE,) if rounds.beside_fork else ()), *sources)]
    async with AsyncExitStack() as stack:
        for each in turns:
            stack.push_async_callback(each.close)
            await each.open()
        await _take_turns(turns, rounds)
    bare = statistics.median(turns[0].times.get(BARE_FORK) or [0.0])
    return [row for each in turns for row in each.rows(group, bare)]


async def _take_turns(turns: Sequence[_Turns], rounds: Rounds) -> None:
    dice = random.Random(SEED)  # noqa: S311 - the same order each time
    order = list(turns)
    for number in range(-rounds.warm_up, rounds.count):
        dice.shuffle(order)
        for each in order:
            if number % each.source.every == 0 and (number >= 0 or each.source.every == 1):
                await anyio.sleep(rounds.settle_seconds)
                await each.take(counts=number >= 0)


@asynccontextmanager
async def _bare_fork() -> AsyncGenerator[Act]:
    with ForkHelper() as helper:
        yield blocking(lambda: {BARE_FORK: [helper.fork()]})


_BARE: Final = Source(names=(BARE_FORK,), open=_bare_fork, repeats=FEW, leaves_out="any isolation")


def blocking(act: Callable[[], Times]) -> Act:
    """Let what blocks take its turn in a thread: the loop may have guests to look after."""
    return partial(anyio.to_thread.run_sync, act)


def one(name: str, act: Callable[[], Awaitable[object]]) -> Act:
    """Make a turn of one thing, timed from before it is awaited until it is done."""

    async def turn() -> Times:
        return {name: [await timed(act)]}

    return turn


async def timed(act: Callable[[], Awaitable[object]]) -> float:
    """Give the seconds that it takes."""
    started = time.perf_counter()
    await act()
    return time.perf_counter() - started


def reason(error: BaseException) -> str:
    """Say on one line why something is not there."""
    first_line = str(error).partition("\n")[0]
    kind = "" if isinstance(error, NotThere) else f"{type(error).__name__}: "
    return f"{kind}{first_line}"[:MOST_REASON]
