"""Processes, time and signals: a guest that takes all it can get gets no more than its policy.

Rows R1 to R4 and R30 to R43 of the catalogue of attacks.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox import Sandbox
from sandbox.policy import MIB
from tests.conftest import SandboxFor
from tests.escape.host_state import attack

pytestmark = pytest.mark.slow

FORK_BOMB = """
import os
print("armed", flush=True)
while True:
    try:
        os.fork()
    except OSError:
        pass
"""

SMALL = {"memory_bytes": 128 * MIB, "wall_seconds": 1.0}
PATIENT = {"memory_bytes": 128 * MIB, "wall_seconds": 20.0}


@pytest.mark.differs("gvisor", reason="the watcher kills: nothing is refused")
def test_a_fork_bomb_stops_at_its_process_limit(sandbox_for: SandboxFor) -> None:
    """R1: EAGAIN for the bomb, and the limit is told; without a group the status is "timeout"."""
    result = attack(sandbox_for(**SMALL), FORK_BOMB)

    told = ("processes" in result.limits_hit, result.ok, result.usage.peak_processes <= 32)
    assert (result.stdout[:5], *told) == ("armed", True, False, True)


def test_a_few_forks_are_no_bomb(sandbox_for: SandboxFor) -> None:
    """R1, the may."""
    program = "import os\nfor _ in range(10):\n    os.fork() or os._exit(0)\n    os.wait()\n'done'"

    assert sandbox_for(**PATIENT).run(program).value == "done"


@pytest.mark.differs("gvisor", reason="the watcher kills: nothing is refused")
def test_threads_count_as_processes(sandbox_for: SandboxFor) -> None:
    """R2: a thread bomb stops where a fork bomb does."""
    program = """
import threading, time
hold, count = threading.Event(), 1
try:
    for _ in range(1000):
        threading.Thread(target=hold.wait, daemon=True).start()
        count += 1
except RuntimeError:
    print("refused after", count, flush=True)
    time.sleep(0.5)  # long enough to be seen by a watchdog
    raise
"""
    result = attack(sandbox_for(**PATIENT), program)

    assert (result.status, result.stdout) == ("process_limit", "refused after 32\n")


def test_as_many_threads_as_the_policy_says_run(sandbox_for: SandboxFor) -> None:
    """R2, the may."""
    program = """
import threading
all_here = threading.Barrier(31)
threads = [threading.Thread(target=all_here.wait) for _ in range(30)]
for thread in threads:
    thread.start()
all_here.wait()
"""
    assert sandbox_for(**PATIENT).run(program).ok


def test_no_process_of_a_bomb_outruns_its_killer(sandbox_for: SandboxFor) -> None:
    """R3: each child that notices its parent's death forks twice. attack() counts who is left."""
    program = """
import os
os.set_blocking(1, False)
print("armed", flush=True)
while True:
    parent = os.getppid()
    try:
        os.fork()
    except OSError:
        pass
    if os.getppid() != parent:
        os.setsid()
"""
    result = attack(sandbox_for(**SMALL | {"wall_seconds": 0.5}), program)

    assert (result.ok, "wall" in result.limits_hit) == (False, True)


@pytest.mark.differs("gvisor", reason="28 children are too slow there")
def test_calls_do_not_starve_each_other_of_processes(sandbox_for: SandboxFor) -> None:
    """R4: all guests are one user of the host, and each has its whole quota all the same."""
    program = """
import os, time
children = []
for _ in range(28):
    pid = os.fork()
    if pid == 0:
        time.sleep(1)
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
len(children)
"""
    box = sandbox_for(**PATIENT, processes=31)
    with ThreadPoolExecutor(4) as callers:
        results = list(callers.map(box.run, [program] * 4))

    assert [result.value for result in results] == [28] * 4


def test_a_spin_ends_at_its_deadline(sandbox_for: SandboxFor) -> None:
    """R30."""
    result = attack(sandbox_for(**SMALL), "while True:\n    pass")

    assert result.status == "timeout"


