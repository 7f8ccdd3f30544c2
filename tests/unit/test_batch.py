"""Many calls at once on a backend without processes: order, bounds, faults and ends."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

import anyio
import pytest

from sandbox import AsyncSandbox, BadCall, EngineFault, Source
from sandbox.backends.fake import FakeBackend, raised, returned
from sandbox.batch import Done
from sandbox.call import Call

pytestmark = pytest.mark.parametrize("loop", ["asyncio", "trio"])


class Gates:
    """Holds each call in the backend until its gate is opened."""

    def __init__(self) -> None:
        self._gates: dict[str, anyio.Event] = {}
        self.inside: list[str] = []
        self.killed: list[str] = []

    async def __call__(self, call: Call) -> None:
        assert isinstance(call, Source)
        self.inside.append(call.source)
        try:
            await self._gate(call.source).wait()
        except anyio.get_cancelled_exc_class():
            self.killed.append(call.source)
            raise
        finally:
            self.inside.remove(call.source)

    async def open(self, *names: str) -> None:
        """Open these one after the other, each once nothing else moves."""
        for name in names:
            await anyio.wait_all_tasks_blocked()
            self._gate(name).set()

    def _gate(self, name: str) -> anyio.Event:
        return self._gates.setdefault(name, anyio.Event())


class Taken:
    """Gives calls "0", "1", ... and counts them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.taken = 0

    def __iter__(self) -> Iterator[Source]:
        """Count each when it is taken."""
        for number in range(self.count):
            self.taken += 1
            yield Source(source=str(number))

    async def waiting(self) -> AsyncIterator[Source]:
        for call in self:
            await anyio.lowlevel.checkpoint()
            yield call


def sources(*names: str) -> list[Source]:
    return [Source(source=name) for name in names]


def source_of(done: Done) -> str:
    assert isinstance(done.call, Source)
    return done.call.source


async def consume(box: AsyncSandbox, calls: Iterable[Call], take: Callable[[Done], object]) -> None:
    async with box.map(calls) as results:
        async for done in results:
            take(done)


def answering(count: int, gates: Gates | None = None) -> FakeBackend:
    return FakeBackend([returned(None)] * count, before=gates)


def check(test: Callable[[], Awaitable[None]], loop: str) -> None:
    anyio.run(test, backend=loop)


def test_every_call_gives_one_result(loop: str) -> None:
    async def test() -> None:
        box = AsyncSandbox(backend=answering(50), parallel=3)
        async with box.map(Taken(50)) as results:
            seen = Counter([done.index async for done in results])

        assert seen == Counter(range(50))

    check(test, loop)


def test_results_come_in_order_of_completion(loop: str) -> None:
    async def test() -> None:
        gates = Gates()
        box = AsyncSandbox(backend=answering(3, gates), parallel=3)
        order: list[str] = []
        async with anyio.create_task_group() as tasks, box.map(Taken(3)) as results:
            tasks.start_soon(gates.open, "2", "0", "1")
            order += [source_of(done) async for done in results]

        assert order == ["2", "0", "1"]

    check(test, loop)


def test_a_result_names_its_call_by_its_index(loop: str) -> None:
    async def test() -> None:
        box = AsyncSandbox(backend=FakeBackend.returning("x", "y"), parallel=1)
        async with box.map(sources("a", "b")) as results:
            seen = [(done.index, source_of(done), done.result.value) async for done in results]

        assert seen == [(0, "a", "x"), (1, "b", "y")]

    check(test, loop)


@pytest.mark.parametrize("concurrency", [1, 2, 5])
def test_no_more_calls_are_taken_than_results_are_missing(loop: str, concurrency: int) -> None:
    async def test() -> None:
        calls, given, most = Taken(20), 0, 0
        box = AsyncSandbox(backend=answering(20), parallel=20)
        async with box.map(calls, concurrency=concurrency) as results:
            async for _ in results:
                await anyio.wait_all_tasks_blocked()
                given += 1
                most = max(most, calls.taken - given)

        assert most == concurrency

    check(test, loop)


def test_nothing_is_taken_before_anybody_asks_beyond_the_bound(loop: str) -> None:
    async def test() -> None:
        calls = Taken(20)
        box = AsyncSandbox(backend=answering(20), parallel=20)
        async with box.map(calls, concurrency=4):
            await anyio.wait_all_tasks_blocked()

        assert calls.taken == 4

    check(test, loop)


def test_as_many_calls_as_the_sandbox_runs_are_taken_by_default(loop: str) -> None:
    async def test() -> None:
        gates = Gates()
        box = AsyncSandbox(backend=answering(20, gates), parallel=3)
        async with box.map(Taken(20)):
            await anyio.wait_all_tasks_blocked()
            inside = sorted(gates.inside)

        assert inside == ["0", "1", "2"]

    check(test, loop)


def test_calls_may_come_from_an_asynchronous_iterable(loop: str) -> None:
    async def test() -> None:
        box = AsyncSandbox(backend=answering(9), parallel=2)
        async with box.map(Taken(9).waiting()) as results:
            seen = sorted([done.index async for done in results])

        assert seen == list(range(9))

    check(test, loop)


def test_results_come_while_the_next_call_is_awaited(loop: str) -> None:
    async def test() -> None:
        never = anyio.Event()

        async def slow() -> AsyncIterator[Source]:
            yield Source(source="first")
            await never.wait()

        box = AsyncSandbox(backend=answering(1), parallel=2)
        async with box.map(slow()) as results:
            first = await anext(results)

        assert source_of(first) == "first"

    check(test, loop)


