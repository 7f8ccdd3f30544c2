"""W1 to W7 for forks: a branch against its siblings and its session, a session against the host.

All live in one guest, so what a branch breaks is its own session at most; these tests say that it
does not break that either, as long as the session itself is honest when it forks.
"""

from collections.abc import Generator
from contextlib import contextmanager, suppress

import pytest

from sandbox import EngineFault, Sandbox, SandboxError, SessionLost
from sandbox.policy import MIB
from sandbox.session import Session
from tests.conftest import SandboxFor
from tests.escape.host_state import HostState
from tests.escape.syscalls import ASK, ATTEMPT, NUMBER

pytestmark = pytest.mark.differs(
    "watchdog",
    "docker",
    "gvisor",
    reason="branches need control groups: see test_fork_refused.py, test_docker.py",
)


@contextmanager
def prepared(box: Sandbox, source: str) -> Generator[Session]:
    """A session in which a first turn went well."""
    with box.session() as session:
        session.run(source).unwrap()
        yield session


def value_of(session: Session, source: str) -> object:
    """Give the value of a turn; "lost" where none is taken any more."""
    try:
        return session.run(source).value
    except SessionLost:
        return "lost"


# A branch against the others

READY = f"""{ATTEMPT}{ASK}
import resource, signal, socket
x = 42
kept = os.open("/box", os.O_RDONLY)
open("secret", "w").write("the session's")
def numbered(name, *arguments):
    answer = ask({NUMBER!r}[name], *arguments)
    if answer != "done":
        raise OSError(getattr(errno, answer.removeprefix("refused: ")), name)
"""
ATTACKS = {
    "a signal": "os.kill(pid, 9)",
    "a signal that does nothing": "os.kill(pid, 0)",
    "a stop": "os.kill(pid, signal.SIGSTOP)",
    "a signal by descriptor": "signal.pidfd_send_signal(os.pidfd_open(pid), 9)",
    "ptrace": "numbered('ptrace', 16, pid, 0, 0)",
    "reading by process_vm_readv": "numbered('process_vm_readv', pid, 0, 0, 0, 0, 0)",
    "taking a descriptor": "numbered('pidfd_getfd', os.pidfd_open(pid), 0, 0)",
    "a lower limit": "resource.prlimit(pid, resource.RLIMIT_CPU, (0, 0))",
    "a lower priority": "os.setpriority(os.PRIO_PROCESS, pid, 19)",
    "another processor": "os.sched_setaffinity(pid, {0})",
    "memory": "os.open(f'/proc/{pid}/mem', os.O_RDONLY)",
    "writing memory": "os.open(f'/proc/{pid}/mem', os.O_RDWR)",
    "where its memory is": "open(f'/proc/{pid}/maps').read()",
    "environment": "open(f'/proc/{pid}/environ').read()",
    "an open file": "os.open(f'/proc/{pid}/fd/1', os.O_WRONLY)",
    "what its open files are": "os.readlink(f'/proc/{pid}/fd/1')",
    "work folder": "os.listdir(f'/proc/{pid}/cwd')",
    "a file of its work folder": "open(f'/proc/{pid}/cwd/secret').read()",
    "a new file in its work folder": "open(f'/proc/{pid}/cwd/new', 'w')",
    "root": "os.listdir(f'/proc/{pid}/root/box')",
    "a new file through its root": "open(f'/proc/{pid}/root/box/new', 'w')",
}


def attempted(action: str, victim: object) -> str:
    """Write what says how an attack on a process ended."""
    return f"pid = {victim}\nattempt(lambda: {action})"


@pytest.mark.parametrize("who", ["session", "sibling"])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_branch_may_do_nothing_to_another_process(box: Sandbox, attack: str, who: str) -> None:
    with prepared(box, READY) as session:
        branch, sibling = session.fork(2)
        victim = {"session": session, "sibling": sibling}[who]
        said = branch.run(attempted(attack, victim.run("os.getpid()").unwrap())).value

        assert (str(said)[:8], victim.run("x").value) == ("refused:", 42)


MAY = ["a signal", "a stop", "memory", "environment", "an open file", "a file of its work folder"]


@pytest.mark.parametrize("attack", [ATTACKS[name] for name in MAY], ids=MAY)
def test_a_branch_may_do_to_its_own_child_what_it_may_not_to_others(
    box: Sandbox, attack: str
) -> None:
    """The control: the same text, and a process of the branch's own."""
    child = "child = os.fork()\nif child == 0:\n    signal.pause()\n"
    with prepared(box, READY) as session:
        (branch,) = session.fork()
        branch.run(child + "None").unwrap()

        assert branch.run(attempted(attack, "child")).value == "done"


