"""Descriptors, pipes and output: the host reads what comes, keeps little and waits for nobody.

Rows R23 to R29 of the catalogue of attacks.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.policy import MIB
from tests.conftest import SandboxFor
from tests.escape.host_state import attack

pytestmark = pytest.mark.slow

SMALL = {"memory_bytes": 96 * MIB, "wall_seconds": 20.0, "cpu_seconds": 20.0}
EMFILE = 24


def test_descriptors_end_at_open_files(sandbox_for: SandboxFor) -> None:
    """R23: EMFILE for the guest; attack() counts the host's."""
    program = """
import os
held = []
try:
    while True:
        held.append(os.dup(1))
except OSError as error:
    print(error.errno, flush=True)
held[-1]
"""
    result = attack(sandbox_for(**SMALL, open_files=64), program)

    assert (result.stdout, result.value) == (f"{EMFILE}\n", 63)


@pytest.mark.differs("gvisor", reason="its sockets hold no count of descriptors")
def test_descriptors_in_flight_are_bounded(sandbox_for: SandboxFor) -> None:
    """R24: queued in unix sockets, they are still one user's, unix(7)."""
    program = """
import errno, os, socket
sent, pairs = 0, []
try:
    while sent < 100_000:
        pairs.append(socket.socketpair())
        pairs[-1][0].setblocking(False)
        try:
            while True:
                socket.send_fds(pairs[-1][0], [b"x"], [1] * 50)
                sent += 50
        except BlockingIOError:
            pass
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
sent
"""
    result = attack(sandbox_for(**SMALL, open_files=64), program)

    stopped = result.stdout in {"ETOOMANYREFS\n", "EMFILE\n"}
    assert (stopped, result.value <= 64 * 64) == (True, True)


@pytest.mark.differs("gvisor", reason="ditto")
def test_descriptors_in_flight_stop_no_other_call(sandbox_for: SandboxFor) -> None:
    """R24: the kernel counts them per user of the host, and all guests are one such user."""
    program = """
import socket, sys
pairs = []
try:
    while True:
        pairs.append(socket.socketpair())
        pairs[-1][0].setblocking(False)
        try:
            while True:
                socket.send_fds(pairs[-1][0], [b"x"], [1] * 50)
        except BlockingIOError:
            pass
except OSError:
    print("piled up", flush=True)
sys.stdin.read()
while True:
    pass
"""
    piled_up = threading.Event()

    def notice(_name: str, _chunk: bytes) -> None:
        piled_up.set()

    hostile, other = sandbox_for(**SMALL | {"wall_seconds": 2.0}), sandbox_for(wall_seconds=4.0)
    with ThreadPoolExecutor(1) as caller:
        hostile_result = caller.submit(hostile.run, program, on_output=notice)
        assert piled_up.wait(10)
        answers = [other.run("6 * 7").value for _ in range(3)]

    assert (hostile_result.result().status, answers) == ("timeout", [42] * 3)


def test_a_flood_of_output_is_cut(sandbox_for: SandboxFor) -> None:
    """R25: attack() looks at the host's memory."""
    program = "import os\nwhile True:\n    os.write(1, b'x' * (1 << 20))"
    result = attack(sandbox_for(**SMALL), program)

    assert (result.status, len(result.stdout_bytes) <= MIB) == ("output_limit", True)


@pytest.mark.differs("gvisor", reason="memory of the guest is over first: it copies more")
def test_one_line_without_end_is_cut(sandbox_for: SandboxFor) -> None:
    """R26: nothing waits for a newline."""
    program = "import sys\nsys.stdout.write('x' * (40 << 20))\nsys.stdout.write('end')"
    result = attack(sandbox_for(**SMALL), program)

    assert (result.status, len(result.stdout_bytes) <= MIB) == ("output_limit", True)


def test_output_byte_by_byte_costs_the_host_little(sandbox_for: SandboxFor) -> None:
    """R27: two hundred thousand writes are read in far fewer pieces or far less time."""
    program = "import os\nfor _ in range(200_000):\n    os.write(1, b'x')"
    box = sandbox_for(**SMALL)
    before = time.process_time()
    result = attack(box, program)
    used_seconds = time.process_time() - before

    assert (result.status, result.stdout_dropped, used_seconds < 10) == ("ok", 0, True)


def test_a_guest_that_never_reads_its_input_blocks_nobody(sandbox_for: SandboxFor) -> None:
    """R28: 16 MiB that nobody takes."""
    result = attack(sandbox_for(**SMALL), "'not interested'", stdin=bytes(16 * MIB))

    assert result.value == "not interested"


def test_input_that_is_read_is_all_there(sandbox_for: SandboxFor) -> None:
    """R28, the may."""
    box = sandbox_for(**SMALL)

    assert (
        box.run("import sys\nlen(sys.stdin.buffer.read())", stdin=bytes(8 * MIB)).value == 8 * MIB
    )


def test_a_flood_of_answers_is_no_answer(sandbox_for: SandboxFor) -> None:
    """R29: attack() looks at the host's memory."""
    program = """
import os
for _ in range(64):
    rest = memoryview(b"\\xff" * (1 << 20))
    while rest:
        rest = rest[os.write(4, rest):]
print("flooded", flush=True)
os._exit(0)
"""
    result = attack(sandbox_for(**SMALL), program)

    assert (result.status, result.value, result.stdout) == ("error", None, "flooded\n")
