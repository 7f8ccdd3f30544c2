"""Takes away from a new guest all that its policy does not give. Every step is final.

Runs in the guest's PID 1, in its new namespaces, before any code of the call. The order is: enter
the control groups, name the user, mount the private folders, then limits, capabilities, Landlock,
and the system-call filter last, because it refuses the calls that the steps before it make.
"""

import _socket  # without what socket puts around it: each object that is used costs a page
import fcntl
import os
import struct
from typing import NamedTuple

import identity
import kernel

GUEST_USER = 1000
SCRATCH = "/run/scratch"
TCP_BYTES = "4096 16384 65536"  # least, default and most of a buffer
SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # netdevice(7)

READ = 0b1100  # READ_FILE, READ_DIR, landlock(7)
EXECUTE = 0b1
LIST = 0b1000
WRITE_FILE = 0b10 | 1 << 14  # WRITE_FILE, TRUNCATE
ALL_SINCE_1 = (1 << 13) - 1
REFER, TRUNCATE, IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15  # ABI 2, 3, 5
FOR_FILES = EXECUTE | WRITE_FILE | 0b100 | IOCTL_DEVICE
SCOPES, ABI_OF_SCOPES = 0b11, 6  # abstract unix sockets, signals


class Landlock(NamedTuple):
    """What Landlock is told once, in the zygote, for all its guests."""

    abi: int
    """0 where the kernel has none."""
    handled: int
    rules: tuple[tuple[str, int], ...]
    """What may be done at and below each path of the view."""


class Walls(NamedTuple):
    """What a zygote's guests are held to; made once from the policy."""

    mounts: tuple[kernel.Step, ...]
    masks: tuple[kernel.Step, ...]
    rights: tuple[kernel.Step, ...]
    own_network: bool
    system_call_filter: bytes
    landlock: Landlock
    is_watched: bool = False
    """Whether the filter asks a watcher about what it refuses and about most of what it allows."""


