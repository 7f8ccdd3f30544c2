"""Waiting for a place, given up at any moment: no place is lost and none is used twice."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sandbox import QueueFull
from sandbox.tenants import NOTHING, Bounds, Tenants

pytestmark = pytest.mark.parametrize("loop", ["asyncio", "trio"])

PLACES = 3
OF_ONE_TENANT = 2
CALLS = 120


def check(test: Callable[[], Awaitable[None]], loop: str) -> None:
    anyio.run(test, backend=loop)


class Waiting:
    """A call that waits, and can be given up."""

    def __init__(self, tenants: Tenants, name: str) -> None:
        self.scope = anyio.CancelScope()
        self.was_in = False
        self._tenants = tenants
        self._name = name

    async def __call__(self) -> None:
        with self.scope:
            tenant = await self._tenants.enter(self._name)
            self.was_in = True
            self._tenants.leave(tenant, NOTHING)


def test_who_gives_up_leaves_the_queue(loop: str) -> None:
    async def test() -> None:
        tenants = Tenants(Bounds(parallel=1, queue_size=1))
        holder = await tenants.enter("a")
        first, second = Waiting(tenants, "b"), Waiting(tenants, "b")
        async with anyio.create_task_group() as group:
            group.start_soon(first)
            await anyio.wait_all_tasks_blocked()
            first.scope.cancel()
            await anyio.wait_all_tasks_blocked()
            group.start_soon(second)
            await anyio.wait_all_tasks_blocked()
            tenants.leave(holder, NOTHING)

        assert (first.was_in, second.was_in) == (False, True)

    check(test, loop)


def test_who_gives_up_as_the_only_one_of_its_tenant_is_forgotten(loop: str) -> None:
    async def test() -> None:
        tenants = Tenants(Bounds(parallel=1))
        await tenants.enter("a")
        waiting = Waiting(tenants, "b")
        async with anyio.create_task_group() as group:
            group.start_soon(waiting)
            await anyio.wait_all_tasks_blocked()
            waiting.scope.cancel()

        assert tenants.present == 1

    check(test, loop)


@pytest.mark.parametrize("given_up_first", [True, False], ids=["just before", "just after"])
def test_a_place_given_to_who_gives_up_at_that_moment_passes_on(
    loop: str, *, given_up_first: bool
) -> None:
    async def test() -> None:
        tenants = Tenants(Bounds(parallel=1))
        holder = await tenants.enter("a")
        first, second = Waiting(tenants, "b"), Waiting(tenants, "c")
        async with anyio.create_task_group() as group:
            for waiting in (first, second):
                group.start_soon(waiting)
                await anyio.wait_all_tasks_blocked()
            if given_up_first:
                first.scope.cancel()
            tenants.leave(holder, NOTHING)
            first.scope.cancel()

        assert (first.was_in, second.was_in) == (False, True)

    check(test, loop)


def test_who_has_given_up_before_never_gets_a_place(loop: str) -> None:
    async def test() -> None:
        waiting = Waiting(Tenants(Bounds(parallel=1)), "a")
        waiting.scope.cancel()
        await waiting()

        assert not waiting.was_in

    check(test, loop)


class Storm:
    """Many calls of few tenants; each is given up at a random moment, or goes through."""

    def __init__(self, seed: int) -> None:
        self.tenants = Tenants(Bounds(parallel=PLACES, tenant_parallel=OF_ONE_TENANT, queue_size=9))
        self.running = Counter[str]()
        self.most = 0
        self.most_of_one = 0
        self._chance = random.Random(seed)  # noqa: S311 - the same storm each time
        self._scopes: list[anyio.CancelScope] = []

    async def rage(self) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(CALLS):
                group.start_soon(self._call, self._chance.choice("abc"))
                await self._pause()
                if self._chance.random() < 0.6:
                    self._chance.choice([anyio.CancelScope(), *self._scopes]).cancel()

    async def _call(self, name: str) -> None:
        with anyio.CancelScope() as scope:
            self._scopes.append(scope)
            try:
                tenant = await self.tenants.enter(name)
            except QueueFull:
                return
            self.running[name] += 1
            self.most = max(self.most, self.running.total())
            self.most_of_one = max(self.most_of_one, self.running[name])
            try:
                await self._pause()
            finally:
                self.running[name] -= 1
                self.tenants.leave(tenant, NOTHING)

    async def _pause(self) -> None:
        for _ in range(self._chance.randrange(4)):
            await checkpoint()


@pytest.mark.parametrize("seed", range(12))
def test_no_place_is_lost_in_a_storm_of_cancellations(loop: str, seed: int) -> None:
    async def test() -> None:
        storm = Storm(seed)
        await storm.rage()
        with anyio.fail_after(1):
            for number in range(PLACES):
                await storm.tenants.enter(str(number))

        assert storm.tenants.present == PLACES

    check(test, loop)


@pytest.mark.parametrize("seed", range(12))
def test_no_place_is_used_twice_in_a_storm_of_cancellations(loop: str, seed: int) -> None:
    async def test() -> None:
        storm = Storm(seed)
        await storm.rage()

        assert (storm.most, storm.most_of_one) == (PLACES, OF_ONE_TENANT)

    check(test, loop)
