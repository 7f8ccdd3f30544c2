"""One wait for what comes on one descriptor."""

import math
import os
import time
from collections.abc import Generator

import anyio
import pytest

from sandbox.backends.waiting import Listener, under_way

each_loop = pytest.mark.parametrize("loop", ["asyncio", "trio"])


class Pipe:
    """A pipe, and a listener that reads from it and wakes whoever waits."""

    def __init__(self) -> None:
        self.reads, self.writes = os.pipe2(os.O_NONBLOCK)
        self.read = b""
        self.listener = Listener(self.reads, self._take)

    def _take(self) -> None:
        try:
            self.read += os.read(self.reads, 100)
        except BlockingIOError:
            return
        self.listener.wake()

    def is_read(self) -> bool:
        """Whether anything has come."""
        return bool(self.read)


@pytest.fixture
def pipe() -> Generator[Pipe]:
    made = Pipe()
    yield made
    os.close(made.reads)
    os.close(made.writes)


@each_loop
def test_a_wait_ends_with_what_wakes_it(pipe: Pipe, loop: str) -> None:
    async def wait() -> None:
        os.write(pipe.writes, b"x")
        await pipe.listener.wait(math.inf)

    anyio.run(wait, backend=loop)

    assert pipe.read == b"x"


@each_loop
def test_a_wait_ends_at_its_moment(pipe: Pipe, loop: str) -> None:
    async def wait() -> float:
        started = time.monotonic()
        await pipe.listener.wait(started + 0.05)
        return time.monotonic() - started

    assert 0.04 < anyio.run(wait, backend=loop) < 5


@each_loop
def test_what_wakes_while_nobody_sleeps_ends_the_next_wait(pipe: Pipe, loop: str) -> None:
    async def spin() -> None:
        os.write(pipe.writes, b"x")
        with under_way():
            await pipe.listener.spin(pipe.is_read)
            await pipe.listener.wait(math.inf)

    anyio.run(spin, backend=loop)

    assert pipe.read == b"x"


@each_loop
def test_who_does_not_sleep_does_so_for_a_moment_only(pipe: Pipe, loop: str) -> None:
    async def spin() -> float:
        with under_way():
            started = time.monotonic()
            await pipe.listener.spin(lambda: False)
            return time.monotonic() - started

    assert anyio.run(spin, backend=loop) < 1


@each_loop
def test_of_two_calls_none_is_waited_for_without_sleep(pipe: Pipe, loop: str) -> None:
    async def spin() -> None:
        os.write(pipe.writes, b"x")
        with under_way(), under_way():
            await pipe.listener.spin(pipe.is_read)

    anyio.run(spin, backend=loop)

    assert pipe.read == b""


def test_what_comes_is_handled_though_nobody_waits(pipe: Pipe) -> None:
    async def listen() -> None:
        pipe.listener.listen()
        os.write(pipe.writes, b"x")
        await anyio.sleep(0.01)
        pipe.listener.rest()

    anyio.run(listen)

    assert pipe.read == b"x"


@pytest.mark.parametrize("seconds", [0, 0.01])
def test_what_fails_though_nobody_waits_is_raised_by_the_next_wait(
    pipe: Pipe, seconds: float
) -> None:
    def fail() -> None:
        message = "a fault"
        raise LookupError(message)

    async def listen() -> None:
        listener = Listener(pipe.reads, fail)
        os.write(pipe.writes, b"x")
        listener.listen()
        await anyio.sleep(seconds)
        await listener.wait(math.inf)

    with pytest.raises(LookupError, match="a fault"):
        anyio.run(listen)
