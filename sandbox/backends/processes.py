"""Facts about processes on the host, read from /proc, proc_pid_stat(5)."""

import os
from pathlib import Path

__all__ = ["is_alive", "owner_name", "start_time"]


def start_time(pid: int) -> int:
    """Give a process's start in clock ticks since boot; 0 if there is none with this number."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


def owner_name() -> str:
    """Name this process so that no later one with the same number is mistaken for it."""
    return f"{os.getpid()}-{start_time(os.getpid())}-{_pid_namespace(os.getpid())}"


def is_alive(owner: str) -> bool:
    """Say whether the process that owner_name() named still runs."""
    pid, started, namespace = (*owner.split("-"), "", "")[:3]
    if namespace != _pid_namespace(os.getpid()):
        return True  # its number means nothing here; whoever shares its namespace can tell
    return pid.isdigit() and started.isdigit() and start_time(int(pid)) == int(started) != 0


def _pid_namespace(pid: int) -> str:
    """Give the number of a process's pid namespace, pid_namespaces(7)."""
    return str(Path(f"/proc/{pid}/ns/pid").stat().st_ino)
