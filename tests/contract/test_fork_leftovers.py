"""After branches, however they ended, or the death of their host, nothing of them is left."""

import secrets
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import sandbox
from sandbox import BadCall, Policy, Sandbox
from sandbox.session import Session
from tests.contract.conftest import (
    BelongingsNow,
    NewBackend,
    groups_of,
    kept,
    settled,
    wait_for,
)
from tests.contract.engines import wait_until

pytestmark = pytest.mark.differs(
    "watchdog",
    "docker",
    "gvisor",
    reason="branches need control groups: see test_fork_refused.py, test_docker.py",
)
CHECKOUT = Path(sandbox.__file__).parents[1]
KEPT_PROCESSES = 6
"""Keeper, zygote, and the two of the session and of the guest that waits for the next one."""

CHILD = """
import os, signal, time
ready, started = os.pipe()
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open("/proc/self/comm", "w").write({name!r})
    os.write(started, b"!")
    time.sleep(3600)
    os._exit(0)
len(os.read(ready, 1))
"""


def short(new_backend: NewBackend) -> Sandbox:
    """Give a sandbox of a test's own whose turns have half a second."""
    policy = Policy.load("strict").widen("a test", wall_seconds=0.5)
    return Sandbox(policy, backend=new_backend())


def each_runs(source: str) -> Callable[[Session], object]:
    """Give what forks three branches, has a turn in each, and closes them."""

    def act(session: Session) -> None:
        branches = session.fork(3)
        for branch in branches:
            branch.run(source)
        for branch in branches:
            branch.close()

    return act


def of_a_snapshot(session: Session) -> None:
    with session.freeze() as frozen:
        for number in range(5):
            frozen.run(f"open('f', 'w').write('{number}')").unwrap()


def closed_from_above(session: Session) -> None:
    """Close each before its own branch, down the line."""
    (one,) = session.fork()
    (two,) = one.fork()
    (three,) = two.fork()
    for branch in (one, two, three, three):
        branch.close()


def refused(session: Session) -> None:
    session.run("import threading as t\ne = t.Event()\nh = t.Thread(target=e.wait)\nh.start()")
    with suppress(BadCall):
        session.fork()
    session.run("e.set()\nh.join()").unwrap()


ACTS: dict[str, Callable[[Session], object]] = {
    "a value": each_runs("42"),
    "an error": each_runs("1 / 0"),
    "a timeout": each_runs("import time\ntime.sleep(60)"),
    "its own end": each_runs("import os\nos._exit(3)"),
    "its own death": each_runs("import os\nos.kill(os.getpid(), 9)"),
    "its own stop": each_runs("import os\nos.kill(os.getpid(), 19)"),
    "all memory": each_runs("x = bytearray(500 << 20)"),
    "a flood": each_runs("while True: print('x' * 10_000)"),
    "a daemon": each_runs(CHILD.format(name="left")),
    "a daemon without its parent": each_runs(CHILD.format(name="left") + "\nos._exit(0)"),
    "many children": each_runs(
        "import os, time\nfor _ in range(9):\n    if os.fork() == 0: time.sleep(60)"
    ),
    "an answer to nobody": each_runs("import os\nos.write(4, b'x' * 99)"),
    "files": each_runs("open('f', 'wb').write(bytes(1 << 20))"),
    "a snapshot": of_a_snapshot,
    "a line of branches closed from above": closed_from_above,
    "a refusal": refused,
}
each_act = pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())


@pytest.mark.slow
@each_act
def test_closed_branches_leave_nothing_in_a_session_that_goes_on(
    new_backend: NewBackend, belongings: BelongingsNow, act: Callable[[Session], object]
) -> None:
    cold = settled(belongings)
    with short(new_backend) as box, box.session() as session:
        session.run("x = 42").unwrap()
        before = kept(belongings, cold, KEPT_PROCESSES)
        act(session)

        assert wait_for(belongings, before.__eq__) == before


@pytest.mark.slow
@each_act
def test_a_sandbox_closed_after_branches_leaves_nothing_at_all(
    new_backend: NewBackend, belongings: BelongingsNow, act: Callable[[Session], object]
) -> None:
    before = settled(belongings)
    with short(new_backend) as box, box.session() as session:
        act(session)

    assert belongings() == before


