"""What this host's kernel offers, found by trying it, and how to get what is missing."""

import ctypes
import errno
import os
import platform
import resource
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import psutil

from sandbox.backends.cgroups import find_hierarchies

__all__ = ["Finding", "cannot_watch", "landlock_abi", "probe"]

_LANDLOCK_CREATE_RULESET: Final = 444
_VERSION: Final = 1  # LANDLOCK_CREATE_RULESET_VERSION
_SYSTEM_CALLS: Final = {"close_range": 436, "openat2": 437, "mount_setattr": 442}
_FACCESSAT2: Final = 439
_MACHINES: Final = ("x86_64", "aarch64")
_OLDEST_KERNEL: Final = (5, 12)
_OLDEST_PYTHON: Final = (3, 11)
_LEAST_OPEN_FILES: Final = 1024
_PROBE_SECONDS: Final = 20
_NAMESPACES: Final = {
    "user": 0x10000000,
    "mount": 0x00020000,
    "pid": 0x20000000,
    "network": 0x40000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "cgroup": 0x02000000,
}
_GET_NAMESPACES: Final = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
def attempt(flag):
    if os.geteuid() == 0:  # the zygote gives up root first
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: or its maps would be root's
    user, group = os.geteuid(), os.getegid()
    check(libc.unshare(0x10000000 | flag))
    maps = ("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")
    for name, text in maps:
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    if flag == 0x00020000:  # some hosts give the namespace and no right in it
        check(libc.mount(None, b"/", None, ctypes.c_ulong(0x44000), None))  # MS_REC | MS_PRIVATE
for word in sys.argv[1:]:
    pid = os.fork()
    if pid == 0:
        try:
            attempt(int(word))
        except OSError as fault:
            os._exit(fault.errno)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
"""Tries each namespace in a process of its own; prints 0 or the errno, a line each."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One mechanism: whether it is here, what was seen, and how to get it if it is not."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    """What to do where it is missing, or what is done without it; empty where it is not."""


@cache
def landlock_abi() -> int:
    """Give the version of Landlock, 0 where there is none, landlock_create_ruleset(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(ctypes.c_long(_LANDLOCK_CREATE_RULESET), None, 0, _VERSION)))


def probe() -> tuple[Finding, ...]:
    """Try every mechanism that guests are held by. Takes a tenth of a second; changes nothing."""
    return (
        _kernel(),
        _python(),
        *_namespaces(),
        _seccomp(),
        _watching(),
        _landlock(),
        _control_groups(),
        _pidfd(),
        *(_system_call(name, number) for name, number in _SYSTEM_CALLS.items()),
        _open_files(),
        _processes(),
        _overcommit(),
        _memory(),
    )


def _finding(name: str, *, ok: bool, detail: str, fix: str) -> Finding:
    return Finding(name=name, ok=ok, detail=detail, fix="" if ok else fix)


def _kernel() -> Finding:
    release, machine = platform.release(), platform.machine()
    version = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    return _finding(
        "kernel",
        ok=version >= _OLDEST_KERNEL and machine in _MACHINES,
        detail=f"Linux {release} on {machine}",
        fix="use Linux 5.12 or later on x86_64 or aarch64",
    )


def _python() -> Finding:
    return _finding(
        "python",
        ok=sys.version_info[:2] >= _OLDEST_PYTHON,
        detail=f"{platform.python_version()} at {sys.executable}",
        fix="use Python 3.11 or later",
    )


def _namespaces() -> tuple[Finding, ...]:
    """Try each as an ordinary user does; the others need a user namespace to be had."""
    numbers = _attempts(list(_NAMESPACES.values()))
    return tuple(
        _finding(
            f"{name} namespace",
            ok=number == 0,
            detail="can be made" if number == 0 else os.strerror(number),
            fix=_namespace_fix(number),
        )
        for name, number in zip(_NAMESPACES, numbers, strict=True)
    )


def _attempts(flags: list[int]) -> list[int]:
    """Give 0 or the errno for each flag; EIO for all if the trial itself cannot run."""
    argv = [sys.executable, "-I", "-S", "-c", _GET_NAMESPACES, *map(str, flags)]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_PROBE_SECONDS, check=True)
        numbers = [int(line) for line in done.stdout.split()]
    except (OSError, ValueError, subprocess.SubprocessError):
        numbers = []
    return numbers if len(numbers) == len(flags) else [errno.EIO] * len(flags)


