"""What the container of this process has used, read from inside: its control groups, or /proc."""

import contextlib
import os
from typing import NamedTuple

GROUPS = "/sys/fs/cgroup"
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SCRATCH = ("/box", "/tmp", "/dev/shm")  # noqa: S108 - the guest's own
OWN_PROCESSES = 1
"""PID 1 itself is no part of the quota."""


class Sample(NamedTuple):
    """What is in use at a moment. processes: with threads, without PID 1."""

    cpu_seconds: float
    memory_bytes: int
    processes: int


class Groups:
    """The counters of control groups, version 1 or 2, cgroups(7): the kernel's own."""

    def __init__(self, version: int) -> None:
        """Remember what was counted before the call."""
        self._version = version
        self._memory = GROUPS if version == 2 else f"{GROUPS}/memory"
        self._pids = GROUPS if version == 2 else f"{GROUPS}/pids"
        self.count_from_now()

    def count_from_now(self) -> None:
        """Leave out what was used and refused up to now; not the peaks, which cannot be set."""
        self._cpu_before = self._cpu_seconds()
        self._refused_before = self._refusals()

    def _cpu_seconds(self) -> float:
        if self._version == 2:
            return _counter(f"{GROUPS}/cpu.stat", "usage_usec") / 1e6
        return _number(f"{GROUPS}/cpuacct/cpuacct.usage") / 1e9

    def look(self) -> Sample:
        """Say what is in use; processes only where the kernel tells the peak."""
        return Sample(
            self._cpu_seconds() - self._cpu_before,
            self.peak_memory_bytes(),
            max(0, _number(f"{self._pids}/pids.current") - OWN_PROCESSES),
        )

    def peak_memory_bytes(self) -> int:
        """Give the most memory that there was at once, PID 1's included."""
        name = "memory.peak" if self._version == 2 else "memory.max_usage_in_bytes"
        return _number(f"{self._memory}/{name}")

    def peak_processes(self) -> int:
        """Give the most processes and threads at once; 0 where this kernel does not tell."""
        return max(0, _number(f"{self._pids}/pids.peak") - OWN_PROCESSES)

    def limits_hit(self) -> list[str]:
        """Give the limits at which the kernel refused or killed."""
        before = self._refused_before
        return [limit for limit, count in self._refusals().items() if count > before[limit]]

    def _refusals(self) -> dict[str, int]:
        """Count how often the kernel refused or killed, by the limit."""
        oom = "memory.events" if self._version == 2 else "memory.oom_control"
        return {
            "memory": _counter(f"{self._memory}/{oom}", "oom_kill"),
            "processes": _counter(f"{self._pids}/pids.events", "max"),
        }


class Processes:
    """Sums over all processes of this container but PID 1, where no control group is shown."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._own_cpu = _cpu_of("1")
        self._peak_memory_bytes = 0
        self._peak_processes = 0
        self._cpu_seconds = self._cpu_before = 0.0

    def count_from_now(self) -> None:
        """Leave out what was used up to now."""
        self.look()
        self._cpu_before = self._cpu_seconds
        self._peak_memory_bytes = self._peak_processes = 0

    def look(self) -> Sample:
        """Add up what is there now."""
        times, memory, threads = _cpu_of("1") - self._own_cpu, 0, 0
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = _stat(name)
                if name != "1":
                    times += sum(map(int, fields[11:15])) / TICKS
                    threads += int(fields[17])
                    memory += int(fields[21]) * PAGE_BYTES
        self._cpu_seconds = max(self._cpu_seconds, times)
        self._peak_memory_bytes = max(self._peak_memory_bytes, memory)
        self._peak_processes = max(self._peak_processes, threads)
        return Sample(self._cpu_seconds - self._cpu_before, memory, threads)

    def peak_memory_bytes(self) -> int:
        """Give the most memory that a look saw."""
        return self._peak_memory_bytes

    def peak_processes(self) -> int:
        """Give the most processes and threads that a look saw."""
        return self._peak_processes

    def limits_hit(self) -> list[str]:
        """Give nothing: no kernel counts here what it refused."""
        return []


def find_counters() -> Groups | Processes:
    """Give the control groups' counters where this container shows them."""
    if os.path.exists(f"{GROUPS}/memory.events"):
        return Groups(2)
    if os.path.exists(f"{GROUPS}/memory/memory.oom_control"):
        return Groups(1)
    return Processes()


class DiskUse(NamedTuple):
    """What is in use in the guest's folders together; whether one of them is full, statvfs(3).

    counts_files: whether this kernel tells of files at all; gVisor's does not.
    """

    bytes: int
    files: int
    is_full: bool
    counts_files: bool


def disk_use() -> DiskUse:
    """Say what is in use now."""
    used, files, is_full, counts = 0, -len(SCRATCH), False, False  # each folder is an inode too
    for folder in SCRATCH:
        status = os.statvfs(folder)
        used += (status.f_blocks - status.f_bfree) * status.f_frsize
        files += status.f_files - status.f_ffree
        counts = counts or status.f_files > 0
        is_full = is_full or not status.f_bavail or (status.f_files > 0 and not status.f_favail)
    return DiskUse(used, files, is_full, counts)


def count_files(most: int) -> int:
    """Count files and folders one by one, to one more than so many."""
    count = 0
    for folder in SCRATCH:
        for _, names, files in os.walk(folder):
            count += len(names) + len(files)
            if count > most:
                return count
    return count


def _cpu_of(pid: str) -> float:
    """Give the processor time of a process's dead children and of itself, proc_pid_stat(5)."""
    return sum(map(int, _stat(pid)[11:15])) / TICKS


def _stat(pid: str) -> list[str]:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def _number(path: str) -> int:
    with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
        return int(file.read())
    return 0


def _counter(path: str, name: str) -> int:
    """Read one line "name value" of a flat keyed file; 0 if it is not there."""
    with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
        for line in file:
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0
