"""What comes to a session at a bad moment: forks, late answers, floods, readers, closing."""

import anyio
import pytest

from sandbox import AsyncSandbox, Sandbox, SessionLost
from sandbox.policy import MIB
from tests.conftest import SandboxFor
from tests.contract.conftest import BelongingsNow, NewBackend, settled, wait_for

each_loop = pytest.mark.parametrize("loop", ["asyncio", "trio"])
FORKS = ["import os\nos.fork()\n'stale'", "import os, sys\nif not os.fork(): sys.exit()\n'stale'"]


@pytest.mark.parametrize("fork", FORKS, ids=["falls through", "exits"])
def test_a_fork_of_a_turn_does_not_answer(box: Sandbox, fork: str) -> None:
    values: list[object] = []
    for _ in range(5):
        with box.session() as session:
            values += [session.run(source).value for source in (fork, "1", "2")]

    assert values == ["stale", 1, 2] * 5


def test_a_second_answer_of_a_turn_is_not_the_nexts(box: Sandbox) -> None:
    forge = "import os\nos.write(4, b'\\0\\0\\0\\x0c\\x01{\"value\": 7}')\n'second'"
    values: set[object] = set()
    for _ in range(20):
        with box.session() as session:
            session.run(forge)
            try:
                values.add(session.run("'mine'").value)
            except SessionLost:
                values.add("lost")

    assert values <= {"mine", "lost", None}


def test_a_flood_between_turns_is_no_fault_of_ours(sandbox_for: SandboxFor) -> None:
    flood = "import os, threading\ndef f():\n    for _ in range(99): os.write(1, bytes(9999))"
    with sandbox_for(output_bytes=10_000).session() as session:
        session.run(f"{flood}\nthreading.Timer(0.05, f).start()")
        sandbox_for().run("import time\ntime.sleep(0.3)")
        with pytest.raises(SessionLost):
            session.run("1")


def test_reading_files_in_mid_turn_leaves_the_turn_alone() -> None:
    async def read_in_turns() -> list[object]:
        async with AsyncSandbox() as box, box.session() as session:

            def read(_stream: str, _chunk: bytes) -> None:
                assert dict(session.files) == {"note": b"x"}

            await session.put("note", "x")
            write = "import os\nos.write(1, b'x')"
            return [(await session.run(write, on_output=read)).value for _ in range(50)]

    assert anyio.run(read_in_turns) == [1] * 50


@each_loop
def test_closing_in_mid_turn_ends_the_turn_and_leaves_nothing(
    new_backend: NewBackend, belongings: BelongingsNow, loop: str
) -> None:
    before = settled(belongings)

    async def test() -> None:
        async with AsyncSandbox(backend=new_backend()) as box:
            session = await box.session().__aenter__()
            ends: list[object] = []
            runs = anyio.Event()

            async def turn() -> None:
                source = "print('runs')\nimport time\ntime.sleep(60)"
                result = await session.run(source, on_output=lambda _stream, _chunk: runs.set())
                ends.append(result.session_lost)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(turn)
                await runs.wait()
                await session.aclose()
            assert ends == [True]

    anyio.run(test, backend=loop)

    assert wait_for(belongings, before.__eq__) == before


def test_closing_a_session_after_its_sandbox_does_nothing(
    new_backend: NewBackend, belongings: BelongingsNow
) -> None:
    before = settled(belongings)
    with Sandbox(backend=new_backend()) as box:
        session = box.session().__enter__()
        session.run("1")
    session.close()

    assert wait_for(belongings, before.__eq__) == before


@each_loop
def test_closing_a_session_after_its_async_sandbox_does_nothing(
    new_backend: NewBackend, loop: str
) -> None:
    async def test() -> None:
        async with AsyncSandbox(backend=new_backend()) as box:
            session = await box.session().__aenter__()
            await session.run("1")
        await session.aclose()

    anyio.run(test, backend=loop)


def test_a_large_file_is_put_in_time(sandbox_for: SandboxFor) -> None:
    with sandbox_for(wall_seconds=3.0).session() as session:
        session.put("large", bytes(48 * MIB))

        assert len(session.get("large")) == 48 * MIB


@pytest.mark.parametrize("lie", ["b'\\0\\0\\0\\x0c\\x01{\"va'", "b'HTTP/1.1 200 OK\\r\\n\\r\\n'"])
def test_a_broken_channel_is_an_error_not_a_killer_from_outside(box: Sandbox, lie: str) -> None:
    with box.session() as session:
        result = session.run(f"import os\nos.write(4, {lie})\n1")

    assert (result.status, result.session_lost) == ("error", True)