def _namespace_fix(number: int) -> str:
    """Say which switch of the host is off, user_namespaces(7)."""
    if number == errno.ENOSPC:
        return "sysctl -w user.max_user_namespaces=28633"
    if number == errno.EINVAL:
        return "use a kernel that is built with this namespace"
    if _setting("kernel/unprivileged_userns_clone") == "0":
        return "sysctl -w kernel.unprivileged_userns_clone=1"
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    return "allow unshare(2) and mount(2) in the container or service that this runs in"


def _setting(name: str) -> str:
    """Read a setting of the kernel, sysctl(8); "" if this kernel has none of that name."""
    try:
        return Path("/proc/sys", name).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _seccomp() -> Finding:
    actions = _setting("kernel/seccomp/actions_avail").split()
    return _finding(
        "seccomp",
        ok={"kill_process", "errno", "allow"} <= {*actions},
        detail=" ".join(actions) or "no filters",
        fix="use a kernel that is built with CONFIG_SECCOMP_FILTER",
    )


def cannot_watch() -> str:
    """Say why calls cannot be watched here; "" where they can, seccomp_unotify(2)."""
    if "user_notif" not in _setting("kernel/seccomp/actions_avail").split():
        return "this kernel's filters can ask nobody (user_notif)"
    return "" if _has(_FACCESSAT2) else "this kernel has no faccessat2(2)"


def _watching() -> Finding:
    reason = cannot_watch()
    return _finding(
        "watching",
        ok=not reason,
        detail=reason or "a filter can ask a watcher: reviews run here",
        fix="use Linux 5.19 or later for reviews; all else works without",
    )


def _landlock() -> Finding:
    abi = landlock_abi()
    return _finding(
        "landlock",
        ok=abi > 0,
        detail=f"ABI {abi}" if abi else "not in this kernel, or not switched on",
        fix="add landlock to the kernel's parameter lsm=; without it programs cannot be limited "
        "and the mount namespace alone holds the files",
    )


def _control_groups() -> Finding:
    found = find_hierarchies()
    places = (
        f"{hierarchy.folder} ({', '.join(sorted(hierarchy.controllers))})" for hierarchy in found
    )
    version = f"version {found[0].version}: " if found else ""
    return _finding(
        "control groups",
        ok=bool(found),
        detail=version + ("; ".join(places) or "none with memory and pids that is writable here"),
        fix="run as root, or under 'systemd-run --user --scope'; without them a "
        "watchdog samples the tree, and limits hold a little later",
    )


def _pidfd() -> Finding:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as fault:
        return Finding(name="pidfd", ok=False, detail=str(fault.strerror), fix="use Linux 5.3")
    return Finding(name="pidfd", ok=True, detail="pidfd_open(2) works")


def _has(number: int) -> bool:
    """Ask with arguments that no kernel accepts: only a kernel without the call says ENOSYS."""
    libc = ctypes.CDLL(None, use_errno=True)
    minus_one = ctypes.c_long(-1)
    libc.syscall(ctypes.c_long(number), minus_one, None, minus_one, None, None)
    return ctypes.get_errno() != errno.ENOSYS


def _system_call(name: str, number: int) -> Finding:
    is_here = _has(number)
    return _finding(
        name,
        ok=is_here,
        detail=f"{name}(2) " + ("is there" if is_here else "is missing"),
        fix="use Linux 5.12 or later, or let the container that this runs in make this call",
    )


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _finding(
        "open files",
        ok=_is_at_least(soft, _LEAST_OPEN_FILES),
        detail=f"{_amount(soft)} now, {_amount(hard)} at most",
        fix=f"ulimit -n {_LEAST_OPEN_FILES}; each call that runs takes about ten",
    )


def _processes() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    return _finding(
        "processes",
        ok=_is_at_least(soft, _LEAST_OPEN_FILES),
        detail=f"{_amount(soft)} of this user",
        fix=f"ulimit -u {_LEAST_OPEN_FILES}; guests count as this user's",
    )


def _overcommit() -> Finding:
    mode = _setting("vm/overcommit_memory") or "unknown"
    return _finding(
        "overcommit",
        ok=mode != "2",
        detail=f"vm.overcommit_memory = {mode}",
        fix="sysctl -w vm.overcommit_memory=0; else programs that reserve much memory fail",
    )


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    detail = f"{memory.total >> 20} MiB, {memory.available >> 20} MiB of it available"
    return Finding(name="memory", ok=True, detail=detail)


def _is_at_least(limit: int, amount: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= amount


def _amount(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)
