"""K15, K19 to K21: what a guest starts, loads or installs is as confined as the guest."""

import pytest

from sandbox import Sandbox
from tests.conftest import COUNTING
from tests.escape.syscalls import ASK, ATTEMPT, MACHINE, NUMBER, said

STATE = """
def state(text):
    rows = dict(line.split(":", 1) for line in text.splitlines())
    names = ("Seccomp", "NoNewPrivs", "CapEff", "CapBnd")
    return " ".join(rows[name].strip().lstrip("0") or "0" for name in names)
"""
CONFINED = "2 1 0 0"


def test_no_descriptor_of_a_namespace_can_be_entered(box: Sandbox) -> None:
    """K15: not one of its own either, so a leaked one would be of no use."""
    program = f"{ASK}print(ask({NUMBER['setns']}, os.open('/proc/self/ns/net', 0), 0))"

    assert said(box.run(program)) == "refused: EPERM"


COPIED = (
    STATE
    + """
import shutil, subprocess
shutil.copy("/usr/bin/cat", "/tmp/mine")
print(state(subprocess.check_output(["/tmp/mine", "/proc/self/status"], text=True)))
"""
)


@pytest.mark.differs("gvisor", reason="its /proc tells of no NoNewPrivs")
def test_a_program_of_its_own_making_is_as_confined(box: Sandbox) -> None:
    """K19: allowed, and no wider."""
    assert said(box.run(COPIED)) == CONFINED


FROM_MEMORY = (
    STATE
    + """
import os, subprocess
try:
    memory = os.memfd_create("x")
except OSError as fault:
    print("refused:", fault.errno == 38)
else:
    os.write(memory, open("/usr/bin/cat", "rb").read())
    path = f"/proc/self/fd/{memory}"
    status = subprocess.check_output([path, "/proc/self/status"], text=True, pass_fds=[memory])
    print(state(status))
"""
)


def test_a_program_from_memory_is_as_confined(box: Sandbox, mechanism: str) -> None:
    """K19: where nothing counts such memory there is none to be had."""
    expected = CONFINED if mechanism in COUNTING else "refused: True"

    assert said(box.run(FROM_MEMORY)) == expected


PERMISSIVE = (
    ASK
    + f"""
import struct
rule = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000))
program = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", 1, ctypes.addressof(rule)))
print(ask({NUMBER["seccomp"]}, 1, 0, ctypes.addressof(program)))
print(ask({NUMBER["bpf"]}, -1, -1, -1))
"""
)


def test_a_filter_of_its_own_cannot_widen_the_first(box: Sandbox) -> None:
    """K20: it may be installed; the strictest answer wins."""
    assert said(box.run(PERMISSIVE)).split("\n") == ["done", "refused: EPERM"]


LISTENER = (
    ASK
    + f"""
import struct
rule = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000))
program = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", 1, ctypes.addressof(rule)))
print(*(ask({NUMBER["seccomp"]}, 1, flag, ctypes.addressof(program)) for flag in (2, 4, 8)))
"""
)


def test_a_filter_can_neither_listen_nor_log_nor_unmitigate(box: Sandbox) -> None:
    """K22, K23: SECCOMP_FILTER_FLAG_LOG, SPEC_ALLOW and NEW_LISTENER."""
    assert said(box.run(LISTENER)) == " ".join(["refused: EPERM"] * 3)


HANDLER = (
    ASK
    + f"""
import signal
signal.signal(signal.SIGSYS, lambda *_: print("caught", flush=True))
print("before", flush=True)
ask({NUMBER["getpid"]} | 0x40000000)
print("after", flush=True)
"""
)


@pytest.mark.skipif(MACHINE != "x86_64", reason="aarch64 guests have one set of calls")
def test_a_handler_for_the_signal_hides_nothing(box: Sandbox) -> None:
    """K20: the process is killed; no handler runs."""
    result = box.run(HANDLER)

    assert (result.stdout, result.status) == ("before\n", "denied")


THREADS = (
    STATE
    + """
import os, threading
gate = threading.Barrier(9)
for _ in range(8):
    threading.Thread(target=gate.wait, daemon=True).start()
tasks = [open(f"/proc/self/task/{task}/status").read() for task in os.listdir("/proc/self/task")]
print(len(tasks), {state(text) for text in tasks})
gate.wait()
"""
)


@pytest.mark.differs("gvisor", reason="its /proc tells of no NoNewPrivs")
def test_every_thread_is_confined(box: Sandbox) -> None:
    """K21: no thread was there before the filter."""
    assert said(box.run(THREADS)) == f"9 {{{CONFINED!r}}}"


GRANDCHILD = (
    STATE
    + """
import os, subprocess
shell = "setsid sh -c 'cat /proc/self/status'"
print(state(subprocess.check_output(["sh", "-c", shell], text=True)))
"""
)


@pytest.mark.differs("gvisor", reason="its /proc tells of no NoNewPrivs")
def test_a_grandchild_of_another_session_is_confined(box: Sandbox) -> None:
    """K19: what is inherited is inherited all the way down."""
    assert said(box.run(GRANDCHILD)) == CONFINED


RAISE = (
    ATTEMPT
    + """
import resource
def raise_limit(limit):
    soft, hard = resource.getrlimit(limit)
    try:
        resource.setrlimit(limit, (hard + 1, hard + 1))
    except ValueError:
        raise PermissionError(1, "not allowed to raise maximum limit") from None
limits = (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU)
print({attempt(raise_limit, limit) for limit in limits})
"""
)


@pytest.mark.differs("gvisor", reason="five limits mean nothing to its kernel")
def test_no_limit_can_be_raised(box: Sandbox) -> None:
    """K20: what was lowered stays lowered."""
    assert said(box.run(RAISE)) == "{'refused: EPERM'}"
