"""What one call costs: whole, through the public API, beside what others take for as little."""

import importlib.util
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final
from unittest.mock import patch

import anyio

from sandbox import AsyncSandbox, InstalledPackages, Policy, Sandbox
from sandbox.backends import subprocess as subprocess_backend
from sandbox.backends.cgroups import find_hierarchies
from sandbox.backends.parking import WarmZygote
from sandbox.backends.subprocess import SubprocessBackend
from sandbox.backends.view import Interpreter
from tests.benchmarks.fork_helper import fork_here
from tests.benchmarks.names import AFTER_THE_FIRST, NUMPY, PANDAS, PARKED
from tests.benchmarks.rows import NotThere
from tests.benchmarks.subjects import FEW, Act, Source, Times, blocking, one

__all__ = ["PROGRAM", "call", "call_sources", "mechanisms", "sandbox_by"]

PROGRAM: Final = "6 * 7"
COLD_EVERY: Final = 20
SETTLED_SECONDS: Final = 0.05
Opener = Callable[[], AbstractAsyncContextManager[Act]]


def mechanisms() -> Iterator[str]:
    """Give the ways in which this host can hold a tree of processes."""
    if hierarchies := find_hierarchies():
        yield f"cgroup{hierarchies[0].version}"
    yield "watchdog"


def sandbox_by(mechanism: str) -> AsyncSandbox:
    """Make a sandbox under "strict" whose trees are held by one mechanism."""
    backend = SubprocessBackend(use_control_groups=mechanism != "watchdog")
    return AsyncSandbox(backend=backend)


def call_sources(packages: Path | None) -> Iterator[Source]:
    """Give our own rows. packages: the folder of a virtual environment with numpy and pandas."""
    first, *others = mechanisms()
    opener = _calls(PARKED, lambda: sandbox_by(first))
    yield Source(
        names=(PARKED,), open=opener, repeats=FEW, leaves_out="a kernel of its own", note=first
    )
    for mechanism in others:
        name = f"{PARKED}, {mechanism}"
        yield Source(names=(name,), open=_calls(name, partial(sandbox_by, mechanism)), repeats=FEW)
    yield Source(names=(AFTER_THE_FIRST,), open=_unparked, repeats=FEW)
    cold = "ours, cold: from nothing to its first result"
    yield Source(names=(cold,), open=partial(_cold, cold), every=COLD_EVERY)
    yield Source(names=("ours, exec true",), open=partial(_exec, "ours, exec true"), repeats=FEW)
    yield Source(
        names=("ours, blocking face",),
        open=partial(_blocking, "ours, blocking face"),
        repeats=FEW,
    )
    for name, modules in ((NUMPY, ("numpy",)), (PANDAS, ("numpy", "pandas"))):
        opener = _calls(name, partial(_preloaded, modules, packages))
        yield Source(names=(name,), open=opener, repeats=FEW)
    here = "bare fork and wait, this program"
    yield Source(
        names=(here,), open=partial(_fork_here, here), repeats=FEW, leaves_out="any isolation"
    )


def _calls(name: str, make: Callable[[], AsyncSandbox]) -> Opener:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[Act]:
        async with make() as box:
            await call(box)
            yield one(name, partial(call, box))

    return opened


async def call(box: AsyncSandbox) -> None:
    """Make one call and look at its value."""
    (await box.run(PROGRAM)).unwrap()


class _Unparked(WarmZygote):
    """A zygote that has no guest ready, ever."""

    was_asked = False

    async def _park(self) -> None:
        """Park none."""
        _Unparked.was_asked = True


@asynccontextmanager
async def _unparked() -> AsyncGenerator[Act]:
    async with AsyncSandbox() as box:
        with patch.object(subprocess_backend, "WarmZygote", _Unparked):
            await call(box)  # starts the zygote
        await anyio.sleep(SETTLED_SECONDS)
        if not _Unparked.was_asked:  # or this row would be the parked one again
            message = "parking cannot be switched off in this version"
            raise NotThere(message)
        yield one(AFTER_THE_FIRST, partial(call, box))


@asynccontextmanager
async def _cold(name: str) -> AsyncGenerator[Act]:
    async def turn() -> Times:
        async with AsyncExitStack() as stack:
            started = time.perf_counter()
            box = await stack.enter_async_context(AsyncSandbox())
            await call(box)
            return {name: [time.perf_counter() - started]}

    yield turn


@asynccontextmanager
async def _exec(name: str) -> AsyncGenerator[Act]:
    async def execute() -> None:
        (await box.exec(["true"])).unwrap()

    async with AsyncSandbox() as box:
        await execute()
        yield one(name, execute)


@asynccontextmanager
async def _blocking(name: str) -> AsyncGenerator[Act]:
    def run() -> Times:
        started = time.perf_counter()
        box.run(PROGRAM).unwrap()
        return {name: [time.perf_counter() - started]}

    with Sandbox() as box:
        box.run(PROGRAM).unwrap()
        yield blocking(run)


@asynccontextmanager
async def _fork_here(name: str) -> AsyncGenerator[Act]:
    async def turn() -> Times:
        return {name: [fork_here()]}

    yield turn


def _preloaded(modules: Sequence[str], folder: Path | None) -> AsyncSandbox:
    """Make a sandbox with modules imported, under "strict" and the packages it needs for them."""
    interpreter = _interpreter(folder)
    for module in modules:
        found = importlib.util.find_spec(module) if not folder else _in(interpreter, module)
        if not found:
            message = f"{module} is not installed"
            raise NotThere(message)
    reason = "to import what was preloaded"
    policy = Policy().widen(reason, packages=InstalledPackages(reason=reason))
    backend = SubprocessBackend(preload=tuple(modules), interpreter=interpreter)
    return AsyncSandbox(policy, backend=backend)


def _interpreter(folder: Path | None) -> Interpreter:
    """Give this interpreter with the packages of a virtual environment made from the same."""
    current = Interpreter.current()
    if not folder:
        return current
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = (str(folder / "lib" / version / "site-packages"),)
    return Interpreter(
        executable=current.executable,
        prefix=current.prefix,
        packages=packages,
        version=current.version,
    )


def _in(interpreter: Interpreter, module: str) -> bool:
    return any(Path(folder, module).is_dir() for folder in interpreter.packages)
