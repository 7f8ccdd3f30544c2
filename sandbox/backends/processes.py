"""Facts about processes on the host, read from /proc, proc_pid_stat(5)."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Final

import psutil

__all__ = [
    "boot_id",
    "is_alive",
    "namespace_of",
    "owner_name",
    "pid_of",
    "signal_main",
    "start_time",
]

MAIN: Final = "2"
"""The number of a call's main process in its own pid namespace."""


def start_time(pid: int) -> int:
    """Give a process's start in clock ticks since boot; 0 if there is none with this number."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


def owner_name() -> str:
    """Name this process so that no later one with the same number is mistaken for it."""
    return f"{os.getpid()}-{start_time(os.getpid())}-{namespace_of(os.getpid())}"


def is_alive(owner: str) -> bool:
    """Say whether the process that owner_name() named still runs."""
    pid, started, namespace = (*owner.split("-"), "", "")[:3]
    if namespace != namespace_of(os.getpid()):
        return True  # its number means nothing here; whoever shares its namespace can tell
    return pid.isdigit() and started.isdigit() and start_time(int(pid)) == int(started) != 0


def boot_id() -> str:
    """Name this run of this host's kernel, random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def namespace_of(pid: int) -> str:
    """Give the number of a process's pid namespace, pid_namespaces(7)."""
    return str(Path(f"/proc/{pid}/ns/pid").stat().st_ino)


def pid_of(pidfd: int) -> int:
    """Give the process number behind a descriptor, as this process sees it, pidfd_open(2)."""
    lines = Path(f"/proc/self/fdinfo/{pidfd}").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(":", 1) for line in lines)["Pid"])


def signal_main(init_pidfd: int, number: int) -> None:
    """Send a signal to a guest's main process, the child of its PID 1 that is PID 2 there."""
    with contextlib.suppress(psutil.Error, OSError, ValueError):
        for child in psutil.Process(pid_of(init_pidfd)).children():
            descriptor = os.pidfd_open(child.pid)
            try:
                if _innermost_number(child.pid) == MAIN:
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)


def _innermost_number(pid: int) -> str:
    """Give a process's number in its own pid namespace, NSpid of proc_pid_status(5)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    return next(line for line in lines if line.startswith("NSpid:")).split()[-1]
