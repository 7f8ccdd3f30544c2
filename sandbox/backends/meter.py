"""Measures what one running call uses, and says when to look again."""

import struct
import time
from dataclasses import dataclass
from typing import Final

from sandbox.backends.base import Limit
from sandbox.backends.cgroups import CallGroup
from sandbox.backends.processes import pid_of
from sandbox.backends.watchdog import Watchdog
from sandbox.policy import Quota

__all__ = ["Meter", "TreeUsage", "parse_usage"]

_USAGE: Final = struct.Struct(">dQ")
WATCH_SECONDS: Final = 0.01
"""Pause between two looks of the watchdog: what memory can grow by unseen."""
LEAST_PAUSE_SECONDS: Final = 0.005
SHARED_BYTES: Final = 16 << 20
"""What a guest's process may have in memory that is the zygote's."""


@dataclass(frozen=True, kw_only=True)
class TreeUsage:
    """What the zygote learned when it reaped a guest, wait4(2): its memory is one process's."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0


NOTHING: Final = TreeUsage()


def parse_usage(report: bytes) -> TreeUsage:
    """Read what the zygote sends with the end of a guest; nothing if it is not that."""
    if len(report) != _USAGE.size:
        return NOTHING
    cpu_seconds, memory_kib = _USAGE.unpack(report)
    return TreeUsage(cpu_seconds=cpu_seconds, memory_bytes=memory_kib * 1024)


class Meter:
    """Counts a call's processor time, memory and processes from the moment it is made."""

    def __init__(self, quota: Quota, cpus: int, group: CallGroup | None, pidfd: int) -> None:
        """Start counting. group: None watches the tree below the process of pidfd instead."""
        self._quota = quota
        self._cpus = cpus
        self._group = group
        self._watchdog = None if group else Watchdog(pid_of(pidfd), quota.memory_bytes)
        self._cpu_before = group.cpu_seconds() if group else 0.0
        self.over: list[Limit] = []
        """Limits that a look found exceeded."""
        self.reached: set[Limit] = set()
        """Limits that a look found just full."""
        self.next_look = time.monotonic() + self._pause(0.0)
        self._is_overrun = False

    def count_from_now(self) -> None:
        """Leave out the processor time that was used before: that of a session's earlier turns."""
        if self._watchdog:
            self._watchdog.look(0)
            self._cpu_before = self._watchdog.cpu_seconds

    def look(self, disk_bytes: int) -> None:
        """Compare what was used with the quota. disk_bytes: in use in the guest's tmpfs."""
        if self._watchdog:
            sample = self._watchdog.look(disk_bytes)
            if sample.memory_bytes > self._quota.memory_bytes:
                self.over.append("memory")
            if sample.processes >= self._quota.processes:
                self.reached.add("processes")
        used = self.cpu_seconds()
        if used >= self._quota.cpu_seconds:
            self.over.append("cpu")
        self.next_look = time.monotonic() + self._pause(used)

    def look_at_the_rest(self, disk_bytes: int) -> None:
        """Look once the main process is dead, whether what it left behind fills the quota."""
        before = self.reached.copy()
        self.reached.clear()  # what was full with the main process is not without it
        self.look(disk_bytes)
        self._is_overrun = self._is_overrun or "processes" in self.reached
        self.reached |= before

    def limits_hit(self, dead: TreeUsage) -> frozenset[Limit]:
        """Give the limits that were over for less than a look. dead: what its reaper counted."""
        hit: set[Limit] = {"processes"} if self._is_overrun else set()
        if dead.memory_bytes > self._quota.memory_bytes + SHARED_BYTES:
            hit.add("memory")
        return frozenset(hit)

    def _pause(self, used_cpu_seconds: float) -> float:
        """Give how long to wait: no tree can use up what is left on its processors before that."""
        left = (self._quota.cpu_seconds - used_cpu_seconds) / self._cpus
        pause = min(left, WATCH_SECONDS) if self._watchdog else left
        return max(LEAST_PAUSE_SECONDS, pause)

    def cpu_seconds(self, dead: TreeUsage = NOTHING) -> float:
        """Give the processor time of the whole tree so far. dead: what its reaper counted."""
        if self._group:
            return self._group.cpu_seconds() - self._cpu_before
        seen = self._watchdog.cpu_seconds if self._watchdog else 0.0
        return max(dead.cpu_seconds, seen) - self._cpu_before

    def memory_bytes(self) -> int:
        """Give the memory of the tree now; without a group, as the last look found it."""
        if self._group:
            return self._group.memory_bytes()
        return self._watchdog.last.memory_bytes if self._watchdog else 0

    def processes(self) -> int:
        """Give the processes and threads that there are now; ditto."""
        if self._group:
            return self._group.processes()
        return self._watchdog.last.processes if self._watchdog else 0

    def peak_memory_bytes(self, dead: TreeUsage = NOTHING) -> int:
        """Give the most memory at once; without a group, as far as a look saw it."""
        if self._group:
            return self._group.peak_memory_bytes()
        return max(dead.memory_bytes, self._watchdog.peak_memory_bytes if self._watchdog else 0)

    def peak_processes(self) -> int:
        """Give the most processes and threads at once; without a group, as far as a look saw."""
        if self._group:
            return self._group.peak_processes()
        return self._watchdog.peak_processes if self._watchdog else 0