PLACES = {
    "the session's folder": "os.listdir('/box')",
    "a file of the session's": "open('/box/secret').read()",
    "a new file of the session's": "open('/box/new', 'w')",
    "a folder opened before": "os.open('secret', os.O_RDONLY, dir_fd=kept)",
    "a new file in a folder opened before": "os.open('n', os.O_CREAT | os.O_RDWR, dir_fd=kept)",
    "above a folder opened before": "os.open('../box/secret', os.O_RDONLY, dir_fd=kept)",
    "going there": "(os.fchdir(kept), open('secret').read())",
    "all branches": "os.listdir('/branches')",
    "the branch beside it": "os.listdir(sibling)",
    "a file of the branch beside it": "open(f'{sibling}/secret').read()",
    "a new file of the branch beside it": "open(f'{sibling}/new', 'w')",
    "up from its own": "os.listdir('../..')",
    "a link to it": "(os.symlink('/box', 'l'), os.listdir('l'))",
    "a hard link": "os.link('/box/secret', 'l')",
    "moving it": "os.rename('/box/secret', 'mine')",
    "removing it": "os.remove('/box/secret')",
    "a change of its rights": "os.truncate('/box/secret', 0)",
}


@pytest.mark.parametrize("attack", PLACES.values(), ids=PLACES.keys())
def test_a_branch_reaches_no_folder_but_its_own(box: Sandbox, attack: str) -> None:
    """W1, F1: whichever way it goes there."""
    with prepared(box, READY) as session:
        branch, sibling = session.fork(2)
        folder = sibling.run("os.getcwd()").unwrap()
        said = branch.run(f"sibling = {folder!r}\nattempt(lambda: {attack})").value
        files = {name: text for each in (session, sibling) for name, text in each.files.items()}

        assert (str(said)[:8], files) == ("refused:", {"secret": b"the session's"})


MASS_KILL = {"all": "os.kill(-1, 9)", "its group": "os.kill(0, signal.SIGTERM)"}


@pytest.mark.parametrize("attack", MASS_KILL.values(), ids=MASS_KILL.keys())
def test_a_branch_that_signals_everybody_ends_nobody_else(box: Sandbox, attack: str) -> None:
    with prepared(box, READY) as session:
        branch, sibling = session.fork(2)
        value_of(branch, f"attempt(lambda: {attack})")

        assert [value_of(each, "x") for each in (session, sibling)] == [42, 42]


LISTEN = "s = socket.socket(socket.AF_UNIX)\ns.bind('\\0door')\ns.listen()\n'listens'"
CONNECT = "attempt(lambda: socket.socket(socket.AF_UNIX).connect('\\0door'))"


@pytest.mark.parametrize("who", ["session", "sibling"])
def test_a_branch_meets_no_abstract_socket_of_the_others(box: Sandbox, who: str) -> None:
    with prepared(box, READY) as session:
        branch, sibling = session.fork(2)
        {"session": session, "sibling": sibling}[who].run(LISTEN).unwrap()

        assert str(branch.run(CONNECT).value) == "refused: EPERM"


def test_a_branch_meets_its_own_abstract_socket(box: Sandbox) -> None:
    """The control."""
    with prepared(box, READY) as session:
        (branch,) = session.fork()
        branch.run(LISTEN).unwrap()

        assert branch.run(CONNECT).value == "done"


def test_a_branch_has_no_descriptor_that_its_session_has_not(box: Sandbox) -> None:
    """L2: above all not those of control groups, through which it could move out of its own."""
    listed = "sorted(name for name in os.listdir('/proc/self/fd'))"
    with prepared(box, READY) as session:
        branches = session.fork(3)

        assert [each.run(listed).value for each in branches] == [session.run(listed).value] * 3


def test_a_branch_hears_no_turn_of_its_session(box: Sandbox) -> None:
    """W5: each reads from a pipe of its own, and answers on one."""
    with prepared(box, READY) as session:
        branches = session.fork(2)
        turns = [*enumerate([session, *branches, *branches, session])]
        said = [(each.run(f"print({n})\n{n}").value, n) for n, each in turns]

    assert [value for value, _ in said] == [n for _, n in said]


# A session that lies when it is forked

TOOLS = """
import array, os, socket, sys, time
frame = sys._getframe()
while "branch" not in frame.f_globals:
    frame = frame.f_back
runner = frame.f_globals
branch, answer = runner["branch"], runner["answer"]
real_fork, x = branch.fork, 42

def say(folder, by=4, flags=os.O_RDONLY):
    rights = array.array("i", [os.open(folder, flags)] if folder else [])
    with socket.socket(fileno=os.dup(by)) as control:
        control.sendmsg([b"B"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if folder else [])
"""
FORGED = {
    "another file system's folder": "branch._say_hello = lambda _: say('/usr')",
    "the kernel's folder": "branch._say_hello = lambda _: say('/proc/self/fd')",
    "a file": "branch._say_hello = lambda f: say(f + '/x', flags=os.O_CREAT | os.O_RDWR)",
    "a device": "branch._say_hello = lambda _: say('/dev/null')",
    "no folder": "branch._say_hello = lambda _: say('')",
    "one byte and no more": "branch._say_hello = lambda _: os.write(4, b'B')",
    "its end": "branch._say_hello = lambda _: os._exit(0)",
    "nothing, the way there closed": """
def forget(turn):
    for descriptor in branch._take_descriptors():
        os.close(descriptor)
    return False
branch.fork = forget""",
}


