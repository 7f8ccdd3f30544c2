"""What a call in a container costs, beside others that start one of the same image."""

import shutil
import subprocess
import time
from collections.abc import AsyncGenerator, Collection, Generator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import psutil

from sandbox import AsyncSandbox, Policy, SandboxError
from sandbox.backends.docker import DockerBackend
from sandbox.backends.docker_engine import DockerEngine
from sandbox.backends.images import tag_of
from tests.benchmarks.calls import call
from tests.benchmarks.names import DOCKER_RUN, IDLE_CONTAINER
from tests.benchmarks.peers import CONTAINERS, as_source
from tests.benchmarks.rows import Row
from tests.benchmarks.subjects import (
    FEW,
    Act,
    Choice,
    Rounds,
    Source,
    Times,
    blocking,
    measure_in_turn,
    one,
    reason,
)

__all__ = ["GROUP", "container_sources", "measure_containers", "measure_idle_containers"]

GROUP: Final = "containers"
WARM: Final = 4
SETTLE_SECONDS: Final = 0.5
"""Between two turns, so that the engine has tidied up after one before the next."""
WARM_REST_SECONDS: Final = 1.0
"""Before a call for which a container waits: what its start costs is another row."""
FILL_SECONDS: Final = 300.0
WALL_SECONDS: Final = 0.3
LOOP: Final = "while True: pass"
IMAGE: Final = "sandbox-benchmarks/python:1"
DOCKERFILE: Final = """\
FROM {}
USER root
CMD ["/bin/sh"]
"""
"""Ours, with the user and the shell that llm-sandbox and AutoGen look for."""


async def measure_containers(choice: Choice, python: Path, rounds: int) -> list[Row]:
    """Measure each in turn. python: the interpreter that has the peers."""
    try:
        with closing(DockerEngine()) as engine:
            engine.image(tag_of("python"))
            runtimes, fault = engine.info().runtimes, ""
    except SandboxError as error:
        runtimes, fault = ("runc", "runsc"), reason(error)
    sources = choice.of(GROUP, container_sources(runtimes, python))
    if fault:
        names = [name for source in sources for name in source.names]
        return [Row(name=name, group=GROUP, missing=fault) for name in names]
    with _image(is_needed=bool(sources)):
        return await measure_in_turn(
            GROUP, sources, Rounds(count=rounds, settle_seconds=SETTLE_SECONDS)
        )


def container_sources(runtimes: Collection[str], python: Path) -> Iterator[Source]:
    """Give the peers, and ours on each runtime that the engine has."""
    for peer in CONTAINERS:
        program = f"IMAGE = {IMAGE!r}\n{peer.program}"
        yield as_source(replace(peer, program=program), python)
    for runtime in ("runc", "runsc"):
        if runtime in runtimes:
            yield from _ours(runtime)


def _ours(runtime: str) -> Iterator[Source]:
    where = "docker" if runtime == "runc" else "docker, gVisor"
    waits, started, turn, late = (
        f"ours, {where}, {what}"
        for what in (
            "container waits",
            "container started for it",
            "session call",
            "late after a deadline",
        )
    )
    opener = partial(_calls, waits, runtime, WARM)
    yield Source(
        names=(waits,),
        open=opener,
        repeats=2,
        rest_seconds=WARM_REST_SECONDS,
        leaves_out=_without(runtime),
    )
    yield Source(names=(started,), open=partial(_calls, started, runtime, 0))
    yield Source(names=(turn,), open=partial(_turns, turn, runtime), repeats=FEW)
    yield Source(names=(late,), open=partial(_late, late, runtime))
    if runtime == "runsc":
        name = f"{DOCKER_RUN}, gVisor"
        yield Source(names=(name,), open=partial(_docker_run, name))


def _without(runtime: str) -> str:
    return "a kernel of its own" if runtime == "runc" else ""


@contextmanager
def _image(*, is_needed: bool) -> Generator[None]:
    """Have the image of the peers for a while. What it cannot be made of, they say themselves."""
    if not is_needed or not shutil.which("docker"):
        yield
        return
    build = ["docker", "build", "--quiet", "--network", "none", "--tag", IMAGE, "-"]
    document = DOCKERFILE.format(tag_of("python")).encode()
    subprocess.run(build, input=document, check=False, capture_output=True)
    try:
        yield
    finally:
        remove = ["docker", "image", "rm", "--force", IMAGE]
        subprocess.run(remove, check=False, capture_output=True)


def _backend(runtime: str, warm: int) -> DockerBackend:
    return DockerBackend(runtime="runsc" if runtime == "runsc" else "runc", warm=warm)


@asynccontextmanager
async def _calls(name: str, runtime: str, warm: int) -> AsyncGenerator[Act]:
    async with AsyncSandbox(backend=_backend(runtime, warm)) as box:
        await call(box)
        yield one(name, partial(call, box))


@asynccontextmanager
async def _turns(name: str, runtime: str) -> AsyncGenerator[Act]:
    async with AsyncSandbox(backend=_backend(runtime, 0)) as box, box.session() as session:

        async def run() -> None:
            (await session.run("1")).unwrap()

        await run()
        yield one(name, run)


@asynccontextmanager
async def _late(name: str, runtime: str) -> AsyncGenerator[Act]:
    """Measure from a deadline to the answer, which comes when the container is removed."""

    async def turn() -> Times:
        started = time.perf_counter()
        result = await box.run(LOOP)
        late = time.perf_counter() - started - result.phases.prepared - WALL_SECONDS
        return {name: [late]}

    policy = Policy().narrow(wall_seconds=WALL_SECONDS)
    async with AsyncSandbox(policy, backend=_backend(runtime, 0)) as box:
        yield turn


@asynccontextmanager
async def _docker_run(name: str) -> AsyncGenerator[Act]:
    argv = ["docker", "run", "--rm", "--network", "none", "--runtime", "runsc", IMAGE]
    argv += ["/usr/bin/env", "python3", "-I", "-S", "-c", "pass"]

    def turn() -> Times:
        started = time.perf_counter()
        subprocess.run(argv, check=True, capture_output=True)
        return {name: [time.perf_counter() - started]}

    yield blocking(turn)


async def measure_idle_containers(count: int) -> list[Row]:
    """Start a pool of idle containers and say what it takes of this host's memory."""
    before = psutil.virtual_memory().available
    started = time.perf_counter()
    async with AsyncSandbox(backend=_backend("runc", count)) as box:
        await call(box)
        with anyio.fail_after(FILL_SECONDS):
            while _running_containers() < count:  # noqa: ASYNC110 - the engine tells nobody
                await anyio.sleep(0.1)
        filled = time.perf_counter() - started
        taken = (before - psutil.virtual_memory().available) / count / 1e6
    note = f"as the host's free memory shrank; a pool of {count} was full after {filled:.0f} s"
    return [Row(name=IDLE_CONTAINER, group="memory", amount=taken, unit="MB", note=note)]


def _running_containers() -> int:
    with closing(DockerEngine()) as engine:
        return sum(each.get("State") == "running" for each in engine.owned())
