"""Attacks on PID 1 of a container, which runs as the guest's own user, and on what it gathers."""

import json
import os
from typing import Final

import pytest

from sandbox import Result, Sandbox
from sandbox.backends import container_options, container_view
from tests.conftest import SandboxFor, backend_of
from tests.escape.syscalls import ASK, ATTEMPT, NUMBER, said
from tests.escape.test_two_walls import ALLOW_EVERYTHING

pytestmark = pytest.mark.differs("cgroup", "watchdog", reason="about PID 1 of a container")
on_this_kernel = pytest.mark.differs("gvisor", reason="gVisor has rules of its own for this")
MIB: Final = 1 << 20
ANSWERED: Final = "print('still', len(os.listdir('/proc/self/fd')) > 0)"
"""The control at the end of each attack: the guest came to its end, and was heard."""


def ended_well(result: Result) -> bool:
    """Say whether the attack ran to its end and PID 1 told all of it."""
    return result.ok and result.stdout.endswith("still True\n") and result.usage.cpu_seconds > 0


SIGNALS = f"""{ATTEMPT}
import signal
for number in range(1, 65):
    for _ in range(50):
        attempt(os.kill, 1, number)
for _ in range(50_000 if attempt(os.kill, 1, 0) == "done" else 0):
    os.kill(1, signal.SIGCHLD)
"""
STOP = f"""{ATTEMPT}
import signal
for number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGKILL):
    attempt(os.kill, 1, number)
    attempt(lambda: signal.pidfd_send_signal(os.pidfd_open(1), number))
"""
STORM = """
import os
for _ in range(2_000):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
"""
ORPHANS = """
import os
for _ in range(300):
    pid = os.fork()
    if pid == 0:
        if os.fork() == 0:
            os.setsid()
        os._exit(0)
    os.waitpid(pid, 0)
"""
PIPES = """
import os, fcntl
for number in (0, 1, 2, 4):
    for flags in (os.O_RDONLY, os.O_WRONLY):
        try:
            other = os.open(f"/proc/self/fd/{number}", flags | os.O_NONBLOCK)
            fcntl.fcntl(other, 1031, 4096)
            os.set_blocking(other, False)
            os.read(other, 100) if flags == os.O_RDONLY else None
        except OSError:
            pass
"""
OWNED = f"""{ATTEMPT}
import fcntl, signal, socket, struct
near, far = socket.socketpair()
for act in (
    lambda: fcntl.fcntl(near, fcntl.F_SETOWN, 1),
    lambda: fcntl.fcntl(near, 10, signal.SIGKILL),
    lambda: fcntl.ioctl(near, 0x8901, struct.pack("i", 1)),
    lambda: fcntl.fcntl(near, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK),
):
    attempt(act)
for _ in range(100):
    far.send(b"x")
"""
"""A descriptor that signals its owner, fcntl(2)."""
ATTACKS = {
    "every signal": SIGNALS,
    "a descriptor that it owns": OWNED,
    "stop": STOP,
    "both ends of its pipes": PIPES,
}
SLOW = pytest.mark.differs("gvisor", reason="a fork takes it 30 ms")
STORMS = [
    pytest.param(attack, id=name, marks=SLOW)
    for name, attack in {"a storm of children": STORM, "a storm of orphans": ORPHANS}.items()
]


@pytest.mark.parametrize(
    "attack", [*(pytest.param(each, id=name) for name, each in ATTACKS.items()), *STORMS]
)
def test_pid_1_goes_on(sandbox_for: SandboxFor, attack: str) -> None:
    """R41: it is neither killed nor stopped nor deaf; the result is the guest's."""
    box = sandbox_for(wall_seconds=20.0, cpu_seconds=20.0)

    assert ended_well(box.run(f"{attack}\n{ANSWERED}"))


LOOK_IN: Final = {
    **dict.fromkeys(("mem", "environ", "maps", "auxv", "stack", "pagemap"), "os.O_RDONLY"),
    **dict.fromkeys(("clear_refs", "oom_score_adj", "coredump_filter", "comm"), "os.O_WRONLY"),
}


@on_this_kernel
@pytest.mark.parametrize("name", LOOK_IN)
def test_pid_1_shows_nothing_of_itself(box: Sandbox, name: str) -> None:
    """F18: it is not dumpable, so these are root's and not its user's."""
    program = ATTEMPT + f"print(attempt(os.open, '/proc/1/{name}', {LOOK_IN[name]}))"

    assert said(box.run(program)) == "refused: EACCES"


@pytest.mark.parametrize("name", ["fd", "cwd", "root", "exe", "map_files", "ns/net"])
@on_this_kernel
def test_no_link_of_pid_1_leads_anywhere(box: Sandbox, name: str) -> None:
    """F17: its descriptors are the way to the host."""
    act = "os.listdir" if name in {"fd", "map_files"} else "os.readlink"

    assert said(box.run(ATTEMPT + f"print(attempt({act}, '/proc/1/{name}'))")) == "refused: EACCES"


