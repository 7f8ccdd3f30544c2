"""Admission, order and times of calls, on a backend without processes."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from sandbox import AsyncSandbox, EngineFault, Policy, Sandbox, Source
from sandbox.backends.fake import FakeBackend, raised, returned
from sandbox.call import Call
from sandbox.policy import NoPrograms

pytestmark = pytest.mark.parametrize("loop", ["asyncio", "trio"])


class Gate:
    """Holds calls in the backend, and tells how many are there."""

    def __init__(self) -> None:
        self.open = anyio.Event()
        self.inside: list[str] = []
        self.most = 0

    async def __call__(self, call: Call) -> None:
        assert isinstance(call, Source)
        self.inside.append(call.source)
        self.most = max(self.most, len(self.inside))
        await self.open.wait()
        self.inside.remove(call.source)


async def at_once(box: AsyncSandbox, gate: Gate, count: int) -> list[object]:
    """Start so many calls, open the gate once all have gone as far as they can; give the values."""
    values: list[object] = []

    async def run(number: int) -> None:
        values.append((await box.run(str(number))).value)

    async with anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(run, number)
            await anyio.wait_all_tasks_blocked()
        gate.open.set()
    return values


def check(test: Callable[[], Awaitable[None]], loop: str) -> None:
    anyio.run(test, backend=loop)


def test_no_more_calls_run_than_there_are_places(loop: str) -> None:
    async def test() -> None:
        gate = Gate()
        backend = FakeBackend([returned(None)] * 5, before=gate)
        await at_once(AsyncSandbox(backend=backend, parallel=2), gate, 5)

        assert gate.most == 2

    check(test, loop)


def test_as_many_calls_run_as_there_are_places(loop: str) -> None:
    async def test() -> None:
        gate = Gate()
        backend = FakeBackend([returned(None)] * 3, before=gate)
        await at_once(AsyncSandbox(backend=backend, parallel=3), gate, 3)

        assert gate.most == 3

    check(test, loop)


def test_calls_are_admitted_in_the_order_in_which_they_came(loop: str) -> None:
    async def test() -> None:
        gate = Gate()
        backend = FakeBackend([returned(None)] * 5, before=gate)
        await at_once(AsyncSandbox(backend=backend, parallel=1), gate, 5)
        order = [each.call.source for each in backend.calls if isinstance(each.call, Source)]

        assert order == ["0", "1", "2", "3", "4"]

    check(test, loop)


def test_one_task_may_hold_more_than_one_place(loop: str) -> None:
    async def test() -> None:
        backend = FakeBackend.returning(1, 2)
        box = AsyncSandbox(backend=backend, parallel=2)

        assert [(await box.run("1")).value, (await box.run("2")).value] == [1, 2]

    check(test, loop)


def test_the_time_in_the_queue_is_told_apart(loop: str) -> None:
    async def test() -> None:
        gate = Gate()
        backend = FakeBackend([returned(None)] * 2, before=gate)
        box = AsyncSandbox(backend=backend, parallel=1)
        queued: list[float] = []

        async def run(number: int) -> None:
            queued.append((await box.run(str(number))).phases.queued)

        async with anyio.create_task_group() as group:
            group.start_soon(run, 1)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(run, 2)
            await anyio.wait_all_tasks_blocked()
            gate.open.set()

        assert queued[0] < queued[1]

    check(test, loop)


def test_a_cancelled_call_gives_its_place_back(loop: str) -> None:
    async def test() -> None:
        gate = Gate()
        box = AsyncSandbox(backend=FakeBackend([returned(7)], before=gate), parallel=1)
        async with anyio.create_task_group() as group:
            group.start_soon(box.run, "0")
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        gate.open.set()

        assert (await box.run("1")).value == 7

    check(test, loop)


def test_a_call_cancelled_in_the_queue_is_never_started(loop: str) -> None:
    async def test() -> None:
        gate = Gate()
        backend = FakeBackend([returned(None)], before=gate)
        box = AsyncSandbox(backend=backend, parallel=1)
        async with anyio.create_task_group() as group:
            group.start_soon(box.run, "0")
            await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(0):
                await box.run("1")
            gate.open.set()

        assert len(backend.calls) == 1

    check(test, loop)


def test_a_fault_of_the_backend_gives_the_place_back(loop: str) -> None:
    async def test() -> None:
        box = AsyncSandbox(backend=FakeBackend([EngineFault("it broke"), returned(7)]), parallel=1)
        with pytest.raises(EngineFault, match="it broke"):
            await box.run("0")

        assert (await box.run("1")).value == 7

    check(test, loop)


def test_a_command_that_no_policy_allows_never_reaches_the_backend(loop: str) -> None:
    async def test() -> None:
        backend = FakeBackend.returning()
        box = AsyncSandbox(Policy(programs=NoPrograms()), backend=backend)
        result = await box.exec(["true"])

        assert (result.status, backend.calls) == ("denied", [])

    check(test, loop)


def test_the_result_names_the_policy(loop: str) -> None:
    async def test() -> None:
        box = AsyncSandbox(backend=FakeBackend.returning(1))

        assert (await box.run("1")).policy == box.policy.fingerprint

    check(test, loop)


def test_output_of_a_fake_is_delivered(loop: str) -> None:
    async def test() -> None:
        seen: list[tuple[str, bytes]] = []
        box = AsyncSandbox(backend=FakeBackend([returned(1, stdout=b"a", stderr=b"b")]))
        await box.run("1", on_output=lambda stream, chunk: seen.append((stream, chunk)))

        assert seen == [("stdout", b"a"), ("stderr", b"b")]

    check(test, loop)


def test_what_a_fake_raised_is_an_error(loop: str) -> None:
    async def test() -> None:
        result = await AsyncSandbox(backend=FakeBackend([raised("ValueError", "no")])).run("1")

        assert (result.status, result.error and result.error.type) == ("error", "ValueError")

    check(test, loop)


def test_a_fake_without_answers_says_so(loop: str) -> None:
    async def test() -> None:
        with pytest.raises(EngineFault, match="no answer for call 1"):
            await AsyncSandbox(backend=FakeBackend.returning()).run("1")

    check(test, loop)


def test_closing_closes_the_backend(loop: str) -> None:
    async def test() -> None:
        backend = FakeBackend.returning()
        async with AsyncSandbox(backend=backend):
            pass

        assert backend.is_closed

    check(test, loop)


def test_a_closed_sandbox_runs_nothing(loop: str) -> None:
    async def test() -> None:
        async with AsyncSandbox(backend=FakeBackend.returning(1)) as box:
            pass
        with pytest.raises(EngineFault, match="closed"):
            await box.run("1")

    check(test, loop)


def test_the_blocking_face_gives_the_same(loop: str) -> None:
    del loop
    with Sandbox(backend=FakeBackend.returning(1, 2)) as box:
        assert [box.run("1").value, box.run("2").value] == [1, 2]
