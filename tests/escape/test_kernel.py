"""K1 to K23: what a guest may ask of the kernel.

Where a real call would do harm it is made with nonsense: all registers -1. A call that reached the
kernel says EFAULT, EINVAL or EBADF; one that the filter stopped says EPERM or ENOSYS.
"""

import struct

import pytest

from sandbox import Sandbox
from sandbox.backends.seccomp import compile_filter
from tests.escape.syscalls import ASK, ATTEMPT, MACHINE, NUMBER, SUCCEEDED, said, unconfined

REFUSED = {
    "K1: namespaces": ("EPERM", "unshare setns"),
    "K2: flags behind a pointer": ("ENOSYS", "clone3"),
    "K3: io_uring": ("ENOSYS", "io_uring_setup io_uring_enter io_uring_register"),
    "K4: bpf": ("EPERM", "bpf"),
    "K5: perf": ("EPERM", "perf_event_open"),
    "K6: userfaultfd": ("EPERM", "userfaultfd"),
    "K7: keys": ("ENOSYS", "keyctl add_key request_key"),
    "K8: other processes": (
        "EPERM",
        "ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp",
    ),
    "K9: the kernel": (
        "EPERM",
        "init_module finit_module delete_module kexec_load kexec_file_load reboot syslog",
    ),
    "K9: the machine": (
        "EPERM",
        (
            "swapon swapoff acct quotactl quotactl_fd sethostname setdomainname vhangup "
            "settimeofday clock_settime clock_adjtime adjtimex"
        ),
    ),
    "K13, K20: modes": ("EPERM", "seccomp"),
    "F26: mounts": (
        "EPERM",
        (
            "mount umount2 pivot_root chroot move_mount open_tree open_tree_attr fsopen fsmount "
            "fsconfig fspick mount_setattr"
        ),
    ),
    "F29: handles": ("EPERM", "name_to_handle_at open_by_handle_at"),
    "F31: lent pages": ("EPERM", "vmsplice memfd_secret"),
    "R34: priorities": (
        "EPERM",
        "sched_setaffinity sched_setparam sched_setscheduler sched_setattr ioprio_set",
    ),
    "R36: the host's files": ("EPERM", "fanotify_init fanotify_mark sync syncfs"),
}
CASES = [
    pytest.param(name, error, id=f"{row.partition(':')[0]}-{name}")
    for row, (error, names) in REFUSED.items()
    for name in names.split()
    if name in NUMBER
]
NONSENSE = (-1,) * 6


def asking(name: str, *arguments: int) -> str:
    return f"{ASK}print(ask({NUMBER[name]}, *{arguments!r}))"


@pytest.mark.parametrize(("name", "error"), CASES)
def test_a_system_call_that_no_program_needs_is_refused(
    box: Sandbox, name: str, error: str
) -> None:
    """K1 to K9, K13, F26, F29, F31, R34, R36: refused before the kernel looks at its arguments."""
    assert said(box.run(asking(name, *NONSENSE))) == f"refused: {error}"


# Those that any process may make: without the filter they reach the kernel, so that none of the
# answers above is merely that of a kernel without the call or of a missing capability.
REACH_THE_KERNEL = [
    *("unshare", "setns", "bpf", "userfaultfd", "add_key", "ptrace", "process_vm_readv"),
    *("pidfd_getfd", "mount", "umount2", "chroot", "mount_setattr", "fsconfig"),
    *("name_to_handle_at", "vmsplice", "sched_setaffinity", "ioprio_set", "fanotify_mark"),
]


@pytest.mark.parametrize("name", REACH_THE_KERNEL)
def test_the_same_call_reaches_the_kernel_without_a_filter(name: str) -> None:
    """K1 to K9, F26, F29: the control, as a process without capabilities."""
    errors = {f"refused: {error}" for error in ("EFAULT", "EINVAL", "EBADF", "ESRCH", "E2BIG")}

    assert unconfined(asking(name, *NONSENSE), as_nobody=True) in errors


