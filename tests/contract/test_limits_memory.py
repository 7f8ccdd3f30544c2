"""Memory of the whole tree, whatever kind it is: just under passes, just over is stopped."""

import pytest
from _pytest.mark import ParameterSet

from sandbox import Sandbox
from sandbox.policy import MIB
from tests.conftest import COUNTING, SandboxFor
from tests.contract.conftest import error_of

LIMIT = 96 * MIB
ROOMY_DISK = {"disk_bytes": 512 * MIB, "file_bytes": 512 * MIB}

SHARED = """
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(create=True, size={size})
for place in range(0, {size}, 4096):
    block.buf[place] = 1
block.unlink()
"""

KINDS = {
    "anonymous": "block = bytearray({size})",
    "in a child": """
import os
if os.fork() == 0:
    block = bytearray({size})
    os._exit(0)
os.wait()
""",
    "in four processes": """
import os
ready, done = os.pipe(), os.pipe()
for _ in range(4):
    if os.fork() == 0:
        block = bytearray({size} // 4)
        os.write(ready[1], b"x")
        os.close(done[1])
        os.read(done[0], 1)
        os._exit(0)
for _ in range(4):
    os.read(ready[0], 1)
""",
    "a file in /tmp": "open('/tmp/x', 'wb', buffering=0).write(bytes(1 << 20) * ({size} >> 20))",
    "files in /box": """
for number in range({size} >> 20):
    open(f'/box/{{number}}', 'wb', buffering=0).write(bytes(1 << 20))
""",
    "files in /dev/shm": """
for number in range({size} >> 20):
    open(f'/dev/shm/{{number}}', 'wb', buffering=0).write(bytes(1 << 20))
""",
    "deleted files": """
held = []
for number in range({size} >> 20):
    held.append(open('/tmp/x', 'wb', buffering=0))
    held[-1].write(bytes(1 << 20))
    import os
    os.unlink('/tmp/x')
""",
    "multiprocessing.shared_memory": SHARED,
    "a private mapping": """
import mmap
block = mmap.mmap(-1, {size}, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for place in range(0, {size}, 4096):
    block[place] = 1
""",
    "threads' stacks": """
import ctypes, threading
threading.stack_size(1 << 23)
started = threading.Barrier(9)
def touch():
    ctypes.memset(ctypes.create_string_buffer({size} // 8), 1, {size} // 8)
    started.wait()
for _ in range(8):
    threading.Thread(target=touch).start()
started.wait()
""",
}

UNCOUNTED = {
    "memfd": """
import os
held = os.memfd_create("x")
for _ in range({size} >> 20):
    os.write(held, bytes(1 << 20))
""",
    "a shared anonymous mapping": """
import mmap
block = mmap.mmap(-1, {size})
for place in range(0, {size}, 4096):
    block[place] = 1
""",
    "SysV shared memory": """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
number = libc.shmget(0, {size}, 0o1600)
if number < 0:
    raise OSError(ctypes.get_errno(), "shmget")
ctypes.memset(libc.shmat(number, None, 0), 1, {size})
""",
}
"""Memory that belongs to no process: counted by a control group, else refused by the filter."""


def memory_box(sandbox_for: SandboxFor) -> Sandbox:
    return sandbox_for(memory_bytes=LIMIT, open_files=1024, **ROOMY_DISK)


SUMS = "gVisor's /proc tells no shares: memory that is shared counts for each who has it"
SHARING = frozenset({"in four processes", "multiprocessing.shared_memory"})


def kinds_under() -> list[ParameterSet]:
    differs = pytest.mark.differs("gvisor", reason=SUMS)
    return [
        pytest.param(program, id=name, marks=differs if name in SHARING else ())
        for name, program in KINDS.items()
    ]


@pytest.mark.slow
@pytest.mark.parametrize("program", kinds_under())
def test_memory_under_the_quota_is_ok(sandbox_for: SandboxFor, program: str) -> None:
    result = memory_box(sandbox_for).run(program.format(size=LIMIT // 3))

    assert result.status == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("program", KINDS.values(), ids=KINDS.keys())
def test_memory_over_the_quota_is_a_memory_limit(sandbox_for: SandboxFor, program: str) -> None:
    result = memory_box(sandbox_for).run(program.format(size=LIMIT * 2))

    assert result.status == "memory_limit"


@pytest.mark.slow
@pytest.mark.parametrize("program", UNCOUNTED.values(), ids=UNCOUNTED.keys())
def test_memory_of_no_process_is_counted_or_refused(
    sandbox_for: SandboxFor, mechanism: str, program: str
) -> None:
    result = memory_box(sandbox_for).run(program.format(size=LIMIT * 2))

    assert result.status == ("memory_limit" if mechanism in COUNTING else "error")


@pytest.mark.slow
@pytest.mark.parametrize("program", UNCOUNTED.values(), ids=UNCOUNTED.keys())
def test_memory_of_no_process_over_the_quota_is_never_taken(
    sandbox_for: SandboxFor, program: str
) -> None:
    result = memory_box(sandbox_for).run(program.format(size=LIMIT * 2))

    assert result.usage.peak_memory_bytes <= LIMIT


@pytest.mark.slow
def test_a_program_that_copes_with_its_dead_child_is_not_ok(sandbox_for: SandboxFor) -> None:
    program = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", "x = bytearray({LIMIT * 3})"])
"""
    assert memory_box(sandbox_for).run(program).status == "memory_limit"


@pytest.mark.slow
def test_a_command_over_the_quota_is_a_memory_limit(sandbox_for: SandboxFor) -> None:
    box = memory_box(sandbox_for)

    assert box.exec(["python3", "-c", f"x = bytearray({LIMIT * 3})"]).status == "memory_limit"


def test_a_request_that_no_machine_could_meet_is_a_memory_error(box: Sandbox) -> None:
    result = box.run("bytearray(1 << 46)")

    assert error_of(result).type == "MemoryError"


def test_a_program_that_copes_with_a_memory_error_is_ok(box: Sandbox) -> None:
    program = "try:\n    bytearray(1 << 46)\nexcept MemoryError:\n    coped = True\ncoped"

    assert box.run(program).value is True


@pytest.mark.slow
def test_the_memory_of_one_call_is_there_again_for_the_next(sandbox_for: SandboxFor) -> None:
    box = memory_box(sandbox_for)
    box.run(KINDS["files in /dev/shm"].format(size=LIMIT * 2))

    assert box.run(KINDS["files in /dev/shm"].format(size=LIMIT // 2)).ok


def test_the_peak_of_memory_is_told(box: Sandbox) -> None:
    result = box.run("import time\nx = bytearray(50 << 20)\ntime.sleep(0.1)")

    assert 50 * MIB < result.usage.peak_memory_bytes < 256 * MIB


@pytest.mark.slow
def test_a_large_input_is_no_memory_of_the_next_call(sandbox_for: SandboxFor) -> None:
    box = memory_box(sandbox_for)
    box.run("1", files={"large": bytes(LIMIT // 2)})

    assert box.run(f"block = bytearray({LIMIT // 2})").ok
