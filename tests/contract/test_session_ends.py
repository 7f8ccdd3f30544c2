"""How a turn ends: alone where Python allows it, else with its session, and the Result says so."""

import os
import secrets
import select
from collections.abc import Awaitable, Callable

import anyio
import psutil
import pytest

from sandbox import (
    AsyncSandbox,
    Budget,
    EngineFault,
    Policy,
    Sandbox,
    SandboxError,
    SessionLost,
)
from sandbox.policy import MIB
from sandbox.result import Result
from sandbox.session import AsyncSession, Session
from tests.conftest import SandboxFor
from tests.contract.conftest import NewBackend
from tests.contract.engines import wait_until

pytestmark = pytest.mark.differs(
    "docker", "gvisor", reason="sessions are for subprocess guests: see test_docker.py"
)
each_loop = pytest.mark.parametrize("loop", ["asyncio", "trio"])

FULL = """
import os, time
for _ in range(40):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
"""

GOES_ALONE = {
    "raises": ("1 / 0", "error"),
    "raises what is no Exception": ("raise BaseException", "error"),
    "exits": ("import sys\nsys.exit(3)", "error"),
    "interrupts itself": ("raise KeyboardInterrupt", "error"),
    "raises what cannot show itself": (
        "class Bad(Exception):\n    def __str__(self): raise LookupError\nraise Bad",
        "error",
    ),
    "sleeps": ("import time\ntime.sleep(60)", "timeout"),
    "waits for what never comes": ("import threading\nthreading.Event().wait()", "timeout"),
    "counts for ever": ("n = 0\nwhile True: n += 1", "timeout"),
    "is full of processes": (FULL, "process_limit"),
    "is full of files": (f"open('full', 'wb').write(bytes({2 * MIB}))", "disk_limit"),
    "gives what is no JSON": ("[{1}]", "invalid"),
}
TAKES_ALL = {
    "exits at once": ("import os\nos._exit(3)", "exit"),
    "exits well without an answer": ("import os\nos._exit(0)", "error"),
    "kills itself": ("import os\nos.kill(os.getpid(), 9)", "signal"),
    "stops itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "timeout"),
    "crashes": ("import ctypes\nctypes.string_at(0)", "signal"),
    "ignores an interrupt": (
        "import time\nwhile True:\n    try:\n        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n        pass",
        "timeout",
    ),
    "has no interrupt": (
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)",
        "timeout",
    ),
    "fills the memory": (f"x = bytearray({300 * MIB})", "memory_limit"),
    "floods": ("while True: print('x' * 10_000)", "output_limit"),
    "does what no program needs": (
        "import ctypes\nctypes.CDLL(None).syscall(0x40000027)",
        "denied",
    ),
}


@pytest.fixture
def hasty(sandbox_for: SandboxFor) -> Sandbox:
    """A sandbox whose turns have little of everything."""
    return sandbox_for(wall_seconds=0.5, disk_bytes=MIB)


def fate(box: Sandbox, source: str) -> Result:
    """Give the Result of one bad turn."""
    with box.session() as session:
        return session.run(source)


def turn_after(box: Sandbox, source: str) -> object:
    """Give what a name of a turn is after a bad one; "lost" where no turn is taken any more."""
    with box.session() as session:
        session.run("x = 42").unwrap()
        session.run(source)
        try:
            return session.run("x").value
        except SessionLost:
            return "lost"


@pytest.mark.slow
@pytest.mark.parametrize(("source", "status"), GOES_ALONE.values(), ids=GOES_ALONE.keys())
def test_a_turn_that_ends_alone_is_told(hasty: Sandbox, source: str, status: str) -> None:
    result = fate(hasty, source)

    assert (result.status, result.session_lost, result.value) == (status, False, None)


@pytest.mark.slow
@pytest.mark.parametrize("source", [turn for turn, _ in GOES_ALONE.values()], ids=GOES_ALONE.keys())
def test_after_a_turn_that_ended_alone_all_is_there(hasty: Sandbox, source: str) -> None:
    assert turn_after(hasty, source) == 42


@pytest.mark.slow
@pytest.mark.parametrize(("source", "status"), TAKES_ALL.values(), ids=TAKES_ALL.keys())
def test_a_turn_that_took_its_session_along_is_told(
    hasty: Sandbox, source: str, status: str
) -> None:
    result = fate(hasty, source)

    assert (result.status, result.session_lost, result.value) == (status, True, None)


@pytest.mark.slow
@pytest.mark.parametrize("source", [turn for turn, _ in TAKES_ALL.values()], ids=TAKES_ALL.keys())
def test_after_a_session_was_lost_no_turn_is_taken(hasty: Sandbox, source: str) -> None:
    assert turn_after(hasty, source) == "lost"


@pytest.mark.slow
def test_a_lost_session_stays_lost(hasty: Sandbox) -> None:
    with hasty.session() as session:
        session.run("import os\nos._exit(3)")
        with pytest.raises(SessionLost):
            session.run("1")
        with pytest.raises(SessionLost, match="its last turn took it along"):
            session.run("1")


def test_a_lost_session_has_no_files(hasty: Sandbox) -> None:
    with hasty.session() as session:
        session.run("open('left', 'w').write('x')\nimport os\nos._exit(3)")

        with pytest.raises(SessionLost):
            session.get("left")


def test_a_lost_session_takes_no_other_along(hasty: Sandbox) -> None:
    with hasty.session() as lost, hasty.session() as session:
        lost.run("import os\nos._exit(3)")

        assert session.run("42").value == 42


