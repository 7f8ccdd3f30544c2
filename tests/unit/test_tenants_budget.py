"""What each tenant has spent, and what becomes of its calls when that is all."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from sandbox import BadCall, Budget, BudgetSpent, Spent
from sandbox.tenants import NAMELESS, Bounds, Tenants

AMPLE = 1_000_000
each_loop = pytest.mark.parametrize("loop", ["asyncio", "trio"])


def check(test: Callable[[], Awaitable[None]], loop: str) -> None:
    anyio.run(test, backend=loop)


def budget_of(
    *, calls: int = AMPLE, cpu_seconds: float = AMPLE, output_bytes: int = AMPLE
) -> Budget:
    return Budget(calls=calls, cpu_seconds=cpu_seconds, output_bytes=output_bytes)


async def spend(tenants: Tenants, spent: Spent, name: str = "a") -> None:
    tenants.leave(await tenants.enter(name), spent)


def tenants_with(budget: Budget) -> Tenants:
    return Tenants(Bounds(parallel=1, budget=budget))


LIMITS = {
    "calls": (budget_of(calls=2), Spent()),
    "cpu": (budget_of(cpu_seconds=2.0), Spent(cpu_seconds=1.0)),
    "output": (budget_of(output_bytes=2), Spent(output_bytes=1)),
}
"""Each is spent by two such calls."""
each_limit = pytest.mark.parametrize(("budget", "cost"), LIMITS.values(), ids=LIMITS.keys())


@each_loop
@each_limit
def test_a_tenant_below_its_budget_goes_on(loop: str, budget: Budget, cost: Spent) -> None:
    async def test() -> None:
        tenants = tenants_with(budget)
        await spend(tenants, cost)
        await spend(tenants, cost)

        assert tenants.spent("a").calls == 2

    check(test, loop)


@each_loop
@each_limit
def test_a_tenant_at_its_budget_is_refused(loop: str, budget: Budget, cost: Spent) -> None:
    async def test() -> None:
        tenants = tenants_with(budget)
        await spend(tenants, cost)
        await spend(tenants, cost)
        with pytest.raises(BudgetSpent):
            await spend(tenants, cost)

    check(test, loop)


@each_loop
def test_another_tenant_has_a_budget_of_its_own(loop: str) -> None:
    async def test() -> None:
        tenants = tenants_with(budget_of(calls=1))
        await spend(tenants, Spent(), "a")
        await spend(tenants, Spent(), "b")

        assert tenants.spent("b") == Spent(calls=1)

    check(test, loop)


NAMED = {
    "calls": ("a", budget_of(calls=1), "calls of tenant 'a' have spent their budget, calls = 1:"),
    "cpu": ("a", budget_of(cpu_seconds=0.5), "cpu_seconds = 0.5:"),
    "output": ("a", budget_of(output_bytes=7), "output_bytes = 7:"),
    "nameless": (NAMELESS, budget_of(calls=1), "calls without a tenant have spent their budget"),
}


@each_loop
@pytest.mark.parametrize(("name", "budget", "words"), NAMED.values(), ids=NAMED.keys())
def test_the_refusal_names_tenant_and_limit(
    loop: str, name: str, budget: Budget, words: str
) -> None:
    async def test() -> None:
        tenants = tenants_with(budget)
        await spend(tenants, Spent(cpu_seconds=1.0, output_bytes=10), name)
        with pytest.raises(BudgetSpent, match=words):
            await tenants.enter(name)

    check(test, loop)


@each_loop
def test_a_refused_call_has_not_begun(loop: str) -> None:
    async def test() -> None:
        tenants = tenants_with(budget_of(calls=1))
        await spend(tenants, Spent())
        with pytest.raises(BudgetSpent) as refusal:
            await tenants.enter("a")

        assert refusal.value.started == "no"

    check(test, loop)


@each_loop
def test_a_refused_call_costs_nothing(loop: str) -> None:
    async def test() -> None:
        tenants = tenants_with(budget_of(calls=1))
        await spend(tenants, Spent())
        with pytest.raises(BudgetSpent):
            await tenants.enter("a")

        assert tenants.spent("a") == Spent(calls=1)

    check(test, loop)


class Waiters:
    """Calls of one tenant that wait."""

    def __init__(self, tenants: Tenants) -> None:
        self.refused = 0
        self._tenants = tenants

    async def wait(self) -> None:
        try:
            await spend(self._tenants, Spent())
        except BudgetSpent:
            self.refused += 1


@each_loop
def test_those_that_wait_are_refused_when_a_call_spends_the_last(loop: str) -> None:
    async def test() -> None:
        tenants = tenants_with(budget_of(output_bytes=1))
        waiters = Waiters(tenants)
        running = await tenants.enter("a")
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(waiters.wait)
            await anyio.wait_all_tasks_blocked()
            tenants.leave(running, Spent(output_bytes=1))

        assert (waiters.refused, tenants.present) == (3, 0)

    check(test, loop)


@each_loop
def test_those_that_wait_are_refused_when_the_last_call_gets_its_place(loop: str) -> None:
    async def test() -> None:
        tenants = tenants_with(budget_of(calls=2))
        waiters = Waiters(tenants)
        running = await tenants.enter("a")
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(waiters.wait)
            await anyio.wait_all_tasks_blocked()
            tenants.leave(running, Spent())

        assert (waiters.refused, tenants.spent("a").calls) == (2, 2)

    check(test, loop)


@each_loop
def test_those_that_wait_go_on_when_another_tenant_spends_its_last(loop: str) -> None:
    async def test() -> None:
        tenants = tenants_with(budget_of(output_bytes=1))
        waiters = Waiters(tenants)
        running = await tenants.enter("b")
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(waiters.wait)
            await anyio.wait_all_tasks_blocked()
            tenants.leave(running, Spent(output_bytes=1))

        assert waiters.refused == 0

    check(test, loop)


@each_loop
def test_a_renewed_budget_begins_at_nothing(loop: str) -> None:
    async def test() -> None:
        tenants = tenants_with(budget_of(calls=1))
        await spend(tenants, Spent())
        tenants.renew("a")
        await spend(tenants, Spent())

        assert tenants.spent("a") == Spent(calls=1)

    check(test, loop)


@pytest.mark.parametrize("read", [Tenants.spent, Tenants.renew], ids=["spent", "renew"])
def test_without_a_budget_nothing_is_said_of_what_was_spent(
    read: Callable[[Tenants, str], object],
) -> None:
    with pytest.raises(BadCall, match="no budget"):
        read(Tenants(Bounds(parallel=1)), "a")


BAD_BUDGETS: dict[str, Callable[[], Budget]] = {
    "no call": lambda: budget_of(calls=0),
    "less than no time": lambda: budget_of(cpu_seconds=-1.0),
    "unlimited time": lambda: budget_of(cpu_seconds=float("inf")),
    "no number": lambda: budget_of(cpu_seconds=float("nan")),
    "no output": lambda: budget_of(output_bytes=0),
}


@pytest.mark.parametrize("make", BAD_BUDGETS.values(), ids=BAD_BUDGETS.keys())
def test_a_budget_that_is_none_is_refused(make: Callable[[], Budget]) -> None:
    with pytest.raises(BadCall, match="give a number above zero"):
        make()
