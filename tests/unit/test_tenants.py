"""Whose turn it is, who waits, and who is refused: places without calls."""

from collections import Counter
from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import BadCall, QueueFull
from sandbox.tenants import NOTHING, Bounds, Tenant, Tenants

LOOPS = ["asyncio", "trio"]
each_loop = pytest.mark.parametrize("loop", LOOPS)
FEW_EXAMPLES = settings(max_examples=25, deadline=None)
names_of_tenants = st.lists(st.sampled_from("abcd"), max_size=24)


class Crowd:
    """Calls that come one after the other while one runs; each leaves as soon as it has a place."""

    def __init__(self, tenants: Tenants) -> None:
        self.tenants = tenants
        self.ran: list[tuple[int, str]] = []
        self.refused: list[tuple[int, str]] = []
        self.reasons: list[str] = []

    async def call(self, number: int, name: str, *, task_status: TaskStatus[None]) -> None:
        task_status.started()
        try:
            tenant = await self.tenants.enter(name)
        except QueueFull as refusal:
            self.refused.append((number, name))
            self.reasons.append(str(refusal))
            return
        self.ran.append((number, name))
        self.tenants.leave(tenant, NOTHING)

    async def come(self, names: str | list[str]) -> None:
        holder = await self.tenants.enter("holder")
        async with anyio.create_task_group() as group:
            for number, name in enumerate(names):
                await group.start(self.call, number, name)
            self.tenants.leave(holder, NOTHING)


def check(test: Callable[[], Awaitable[None]], loop: str) -> None:
    anyio.run(test, backend=loop)


def come(loop: str, names: str | list[str], *, queue_size: int = 100) -> Crowd:
    """Let so many come to one place, and see what became of each."""
    crowd = Crowd(Tenants(Bounds(parallel=1, queue_size=queue_size)))
    check(lambda: crowd.come(names), loop)
    return crowd


def round_robin(names: list[str]) -> list[tuple[int, str]]:
    """Give the fair order, the slow and obvious way."""
    lines: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        lines.setdefault(name, []).append(number)
    order: list[tuple[int, str]] = []
    while any(lines.values()):
        order += [(line.pop(0), name) for name, line in lines.items() if line]
    return order


@each_loop
def test_tenants_that_wait_take_turns(loop: str) -> None:
    crowd = come(loop, "aaaabb")

    assert "".join(name for _, name in crowd.ran) == "ababaa"


@each_loop
@FEW_EXAMPLES
@given(names=names_of_tenants)
def test_the_order_is_fair_between_tenants_and_of_arrival_within(
    loop: str, names: list[str]
) -> None:
    assert come(loop, names).ran == round_robin(names)


@each_loop
def test_a_queue_takes_as_many_as_its_size(loop: str) -> None:
    assert come(loop, "aaa", queue_size=3).refused == []


@each_loop
def test_a_queue_refuses_one_more_than_its_size(loop: str) -> None:
    assert come(loop, "aaaa", queue_size=3).refused == [(3, "a")]


@each_loop
def test_a_queue_of_no_size_lets_nothing_wait(loop: str) -> None:
    assert come(loop, "a", queue_size=0).refused == [(0, "a")]


@each_loop
def test_a_full_queue_tells_whose_and_how_many_calls_wait(loop: str) -> None:
    [reason] = come(loop, "aaa", queue_size=2).reasons

    assert reason.startswith("the queue is full: 2 calls wait, 2 of them of tenant 'a': ")


@each_loop
def test_the_newest_call_of_the_greediest_makes_room_in_a_full_queue(loop: str) -> None:
    assert come(loop, "aaab", queue_size=3).refused == [(2, "a")]


@each_loop
def test_nobody_makes_room_for_who_would_have_as_many(loop: str) -> None:
    assert come(loop, "aabb", queue_size=3).refused == [(3, "b")]


@each_loop
@FEW_EXAMPLES
@given(names=names_of_tenants, queue_size=st.integers(1, 12))
def test_nobody_is_refused_while_another_has_two_more(
    loop: str, names: list[str], queue_size: int
) -> None:
    crowd = come(loop, names, queue_size=queue_size)
    ran = Counter(name for _, name in crowd.ran)
    most = max(ran.values(), default=0)

    assert [name for _, name in crowd.refused if ran[name] < most - 1] == []


@each_loop
@FEW_EXAMPLES
@given(names=names_of_tenants, queue_size=st.integers(1, 12))
def test_a_full_queue_stays_full(loop: str, names: list[str], queue_size: int) -> None:
    crowd = come(loop, names, queue_size=queue_size)

    assert len(crowd.ran) == min(len(names), queue_size)


@each_loop
def test_who_insists_on_a_full_queue_does_not_stop_the_loop(loop: str) -> None:
    async def test() -> None:
        tenants = Tenants(Bounds(parallel=1, queue_size=0))
        holder = await tenants.enter("a")
        refusals = 0

        async def insist() -> None:
            nonlocal refusals
            while refusals < 1000:
                try:
                    await tenants.enter("b")
                except QueueFull:
                    refusals += 1
                else:
                    return

        async with anyio.create_task_group() as group:
            group.start_soon(insist)
            await checkpoint()
            await checkpoint()
            tenants.leave(holder, NOTHING)

        assert 0 < refusals < 1000

    check(test, loop)


@each_loop
def test_a_tenant_has_no_more_places_than_are_its(loop: str) -> None:
    async def test() -> None:
        tenants = Tenants(Bounds(parallel=3, tenant_parallel=2, queue_size=0))
        for _ in range(2):
            await tenants.enter("a")
        with pytest.raises(QueueFull):
            await tenants.enter("a")

    check(test, loop)


@each_loop
def test_who_waits_for_its_own_places_is_in_nobody_s_way(loop: str) -> None:
    async def test() -> None:
        tenants = Tenants(Bounds(parallel=2, tenant_parallel=1))
        got = [await tenants.enter("a")]
        async with anyio.create_task_group() as group:
            group.start_soon(tenants.enter, "a")
            await anyio.wait_all_tasks_blocked()
            got.append(await tenants.enter("b"))
            group.cancel_scope.cancel()

        assert [tenant.name for tenant in got] == ["a", "b"]

    check(test, loop)


@each_loop
def test_who_waited_for_its_own_places_gets_the_next(loop: str) -> None:
    async def test() -> None:
        tenants = Tenants(Bounds(parallel=2, tenant_parallel=1))
        first = await tenants.enter("a")
        got: list[Tenant] = []

        async def wait() -> None:
            got.append(await tenants.enter("a"))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            tenants.leave(first, NOTHING)

        assert [tenant.running for tenant in got] == [1]

    check(test, loop)


@each_loop
def test_a_tenant_that_neither_runs_nor_waits_is_forgotten(loop: str) -> None:
    async def test() -> None:
        crowd = Crowd(Tenants(Bounds(parallel=1, queue_size=3)))
        await crowd.come("abcdabcd")

        assert crowd.tenants.present == 0

    check(test, loop)


BAD_BOUNDS: dict[str, Callable[[], Bounds]] = {
    "no place": lambda: Bounds(parallel=0),
    "no place for a tenant": lambda: Bounds(parallel=1, tenant_parallel=0),
    "a queue of less than nothing": lambda: Bounds(parallel=1, queue_size=-1),
}


@pytest.mark.parametrize("bounds", BAD_BOUNDS.values(), ids=BAD_BOUNDS.keys())
def test_bounds_that_let_nothing_run_are_refused(bounds: Callable[[], Bounds]) -> None:
    with pytest.raises(BadCall, match="or more"):
        bounds()
