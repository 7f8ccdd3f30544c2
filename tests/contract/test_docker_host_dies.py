"""SIGKILL or SIGSTOP of the host in any phase: its containers end by themselves, or by the sweep.

A container that started ends with the stream of its host. One that was made and not yet started
has nobody in it to notice: the next host's start, or `sandbox gc`, removes it by its label.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

import sandbox
from sandbox.backends.container_options import Runtime
from sandbox.backends.docker_leftovers import remove_orphans
from tests.contract.engines import RUNTIMES, Yard, needs_engine, volumes_and_networks, wait_until

pytestmark = [needs_engine, pytest.mark.slow]

CHECKOUT = Path(sandbox.__file__).parents[1]

SUPERVISOR = '''
import json, os, random, select, signal, sys, threading, time
from sandbox import Policy, Sandbox
from sandbox.backends import container_view
from sandbox.backends.docker import DockerBackend

plan = json.loads(sys.argv[1])
container_view.LAST_SECONDS = 1.0
random.seed(plan["seed"])
policy = Policy.load("strict").widen("a test", name=plan["name"], **plan["quota"])

def host(ready):
    """Run calls without end, or one and wait; say when the first one is so far."""
    say = lambda *_: os.write(ready, b"r")
    box = Sandbox(policy, backend=DockerBackend(warm=plan["warm"], runtime=plan["runtime"]))
    while True:
        box.run(plan["program"], on_output=None if plan["waits_after"] else say)
        if plan["waits_after"]:
            time.sleep(plan["settles"])
            say()
            threading.Event().wait()

def start():
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            host(told)
        finally:
            os._exit(1)
    os.close(told)
    return pid, ready

def strike(pid, ready, when):
    """End a host at a moment, or when it says that it is so far."""
    if plan["waits_for_ready"]:
        os.read(ready, 1)
    death = os.pidfd_open(pid)
    select.select([death], [], [], max(0.0, when - time.monotonic()))
    os.kill(pid, plan["signal"])
    os.close(death)
    os.close(ready)

for _ in range(plan["rounds"]):
    hosts = [start() for _ in range(plan["hosts"])]
    begun = time.monotonic()
    moments = sorted(random.uniform(0, plan["spread"]) for _ in hosts)
    for (pid, ready), moment in zip(hosts, moments):
        strike(pid, ready, begun + moment)
    print(*(pid for pid, _ in hosts), flush=True)
    if plan["signal"] == signal.SIGKILL:
        for pid, _ in hosts:
            os.waitpid(pid, 0)
sys.stdin.read()
for pid, _ in hosts:
    if plan["signal"] != signal.SIGKILL:
        os.kill(pid, signal.SIGKILL)
'''

QUICK = "print(1)"
LONG = "print(1, flush=True)\nimport time\ntime.sleep(60)"
TREE = """
import os, signal, time
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.fork()
        time.sleep(60)
print(1, flush=True)
time.sleep(60)
"""
FLOOD = """
import os
os.write(1, b"ready")
while True:
    os.write(1, bytes(1 << 16))
"""


class Hosts:
    """Hosts in processes of their own, struck by a supervisor as a plan says."""

    def __init__(self, yard: Yard, **plan: Any) -> None:
        self.plan: dict[str, Any] = {
            "name": yard.name,
            "runtime": "runc",
            "program": QUICK,
            "quota": {"wall_seconds": 30.0},
            "warm": 1,
            "seed": 1,
            "rounds": 1,
            "hosts": 1,
            "spread": 0.0,
            "waits_for_ready": False,
            "waits_after": False,
            "settles": 0.0,
            "signal": int(signal.SIGKILL),
            **plan,
        }

    def __enter__(self) -> Self:
        """Start them."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, json.dumps(self.plan)],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def wait_until_struck(self) -> list[int]:
        """Give the numbers of all hosts, once the last one was struck."""
        assert self._process.stdout
        lines = [self._process.stdout.readline() for _ in range(self.plan["rounds"])]
        return [int(pid) for line in lines for pid in line.split()]

    def __exit__(self, *_: object) -> None:
        """End those that live, and the supervisor."""
        self._process.communicate(timeout=20)


def left_after(yard: Yard, seconds: float) -> list[str]:
    """Wait until no container of a test is there; give those that still are."""
    wait_until(lambda: yard.ids() == [], seconds)
    return yard.ids()


@pytest.mark.timeout(150)
def test_two_hundred_killed_hosts_leave_nothing_after_a_sweep(yard: Yard) -> None:
    before = volumes_and_networks(yard.engine)
    with Hosts(yard, hosts=25, rounds=8, spread=3.0) as hosts:
        struck = hosts.wait_until_struck()
        remove_orphans(yard.engine)
        left = left_after(yard, 20)

    assert (len(struck), left) == (200, [])
    assert volumes_and_networks(yard.engine) == before


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("program", [LONG, TREE], ids=["one process", "a tree of daemons"])
def test_a_container_in_mid_call_ends_by_itself_with_its_host(
    yard: Yard, runtime: Runtime, program: str
) -> None:
    with Hosts(yard, runtime=runtime, program=program, hosts=2, waits_for_ready=True) as hosts:
        hosts.wait_until_struck()

        assert left_after(yard, 8) == []


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_container_that_waits_ends_by_itself_with_its_host(yard: Yard, runtime: Runtime) -> None:
    plan = {"waits_after": True, "settles": 3.0, "waits_for_ready": True, "warm": 3}
    with Hosts(yard, runtime=runtime, **plan) as hosts:
        hosts.wait_until_struck()

        assert left_after(yard, 8) == []


def test_a_container_whose_host_hangs_ends_at_its_own_deadline(yard: Yard) -> None:
    quota = {"wall_seconds": 1.0, "output_bytes": 1 << 30}
    plan = {"program": FLOOD, "quota": quota, "waits_for_ready": True, "warm": 0}
    with Hosts(yard, signal=int(signal.SIGSTOP), **plan) as hosts:
        hosts.wait_until_struck()
        (running,) = yard.ids()
        pid_1 = yard.engine.inspect(running)["State"]["Pid"]

        # the engine keeps its record while the output waits for its reader
        assert psutil.pid_exists(pid_1)
        assert wait_until(lambda: not psutil.pid_exists(pid_1), 10)

    assert left_after(yard, 10) == []


def test_the_containers_of_a_living_host_are_not_swept(yard: Yard) -> None:
    plan = {"waits_after": True, "settles": 2.0, "waits_for_ready": True, "signal": 0}
    with Hosts(yard, **plan) as hosts:
        hosts.wait_until_struck()
        waiting = yard.wait_for(1)
        remove_orphans(yard.engine)

        assert yard.ids() == waiting
