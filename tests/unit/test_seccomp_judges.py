"""The system-call filter before two judges: libseccomp, and the kernel itself."""

import json
import signal
import subprocess
import sys
import tempfile
from functools import cache
from itertools import product
from os import uname
from pathlib import Path
from typing import Any

import pyseccomp  # pyright: ignore[reportMissingTypeStubs] # no stubs, but types of its own
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.backends.seccomp import compile_filter
from sandbox.shipped import POLICIES
from tests.unit.bpf_machine import (
    ANSWERS,
    ARCHES,
    ARM,
    I386,
    X32_BIT,
    Call,
    Instruction,
    parse,
    run,
)

LISTS = ("guest", "no-programs", "uncounted-memory", "uncounted-sockets", "gvisor")
SETS = [("guest",), ("guest", "no-programs"), ("guest", "uncounted-memory", "no-programs")]
NUMBERS: dict[str, dict[str, int]] = json.loads((POLICIES / "seccomp/numbers.json").read_text())


@cache
def compiled(documents: tuple[str, ...], machine: str) -> list[Instruction]:
    return parse(compile_filter(documents, machine))


def entries(document: str) -> list[dict[str, Any]]:
    text = (POLICIES / f"seccomp/{document}.json").read_text()
    listed: list[dict[str, Any]] = json.loads(text)["entries"]
    return listed


# libseccomp's opinion. One of its filters cannot say EPERM where a condition fails and ENOSYS to
# unknown calls, so each call with conditions has a filter of its own beside that of the rest.

CODES = {answer: code for code, answer in ANSWERS.items()}
NATIVE = uname().machine

ORACLE_ARCH = {"x86_64": pyseccomp.Arch.X86_64, "aarch64": pyseccomp.Arch.AARCH64}


