"""Memory and disk: what a guest fills up is its own, and bounded.

Rows R5 to R22 of the catalogue of attacks.
"""

import time

import pytest

from sandbox.policy import KIB, MIB
from tests.conftest import COUNTING, SandboxFor
from tests.escape.host_state import attack

pytestmark = pytest.mark.slow

LIMIT = 96 * MIB
SMALL = {"memory_bytes": LIMIT, "wall_seconds": 20.0, "cpu_seconds": 20.0}
EMFILE, ENOSYS = 24, 38


HOARD = "import time\nblock = bytearray(200 << 20)\ntime.sleep(1)"


def test_anonymous_memory_ends_at_the_limit(sandbox_for: SandboxFor) -> None:
    """R5."""
    program = """
import time
block = bytearray(200 << 20)
time.sleep(1)  # long enough to be seen by a watchdog
print("got it")
"""
    result = attack(sandbox_for(**SMALL), program)

    assert (result.status, result.stdout) == ("memory_limit", "")


def test_memory_within_the_limit_is_there(sandbox_for: SandboxFor) -> None:
    """R5, the may."""
    assert sandbox_for(**SMALL).run("len(bytearray(40 << 20))").value == 40 * MIB


def test_memory_of_many_processes_is_one_sum(sandbox_for: SandboxFor) -> None:
    """R6: four with a third of the limit each."""
    program = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        block = bytearray(32 << 20)
        time.sleep(1)
        os._exit(0)
for _ in range(4):
    os.wait()
"whoever died of it"
"""
    assert attack(sandbox_for(**SMALL), program).status == "memory_limit"


FILL = """
import errno, os
written = 0
try:
    with open("{path}", "wb", buffering=0) as file:
        while True:
            written += file.write(bytes(1 << 16))
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
    raise
"""


@pytest.mark.parametrize("path", ["/tmp/x", "/dev/shm/x", "/box/x"])
def test_a_file_in_memory_ends_at_the_disk_limit(sandbox_for: SandboxFor, path: str) -> None:
    """R7, R19: ENOSPC."""
    result = attack(sandbox_for(**SMALL, disk_bytes=8 * MIB), FILL.format(path=path))

    assert (result.status, result.stdout) == ("disk_limit", "ENOSPC\n")


def test_a_full_disk_is_empty_for_the_next_call(sandbox_for: SandboxFor) -> None:
    """R7, R22: freed with the call."""
    box = sandbox_for(**SMALL, disk_bytes=8 * MIB)
    attack(box, FILL.format(path="/tmp/x"))

    assert box.run("open('/tmp/x', 'xb').write(bytes(7 << 20))").value == 7 * MIB


def test_a_file_is_gone_after_a_kill_for_memory(sandbox_for: SandboxFor) -> None:
    """R8: no call finds what another left in its last moment."""
    box = sandbox_for(**SMALL)
    killed = attack(box, f"open('/dev/shm/left', 'w').write('x')\n{HOARD}")
    found = box.run("import os\nos.listdir('/dev/shm') + os.listdir('/tmp')").value

    assert (killed.status, found) == ("memory_limit", [])


def test_memory_behind_a_descriptor_is_counted_or_refused(
    sandbox_for: SandboxFor, mechanism: str
) -> None:
    """R9: memfd_create(2) without a mapping is in no process's size."""
    program = """
import os
try:
    descriptor = os.memfd_create("hoard")
except OSError as error:
    print("refused", error.errno, flush=True)
    raise
for _ in range(200):
    os.write(descriptor, bytes(1 << 20))
print("hoarded")
"""
    result = attack(sandbox_for(**SMALL, file_bytes=512 * MIB), program)

    expected = ("memory_limit", "") if mechanism in COUNTING else ("error", f"refused {ENOSYS}\n")
    assert (result.status, result.stdout) == expected


SYSTEM_V = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
ctypes.set_errno(0)
made = [libc.shmget(7, 1 << 20, 0o1600), libc.semget(7, 1, 0o1600), libc.msgget(7, 0o1600)]
[number >= 0 for number in made], ctypes.get_errno()
"""


def test_system_v_memory_is_gone_with_its_call(sandbox_for: SandboxFor, mechanism: str) -> None:
    """R10: the second call makes, exclusively, what the first one left; or neither may."""
    box = sandbox_for(**SMALL)
    made = [attack(box, SYSTEM_V).value, attack(box, SYSTEM_V).value]

    expected = [[True] * 3, 0] if mechanism in COUNTING else [[False] * 3, ENOSYS]
    assert made == [expected, expected]


def test_no_message_queue_can_be_filled(sandbox_for: SandboxFor, mechanism: str) -> None:
    """R11: RLIMIT_MSGQUEUE is none, mq_open(3) gives EMFILE."""
    program = """
