"""W1 to W7: nothing of one call is there for the next, though one interpreter serves both."""

import secrets
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.conftest import COUNTING, SandboxFor
from tests.escape.posture import UNSEEN, held_guest, name_of
from tests.escape.syscalls import NUMBER, said

MIB = 1 << 20

LEAVE_FILES = """
import os
for folder in ("/box", "/tmp", "/dev/shm", os.environ["HOME"]):
    open(f"{folder}/left", "w").write("x")
print("left")
"""
FIND_FILES = """
import os
folders = ("/box", "/tmp", "/dev/shm", os.environ["HOME"])
print([name for folder in folders for name in os.listdir(folder)])
"""


def test_files_of_one_call_are_not_there_in_the_next(box: Sandbox) -> None:
    """W1: work folder, /tmp, shared memory, home."""
    left = said(box.run(LEAVE_FILES))

    assert (left, said(box.run(FIND_FILES))) == ("left", "[]")


DAEMON = """
import os, signal, time
ready, started = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("/proc/self/comm", "w").write({name!r})
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        os.write(started, b"!")
        time.sleep(3600)
    os._exit(0)
os.read(ready, 1)
print("daemon")
"""


def names_on_the_host() -> set[str]:
    return {name_of(int(path.name)) for path in Path("/proc").glob("[0-9]*")}


def test_a_daemon_of_one_call_is_dead_when_the_call_is_answered(box: Sandbox) -> None:
    """W2: it left its session and ignores signals; the host looks at all that runs there."""
    name = f"left-{secrets.token_hex(4)}"
    answer = said(box.run(DAEMON.format(name=name)))

    assert (answer, name in names_on_the_host()) == ("daemon", False)


@pytest.mark.differs("gvisor", reason=UNSEEN)
def test_a_daemon_is_seen_while_its_call_runs(box: Sandbox) -> None:
    """W2: the control."""
    name = f"left-{secrets.token_hex(4)}"
    with held_guest(box, DAEMON.format(name=name)):
        assert name in names_on_the_host()


THREAD = "import threading as t\nt.Thread(target=t.Event().wait, daemon=True).start()"


def test_a_thread_of_one_call_is_not_there_in_the_next(box: Sandbox) -> None:
    """W2: a daemon thread does not keep the call open either."""
    box.run(THREAD)

    assert box.run("import threading\nthreading.active_count()").value == 1


POISON = """
import builtins, json, os, resource, signal, sys
builtins.print = builtins.len = builtins.open = None
json.dumps = lambda *_, **__: '{"value": "poisoned"}'
sys.modules["math"] = json
sys.path.insert(0, "/tmp")
os.environ["PATH"] = "/tmp"
os.chdir("/tmp")
os.umask(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
sys.setrecursionlimit(100)
"""
PRISTINE = """
import json, math, os, resource, signal, sys
mask = os.umask(0o22)
[len("abc"), json.dumps([1]), math.__name__, "/tmp" in sys.path, os.environ["PATH"] == "/tmp",
 os.getcwd(), mask, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
 resource.getrlimit(resource.RLIMIT_NOFILE)[0], sys.getrecursionlimit()]
"""


def test_what_one_call_patched_is_whole_in_the_next(box: Sandbox) -> None:
    """W3: builtins, modules, path, environment, folder, mask, signals, limits."""
    box.run(POISON)
    found = box.run(PRISTINE).value

    assert found == [3, "[1]", "math", False, False, "/box", 0o22, True, 256, 1000]


SEGMENT = "import ctypes\nlibc = ctypes.CDLL(None)\nprint(libc.shmget(0x77AA, 4096, {flags}) >= 0)"
QUEUE = "import ctypes\nlibc = ctypes.CDLL(None)\nprint(libc.msgget(0x77AA, {flags}) >= 0)"


@pytest.mark.parametrize("program", [SEGMENT, QUEUE], ids=["memory", "queue"])
def test_no_system_v_object_of_one_call_is_there_in_the_next(
    box: Sandbox, mechanism: str, program: str
) -> None:
    """W4, R10: they outlive processes, but not their namespace. Uncounted, there are none."""
    made = said(box.run(program.format(flags=0o1666)))

    assert (made, said(box.run(program.format(flags=0)))) == (str(mechanism in COUNTING), "False")


def test_no_key_of_one_call_is_there_in_the_next(box: Sandbox) -> None:
    """W4: key rings have no namespace; no guest has keys."""
    program = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    program += f"print(libc.syscall({NUMBER['keyctl']}, 0, -3, 1), ctypes.get_errno())"

    assert said(box.run(program)) == "-1 38"


LOCK = """
import fcntl
fcntl.flock(open("/usr/bin/env"), fcntl.LOCK_EX | fcntl.LOCK_NB)
print("locked")
"""


def test_no_lock_of_one_call_is_held_in_the_next(box: Sandbox) -> None:
    """W4: on a file of the system, which guests have in common."""
    assert [said(box.run(LOCK)) for _ in range(2)] == ["locked", "locked"]


LATE = """
import os
ready, started = os.pipe()
if os.fork() == 0:
    os.setsid()
    os.write(started, b"!")
    while True:
        os.write(1, b"late")
os.read(ready, 1)
os.close(1)
"""


def test_late_output_of_one_call_is_not_read_as_the_nexts(box: Sandbox) -> None:
    """W5: pipes of their own, and every writer dead."""
    box.run(LATE)

    assert box.run("print('mine')").stdout == "mine\n"


FORGED = """
import os
if os.fork() == 0:
    os.setsid()
    while True:
        os.write(4, b'\\x00\\x00\\x00\\x0c\\x01{"value": 7}')
"""


def test_a_late_answer_of_one_call_is_not_read_as_the_nexts(box: Sandbox) -> None:
    """W5: likewise on the channel of answers."""
    box.run(FORGED)

    assert box.run("40 + 2").value == 42


ENDS = {
    "kills its supervisor": "import os, signal\nos.kill(1, signal.SIGINT)\nsignal.pause()",
    "crashes": "import ctypes\nctypes.string_at(0)",
    "exits in the middle": "import os\nos._exit(70)",
    "is killed for a call": "import ctypes\nctypes.CDLL(None).syscall(0x40000027)",
}


@pytest.mark.parametrize("end", ENDS)
def test_a_call_that_ends_badly_spoils_no_other(sandbox_for: SandboxFor, end: str) -> None:
    """W6: a guest is used once; the interpreter that it was cloned from never ran its code."""
    box = sandbox_for(wall_seconds=2)
    bad = box.run(ENDS[end])

    assert (bad.ok, box.run("6 * 7").value) == (False, 42)


USE: dict[str, tuple[dict[str, object], str]] = {
    "processor time": (
        {"cpu_seconds": 1},
        "import time\nwhile time.process_time() < 0.6:\n    pass\nprint('used')",
    ),
    "memory": (
        {"memory_bytes": 128 * MIB},
        f"used = bytearray({80 * MIB})\nused[::4096] = bytes(len(used[::4096]))\nprint('used')",
    ),
    "disk": (
        {"disk_bytes": MIB},
        f"open('out', 'wb').write(bytes({MIB * 6 // 10}))\nprint('used')",
    ),
    "output": ({"output_bytes": 1000}, "print('used' * 150)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("quota", USE)
def test_each_call_has_the_whole_quota(sandbox_for: SandboxFor, quota: str) -> None:
    """W7: three calls that use more than half of it, one after the other."""
    changes, program = USE[quota]
    box = sandbox_for(**changes)

    assert [box.run(program).status for _ in range(3)] == ["ok"] * 3