def merged(documents: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    """Read the lists anew: only the JSON is shared with the code under test."""
    whole: dict[str, list[dict[str, Any]]] = {}
    for document in documents:
        own: dict[str, list[dict[str, Any]]] = {}
        for entry in entries(document):
            for name in entry["names"]:
                own.setdefault(name, []).append(entry)
        whole |= own
    return whole


def knows(name: str, machine: str) -> bool:
    """Tell whether this libseccomp is new enough for the call."""
    number: int = pyseccomp.resolve_syscall(ORACLE_ARCH[machine], name)
    return number != -1


def arguments_of(entry: dict[str, Any]) -> list[list[pyseccomp.Arg]]:
    """Give one list of comparisons for each combination of the conditions' values."""
    choices = [
        [
            pyseccomp.Arg(
                when["argument"],
                pyseccomp.MASKED_EQ,
                int(str(when.get("mask", "0xffffffff")), 0),
                int(str(value), 0),
            )
            for value in when["equals"].values()
        ]
        for when in entry["when"]
    ]
    return [list(choice) for choice in product(*choices)]


def code_of(entry: dict[str, Any]) -> int:
    return CODES[entry.get("errno", "allow")]


def opened(default: int, machine: str) -> pyseccomp.SyscallFilter:
    oracle = pyseccomp.SyscallFilter(default)
    oracle.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    if machine != NATIVE:
        oracle.remove_arch(ORACLE_ARCH[NATIVE])
        oracle.add_arch(ORACLE_ARCH[machine])
    return oracle


def exported(oracle: pyseccomp.SyscallFilter) -> list[Instruction]:
    with tempfile.TemporaryFile() as file:
        oracle.export_bpf(file)
        file.seek(0)
        return parse(file.read())


@cache
def oracles(documents: tuple[str, ...], machine: str) -> dict[int, list[Instruction]]:
    """Give libseccomp's programs: by the number of each call with conditions, -1 for the rest."""
    rest = opened(CODES["ENOSYS"], machine)
    programs: dict[int, list[Instruction]] = {}
    for name, listed in merged(documents).items():
        if name not in NUMBERS[machine] or not knows(name, machine):
            continue
        (general,) = (code_of(entry) for entry in listed if "when" not in entry)
        conditional = [entry for entry in listed if "when" in entry]
        oracle = opened(general, machine) if conditional else rest
        if not conditional and general != CODES["ENOSYS"]:
            oracle.add_rule(general, NUMBERS[NATIVE][name])
        for entry in conditional:
            for arguments in arguments_of(entry):
                oracle.add_rule(code_of(entry), NUMBERS[NATIVE][name], *arguments)
        if conditional:
            programs[NUMBERS[machine][name]] = exported(oracle)
    return programs | {-1: exported(rest)}


def opinion(documents: tuple[str, ...], machine: str, call: Call) -> str:
    programs = oracles(documents, machine)
    return ANSWERS[run(programs.get(call.number, programs[-1]), call)]


def comparable(machine: str, number: int) -> bool:
    """Leave out calls newer than libseccomp, and what it makes of x32 on purpose.

    It answers the number -1, which a tracer sets to skip a call, by the default; ours kills it
    on x86_64 as any other number with the bit of x32.
    """
    newer = {n for name, n in NUMBERS[machine].items() if not knows(name, machine)}
    return number not in newer and number != 0xFFFFFFFF


@pytest.mark.parametrize("machine", ARCHES)
@pytest.mark.parametrize("documents", SETS, ids="+".join)
def test_libseccomp_decides_the_same_for_every_number(
    documents: tuple[str, ...], machine: str
) -> None:
    calls = [
        Call(arch=ARCHES[machine], number=number)
        for number in range(600)
        if comparable(machine, number)
    ]
    ours = [ANSWERS[run(compiled(documents, machine), call)] for call in calls]
    assert ours == [opinion(documents, machine, call) for call in calls]


INTERESTING = sorted(
    {
        int(str(value), 0)
        for document in LISTS
        for entry in entries(document)
        for when in entry.get("when", [])
        for value in [when.get("mask", 0), *when["equals"].values()]
    }
)


def flipped(word: int, bit: int) -> int:
    return word ^ 1 << bit


def call_of(arch: int, number: int, arguments: tuple[int, ...]) -> Call:
    return Call(arch=arch, number=number, arguments=arguments)


WORDS = st.sampled_from(INTERESTING) | st.integers(0, 0x30)
ARGUMENTS = st.one_of(
    WORDS, st.builds(flipped, WORDS, st.integers(0, 63)), st.integers(0, (1 << 64) - 1)
)
CONDITIONAL = sorted(
    {name for document in LISTS for e in entries(document) if "when" in e for name in e["names"]}
)


def calls(machine: str) -> st.SearchStrategy[Call]:
    conditional = [NUMBERS[machine][name] for name in CONDITIONAL if name in NUMBERS[machine]]
    numbers = st.one_of(
        st.sampled_from(conditional),
        st.integers(0, 600),
        st.integers(X32_BIT, X32_BIT + 600),
        st.integers(0, 0xFFFFFFFF),
    ).filter(lambda number: comparable(machine, number))
    arches = st.sampled_from([ARCHES[machine]] * 9 + [I386, ARM]) | st.integers(0, 0xFFFFFFFF)
    return st.builds(call_of, arches, numbers, st.tuples(*[ARGUMENTS] * 6))


@pytest.mark.slow
@pytest.mark.parametrize("machine", ARCHES)
@pytest.mark.parametrize("documents", SETS, ids="+".join)
@given(data=st.data())
def test_libseccomp_decides_the_same_for_every_argument(
    documents: tuple[str, ...], machine: str, data: st.DataObject
) -> None:
    call = data.draw(calls(machine))
    ours = ANSWERS[run(compiled(documents, machine), call)]
    assert ours == opinion(documents, machine, call)


# The kernel. Each program runs in a process of its own; argv[1] is the filter, empty for none.

INSTALL = """
import ctypes, errno, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
filter = bytes.fromhex(sys.argv[1])
def call(number, *arguments):
    answer = libc.syscall(*(ctypes.c_long(value) for value in (number, *arguments)))
    return answer if answer >= 0 else errno.errorcode[ctypes.get_errno()]
def install():
    if filter:
        assert libc.prctl(38, 1, 0, 0, 0) == 0
        assert libc.prctl(22, 2, ctypes.byref(Program(len(filter) // 8, filter))) == 0
    print("alive", os.getpid() == os.getppid(), flush=True)
"""
X32_GETPID = f"call({X32_BIT} | 39)"
# mov eax, 20 (getpid of i386); int 0x80; ret
I386_GETPID = """
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("b814000000cd80c3"))
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
only_x86_64 = pytest.mark.skipif(NATIVE != "x86_64", reason="only x86_64 has these entries")


def confined(
    program: str, *, documents: tuple[str, ...] = ("guest",), filtered: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run the program; its first line of output says that the filter is on."""
    written = compile_filter(documents).hex() if filtered else ""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"{INSTALL}\ninstall()\n{program}", written],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("filtered", "answer"), [(False, "0"), (True, "EPERM")], ids=["control", "filtered"]
)
def test_the_kernel_refuses_unshare(answer: str, *, filtered: bool) -> None:
    # Without a flag unshare(2) changes nothing and is allowed to everybody.
    number = NUMBERS[NATIVE]["unshare"]
    ended = confined(f"print(call({number}, 0))", filtered=filtered)
    assert ended.stdout.split() == ["alive", "False", answer]