UNCLOSED: dict[str, Callable[[Session], object]] = {
    "branches": lambda session: session.fork(3),
    "a snapshot": lambda session: session.freeze(),
    "branches of a branch": lambda session: session.fork()[0].fork(2)[0].run("1"),
}


@pytest.mark.slow
@pytest.mark.parametrize("act", UNCLOSED.values(), ids=UNCLOSED.keys())
def test_branches_that_nobody_closed_are_closed_with_their_session(
    new_backend: NewBackend, belongings: BelongingsNow, act: Callable[[Session], object]
) -> None:
    cold = settled(belongings)
    with short(new_backend) as box:
        with box.session() as session:
            session.run("x = 42").unwrap()
        before = kept(belongings, cold, 4)
        with box.session() as session:
            act(session)

        assert wait_for(belongings, before.__eq__) == before


@pytest.mark.slow
def test_branches_that_nobody_closed_go_with_their_session(
    new_backend: NewBackend,
) -> None:
    """Their processes; what the host holds of one goes when it is closed."""
    name = f"left-{secrets.token_hex(4)}"
    with short(new_backend) as box:
        with box.session() as session:
            branches = session.fork(4)
            for branch in branches:
                branch.run(CHILD.format(name=name)).unwrap()
        left = [each for each in psutil.process_iter(["name"]) if each.info["name"] == name]
        for branch in branches:
            branch.close()

    assert left == []


def test_what_a_branch_left_running_is_dead_when_it_is_closed(box: Sandbox) -> None:
    """W2: its session and its sibling go on, and so does what they left running."""
    name = f"left-{secrets.token_hex(4)}"
    with box.session() as session:
        session.run(CHILD.format(name=f"{name[:-1]}!")).unwrap()
        one, _ = session.fork(2)
        one.run(CHILD.format(name=name)).unwrap()
        one.close()

        # Dead it may be seen until the session's PID 1 has reaped it.
        is_gone = wait_until(lambda: name not in names(), seconds=1.0)
        assert (is_gone, f"{name[:-1]}!" in names()) == (True, True)


def names() -> set[str]:
    """Give the names of all processes of this host."""
    return {each.info["name"] for each in psutil.process_iter(["name"])}


@pytest.mark.slow
def test_fifty_branches_in_a_row_leave_nothing(
    new_backend: NewBackend, belongings: BelongingsNow
) -> None:
    cold = settled(belongings)
    with short(new_backend) as box, box.session() as session:
        session.run("x = 42").unwrap()
        before = kept(belongings, cold, KEPT_PROCESSES)
        for _ in range(50):
            each_runs("x")(session)

        assert wait_for(belongings, before.__eq__) == before


# The death of the host

HOST = """
import os, sys
from sandbox import Sandbox
from sandbox.backends.processes import owner_name
from sandbox.backends.subprocess import SubprocessBackend
backend = SubprocessBackend(use_control_groups={counted})
with Sandbox(backend=backend) as box, box.session() as session:
    (child,) = session.fork(3)[0].fork()
    for branch in (session, child):
        branch.run({child!r}).unwrap()
    print(owner_name(), flush=True)
    {last}
"""
LASTS = {
    "while it waits": "sys.stdin.read()",
    "in mid turn": "child.run('import time; time.sleep(60)')",
    "while it forks": "[session.fork(9) for _ in range(9)]",
}


@pytest.mark.slow
@pytest.mark.parametrize("last", LASTS.values(), ids=LASTS.keys())
def test_killing_the_host_of_branches_leaves_nothing(mechanism: str, last: str) -> None:
    name = f"left-{secrets.token_hex(4)}"
    counted, child = mechanism == "cgroup", CHILD.format(name=name)
    program = HOST.format(counted=counted, child=child, last=last)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as host:
        assert host.stdout
        owner = host.stdout.readline().strip()
        family = psutil.Process(host.pid).children(recursive=True)
        host.kill()

    assert wait_until(lambda: not [*alive(family), *groups_of(owner)])


def alive(family: list[psutil.Process]) -> list[psutil.Process]:
    """Give those of a family that still run; psutil knows a number that was given again."""
    return [each for each in family if each.is_running()]
