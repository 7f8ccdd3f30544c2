"""Guests that wait: each is used once and as good as new, and as many wait as the load asks for."""

import fcntl
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event

import anyio
import psutil
import pytest
from anyio.lowlevel import checkpoint

from sandbox import AsyncSandbox, Policy, Sandbox
from sandbox.backends import parking
from sandbox.policy import MIB, FileGrant, FullNetwork, InstalledPackages
from tests.conftest import SandboxFor
from tests.contract.conftest import NewBackend
from tests.contract.engines import wait_until

pytestmark = pytest.mark.differs(
    "docker", "gvisor", reason="guests are parked by subprocess backends: see test_docker.py"
)

# Nothing is to be seen of what a guest did before its call

TRACES: dict[str, tuple[str, object]] = {
    "its names": (
        "sorted(name for name in globals() if not name.startswith('__'))",
        [],
    ),
    "its main module": ("import sys\nsys.modules['__main__'].__file__", "program.py"),
    "its arguments": ("import sys\nsys.argv", ["program.py"]),
    "its source": (
        "import sys\n[name for name in sys.modules['linecache'].cache if 'rehearsal' in str(name)]",
        [],
    ),
    "its exception": ("import sys\n[sys.exc_info()[1], hasattr(sys, 'last_value')]", [None, False]),
    "its files": (
        "import os\nsum([os.listdir(folder) for folder in ('/box', '/tmp', '/dev/shm')], [])",
        [],
    ),
    "its answer": ("import os, select\nselect.select([4], [], [], 0)[0]", []),
    "its folder": ("import os\nos.getcwd()", "/box"),
    "its threads": ("import threading\nthreading.active_count()", 1),
    "its children": (
        "import os\nsorted(int(n) for n in os.listdir('/proc') if n.isdigit())",
        [1, 2],
    ),
    "a lock on imports": ("import _imp\n_imp.lock_held()", False),
    "a lock of threading's": (
        "import threading\nthreading._active_limbo_lock.acquire(blocking=False)",
        True,
    ),
    "a lock of logging's": ("import logging\nlogging._lock.acquire(blocking=False)", True),
    "timers": (
        "import signal\n[list(signal.getitimer(which)) for which in range(3)]",
        [[0.0, 0.0]] * 3,
    ),
    "an alarm": ("import signal\nsignal.alarm(0)", 0),
    "signals to come": ("import signal\n[*signal.sigpending()]", []),
    "signals held back": ("import signal\n[*signal.pthread_sigmask(signal.SIG_BLOCK, [])]", []),
    "exit handlers": ("import atexit\natexit._ncallbacks()", 0),
    "hooks": (
        "import sys\n[sys.gettrace(), sys.getprofile(), sys.excepthook is sys.__excepthook__]",
        [None, None, True],
    ),
}


def run_twice(box: Sandbox, source: str) -> list[object]:
    """Run in a guest just made and in one that waited."""
    return [box.run(source).unwrap() for _ in range(2)]


@pytest.mark.parametrize(("source", "value"), TRACES.values(), ids=TRACES.keys())
def test_a_guest_that_waited_shows_no_trace_of_it(box: Sandbox, source: str, value: object) -> None:
    assert run_twice(box, source) == [value, value]


def test_a_traceback_does_not_show_the_rehearsal(box: Sandbox) -> None:
    error = box.run("def f(x):\n    1 / x\nf(0)").error

    assert error
    assert "rehearsal" not in error.traceback


def test_no_text_of_the_rehearsal_is_output(box: Sandbox) -> None:
    result = box.run("")

    assert (result.stdout, result.stderr, dict(result.files)) == ("", "", {})


# No two draw the same

DRAWN = {
    "random": "import random\nrandom.random()",
    "random's bytes": "import random\nrandom.randbytes(8).hex()",
    "a new Random": "import random\nrandom.Random().random()",
    "uuid4": "import uuid\nstr(uuid.uuid4())",
    "uuid1": "import uuid\nstr(uuid.uuid1())",
    "secrets": "import secrets\nsecrets.token_hex()",
    "urandom": "import os\nos.urandom(8).hex()",
    "names of temporary files": "import tempfile\nnext(tempfile._get_candidate_names())",
}


