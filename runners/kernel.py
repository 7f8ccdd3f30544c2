"""Calls to the kernel that Python has no function for, each with its page.

Everything goes through ctypes without giving up the interpreter's lock: these programs have one
thread, and a raw clone must not find the lock in another's hands.
"""

import ctypes
import errno
import functools
import os
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

CLONE_PIDFD = 0x1000  # clone(2)
CLONE_PARENT = 0x8000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
SIGCHLD = 17  # signal(7), the same number on x86_64 and aarch64

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32  # mount(2)
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 1 << 18
MNT_DETACH = 2  # umount(2)
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4  # mount_setattr(2)

PR_SET_PDEATHSIG = 1  # prctl(2)
PR_SET_DUMPABLE = 4
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
LAST_CAPABILITY = 63  # a number that no kernel has yet gives EINVAL, which ends the list

_NUMBERS = {
    "x86_64": {"clone": 56, "pivot_root": 155, "capset": 126, "seccomp": 317},
    "aarch64": {"clone": 220, "pivot_root": 41, "capset": 91, "seccomp": 277},
}
_SAME_EVERYWHERE = {
    "close_range": 436,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}
# Not platform.machine(): it keeps the host's name for whoever asks later.
NUMBER = _NUMBERS[os.uname().machine] | _SAME_EVERYWHERE

_libc = ctypes.PyDLL(None, use_errno=True)
_python = ctypes.pythonapi


def _checked(result: int, what: str) -> int:
    """Turn a failed call into an OSError that names it."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call by name, syscall(2)."""
    return _checked(_libc.syscall(ctypes.c_long(NUMBER[name]), *map(_register, arguments)), name)


def _register(value: int | bytes | ctypes.Array[ctypes.c_char] | None) -> object:
    """Give a whole register to a number: ctypes would pass 32 bits of it."""
    return _long(value) if isinstance(value, int) else value


@functools.cache
def _long(value: int) -> ctypes.c_long:
    return ctypes.c_long(value)


class Step(NamedTuple):
    """A call to the kernel with all that it takes, made ready ahead of time.

    Whoever makes one ready writes to some hundred objects. Each first write to a page that is
    shared with the zygote costs a fault: what the zygote did, no guest does again.
    """

    function: Any
    arguments: tuple[object, ...]
    what: str
    """Names it in an error."""


def take(steps: Iterable[Step]) -> None:
    """Take one step after the other. Raises OSError at the first that fails."""
    for function, arguments, what in steps:
        if function(*arguments) < 0:
            _checked(-1, what)


def clone(flags: int) -> tuple[int, int]:
    """Clone this process into new namespaces, clone(2); give (0, -1) there, (pid, pidfd) here.

    The interpreter is told before and after, as os.fork() does, so that its locks and its random
    state are right in the child.
    """
    pidfd = ctypes.c_int(-1)
    _python.PyOS_BeforeFork()
    pid: int = _libc.syscall(
        ctypes.c_long(NUMBER["clone"]),
        ctypes.c_long(flags | CLONE_PIDFD | SIGCHLD),
        None,
        ctypes.byref(pidfd),
        None,
        None,
    )
    number = ctypes.get_errno()
    if pid == 0:
        _python.PyOS_AfterFork_Child()
        return 0, -1
    _python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, f"clone: {os.strerror(number)}")
    return pid, pidfd.value


def fork_beside() -> int:
    """Fork; the child's parent is this process's own, which reaps it, clone(2) CLONE_PARENT."""
    _python.PyOS_BeforeFork()
    arguments = (ctypes.c_long(CLONE_PARENT | SIGCHLD), None, None, None, None)
    pid: int = _libc.syscall(ctypes.c_long(NUMBER["clone"]), *arguments)
    number = ctypes.get_errno()
    if pid == 0:
        _python.PyOS_AfterFork_Child()
        return 0
    _python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, f"clone: {os.strerror(number)}")
    return pid


def unshare(flags: int) -> None:
    """Leave namespaces for new ones, unshare(2)."""
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount, bind or remount, mount(2)."""
    take([mount_step(source, target, kind, flags, options)])


def mount_step(source: str, target: str, kind: str, flags: int, options: str = "") -> Step:
    """Prepare to mount, bind or remount, mount(2)."""
    texts = [text.encode() if text else None for text in (source, target, kind)]
    arguments = (*texts, _long(flags), options.encode() or None)
    return Step(_libc.mount, arguments, f"mount {kind or source} on {target}")


def folder_step(path: str) -> Step:
    """Prepare to make a folder that only its owner enters, mkdir(2)."""
    return Step(_libc.mkdir, (path.encode(), 0o700), f"mkdir {path}")


def make_read_only(target: str) -> None:
    """Make a mount and all below it read-only, and no setuid or device work, mount_setattr(2)."""
    _set_attributes(target, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)


def forbid_privilege(target: str) -> None:
    """Let no setuid program or device work on a mount and all below it, mount_setattr(2)."""
    _set_attributes(target, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)


def _set_attributes(target: str, attributes: int) -> None:
    request = struct.pack("=QQQQ", attributes, 0, 0, 0)  # set, clear, propagation, userns_fd
    syscall("mount_setattr", AT_FDCWD, target.encode(), AT_RECURSIVE, request, len(request))


def unmount(target: str) -> None:
    """Take a mount away at once, its users keeping what they hold open, umount2(2)."""
    take([unmount_step(target)])


def unmount_step(target: str) -> Step:
    """Prepare to take a mount away likewise."""
    return Step(_libc.umount2, (target.encode(), MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make another mount the root of this mount namespace, pivot_root(2)."""
    syscall("pivot_root", new.encode(), old.encode())