@pytest.mark.parametrize("lie", FORGED.values(), ids=FORGED.keys())
def test_a_branch_that_does_not_show_itself_is_refused(box: Sandbox, lie: str) -> None:
    with prepared(box, f"{TOOLS}\n{lie}") as session:
        with pytest.raises(EngineFault, match="a branch did not come up"):
            session.fork()

        assert session.run("x").value == 42


LIES = {
    **FORGED,
    "a hello of the session's own": """
def pose(turn):
    say("/box", by=branch._take_descriptors()[4])
    return False
branch.fork = pose""",
    "a hello of another process that stays": """
def send(folder):
    if os.fork() == 0:
        say(folder)
        time.sleep(60)
branch._say_hello = send""",
    "many hellos": "branch._say_hello = lambda f: [say(f) for _ in range(20)]",
    "a folder that is only named": "branch._say_hello = lambda f: say(f, flags=os.O_PATH)",
    "an answer from the branch too": "runner['NOTHING'] = b''",
    "two answers": """
def twice(turn):
    is_branch = real_fork(turn)
    if not is_branch:
        answer.send_bytes(4, answer.encode({"value": 1}, depth=2, limit_bytes=100))
    return is_branch
branch.fork = twice""",
    "descriptors that it keeps": "os.close = lambda _: None",
    "two branches": """
def twice(turn):
    is_branch = real_fork(turn)
    if is_branch and os.fork() == 0:
        time.sleep(60)
    return is_branch
branch.fork = twice""",
}


@pytest.fixture
def hasty(sandbox_for: SandboxFor) -> Sandbox:
    """A sandbox whose turns have little time."""
    return sandbox_for(wall_seconds=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_session_that_lies_when_it_is_forked_leaves_the_host_as_it_was(
    hasty: Sandbox, lie: str
) -> None:
    """M1, W6: descriptors, processes and threads of the host; the next session works."""
    with prepared(hasty, "1"):
        pass
    before = HostState.at_rest()
    with suppress(SandboxError), prepared(hasty, f"{TOOLS}\n{lie}") as session:
        for branch in session.fork(2):
            branch.run("x")
            branch.close()
    with prepared(hasty, "y = 42") as after:
        seen = after.run("y").value

    assert seen == 42
    before.assert_unchanged()


@pytest.mark.slow
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_session_that_lies_when_it_is_forked_ends_no_other(hasty: Sandbox, lie: str) -> None:
    with prepared(hasty, "y = 42") as other, prepared(hasty, f"{TOOLS}\n{lie}") as session:
        (branch,) = other.fork()
        with suppress(SandboxError):
            session.fork()

        assert [value_of(each, "y") for each in (other, branch)] == [42, 42]


@pytest.mark.parametrize("keep", ["", "else:\n    import time\n    time.sleep(60)"])
def test_a_session_that_forks_unasked_is_not_believed_twice(hasty: Sandbox, keep: str) -> None:
    """Both sides go on as the session: a value is that of its turn, or the session is lost."""
    fork = f"import os\nif os.fork():\n    pass\n{keep}"
    with hasty.session() as session:
        with suppress(SessionLost):
            session.run(fork)
        values = [value_of(session, str(number)) for number in range(5)]

    assert all(value in {number, "lost"} for number, value in enumerate(values))


# What did not enter its limits

OUTSIDE = f"""{TOOLS}
real_write = os.write
class Os:
    def __getattr__(self, name):
        return getattr(os, name)
    def write(self, descriptor, content):
        return 1 if content == b"0" else real_write(descriptor, content)
branch.os = Os()
"""


@pytest.mark.slow
def test_a_branch_outside_of_its_group_has_the_memory_of_its_session(
    sandbox_for: SandboxFor,
) -> None:
    """R1: session and branch together have what the session has alone."""
    box = sandbox_for(memory_bytes=128 * MIB)
    with prepared(box, f"{OUTSIDE}\nheld = bytearray(b'x') * {70 * MIB}") as session:
        (branch,) = session.fork()

        assert value_of(branch, f"len(bytearray(b'x') * {70 * MIB})") in {None, "lost"}


FULL = """
import time
made = 0
try:
    for _ in range(40):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError:
    pass
made
"""


def test_branches_outside_of_their_groups_share_the_processes_of_their_session(
    sandbox_for: SandboxFor,
) -> None:
    with prepared(sandbox_for(processes=8), OUTSIDE) as session:
        made = [each.run(FULL).value for each in session.fork(2)]

    assert made == [5, 0]  # eight, without the session and its two branches


@pytest.mark.slow
def test_what_a_branch_outside_of_its_group_left_running_dies_with_its_session(
    hasty: Sandbox,
) -> None:
    with prepared(hasty, "1"):
        pass
    before = HostState.at_rest()
    with prepared(hasty, OUTSIDE) as session:
        session.fork()[0].run(FULL)

    before.assert_unchanged()
