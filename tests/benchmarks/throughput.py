"""Calls a second of two callers, beside a server that forks for each call and has no walls."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import anyio

from sandbox import AsyncSandbox
from tests.benchmarks.calls import call, mechanisms, sandbox_by
from tests.benchmarks.fork_helper import ForkHelper
from tests.benchmarks.names import FORK_LOOP, FORK_SERVER, SUSTAINED
from tests.benchmarks.rows import Row
from tests.benchmarks.subjects import (
    Act,
    Choice,
    Rounds,
    Source,
    Times,
    blocking,
    measure_in_turn,
)

__all__ = ["GROUP", "measure_throughput", "throughput_sources"]

GROUP: Final = "sustained"
CALLERS: Final = 2
WARM_UP_CALLS: Final = 20
PER_CALL: Final = "the time per call, {} in a batch"
SERVER: Final = """\
import json, os, select, signal, socket, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
callers = [socket.socket(fileno=int(number)) for number in sys.argv[1:]]
while callers:
    for caller in select.select(callers, [], [])[0]:
        request = caller.recv(65536)
        if not request:
            callers.remove(caller)
        elif os.fork() == 0:
            value = eval(compile(json.loads(request)["source"], "program.py", "eval"))
            caller.send(json.dumps({"value": value}).encode())
            os._exit(0)
"""


async def measure_throughput(choice: Choice, rounds: Rounds, batch: int) -> list[Row]:
    """Measure what is wanted of it, and say how many calls a second that makes."""
    rows = await measure_in_turn(GROUP, choice.of(GROUP, throughput_sources(batch)), rounds)
    return [replace(row, note=_with_rate(row)) for row in rows]


def _with_rate(row: Row) -> str:
    rate = f"{1 / row.median_seconds:,.0f} a second" if row.seconds else ""
    return "; ".join(filter(None, (rate, row.note)))


def throughput_sources(batch: int) -> Iterator[Source]:
    """Give ours and what they are compared with. batch: calls of one caller in one turn."""
    for number, mechanism in enumerate(mechanisms()):
        name = SUSTAINED if number == 0 else f"{SUSTAINED}, {mechanism}"
        opener = partial(_ours, name, mechanism, batch, CALLERS)
        yield Source(names=(name,), open=opener, note=f"{mechanism}; {_per(CALLERS * batch)}")
    alone = f"{SUSTAINED}, 1 caller"
    opener = partial(_ours, alone, next(mechanisms()), batch, 1)
    yield Source(names=(alone,), open=opener, note=_per(batch))
    yield Source(
        names=(FORK_SERVER,),
        open=partial(_server, batch),
        leaves_out="any isolation",
        note=_per(CALLERS * batch),
    )
    yield Source(
        names=(FORK_LOOP,), open=partial(_loop, batch), leaves_out="any isolation", note=_per(batch)
    )


def _per(calls: int) -> str:
    return PER_CALL.format(calls)


@asynccontextmanager
async def _ours(name: str, mechanism: str, batch: int, callers: int) -> AsyncGenerator[Act]:
    async def turn() -> Times:
        started = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for _ in range(callers):
                tasks.start_soon(_run_many, box, batch)
        return {name: [(time.perf_counter() - started) / (callers * batch)]}

    async with sandbox_by(mechanism) as box:
        await _run_many(box, WARM_UP_CALLS)
        yield turn


async def _run_many(box: AsyncSandbox, count: int) -> None:
    for _ in range(count):
        await call(box)


@asynccontextmanager
async def _server(batch: int) -> AsyncGenerator[Act]:
    with _started_server() as ours, ThreadPoolExecutor(CALLERS) as callers:
        ask = [partial(_ask_many, sock, batch) for sock in ours]
        yield blocking(lambda: {FORK_SERVER: [_together(callers, ask) / (CALLERS * batch)]})


@contextmanager
def _started_server() -> Generator[list[socket.socket]]:
    """Start it; give a socket for each caller. It ends when they are closed."""
    with ExitStack() as stack:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(CALLERS)]
        theirs = [stack.enter_context(pair[1]).fileno() for pair in pairs]
        argv = [sys.executable, "-I", "-S", "-c", SERVER, *map(str, theirs)]
        stack.enter_context(subprocess.Popen(argv, pass_fds=theirs))
        yield [stack.enter_context(pair[0]) for pair in pairs]


def _together(callers: ThreadPoolExecutor, acts: Sequence[Callable[[], None]]) -> float:
    started = time.perf_counter()
    for future in [callers.submit(act) for act in acts]:
        future.result()
    return time.perf_counter() - started


def _ask_many(server: socket.socket, count: int) -> None:
    for _ in range(count):
        server.send(json.dumps({"source": "6 * 7"}).encode())
        if json.loads(server.recv(65536)) != {"value": 42}:
            message = "the fork-per-call server gave another answer"
            raise RuntimeError(message)


@asynccontextmanager
async def _loop(batch: int) -> AsyncGenerator[Act]:
    with ForkHelper() as helper:
        yield blocking(lambda: {FORK_LOOP: [helper.fork(batch) / batch]})
