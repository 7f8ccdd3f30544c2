"""Tenants of a sandbox whose guests are real: what they are charged, and whose turn it is."""

import anyio
import pytest

from sandbox import AsyncSandbox, Budget, BudgetSpent, Sandbox, Spent
from sandbox.backends.base import Stream
from tests.contract.conftest import NewBackend

pytestmark = pytest.mark.slow

AMPLE = Budget(calls=1_000_000, cpu_seconds=1e6, output_bytes=10**12)
BURN = """
import time
while time.process_time() < 0.2:
    pass
"""


def test_a_tenant_is_charged_what_its_guests_used(new_backend: NewBackend) -> None:
    with Sandbox(backend=new_backend(), budget=AMPLE) as box:
        usage = box.tenant("a").run(BURN + "print('done')").usage
        spent = box.tenant("a").spent()

    assert spent == Spent(calls=1, cpu_seconds=usage.cpu_seconds, output_bytes=len("done\n"))


def test_a_tenant_that_has_burnt_its_time_is_refused(new_backend: NewBackend) -> None:
    budget = Budget(calls=1_000_000, cpu_seconds=0.1, output_bytes=10**12)
    with Sandbox(backend=new_backend(), budget=budget) as box:
        box.tenant("a").run(BURN)
        with pytest.raises(BudgetSpent, match=r"tenant 'a' .* cpu_seconds = 0.1:"):
            box.tenant("a").run("1")


def test_a_tenant_goes_on_when_another_has_burnt_its_time(new_backend: NewBackend) -> None:
    budget = Budget(calls=1_000_000, cpu_seconds=0.1, output_bytes=10**12)
    with Sandbox(backend=new_backend(), budget=budget) as box:
        box.tenant("a").run(BURN)

        assert box.tenant("b").run("1").value == 1


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_no_tenant_gains_time_by_giving_calls_up(loop: str, new_backend: NewBackend) -> None:
    async def test() -> Spent:
        async with AsyncSandbox(backend=new_backend(), budget=AMPLE) as box:
            mine = box.tenant("a")
            with anyio.CancelScope() as scope:

                def give_up(_: Stream, __: bytes) -> None:
                    scope.cancel()

                source = BURN + "print('burnt', flush=True)\nwhile True: pass"
                await mine.run(source, on_output=give_up)
            return mine.spent()

    spent = anyio.run(test, backend=loop)

    assert spent.cpu_seconds >= 0.2


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_who_asks_once_does_not_wait_for_who_asks_often(loop: str, new_backend: NewBackend) -> None:
    async def test() -> list[str]:
        order: list[str] = []
        async with AsyncSandbox(backend=new_backend(), parallel=1) as box:

            async def run(name: str) -> None:
                await box.tenant(name).run("1")
                order.append(name)

            await box.run("1")
            async with anyio.create_task_group() as group:
                group.start_soon(box.run, BURN)
                await anyio.wait_all_tasks_blocked()
                for name in ["often"] * 8 + ["once"]:
                    group.start_soon(run, name)
        return order

    order = anyio.run(test, backend=loop)

    assert order.index("once") <= 1
