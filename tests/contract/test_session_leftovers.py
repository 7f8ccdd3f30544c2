"""After a session, however it ended, and after the death of its host, nothing of it is left."""

import secrets
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import sandbox
from sandbox import Policy, Sandbox
from sandbox.backends.docker import DEFAULT_WARM
from sandbox.backends.processes import start_time
from sandbox.session import Session
from tests.conftest import SandboxFor
from tests.contract.conftest import (
    DEATH_OF_A_CONTAINER,
    Belongings,
    BelongingsNow,
    NewBackend,
    groups_of,
    kept,
    settled,
    wait_for,
)

CHECKOUT = Path(sandbox.__file__).parents[1]
KEPT_PROCESSES = 4
"""Keeper, zygote, and the two of the guest that waits for the next session."""

TURNS: dict[str, Callable[[Session], object]] = {
    "none": lambda session: session.policy,
    "a value": lambda session: session.run("42"),
    "an error": lambda session: session.run("1 / 0"),
    "a timeout": lambda session: session.run("while True: 1"),
    "its own end": lambda session: session.run("import os; os._exit(3)"),
    "its own death": lambda session: session.run("import os; os.kill(os.getpid(), 9)"),
    "its own stop": lambda session: session.run("import os; os.kill(os.getpid(), 19)"),
    "a flood": lambda session: session.run("while True: print('x' * 10_000)"),
    "all memory": lambda session: session.run("x = bytearray(500 << 20)"),
    "a thread": lambda session: session.run(
        "import threading as t\nt.Thread(target=t.Event().wait).start()"
    ),
    "children": lambda session: session.exec(["sh", "-c", "sleep 60 & sleep 60 & exit 0"]),
    "a daemon": lambda session: session.exec(["sh", "-c", "setsid sleep 60 > /dev/null 2>&1 &"]),
    "an answer to nobody": lambda session: session.run("import os; os.write(4, b'x' * 99)"),
    "files": lambda session: session.put("a/b", bytes(1 << 20)),
    "its files read": lambda session: (
        session.run("open('a', 'w')"),
        session.get("a"),
        session.files,
    ),
    "output that raises here": lambda session: session.run("print(1)", on_output=_raise),
}
each_turn = pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS.keys())


def _raise(_stream: str, _chunk: bytes) -> None:
    message = "the caller's own"
    raise LookupError(message)


def short(new_backend: NewBackend) -> Sandbox:
    """Give a sandbox of a test's own whose turns have half a second."""
    policy = Policy.load("strict").widen("a test", wall_seconds=0.5)
    return Sandbox(policy, backend=new_backend())


KeptNow = Callable[[Belongings, int], Belongings]


@pytest.fixture
def kept_now(mechanism: str, belongings: BelongingsNow) -> KeptNow:
    """Wait for what a sandbox keeps for the next session while so many are open."""

    def wait(cold: Belongings, open_sessions: int) -> Belongings:
        if mechanism not in {"docker", "gvisor"}:
            return kept(belongings, cold, KEPT_PROCESSES + 2 * open_sessions)
        containers = open_sessions or DEFAULT_WARM  # they are started when one is closed
        wait_for(belongings, lambda seen: seen.containers - cold.containers == containers)
        return settled(belongings, DEATH_OF_A_CONTAINER)

    return wait


def take(box: Sandbox, turn: Callable[[Session], object]) -> None:
    """Open a session, have one turn of it, close it."""
    with suppress(LookupError), box.session() as session:
        turn(session)


@pytest.mark.slow
@each_turn
def test_a_closed_session_leaves_nothing_of_it(
    new_backend: NewBackend,
    belongings: BelongingsNow,
    kept_now: KeptNow,
    turn: Callable[[Session], object],
) -> None:
    cold = settled(belongings)
    with short(new_backend) as box:
        take(box, TURNS["a value"])
        before = kept_now(cold, 0)
        take(box, turn)

        assert wait_for(belongings, before.__eq__) == before


@pytest.mark.slow
@each_turn
def test_a_sandbox_closed_after_its_session_leaves_nothing_at_all(
    new_backend: NewBackend, belongings: BelongingsNow, turn: Callable[[Session], object]
) -> None:
    before = settled(belongings)
    with short(new_backend) as box:
        take(box, turn)

    assert belongings() == before