def test_an_ordinary_call_reaches_the_kernel(box: Sandbox) -> None:
    """K1 to K9: the permitted neighbour."""
    assert said(box.run(asking("read", *NONSENSE))) == "refused: EBADF"


HIGH = 1 << 32
NAMESPACES = {
    "mount": 0x20000,
    "cgroup": 0x2000000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}


@pytest.mark.parametrize("kind", NAMESPACES)
def test_a_child_cannot_be_cloned_into_a_new_namespace(box: Sandbox, kind: str) -> None:
    """K1: clone with a flag of a namespace beside the ordinary ones."""
    assert said(box.run(asking("clone", NAMESPACES[kind] | 17, 0, 0, 0, 0))) == "refused: EPERM"


def test_a_user_namespace_can_be_had_without_a_sandbox() -> None:
    """K1: the control."""
    program = f"{ATTEMPT}import ctypes\nlibc = ctypes.CDLL(None)\nprint(libc.unshare(0x10000000))"

    assert unconfined(program, as_nobody=True) == "0"


def test_a_child_can_be_forked(box: Sandbox) -> None:
    """K1, K2: the permitted neighbour; glibc falls back from clone3 to clone for threads too."""
    program = (
        "import os, threading\nthreading.Thread(target=lambda: print('thread')).start()\n"
        "pid = os.fork() or os._exit(7)\nprint(os.waitpid(pid, 0)[1] >> 8)"
    )

    assert set(said(box.run(program)).split()) == {"thread", "7"}


