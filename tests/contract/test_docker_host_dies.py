"""A host killed with SIGKILL leaves no container: its streams end, and PID 1 with them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

import pytest

from sandbox.backends.docker_engine import DockerEngine
from sandbox.backends.docker_leftovers import find_containers, remove_orphans
from tests.contract.engines import needs_engine

pytestmark = [needs_engine, pytest.mark.slow]

PATIENCE_SECONDS: Final = 15.0
LOOK_SECONDS: Final = 0.05
HOST: Final = """
import os
from sandbox import Policy, Sandbox

box = Sandbox(Policy().widen("a test", wall_seconds=60.0), backend="docker")
while True:
    box.run({program!r}, on_output=lambda *_: os.write(1, b"r"))
"""
QUICK: Final = "print('ready')"
LONG: Final = "print('ready')\nimport time\ntime.sleep(50)"
STUBBORN: Final = (
    "import os, signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\n"
    "if os.fork() == 0: os.setsid()\nprint('ready', flush=True)\nwhile True: signal.pause()"
)


@pytest.fixture
def engine() -> Iterator[DockerEngine]:
    with closing(DockerEngine()) as found:
        yield found


def containers_of(engine: DockerEngine, pid: int) -> list[str]:
    return [each.id for each in find_containers(engine) if each.owner_pid == pid]


def left_after_a_kill(engine: DockerEngine, program: str, wait_seconds: float) -> list[str]:
    """Kill a host so long after the first output of its guest; give what is left of it."""
    source = HOST.format(program=program)
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as host:
        assert host.stdout
        assert host.stdout.read(1) == b"r"
        assert containers_of(engine, host.pid) != []
        threading.Event().wait(wait_seconds)
        os.kill(host.pid, signal.SIGKILL)
    return wait_until_gone(engine, host.pid)


def wait_until_gone(engine: DockerEngine, pid: int) -> list[str]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := containers_of(engine, pid)) and time.monotonic() < deadline:
        threading.Event().wait(LOOK_SECONDS)
    return left


@pytest.mark.parametrize("program", [QUICK, LONG, STUBBORN], ids=["quick", "long", "stubborn"])
@pytest.mark.parametrize("wait_seconds", [0.0, 0.05, 0.3], ids=str)
def test_the_containers_of_a_killed_host_go_by_themselves_or_are_swept(
    engine: DockerEngine, program: str, wait_seconds: float
) -> None:
    left = left_after_a_kill(engine, program, wait_seconds)
    if left:  # made, and not started yet: nothing in it can see that its host is gone
        remove_orphans(engine)

    assert containers_left(engine, left) == []


def containers_left(engine: DockerEngine, ids: list[str]) -> list[str]:
    there = {each.id for each in find_containers(engine)}
    return [identity for identity in ids if identity in there]


def test_what_runs_in_the_container_of_a_killed_host_is_dead_soon(engine: DockerEngine) -> None:
    assert left_after_a_kill(engine, STUBBORN, 0.0) == []
