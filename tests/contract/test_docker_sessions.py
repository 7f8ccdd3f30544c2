"""What is particular to sessions in containers: their own PID 1, their files, the engine's faults.

All that they share with sessions beside the host is tested in test_session*.py, on each mechanism.
"""

import errno
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import psutil
import pytest

import sandbox
from sandbox import AsyncSandbox, CannotEnforce, EngineFault, Result, Sandbox, SessionLost
from sandbox.backends.container_options import Runtime
from sandbox.backends.docker import DockerBackend
from sandbox.policy import MIB
from sandbox.session import AsyncSession, Session
from tests.contract.engines import Yard, needs_engine, wait_until

pytestmark = needs_engine

CHECKOUT = Path(sandbox.__file__).parents[1]


@pytest.fixture
def turns(yard: Yard, runtime: Runtime) -> Iterator[Session]:
    """A session in a container."""
    backend = DockerBackend(warm=0, runtime=runtime)
    with Sandbox(yard.policy(), backend=backend) as box, box.session() as session:
        yield session


def test_a_session_keeps_its_state_in_one_container(turns: Session, yard: Yard) -> None:
    turns.run("x = 41")
    first = yard.ids()

    assert (turns.run("x + 1").value, yard.ids(), len(first)) == (42, first, 1)


def test_a_session_is_not_forked(turns: Session) -> None:
    with pytest.raises(CannotEnforce, match="backend='subprocess'"):
        turns.fork()

    assert turns.run("42").value == 42


def test_its_container_goes_with_the_session(yard: Yard) -> None:
    with Sandbox(yard.policy(), backend=DockerBackend(warm=0)) as box:
        with box.session() as session:
            session.run("1").unwrap()

        assert yard.ids() == []


def test_its_container_goes_with_the_sandbox(yard: Yard) -> None:
    with Sandbox(yard.policy(), backend=DockerBackend(warm=0)) as box:
        session = box.session().__enter__()
        session.run("1").unwrap()

    assert yard.ids() == []


def test_each_turn_is_told_what_it_used_itself(turns: Session) -> None:
    busy = turns.run(
        "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    )
    idle = turns.run("1")

    assert (busy.usage.cpu_seconds > 0.25, idle.usage.cpu_seconds < 0.1) == (True, True)


def test_what_one_turn_was_refused_is_not_the_nexts(yard: Yard) -> None:
    """The kernel's counts of refusals only grow."""
    bomb = (
        "import os\ntry:\n    while True:\n        if not os.fork(): os._exit(0)\nexcept OSError: 1"
    )
    with (
        Sandbox(yard.policy(processes=8), backend=DockerBackend(warm=0)) as box,
        box.session() as s,
    ):
        ends = [s.run(bomb).status, s.run("import os\nwhile os.waitpid(-1, 0): 1").status]

        assert (ends[0], s.run("42").status) == ("process_limit", "ok")


# A container that ends


@pytest.mark.parametrize("end", ["kill", "remove"])
def test_a_container_that_is_ended_in_mid_turn_is_our_fault(yard: Yard, end: str) -> None:
    strikes = [yard.engine.kill if end == "kill" else yard.engine.remove]

    def strike(_stream: str, _chunk: bytes) -> None:
        for act in strikes:
            act(yard.ids()[0])
        strikes.clear()

    with Sandbox(yard.policy(), backend=DockerBackend(warm=0)) as box, box.session() as session:
        with pytest.raises(EngineFault) as caught:
            session.run("print(1)\nimport time\ntime.sleep(60)", on_output=strike)

        assert caught.value.started == "yes"


def test_a_session_is_lost_with_its_container(yard: Yard) -> None:
    with Sandbox(yard.policy(), backend=DockerBackend(warm=0)) as box:
        with box.session() as session:
            session.run("1").unwrap()
            yard.kill_all()

            assert wait_until(partial(is_lost, session))

        with box.session() as session:
            assert session.run("42").value == 42


def is_lost(session: Session) -> bool:
    """Say whether the session is seen to be gone."""
    try:
        session.run("1")
    except SessionLost:
        return True
    except EngineFault:  # it was seen in mid turn
        return False
    return False


HOST = """
import os, sys, threading
from sandbox import Policy, Sandbox
from sandbox.backends.docker import DockerBackend

policy = Policy.load("strict").widen("a test", name=sys.argv[1])
box = Sandbox(policy, backend=DockerBackend(warm=0))
session = box.session().__enter__()
say = lambda *_: os.write(1, b"r")
session.run("print(1)" + ("\\nimport time\\ntime.sleep(4)" if sys.argv[2] == "turn" else ""),
            on_output=say)
threading.Event().wait()
"""


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["turn", "idle"])
def test_a_session_ends_with_its_host(yard: Yard, phase: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOST, yard.name, phase], stdout=subprocess.PIPE, cwd=CHECKOUT
    ) as host:
        assert host.stdout
        assert host.stdout.read(1) == b"r"
        before = len(yard.ids())
        host.kill()

    assert (before, wait_until(lambda: yard.ids() == [])) == (1, True)