def test_no_calls_give_no_results(loop: str) -> None:
    async def test() -> None:
        async with AsyncSandbox(backend=answering(0)).map([]) as results:
            assert [done async for done in results] == []

    check(test, loop)


def test_a_call_that_fails_is_a_result_like_any_other(loop: str) -> None:
    async def test() -> None:
        backend = FakeBackend([raised("ValueError"), returned(1)])
        async with AsyncSandbox(backend=backend, parallel=1).map(Taken(2)) as results:
            seen = [done.result.status async for done in results]

        assert seen == ["error", "ok"]

    check(test, loop)


def test_leaving_the_block_kills_what_runs(loop: str) -> None:
    async def test() -> None:
        gates = Gates()
        box = AsyncSandbox(backend=answering(9, gates), parallel=3)
        async with anyio.create_task_group() as tasks, box.map(Taken(9)) as results:
            tasks.start_soon(gates.open, "1")
            async for _ in results:
                break
            await anyio.wait_all_tasks_blocked()

        assert (sorted(gates.killed), gates.inside) == (["0", "2", "3"], [])

    check(test, loop)


def test_cancelling_the_consumer_kills_what_runs(loop: str) -> None:
    async def test() -> None:
        gates = Gates()
        box = AsyncSandbox(backend=answering(9, gates), parallel=3)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consume, box, Taken(9), print)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

        assert (sorted(gates.killed), gates.inside) == (["0", "1", "2"], [])

    check(test, loop)


def test_a_deadline_around_the_loop_is_the_callers(loop: str) -> None:
    async def test() -> None:
        box = AsyncSandbox(backend=answering(9, Gates()), parallel=3)
        with anyio.move_on_after(0.01) as scope:
            async with box.map(Taken(9)) as results:
                await anext(results)

        assert scope.cancelled_caught

    check(test, loop)


def test_what_the_loop_raises_comes_out_as_it_is(loop: str) -> None:
    async def test() -> None:
        box = AsyncSandbox(backend=answering(9), parallel=3)

        def take(done: Done) -> None:
            raise LookupError(done.index)

        with pytest.raises(LookupError, match="0"):
            await consume(box, Taken(9), take)

    check(test, loop)


def test_a_fault_of_the_engine_comes_out_of_the_iterator(loop: str) -> None:
    async def test() -> None:
        backend = FakeBackend([returned(1), EngineFault("gone")])
        seen: list[Done] = []
        with pytest.raises(EngineFault, match="gone"):
            await consume(AsyncSandbox(backend=backend, parallel=1), Taken(9), seen.append)

        assert (len(seen), len(backend.calls)) == (1, 2)

    check(test, loop)


def test_after_a_fault_the_iterator_is_at_its_end(loop: str) -> None:
    async def test() -> None:
        backend = FakeBackend([EngineFault("gone"), returned(1)])
        async with AsyncSandbox(backend=backend, parallel=2).map(Taken(9)) as results:
            with pytest.raises(EngineFault):
                await anext(results)

            assert [done async for done in results] == []

    check(test, loop)


def test_a_fault_kills_the_other_calls(loop: str) -> None:
    async def test() -> None:
        gates = Gates()

        async def before(call: Call) -> None:
            if call != Source(source="1"):
                await gates(call)

        backend = FakeBackend([EngineFault("gone")], before=before)
        async with AsyncSandbox(backend=backend, parallel=2).map(Taken(9)) as results:
            with pytest.raises(EngineFault):
                await anext(results)
            await anyio.wait_all_tasks_blocked()

            assert gates.killed == ["0"]

    check(test, loop)


def test_a_fault_of_the_iterable_comes_out_after_the_results_before_it(loop: str) -> None:
    async def test() -> None:
        def calls() -> Iterator[Source]:
            yield Source(source="good")
            message = "no more"
            raise LookupError(message)

        seen: list[Done] = []
        with pytest.raises(LookupError, match="no more"):
            await consume(AsyncSandbox(backend=answering(1), parallel=1), calls(), seen.append)

        assert [done.index for done in seen] == [0]

    check(test, loop)


@pytest.mark.parametrize("concurrency", [0, -1])
def test_a_concurrency_with_which_nothing_runs_is_refused(loop: str, concurrency: int) -> None:
    async def test() -> None:
        with pytest.raises(BadCall, match="give 1 or more"):
            async with AsyncSandbox(backend=answering(1)).map([], concurrency=concurrency):
                pass

    check(test, loop)


def test_several_tasks_may_take_results(loop: str) -> None:
    async def test() -> None:
        seen: list[int] = []
        box = AsyncSandbox(backend=answering(20), parallel=4)
        async with box.map(Taken(20)) as results, anyio.create_task_group() as tasks:

            async def take() -> None:
                async for done in results:
                    seen.append(done.index)  # noqa: PERF401 - shared

            for _ in range(3):
                tasks.start_soon(take)

        assert sorted(seen) == list(range(20))

    check(test, loop)


def test_a_closed_sandbox_maps_nothing(loop: str) -> None:
    async def test() -> None:
        box = AsyncSandbox(backend=answering(1))
        await box.aclose()
        with pytest.raises(EngineFault, match="closed"):
            async with box.map(Taken(1)) as results:
                await anext(results)

    check(test, loop)
