"""Each branch has limits of its own, and its end is that of no other."""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager

import anyio
import pytest

from sandbox import AsyncSandbox, Policy, Sandbox, SessionLost
from sandbox.policy import MIB
from sandbox.session import AsyncSession, Session
from tests.conftest import SandboxFor
from tests.contract.conftest import NewBackend
from tests.contract.engines import wait_until

pytestmark = pytest.mark.differs(
    "watchdog",
    "docker",
    "gvisor",
    reason="branches need control groups: see test_fork_refused.py, test_docker.py",
)
each_loop = pytest.mark.parametrize("loop", ["asyncio", "trio"])


@contextmanager
def prepared(box: Sandbox, source: str) -> Generator[Session]:
    """A session in which a first turn went well."""
    with box.session() as session:
        session.run(source).unwrap()
        yield session


def value_of(session: Session, source: str) -> object:
    """Give the value of a turn; "lost" where none is taken any more."""
    try:
        return session.run(source).value
    except SessionLost:
        return "lost"


@pytest.fixture
def hasty(sandbox_for: SandboxFor) -> Sandbox:
    """A sandbox whose turns have little of everything."""
    return sandbox_for(wall_seconds=0.5)


# How a branch ends, and who goes on

FILL = f"full = bytearray({300 * MIB})"
STUBBORN = (
    "import time\nwhile True:\n    try:\n        time.sleep(60)\n"
    "    except KeyboardInterrupt:\n        pass"
)
ENDS = {
    "exits at once": "import os\nos._exit(3)",
    "kills itself": "import os\nos.kill(os.getpid(), 9)",
    "stops itself": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
    "crashes": "import ctypes\nctypes.string_at(0)",
    "ignores an interrupt": STUBBORN,
    "fills the memory": FILL,
    "floods": "while True: print('x' * 10_000)",
    "does what no program needs": "import ctypes\nctypes.CDLL(None).syscall(0x40000027)",
}
each_end = pytest.mark.parametrize("source", ENDS.values(), ids=ENDS.keys())


@pytest.mark.slow
@each_end
def test_a_branch_that_ends_takes_nobody_along(hasty: Sandbox, source: str) -> None:
    with prepared(hasty, "x = 42") as session:
        one, other = session.fork(2)
        (child,) = one.fork()
        one.run(source)

        seen = [value_of(each, "x") for each in (one, child, other, session)]

    assert seen == ["lost", 42, 42, 42]


@pytest.mark.slow
@each_end
def test_a_session_that_ends_takes_its_branches_along(hasty: Sandbox, source: str) -> None:
    with prepared(hasty, "x = 42") as session:
        (branch,) = session.fork()
        session.run(source)

        assert wait_until(lambda: value_of(branch, "x") == "lost")


VERDICTS = {
    "fills the memory": (FILL, "memory_limit", True),
    "ignores an interrupt": (STUBBORN, "timeout", True),
    "sleeps": ("import time\ntime.sleep(60)", "timeout", False),
    "counts for ever": ("n = 0\nwhile True: n += 1", "timeout", False),
    "floods": ("while True: print('x' * 10_000)", "output_limit", True),
    "raises": ("1 / 0", "error", False),
}


@pytest.mark.slow
@pytest.mark.parametrize(("source", "status", "lost"), VERDICTS.values(), ids=VERDICTS.keys())
def test_a_bad_turn_of_a_branch_is_told(
    hasty: Sandbox, source: str, status: str, *, lost: bool
) -> None:
    with prepared(hasty, "x = 42") as session:
        (branch,) = session.fork()
        result = branch.run(source)

        assert (result.status, result.session_lost) == (status, lost)


@pytest.mark.slow
def test_a_branch_whose_turn_was_interrupted_goes_on(hasty: Sandbox) -> None:
    with prepared(hasty, "x = 42") as session:
        (branch,) = session.fork()
        branch.run("import time\ntime.sleep(60)")

        assert branch.run("x").value == 42


def test_a_closed_branch_takes_no_branch_of_its_own_along(box: Sandbox) -> None:
    with prepared(box, "x = 42") as session:
        (branch,) = session.fork()
        (child,) = branch.fork()
        branch.close()

        assert child.run("x").value == 42


# Limits of its own

SPARE = f"held = bytearray({150 * MIB})"


@pytest.mark.slow
def test_each_branch_has_the_whole_memory(box: Sandbox) -> None:
    """W7: three times 150 of 256 MiB."""
    with prepared(box, "x = 42") as session:
        branches = session.fork(3)

        assert [each.run(SPARE).status for each in branches] == ["ok"] * 3


