"""A fork of a session has all its state and files; from then on both go their own ways."""

from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic

import pytest

from sandbox import BadCall, Sandbox
from sandbox.policy import MIB, InstalledPackages
from sandbox.session import Session
from tests.conftest import SandboxFor

pytestmark = pytest.mark.differs(
    "watchdog",
    "docker",
    "gvisor",
    reason="branches need control groups: see test_fork_refused.py, test_docker.py",
)

LARGE_BYTES = 100 * MIB


@contextmanager
def prepared(box: Sandbox, source: str) -> Generator[Session]:
    """A session in which a first turn went well."""
    with box.session() as session:
        session.run(source).unwrap()
        yield session


def branch_of(session: Session) -> Session:
    (branch,) = session.fork()
    return branch


STATE = {
    "a name": ("x = 42", "x", 42),
    "a changed name": ("x = [1]\nx.append(41)", "sum(x)", 42),
    "an import": ("import math", "math.floor(42.5)", 42),
    "a function": ("def double(n):\n    return 2 * n", "double(21)", 42),
    "an object of a class of its own": ("class C:\n    v = 42\nc = C()", "c.v", 42),
    "a generator half-way": ("g = iter(range(40, 50))\nnext(g)\nnext(g)", "next(g)", 42),
    "a variable of the environment": ("import os\nos.environ['A'] = 'b'", "os.environ['A']", "b"),
    "what is its main module": ("x = 42", "import __main__\n__main__.x", 42),
    "a file": ("open('f', 'w').write('42')", "open('f').read()", "42"),
    "a file in a folder": (
        "import os\nos.makedirs('a/b')\nopen('a/b/f', 'w').write('42')",
        "open('a/b/f').read()",
        "42",
    ),
    "a link": ("import os\nos.symlink('nowhere', 'l')", "os.readlink('l')", "nowhere"),
    "a module among its files": ("open('own.py', 'w').write('v = 42')", "import own\nown.v", 42),
    "a place in an open file": (
        "open('f', 'w').write('abcdef')\nf = open('f')\nf.read(2)",
        "f.read()",
        "cdef",
    ),
}


@pytest.mark.parametrize(("first", "then", "value"), STATE.values(), ids=STATE.keys())
def test_what_a_session_had_its_branch_has(
    box: Sandbox, first: str, then: str, value: object
) -> None:
    with prepared(box, first) as session:
        assert branch_of(session).run(then).unwrap() == value


def test_a_branch_is_one_and_the_same_within_a_with(box: Sandbox) -> None:
    with prepared(box, "x = 1") as session:
        branch = branch_of(session)
        branch.run("x = 2")
        with branch as same:
            assert same.run("x").unwrap() == 2


APART = {
    "a name": ("x = 1", "x = 2", "x", 1),
    "a list": ("x = [1]", "x.append(2)", "x", [1]),
    "a module": ("import math", "math.pi = 3", "math.pi > 3", True),
    "a file": ("open('f', 'w').write('1')", "open('f', 'w').write('2')", "open('f').read()", "1"),
    "a file that was opened before": (
        "open('f', 'w').write('1')\nimport os",
        "os.remove('f')",
        "os.path.exists('f')",
        True,
    ),
    "a new file": ("import os", "open('new', 'w').write('2')", "os.path.exists('new')", False),
    "the folder": (
        "import os\nos.mkdir('d')",
        "os.chdir('d')",
        "os.path.basename(os.getcwd())",
        "box",
    ),
    "the environment": ("import os", "os.environ['A'] = 'b'", "os.environ.get('A')", None),
    "what a signal does": (
        "import signal",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "signal.getsignal(signal.SIGTERM) == signal.SIG_DFL",
        True,
    ),
}
each_apart = pytest.mark.parametrize(
    ("first", "change", "then", "value"), APART.values(), ids=APART.keys()
)


@each_apart
def test_what_a_branch_changes_its_session_does_not_see(
    box: Sandbox, first: str, change: str, then: str, value: object
) -> None:
    with prepared(box, first) as session:
        branch_of(session).run(change).unwrap()

        assert session.run(then).unwrap() == value


