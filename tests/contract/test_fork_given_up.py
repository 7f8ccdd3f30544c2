"""A fork that cannot be, or that its caller gives up, leaves nothing and no half of a branch."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import pytest

from sandbox import AsyncSandbox, Sandbox, SessionLost
from sandbox.session import AsyncSession
from tests.contract.conftest import BelongingsNow, NewBackend, settled, wait_for

pytestmark = pytest.mark.differs(
    "watchdog",
    "docker",
    "gvisor",
    reason="branches need control groups: see test_fork_refused.py, test_docker.py",
)
each_loop = pytest.mark.parametrize("loop", ["asyncio", "trio"])


def test_a_lost_session_is_not_forked(box: Sandbox) -> None:
    with box.session() as session:
        session.run("import os\nos._exit(3)")

        with pytest.raises(SessionLost):
            session.fork()


def test_a_closed_session_is_not_forked(box: Sandbox) -> None:
    with box.session() as session:
        session.run("x = 42").unwrap()

    with pytest.raises(SessionLost):
        session.fork()


def test_a_closed_branch_takes_no_turn(box: Sandbox) -> None:
    with box.session() as session:
        (branch,) = session.fork()
        branch.close()

        with pytest.raises(SessionLost):
            branch.run("42")


Act = Callable[[AsyncSession], Awaitable[None]]


def after(new_backend: NewBackend, look: BelongingsNow, loop: str, act: Act) -> tuple[object, bool]:
    """Give a value of the session after an act, and whether nothing is left of its sandbox."""

    async def test() -> object:
        async with AsyncSandbox(backend=new_backend()) as box, box.session() as session:
            await session.run("x = 42")
            await act(session)
            try:
                return (await session.run("x")).value
            except SessionLost:
                return "lost"

    before = settled(look)
    value = anyio.run(test, backend=loop)
    return value, wait_for(look, before.__eq__) == before


@each_loop
@pytest.mark.slow
@pytest.mark.parametrize("first_milliseconds", [0, 5, 10, 15])
def test_a_fork_cancelled_at_any_moment_leaves_nothing(
    new_backend: NewBackend, belongings: BelongingsNow, loop: str, first_milliseconds: int
) -> None:
    async def act(session: AsyncSession) -> None:
        for number in range(10):
            with (
                anyio.move_on_after((first_milliseconds + number / 2) / 1000),
                suppress(SessionLost),
            ):
                await session.fork(3)
                await anyio.sleep_forever()

    value, is_clean = after(new_backend, belongings, loop, act)

    assert (value in {42, "lost"}, is_clean) == (True, True)


@each_loop
def test_a_session_whose_fork_was_cancelled_before_it_began_goes_on(
    new_backend: NewBackend, belongings: BelongingsNow, loop: str
) -> None:
    async def act(session: AsyncSession) -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await session.fork(2)

    assert after(new_backend, belongings, loop, act) == (42, True)


@each_loop
def test_branches_made_at_the_same_time_are_all_there(
    new_backend: NewBackend, belongings: BelongingsNow, loop: str
) -> None:
    made: list[object] = []

    async def fork(session: AsyncSession) -> None:
        async with session.branch() as branch:
            made.append((await branch.run("x")).value)

    async def act(session: AsyncSession) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(fork, session)

    assert (after(new_backend, belongings, loop, act), made) == ((42, True), [42] * 5)
