"""The executor schedules, cancels and ends as the standard library's pools do; no guest runs."""

import asyncio
import gc
import logging
import math
import operator
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, as_completed, wait
from contextlib import suppress
from typing import Any

import pytest

from sandbox import EngineFault, SandboxExecutor
from sandbox.backends.base import Sighting
from sandbox.backends.fake import FakeBackend, returned
from sandbox.call import Call

PATIENCE_SECONDS = 10.0


class Gate:
    """Holds the calls of a fake until it is opened; notes how many were in it at once."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.most = 0
        self._inside = 0
        self._opened = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def hold(self, _call: Call) -> None:
        self._loop = asyncio.get_running_loop()
        self._inside += 1
        self.most = max(self.most, self._inside)
        self.entered.release()
        try:
            await self._opened.wait()
        finally:
            self._inside -= 1

    def wait_entered(self) -> None:
        assert self.entered.acquire(timeout=PATIENCE_SECONDS)

    def open(self) -> None:
        assert self._loop
        self._loop.call_soon_threadsafe(self._opened.set)


@pytest.fixture
def gate() -> Gate:
    """What holds the calls of one test."""
    return Gate()


@pytest.fixture
def held(gate: Gate) -> Iterator[SandboxExecutor]:
    """An executor with one place, whose calls stay in the gate."""
    backend = FakeBackend([returned(number) for number in range(9)], before=gate.hold)
    executor = SandboxExecutor(max_workers=1, backend=backend)
    yield executor
    with suppress(KeyboardInterrupt), executor:
        raise KeyboardInterrupt  # kills what a test has left


def answering(*sightings: Sighting | EngineFault) -> SandboxExecutor:
    return SandboxExecutor(max_workers=2, backend=FakeBackend(sightings))


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "sandbox-executor"]


def test_a_submitted_call_gives_its_value() -> None:
    with answering(returned(42)) as executor:
        assert executor.submit(int).result() == 42


def test_it_is_an_executor_of_the_standard_library() -> None:
    assert isinstance(answering(), Executor)


def test_map_gives_values_in_order() -> None:
    with answering(returned(1), returned(2), returned(3)) as executor:
        assert sorted(executor.map(math.sqrt, [1, 4, 9], chunksize=2)) == [1, 2, 3]


@pytest.mark.parametrize("number", [0, -1])
def test_no_executor_has_less_than_one_place(number: int) -> None:
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        SandboxExecutor(max_workers=number)


def test_so_many_calls_run_at_once(gate: Gate) -> None:
    backend = FakeBackend([returned(number) for number in range(9)], before=gate.hold)
    with SandboxExecutor(max_workers=3, backend=backend) as executor:
        futures = [executor.submit(int) for _ in range(9)]
        for _ in range(3):
            gate.wait_entered()
        gate.open()
        wait(futures)

    assert gate.most == 3


def test_cancel_ends_a_call_that_runs(held: SandboxExecutor, gate: Gate) -> None:
    future = held.submit(int)
    gate.wait_entered()

    assert (future.running(), future.cancel(), future.cancelled(), future.running()) == (
        *(True, True),
        *(True, False),
    )


def test_a_cancelled_call_raises_cancelled(held: SandboxExecutor, gate: Gate) -> None:
    future = held.submit(int)
    gate.wait_entered()
    future.cancel()

    with pytest.raises(CancelledError):
        future.result()


WAITING: dict[str, Callable[[list[Future[Any]]], object]] = {
    "wait": lambda futures: wait(futures, PATIENCE_SECONDS).done,
    "as_completed": lambda futures: set(as_completed(futures, PATIENCE_SECONDS)),
}


@pytest.mark.parametrize("waiting", WAITING.values(), ids=WAITING.keys())
def test_who_waits_is_told_of_a_cancel(
    held: SandboxExecutor, gate: Gate, waiting: Callable[[list[Future[Any]]], object]
) -> None:
    runs, pends = held.submit(int), held.submit(int)
    gate.wait_entered()
    pends.cancel()
    runs.cancel()

    assert waiting([runs, pends]) == {runs, pends}


def test_who_waits_is_told_of_a_cancelled_one_while_those_before_it_run(
    held: SandboxExecutor, gate: Gate
) -> None:
    runs, pends = held.submit(int), held.submit(int)
    gate.wait_entered()
    pends.cancel()

    assert (wait([pends], PATIENCE_SECONDS).done, runs.running()) == ({pends}, True)


def test_the_place_of_a_cancelled_call_is_free(held: SandboxExecutor, gate: Gate) -> None:
    first, second = held.submit(int), held.submit(int)
    gate.wait_entered()
    first.cancel()
    gate.wait_entered()
    gate.open()

    assert second.result(PATIENCE_SECONDS) == 0


def test_a_finished_call_cannot_be_cancelled() -> None:
    with answering(returned(1)) as executor:
        future = executor.submit(int)
        wait([future])

        assert (future.cancel(), future.result()) == (False, 1)


def test_a_running_future_says_so(held: SandboxExecutor, gate: Gate) -> None:
    future = held.submit(int)
    gate.wait_entered()

    assert "state=running" in repr(future)


def test_closing_a_map_kills_its_calls(held: SandboxExecutor, gate: Gate) -> None:
    values = held.map(math.sqrt, [1.0, 4.0], timeout=0)
    gate.wait_entered()
    with pytest.raises(TimeoutError):
        next(values)
    last = held.submit(int)
    gate.wait_entered()  # by the last: the others have left
    gate.open()

    assert last.result(PATIENCE_SECONDS) == 0


def test_many_threads_may_cancel_what_is_about_to_end(caplog: pytest.LogCaptureFixture) -> None:
    called: list[Future[Any]] = []
    start = threading.Barrier(4)
    backend = FakeBackend.returning(*[1] * 200)
    with SandboxExecutor(max_workers=5, backend=backend) as executor:
        futures = [executor.submit(operator.add, 1, 1) for _ in range(200)]

        def cancel(offset: int) -> None:
            start.wait()
            for future in (*futures[offset::2], *futures):
                future.cancel()

        for future in futures:
            future.add_done_callback(called.append)
        cancelling = [threading.Thread(target=cancel, args=(number,)) for number in range(3)]
        for thread in cancelling:
            thread.start()
        start.wait()
        done = wait(futures, PATIENCE_SECONDS).done
        for thread in cancelling:
            thread.join()

    assert (done, len(called), set(called)) == (set(futures), 200, set(futures))
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


def test_a_callback_may_submit_and_cancel(held: SandboxExecutor, gate: Gate) -> None:
    followed: list[Future[Any]] = []
    is_told = threading.Event()

    def follow(_: Future[Any]) -> None:
        followed.extend([held.submit(int), held.submit(int)])
        followed[1].cancel()
        followed[0].add_done_callback(lambda _: is_told.set())

    held.submit(int).add_done_callback(follow)
    gate.wait_entered()
    gate.open()
    assert is_told.wait(PATIENCE_SECONDS)

    assert (followed[0].result(), followed[1].cancelled()) == (1, True)


def test_a_callback_cannot_wait_for_its_own_executor(held: SandboxExecutor, gate: Gate) -> None:
    raised: list[BaseException] = []

    def end(_: Future[Any]) -> None:
        try:
            held.shutdown()
        except RuntimeError as error:
            raised.append(error)

    future = held.submit(int)
    future.add_done_callback(end)
    gate.wait_entered()
    gate.open()
    held.shutdown()

    assert "a callback cannot wait" in str(raised[0])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_callback_that_ends_the_thread_leaves_nobody_waiting(
    held: SandboxExecutor, gate: Gate
) -> None:
    def leave(_: Future[Any]) -> None:
        raise SystemExit

    first, second = held.submit(int), held.submit(int)
    first.add_done_callback(leave)
    gate.wait_entered()
    gate.open()

    assert wait([first, second], PATIENCE_SECONDS).not_done == set()


def test_nothing_is_taken_after_shutdown() -> None:
    executor = answering()
    executor.shutdown()

    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(print, object())


def test_shutdown_waits_for_what_was_submitted(held: SandboxExecutor, gate: Gate) -> None:
    futures = [held.submit(int) for _ in range(3)]
    gate.wait_entered()
    held.shutdown(wait=False)
    gate.open()
    held.shutdown()

    assert [future.result(timeout=0) for future in futures] == [0, 1, 2]


def test_shutdown_may_cancel_what_has_not_begun(held: SandboxExecutor, gate: Gate) -> None:
    first, *others = [held.submit(int) for _ in range(3)]
    gate.wait_entered()
    held.shutdown(wait=False, cancel_futures=True)
    gate.open()

    assert (first.result(PATIENCE_SECONDS), [each.cancelled() for each in others]) == (
        *(0, [True, True]),
    )


def test_shutdown_ends_the_thread() -> None:
    before = threads()
    with answering(returned(1)) as executor:
        executor.submit(int).result()

    assert threads() == before


def test_an_executor_that_nobody_holds_finishes_and_ends() -> None:
    before = threads()
    executor = answering(returned(1), returned(2))
    values = executor.map(math.sqrt, [1, 4])
    (thread,) = set(threads()) - set(before)
    del executor
    gc.collect()
    thread.join(PATIENCE_SECONDS)

    assert (thread.is_alive(), sorted(values)) == (False, [1, 2])


def test_an_interrupt_of_the_wait_leaves_the_call(gate: Gate) -> None:
    async def interrupt(call: Call) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        await gate.hold(call)

    backend = FakeBackend([returned(1)], before=interrupt)
    with SandboxExecutor(max_workers=1, backend=backend) as executor:
        future = executor.submit(int)
        try:
            with pytest.raises(KeyboardInterrupt):
                future.result(PATIENCE_SECONDS)
            gate.wait_entered()
        finally:  # or a test that fails would wait for ever
            gate.open()

        assert future.result(PATIENCE_SECONDS) == 1


ENDS: dict[str, type[BaseException]] = {"Ctrl-C": KeyboardInterrupt, "an exit": SystemExit}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_leaving_the_block_by_an_end_kills_all(
    held: SandboxExecutor, gate: Gate, end: type[BaseException]
) -> None:
    futures: list[Future[Any]] = []
    with pytest.raises(end), held:  # noqa: PT012 - what is left inside
        futures += [held.submit(int) for _ in range(3)]
        gate.wait_entered()
        raise end

    assert [future.cancelled() for future in futures] == [True] * 3


def test_leaving_the_block_by_an_error_waits(held: SandboxExecutor, gate: Gate) -> None:
    futures: list[Future[Any]] = []
    with pytest.raises(LookupError), held:  # noqa: PT012 - ditto
        futures += [held.submit(int) for _ in range(3)]
        gate.wait_entered()
        gate.open()
        raise LookupError

    assert [future.result(timeout=0) for future in futures] == [0, 1, 2]


def test_asyncio_takes_it_as_an_executor() -> None:
    async def program() -> object:
        return await asyncio.get_running_loop().run_in_executor(executor, math.sqrt, 4)

    with answering(returned(2.0)) as executor:
        assert asyncio.run(program()) == 2


def test_cancelling_a_task_of_asyncio_ends_its_call(held: SandboxExecutor, gate: Gate) -> None:
    async def program() -> None:
        waiting = asyncio.get_running_loop().run_in_executor(held, math.sqrt, 4)
        await asyncio.to_thread(gate.wait_entered)
        waiting.cancel()

    asyncio.run(program())
    held.submit(int)
    gate.wait_entered()  # there is a place again
