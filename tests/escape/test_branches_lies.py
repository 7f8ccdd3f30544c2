"""A session that lies when it is asked to fork, and branches that took more than their share."""

from contextlib import suppress

import pytest

from sandbox import BadCall, Sandbox, SandboxError
from tests.conftest import SandboxFor
from tests.escape.host_state import HostState
from tests.escape.test_branches import FULL, TOOLS, prepared, value_of

pytestmark = pytest.mark.differs(
    "watchdog",
    "docker",
    "gvisor",
    reason="branches need control groups: see test_fork_refused.py, test_docker.py",
)

LIES = {
    "no answer": "branch.fork = lambda _: time.sleep(60)",
    "its own end": "branch.fork = lambda _: os._exit(3)",
    "an answer that is none": "runner['_fork'] = lambda _: b'nonsense'",
    "two descriptors": """
def two(folder):
    rights = array.array("i", [os.open(folder, os.O_RDONLY)] * 2)
    with socket.socket(fileno=os.dup(4)) as control:
        control.sendmsg([b"B"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
branch._say_hello = two""",
    "a hello of a process that is gone": """
def send(folder):
    child = os.fork()
    if child == 0:
        say(folder)
        os._exit(0)
    os.waitpid(child, 0)
branch._say_hello = send""",
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
    with prepared(hasty, "1"):
        pass
    before = HostState.at_rest()
    for _ in range(3):
        with suppress(SandboxError), prepared(hasty, f"{TOOLS}\n{lie}") as session:
            for branch in session.fork(2):
                branch.run("x")
                branch.close()
    with prepared(hasty, "y = 42") as after:
        seen = after.run("y").value

    assert seen == 42
    before.assert_unchanged()


@pytest.mark.slow
def test_the_files_of_closed_branches_do_not_fill_the_disk(box: Sandbox) -> None:
    with (
        prepared(box, f"open('f', 'wb').write(bytes({5 << 20}))") as session,
        session.freeze() as frozen,
    ):
        sizes = [frozen.run("len(open('f', 'rb').read())").value for _ in range(20)]

    assert sizes == [5 << 20] * 20


def test_each_branch_has_the_whole_number_of_processes(sandbox_for: SandboxFor) -> None:
    """R2: RLIMIT_NPROC is counted per user namespace, so for all branches together."""
    made = FULL.replace("range(40)", "range(6)")
    with prepared(sandbox_for(processes=8), "import os") as session:
        assert [each.run(made).value for each in session.fork(8)] == [6] * 8


def test_a_branch_is_in_the_folder_of_its_session(box: Sandbox) -> None:
    first = "import os\nos.makedirs('d/e')\nos.chdir('d/e')\nopen('f', 'w').write('42')"
    with prepared(box, first) as session:
        assert value_of(session.fork()[0], "open('f').read()") == "42"


def test_a_session_with_a_thread_of_another_kind_is_refused(box: Sandbox) -> None:
    start = "import _thread, time\n_thread.start_new_thread(time.sleep, (60,))"
    with prepared(box, start) as session, pytest.raises(BadCall, match="running threads"):
        session.fork()
