"""What a call in a container costs, beside `docker run` of the same code on the same engine."""

import shutil
import subprocess
import time
from contextlib import closing
from typing import Final

import anyio
import psutil

from sandbox import AsyncSandbox, Policy, SandboxError
from sandbox.backends.docker import DockerBackend
from sandbox.backends.docker_engine import DockerEngine
from sandbox.backends.images import tag_of
from tests.benchmarks.rows import Row

__all__ = ["measure_containers"]

WARM: Final = 4
REST_SECONDS: Final = 1.0
"""Between two calls, so that a container waits for each: what a start costs is another row."""
WALL_SECONDS: Final = 0.3
IDLE: Final = 50
WORK: Final = "sum(range(1000))"
LOOP: Final = "while True: pass"
DOCKER_RUN: Final = ("docker", "run", "--rm", "--network", "none")


async def measure_containers(count: int) -> list[Row]:
    """Measure each thing `count` times; one row that says why where there is no engine."""
    try:
        with closing(DockerEngine()) as engine:
            engine.image(tag_of("python"))
            runtimes = engine.info().runtimes
    except SandboxError as fault:
        return [Row(name="containers", note=f"not measured: {fault}")]
    rows: list[Row] = []
    for runtime in ("runc", "runsc"):
        if runtime in runtimes:
            rows += await _measure_runtime(runtime, count)
    return [*rows, await _measure_idle(IDLE if count >= 10 else WARM)]


async def _measure_runtime(runtime: str, count: int) -> list[Row]:
    plain = [_docker_run_seconds(runtime) for _ in range(count)] if shutil.which("docker") else []
    warm, one = await _warm_seconds(runtime, count), await _cold_seconds(runtime, count)
    late = [await _late_seconds(runtime) for _ in range(min(count, 10))]
    return [
        Row(name=f"docker run --rm, {runtime}", seconds=tuple(plain), note="no limit, no verdict"),
        Row(name=f"call, container waits, {runtime}", seconds=tuple(warm)),
        Row(name=f"call, container started for it, {runtime}", seconds=tuple(one)),
        Row(
            name=f"late, {runtime}",
            seconds=tuple(late),
            note="from the deadline until the container is removed",
        ),
    ]


def _backend(runtime: str, warm: int) -> DockerBackend:
    return DockerBackend(runtime="runsc" if runtime == "runsc" else "runc", warm=warm)


def _docker_run_seconds(runtime: str) -> float:
    started = time.perf_counter()
    python = ("/usr/bin/env", "python3", "-I", "-S", "-c", f"print({WORK})")
    command = [*DOCKER_RUN, "--runtime", runtime, tag_of("python"), *python]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


async def _warm_seconds(runtime: str, count: int) -> list[float]:
    async with AsyncSandbox(backend=_backend(runtime, WARM)) as box:
        (await box.run(WORK)).unwrap()
        seconds: list[float] = []
        for _ in range(count):
            await anyio.sleep(REST_SECONDS)
            seconds.append(await _run_seconds(box, WORK))
        return seconds


async def _cold_seconds(runtime: str, count: int) -> list[float]:
    async with AsyncSandbox(backend=_backend(runtime, 0)) as box:
        return [await _run_seconds(box, WORK) for _ in range(count)]


async def _run_seconds(box: AsyncSandbox, source: str) -> float:
    started = time.perf_counter()
    (await box.run(source)).unwrap()
    return time.perf_counter() - started


async def _late_seconds(runtime: str) -> float:
    """Give the time from a deadline to the answer, which comes when the container is removed."""
    policy = Policy.load("strict").narrow(wall_seconds=WALL_SECONDS)
    async with AsyncSandbox(policy, backend=_backend(runtime, 0)) as box:
        started = time.perf_counter()
        result = await box.run(LOOP)
        return time.perf_counter() - started - result.phases.prepared - WALL_SECONDS


async def _measure_idle(count: int) -> Row:
    """Start a pool of idle containers and say what it takes of this host's memory."""
    before = psutil.virtual_memory().available
    started = time.perf_counter()
    async with AsyncSandbox(backend=_backend("runc", count)) as box:
        (await box.run(WORK)).unwrap()
        while _running_containers() < count:  # noqa: ASYNC110 - the engine tells nobody
            await anyio.sleep(0.1)
        filled = time.perf_counter() - started
        taken = (before - psutil.virtual_memory().available) / count / (1 << 20)
    note = f"a pool of {count} was full after {filled:.0f} s, {taken:.1f} MiB of memory each"
    return Row(name=f"{count} idle containers", note=note)


def _running_containers() -> int:
    with closing(DockerEngine()) as engine:
        return sum(each.get("State") == "running" for each in engine.owned())
