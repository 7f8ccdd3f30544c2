"""What ends a session beside its turns: its own times, its caller, its budget, a killer."""

import os
import secrets
import select
from collections.abc import Awaitable, Callable

import anyio
import psutil
import pytest

from sandbox import AsyncSandbox, Budget, EngineFault, Policy, Sandbox, SandboxError, SessionLost
from sandbox.session import AsyncSession, Session
from tests.conftest import SandboxFor
from tests.contract.conftest import NewBackend
from tests.contract.engines import wait_until

each_loop = pytest.mark.parametrize("loop", ["asyncio", "trio"])


unseen = pytest.mark.differs("gvisor", reason="no process in it is one of the host's")


def process_of(session: Session) -> psutil.Process:
    """Find the process of a session, which it names itself."""
    name = f"turns-{secrets.token_hex(4)}"
    session.run(f"open('/proc/self/comm', 'w').write({name!r})").unwrap()
    (found,) = [each for each in psutil.process_iter(["name"]) if each.info["name"] == name]
    return found


def is_dead(process: psutil.Process) -> bool:
    """Wait for the end of a process; say whether it came."""
    gone, _ = psutil.wait_procs([process], timeout=10)
    return bool(gone)


LIVES: dict[str, dict[str, object]] = {"idle": {"idle_seconds": 0.3}, "life": {"life_seconds": 0.3}}


@unseen
@pytest.mark.slow
@pytest.mark.parametrize("changes", LIVES.values(), ids=LIVES.keys())
def test_a_session_that_is_left_alone_dies_by_itself(
    sandbox_for: SandboxFor, changes: dict[str, object]
) -> None:
    with sandbox_for(**changes).session() as session:
        assert is_dead(process_of(session))


@unseen
@pytest.mark.slow
@pytest.mark.parametrize("changes", LIVES.values(), ids=LIVES.keys())
def test_a_session_whose_time_was_up_is_lost(
    sandbox_for: SandboxFor, changes: dict[str, object]
) -> None:
    with sandbox_for(**changes).session() as session:
        is_dead(process_of(session))
        wait_until(lambda: has_no_files(session))  # the zygote says it a moment later
        with pytest.raises(SessionLost, match="its time was up"):
            session.run("1")


@pytest.mark.slow
def test_turns_count_neither_as_idle_nor_against_it(sandbox_for: SandboxFor) -> None:
    with sandbox_for(idle_seconds=0.5).session() as session:
        turns = [session.run("import time\ntime.sleep(0.3)").status for _ in range(4)]

    assert turns == ["ok"] * 4


@pytest.mark.slow
def test_a_session_that_is_busy_ends_at_the_end_of_its_life(sandbox_for: SandboxFor) -> None:
    with sandbox_for(life_seconds=0.5).session() as session:
        assert wait_until(lambda: is_lost(session))


@pytest.mark.slow
def test_the_end_of_a_life_ends_the_turn_that_runs(sandbox_for: SandboxFor) -> None:
    with sandbox_for(life_seconds=0.5, wall_seconds=30).session() as session:
        result = session.run("import time\ntime.sleep(60)")

    assert (result.status, result.session_lost) == ("timeout", True)


def is_lost(session: Session) -> bool:
    """Take a turn; say whether there is no session any more, or none with this turn."""
    try:
        return session.run("1").session_lost
    except (SessionLost, EngineFault):
        return True


def has_no_files(session: Session) -> bool:
    """Look at the work folder; say whether the session is lost."""
    try:
        return bool(session.files)
    except SessionLost:
        return True


# Given up by its caller

Given = Callable[[AsyncSession], Awaitable[None]]


def in_session(new_backend: NewBackend, loop: str, act: Given) -> None:
    async def test() -> None:
        async with AsyncSandbox(backend=new_backend()) as box, box.session() as session:
            await act(session)

    anyio.run(test, backend=loop)


async def give_up(session: AsyncSession, source: str) -> None:
    """Start a turn and cancel it when it says that it runs."""
    async with anyio.create_task_group() as tasks:

        def cancel(_stream: str, _chunk: bytes) -> None:
            tasks.cancel_scope.cancel()

        await session.run(source, on_output=cancel)


CANCELLED = {
    "sleeps": "print('runs')\nimport time\ntime.sleep(60)",
    "counts": "print('runs')\nn = 0\nwhile True: n += 1",
    "unwinds": (
        "import time\ntry:\n    print('runs')\n    time.sleep(60)\n"
        "finally:\n    print('late' * 10_000)"
    ),
    "is done": "print('runs')\n42",
}
STUBBORN = "import signal, time\nsignal.signal(2, signal.SIG_IGN)\nprint('runs')\ntime.sleep(60)"


@each_loop
@pytest.mark.parametrize("source", CANCELLED.values(), ids=CANCELLED.keys())
def test_the_turn_after_a_cancelled_one_works(
    new_backend: NewBackend, loop: str, source: str
) -> None:
    async def act(session: AsyncSession) -> None:
        await session.run("x = 42")
        await give_up(session, source)
        after = await session.run("print('mine')\nx")

        assert (after.value, after.stdout) == (42, "mine\n")

    in_session(new_backend, loop, act)