@each_apart
def test_what_a_branch_changes_the_branch_beside_it_does_not_see(
    box: Sandbox, first: str, change: str, then: str, value: object
) -> None:
    with prepared(box, first) as session:
        one, other = session.fork(2)
        one.run(change).unwrap()

        assert other.run(then).unwrap() == value


def test_what_a_session_changes_after_the_fork_its_branch_does_not_see(box: Sandbox) -> None:
    with prepared(box, "x = 1\nopen('f', 'w').write('1')") as session:
        branch = branch_of(session)
        session.run("x = 2\nopen('f', 'w').write('2')").unwrap()

        assert branch.run("[x, open('f').read()]").unwrap() == [1, "1"]


def test_each_branch_goes_its_own_way(box: Sandbox) -> None:
    with prepared(box, "x = 1") as session:
        branches = session.fork(4)
        for number, branch in enumerate(branches):
            branch.run(f"x += {number}").unwrap()

        assert [each.run("x").value for each in (*branches, session)] == [1, 2, 3, 4, 1]


def test_twenty_branches_live_at_once(box: Sandbox) -> None:
    with prepared(box, "x = 1") as session:
        branches = session.fork(20)

        assert [each.run(f"x + {n}").value for n, each in enumerate(branches)] == [*range(1, 21)]


def test_branches_of_branches_have_what_each_before_them_made(box: Sandbox) -> None:
    with prepared(box, "made = [0]\nopen('0', 'w').close()") as session:
        line = [session]
        for number in (1, 2, 3):
            line.append(branch_of(line[-1]))
            line[-1].run(f"made.append({number})\nopen('{number}', 'w').close()").unwrap()
        deepest = line[-1].run("import os\n[made, sorted(os.listdir())]")

        assert deepest.unwrap() == [[0, 1, 2, 3], ["0", "1", "2", "3"]]


def test_branches_of_a_branch_change_nothing_of_it(box: Sandbox) -> None:
    with prepared(box, "x = 1\nopen('f', 'w').write('1')") as session:
        branch = branch_of(session)
        branch_of(branch).run("x = 2\nopen('f', 'w').write('2')").unwrap()

        assert branch.run("[x, open('f').read()]").unwrap() == [1, "1"]


# Its files


def test_the_work_folder_of_the_session_is_refused_in_a_branch(box: Sandbox) -> None:
    with prepared(box, "open('/box/f', 'w').close()") as session:
        errors = [branch_of(session).run(f"open('/box/{name}', 'a')").error for name in "fg"]

    assert [error and error.type for error in errors] == ["PermissionError"] * 2


def test_files_of_a_branch_are_read_from_the_host(box: Sandbox) -> None:
    with prepared(box, "open('f', 'w').write('1')") as session:
        branch = branch_of(session)
        branch.put("g", "2")

        assert (dict(branch.files), dict(session.files)) == ({"f": b"1", "g": b"2"}, {"f": b"1"})


def test_a_command_of_a_branch_works_among_its_files(sandbox_for: SandboxFor) -> None:
    with prepared(sandbox_for(), "open('f', 'w').write('1')") as session:
        branch = branch_of(session)
        branch.exec(["sh", "-c", "echo 2 >> f"]).unwrap()

        assert (branch.get("f"), session.get("f")) == (b"12\n", b"1")


# Numbers, timers, threads

DRAWS = {
    "random": ("import random", "random.random()"),
    "random with a seed": ("import random\nrandom.seed(42)", "random.random()"),
    "uuid4": ("import uuid", "str(uuid.uuid4())"),
    "secrets": ("import secrets", "secrets.token_hex()"),
    "os.urandom": ("import os", "os.urandom(16).hex()"),
    "tempfile": ("import tempfile\ntempfile.mktemp()", "tempfile.mktemp()"),
}