def move_in(walls: Walls, control_groups: list[int], processors: list[int]) -> int:
    """Make the new namespaces this guest's own; give a descriptor of its work folder."""
    _enter(control_groups)
    identity.map_identity(GUEST_USER, 0, 0)
    if walls.own_network:
        _raise_loopback()
    kernel.take(walls.mounts)
    if walls.own_network:
        _bound_buffers()
    kernel.take(walls.masks)
    os.sched_setaffinity(0, processors)
    os.chdir("/box")
    return os.open("/box", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def lock_down(walls: Walls) -> int:
    """Take every right away. There is no way back.

    Gives the descriptor to watch by where the guest is watched, and -1 where not.
    """
    kernel.take(walls.rights)
    restrict_files(walls.landlock)
    if walls.is_watched:
        return kernel.install_watched_filter(walls.system_call_filter)
    kernel.install_filter(walls.system_call_filter)
    return -1


def plan_mounts(private_folders: list[str], scratch_options: str) -> tuple[kernel.Step, ...]:
    """Name the machine; mount one sized tmpfs behind the private folders, and a /proc.

    private_folders: where the guest may write: all of them in one sized file system.
    """
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    steps = [
        kernel.host_name_step(b"sandbox"),
        kernel.mount_step("tmpfs", SCRATCH, "tmpfs", flags, scratch_options),
    ]
    for target in private_folders:
        source = f"{SCRATCH}/{os.path.basename(target)}"
        steps += [kernel.folder_step(source), kernel.mount_step(source, target, "", kernel.MS_BIND)]
    steps.append(kernel.unmount_step(SCRATCH))
    steps.append(kernel.mount_step("proc", "/proc", "proc", flags | kernel.MS_NOEXEC))
    return tuple(steps)


def plan_masks(proc_masks: list[tuple[str, str]]) -> tuple[kernel.Step, ...]:
    """Cover what /proc tells of the host, with (source, target) pairs."""
    return tuple(
        kernel.mount_step(source, target, "", kernel.MS_BIND)
        for source, target in proc_masks
        if os.path.exists(target)
    )


def plan_rights(limits: list[tuple[int, int]]) -> tuple[kernel.Step, ...]:
    """Take away everything but files and system calls, which are last."""
    return (
        *(kernel.limit_step(limit, value) for limit, value in limits),
        kernel.prctl_step(kernel.PR_SET_DUMPABLE, 0),  # nobody in the guest may look into PID 1
        *kernel.capability_steps(),
        kernel.prctl_step(kernel.PR_SET_NO_NEW_PRIVS, 1),
    )


def _enter(control_groups: list[int]) -> None:
    """Move into the control groups that the host opened, and hide their names, cgroups(7)."""
    for descriptor in control_groups:
        os.write(descriptor, b"0")
        os.close(descriptor)
    kernel.unshare(kernel.CLONE_NEWCGROUP)


def _raise_loopback() -> None:
    """Turn on the loopback device of the empty network namespace: the guest's own, and no other."""
    any_socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
    any_socket.close()


def _bound_buffers() -> None:
    """Keep TCP from growing its buffers by itself: they are memory that no process has, tcp(7)."""
    for name in ("tcp_wmem", "tcp_rmem"):
        identity.write(f"/proc/sys/net/ipv4/{name}", TCP_BYTES)


def restrict_files(landlock: Landlock) -> None:
    """Put up the second wall around files, which holds if the first, the mounts, were wrong."""
    if not landlock.abi:
        return
    scoped, size_bytes = (SCOPES, 24) if landlock.abi >= ABI_OF_SCOPES else (0, 8)
    ruleset = kernel.landlock_ruleset(landlock.handled, scoped, size_bytes)
    for path, access in landlock.rules:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        kernel.landlock_allow(ruleset, descriptor, access)
        os.close(descriptor)
    kernel.landlock_restrict(ruleset)
    os.close(ruleset)


def keep_only(paths: list[str]) -> None:
    """Give up all files but what lies at and below these paths, and signals to processes outside.

    A second ruleset: what an earlier one denies stays denied.
    """
    handled = _handled(kernel.landlock_abi())
    rules = tuple((path, _fitting(path, handled)) for path in paths)
    restrict_files(Landlock(kernel.landlock_abi(), handled, rules))


def plan_landlock(abi: int, rights: list[tuple[str, str]], *, may_execute: bool) -> Landlock:
    """Work the rules out once, in the zygote, after its view is built.

    rights: (path in the view, "list" | "read" | "run" | "device" | "write") pairs; a path that is
    not there is left out.
    """
    handled = _handled(abi)
    everything = handled if may_execute else handled & ~EXECUTE
    meaning = {"list": LIST, "read": READ, "run": READ | EXECUTE}
    meaning |= {"device": READ | WRITE_FILE, "write": everything}
    rules: dict[str, int] = {}
    for path in (path for path, _ in rights if os.path.exists(path)):
        rules.setdefault(os.path.realpath(path), 0)
    for path, right in rights:
        if (real := os.path.realpath(path)) in rules:
            rules[real] |= _fitting(real, meaning[right] & handled)
    needed = [(path, access) for path, access in rules.items() if not _is_implied(path, rules)]
    return Landlock(abi=abi, handled=handled, rules=tuple(needed))


def _is_implied(path: str, rules: dict[str, int]) -> bool:
    """Say whether a rule above this path allows as much, as that of /usr does for /bin."""
    above = [rules.get(folder, 0) for folder in _above(path)]
    return any(access & rules[path] == rules[path] for access in above)


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) or "/" for count in range(1, len(parts)) if path != "/"]


def _handled(abi: int) -> int:
    """Give the file rights that this version of Landlock knows: all of them are denied at first."""
    later = ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEVICE))
    return ALL_SINCE_1 | sum(right for since, right in later if abi >= since)


def _fitting(path: str, access: int) -> int:
    """Keep of the rights those that a file can have, if it is one; landlock_add_rule(2), EINVAL."""
    return access if os.path.isdir(path) else access & FOR_FILES