@pytest.mark.slow
def test_fifty_sessions_in_a_row_leave_nothing(
    new_backend: NewBackend, belongings: BelongingsNow, kept_now: KeptNow
) -> None:
    cold = settled(belongings)
    with short(new_backend) as box:
        take(box, TURNS["a value"])
        before = kept_now(cold, 0)
        for _ in range(50):
            take(box, TURNS["a value"])

        assert wait_for(belongings, before.__eq__) == before


@pytest.mark.slow
def test_two_hundred_turns_leave_nothing(
    new_backend: NewBackend, belongings: BelongingsNow, kept_now: KeptNow
) -> None:
    cold = settled(belongings)
    with short(new_backend) as box, box.session() as session:
        session.run("1")
        before = kept_now(cold, 1)
        for number in range(200):
            session.run(f"{number}")

        assert wait_for(belongings, before.__eq__) == before


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


unseen = pytest.mark.differs("gvisor", reason="no process in it is one of the host's")


def named(name: str) -> list[psutil.Process]:
    """Find the processes of a name on this host."""
    return [each for each in psutil.process_iter(["name"]) if each.info["name"] == name]


@unseen
def test_a_child_that_a_turn_left_is_dead_with_its_session(box: Sandbox) -> None:
    name = f"left-{secrets.token_hex(4)}"
    with box.session() as session:
        session.run(CHILD.format(name=name)).unwrap()

    assert named(name) == []


@unseen
def test_a_child_that_a_turn_left_lives_in_the_next_turn(box: Sandbox) -> None:
    """The control: it is state, as a variable is."""
    name = f"left-{secrets.token_hex(4)}"
    with box.session() as session:
        session.run(CHILD.format(name=name)).unwrap()
        session.run("1").unwrap()

        assert len(named(name)) == 1


@unseen
@pytest.mark.slow
def test_a_child_that_a_turn_left_is_dead_when_the_session_is_lost(box: Sandbox) -> None:
    name = f"left-{secrets.token_hex(4)}"
    with box.session() as session:
        session.run(CHILD.format(name=name)).unwrap()
        session.run("import os\nos._exit(3)")

        assert named(name) == []


@pytest.mark.differs("gvisor", reason="a watchdog counts processes there, and kills for them")
def test_children_that_turns_left_count_for_the_next(sandbox_for: SandboxFor) -> None:
    fork = "import os, time\nif os.fork() == 0:\n    time.sleep(3600)\n    os._exit(0)"
    with sandbox_for(processes=8).session() as session:
        ends = [session.run(fork).status for _ in range(12)]

    assert (ends[0], ends[-1]) == ("ok", "process_limit")


HOST = """
import sys, threading
from sandbox import Sandbox
from sandbox.backends.subprocess import SubprocessBackend

box = Sandbox(backend=SubprocessBackend(use_control_groups=sys.argv[1] == "cgroup"))
sessions = [box.session().__enter__() for _ in range(3)]
sessions[0].run("import os\\nfor _ in range(3):\\n    if os.fork() == 0:\\n        os.setsid()\\n"
                "        import time\\n        time.sleep(3600)")
say = lambda *_: print("ready", flush=True)
sessions[1].run("import time\\nprint(1)\\ntime.sleep(4)" if sys.argv[2] == "turn" else "print(1)",
                on_output=say)
threading.Event().wait()
"""


@pytest.mark.differs("docker", "gvisor", reason="see test_docker_sessions.py")
@pytest.mark.slow
@pytest.mark.parametrize("phase", ["turn", "idle"])
def test_killing_the_host_of_sessions_leaves_nothing(mechanism: str, phase: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOST, mechanism, phase], stdout=subprocess.PIPE, cwd=CHECKOUT
    ) as host:
        assert host.stdout
        host.stdout.readline()
        owner = f"{host.pid}-{start_time(host.pid)}"
        ours = psutil.Process(host.pid).children(recursive=True)
        host.kill()
    _, alive = psutil.wait_procs(ours, timeout=10)

    assert (len(ours) > 8, alive, groups_of(owner)) == (True, [], frozenset())


def test_the_host_has_no_descriptor_more_for_each_turn(
    box: Sandbox, belongings: BelongingsNow
) -> None:
    with box.session() as session:
        session.run("1")
        before = settled(belongings).descriptors
        for _ in range(20):
            session.run("1")
            session.put("a", "1")
            session.get("a")

        assert settled(belongings).descriptors == before
