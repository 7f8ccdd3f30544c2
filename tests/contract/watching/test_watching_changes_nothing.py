"""Watching changes nothing, and hides nothing."""

import errno
from typing import Final

import pytest

from sandbox import Policy, Sandbox, Source
from sandbox.policy import AnyProgram, ListedPrograms, NoPrograms
from sandbox.record import ProgramEvent, SystemCallEvent
from tests.contract.watching.conftest import Watch
from tests.contract.watching.seen import accesses, all_of

NAMESPACES: Final = {
    "NEWNS": 0x20000,
    "NEWUTS": 0x4000000,
    "NEWIPC": 0x8000000,
    "NEWUSER": 0x10000000,
    "NEWPID": 0x20000000,
    "NEWNET": 0x40000000,
}
"""Flags of clone(2)."""


def test_the_verdict_is_that_of_a_call_that_is_not_watched(watch: Watch) -> None:
    result, _ = watch("raise SystemExit(3)")

    assert (result.status, result.exit_code) == ("exit", 3)


def test_a_pipeline_with_many_processes_ends(watch: Watch) -> None:
    result, _ = watch(["sh", "-c", "seq 2000 | sort -n | uniq | tail -n 1"])

    assert result.stdout == "2000\n"


def test_a_child_that_ends_while_another_is_forked_makes_no_fork_fail(watch: Watch) -> None:
    """A shell's handler of SIGCHLD lets no call be begun again: its fork would fail."""
    code = "n=0; while [ $n -lt 60 ]; do echo $n | cat >/dev/null; n=$((n + 1)); done"

    result, _ = watch(["sh", "-c", code])

    assert (result.stderr, result.exit_code) == ("", 0)


@pytest.mark.parametrize("flag", ["NEWUSER", "NEWNS", "NEWPID", "NEWNET", "NEWIPC", "NEWUTS"])
def test_a_fork_into_a_namespace_of_its_own_is_refused_although_others_pass(
    watch: Watch, flag: str
) -> None:
    code = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nflags = "
    code += f"{NAMESPACES[flag]:#x} | 17\n"
    code += "child = libc.syscall(ctypes.c_long(56), ctypes.c_ulong(flags), 0, 0, 0, 0)\n"
    code += "if child == 0: os._exit(0)\n(child, ctypes.get_errno())"

    result, record = watch(code)

    assert result.value == [-1, errno.EPERM]
    assert [event.name for event in all_of(record, SystemCallEvent)] == ["clone"]


def test_signals_in_a_hurry_lose_no_call(watch: Watch) -> None:
    """A handler that runs again and again must not have its program's calls fail or come twice."""
    code = "import os, signal\nhits = 0\ndef hit(*_):\n    global hits\n    hits += 1\n"
    code += (
        "signal.signal(signal.SIGALRM, hit)\nsignal.setitimer(signal.ITIMER_REAL, .0005, .0005)\n"
    )
    code += "for n in range(3000): os.close(os.open(f'f{n}', os.O_CREAT | os.O_EXCL, 0o600))\n"
    code += "signal.setitimer(signal.ITIMER_REAL, 0)\n(len(os.listdir()), hits > 0)"

    result, _ = watch(code)

    assert result.value == [3000, True]


def test_threads_are_watched_too(watch: Watch) -> None:
    code = "import threading\nwork = lambda n: open(f'f{n}', 'w').close()\n"
    code += "ts = [threading.Thread(target=work, args=[n]) for n in range(16)]\n"
    code += "[t.start() for t in ts]; [t.join() for t in ts]\nNone"

    _, record = watch(code)

    assert all(accesses(record, f"/box/f{n}") == [("create", "allowed")] for n in range(16))


def test_a_filter_of_its_own_does_not_hide_a_call(watch: Watch) -> None:
    """A second filter can only refuse more, seccomp(2)."""
    allow_all = "struct.pack('<HBBI', 6, 0, 0, 0x7fff0000)"
    code = f"import ctypes, struct\np = ctypes.create_string_buffer({allow_all}, 8)\n"
    code += "f = struct.pack('=HxxxxxxQ', 1, ctypes.addressof(p))\n"
    code += "libc = ctypes.CDLL(None)\nlibc.prctl(38, 1, 0, 0, 0)\n"
    code += "libc.syscall(ctypes.c_long(317), 1, 0, f)\nopen('a', 'w').close()"

    _, record = watch(code)

    assert accesses(record, "/box/a") == [("create", "allowed")]


@pytest.mark.parametrize("kind", ["none", "listed"])
def test_a_program_that_the_policy_forbids_is_seen_as_refused(kind: str) -> None:
    grants = {"none": NoPrograms(), "listed": ListedPrograms(allow=("/usr/bin/env",))}
    policy = Policy().widen("a test", programs=grants[kind])
    code = "import subprocess\ntry: subprocess.run(['/usr/bin/id'])\nexcept OSError: pass\nNone"

    with Sandbox(policy) as box:
        result, record = box.watch(Source(source=code))

    assert result.ok
    assert [(event.path, event.outcome) for event in all_of(record, ProgramEvent)] == [
        ("/usr/bin/id", "refused")
    ]
    assert not isinstance(policy.programs, AnyProgram)