import ctypes, os
rt = ctypes.CDLL(None, use_errno=True)
rt.mq_open(b"/hoard", os.O_CREAT | os.O_RDWR, 0o600, None), ctypes.get_errno()
"""
    expected = [-1, EMFILE if mechanism in COUNTING else ENOSYS]
    assert attack(sandbox_for(**SMALL), program).value == expected


PIPES = """
import fcntl, json, os
held, ends = 0, []
try:
    while True:
        ends += os.pipe2(os.O_NONBLOCK)
        try:
            fcntl.fcntl(ends[-1], fcntl.F_SETPIPE_SZ, 1 << 20)
        except PermissionError:  # over the share of one user, pipe(7)
            pass
        try:
            while True:
                held += os.write(ends[-1], bytes(1 << 16))
        except BlockingIOError:
            pass
except OSError as error:
    print(json.dumps([error.errno, held]), flush=True)
"""


def test_pipes_hold_no_more_than_open_files_allow(sandbox_for: SandboxFor) -> None:
    """R12: a group counts them; without one, 14 pipes of at most 1 MiB are 14 MiB unseen.

    For all guests of one user together pipe-user-pages-soft (64 MiB) is the bound, pipe(7).
    """
    result = attack(sandbox_for(**SMALL, open_files=32), f"{PIPES}\nheld")

    assert (result.status, 14 * 4 * KIB <= result.value <= 14 * MIB) == ("ok", True)


SOCKETS = """
import socket, time

def ask_for_more(end):
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)
    except PermissionError:
        pass

def fill(end):
    sent = refusals = 0
    end.setblocking(False)
    while refusals < 3:
        try:
            sent += end.send(bytes(1 << 15))
        except BlockingIOError:
            refusals += 1
            time.sleep(0.001)  # loopback delivers in its own time
    return sent

listener = socket.create_server(("127.0.0.1", 0), backlog=200)
held, pairs = 0, []
try:
    while held < 300 << 20:
        {pair}
        ask_for_more(pairs[-1][0])
        held += sum(map(fill, pairs[-1]))
except OSError as error:
    print(error.errno, flush=True)
held
"""

PAIRS = {
    "unix": "pairs.append(socket.socketpair())",
    "tcp": """pairs.append((socket.create_connection(listener.getsockname()), None))
        pairs[-1] = (pairs[-1][0], listener.accept()[0])""",
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_sockets_hold_no_more_than_the_memory_limit(sandbox_for: SandboxFor, pair: str) -> None:
    """R13: in one process, by 256 descriptors. Buffers are memory that no process has mapped."""
    result = attack(sandbox_for(**SMALL), SOCKETS.replace("{pair}", pair))

    assert result.status == "memory_limit" or 0 < (result.value or 0) <= LIMIT


PAGE_TABLES = """
import mmap
held = []
for _ in range(20_000):
    block = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | 0x4000)  # MAP_NORESERVE
    for place in range(0, 1 << 30, 2 << 20):
        block[place]
    held.append(block)
print("survived")
"""


def test_page_tables_are_bounded(sandbox_for: SandboxFor) -> None:
    """R14: one touch per 2 MiB; a group counts them, RLIMIT_AS bounds what needs them."""
    result = attack(sandbox_for(**SMALL), PAGE_TABLES)

    assert (result.status in {"memory_limit", "error"}, result.stdout) == (True, "")


@pytest.mark.differs("gvisor", reason="its tmpfs counts no inodes: memory does")
def test_empty_files_end_at_their_number(sandbox_for: SandboxFor) -> None:
    """R15, R20: dentries and inodes are kernel memory; ENOSPC."""
    program = """
import errno, os
made = 0
try:
    while True:
        os.close(os.open(f"/tmp/{made}", os.O_CREAT | os.O_WRONLY))
        made += 1
except OSError as error:
    print(errno.errorcode[error.errno], made, flush=True)
    raise
