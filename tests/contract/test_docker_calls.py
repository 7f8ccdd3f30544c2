"""Calls in containers: exact ends, whole bytes, a bounded stock, and nothing left of any of it."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from sandbox import AsyncSandbox, BadCall, Policy, Sandbox
from sandbox.backends import docker as docker_backend
from sandbox.backends.container import ContainerCall
from sandbox.backends.container_options import Runtime
from sandbox.backends.container_start import Container
from sandbox.backends.container_stock import WORKERS
from sandbox.backends.docker import DockerBackend
from sandbox.backends.docker_engine import DockerEngine
from tests.contract.engines import (
    RUNTIMES,
    Yard,
    needs_engine,
    volumes_and_networks,
    wait_until,
)

pytestmark = [needs_engine, pytest.mark.slow]

MIB = 1 << 20


@pytest.fixture(scope="module", params=RUNTIMES)
def box(request: pytest.FixtureRequest, engine: DockerEngine) -> Iterator[Sandbox]:
    """A sandbox of each runtime, with room for output."""
    runtime: Runtime = request.param
    policy = Yard(engine).policy(output_bytes=16 * MIB, memory_bytes=128 * MIB)
    with Sandbox(policy, backend=DockerBackend(runtime=runtime)) as made:
        yield made


# How a call ended


@pytest.mark.parametrize("code", [0, 1, 3, 127, 255])
def test_the_exit_code_of_a_program_is_exact(box: Sandbox, code: int) -> None:
    assert box.exec(["sh", "-c", f"exit {code}"]).exit_code == code


@pytest.mark.parametrize("number", [1, 6, 9, 10, 15])
def test_the_signal_that_ended_a_program_is_exact(box: Sandbox, number: int) -> None:
    result = box.run(f"import os; os.kill(os.getpid(), {number})")

    assert (result.status, result.signal) == ("signal", number)


def test_a_program_that_takes_too_much_memory_is_told_of_that(box: Sandbox) -> None:
    result = box.run("x = [bytearray(1 << 20) for _ in range(1000)]")

    assert (result.status, result.value) == ("memory_limit", None)


def test_the_call_after_it_has_all_its_memory(box: Sandbox) -> None:
    box.run("x = [bytearray(1 << 20) for _ in range(1000)]")

    assert box.run("len(bytearray(64 << 20))").value == 64 * MIB


BOMBS = {
    "threads": """
import threading, time
while True:
    try:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    except RuntimeError:
        pass
""",
    "processes": """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
""",
    "a shell": "import os\nos.execvp('bash', ['bash', '-c', ':(){ :|:& };: ; wait'])",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_no_bomb_is_told_as_a_fault_of_ours(box: Sandbox, bomb: str) -> None:
    # gVisor, where nothing refuses a process, may run out of threads of its own: "signal".
    assert box.run(bomb).status in {
        *("process_limit", "memory_limit", "cpu_limit", "timeout", "signal", "exit", "error"),
    }


# What it said


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_every_byte_of_output_arrives_as_it_was(box: Sandbox, stream: str) -> None:
    result = box.run(f"import sys; sys.{stream}.buffer.write(bytes(range(256)) * 16384)")

    assert getattr(result, f"{stream}_bytes") == bytes(range(256)) * 16384


def test_every_byte_of_stdin_arrives_as_it_was(box: Sandbox) -> None:
    sent = bytes(range(256)) * 8192

    assert box.exec(["cat"], stdin=sent).stdout_bytes == sent


def test_every_byte_of_a_file_comes_back_as_it_was(box: Sandbox) -> None:
    sent = bytes(range(256)) * 4096

    assert box.exec(["cp", "x", "y"], files={"x": sent}).files["y"] == sent


def test_output_is_heard_while_the_call_runs(box: Sandbox) -> None:
    heard_at: list[float] = []
    box.run(
        "print('now', flush=True)\nimport time\ntime.sleep(0.7)",
        on_output=lambda _stream, _chunk: heard_at.append(time.monotonic()),
    )

    assert time.monotonic() - heard_at[0] > 0.6


ORPHANS = """
import os, time
for _ in range(60):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()