@pytest.fixture(scope="module")
def drawing() -> Iterator[Sandbox]:
    """A sandbox whose zygote imported, and so seeded, all that is drawn from."""
    with Sandbox(preload=["random", "uuid", "secrets", "tempfile"]) as box:
        yield box


@pytest.mark.parametrize("source", DRAWN.values(), ids=DRAWN.keys())
def test_guests_of_one_zygote_draw_different_numbers(drawing: Sandbox, source: str) -> None:
    """W3, L6: they are clones of one interpreter."""
    drawn = [drawing.run(source).unwrap() for _ in range(4)]

    assert len(set(drawn)) == 4


@pytest.mark.parametrize("source", DRAWN.values(), ids=DRAWN.keys())
def test_sessions_of_one_zygote_draw_different_numbers(drawing: Sandbox, source: str) -> None:
    with drawing.session() as one, drawing.session() as other:
        drawn = [one.run(source).unwrap(), other.run(source).unwrap()]

    assert len(set(drawn)) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    ["import numpy\nfloat(numpy.random.random())", "float(numpy.random.default_rng().random())"],
    ids=["its own generator", "a new generator"],
)
def test_sessions_draw_different_numbers_from_a_preloaded_numpy(source: str) -> None:
    packages = InstalledPackages(reason="numpy")
    policy = Policy().widen("a test", packages=packages, memory_bytes=512 * MIB)
    with (
        Sandbox(policy, preload=["numpy.random"]) as box,
        box.session() as one,
        box.session() as other,
    ):
        drawn = [each.run(f"import numpy\n{source}").unwrap() for each in (one, other)]

    assert len(set(drawn)) == 2


@pytest.mark.slow
def test_a_fresh_interpreter_has_a_hash_seed_of_its_own(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(fresh_interpreter=True)
    seeds = [box.run("hash('a')").unwrap() for _ in range(3)]

    assert len(set(seeds)) == 3


# How many wait


class Waiting:
    """Looks at the guests of a sandbox that has just been made, by the processes of its zygote."""

    def __init__(self, new_backend: NewBackend) -> None:
        self._known = {each.pid for each in psutil.Process().children()}
        self.box = Sandbox(backend=new_backend())

    def guests(self) -> list[psutil.Process]:
        """Give the first process of each guest that is there."""
        new = [each for each in psutil.Process().children() if each.pid not in self._known]
        return [
            guest for keeper in new for zygote in keeper.children() for guest in zygote.children()
        ]

    def numbers(self) -> set[int]:
        """Give their process numbers."""
        return {each.pid for each in self.guests()}

    def share(self, before: set[int], count: int) -> bool:
        """Say whether so many of those that were there before still are."""
        return len(before & self.numbers()) == count

    def are(self, count: int) -> Callable[[], bool]:
        """Tell whether so many are there."""
        return lambda: len(self.guests()) == count

    def run_at_once(self, count: int) -> None:
        """Run calls that are all under way at the same time."""
        all_run = Event()
        running: list[str] = []

        def say(_stream: str, _chunk: bytes) -> None:
            running.append("one more")
            if len(running) == count:
                all_run.set()

        def run(_: int) -> None:
            self.box.run("import os, time\nos.write(1, b'1')\ntime.sleep(0.3)", on_output=say)

        with ThreadPoolExecutor(count) as pool:
            list(pool.map(run, range(count)))
        assert all_run.is_set()


@pytest.fixture
def waiting(new_backend: NewBackend) -> Iterator[Waiting]:
    """A new sandbox, and a look at its guests."""
    found = Waiting(new_backend)
    yield found
    found.box.close()


def test_after_one_call_two_guests_wait(waiting: Waiting) -> None:
    waiting.box.run("1")

    assert wait_until(waiting.are(2))


@pytest.mark.slow
def test_more_wait_when_more_calls_ran_at_once(waiting: Waiting) -> None:
    waiting.run_at_once(4)

    assert wait_until(waiting.are(4 + parking.SPARE))


@pytest.mark.slow
def test_no_more_wait_than_the_bound(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "MOST_PARKED", 3)
    waiting.run_at_once(6)

    assert wait_until(waiting.are(3))


@pytest.mark.slow
def test_without_load_all_but_one_are_given_back(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "IDLE_SECONDS", 0.3)
    waiting.run_at_once(4)
    grown = wait_until(waiting.are(5))

    assert (grown, wait_until(waiting.are(1))) == (True, True)


@pytest.mark.slow
def test_a_call_after_guests_were_given_back_works(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "IDLE_SECONDS", 0.0)
    waiting.box.run("1")
    wait_until(waiting.are(1))

    assert waiting.box.run("42").value == 42


def kill_all(waiting: Waiting, *, whole: bool) -> None:
    """Kill the guests that wait, or only the program in each, and see the last of them reaped."""
    assert wait_until(lambda: all(guest.children() for guest in waiting.guests()))
    guests = waiting.guests()
    for each in guests if whole else [main for guest in guests for main in guest.children()]:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    assert wait_until(waiting.are(0))


each_victim = pytest.mark.parametrize("whole", [True, False], ids=["guest", "program"])


@each_victim
def test_a_call_works_though_all_that_waited_were_killed(waiting: Waiting, *, whole: bool) -> None:
    waiting.box.run("1")
    wait_until(waiting.are(2))
    kill_all(waiting, whole=whole)

    assert waiting.box.run("42").value == 42


@each_victim
def test_guests_that_were_killed_while_they_waited_are_replaced(
    waiting: Waiting, *, whole: bool
) -> None:
    waiting.box.run("1")
    wait_until(waiting.are(2))
    kill_all(waiting, whole=whole)
    waiting.box.run("1")

    assert wait_until(waiting.are(2))


def test_a_guest_is_used_once(waiting: Waiting) -> None:
    """W3, W6: no interpreter comes back to those that wait."""
    waiting.box.run("1")
    gone = set[int]()
    for _ in range(4):
        assert wait_until(waiting.are(2))
        waited = waiting.numbers()
        waiting.box.run("1")
        assert wait_until(partial(waiting.share, waited, 1))
        gone |= waited - waiting.numbers()

    assert wait_until(lambda: len(waiting.numbers() - gone) == 2)


def test_calls_at_once_get_each_its_own_answer(box: Sandbox) -> None:
    """W5: whoever waited, the answer is that of the call."""

    def ask(number: int) -> object:
        return box.run(f"{number}").value

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(40)))

    assert answers == list(range(40))