@each_loop
@pytest.mark.slow
def test_a_cancelled_turn_that_goes_on_takes_its_session_along(
    new_backend: NewBackend, loop: str
) -> None:
    async def act(session: AsyncSession) -> None:
        await give_up(session, STUBBORN)
        with pytest.raises(SessionLost, match="given up"):
            await session.run("1")

    in_session(new_backend, loop, act)


@each_loop
def test_turns_cancelled_at_any_moment_never_give_anothers_value(
    new_backend: NewBackend, loop: str
) -> None:
    async def act(session: AsyncSession) -> None:
        values: list[object] = []
        for number in range(20):
            with anyio.move_on_after(number / 10_000):
                await session.run("'cancelled'")
            try:
                values.append((await session.run(f"{number}")).value)
            except SessionLost:
                break

        assert values == list(range(len(values)))

    in_session(new_backend, loop, act)


def test_what_a_listener_raises_comes_out_and_the_session_goes_on(box: Sandbox) -> None:
    def fail(_stream: str, _chunk: bytes) -> None:
        message = "the caller's own"
        raise LookupError(message)

    with box.session() as session:
        with pytest.raises(LookupError, match="the caller's own"):
            session.run("print(1)\nimport time\ntime.sleep(60)", on_output=fail)

        assert session.run("42").value == 42


# Whose it is


def test_turns_are_charged_to_their_tenant(new_backend: NewBackend) -> None:
    budget = Budget(calls=100, cpu_seconds=100, output_bytes=1000)
    with Sandbox(backend=new_backend(), budget=budget) as box:
        with box.tenant("a").session() as session, box.tenant("b").session():
            session.run("print('four')")
            session.run("print('four')")
        spent = [
            (box.tenant(name).spent().calls, box.tenant(name).spent().output_bytes) for name in "ab"
        ]

    assert spent == [(2, 10), (0, 0)]


def test_a_turn_over_the_budget_is_refused_and_the_session_kept(new_backend: NewBackend) -> None:
    budget = Budget(calls=2, cpu_seconds=100, output_bytes=1000)
    with Sandbox(backend=new_backend(), budget=budget) as box, box.session() as session:
        session.run("x = 42")
        session.run("1")
        with pytest.raises(SandboxError, match="budget"):
            session.run("x")
        box.renew_budget()

        assert session.run("x").value == 42


def test_a_session_that_waits_keeps_no_place(new_backend: NewBackend) -> None:
    with Sandbox(backend=new_backend(), parallel=1) as box, box.session() as session:
        session.run("x = 1")

        assert box.run("42").value == 42


# Ended by others

of_the_zygote = pytest.mark.differs(
    "docker", "gvisor", reason="no keeper, no zygote: see test_docker_sessions.py"
)


def processes_of_ours() -> set[psutil.Process]:
    """Give the keepers that this process has now."""
    return set(psutil.Process().children())


def strike(keepers: set[psutil.Process], who: int) -> None:
    """Kill the newest keeper, or its zygote, and see it dead; it stays its parent's to reap."""
    (keeper,) = processes_of_ours() - keepers
    victim = [keeper, *keeper.children()][who]
    death = os.pidfd_open(victim.pid)
    victim.kill()
    select.select([death], [], [], 10)
    os.close(death)


@of_the_zygote
@pytest.mark.parametrize("who", [0, 1], ids=["keeper", "zygote"])
def test_the_end_of_a_process_of_ours_in_mid_turn_is_our_fault(
    new_backend: NewBackend, who: int
) -> None:
    before = processes_of_ours()
    one_strike = iter([who])

    def say(_stream: str, _chunk: bytes) -> None:
        for number in one_strike:
            strike(before, number)

    with Sandbox(backend=new_backend()) as box, box.session() as session:
        with pytest.raises(EngineFault) as caught:
            session.run("print(1)\nimport time\ntime.sleep(60)", on_output=say)

        assert caught.value.started in {"yes", "unknown"}


@of_the_zygote
@pytest.mark.parametrize("who", [0, 1], ids=["keeper", "zygote"])
def test_a_session_is_lost_with_a_process_of_ours(new_backend: NewBackend, who: int) -> None:
    before = processes_of_ours()
    with Sandbox(backend=new_backend()) as box, box.session() as session:
        strike(before, who)

        assert wait_until(lambda: is_lost(session))


@of_the_zygote
@pytest.mark.parametrize("who", [0, 1], ids=["keeper", "zygote"])
def test_a_new_session_works_after_the_end_of_a_process_of_ours(
    new_backend: NewBackend, who: int
) -> None:
    before = processes_of_ours()
    with Sandbox(backend=new_backend()) as box:
        with box.session() as session:
            strike(before, who)
            wait_until(lambda: is_lost(session))

        with box.session() as session:
            assert session.run("42").value == 42


@unseen
def test_a_session_that_was_killed_while_it_waited_is_lost(box: Sandbox) -> None:
    with box.session() as session:
        process = process_of(session)
        process.kill()
        is_dead(process)

        assert wait_until(lambda: is_lost(session))


def test_a_policy_for_sessions_is_shipped(new_backend: NewBackend) -> None:
    with Sandbox(Policy.load("session"), backend=new_backend()) as box, box.session() as session:
        session.run("x = 42")

        assert session.run("x").value == 42
