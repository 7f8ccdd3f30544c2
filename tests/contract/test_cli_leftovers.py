"""`sandbox ps` and `sandbox gc`: what runs, and what the dead left behind."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from sandbox import Sandbox
from sandbox.backends.cgroups import find_hierarchies
from sandbox.backends.leftovers import Running, find_running, sweep
from sandbox.backends.processes import owner_name
from tests.contract.command_line import sandbox

pytestmark = pytest.mark.slow

HOST = """
import os, signal
from sandbox import Sandbox
box = Sandbox()
box.run("1")
print("ready", flush=True)
signal.pause()
"""


def is_alive(process: psutil.Process) -> bool:
    """Tell a process that runs from one that is only not reaped yet by whoever inherited it."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def dead_owner() -> Iterator[int]:
    """Give the number of a host that was killed while all that it had started was stopped.

    A keeper and a zygote that run end by themselves; stopped ones are what can be left behind.
    """
    with subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE) as host:
        assert host.stdout
        host.stdout.readline()
        family = psutil.Process(host.pid).children(recursive=True)
        for process in family:
            with suppress(psutil.NoSuchProcess):  # the guest of the call, which is just going
                process.suspend()
        host.kill()
        host.wait()
        yield host.pid
        for process in filter(is_alive, family):
            process.resume()


def running_for(owner: int) -> list[Running]:
    return [running for running in find_running() if running.owner_pid == owner]


def test_ps_lists_the_zygote_of_a_sandbox(box: Sandbox) -> None:
    box.run("1")
    rows = json.loads(sandbox("ps", "--json").stdout)
    assert "strict" in {row["policy"] for row in rows if row["owner_pid"] == os.getpid()}


def test_ps_shows_the_same_to_people(box: Sandbox) -> None:
    box.run("1")
    rows = [line.split() for line in sandbox("ps").stdout.splitlines()]
    assert str(os.getpid()) in {row[1] for row in rows}


def test_a_living_owner_has_left_nothing_over(box: Sandbox) -> None:
    box.run("1")
    assert not any(running.is_left_over for running in running_for(os.getpid()))


def test_gc_spares_the_sandboxes_of_the_living(box: Sandbox) -> None:
    box.run("1")
    before = {running.pid for running in running_for(os.getpid())}
    sandbox("gc")
    assert before <= {running.pid for running in running_for(os.getpid())}


def test_ps_says_that_an_owner_is_dead(dead_owner: int) -> None:
    assert [running.is_left_over for running in running_for(dead_owner)] == [True]


def test_gc_kills_what_a_dead_owner_left_and_all_below_it(dead_owner: int) -> None:
    keeper = psutil.Process(running_for(dead_owner)[0].pid)
    family = [keeper, *keeper.children(recursive=True)]
    sandbox("gc")
    assert [process for process in family if is_alive(process)] == []


def test_gc_says_what_it_removed(dead_owner: int) -> None:
    pid = running_for(dead_owner)[0].pid
    assert f"killed process {pid} and all below it" in sandbox("gc").stdout.splitlines()


def test_gc_removes_the_control_groups_of_a_dead_owner(dead_owner: int) -> None:
    sandbox("gc")
    roots = [hierarchy.folder for hierarchy in find_hierarchies()]
    assert [path for root in roots for path in root.glob(f"*-{dead_owner}-*")] == []


def test_a_process_that_only_calls_itself_a_keeper_is_none_of_another_namespace(
    box: Sandbox,
) -> None:
    code = """
import subprocess, sys
label = "sandbox-engine:1-1-1:strict"
child = subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()", "keeper", label],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print("ready", flush=True)
input()
"""
    seen: list[list[Running]] = []

    def look(_stream: str, _chunk: bytes) -> None:
        seen.append(running_for(1))

    box.run(code, stdin="\n", on_output=look)
    assert seen[0] == []


@pytest.mark.skipif(not find_hierarchies(), reason="this host gives no control groups to make")
def test_sweep_removes_the_groups_of_the_dead_only() -> None:
    root = find_hierarchies()[0].folder
    _, _, namespace = owner_name().split("-")
    dead, living = (
        root / f"sandbox-engine-1-1-{namespace}-1",
        root / f"sandbox-engine-{owner_name()}-999",
    )
    (dead / "1").mkdir(parents=True)
    living.mkdir()
    removed = sweep()
    is_living_there = living.exists()
    living.rmdir()
    assert (dead in removed, dead.exists(), is_living_there) == (True, False, True)
