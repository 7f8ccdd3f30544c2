"""Many calls in a row: what the host holds stays the same, and so does the time of a call."""

import os
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import anyio
import psutil

from sandbox import AsyncSandbox
from sandbox.backends.cgroups import find_hierarchies
from sandbox.backends.processes import owner_name
from tests.benchmarks.calls import call, mechanisms, sandbox_by
from tests.benchmarks.names import FIRST_TENTH, GROWTH, LAST_TENTH
from tests.benchmarks.rows import Row

__all__ = ["GROUP", "Holdings", "measure_endurance"]

GROUP = "endurance"
WARM_UP_CALLS = 1_000
SETTLED_SECONDS = 0.5
LITTLE_BYTES = 4 << 20
"""An allocator's give and take; what leaks at each call is more after some thousand."""


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What this program holds of the host."""

    descriptors: int
    threads: int
    children: int
    mounts: int
    groups: int
    memory_bytes: int

    @classmethod
    def now(cls) -> "Holdings":
        """Count."""
        process = psutil.Process()
        return cls(
            descriptors=process.num_fds(),
            threads=process.num_threads(),
            children=len(process.children(recursive=True)),
            mounts=len(Path("/proc/self/mountinfo").read_bytes().splitlines()),
            groups=sum(1 for _ in _own_groups()),
            memory_bytes=process.memory_info().rss,
        )

    def growth(self, later: "Holdings") -> list[str]:
        """Name what there is more of later; memory only where it is more than a little."""
        return [
            field.name
            for field in fields(self)
            if getattr(later, field.name) - getattr(self, field.name)
            > (LITTLE_BYTES if field.name == "memory_bytes" else 0)
        ]


def _own_groups() -> Iterator[str]:
    for hierarchy in find_hierarchies():
        for folder, _, _ in os.walk(hierarchy.folder):
            if owner_name() in folder:
                yield folder


async def measure_endurance(count: int) -> list[Row]:
    """Make `count` calls; give the first and the last tenth of them, and what there is more of."""
    async with sandbox_by(next(mechanisms())) as box:
        await _call_times(box, _room_for(WARM_UP_CALLS))
        times = _room_for(count)
        before = await _settled()
        await _call_times(box, times)
        after = await _settled()
    tenth = max(1, count // 10)
    return [
        Row(name=FIRST_TENTH, group=GROUP, seconds=tuple(times[:tenth])),
        Row(name=LAST_TENTH, group=GROUP, seconds=tuple(times[-tenth:])),
        _growth_row(before, after),
    ]


async def _settled() -> Holdings:
    """Count when as many guests wait as do when nothing is called for."""
    await anyio.sleep(SETTLED_SECONDS)
    return Holdings.now()


def _room_for(count: int) -> "array[float]":
    """Make room for so many times ahead: what is measured must not grow by being measured."""
    return array("d", [0.0]) * count


async def _call_times(box: AsyncSandbox, times: "array[float]") -> None:
    """Make as many calls as there is room for, and write down what each took."""
    for number in range(len(times)):
        started = time.perf_counter()
        await call(box)
        times[number] = time.perf_counter() - started


def _growth_row(before: Holdings, after: Holdings) -> Row:
    grown = before.growth(after)
    changes = (
        f"{field.name.replace('_', ' ')} {getattr(before, field.name):,} to "
        f"{getattr(after, field.name):,}"
        for field in fields(before)
    )
    note = f"{'more ' + ', '.join(grown) if grown else 'nothing more'}: {', '.join(changes)}"
    return Row(name=GROWTH, group=GROUP, amount=float(len(grown)), unit="kinds grown", note=note)
