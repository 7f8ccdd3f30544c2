"""What one call costs: whole, through the public API, with a warm zygote."""

import math
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final, TypeAlias

import anyio

from sandbox import AsyncSandbox, Sandbox
from sandbox.backends.cgroups import find_hierarchies
from sandbox.backends.subprocess import SubprocessBackend
from tests.benchmarks.fork_helper import ForkHelper, fork_here
from tests.benchmarks.rows import Row

__all__ = ["measure_calls", "measure_throughput", "mechanisms", "sandbox_by"]

Subject: TypeAlias = Callable[[], Awaitable[float]]
"""Does a thing once and gives the seconds it took."""

BARE_FORK: Final = "bare fork and wait, python -I -S"
PYTHON: Final = (sys.executable, "-I", "-S", "-c", "pass")
BUBBLEWRAP: Final = (
    *("bwrap", "--unshare-all", "--die-with-parent", "--clearenv"),
    *("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
)
WARM_UP: Final = 20
PROGRAM: Final = "6 * 7"


def mechanisms() -> Iterator[str]:
    """Give the ways in which this host can hold a tree of processes."""
    if hierarchies := find_hierarchies():
        yield f"cgroup{hierarchies[0].version}"
    yield "watchdog"


def sandbox_by(mechanism: str) -> AsyncSandbox:
    """Make a sandbox under "strict" whose trees are held by one mechanism."""
    backend = SubprocessBackend(use_control_groups=mechanism != "watchdog")
    return AsyncSandbox(backend=backend)


async def measure_calls(count: int) -> list[Row]:
    """Measure each kind of call `count` times, all in turn, so that a slow moment slows all."""
    async with AsyncExitStack() as stack:
        subjects = {BARE_FORK: _as_subject(stack.enter_context(ForkHelper()).fork)}
        subjects["bare fork and wait, this program"] = _as_subject(fork_here)
        for mechanism in mechanisms():
            box = await stack.enter_async_context(sandbox_by(mechanism))
            subjects[f"AsyncSandbox.run, {mechanism}"] = _run_subject(box)
            subjects[f"AsyncSandbox.exec true, {mechanism}"] = _exec_subject(box)
        blocking = stack.enter_context(Sandbox())
        subjects["Sandbox.run"] = _as_subject(lambda: _timed(lambda: blocking.run(PROGRAM)))
        subjects["python -I -S -c pass, no isolation"] = _launch_subject(PYTHON)
        if shutil.which("bwrap"):
            subjects["bwrap python -I -S -c pass"] = _launch_subject((*BUBBLEWRAP, *PYTHON))
        return await _in_turn(subjects, count)


async def _in_turn(subjects: Mapping[str, Subject], count: int) -> list[Row]:
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(WARM_UP + count):
        for name, subject in subjects.items():
            seconds = await subject()
            if number >= WARM_UP:
                times[name].append(seconds)
    bare = statistics.median(times[BARE_FORK])
    return [
        Row(name=name, seconds=tuple(seconds), bare_fork_seconds=bare)
        for name, seconds in times.items()
    ]


async def measure_throughput(count: int) -> list[Row]:
    """Measure one caller and two at once, about `count` calls in all; the times are per call."""
    batch = max(10, math.isqrt(count) // 2)
    rows: list[Row] = []
    for mechanism in mechanisms():
        times: dict[int, list[float]] = {1: [], 2: []}
        async with sandbox_by(mechanism) as box:
            await _run_many(box, WARM_UP)
            for _ in range(max(3, count // (3 * batch))):
                for callers, seconds in times.items():
                    seconds.append(await _batch_seconds(box, callers, batch))
        rows += _throughput_rows(mechanism, times)
    return rows


def _throughput_rows(mechanism: str, times: Mapping[int, Sequence[float]]) -> Iterator[Row]:
    one, two = (statistics.median(times[callers]) for callers in (1, 2))
    notes = (
        f"{1 / one:,.0f} calls a second",
        f"{1 / two:,.0f} calls a second, {one / two:.2f} times one caller",
    )
    for callers, note in zip(times, notes, strict=True):
        name = f"calls of {callers} at once, {mechanism}"
        yield Row(name=name, seconds=tuple(times[callers]), note=note)


async def _batch_seconds(box: AsyncSandbox, callers: int, batch: int) -> float:
    started = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(callers):
            tasks.start_soon(_run_many, box, batch)
    return (time.perf_counter() - started) / (callers * batch)


async def _run_many(box: AsyncSandbox, count: int) -> None:
    for _ in range(count):
        (await box.run(PROGRAM)).unwrap()


def _run_subject(box: AsyncSandbox) -> Subject:
    async def run() -> float:
        started = time.perf_counter()
        (await box.run(PROGRAM)).unwrap()
        return time.perf_counter() - started

    return run


def _exec_subject(box: AsyncSandbox) -> Subject:
    async def run() -> float:
        started = time.perf_counter()
        (await box.exec(["true"])).unwrap()
        return time.perf_counter() - started

    return run


def _launch_subject(argv: Sequence[str]) -> Subject:
    return _as_subject(lambda: _timed(lambda: subprocess.run(argv, check=True)))


def _timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _as_subject(act: Callable[[], float]) -> Subject:
    """Let what blocks take its turn too: nothing else runs in this loop meanwhile."""

    async def subject() -> float:
        return act()

    return subject
