"""Sandbox.map on a backend without processes: the same bounds, from a thread."""

import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import anyio
import pytest

from sandbox import AsyncSandbox, BadCall, EngineFault, Sandbox, Source
from sandbox.backends.fake import FakeBackend, returned
from sandbox.batch import BlockingResults, Done
from sandbox.call import Call
from sandbox.loop_thread import LoopThread

T = TypeVar("T")
PATIENCE_SECONDS = 10.0


class Held:
    """Holds every call but the given ones, and tells who was killed and who was not."""

    def __init__(self, *passing: str) -> None:
        self._passing = passing
        self.killed: list[str] = []
        self.overslept: list[str] = []
        self.inside = threading.Semaphore(0)

    async def __call__(self, call: Call) -> None:
        assert isinstance(call, Source)
        if call.source in self._passing:
            return
        self.inside.release()
        try:
            await anyio.sleep(PATIENCE_SECONDS)
            self.overslept.append(call.source)
        except anyio.get_cancelled_exc_class():
            self.killed.append(call.source)
            raise

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self.inside.acquire(timeout=PATIENCE_SECONDS)


class Taken:
    """Gives calls "0", "1", ... and counts them and the threads that took them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.taken = 0
        self.threads: set[str] = set()

    def __iter__(self) -> Iterator[Source]:
        """Count each when it is taken."""
        for number in range(self.count):
            self.taken += 1
            self.threads.add(threading.current_thread().name)
            yield Source(source=str(number))


def answering(count: int, held: Held | None = None) -> FakeBackend:
    return FakeBackend([returned(None)] * count, before=held)


def threads_of_maps() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("sandbox-map")]


def test_every_call_gives_one_result() -> None:
    with Sandbox(backend=answering(50), parallel=3) as box:
        assert sorted(done.index for done in box.map(Taken(50))) == list(range(50))


def test_a_result_names_its_call() -> None:
    with Sandbox(backend=FakeBackend.returning("x", "y"), parallel=1) as box:
        done = list(box.map(Taken(2)))

    assert done[1] == Done(index=1, call=Source(source="1"), result=done[1].result)


@pytest.mark.parametrize("concurrency", [1, 2, 5])
def test_no_more_calls_are_taken_than_results_are_missing(concurrency: int) -> None:
    calls, most = Taken(20), 0
    with Sandbox(backend=answering(20), parallel=20) as box:
        for given, _ in enumerate(box.map(calls, concurrency=concurrency)):
            most = max(most, calls.taken - given)

    assert most == concurrency


def test_calls_are_taken_in_the_thread_that_asks() -> None:
    calls = Taken(5)
    with Sandbox(backend=answering(5), parallel=2) as box:
        list(box.map(calls))

    assert calls.threads == {threading.current_thread().name}


def test_an_iterable_of_calls_may_use_the_same_sandbox() -> None:
    with Sandbox(backend=FakeBackend.returning(1, 2), parallel=1) as box:
        calls = (Source(source=str(box.run("first").value)) for _ in range(1))

        assert [done.result.value for done in box.map(calls)] == [2]


def test_leaving_the_block_kills_what_runs() -> None:
    held = Held("0")
    with Sandbox(backend=answering(9, held), parallel=3) as box:
        with box.map(Taken(9)) as results:
            next(results)
            held.wait_for(2)
        killed = sorted(held.killed)

    assert killed == ["1", "2"]


def test_leaving_while_calls_are_about_to_start_leaves_no_thread() -> None:
    with Sandbox(backend=answering(9, Held("0")), parallel=9) as box:
        with box.map(Taken(9)) as results:
            next(results)

        assert threads_of_maps() == []


def test_a_call_that_starts_after_the_others_were_killed_is_killed_too() -> None:
    held, loop, has_killed = Held("0"), LoopThread(), threading.Event()
    box = AsyncSandbox(backend=answering(2, held), parallel=2)

    def wait(run: Callable[[], Awaitable[T]]) -> T:
        index = getattr(run, "args", [None])[0]  # None for what kills the others
        assert index != 1 or has_killed.wait(PATIENCE_SECONDS)
        try:
            return loop.wait(run)
        finally:
            if index is None:
                has_killed.set()

    with BlockingResults(box.execute, wait, Taken(2), 2) as results:
        next(results)
    loop.close(box.aclose)

    assert held.overslept == []


def test_a_fault_of_the_engine_comes_out_of_the_iterator() -> None:
    backend = FakeBackend([returned(1), EngineFault("gone")])
    with Sandbox(backend=backend, parallel=1) as box:
        results = box.map(Taken(9))
        next(results)
        with pytest.raises(EngineFault, match="gone"):
            next(results)


def test_after_a_fault_the_iterator_is_at_its_end() -> None:
    with Sandbox(backend=FakeBackend([EngineFault("gone")]), parallel=1) as box:
        results = box.map(Taken(9))
        with pytest.raises(EngineFault):
            next(results)

        assert list(results) == []


def test_a_fault_of_the_iterable_kills_what_runs() -> None:
    held = Held()

    def calls() -> Iterator[Source]:
        yield Source(source="held")
        held.wait_for(1)
        message = "no more"
        raise LookupError(message)

    with Sandbox(backend=answering(1, held), parallel=2) as box:
        results = box.map(calls())
        with pytest.raises(LookupError, match="no more"):
            next(results)

    assert held.killed == ["held"]


def test_an_interrupt_while_waiting_kills_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()

    def interrupted() -> None:
        held.wait_for(2)
        raise KeyboardInterrupt

    with Sandbox(backend=answering(9, held), parallel=2) as box:
        results = box.map(Taken(9))
        monkeypatch.setattr(results, "_finished", _Queue(interrupted))
        with pytest.raises(KeyboardInterrupt):
            next(results)
        killed = sorted(held.killed)

    assert killed == ["0", "1"]


def test_closing_the_sandbox_ends_a_map_that_is_half_taken() -> None:
    held = Held("0")
    box = Sandbox(backend=answering(9, held), parallel=1)
    results = box.map(Taken(9))
    next(results)
    box.close()
    with pytest.raises(EngineFault, match="closed"):
        next(results)


def test_closing_a_map_of_a_closed_sandbox_does_nothing() -> None:
    box = Sandbox(backend=answering(9), parallel=2)
    results = box.map(Taken(9))
    next(results)
    box.close()
    results.close()

    assert threads_of_maps() == []


def test_a_map_that_is_over_leaves_no_thread() -> None:
    with Sandbox(backend=answering(9), parallel=3) as box:
        list(box.map(Taken(9)))

        assert threads_of_maps() == []


def test_a_concurrency_with_which_nothing_runs_is_refused() -> None:
    with Sandbox(backend=answering(1)) as box, pytest.raises(BadCall, match="give 1 or more"):
        box.map([], concurrency=0)


class _Queue:
    """Stands where finished calls are waited for; an interrupt comes there."""

    def __init__(self, get: object) -> None:
        self.get = get

    def put(self, _: object) -> None:
        """Lose it."""
