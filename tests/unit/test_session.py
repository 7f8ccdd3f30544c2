"""What a session makes of its methods' arguments, and of a guest that cannot be had."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import cast

import anyio
import anyio.lowlevel
import pytest

from sandbox import AsyncSandbox, BadCall, CannotEnforce, EngineFault, Policy, SessionLost
from sandbox.backends.base import BackendSession, OnOutput, Sighting
from sandbox.backends.fake import FakeBackend, returned
from sandbox.call import Call, Command, Function, Source
from sandbox.session import AsyncSession

each_loop = pytest.mark.parametrize("loop", ["asyncio", "trio"])
Test = Callable[[AsyncSession], Awaitable[object]]


class FakeGuest:
    """Notes what is asked of it, and gives every turn the same sighting."""

    def __init__(self, sighting: Sighting | Exception) -> None:
        self.sighting = sighting
        self.calls: list[Call] = []
        self.running = self.most_running = self.closed = 0

    async def turn(self, call: Call, on_output: OnOutput | None) -> Sighting:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await anyio.lowlevel.checkpoint()
        self.running -= 1
        self.calls.append(call)
        if on_output:
            on_output("stdout", b"heard")
        if isinstance(self.sighting, Exception):
            raise self.sighting
        return self.sighting

    def files(self) -> Mapping[str, bytes]:
        return {"a": b"1"}

    def file(self, name: str) -> bytes:
        return name.encode()

    async def close(self) -> None:
        self.closed += 1


class Backend(FakeBackend):
    """A fake that has sessions, or has a reason not to."""

    def __init__(self, guest: FakeGuest | Exception) -> None:
        super().__init__([])
        self.guest = guest
        self.policies: list[Policy] = []

    async def open_session(self, policy: Policy) -> BackendSession:
        self.policies.append(policy)
        if isinstance(self.guest, Exception):
            raise self.guest
        return cast("BackendSession", self.guest)


def guest_of(test: Test, *, loop: str = "asyncio") -> FakeGuest:
    """Have a session that is opened and closed around a test; give its guest."""
    guest = FakeGuest(replace(returned(42), lives_on=True))

    async def run() -> None:
        async with AsyncSandbox(backend=Backend(guest)) as box, box.session() as session:
            await test(session)

    anyio.run(run, backend=loop)
    return guest


ASKED: dict[str, tuple[Test, Call]] = {
    "run": (
        lambda session: session.run("x", inputs={"x": 1}, files={"a": "\u00e4"}),
        Source(
            source="x",
            inputs={"x": 1},
            name="turn-1.py",
            files={"a": b"\xc3\xa4"},
            expect_value=True,
        ),
    ),
    "run without a value": (
        lambda session: session.run("x", expect_value=False),
        Source(source="x", name="turn-1.py", expect_value=False),
    ),
    "call": (
        lambda session: session.call("math:pow", 2, y=3),
        Function(name="math:pow", arguments=(2,), keywords={"y": 3}),
    ),
    "exec": (
        lambda session: session.exec(["cat", "a"], stdin="\u00e4", files={"a": b"1"}),
        Command(argv=["cat", "a"], stdin=b"\xc3\xa4", files={"a": b"1"}),
    ),
    "put": (
        lambda session: session.put("a", "1"),
        Source(source="", name="turn-1.py", expect_value=False, files={"a": b"1"}),
    ),
}


@each_loop
@pytest.mark.parametrize(("ask", "call"), ASKED.values(), ids=ASKED.keys())
def test_a_guest_is_asked_for_the_very_call(loop: str, ask: Test, call: Call) -> None:
    assert guest_of(ask, loop=loop).calls == [call]


def test_turns_are_named_in_order() -> None:
    async def test(session: AsyncSession) -> None:
        for _ in range(3):
            await session.run("1")

    names = [call.name for call in guest_of(test).calls if isinstance(call, Source)]

    assert names == ["turn-1.py", "turn-2.py", "turn-3.py"]


@each_loop
def test_turns_that_are_asked_at_once_run_one_at_a_time(loop: str) -> None:
    async def test(session: AsyncSession) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(session.run, "1")

    guest = guest_of(test, loop=loop)

    assert (guest.most_running, len(guest.calls)) == (1, 5)


@each_loop
def test_a_turn_cancelled_while_it_waits_for_another_is_never_asked(loop: str) -> None:
    async def test(session: AsyncSession) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.run, "'first'")
            await anyio.lowlevel.checkpoint()
            with anyio.CancelScope() as scope:
                scope.cancel()
                await session.run("'second'")

    asked = [call.source for call in guest_of(test, loop=loop).calls if isinstance(call, Source)]

    assert asked == ["'first'"]


def test_output_is_passed_on() -> None:
    heard: list[bytes] = []

    async def test(session: AsyncSession) -> None:
        await session.run("1", on_output=lambda _, chunk: heard.append(chunk))

    guest_of(test)

    assert heard == [b"heard"]


def test_files_are_the_guests() -> None:
    found: list[object] = []

    async def test(session: AsyncSession) -> None:
        found.extend([session.get("a/b"), dict(session.files)])
        await anyio.lowlevel.checkpoint()

    guest_of(test)

    assert found == [b"a/b", {"a": b"1"}]


def test_the_end_of_the_block_closes_once() -> None:
    async def test(session: AsyncSession) -> None:
        await session.aclose()

    assert guest_of(test).closed == 1


def test_a_block_that_raises_closes_too() -> None:
    guest = FakeGuest(returned(42))

    async def run() -> None:
        async with AsyncSandbox(backend=Backend(guest)) as box, box.session():
            message = "the caller's own"
            raise LookupError(message)

    with pytest.raises(LookupError):
        anyio.run(run)

    assert guest.closed == 1


def test_a_lost_session_is_told_in_the_result() -> None:
    async def run() -> bool:
        guest = FakeGuest(replace(returned(42), is_lost=True))
        async with AsyncSandbox(backend=Backend(guest)) as box, box.session() as session:
            return (await session.run("1")).session_lost

    assert anyio.run(run)


@pytest.mark.parametrize(
    "fault",
    [SessionLost("x"), EngineFault("x"), CannotEnforce("x")],
    ids=["lost", "fault", "refused"],
)
def test_what_a_turn_raises_comes_out(fault: Exception) -> None:
    async def run() -> None:
        async with AsyncSandbox(backend=Backend(FakeGuest(fault))) as box, box.session() as session:
            await session.run("1")

    with pytest.raises(type(fault)):
        anyio.run(run)


@pytest.mark.parametrize("fault", [EngineFault("x"), CannotEnforce("x")], ids=["fault", "refused"])
def test_what_keeps_a_session_from_opening_comes_out(fault: Exception) -> None:
    async def run() -> None:
        async with AsyncSandbox(backend=Backend(fault)) as box, box.session():
            pass

    with pytest.raises(type(fault)):
        anyio.run(run)


def test_a_session_that_could_not_be_opened_takes_no_turn() -> None:
    async def run() -> None:
        async with AsyncSandbox(backend=Backend(EngineFault("x"))) as box:
            session = box.session()
            with pytest.raises(EngineFault):
                await session.__aenter__()
            await session.run("1")

    with pytest.raises(SessionLost, match="not open"):
        anyio.run(run)


USES: dict[str, Test] = {
    "run": lambda session: session.run("1"),
    "call": lambda session: session.call("math:pi"),
    "exec": lambda session: session.exec(["true"]),
    "put": lambda session: session.put("a", "1"),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_a_session_that_was_not_opened_takes_no_turn(use: Test) -> None:
    async def run() -> None:
        async with AsyncSandbox(backend=Backend(FakeGuest(returned(42)))) as box:
            await use(box.session())

    with pytest.raises(SessionLost, match="not open"):
        anyio.run(run)


def test_a_closed_sandbox_gives_no_session() -> None:
    async def run() -> None:
        box = AsyncSandbox(backend=Backend(FakeGuest(returned(42))))
        await box.aclose()
        box.session()

    with pytest.raises(EngineFault, match="closed"):
        anyio.run(run)


def test_a_session_is_opened_under_its_own_policy() -> None:
    backend = Backend(FakeGuest(returned(42)))
    other = Policy().widen("a test", wall_seconds=1.5)

    async def run() -> None:
        async with AsyncSandbox(backend=backend) as box, box.session(other):
            pass

    anyio.run(run)

    assert backend.policies == [other]


def test_a_file_with_a_bad_name_is_refused_before_the_guest_is_asked() -> None:
    async def test(session: AsyncSession) -> None:
        with pytest.raises(BadCall):
            await session.put("../a", "1")

    assert guest_of(test).calls == []


def test_a_backend_without_sessions_says_so() -> None:
    async def run() -> None:
        async with AsyncSandbox(backend=FakeBackend.returning(1)) as box, box.session():
            pass

    with pytest.raises(CannotEnforce):
        anyio.run(run)
