"""Many calls in a row: what the host holds stays the same, and so does the time of a call."""

import time
from dataclasses import dataclass
from typing import Final

import psutil

from sandbox import AsyncSandbox
from tests.benchmarks.calls import PROGRAM, WARM_UP, mechanisms, sandbox_by
from tests.benchmarks.rows import Row

__all__ = ["measure_endurance"]

SLICE: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What this program holds of the host."""

    descriptors: int
    threads: int
    children: int
    memory_bytes: int

    @classmethod
    def now(cls) -> "Holdings":
        """Count."""
        process = psutil.Process()
        return cls(
            descriptors=process.num_fds(),
            threads=process.num_threads(),
            children=len(process.children(recursive=True)),
            memory_bytes=process.memory_info().rss,
        )


async def measure_endurance(count: int) -> list[Row]:
    """Make `count` calls on each mechanism; give the first and the last thousand of them."""
    return [row for mechanism in mechanisms() for row in await _endure(mechanism, count)]


async def _endure(mechanism: str, count: int) -> list[Row]:
    async with sandbox_by(mechanism) as box:
        await _call_times(box, WARM_UP)
        before = Holdings.now()
        times = await _call_times(box, count)
        after = Holdings.now()
    length = min(SLICE, count // 2)
    name = f"of {count:,} calls, {mechanism}, the"
    return [
        Row(name=f"{name} first {length:,}", seconds=tuple(times[:length])),
        Row(
            name=f"{name} last {length:,}",
            seconds=tuple(times[-length:]),
            note=_change(before, after),
        ),
    ]


async def _call_times(box: AsyncSandbox, count: int) -> list[float]:
    times: list[float] = []
    for _ in range(count):
        started = time.perf_counter()
        (await box.run(PROGRAM)).unwrap()
        times.append(time.perf_counter() - started)
    return times


def _change(before: Holdings, after: Holdings) -> str:
    memory = [f"{holdings.memory_bytes / 2**20:.1f}" for holdings in (before, after)]
    return (
        f"descriptors {before.descriptors} to {after.descriptors}, "
        f"threads {before.threads} to {after.threads}, "
        f"children {before.children} to {after.children}, "
        f"memory {memory[0]} to {memory[1]} MiB"
    )