DESCRIPTORS = f"""{ATTEMPT}
def opened(pid):
    paths = [f"/proc/{{pid}}/fd/{{number}}" for number in range(64)]
    ways = [(path, flags | os.O_NONBLOCK) for path in paths for flags in (os.O_RDONLY, os.O_WRONLY)]
    found = [path for path, flags in ways if attempt(os.open, path, flags) == "done"]
    return {{os.readlink(path) for path in found}} - {{"/dev/null"}}
print(opened(1) - opened("self"), len(opened("self")) > 3)
"""


def test_no_descriptor_of_pid_1_can_be_opened(box: Sandbox) -> None:
    """M1: who writes to the host in PID 1's place decides what the result says.

    But in gVisor the other ends of its own pipes, which it can open in its own /proc as well.
    """
    assert said(box.run(DESCRIPTORS)) == "set() True"


def test_what_a_guest_can_see_of_itself_is_open(box: Sandbox) -> None:
    """F17, F18: the control."""
    program = (
        "import os\nprint(len(open('/proc/self/maps').read()) > 0, os.readlink('/proc/self/cwd'))"
    )

    assert said(box.run(program)) == "True /box"


CALLS: Final = {
    "ptrace attach": ("ptrace", (16, 1, 0, 0)),
    "ptrace seize": ("ptrace", (0x4206, 1, 0, 0)),
    "read its memory": ("process_vm_readv", (1, 0, 0, 0, 0, 0)),
    "write its memory": ("process_vm_writev", (1, 0, 0, 0, 0, 0)),
    "advise on its memory": ("process_madvise", (1, 0, 0, 0, 0)),
    "move its pages": ("move_pages", (1, 0, 0, 0, 0, 0)),
    "compare with it": ("kcmp", (1, 1, 0, 0, 0)),
    "change its processors": ("sched_setaffinity", (1, 8, 0)),
    "change its class": ("sched_setscheduler", (1, 5, 0)),
    "change its niceness": ("setpriority", (0, 1, 19)),
    "change its share of the disk": ("ioprio_set", (1, 1, 3 << 13)),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_call_reaches_into_pid_1(box: Sandbox, name: str) -> None:
    """K8: it is the same user's, and only the filter knows the difference."""
    call, arguments = CALLS[name]
    program = f"{ASK}print(ask({NUMBER[call]}, *{arguments}))"

    assert said(box.run(program)) == "refused: EPERM"


LIMITS = """
import os, resource
def lower(pid):
    refused = 0
    for limit in range(16):
        try:
            resource.prlimit(pid, limit, (0, 0))
        except PermissionError:
            refused += 1
    return refused
print(lower(1), resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE)[0] > 0)
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
open("/box/kept", "w").write("x")
print(resource.prlimit(0, resource.RLIMIT_NOFILE)[0])
"""


def test_no_limit_of_pid_1_can_be_lowered(box: Sandbox) -> None:
    """Without descriptors it could not gather, without processor time it died: an engine's fault.

    Its own limits a guest may lower: the permitted neighbour.
    """
    result = box.run(LIMITS)

    assert (said(result), result.files) == ("16 True\n50", {"kept": b"x"})


FORGE = """
import json, os, struct
def frame(kind, body):
    return struct.pack(">IB", len(body), kind) + body
claim = {"cpu_seconds": 77.0, "peak_memory_bytes": 77, "peak_processes": 77, "disk_bytes": 77,
         "limits_hit": ["memory"], "limits_reached": [], "stopped_by": "cpu"}
forged = frame(6, bytes(6)) + frame(7, json.dumps(claim).encode())
forged += frame(8, struct.pack(">H", 6) + b"forged" + b"content") + frame(10, b"1")
written = 0
for number in range(1, 256):
    try:
        written += os.write(number, struct.pack(">B3xI", 1, len(forged)) + forged) > 0
    except OSError:
        pass
os._exit(3 if written == 3 else 4)
"""


def test_frames_that_a_guest_forges_are_its_output(box: Sandbox) -> None:
    """M1: on every descriptor that it has, in PID 1's words and in the engine's."""
    result = box.run(FORGE)

    assert (result.exit_code, result.files, result.limits_hit) == (3, {}, ())
    assert 77 not in {result.usage.cpu_seconds, result.usage.peak_memory_bytes}


FIRST_TO_DIE = """
import os, time
def hold(count):
    open("/proc/self/oom_score_adj", "w").write("0")
    block = bytearray(count << 20)
    block[::4096] = bytes(len(block[::4096])).replace(b"\\0", b"x")
    return block
print("ready", flush=True)
for _ in range(24):
    if os.fork() == 0:
        block = hold(6)
        time.sleep(100)
held = hold(4)
while True:
    held += hold(1)
"""


@pytest.mark.slow
def test_memory_that_runs_out_beside_pid_1_is_the_guests_fault(sandbox_for: SandboxFor) -> None:
    """R17: many small ones, each smaller than PID 1 and as unlikely to be killed as it."""
    result = sandbox_for(memory_bytes=96 * MIB).run(FIRST_TO_DIE)

    assert (result.status, result.stdout) == ("memory_limit", "ready\n")


# What PID 1 gathers.

LEFT = {
    "the folder shut": "os.chmod('/box', 0)",
    "the folder's list shut": "os.chmod('/box', 0o300)",
    "a folder shut": "os.makedirs('/box/a/b'); os.chmod('/box/a', 0)",
    "a file shut": "os.close(os.open('/box/secret', os.O_CREAT, 0))",
    "a path of 8 KiB": "[(os.mkdir('x' * 250), os.chdir('x' * 250)) for _ in range(30)]",
    "a name that is no text": "os.mkdir(b'/box/\\xff\\xfe\\n\\x1b[2J')",
    "a file of such a name": "open(b'/box/\\xff\\n', 'w').close()",
    "a fifo": "os.mkfifo('/box/fifo')",
    "a file of a PiB": "attempt(os.truncate, '/box/kept', 1 << 50)",
    "a tree of 500": "[(os.mkdir('d'), os.chdir('d')) for _ in range(500)]",
    "a link to everything": "os.symlink('/', '/box/root'); os.symlink('/proc/1', '/box/p')",
    "a loop": "os.symlink('loop', '/box/loop')",
}


@pytest.mark.parametrize("act", LEFT.values(), ids=LEFT.keys())
def test_whatever_is_left_behind_the_rest_is_handed_back(box: Sandbox, act: str) -> None:
    """F5 to F11: PID 1 walks there as the guest's user; if that ends it, the call is lost."""
    result = box.run(f"{ATTEMPT}open('/box/kept', 'w').write('x')\n{act}\n{ANSWERED}")

    assert (ended_well(result), result.files["kept"]) == (True, b"x")


FLOOD = "for n in range(10_001):\n    os.close(os.open(f'/box/{n:05}', os.O_CREAT))\n"


def test_of_a_flood_of_files_the_first_are_handed_back(sandbox_for: SandboxFor) -> None:
    """F11: no more than returned_files, and no more than 10,000 looked at."""
    box = sandbox_for(disk_files=20_000, wall_seconds=20.0, cpu_seconds=20.0)
    result = box.run(f"import os\n{FLOOD}{ANSWERED}")

    assert (ended_well(result), len(result.files), len(result.left_out)) == (True, 64, 100)


# The two filters, each without the other.


def without_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_nothing(_documents: tuple[str, ...]) -> bytes:
        return ALLOW_EVERYTHING

    monkeypatch.setattr(container_view, "compile_filter", compile_nothing)


def without_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    def profile_nothing(_documents: tuple[str, ...]) -> str:
        return json.dumps({"defaultAction": "SCMP_ACT_ALLOW"})

    monkeypatch.setattr(container_options, "engine_profile", profile_nothing)


WALLS = {
    "the engine's alone": (without_ours,),
    "ours alone": (without_the_engines,),
    "neither": (without_ours, without_the_engines),
}
DANGEROUS = ("mount", "bpf", "userfaultfd", "io_uring_setup", "keyctl", "unshare", "setns")
TRY = """
print([ask(number, {first}, 0, 0, 0, 0) for number in {numbers}])
print("pid 1", ask({ptrace}, 16, 1, 0, 0))
"""


def tried(mechanism: str) -> tuple[list[str], str]:
    numbers = [NUMBER[name] for name in DANGEROUS]
    program = ASK + TRY.format(first=0x20000, numbers=numbers, ptrace=NUMBER["ptrace"])
    with Sandbox("strict", backend=backend_of(mechanism)) as box:
        first, second = said(box.run(program)).splitlines()
    return json.loads(first.replace("'", '"')), second


@on_this_kernel
@pytest.mark.slow
@pytest.mark.parametrize("wall", ["the engine's alone", "ours alone"])
def test_each_filter_alone_refuses_what_no_program_needs(
    monkeypatch: pytest.MonkeyPatch, mechanism: str, wall: str
) -> None:
    """K1 to K9: and PID 1 is not traced."""
    for take_away in WALLS[wall]:
        take_away(monkeypatch)
    answers, of_pid_1 = tried(mechanism)

    assert {*answers} <= {"refused: EPERM", "refused: ENOSYS"}
    assert of_pid_1.startswith("pid 1 refused: E")


@on_this_kernel
@pytest.mark.slow
def test_without_filters_the_kernel_is_reached_but_not_pid_1(
    monkeypatch: pytest.MonkeyPatch, mechanism: str
) -> None:
    """The control: some answers are the kernel's own now. That PID 1 is not dumpable holds."""
    for take_away in WALLS["neither"]:
        take_away(monkeypatch)
    answers, of_pid_1 = tried(mechanism)

    assert {*answers} - {"refused: EPERM", "refused: ENOSYS"}
    assert of_pid_1 == "pid 1 refused: EPERM"


def test_the_tests_run_where_pid_1_is_pid_1(box: Sandbox) -> None:
    """The control of this file: the parent of the guest is PID 1, and no process of the host."""
    assert box.run("import os\nos.getppid()").value == 1 != os.getppid()