"""
    result = attack(sandbox_for(**SMALL, disk_files=1000), program)

    assert (result.status, result.stdout) == ("disk_limit", "ENOSPC 1000\n")


KERNEL_OBJECTS = {
    "epoll": "select.epoll()",
    "inotify": "libc.inotify_init() if libc.inotify_init() >= 0 else 1 / 0",
    "eventfd": "os.eventfd(0)",
}


@pytest.mark.parametrize("make", KERNEL_OBJECTS.values(), ids=KERNEL_OBJECTS.keys())
def test_objects_of_the_kernel_end_at_open_files(sandbox_for: SandboxFor, make: str) -> None:
    """R15: each is a descriptor."""
    program = f"""
import ctypes, os, select
libc = ctypes.CDLL(None, use_errno=True)
held = []
try:
    for _ in range(10_000):
        held.append({make})
except (OSError, ZeroDivisionError):
    pass
len(held)
"""
    assert 0 < attack(sandbox_for(**SMALL, open_files=64), program).value < 64


def test_extended_attributes_are_bounded(sandbox_for: SandboxFor) -> None:
    """R15: an attribute of a file in memory is kernel memory; a guest's tmpfs takes few or none."""
    program = """
import os
open("/tmp/x", "w").close()
written = 0
try:
    for number in range(100_000):
        os.setxattr("/tmp/x", f"user.{number}", bytes(60_000))
        written += 60_000
except OSError as error:
    print("refused", flush=True)
written
"""
    result = attack(sandbox_for(**SMALL), program)

    bounded = result.status == "memory_limit" or (result.value or 0) <= 16 * MIB
    assert (bounded, result.status in {"ok", "memory_limit"}) == (True, True)


@pytest.mark.differs("gvisor", reason="its mlock locks nothing of the host")
def test_no_memory_can_be_locked(sandbox_for: SandboxFor) -> None:
    """R16: mlock(2) and huge pages."""
    program = """
import ctypes, mmap
libc = ctypes.CDLL(None, use_errno=True)
block = ctypes.create_string_buffer(1 << 20)
locked = libc.mlock(block, 1 << 20)
try:
    mmap.mmap(-1, 2 << 20, flags=mmap.MAP_PRIVATE | 0x40000)  # MAP_HUGETLB
    huge = 0
except OSError:
    huge = -1
locked, huge
"""
    assert attack(sandbox_for(**SMALL), program).value == [-1, -1]


def test_a_kill_for_memory_spares_the_zygote(sandbox_for: SandboxFor) -> None:
    """R17: the next call has no new one to start, and attack() counts who is left."""
    box = sandbox_for(**SMALL)
    killed = attack(box, HOARD)
    started = time.monotonic()
    answered = box.run("6 * 7")

    assert (killed.status, answered.value, time.monotonic() - started < 5) == (
        "memory_limit",
        42,
        True,
    )


def test_a_parent_cannot_hide_that_its_child_died_for_memory(sandbox_for: SandboxFor) -> None:
    """R18: it exits with 0 itself."""
    program = """
import os, time
if os.fork() == 0:
    block = bytearray(200 << 20)
    time.sleep(1)
os.wait()
"all is well"
"""
    assert attack(sandbox_for(**SMALL), program).status == "memory_limit"


def test_a_deep_tree_is_cleaned_up_and_left_out(sandbox_for: SandboxFor) -> None:
    """R21: two thousand folders, one in the other, are gone with their mount; none is followed."""
    program = """
import os
for _ in range(2000):
    os.mkdir("d")
    os.chdir("d")
open("bottom", "w").write("x")
print("dug")
"""
    result = attack(sandbox_for(**SMALL), program)

    assert (result.status, result.stdout, dict(result.files)) == ("ok", "dug\n", {})


def test_deleted_files_that_are_held_open_count(sandbox_for: SandboxFor) -> None:
    """R22: a name is not what takes room."""
    program = """
import errno, os
held = []
try:
    while True:
        held.append(open("/tmp/x", "wb", buffering=0))
        os.unlink("/tmp/x")
        held[-1].write(bytes(1 << 20))
        if held[-1].tell() < 1 << 20:
            raise OSError(errno.ENOSPC, "short write")
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
len(held)
"""
    result = attack(sandbox_for(**SMALL, disk_bytes=8 * MIB), program)

    assert (result.stdout, result.value) == ("ENOSPC\n", 9)