def test_a_spin_ends_at_its_processor_time(sandbox_for: SandboxFor) -> None:
    """R30: whichever comes first."""
    result = attack(sandbox_for(**PATIENT, cpu_seconds=0.5), "while True:\n    pass")

    assert result.status == "cpu_limit"


def test_the_processor_time_of_many_spinners_is_one_sum(sandbox_for: SandboxFor) -> None:
    """R31: a relay, each too short to be caught alone, beside four that spin."""
    program = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        while True:
            pass
while True:
    if os.fork() == 0:
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        os._exit(0)
    os.wait()
"""
    result = attack(sandbox_for(**PATIENT, cpu_seconds=1.0), program)

    assert (result.status, result.usage.cpu_seconds < 3) == ("cpu_limit", True)


def test_ignored_signals_and_cleared_timers_change_no_deadline(sandbox_for: SandboxFor) -> None:
    """R32: whatever the guest ignores or blocks, SIGKILL comes from outside."""
    program = """
import signal
for number in range(1, 65):
    if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
        signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
    signal.setitimer(timer, 0)
print("deaf", flush=True)
while True:
    pass
"""
    result = attack(sandbox_for(**SMALL), program)

    assert (result.status, result.stdout) == ("timeout", "deaf\n")


def test_sleeping_for_ever_ends_at_the_deadline(sandbox_for: SandboxFor) -> None:
    """R33."""
    result = attack(sandbox_for(**SMALL), "import time\ntime.sleep(10**6)")

    assert result.status == "timeout"


@pytest.mark.parametrize(
    "change",
    [
        "os.setpriority(os.PRIO_PROCESS, 0, -5)",
        "os.setpriority(os.PRIO_USER, 0, 5)",
        "os.sched_setaffinity(0, range(64))",
        "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
        "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))",
    ],
    ids=["niceness", "niceness of others", "affinity", "real time", "batch"],
)
def test_its_share_of_the_processors_is_not_the_guests_to_change(
    sandbox_for: SandboxFor, change: str
) -> None:
    """R34: EPERM."""
    program = f"import os\ntry:\n    {change}\nexcept PermissionError:\n    print('EPERM')"

    assert attack(sandbox_for(**PATIENT), program).stdout == "EPERM\n"


def test_a_guest_may_step_back(sandbox_for: SandboxFor) -> None:
    """R34, the may."""
    assert sandbox_for(**PATIENT).run("import os\nos.nice(5)").value == 5


def test_a_guest_that_stops_itself_ends_at_its_deadline(sandbox_for: SandboxFor) -> None:
    """R35: with all its children and its whole group."""
    program = "import os, signal\nos.fork()\nos.killpg(0, signal.SIGSTOP)"
    result = attack(sandbox_for(**SMALL), program)

    assert result.status == "timeout"


@pytest.mark.parametrize("flags", [0, 1], ids=["any", "user mode only"])
def test_no_guest_can_make_a_page_fault_hang(sandbox_for: SandboxFor, flags: int) -> None:
    """R36: userfaultfd(2) would leave a process that no signal wakes."""
    program = f"""
import ctypes, os, platform
number = {{"x86_64": 323, "aarch64": 282}}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(ctypes.c_long(number), {flags}), ctypes.get_errno())
"""
    assert attack(sandbox_for(**PATIENT), program).stdout == "-1 1\n"


@pytest.mark.differs("gvisor", reason="its own kernel's /dev/fuse leads to no host")
def test_there_is_no_fuse_device(sandbox_for: SandboxFor) -> None:
    """R36: nor a file system of the guest's own making."""
    program = "import os\n[name for name in ('/dev/fuse', '/dev/cuse') if os.path.exists(name)]"

    assert attack(sandbox_for(**PATIENT), program).value == []