@pytest.mark.slow
def test_a_session_that_floods_while_nobody_listens_ends_with_its_idle_time(
    yard: Yard, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PID 1 waits in a write then, and looks at no clock; its record stays until it is closed."""
    monkeypatch.setattr("sandbox.backends.container_view.LAST_SECONDS", 1.0)
    flood = "import os, threading\ndef f():\n    while True: os.write(1, bytes(1 << 16))"
    policy = yard.policy(idle_seconds=1.0, life_seconds=600.0, output_bytes=MIB)
    with Sandbox(policy, backend=DockerBackend(warm=0, runtime=runtime)) as box:
        session = box.session().__enter__()
        session.run(f"{flood}\nthreading.Timer(0.2, f).start()").unwrap()
        pid_1 = yard.engine.inspect(yard.ids()[0])["State"]["Pid"]

        assert (psutil.pid_exists(pid_1), wait_until(lambda: not psutil.pid_exists(pid_1))) == (
            True,
            True,
        )
    assert yard.ids() == []


@pytest.mark.parametrize("what", ["call", "session"])
def test_a_host_without_descriptors_leaves_no_container(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with Sandbox(yard.policy(), backend=DockerBackend(warm=0)) as box:
        box.run("1")
        monkeypatch.setattr("sandbox.backends.container.select.epoll", refuse)
        with pytest.raises(EngineFault, match="Too many open files"):
            box.run("1") if what == "call" else box.session().__enter__()
        monkeypatch.undo()

        assert wait_until(lambda: yard.ids() == [])


# Its files, which PID 1 reads while the guest lives


def test_a_file_is_read_while_a_turn_runs_and_the_turn_is_seen_to_its_end(
    yard: Yard, runtime: Runtime
) -> None:
    """Both read one stream: what the one took must not be waited for by the other."""

    async def test() -> tuple[bytes, Result]:
        backend = DockerBackend(warm=0, runtime=runtime)
        policy = yard.policy(wall_seconds=4.0)
        async with AsyncSandbox(policy, backend=backend) as box, box.session() as session:
            await session.put("note", "text")
            read: list[bytes] = []
            results: list[Result] = []
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read_for_a_while, session, read)
                results.append(await session.run("import time\ntime.sleep(0.5)\n42"))
            return read[0], results[0]

    content, result = anyio.run(test)

    assert (content, result.value, result.usage.wall_seconds < 2.0) == (b"text", 42, True)


async def read_for_a_while(session: AsyncSession, read: list[bytes]) -> None:
    """Read a file again and again, for longer than the turn takes."""
    for _ in range(80):
        read.append(session.get("note"))
        await anyio.sleep(0.01)


def test_who_is_told_of_output_may_read_files(yard: Yard, runtime: Runtime) -> None:
    """All that comes next is read then, in the midst of what was read before."""

    async def test() -> tuple[list[bytes], list[Result]]:
        backend, read = DockerBackend(warm=0, runtime=runtime), list[bytes]()
        async with AsyncSandbox(yard.policy(), backend=backend) as box, box.session() as session:

            def listen(_stream: str, _chunk: bytes) -> None:
                read.append(session.get("note"))

            await session.put("note", "text")
            program = "for number in range(20): print(number)\n[*range(9999)]"
            return read, [await session.run(program, on_output=listen) for _ in range(50)]

    read, results = anyio.run(test)
    told = {(tuple(result.stdout.split()), len(result.value)) for result in results}

    assert (set(read), told) == ({b"text"}, {(tuple(map(str, range(20))), 9999)})


@pytest.mark.slow
def test_a_folder_that_turns_into_a_link_while_it_is_read_leads_nowhere(turns: Session) -> None:
    """PID 1 reads /etc and /proc/1 as any file of the image: nothing of them may be handed out."""
    turns.run(
        "import os, threading\n"
        "os.makedirs('d'); open('d/passwd', 'w').write('mine'); os.symlink('/etc', 'l')\n"
        "def swap():\n"
        "    while True:\n"
        "        for a, b in ('dk', 'ld', 'dl', 'kd'): os.rename(a, b)\n"
        "threading.Thread(target=swap, daemon=True).start()"
    ).unwrap()
    seen: set[bytes] = set()
    told: set[str] = set()
    for _ in range(150):
        seen.update(turns.files.values())
        try:
            seen.add(turns.get("d/passwd"))
        except OSError as fault:
            told.add(errno.errorcode[fault.errno or 0])

    assert (seen <= {b"mine"}, told <= {"ENOENT", "ELOOP", "ENOTDIR"}) == (True, True)


def test_a_file_is_not_read_into_the_memory_of_the_guest(yard: Yard) -> None:
    """It fills half of that itself, /box being memory."""
    policy = yard.policy(memory_bytes=128 * MIB, disk_bytes=64 * MIB, file_bytes=64 * MIB)
    with Sandbox(policy, backend=DockerBackend(warm=0)) as box, box.session() as session:
        session.run(
            f"import os\nfile = open('large', 'wb')\n"
            f"for _ in range(56): file.write(os.urandom({MIB}))\nfile.close()"
        ).unwrap()

        assert (len(session.get("large")), session.run("42").value) == (56 * MIB, 42)


@pytest.mark.parametrize("name", ["x" * 300, "/".join(["x" * 200] * 400), "a" + os.sep * 70_000])
def test_a_name_that_is_none_is_told_and_the_session_goes_on(turns: Session, name: str) -> None:
    with pytest.raises(OSError, match=r"."):
        turns.get(name)

    assert turns.run("42").value == 42


# What lies on its channel


def test_turns_of_one_container_do_not_hear_each_other(turns: Session) -> None:
    """A thread writes on and on; each turn still has its own end."""
    word = secrets.token_hex(4)
    turns.run(
        "import os, threading, time\n"
        "def say():\n"
        f"    for _ in range(100): os.write(1, b'{word}\\n'); time.sleep(0.005)\n"
        "threading.Thread(target=say, daemon=True).start()"
    ).unwrap()
    values = [turns.run(f"{number}").value for number in range(20)]

    assert values == list(range(20))
