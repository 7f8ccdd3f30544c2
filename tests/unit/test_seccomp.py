"""The system-call filter: its lists and its decisions, tried without a kernel."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sandbox.backends import seccomp_lists
from sandbox.backends.seccomp import compile_filter
from sandbox.backends.seccomp_lists import describe
from sandbox.errors import CannotEnforce, EngineFault
from sandbox.shipped import POLICIES
from tests.unit.bpf_machine import (
    ANSWERS,
    ARCHES,
    ARM,
    I386,
    X32_BIT,
    Call,
    Instruction,
    longest_path,
    parse,
    run,
)

LISTS = ("guest", "no-programs", "uncounted-memory", "uncounted-sockets", "gvisor")
SETS = [("guest",), ("guest", "no-programs"), ("guest", "uncounted-memory", "no-programs")]
HIGH_BIT = 1 << 32
NUMBERS: dict[str, dict[str, int]] = json.loads((POLICIES / "seccomp/numbers.json").read_text())

# What the default profile of moby (2026) allows a container without capabilities, of all calls
# that these machines have; socket, clone and personality under conditions.
DOCKER_LIST = """
accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown
clock_adjtime clock_getres clock_gettime clock_nanosleep clone close close_range connect
copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait
epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat
faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl
fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate
futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area
getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid
getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid
getsockname getsockopt gettid gettimeofday getuid getxattr getxattrat inotify_add_watch
inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
io_setup io_submit ioctl ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self lchown lgetxattr link linkat listen listmount listxattr listxattrat
llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack membarrier memfd_create
memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap modify_ldt mprotect
mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget
msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat
openat2 pause personality pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free
pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv
process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat
readv recvfrom recvmmsg recvmsg remap_file_pages removexattr removexattrat rename renameat
renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto set_robust_list
set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority
setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr setxattrat shmat
shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socket socketpair splice stat statfs
statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create
timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
timerfd_settime times tkill truncate umask uname unlink unlinkat uretprobe utime utimensat utimes
vfork vmsplice wait4 waitid write writev
"""
DOCKER_ALLOWS = frozenset(DOCKER_LIST.split())

EPERM = """
unshare setns ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp bpf
perf_event_open userfaultfd mount umount2 pivot_root chroot move_mount open_tree fsopen fsmount
fsconfig fspick mount_setattr open_tree_attr kexec_load kexec_file_load init_module finit_module
delete_module reboot swapon swapoff acct quotactl quotactl_fd syslog settimeofday clock_settime
clock_adjtime adjtimex open_by_handle_at name_to_handle_at fanotify_init fanotify_mark
lookup_dcookie vmsplice memfd_secret sethostname setdomainname vhangup iopl ioperm modify_ldt
sync syncfs mbind move_pages sched_setaffinity sched_setscheduler sched_setparam sched_setattr
ioprio_set
"""
ENOSYS = """
clone3 io_uring_setup io_uring_enter io_uring_register io_setup keyctl add_key request_key uselib
ustat sysfs _sysctl nfsservctl remap_file_pages listns cachestat
"""
REFUSED: list[tuple[str, tuple[int, ...], str]] = [
    *[(name, (), "EPERM") for name in EPERM.split()],
    *[(name, (), "ENOSYS") for name in ENOSYS.split()],
    *[("clone", (1 << bit,), "EPERM") for bit in (17, 25, 26, 27, 28, 29, 30, 32, 63)],
    ("clone", (0x10000011 | HIGH_BIT,), "EPERM"),
    ("personality", (0x40000,), "EPERM"),
    ("personality", (8,), "EPERM"),
    ("personality", (0x400000 | HIGH_BIT,), "EPERM"),
    *[("ioctl", (0, command), "EPERM") for command in (0x5412, 0x541C, 0x5423)],
    ("ioctl", (0, 0x5412 | HIGH_BIT), "EPERM"),
    ("ioctl", (0, 0x5412 | 1 << 63), "EPERM"),
    *[("socket", (family, 1), "EPERM") for family in (0, 3, 16, 17, 29, 30, 38, 40, 44)],
    ("socket", (40 | HIGH_BIT, 1), "EPERM"),
    *[("socket", (family, kind), "EPERM") for family in (2, 10) for kind in (3, 5, 10, 0x80003)],
    *[("socket", (2, 1, protocol), "EPERM") for protocol in (132, 256, 262, 17)],
    ("socket", (2, 2, 115), "EPERM"),
    ("socket", (16, 3, 12), "EPERM"),
    ("socketpair", (30, 1), "EPERM"),
    ("mknod", (0, 0x2000 | 0o600), "EPERM"),
    ("mknod", (0, 0x6000 | HIGH_BIT), "EPERM"),
    ("mknodat", (0, 0, 0x2000 | 0o600), "EPERM"),
    ("mknodat", (0, 0, 0x6000 | 0o600), "EPERM"),
    *[("seccomp", (1, flag), "EPERM") for flag in (2, 4, 8, 8 | 1, 8 | HIGH_BIT, 32)],
    ("setpriority", (0, 0, 0xFFFFFFFF), "EPERM"),
    ("setpriority", (1, 0, 5), "EPERM"),
    ("setpriority", (2, 0, 5), "EPERM"),
    ("setpriority", (0, 1, 5), "EPERM"),
    ("setpriority", (0, 1 | HIGH_BIT, 5), "EPERM"),
    ("prlimit64", (1, 7, 0x1000), "EPERM"),
    ("prlimit64", (0xFFFFFFFF, 7, HIGH_BIT), "EPERM"),
]
ALLOW = """
read openat mmap execve execveat memfd_create shmget kill wait4 futex rseq membarrier getcpu
getrandom arch_prctl prctl setuid setresgid landlock_restrict_self pidfd_open sched_getaffinity
clock_gettime epoll_pwait2 prlimit64 fchmodat2 close_range mseal
"""
PERMITTED: list[tuple[str, tuple[int, ...]]] = [
    *[(name, ()) for name in ALLOW.split()],
    ("clone", (0x11,)),
    ("clone", (0x3D0F00,)),
    ("clone", (0x80,)),
    ("personality", (0,)),
    ("personality", (0xFFFFFFFF,)),
    ("ioctl", (0, 0x5401)),
    ("ioctl", (0, 0x541B | HIGH_BIT)),
    *[("socket", (family, kind)) for family in (1, 2, 10) for kind in (1, 2, 0x80801)],
    ("socket", (2, 1, 6)),
    ("socket", (10, 2, 17)),
    ("socket", (16, 0x80003, 0)),
    ("socketpair", (1, 1)),
    *[("mknod", (0, kind | 0o600)) for kind in (0, 0x8000, 0x1000, 0xC000)],
    ("mknodat", (0, 0, 0x1000 | 0o600)),
    ("seccomp", (1, 0)),
    ("seccomp", (1, 0x11)),
    ("setpriority", (0, 0, 10)),
    ("setpriority", (0 | HIGH_BIT, 0, 19)),
    ("prlimit64", (0, 7, 0x1000)),
    ("prlimit64", (1, 7, 0)),
]


@cache
def compiled(documents: tuple[str, ...] = ("guest",), machine: str = "x86_64") -> list[Instruction]:
    return parse(compile_filter(documents, machine))


def decide(
    name: str, *arguments: int, documents: tuple[str, ...] = ("guest",), machine: str = "x86_64"
) -> str:
    """Say what the filter answers to a call by name."""
    call = Call(arch=ARCHES[machine], number=NUMBERS[machine][name], arguments=arguments)
    return ANSWERS[run(compiled(documents, machine), call)]


def entries(document: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads((POLICIES / f"seccomp/{document}.json").read_text())[
        "entries"
    ]
    return listed


@pytest.mark.parametrize(("name", "arguments", "answer"), REFUSED, ids=str)
def test_a_guest_may_not_make_the_call(name: str, arguments: tuple[int, ...], answer: str) -> None:
    assert decide(name, *arguments) == answer


@pytest.mark.parametrize(("name", "arguments"), PERMITTED, ids=str)
def test_a_guest_may_make_the_call(name: str, arguments: tuple[int, ...]) -> None:
    assert decide(name, *arguments) == "allow"


@pytest.mark.parametrize("machine", ARCHES)
@pytest.mark.parametrize("foreign", [0, I386, ARM, 0xC00000F3], ids=hex)
def test_a_call_of_another_architecture_kills(foreign: int, machine: str) -> None:
    call = Call(arch=foreign, number=NUMBERS[machine]["getpid"])
    assert ANSWERS[run(compiled(machine=machine), call)] == "kill"


@pytest.mark.parametrize("number", [0, 39, 101, 520, 0x3FFFFFFF, 0x80000000], ids=hex)
def test_an_x32_call_kills(number: int) -> None:
    call = Call(arch=ARCHES["x86_64"], number=X32_BIT | number)
    assert ANSWERS[run(compiled(), call)] == "kill"


@pytest.mark.parametrize("machine", ARCHES)
@pytest.mark.parametrize("number", [337, 512, 520, 521, 547, 600, X32_BIT - 1])
def test_a_number_that_nobody_knows_does_not_exist(number: int, machine: str) -> None:
    call = Call(arch=ARCHES[machine], number=number)
    assert ANSWERS[run(compiled(machine=machine), call)] == "ENOSYS"


@pytest.mark.parametrize("name", ["execve", "execveat"])
def test_a_guest_without_programs_may_not_start_one(name: str) -> None:
    assert decide(name, documents=("guest", "no-programs")) == "EPERM"


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("memfd_create", (), "ENOSYS"),
        ("shmget", (), "ENOSYS"),
        ("msgget", (), "ENOSYS"),
        ("semget", (), "ENOSYS"),
        ("mq_open", (), "ENOSYS"),
        ("mmap", (0, 4096, 3, 0x21), "EPERM"),
        ("mmap", (0, 4096, 3, 0x23), "EPERM"),
        ("mmap", (0, 4096, 3, 0x4021 | HIGH_BIT), "EPERM"),
        ("mmap", (0, 4096, 3, 0x22), "allow"),
        ("mmap", (0, 4096, 3, 0x01), "allow"),
        ("setsockopt", (0, 1, 7), "NOTHING"),
        ("setsockopt", (0, 1 | HIGH_BIT, 33), "NOTHING"),
        ("setsockopt", (0, 1, 9), "allow"),
        ("setsockopt", (0, 6, 8), "allow"),
        ("execve", (), "allow"),
    ],
    ids=str,
)
def test_memory_that_no_process_holds_is_refused_where_nothing_counts_it(
    name: str, arguments: tuple[int, ...], answer: str
) -> None:
    assert decide(name, *arguments, documents=("guest", "uncounted-memory")) == answer


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *[(name, (1,)) for name in ("kill", "tkill", "tgkill", "rt_sigqueueinfo")],
        *[("fcntl", (3, command)) for command in (8, 10, 15, 1024, 1026)],
        *[("ioctl", (3, request)) for request in (0x8901, 0x8902, 0x5412, 0x541C, 0x5423)],
    ],
    ids=str,
)
def test_gvisors_pid_1_cannot_be_signalled(name: str, arguments: tuple[int, ...]) -> None:
    assert decide(name, *arguments, documents=("guest", "uncounted-memory", "gvisor")) == "EPERM"


@pytest.mark.parametrize("name", ["kill", "fcntl", "ioctl"])
def test_what_it_needs_to_signal_its_own_stays_allowed(name: str) -> None:
    assert decide(name, 7, 3, documents=("guest", "uncounted-memory", "gvisor")) == "allow"


def test_nothing_is_allowed_that_docker_refuses() -> None:
    allowed = {decision.name for decision in describe() if decision.action == "allow"}
    assert allowed - DOCKER_ALLOWS == set()


@pytest.mark.parametrize("machine", ARCHES)
def test_what_docker_refuses_is_refused_by_the_program(machine: str) -> None:
    names = NUMBERS[machine].keys() - DOCKER_ALLOWS
    assert [name for name in names if decide(name, machine=machine) == "allow"] == []


@pytest.mark.parametrize("document", LISTS)
def test_every_entry_says_why(document: str) -> None:
    assert [entry["names"] for entry in entries(document) if len(entry["why"].split()) < 6] == []


@pytest.mark.parametrize("document", LISTS)
def test_every_call_in_a_list_is_known_to_a_machine(document: str) -> None:
    known = NUMBERS["x86_64"].keys() | NUMBERS["aarch64"].keys()
    assert {name for entry in entries(document) for name in entry["names"]} - known == set()


@pytest.mark.parametrize("document", [*LISTS, "numbers"])
def test_no_key_stands_twice_in_an_object(document: str) -> None:
    def keys(pairs: list[tuple[str, Any]]) -> list[str]:
        return [] if len(dict(pairs)) == len(pairs) else [key for key, _ in pairs]

    text = (POLICIES / f"seccomp/{document}.json").read_text()
    objects: list[list[str]] = []
    json.loads(text, object_pairs_hook=lambda pairs: objects.append(keys(pairs)))
    assert [twice for twice in objects if twice] == []


def test_the_description_ends_with_the_default() -> None:
    assert (describe()[-1].name, describe()[-1].action) == ("*", "ENOSYS")


def test_the_description_says_the_condition() -> None:
    said = {(decision.name, decision.when): decision.action for decision in describe()}
    assert said["ioctl", "argument 1 is TIOCSTI or TIOCLINUX or TIOCSETD"] == "EPERM"


# Broken lists, and lists unlike the shipped ones.

ALLOW_READ = {"names": ["read"], "action": "allow", "why": "bytes of its own"}
FIRST_IS_ONE: dict[str, Any] = {"argument": 0, "width": 32, "equals": {"one": 1}}
NEVER = {"action": "errno", "errno": "ENOSYS", "why": "nothing else exists"}


def shipped(folder: Path, monkeypatch: pytest.MonkeyPatch, document: dict[str, Any]) -> str:
    """Ship this document instead of ours; give its name, which no other test has."""
    home = folder / "seccomp"
    home.mkdir()
    shutil.copy(POLICIES / "seccomp/numbers.json", home)
    (home / f"{folder.name}.json").write_text(json.dumps(document))
    monkeypatch.setattr(seccomp_lists, "POLICIES", folder)
    return folder.name


def with_entries(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"for": "a test of ours", "default": NEVER, "entries": listed}


def with_condition(**changes: Any) -> dict[str, Any]:
    refusal = NEVER | {"names": ["read"], "when": [FIRST_IS_ONE | changes]}
    return with_entries(ALLOW_READ, refusal)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (with_entries(ALLOW_READ | {"names": ["raed"]}), "raed: no machine has such a call"),
        (with_entries(ALLOW_READ | {"acton": "allow"}), r"entries\.0\.acton"),
        (with_entries(ALLOW_READ | {"why": ""}), r"entries\.0\.why"),
        (with_entries(ALLOW_READ | {"action": "log"}), r"entries\.0\.action"),
        (with_entries(ALLOW_READ | {"errno": "EPERM"}), 'exactly the action "errno"'),
        (with_entries(ALLOW_READ, ALLOW_READ), "read: needs one entry without"),
        (with_entries(ALLOW_READ, ALLOW_READ | {"when": [FIRST_IS_ONE]}), "not to the general one"),
        (
            with_entries(
                ALLOW_READ,
                NEVER | {"names": ["read"], "when": [FIRST_IS_ONE]},
                NEVER | {"names": ["read"], "when": [FIRST_IS_ONE], "errno": "EPERM"},
            ),
            "must lead to the same end",
        ),
        (with_condition(equals={"wide": "0x100000000"}), "does not fit width 32"),
        (with_condition(equals={"negative": -1}), "no unsigned 64-bit number"),
        (with_condition(mask="0xf0"), "outside the mask"),
        (with_condition(width=64, equals={"one": 1, "two": 2}), "width 64 takes one value"),
        (with_condition(argument=6), "argument"),
        (with_condition(equals={str(n): n for n in range(300)}), "over 255 instructions"),
        ({"for": "a test of ours", "entries": []}, "holds the default"),
    ],
    ids=lambda value: value if isinstance(value, str) else "list",
)
def test_a_broken_list_is_refused_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: dict[str, Any], complaint: str
) -> None:
    name = shipped(tmp_path, monkeypatch, document)
    with pytest.raises(EngineFault, match=complaint):
        compile_filter((name,), "x86_64")


def test_a_list_that_is_not_shipped_is_refused() -> None:
    with pytest.raises(EngineFault, match=r"nobody\.json"):
        compile_filter(("guest", "nobody"))


def test_a_machine_without_numbers_is_refused() -> None:
    with pytest.raises(CannotEnforce, match="no system-call numbers for machine riscv64"):
        compile_filter(machine="riscv64")


def test_a_tree_too_wide_for_short_jumps_still_decides_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    even = [name for name, number in NUMBERS["x86_64"].items() if number % 2 == 0]
    name = shipped(tmp_path, monkeypatch, with_entries(ALLOW_READ | {"names": even}))
    program = compiled((name,))
    answers = {
        call: ANSWERS[run(program, Call(arch=ARCHES["x86_64"], number=number))]
        for call, number in NUMBERS["x86_64"].items()
    }
    assert {call for call, answer in answers.items() if answer == "allow"} == set(even)


@pytest.mark.parametrize("machine", ARCHES)
@pytest.mark.parametrize("documents", SETS, ids="+".join)
def test_no_way_through_the_filter_is_long(documents: tuple[str, ...], machine: str) -> None:
    assert longest_path(compiled(documents, machine)) <= 45


def test_a_filter_is_compiled_once() -> None:
    assert compile_filter(["guest"]) is compile_filter(("guest",))