TRICKS = {
    "clone": ("clone", (HIGH | 17, 0, 0, 0, 0)),
    "AF_VSOCK": ("socket", (HIGH | 40, 1, 0)),
    "AF_ALG": ("socket", (HIGH | 38, 5, 0)),
    "raw": ("socket", (HIGH | 2, HIGH | 3, HIGH | 1)),
    "TIOCSTI": ("ioctl", (0, HIGH | 0x5412, 0)),
    "TIOCLINUX": ("ioctl", (0, HIGH | 0x541C, 0)),
    "personality": ("personality", (HIGH | 0x0040000,)),
    "listener": ("seccomp", (1, HIGH | 8, -1)),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_bit_in_the_high_half_of_an_argument_hides_nothing(box: Sandbox, trick: str) -> None:
    """K12: the kernel looks at 32 bits of these; a filter that compares 64 is walked around."""
    name, arguments = TRICKS[trick]

    assert said(box.run(asking(name, *arguments))) == "refused: EPERM"


MACHINE_CODE = """
import ctypes, mmap, os
code = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
code.write(bytes.fromhex("{code}"))
address = ctypes.addressof(ctypes.c_char.from_buffer(code))
print("before", flush=True)
print("answer", ctypes.CFUNCTYPE(ctypes.c_int)(address)() == os.getpid())
"""
# mov eax, 20 (getpid of i386); int 0x80; ret
GETPID_32 = "b814000000cd80c3"
# mov eax, 102 (socketcall); int 0x80; ret
SOCKETCALL_32 = "b866000000cd80c3"
only_x86 = pytest.mark.skipif(MACHINE != "x86_64", reason="aarch64 guests have one set of calls")


@only_x86
@pytest.mark.parametrize("code", [GETPID_32, SOCKETCALL_32], ids=["getpid", "socketcall"])
@pytest.mark.differs("gvisor", reason="its kernel knows no 32-bit calls: an error")
def test_a_32_bit_call_kills_the_guest(box: Sandbox, code: str) -> None:
    """K10: the list is for 64-bit calls; 32-bit ones have other numbers and other holes."""
    result = box.run(MACHINE_CODE.format(code=code))

    assert (result.stdout, result.status) == ("before\n", "denied")


@only_x86
def test_machine_code_of_its_own_runs(box: Sandbox) -> None:
    """K10: the permitted neighbour: the same page of code, with the 64-bit call of getpid."""
    code = "b827000000" + "0f05" + "c3"  # mov eax, 39; syscall; ret

    assert said(box.run(MACHINE_CODE.format(code=code))).split() == ["before", "answer", "True"]


@only_x86
def test_an_x32_call_kills_the_guest(box: Sandbox) -> None:
    """K11: the numbers of the x32 interface are those of this one with one more bit."""
    number = NUMBER["getpid"] | 0x40000000
    result = box.run(f"{ASK}print('before', flush=True)\nprint(ask({number}))")

    assert (result.stdout, result.status) == ("before\n", "denied")


PERSONALITIES = {"no address randomisation": 0x0040000, "readable means executable": 0x0400000}


@pytest.mark.parametrize("kind", PERSONALITIES)
def test_no_personality_that_weakens_can_be_had(box: Sandbox, kind: str) -> None:
    """K13: what exploits set first."""
    assert said(box.run(asking("personality", PERSONALITIES[kind]))) == "refused: EPERM"


@pytest.mark.differs("gvisor", reason="its kernel has no personalities")
def test_the_personality_can_be_asked(box: Sandbox) -> None:
    """K13: the permitted neighbour."""
    assert said(box.run(asking("personality", 0xFFFFFFFF))) == SUCCEEDED


@pytest.mark.parametrize("request_number", [0x5412, 0x541C, 0x5423])
def test_nothing_can_be_typed_into_a_terminal(box: Sandbox, request_number: int) -> None:
    """K14: TIOCSTI, TIOCLINUX and TIOCSETD, refused on whatever descriptor."""
    assert said(box.run(asking("ioctl", 0, request_number, -1))) == "refused: EPERM"


@pytest.mark.differs("docker", "gvisor", reason="every container has the node: test_containers.py")
def test_a_guest_has_no_terminal(box: Sandbox) -> None:
    """K14: nor is there one to be had: no /dev/tty, no session with one."""
    program = "import os\n[os.isatty(fd) for fd in (0, 1, 2)], os.path.exists('/dev/tty')"

    assert box.run(program).value == [[False, False, False], False]


def test_an_ordinary_ioctl_works(box: Sandbox) -> None:
    """K14: the permitted neighbour, FIONREAD on standard input."""
    program = "import array, fcntl\nn = array.array('i', [9])\nfcntl.ioctl(0, 0x541B, n)\nn[0]"

    assert box.run(program).value == 0


FAMILIES = {
    "K16-vsock": (40, 1, 0),
    "K17-packet": (17, 3, 0),
    "K17-raw": (2, 3, 1),
    "K18-netfilter": (16, 3, 12),
    "K18-alg": (38, 5, 0),
    "K18-xdp": (44, 3, 0),
    "K18-tipc": (30, 1, 0),
    "K18-bluetooth": (31, 3, 0),
    "K18-can": (29, 3, 1),
    "K18-key": (15, 3, 2),
    "K18-mptcp": (2, 1, 262),
    "K18-sctp": (2, 1, 132),
    "K18-ping": (2, 2, 1),
    "K18-uevent": (16, 3, 15),
    "K18-audit": (16, 3, 9),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_only_ordinary_sockets_can_be_made(box: Sandbox, family: str) -> None:
    """K16, K17, K18: no way past the network namespace, no kernel code that is rarely read."""
    assert said(box.run(asking("socket", *FAMILIES[family]))) == "refused: EPERM"


@pytest.mark.parametrize("family", [1, 2, 10], ids=["unix", "inet", "inet6"])
def test_an_ordinary_socket_can_be_made(box: Sandbox, family: int) -> None:
    """K16, K17, K18: the permitted neighbour."""
    assert said(box.run(asking("socket", family, 1, 0))) == SUCCEEDED


def test_every_answer_of_the_filter_is_silent() -> None:
    """K22, K23: nothing is asked of user space, and nothing that a guest repeats is logged.

    What kills is logged by the kernel, once per process that is killed.
    """
    instructions = struct.iter_unpack("=HBBI", compile_filter(("guest", "uncounted-memory")))
    answers = {value & 0xFFFF0000 for code, _, _, value in instructions if code == 0x06}

    assert answers == {0x7FFF0000, 0x00050000, 0x80000000}  # allow, errno, kill the process