@only_x86_64
@pytest.mark.parametrize("program", [X32_GETPID, I386_GETPID], ids=["x32", "i386"])
def test_the_kernel_kills_calls_of_another_architecture(program: str) -> None:
    ended = confined(program)
    assert (ended.stdout, ended.returncode) == ("alive False\n", -signal.SIGSYS)


@only_x86_64
@pytest.mark.parametrize("program", [X32_GETPID, I386_GETPID], ids=["x32", "i386"])
def test_without_the_filter_such_a_call_is_not_killed_so(program: str) -> None:
    assert confined(program, filtered=False).returncode != -signal.SIGSYS


@pytest.mark.parametrize(
    ("command", "answer"), [(0x5412, "EPERM"), (0x5412 | 1 << 32, "EPERM"), (0x5401, "EBADF")]
)
def test_the_kernel_refuses_tiocsti_by_its_low_half(command: int, answer: str) -> None:
    number = NUMBERS[NATIVE]["ioctl"]
    ended = confined(f"print(call({number}, 99, {command}))")
    assert ended.stdout.split()[2:] == [answer]


ORDINARY = """
import asyncio, os, socket, sqlite3, subprocess, tempfile, threading
thread = threading.Thread(target=print, args=["thread"]); thread.start(); thread.join()
print(subprocess.run(["/bin/sh", "-c", "echo a | cat"], capture_output=True, text=True).stdout)
with tempfile.NamedTemporaryFile() as file:
    database = sqlite3.connect(file.name)
    database.execute("create table t (x)"); database.commit(); database.close()
async def main():
    process = await asyncio.create_subprocess_exec("true")
    print("async", await process.wait())
asyncio.run(main())
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
print(len(socket.if_nameindex()) > 0, os.nice(3) >= 3)
os.mkfifo(tempfile.mktemp(dir=os.environ["TMPDIR"]))
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(abs, [-1, -2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("documents", [("guest",), ("guest", "uncounted-memory")], ids="+".join)
def test_an_ordinary_program_works_under_the_filter(
    documents: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    ended = confined(ORDINARY, documents=documents)
    said = ["alive", "False", "thread", "a", "async", "0", "True", "True", "[1,", "2]"]
    assert (ended.stdout.split(), ended.stderr) == (said, "")


@pytest.mark.slow
def test_without_programs_the_kernel_refuses_to_start_one() -> None:
    ended = confined('os.execv("/bin/true", ["true"])', documents=("guest", "no-programs"))
    assert "PermissionError" in ended.stderr