def prctl(option: int, value: int = 0) -> None:
    """Set something of this process, prctl(2)."""
    take([prctl_step(option, value)])


def prctl_step(option: int, value: int = 0) -> Step:
    """Prepare to set something of this process, prctl(2)."""
    zero = _long(0)
    return Step(_libc.prctl, (option, _long(value), zero, zero, zero), f"prctl({option})")


def limit_step(limit: int, value: int) -> Step:
    """Prepare to set a limit for good, soft as hard, setrlimit(2)."""
    return Step(_libc.setrlimit, (limit, struct.pack("=QQ", value, value)), f"setrlimit({limit})")


def set_host_name(name: bytes) -> None:
    """Name this machine, within the uts namespace, sethostname(2)."""
    take([host_name_step(name)])


def host_name_step(name: bytes) -> Step:
    """Prepare to name it."""
    return Step(_libc.sethostname, (name, _long(len(name))), "sethostname")


def trim_memory() -> None:
    """Give back what was freed, where the C library can, malloc_trim(3): no guest copies it."""
    if trim := getattr(_libc, "malloc_trim", None):
        trim(0)


def close_from(descriptor: int) -> None:
    """Close every descriptor from this one up, close_range(2)."""
    syscall("close_range", descriptor, 0xFFFFFFFF, 0)


def capability_steps() -> list[Step]:
    """Prepare to give up every capability in all five sets, for ever, capabilities(7)."""
    steps: list[Step] = []
    for capability in range(LAST_CAPABILITY + 1):
        if _libc.prctl(PR_CAPBSET_READ, _long(capability), 0, 0, 0) < 0:
            break
        steps.append(prctl_step(PR_CAPBSET_DROP, capability))
    steps.append(prctl_step(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL))
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    capset = (_long(NUMBER["capset"]), header, bytes(24))
    return [*steps, Step(_libc.syscall, capset, "capset")]


def install_filter(program: bytes) -> None:
    """Install a seccomp filter for good, seccomp(2); the process must have no new privileges."""
    instructions = ctypes.create_string_buffer(program, len(program))
    request = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(instructions))
    syscall("seccomp", 1, 0, request)  # SECCOMP_SET_MODE_FILTER


def install_watched_filter(program: bytes) -> int:
    """Install a filter that asks a watcher; give the descriptor to watch by, seccomp_unotify(2).

    A signal that does not kill waits until the watcher has answered, where the kernel can have it
    so (5.19): without that, a program with many signals would make its calls again and again.
    """
    instructions = ctypes.create_string_buffer(program, len(program))
    request = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(instructions))
    listener, wait_killable = (
        1 << 3,
        1 << 5,
    )  # SECCOMP_FILTER_FLAG_NEW_LISTENER, _WAIT_KILLABLE_RECV
    try:
        return syscall("seccomp", 1, listener | wait_killable, request)
    except OSError as fault:
        if fault.errno != errno.EINVAL:
            raise
        return syscall("seccomp", 1, listener, request)


def landlock_abi() -> int:
    """Give the version of Landlock, 0 where there is none, landlock_create_ruleset(2)."""
    try:
        return syscall("landlock_create_ruleset", None, 0, 1)  # LANDLOCK_CREATE_RULESET_VERSION
    except OSError:
        return 0


def landlock_ruleset(handled: int, scoped: int, size_bytes: int) -> int:
    """Make a Landlock ruleset and give its descriptor, landlock_create_ruleset(2)."""
    attributes = struct.pack("=QQQ", handled, 0, scoped)[:size_bytes]
    return syscall("landlock_create_ruleset", attributes, len(attributes), 0)


def landlock_allow(ruleset: int, folder: int, access: int) -> None:
    """Allow an access at and below a descriptor, landlock_add_rule(2)."""
    rule = struct.pack("=Qi", access, folder)
    syscall("landlock_add_rule", ruleset, 1, rule, 0)


def landlock_restrict(ruleset: int) -> None:
    """Hold this process and its descendants to a ruleset, landlock_restrict_self(2)."""
    syscall("landlock_restrict_self", ruleset, 0)