def test_a_branch_over_its_memory_meets_its_limit(box: Sandbox) -> None:
    with prepared(box, "x = 42") as session:
        one, _ = session.fork(2)

        assert [one.run(turn).status for turn in (SPARE, f"more = bytearray({150 * MIB})")] == [
            "ok",
            "memory_limit",
        ]


BURN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass"


def test_branches_run_beside_each_other(box: Sandbox) -> None:
    with box.session() as session, session.fork(1)[0] as one, session.fork(1)[0] as other:
        given = [each.run("import os; [*os.sched_getaffinity(0)]").value for each in (one, other)]

    assert [len(each) for each in given] == [1, 1]
    assert len({*map(tuple, given)}) == min(2, len(os.sched_getaffinity(0)))


@pytest.mark.slow
def test_each_branch_has_the_whole_processor_time(sandbox_for: SandboxFor) -> None:
    """W7: what its session and the branch beside it used is not counted again."""
    with prepared(sandbox_for(cpu_seconds=1), BURN.format(0.6)) as session:
        assert [each.run(BURN.format(0.6)).status for each in session.fork(3)] == ["ok"] * 3


@pytest.mark.slow
def test_a_branch_over_its_processor_time_goes_on(sandbox_for: SandboxFor) -> None:
    with prepared(sandbox_for(cpu_seconds=0.3), "x = 42") as session:
        (branch,) = session.fork()

        assert (branch.run(BURN.format(60)).status, branch.run("x").value) == ("cpu_limit", 42)


FULL = """
import os, time
made = 0
for _ in range(40):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    made += 1
"""


def test_a_branch_full_of_processes_meets_its_limit(sandbox_for: SandboxFor) -> None:
    with prepared(sandbox_for(processes=8), "x = 42") as session:
        (branch,) = session.fork()

        assert branch.run(FULL).status == "process_limit"


def test_a_branch_full_of_processes_leaves_its_sibling_some(sandbox_for: SandboxFor) -> None:
    with prepared(sandbox_for(processes=8), "x = 42") as session:
        one, other = session.fork(2)
        one.run(FULL)

        assert other.run("import os\nos.system('exit 3')").value == 3 << 8


def test_usage_of_a_branch_is_its_own(box: Sandbox) -> None:
    """Its peak is not the 100 MiB that its session holds, nor its time that of its session."""
    with prepared(box, f"x = bytearray(b'x') * {100 * MIB}\n{BURN.format(0.3)}") as session:
        (branch,) = session.fork()
        usage = branch.run("print('four')").usage

    assert (usage.peak_memory_bytes < 50 * MIB, usage.cpu_seconds < 0.1, usage.stdout_bytes) == (
        True,
        True,
        5,
    )


# Side by side


async def run_each(branches: list[AsyncSession], source: str) -> list[str]:
    """Give the statuses of one turn in each branch, all at once."""
    statuses: list[str] = []

    async def run(branch: AsyncSession) -> None:
        statuses.append((await branch.run(source)).status)

    async with anyio.create_task_group() as tasks:
        for branch in branches:
            tasks.start_soon(run, branch)
    return statuses


@pytest.mark.slow
@each_loop
def test_branches_run_at_the_same_time(new_backend: NewBackend, loop: str) -> None:
    """Four that sleep half a second: two seconds, were it one after the other."""

    async def test() -> tuple[list[str], bool]:
        async with (
            AsyncSandbox(backend=new_backend(), parallel=4) as box,
            box.session() as session,
        ):
            branches = await session.fork(4)
            begun_at = time.monotonic()
            statuses = await run_each(branches, "import time\ntime.sleep(0.5)")
            return statuses, time.monotonic() - begun_at < 1.5

    assert anyio.run(test, backend=loop) == (["ok"] * 4, True)


@pytest.mark.slow
def test_a_session_lives_as_long_as_its_branch_that_runs(new_backend: NewBackend) -> None:
    """A guest ends with the longest of its times: a turn of 1 s beside a rest of 0.3 s."""
    policy = Policy.load("strict").widen("a test", idle_seconds=0.3, wall_seconds=5)
    with (
        Sandbox(policy, backend=new_backend()) as box,
        prepared(box, "x = 42") as session,
    ):
        (branch,) = session.fork()

        assert branch.run("import time\ntime.sleep(1)\nx").value == 42


@pytest.mark.slow
def test_no_branch_lives_longer_than_its_session_may(new_backend: NewBackend) -> None:
    policy = Policy.load("strict").widen("a test", life_seconds=0.6)
    with (
        Sandbox(policy, backend=new_backend()) as box,
        prepared(box, "x = 42") as session,
    ):
        (branch,) = session.fork()
        result = branch.run("import time\ntime.sleep(60)")

        assert (result.status, result.usage.wall_seconds < 1.5) == ("timeout", True)