def zombies():
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            state = open(f"/proc/{name}/stat").read().rpartition(")")[2].split()[0]
            found += [name] if state == "Z" else []
        except OSError:
            pass
    return found

until = time.monotonic() + 3
while zombies() and time.monotonic() < until:
    time.sleep(0.01)
zombies()
"""


def test_no_orphan_stays_a_zombie(box: Sandbox) -> None:
    assert box.run(ORPHANS).value == []


def test_modules_that_were_asked_for_are_there_before_the_call(yard: Yard) -> None:
    backend = DockerBackend(preload=("decimal",), warm=0)
    with Sandbox(yard.policy(), backend=backend) as box:
        assert box.run("import sys; 'decimal' in sys.modules").value is True


def test_without_them_they_are_not(yard: Yard) -> None:
    with Sandbox(yard.policy(), backend=DockerBackend(warm=0)) as box:
        assert box.run("import sys; 'decimal' in sys.modules").value is False


def test_a_function_by_value_for_another_version_of_python_is_refused(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SimpleNamespace(version_info=(3, 9, 0))
    monkeypatch.setattr("sandbox.backends.container.sys", other)

    with (
        Sandbox(yard.policy(), backend=DockerBackend(warm=0)) as box,
        pytest.raises(BadCall, match=r"from Python 3\.9 to Python 3\.\d+ in the image"),
    ):
        box.call(lambda: 1)


def test_a_refused_function_leaves_no_container(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.backends.container.sys", SimpleNamespace(version_info=(3, 9, 0)))
    with Sandbox(yard.policy(), backend=DockerBackend(warm=0)) as box:
        with suppress(BadCall):
            box.call(lambda: 1)

        assert yard.ids() == []


# The stock


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the containers that calls were given, in order."""
    ids: list[str] = []

    def note(container: Container, policy: Policy) -> ContainerCall:
        ids.append(container.id)
        return ContainerCall(container, policy)

    monkeypatch.setattr(docker_backend, "ContainerCall", note)
    return ids


@pytest.mark.parametrize("warm", [0, 2])
def test_every_call_has_a_container_of_its_own(yard: Yard, used: list[str], warm: int) -> None:
    with Sandbox(yard.policy(), backend=DockerBackend(warm=warm)) as box:
        for _ in range(6):
            box.run("1")

    assert len({*used}) == len(used) == 6


def test_a_call_takes_a_container_that_was_ready_before_it(yard: Yard, used: list[str]) -> None:
    with Sandbox(yard.policy(), backend=DockerBackend(warm=1)) as box:
        box.run("1")
        assert wait_until(lambda: [each for each in yard.wait_for(1) if each not in used] != [])
        (ready,) = yard.wait_for(1)
        box.run("2")

    assert used[1] == ready


@pytest.mark.parametrize("warm", [0, 1, 3])
def test_the_stock_is_filled_and_never_over(yard: Yard, warm: int) -> None:
    counts: list[int] = []

    def count(_stream: str, _chunk: bytes) -> None:
        counts.append(len(yard.ids()))

    with Sandbox(yard.policy(), backend=DockerBackend(warm=warm)) as box:
        for _ in range(4):
            box.run("print(1)", on_output=count)
        yard.wait_for(warm)

    # beside those in stock, the one that runs and the one before it, which is being removed
    assert max(counts) <= warm + 2


def test_two_policies_share_one_stock(yard: Yard) -> None:
    async def calls() -> list[str]:
        backend = DockerBackend(warm=2)
        async with (
            AsyncSandbox(yard.policy(), backend=backend) as one,
            AsyncSandbox(yard.policy(wall_seconds=4), backend=backend) as two,
        ):
            for box in (one, two, one, two):
                await box.run("1")
            return await anyio.to_thread.run_sync(yard.wait_for, 2)

    assert len(anyio.run(calls)) == 2


