"""Tenants of a sandbox: whose call it is, and what it costs, on a backend without processes."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import pytest

from sandbox import AsyncSandbox, BadCall, Budget, EngineFault, Policy, Sandbox, Source, Spent
from sandbox.backends.base import Sighting, Stream
from sandbox.backends.fake import FakeBackend, returned
from sandbox.call import Call
from sandbox.policy import NoPrograms, Quota
from sandbox.result import Result, Usage

AMPLE = Budget(calls=1_000_000, cpu_seconds=1e6, output_bytes=10**12)
LEAST_CPU = 1e-9
each_loop = pytest.mark.parametrize("loop", ["asyncio", "trio"])


def check(test: Callable[[], Awaitable[None]], loop: str) -> None:
    anyio.run(test, backend=loop)


def used(cpu_seconds: float, *, stdout: bytes = b"", stderr: bytes = b"") -> Sighting:
    sighting = returned(None, stdout=stdout, stderr=stderr)
    usage = Usage(cpu_seconds=cpu_seconds, stdout_bytes=len(stdout), stderr_bytes=len(stderr))
    return replace(sighting, usage=usage)


async def forever(_: Call) -> None:
    await anyio.sleep_forever()


@each_loop
def test_a_call_is_charged_what_the_host_saw(loop: str) -> None:
    async def test() -> None:
        backend = FakeBackend([used(0.25, stdout=b"abc", stderr=b"de"), used(0.5)])
        mine = AsyncSandbox(backend=backend, budget=AMPLE).tenant("a")
        await mine.run("1")
        await mine.run("2")

        assert mine.spent() == Spent(calls=2, cpu_seconds=0.75, output_bytes=5)

    check(test, loop)


CALLS: dict[str, Callable[[AsyncSandbox], Awaitable[Result]]] = {
    "run": lambda box: box.run("1"),
    "call": lambda box: box.call("math:gcd", 4, 6),
    "exec": lambda box: box.exec(["true"]),
    "execute": lambda box: box.execute(Source(source="1")),
}


@each_loop
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_every_kind_of_call_is_the_tenant_s(
    loop: str, call: Callable[[AsyncSandbox], Awaitable[Result]]
) -> None:
    async def test() -> None:
        mine = AsyncSandbox("session", backend=FakeBackend.returning(1), budget=AMPLE).tenant("a")
        await call(mine)

        assert mine.spent().calls == 1

    check(test, loop)


@each_loop
def test_the_calls_of_one_tenant_are_not_another_s(loop: str) -> None:
    async def test() -> None:
        box = AsyncSandbox(backend=FakeBackend.returning(1), budget=AMPLE)
        await box.tenant("a").run("1")

        assert (box.spent(), box.tenant("b").spent()) == (Spent(), Spent())

    check(test, loop)


@each_loop
def test_calls_without_a_tenant_are_one_tenant_s(loop: str) -> None:
    async def test() -> None:
        box = AsyncSandbox(backend=FakeBackend.returning(1, 2), budget=AMPLE)
        await box.run("1")
        await box.run("2")

        assert box.spent().calls == 2

    check(test, loop)


@each_loop
def test_a_tenant_asked_for_twice_is_the_same(loop: str) -> None:
    async def test() -> None:
        box = AsyncSandbox(backend=FakeBackend.returning(1), budget=AMPLE)
        await box.tenant("a").run("1")

        assert box.tenant("a").spent().calls == 1

    check(test, loop)


async def give_up(mine: AsyncSandbox) -> Spent:
    """Begin a call, cancel it, and see what that cost."""
    async with anyio.create_task_group() as group:
        group.start_soon(mine.run, "1")
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    return mine.spent()


@each_loop
def test_a_cancelled_call_is_charged_its_time(loop: str) -> None:
    async def test() -> None:
        box = AsyncSandbox(backend=FakeBackend([], before=forever), budget=AMPLE)

        assert (await give_up(box.tenant("a"))).cpu_seconds > 0

    check(test, loop)


@each_loop
def test_a_cancelled_call_is_charged_no_more_than_its_quota(loop: str) -> None:
    async def test() -> None:
        policy = Policy(quota=Quota(cpu_seconds=LEAST_CPU))
        box = AsyncSandbox(policy, backend=FakeBackend([], before=forever), budget=AMPLE)

        assert (await give_up(box.tenant("a"))).cpu_seconds == LEAST_CPU

    check(test, loop)


@each_loop
def test_a_call_given_up_after_output_is_charged_for_the_output(loop: str) -> None:
    async def test() -> None:
        def tire(stream: Stream, chunk: bytes) -> None:
            raise InterruptedError(stream, chunk)

        backend = FakeBackend([returned(None, stdout=b"abc")])
        mine = AsyncSandbox(backend=backend, budget=AMPLE).tenant("a")
        with pytest.raises(InterruptedError):
            await mine.run("1", on_output=tire)

        assert mine.spent().output_bytes == 3

    check(test, loop)


FAULTS = {
    "before the start": (EngineFault("no guest", started="no"), False),
    "after the start": (EngineFault("it broke", started="yes"), True),
    "nobody knows when": (EngineFault("it broke", started="unknown"), True),
}


@each_loop
@pytest.mark.parametrize(("fault", "costs_time"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_costs_time_if_the_call_may_have_run(
    loop: str, fault: EngineFault, *, costs_time: bool
) -> None:
    async def test() -> None:
        mine = AsyncSandbox(backend=FakeBackend([fault]), budget=AMPLE).tenant("a")
        with pytest.raises(EngineFault):
            await mine.run("1")

        assert (mine.spent().cpu_seconds > 0) == costs_time

    check(test, loop)


@each_loop
def test_what_the_policy_denies_costs_nothing(loop: str) -> None:
    async def test() -> None:
        policy = Policy(programs=NoPrograms())
        mine = AsyncSandbox(policy, backend=FakeBackend([]), budget=AMPLE).tenant("a")
        await mine.exec(["true"])

        assert mine.spent() == Spent()

    check(test, loop)


@each_loop
def test_calls_that_wait_fail_when_the_sandbox_is_closed(loop: str) -> None:
    async def test() -> None:
        box = AsyncSandbox(backend=FakeBackend([], before=forever), parallel=1)
        reasons: list[str] = []

        async def wait() -> None:
            try:
                await box.run("2")
            except EngineFault as fault:
                reasons.append(str(fault))

        async with anyio.create_task_group() as group:
            group.start_soon(box.run, "1")
            await anyio.wait_all_tasks_blocked()
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await box.aclose()
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

        assert [reason.partition(":")[0] for reason in reasons] == [
            "the sandbox was closed while this call waited"
        ]

    check(test, loop)


@each_loop
def test_a_sandbox_and_its_tenants_are_closed_together(loop: str) -> None:
    async def test() -> None:
        box = AsyncSandbox(backend=FakeBackend.returning(1))
        mine = box.tenant("a")
        await box.aclose()
        with pytest.raises(EngineFault, match="closed"):
            await mine.run("1")

    check(test, loop)


@each_loop
def test_a_call_that_was_given_up_before_never_reaches_the_backend(loop: str) -> None:
    async def test() -> None:
        backend = FakeBackend.returning(1)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await AsyncSandbox(backend=backend).run("1")

        assert backend.calls == []

    check(test, loop)


NAMES = {"empty": "", "too long": "x" * 257, "nobody": None, "a number": 7}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_what_names_no_tenant_is_refused(name: str) -> None:
    with pytest.raises(BadCall, match="a tenant is a text of 1 to 256 characters"):
        AsyncSandbox(backend=FakeBackend([])).tenant(name)


def test_the_longest_name_is_a_tenant() -> None:
    mine = AsyncSandbox(backend=FakeBackend([]), budget=AMPLE).tenant("x" * 256)

    assert mine.spent() == Spent()


def test_the_blocking_face_charges_the_same() -> None:
    with Sandbox(backend=FakeBackend([used(0.25, stdout=b"abc")]), budget=AMPLE) as box:
        box.tenant("a").run("1")

        assert box.tenant("a").spent() == Spent(calls=1, cpu_seconds=0.25, output_bytes=3)


def test_the_blocking_face_renews_a_budget() -> None:
    with Sandbox(backend=FakeBackend.returning(1), budget=AMPLE) as box:
        box.tenant("a").run("1")
        box.tenant("a").renew_budget()

        assert box.tenant("a").spent() == Spent()