@pytest.mark.slow
def test_a_turn_may_clean_up_when_it_is_interrupted(hasty: Sandbox) -> None:
    with hasty.session() as session:
        session.run("import time\ntry:\n    time.sleep(60)\nfinally:\n    unwound = True")

        assert session.run("unwound").value is True


@pytest.mark.slow
def test_a_turn_that_answers_its_interrupt_is_late_all_the_same(hasty: Sandbox) -> None:
    result = fate(hasty, "import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt: 42\n42")

    assert (result.status, result.value, result.session_lost) == ("timeout", None, False)


@pytest.mark.slow
def test_a_program_over_its_time_is_dead_and_the_session_lives(hasty: Sandbox) -> None:
    with hasty.session() as session:
        late = session.exec(["sleep", "60"])
        left = session.exec(["sh", "-c", "cat /proc/[0-9]*/comm"]).stdout.split()

    assert (late.status, "sleep" in left) == ("timeout", False)


BURN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass"


@pytest.mark.slow
def test_a_turn_over_its_processor_time_goes_alone(sandbox_for: SandboxFor) -> None:
    with sandbox_for(cpu_seconds=0.3).session() as session:
        late = session.run(BURN.format(60))

        assert (late.status, session.run("42").value) == ("cpu_limit", 42)


@pytest.mark.slow
def test_each_turn_has_the_whole_processor_time(sandbox_for: SandboxFor) -> None:
    """W7: what the turns before used is not counted again."""
    with sandbox_for(cpu_seconds=1).session() as session:
        assert [session.run(BURN.format(0.6)).status for _ in range(3)] == ["ok"] * 3


def test_each_turn_has_the_whole_output(sandbox_for: SandboxFor) -> None:
    with sandbox_for(output_bytes=1000).session() as session:
        assert [session.run("print('x' * 600)").status for _ in range(3)] == ["ok"] * 3


@pytest.mark.slow
def test_each_turn_has_the_whole_time(sandbox_for: SandboxFor) -> None:
    with sandbox_for(wall_seconds=1).session() as session:
        slow = "import time\ntime.sleep(0.6)"

        assert [session.run(slow).status for _ in range(3)] == ["ok"] * 3


def test_a_limit_that_one_turn_met_is_not_told_of_the_next(hasty: Sandbox) -> None:
    with hasty.session() as session:
        full = session.run(FULL).limits_hit
        session.run("import os\nos.kill(-1, 9)")  # all but itself

        assert (full, session.run("1").limits_hit) == (("processes",), ())


def test_usage_is_of_the_turn_alone(sandbox_for: SandboxFor) -> None:
    with sandbox_for(wall_seconds=5).session() as session:
        session.run(BURN.format(0.2))
        usage = session.run("print('four')").usage

    seen = (usage.cpu_seconds < 0.1, usage.wall_seconds < 0.2, usage.stdout_bytes)
    assert seen == (True, True, 5)


# Its own times


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


@pytest.mark.slow
@pytest.mark.parametrize("changes", LIVES.values(), ids=LIVES.keys())
def test_a_session_that_is_left_alone_dies_by_itself(
    sandbox_for: SandboxFor, changes: dict[str, object]
) -> None:
    with sandbox_for(**changes).session() as session:
        assert is_dead(process_of(session))


@pytest.mark.slow
@pytest.mark.parametrize("changes", LIVES.values(), ids=LIVES.keys())
def test_a_session_whose_time_was_up_is_lost(
    sandbox_for: SandboxFor, changes: dict[str, object]
) -> None:
    with sandbox_for(**changes).session() as session:
        is_dead(process_of(session))
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
    result = fate(sandbox_for(life_seconds=0.5, wall_seconds=30), "import time\ntime.sleep(60)")

    assert (result.status, result.session_lost) == ("timeout", True)


def is_lost(session: Session) -> bool:
    """Take a turn; say whether there is no session any more."""
    try:
        return session.run("1").session_lost
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

        await session.run(f"print('runs')\n{source}", on_output=cancel)


CANCELLED = {
    "sleeps": "import time\ntime.sleep(60)",
    "counts": "n = 0\nwhile True: n += 1",
    "unwinds": "import time\ntry:\n    time.sleep(60)\nfinally:\n    print('late' * 10_000)",
    "is done": "42",
}


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
        stubborn, _ = TAKES_ALL["ignores an interrupt"]
        await give_up(session, stubborn)
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


@pytest.mark.parametrize("who", [0, 1], ids=["keeper", "zygote"])
def test_the_end_of_a_process_of_ours_in_mid_turn_is_our_fault(
    new_backend: NewBackend, who: int
) -> None:
    before = processes_of_ours()
    with Sandbox(backend=new_backend()) as box, box.session() as session:
        with pytest.raises(EngineFault) as caught:
            session.run(
                "print(1)\nimport time\ntime.sleep(60)", on_output=lambda *_: strike(before, who)
            )

        assert caught.value.started in {"yes", "unknown"}


@pytest.mark.parametrize("who", [0, 1], ids=["keeper", "zygote"])
def test_a_session_is_lost_with_a_process_of_ours(new_backend: NewBackend, who: int) -> None:
    before = processes_of_ours()
    with Sandbox(backend=new_backend()) as box, box.session() as session:
        strike(before, who)

        assert wait_until(lambda: is_lost(session))


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
