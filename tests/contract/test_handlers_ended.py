"""The end of handlers in two steps: cancelled at the deadline, killed after the grace."""

import asyncio
import contextlib
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.tools.context import Cancelled, Progress, Resource
from tests.conftest import SandboxFor
from tests.contract.handlers import (
    GRACE_SECONDS,
    WALL_SECONDS,
    box_with_grace,
    handler,
    sleeps,
    states,
    swallows,
)
from tests.contract.tills import Till, each_factory, say

pytestmark = pytest.mark.slow
SLACK_SECONDS = 2.0
"""For a busy machine; the benchmarks measure how fast it really is."""


async def sleeps_later(*, till: object) -> None:
    del till
    await asyncio.sleep(60)


async def blocks_its_loop(*, till: object) -> None:
    sleeps(till=till)


def spins(*, till: object) -> None:
    while till:
        pass


def waits_for_a_lock(*, till: object) -> None:
    del till
    lock = threading.Lock()
    with lock:
        lock.acquire()


def backtracks(*, till: object) -> None:
    del till
    re.match("(a+)+$", "a" * 60 + "b")


ENDED: dict[str, Callable[..., Any]] = {
    "sleeping": sleeps,
    "sleeping in async code": sleeps_later,
    "blocking its event loop": blocks_its_loop,
    "spinning": spins,
    "waiting for a lock": waits_for_a_lock,
    "a regular expression": backtracks,
}


@pytest.mark.parametrize("function", ENDED.values(), ids=ENDED.keys())
def test_at_the_deadline_resources_are_rolled_back(
    sandbox_for: SandboxFor, function: Callable[..., Any]
) -> None:
    call = handler(function, till=Resource(Till, "till"))
    result = box_with_grace(sandbox_for).execute(call)

    assert (result.status, states(result.notes)[-1]) == ("timeout", ("till", "rolled_back"))


@each_factory
def test_each_kind_of_resource_is_rolled_back_at_the_deadline(
    sandbox_for: SandboxFor, factory: Callable[[], object]
) -> None:
    call = handler(sleeps, till=Resource(factory, "till"))
    result = box_with_grace(sandbox_for).execute(call)

    assert (result.status, states(result.notes)[-1]) == ("timeout", ("till", "rolled_back"))


def test_sync_code_sees_the_deadline_as_an_exception(sandbox_for: SandboxFor) -> None:
    def looks() -> None:
        try:
            time.sleep(60)
        except Cancelled:
            say("cancelled")
            raise

    assert box_with_grace(sandbox_for).execute(handler(looks)).stdout == "cancelled\n"


def test_a_handler_may_tell_how_far_it_got_when_it_is_cancelled(sandbox_for: SandboxFor) -> None:
    def counts(*, progress: Progress) -> None:
        try:
            time.sleep(60)
        finally:
            progress.emit({"done": 7})

    result = box_with_grace(sandbox_for).execute(handler(counts, progress="progress"))

    assert (result.status, result.partial) == ("timeout", ({"done": 7},))


def test_the_deadline_cuts_no_frame_in_two(sandbox_for: SandboxFor) -> None:
    def tells_for_ever(*, progress: Progress) -> None:
        try:
            while True:
                progress.emit("x" * 100)
        finally:
            progress.emit("end")

    result = box_with_grace(sandbox_for, result_bytes=1 << 26).execute(
        handler(tells_for_ever, progress="progress")
    )

    assert (result.status, result.notes != ()) == ("timeout", True)


def loops_in_c(*, till: object) -> None:
    sum(range(10**15)) if till else None


def blocks_signals(*, till: object) -> None:
    del till
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    time.sleep(60)


async def swallows_later(*, till: object) -> None:
    while till:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


def closes_slowly() -> Iterator[str]:
    try:
        yield "till"
    finally:
        time.sleep(60)


KILLED: dict[str, Callable[..., Any]] = {
    "swallowing": swallows,
    "swallowing in async code": swallows_later,
    "a loop in C": loops_in_c,
    "blocking signals": blocks_signals,
}


@pytest.mark.parametrize("function", KILLED.values(), ids=KILLED.keys())
def test_who_does_not_end_is_killed_after_the_grace(
    sandbox_for: SandboxFor, function: Callable[..., Any]
) -> None:
    result = box_with_grace(sandbox_for).execute(handler(function, till=Resource(Till, "till")))
    in_time = result.usage.wall_seconds < WALL_SECONDS + GRACE_SECONDS + SLACK_SECONDS

    assert (result.status, in_time, states(result.notes)) == ("timeout", True, [("till", "opened")])


def test_a_clean_up_that_takes_longer_than_the_grace_is_killed(sandbox_for: SandboxFor) -> None:
    call = handler(sleeps, till=Resource(closes_slowly, "till"))
    result = box_with_grace(sandbox_for).execute(call)

    assert (result.status, states(result.notes)) == ("timeout", [("till", "opened")])


def test_a_handler_with_less_time_than_its_policy_ends_at_its_own(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(wall_seconds=30, grace_seconds=GRACE_SECONDS, cpu_seconds=30)
    result = box.execute(handler(sleeps, till=Resource(Till), wall_seconds=0.3))

    assert (result.status, result.usage.wall_seconds < SLACK_SECONDS) == ("timeout", True)