@pytest.mark.parametrize(("first", "draw"), DRAWS.values(), ids=DRAWS.keys())
def test_no_two_branches_draw_the_same(box: Sandbox, first: str, draw: str) -> None:
    """L6: a fork copies what a generator would give next."""
    with prepared(box, f"{first}\n{draw}") as session:
        drawn = [each.run(draw).unwrap() for each in (session, *session.fork(3))]

    assert len(set(drawn)) == 4


@pytest.mark.slow
def test_no_two_branches_draw_the_same_from_numpy(sandbox_for: SandboxFor) -> None:
    """L6: unlike random it does not seed itself after a fork."""
    box = sandbox_for(packages=InstalledPackages(reason="numpy"), memory_bytes=512 * MIB)
    with prepared(box, "import numpy\nnumpy.random.seed(42)") as session:
        draw = "float(numpy.random.random())"
        drawn = [each.run(draw).unwrap() for each in (session, *session.fork(3))]

    assert len(set(drawn)) == 4


TIMER = "import signal\nsignal.signal(signal.SIGALRM, lambda *_: None)\n"
TIMERS = {
    "setitimer": ("signal.setitimer(signal.ITIMER_REAL, 60)", "signal.getitimer(0)[0]"),
    "alarm": ("signal.alarm(60)", "signal.alarm(60)"),
    "processor time": ("signal.setitimer(signal.ITIMER_PROF, 60)", "signal.getitimer(2)[0]"),
}


@pytest.mark.parametrize(("start", "left"), TIMERS.values(), ids=TIMERS.keys())
def test_a_timer_goes_on_in_the_session_alone(box: Sandbox, start: str, left: str) -> None:
    with prepared(box, TIMER + start) as session:
        branch = branch_of(session)

        assert (branch.run(f"{left} > 0").value, session.run(f"{left} > 0").value) == (False, True)


THREAD = (
    "import threading\nend = threading.Event()\nt = threading.Thread(target=end.wait)\nt.start()"
)


def test_a_session_with_a_thread_is_refused(box: Sandbox) -> None:
    with prepared(box, THREAD) as session, pytest.raises(BadCall, match="running threads"):
        session.fork()


def test_a_session_that_was_refused_goes_on(box: Sandbox) -> None:
    with prepared(box, THREAD) as session:
        with pytest.raises(BadCall):
            session.fork()

        assert session.run("end.is_set()").value is False


def test_a_session_whose_thread_has_ended_is_forked(box: Sandbox) -> None:
    with prepared(box, f"{THREAD}\nend.set()\nt.join()\nx = 42") as session:
        assert branch_of(session).run("x").value == 42


def test_a_lock_that_a_branch_holds_its_session_takes(box: Sandbox) -> None:
    with prepared(box, "import threading\nlock = threading.Lock()") as session:
        branch_of(session).run("lock.acquire()").unwrap()

        assert session.run("lock.acquire(timeout=1)").value is True


def test_a_lock_on_a_file_that_a_branch_holds_its_session_takes(box: Sandbox) -> None:
    """W4: each has a file of its own behind the same name."""
    lock = "import fcntl\nheld = open('f', 'w')\nfcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with prepared(box, "open('f', 'w').close()") as session:
        one, other = session.fork(2)

        assert [each.run(lock).status for each in (one, other, session)] == ["ok"] * 3


def test_a_branch_has_its_streams_though_its_session_closed_them(box: Sandbox) -> None:
    """The numbers that the session closed are those that the branch's descriptors come in at."""
    with prepared(box, "import os\nos.close(0)\nos.close(1)") as session:
        written = branch_of(session).run("os.write(1, b'out')")

        assert (written.value, written.stdout) == (3, "out")


@pytest.mark.slow
def test_a_large_session_is_forked_in_no_time(sandbox_for: SandboxFor) -> None:
    """What the fork takes the host sees; half a second is ten times what it ought to be."""
    with prepared(sandbox_for(), f"x = bytearray(b'x') * {LARGE_BYTES}") as session:
        begun_at = monotonic()
        branch = branch_of(session)
        taken_seconds = monotonic() - begun_at

        assert (branch.run("len(x)").value, taken_seconds < 0.5) == (LARGE_BYTES, True)
