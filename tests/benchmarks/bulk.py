"""Much output and a large value, beside the same without any isolation."""

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Final

from sandbox import AsyncSandbox, Policy
from tests.benchmarks.names import DUMPS_AND_LOADS, JSON_VALUE, OUTPUT
from tests.benchmarks.subjects import Act, Source, Times, blocking, one

__all__ = ["OUTPUT_BYTES", "bulk_sources"]

OUTPUT_BYTES: Final = 50_000_000
CHUNK_BYTES: Final = 62_500
WRITES: Final = f"""\
import os
chunk = b"x" * {CHUNK_BYTES}
for _ in range({OUTPUT_BYTES // CHUNK_BYTES}):
    left = memoryview(chunk)
    while left:
        left = left[os.write(1, left):]
"""
RECORD: Final = {"id": 1234567, "name": "a name of some length", "score": 0.123456789, "tags": None}
RECORDS: Final = 10_000_000 // len(json.dumps(RECORD))
"""One object many times: made in no time, written and read as if they were all different."""
BARE_OUTPUT: Final = "subprocess.run, 50 MB of output"


def bulk_sources() -> Iterator[Source]:
    """Give ours and what they are compared with."""
    yield Source(names=(OUTPUT,), open=_output)
    yield Source(names=(BARE_OUTPUT,), open=_bare_output, leaves_out="any isolation")
    yield Source(names=(JSON_VALUE,), open=_value)
    yield Source(names=(DUMPS_AND_LOADS,), open=_dumps_and_loads, leaves_out="any isolation")


@asynccontextmanager
async def _output() -> AsyncGenerator[Act]:
    policy = Policy().widen("to write 50 MB", output_bytes=64 << 20)

    async def run() -> None:
        result = await box.run(WRITES, expect_value=False)
        _check(result.ok and result.usage.stdout_bytes == OUTPUT_BYTES)

    async with AsyncSandbox(policy) as box:
        yield one(OUTPUT, run)


@asynccontextmanager
async def _bare_output() -> AsyncGenerator[Act]:
    async def run() -> None:
        await blocking(write)()

    def write() -> Times:
        argv = [sys.executable, "-I", "-S", "-c", WRITES]
        ended = subprocess.run(argv, check=True, capture_output=True)
        _check(len(ended.stdout) == OUTPUT_BYTES)
        return {}

    yield one(BARE_OUTPUT, run)


@asynccontextmanager
async def _value() -> AsyncGenerator[Act]:
    policy = Policy().widen("to give a value of 10 MB", result_bytes=16 << 20)
    source = f"[{RECORD!r}] * {RECORDS}"

    async def run() -> None:
        _check(len((await box.run(source)).unwrap()) == RECORDS)

    async with AsyncSandbox(policy) as box:
        yield one(JSON_VALUE, run)


@asynccontextmanager
async def _dumps_and_loads() -> AsyncGenerator[Act]:
    async def run() -> None:
        _check(len(json.loads(json.dumps([RECORD] * RECORDS))) == RECORDS)

    yield one(DUMPS_AND_LOADS, run)


def _check(is_whole: bool) -> None:  # noqa: FBT001 - it is an assertion
    if not is_whole:
        message = "not all of it arrived"
        raise RuntimeError(message)