def test_a_closed_sandbox_has_emptied_its_stock(yard: Yard) -> None:
    with Sandbox(yard.policy(), backend=DockerBackend(warm=3)) as box:
        box.run("1")

    assert yard.ids() == []


def test_a_container_that_waits_takes_no_thread(yard: Yard) -> None:
    with Sandbox(yard.policy(), backend=DockerBackend(warm=8)) as box:
        before = threading.active_count()
        box.run("1")
        yard.wait_for(8)
        during = threading.active_count()

    # the loop's own workers, the stock's, and the one that listens for ends
    assert during - before <= WORKERS + 3


def sockets() -> int:
    links = [*Path("/proc/self/fd").iterdir()]
    found = 0
    for link in links:
        with suppress(OSError):
            found += str(link.readlink()).startswith("socket:")
    return found


@pytest.mark.timeout(120)
def test_fifty_calls_take_no_more_of_the_host_than_five(yard: Yard) -> None:
    with Sandbox(yard.policy(), backend=DockerBackend(warm=2)) as box:
        for _ in range(5):
            box.run("1")
        yard.wait_for(2)
        few = (sockets(), threading.active_count())
        for _ in range(45):
            box.run("1")
        yard.wait_for(2)
        many = (sockets(), threading.active_count())

    assert many[0] <= few[0] + WORKERS
    assert many[1] <= few[1] + WORKERS


def test_a_closed_sandbox_leaves_no_socket_volume_or_network(yard: Yard) -> None:
    before = (sockets(), volumes_and_networks(yard.engine))
    with Sandbox(yard.policy(), backend=DockerBackend(warm=2)) as box:
        box.run("1")

    assert wait_until(lambda: (sockets(), volumes_and_networks(yard.engine)) == before)


# Its end from this side


def test_a_container_over_its_deadline_is_gone_when_the_call_returns(yard: Yard) -> None:
    policy = yard.policy(wall_seconds=0.5)
    with Sandbox(policy, backend=DockerBackend(warm=0)) as box:
        result = box.run("while True: pass")
        left = yard.ids()

    assert (result.status, left) == ("timeout", [])


def test_a_container_over_its_deadline_is_gone_soon(yard: Yard) -> None:
    policy = yard.policy(wall_seconds=0.5)
    with Sandbox(policy, backend=DockerBackend(warm=0)) as box:
        box.run("1")
        begun = time.monotonic()
        result = box.run("while True: pass")
        elapsed_seconds = time.monotonic() - begun

    assert elapsed_seconds - result.phases.prepared - 0.5 < 1.0


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.15, 0.3, 0.6, 1.0])
def test_a_cancelled_call_leaves_no_container(yard: Yard, seconds: float) -> None:
    async def cancelled() -> bool:
        async with AsyncSandbox(yard.policy(), backend=DockerBackend(warm=0)) as box:
            with anyio.move_on_after(seconds):
                await box.run("import time; time.sleep(30)")
            return await anyio.to_thread.run_sync(wait_until, lambda: yard.ids() == [])

    assert anyio.run(cancelled)


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.15, 0.3, 0.6, 1.0])
def test_a_call_cancelled_by_asyncio_itself_leaves_no_container(yard: Yard, seconds: float) -> None:
    async def cancelled() -> bool:
        async with AsyncSandbox(yard.policy(), backend=DockerBackend(warm=0)) as box:
            call = asyncio.ensure_future(box.run("import time; time.sleep(30)"))
            with suppress(TimeoutError):
                await asyncio.wait_for(call, seconds)
            return await asyncio.to_thread(wait_until, lambda: yard.ids() == [])

    assert asyncio.run(cancelled())


def test_a_listener_that_raises_ends_the_call_and_its_container(yard: Yard) -> None:
    def fail(*_: Any) -> None:
        message = "the caller's own"
        raise LookupError(message)

    with Sandbox(yard.policy(), backend=DockerBackend(warm=0)) as box:
        with suppress(LookupError):
            box.run("print(1)\nimport time\ntime.sleep(30)", on_output=fail)

        assert yard.ids() == []