def test_a_guest_that_waits_has_the_limits_of_its_policy(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(open_files=20)

    assert run_twice(box, "import resource\nresource.getrlimit(resource.RLIMIT_NOFILE)[0]") == [
        20,
        20,
    ]


def test_each_call_lets_other_tasks_go_on(new_backend: NewBackend) -> None:
    """Also one that is over before this program would have slept."""
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async def call() -> list[int]:
        seen: list[int] = []
        async with AsyncSandbox(backend=new_backend()) as box, anyio.create_task_group() as group:
            group.start_soon(take_turns)
            for _ in range(20):
                before = turns
                await box.run("1")
                seen.append(turns - before)
            group.cancel_scope.cancel()
        return seen

    assert 0 not in anyio.run(call)


def test_a_lock_on_a_file_of_the_host_is_let_go_with_the_call(
    sandbox_for: SandboxFor, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)  # so that guests of root's reach it
    (tmp_path / "lock").touch()
    (tmp_path / "lock").chmod(0o666)
    box = sandbox_for(
        files=(FileGrant(path=str(tmp_path), at="/granted", access="write", reason="a test"),),
    )
    take = """
import fcntl
file = open("/granted/lock", "w")
fcntl.flock(file, fcntl.LOCK_EX)
much = b"x" * (150 << 20)  # what takes long to be freed
1
"""
    with (tmp_path / "lock").open() as file:
        for _ in range(5):
            box.run(take).unwrap()
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while anybody has it
            fcntl.flock(file, fcntl.LOCK_UN)


def test_a_port_of_the_host_is_free_after_the_call(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(network=FullNetwork(reason="a test"))
    take = """
import socket
server = socket.create_server(("127.0.0.1", 0))
much = b"x" * (150 << 20)  # what takes long to be freed
server.getsockname()[1]
"""
    for _ in range(5):
        with socket.socket() as ours:
            ours.bind(("127.0.0.1", box.run(take).unwrap()))  # raises while anybody has it