DAEMONS = {
    "double fork and setsid": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
os.wait()
"started"
""",
    "a group of its own": """
import os, time
if os.fork() == 0:
    os.setpgid(0, 0)
    for stream in (0, 1, 2):
        os.close(stream)
    time.sleep(1000)
"started"
""",
    "nohup": """
import subprocess
subprocess.Popen(["setsid", "nohup", "sleep", "1000"], start_new_session=True)
"started"
""",
}


@pytest.mark.parametrize("program", DAEMONS.values(), ids=DAEMONS.keys())
def test_a_daemon_is_dead_when_the_call_returns(sandbox_for: SandboxFor, program: str) -> None:
    """R37, R38: attack() counts who is left."""
    assert attack(sandbox_for(**PATIENT), program).value == "started"


@pytest.mark.differs("gvisor", reason="too slow there")
def test_zombies_are_reaped(sandbox_for: SandboxFor) -> None:
    """R39: ten times as many orphans as may live at once."""
    program = """
import os, time
born = 0
while born < 300:
    try:
        if os.fork() == 0:
            os.fork()
            os._exit(0)
        os.wait()
        born += 2
    except BlockingIOError:
        time.sleep(0.01)
born
"""
    result = attack(sandbox_for(**PATIENT, processes=30), program)

    assert (result.exit_code, result.usage.peak_processes <= 30) == (0, True)


def test_a_child_that_holds_the_output_open_delays_nobody(sandbox_for: SandboxFor) -> None:
    """R40: the answer does not wait for the end of a pipe."""
    program = "import subprocess\nsubprocess.Popen(['sleep', '1000'])\n'answered'"
    started = time.monotonic()
    result = attack(sandbox_for(**PATIENT), program)

    assert (result.value, time.monotonic() - started < 5) == ("answered", True)


def test_pid_1_does_not_die_of_the_guest(sandbox_for: SandboxFor) -> None:
    """R41: of no signal at all; the call ends as it wants to."""
    program = """
import os
for number in range(1, 65):
    try:
        os.kill(1, number)
    except OSError:
        pass
print("still here")
"""
    result = attack(sandbox_for(**PATIENT), program)

    assert (result.status, result.stdout) == ("ok", "still here\n")


def test_a_guest_that_kills_everybody_is_reported(sandbox_for: SandboxFor) -> None:
    """R41: itself too."""
    program = "import os\nos.fork()\nos.kill(-1, 9)\nos.kill(os.getpid(), 9)"
    result = attack(sandbox_for(**PATIENT), program)

    assert (result.status, result.signal) == ("signal", 9)


@pytest.mark.differs("gvisor", reason="its kernel bounds no timers: memory does")
def test_timers_are_bounded(sandbox_for: SandboxFor) -> None:
    """R42: each takes a queued signal of RLIMIT_SIGPENDING, timer_create(2)."""
    program = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
count = 0
while count < 100_000 and libc.timer_create(1, None, ctypes.byref(ctypes.c_void_p())) == 0:
    count += 1
count, ctypes.get_errno()
"""
    count, error = attack(sandbox_for(**PATIENT), program).value

    assert (0 < count <= 256, error) == (True, 11)


def test_queued_signals_are_bounded(sandbox_for: SandboxFor) -> None:
    """R42: sigqueue(3) gives EAGAIN."""
    program = """
import ctypes, os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
libc = ctypes.CDLL(None, use_errno=True)
count = 0
while count < 100_000 and libc.sigqueue(os.getpid(), signal.SIGRTMIN, ctypes.c_void_p(0)) == 0:
    count += 1
count, ctypes.get_errno()
"""
    count, error = attack(sandbox_for(**PATIENT), program).value

    assert (0 < count <= 256, error) == (True, 11)


def test_there_are_no_key_rings_to_fill(sandbox_for: SandboxFor) -> None:
    """R42: add_key(2) gives ENOSYS."""
    program = """
import ctypes, platform
number = {"x86_64": 248, "aarch64": 217}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(ctypes.c_long(number), b"user", b"k", b"x", ctypes.c_size_t(1), ctypes.c_long(-3))
ctypes.get_errno()
"""
    assert attack(sandbox_for(**PATIENT), program).value == 38


def test_no_core_is_dumped(box: Sandbox) -> None:
    """R43: not even by a guest that asks for one."""
    program = """
import os, resource
try:
    resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))
except ValueError:
    print("refused", flush=True)
for _ in range(10):
    os.fork() or os.abort()
    os.wait()
os.abort()
"""
    result = attack(box, program)

    assert (result.signal, result.stdout, dict(result.files)) == (6, "refused\n", {})
