"""SIGKILL of the host in any phase: every process of ours ends, and no control group stays.

The hosts are children of a supervisor that is a sub-reaper, prctl(2): whatever outlives a host
becomes the supervisor's child, so "no child is left" is a fact of the kernel's and needs no list.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sandbox
from tests.contract.conftest import groups_of

CHECKOUT = Path(sandbox.__file__).parents[1]

SUPERVISOR = '''
import ctypes, json, os, random, select, signal, sys, time
import psutil
from sandbox import Policy, Sandbox
from sandbox.backends.processes import start_time
from sandbox.backends.subprocess import SubprocessBackend

mechanism, plan = sys.argv[1], json.loads(sys.argv[2])
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
SubprocessBackend(use_control_groups=mechanism == "cgroup").enforced(Policy())  # imports it all

def host(ready):
    """Run calls without end; say when the first one is under way."""
    backend = SubprocessBackend(use_control_groups=mechanism == "cgroup")
    box = Sandbox(Policy().widen("a test", wall_seconds=30.0), backend=backend)
    say = lambda *_: os.write(ready, b"r")
    while True:
        box.run(plan["program"], on_output=say)

def zygotes(pid):
    return [each.pid for keeper in psutil.Process(pid).children() for each in keeper.children()]

def wait_until_all_are_dead(seconds):
    """Reap until there is no child any more; give how many there were."""
    count = 0
    signal.setitimer(signal.ITIMER_REAL, seconds)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            signal.setitimer(signal.ITIMER_REAL, 0)
            return count
        count += 1

def too_late(*_):
    left = [f"{each.pid} {each.name()} {each.status()}" for each in
            psutil.Process().children(recursive=True)]
    print(json.dumps({"left": left, "owners": owners}), flush=True)
    for each in psutil.Process().children(recursive=True):
        each.kill()
    os._exit(0)

signal.signal(signal.SIGALRM, too_late)
owners = []
for seconds in plan["phases"]:
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        host(told)
    os.close(told)
    owners.append(f"{pid}-{start_time(pid)}")
    if plan["waits_for_ready"]:
        os.read(ready, 1)
    death = os.pidfd_open(pid)
    select.select([death], [], [], seconds)  # in the midst of whatever it does by then
    if plan["stops"]:
        for each in zygotes(pid):
            os.kill(each, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    os.close(death)
    os.close(ready)
    wait_until_all_are_dead(10)
print(json.dumps({"left": [], "owners": owners}))
'''

QUICK = "print(1)"
LONG = "print(1)\nimport time\ntime.sleep(60)"
TREE = """
import os, signal, time
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.fork()
        time.sleep(60)
print(1)
time.sleep(60)
"""
SPREAD = [number * 0.013 for number in range(30)]
"""Seconds from the host's birth to its death: from before the keeper to well into the calls."""


def killed_hosts(mechanism: str, **plan: Any) -> dict[str, Any]:
    """Start hosts, kill each at its time, and give what was left of them."""
    plan = {"waits_for_ready": False, "stops": False, **plan}
    done = subprocess.run(
        [sys.executable, "-c", SUPERVISOR, mechanism, json.dumps(plan)],
        cwd=CHECKOUT,
        capture_output=True,
        timeout=55,
        check=True,
        text=True,
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def left_over(report: dict[str, Any]) -> list[str]:
    groups = [group for owner in report["owners"] for group in groups_of(owner)]
    return [*report["left"], *groups]


@pytest.mark.slow
def test_killing_the_host_in_any_phase_leaves_nothing(mechanism: str) -> None:
    assert left_over(killed_hosts(mechanism, program=QUICK, phases=SPREAD)) == []


@pytest.mark.slow
@pytest.mark.parametrize("program", [LONG, TREE], ids=["one process", "a tree of daemons"])
def test_killing_the_host_in_mid_call_leaves_nothing(mechanism: str, program: str) -> None:
    report = killed_hosts(mechanism, program=program, phases=[0, 0.02], waits_for_ready=True)

    assert left_over(report) == []


@pytest.mark.slow
def test_killing_the_host_of_a_stopped_zygote_leaves_nothing(mechanism: str) -> None:
    report = killed_hosts(mechanism, program=LONG, phases=[0], waits_for_ready=True, stops=True)

    assert left_over(report) == []
