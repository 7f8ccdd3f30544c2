"""The engine's list of system calls: as strict as the filter, as far as an engine can say it."""

import errno
import json
from functools import cache
from itertools import product
from typing import Any

import pytest

from sandbox.backends.seccomp import compile_filter
from sandbox.backends.seccomp_profile import OF_OUR_PID_1, engine_profile
from sandbox.errors import EngineFault
from sandbox.shipped import POLICIES
from tests.unit.bpf_machine import ANSWERS, ARCHES, Call, Instruction, parse, run

DOCUMENTS = (("guest",), ("guest", "no-programs"), ("guest", "uncounted-memory"))
NUMBERS: dict[str, dict[str, int]] = json.loads((POLICIES / "seccomp/numbers.json").read_text())
INTERESTING = (0, 1, 2, 16, 0x10000, 0x7E020000, 0x5413, 0x1_0000_0000, (1 << 64) - 1)
"""Values of an argument beside those that the rules themselves name."""

NEEDED_BY_PID_1 = (
    *("execve", "read", "write", "close", "openat", "fstat", "newfstatat", "lseek", "mmap"),
    *("mprotect", "munmap", "brk", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn"),
    *("pread64", "access", "fcntl", "dup", "dup2", "dup3", "pipe2", "epoll_create1"),
    *("epoll_ctl", "epoll_wait", "clone", "fork", "wait4", "waitid", "exit_group", "getpid"),
    *("getppid", "setsid", "kill", "prctl", "seccomp", "prlimit64", "sched_setaffinity"),
    *("sched_getaffinity", "landlock_create_ruleset", "landlock_add_rule"),
    *("landlock_restrict_self", "getdents64", "readlink", "chdir", "getcwd", "unlink"),
    *("futex", "set_robust_list", "set_tid_address", "arch_prctl", "rseq", "getrandom"),
    *("clock_gettime", "statfs", "ioctl"),
)

Rule = dict[str, Any]


@cache
def rules(documents: tuple[str, ...], machine: str) -> list[Rule]:
    """Read the profile back."""
    found: list[Rule] = json.loads(engine_profile(documents, machine))["syscalls"]
    return found


def rules_of(documents: tuple[str, ...], machine: str, name: str) -> list[Rule]:
    return [rule for rule in rules(documents, machine) if name in rule["names"]]


def allows(found: list[Rule], arguments: tuple[int, ...]) -> bool:
    """Decide as libseccomp does: a rule holds if all its comparisons do."""
    return any(all(holds(each, arguments) for each in comparisons(rule)) for rule in found)


def comparisons(rule: Rule) -> list[dict[str, int]]:
    found: list[dict[str, int]] = rule.get("args", [])
    return found


def holds(comparison: dict[str, int], arguments: tuple[int, ...]) -> bool:
    return arguments[comparison["index"]] & comparison["value"] == comparison["valueTwo"]


def filter_allows(
    documents: tuple[str, ...], machine: str, name: str, arguments: tuple[int, ...]
) -> bool:
    call = Call(arch=ARCHES[machine], number=NUMBERS[machine][name], arguments=arguments)
    return ANSWERS[run(compiled(documents, machine), call)] == "allow"


@cache
def compiled(documents: tuple[str, ...], machine: str) -> list[Instruction]:
    return parse(compile_filter(documents, machine))


def tried_arguments(found: list[Rule]) -> list[tuple[int, ...]]:
    """Give arguments on both sides of every comparison of one call's rules."""
    named: dict[int, set[int]] = {}
    for rule in found:
        for each in comparisons(rule):
            named.setdefault(each["index"], set()).update((each["valueTwo"], *INTERESTING))
    spread = list(product(*(sorted(named.get(index, {0})) for index in range(6))))
    return spread or [(0,) * 6]


@pytest.mark.parametrize("documents", DOCUMENTS, ids="+".join)
@pytest.mark.parametrize("machine", ARCHES)
def test_what_the_filter_allows_the_profile_allows(
    documents: tuple[str, ...], machine: str
) -> None:
    refused = [
        (name, arguments)
        for name in NUMBERS[machine]
        for arguments in tried_arguments(rules_of(documents, machine, name))
        if filter_allows(documents, machine, name, arguments)
        and not allows(rules_of(documents, machine, name), arguments)
    ]

    assert refused == []


@pytest.mark.parametrize("documents", DOCUMENTS, ids="+".join)
@pytest.mark.parametrize("machine", ARCHES)
def test_where_the_profile_has_conditions_it_decides_as_the_filter_does(
    documents: tuple[str, ...], machine: str
) -> None:
    listed = {name: rules_of(documents, machine, name) for name in NUMBERS[machine]}
    wider = [
        (name, arguments)
        for name, found in listed.items()
        if any("args" in rule for rule in found)
        for arguments in tried_arguments(found)
        if allows(found, arguments) and not filter_allows(documents, machine, name, arguments)
    ]

    assert wider == []


@pytest.mark.parametrize("documents", DOCUMENTS, ids="+".join)
@pytest.mark.parametrize("machine", ARCHES)
def test_a_call_that_the_filter_always_refuses_is_open_only_to_lock_pid_1_down(
    documents: tuple[str, ...], machine: str
) -> None:
    without_reason = [
        name
        for name in NUMBERS[machine]
        if rules_of(documents, machine, name)
        and name not in OF_OUR_PID_1
        and not any(
            filter_allows(documents, machine, name, arguments)
            for arguments in tried_arguments(rules_of(documents, machine, name))
        )
    ]

    assert without_reason == []


@pytest.mark.parametrize("name", NEEDED_BY_PID_1)
def test_what_pid_1_needs_is_allowed(name: str) -> None:
    assert rules_of(("guest",), "x86_64", name) != []


@pytest.mark.parametrize(
    "name",
    [
        *("mount", "umount2", "pivot_root", "unshare", "setns", "ptrace", "bpf", "kexec_load"),
        *("init_module", "perf_event_open", "userfaultfd", "keyctl", "add_key", "io_uring_setup"),
        *("open_by_handle_at", "process_vm_readv", "reboot", "swapon", "clone3", "fsopen"),
    ],
)
@pytest.mark.parametrize("machine", ARCHES)
def test_what_opens_kernels_is_nowhere_in_the_profile(machine: str, name: str) -> None:
    assert rules_of(("guest",), machine, name) == []


@pytest.mark.parametrize("machine", ARCHES)
def test_what_is_not_listed_seems_not_to_exist(machine: str) -> None:
    profile = json.loads(engine_profile(("guest",), machine))

    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["defaultErrnoRet"] == errno.ENOSYS


@pytest.mark.parametrize(("machine", "name"), [("x86_64", "X86_64"), ("aarch64", "AARCH64")])
def test_only_the_machines_own_architecture_is_let_in(machine: str, name: str) -> None:
    assert json.loads(engine_profile(("guest",), machine))["architectures"] == [f"SCMP_ARCH_{name}"]


@pytest.mark.parametrize("documents", DOCUMENTS, ids="+".join)
def test_every_rule_of_the_profile_allows(documents: tuple[str, ...]) -> None:
    assert {rule["action"] for rule in rules(documents, "x86_64")} == {"SCMP_ACT_ALLOW"}


def test_a_list_that_is_not_there_is_our_fault() -> None:
    with pytest.raises(EngineFault, match="no-such-list"):
        engine_profile(("no-such-list",))
