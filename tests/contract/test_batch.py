"""box.map with real guests: what it gives, and that nothing runs on after it."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import anyio
import psutil
import pytest

from sandbox import AsyncSandbox, Command, Function, Policy, Sandbox, Source
from sandbox.call import Call
from tests.contract.conftest import BelongingsNow, NewBackend, settled
from tests.contract.engines import wait_until

pytestmark = pytest.mark.slow

NO_PROCESS = "a guest's processes are none of this host's: see test_docker_faults.py"
PATIENT = Policy.load("strict").widen("a test", wall_seconds=50.0)
QUICK = Source(source="1")
MIXED: list[Call] = [
    Source(source="x + 1", inputs={"x": 1}),
    Function(name="math:sqrt", arguments=[16]),
    Command(argv=["true"]),
    Source(source="1 / 0"),
]


class Sleepers:
    """Calls that sleep, known on this host by how long."""

    def __init__(self) -> None:
        self.seconds = f"50.{uuid4().int % 10**12}"
        self.call = Command(argv=["sleep", self.seconds])

    def running(self) -> int:
        found = psutil.process_iter(["cmdline"])
        return sum((each.info["cmdline"] or [])[-1:] == [self.seconds] for each in found)

    def are_running(self, count: int) -> bool:
        return wait_until(lambda: self.running() == count)


@pytest.fixture
def sleepers() -> Sleepers:
    return Sleepers()


@pytest.fixture
def patient(new_backend: NewBackend) -> Iterator[Sandbox]:
    """A sandbox of this test's own, whose calls may sleep."""
    with Sandbox(PATIENT, backend=new_backend(), parallel=3) as box:
        yield box


def test_each_kind_of_call_has_its_result(box: Sandbox) -> None:
    seen = {done.index: (done.result.status, done.result.value) for done in box.map(MIXED)}
    assert seen == {0: ("ok", 2), 1: ("ok", 4.0), 2: ("ok", None), 3: ("error", None)}


def test_a_quick_call_does_not_wait_for_a_slow_one(patient: Sandbox) -> None:
    slow = Source(source="import time\ntime.sleep(1)")
    with patient.map([slow, QUICK]) as results:
        assert next(results).index == 1


@pytest.mark.differs("gvisor", reason=NO_PROCESS)
def test_leaving_the_block_kills_the_guests(patient: Sandbox, sleepers: Sleepers) -> None:
    with patient.map([QUICK, sleepers.call, sleepers.call]) as results:
        next(results)
        was_running = sleepers.are_running(2)

    assert (was_running, sleepers.running()) == (True, 0)


def test_a_sandbox_serves_on_after_a_map_was_left(patient: Sandbox, sleepers: Sleepers) -> None:
    with patient.map([QUICK, sleepers.call]) as results:
        next(results)

    assert patient.run("6 * 7").value == 42


def test_a_map_leaves_nothing(new_backend: NewBackend, belongings: BelongingsNow) -> None:
    before = settled(belongings)
    with Sandbox(backend=new_backend(), parallel=4) as box:
        list(box.map([QUICK] * 20))

    assert belongings() == before


@pytest.mark.differs("gvisor", reason=NO_PROCESS)
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_cancelling_the_consumer_kills_the_guests(
    new_backend: NewBackend, sleepers: Sleepers, loop: str
) -> None:
    async def consume(box: AsyncSandbox) -> None:
        async with box.map([sleepers.call] * 5) as results:
            await anext(results)

    async def test() -> bool:
        async with AsyncSandbox(PATIENT, backend=new_backend(), parallel=2) as box:
            was_running = False
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(consume, box)
                was_running = await anyio.to_thread.run_sync(sleepers.are_running, 2)
                tasks.cancel_scope.cancel()
            return was_running and not sleepers.running()

    assert anyio.run(test, backend=loop)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_calls_are_run_as_they_come(new_backend: NewBackend, loop: str) -> None:
    async def test() -> list[object]:
        send, receive = anyio.create_memory_object_stream[Call](0)

        async def calls() -> AsyncIterator[Call]:
            yield QUICK
            async for call in receive:
                yield call

        values: list[object] = []
        async with AsyncSandbox(backend=new_backend()) as box, box.map(calls()) as results:
            with receive, send:
                async for done in results:
                    values.append(done.result.value)
                    if len(values) == 3:
                        break
                    await send.send(Source(source=f"{len(values) + 1}"))  # as an answer
        return values

    assert anyio.run(test, backend=loop) == [1, 2, 3]
