"""Watches a process tree from outside, where no control group can: sums, samples and peaks.

What it does not see: memory of pipes and sockets, and processor time of children that their parent
chose not to wait for. The first is bounded by quota.open_files, the second by quota.wall_seconds.
"""

import contextlib
from dataclasses import dataclass

import psutil

__all__ = ["Sample", "Watchdog"]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A process tree at one moment. processes counts threads, and not our own PID 1."""

    memory_bytes: int
    processes: int
    cpu_seconds: float


class Watchdog:
    """Samples the tree below one process and keeps the peaks."""

    def __init__(self, pid: int, memory_limit_bytes: int) -> None:
        """Watch the descendants of this process, which is our own PID 1 of the guest."""
        self._pid = pid
        self._memory_limit_bytes = memory_limit_bytes
        self.peak_memory_bytes = 0
        self.peak_processes = 0
        self.cpu_seconds = 0.0
        self.last = Sample(memory_bytes=0, processes=0, cpu_seconds=0.0)
        """What the last look found."""

    def look(self, disk_bytes: int) -> Sample:
        """Take a sample; what the guest keeps in its tmpfs is memory too."""
        memory = disk_bytes
        processes = 0
        cpu = 0.0
        tree = self._tree()
        for process in tree:
            with contextlib.suppress(psutil.Error):
                memory += process.memory_info().rss
                processes += process.num_threads() if process.pid != self._pid else 0
                times = process.cpu_times()
                cpu += times.user + times.system + times.children_user + times.children_system
        if memory > self._memory_limit_bytes:  # shared pages were counted once per process
            memory = disk_bytes + sum(_proportional_bytes(process) for process in tree)
        self.cpu_seconds = max(self.cpu_seconds, cpu)
        self.peak_memory_bytes = max(self.peak_memory_bytes, memory)
        self.peak_processes = max(self.peak_processes, processes)
        self.last = Sample(memory_bytes=memory, processes=processes, cpu_seconds=cpu)
        return self.last

    def _tree(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self._pid)
            return [root, *root.children(recursive=True)]
        except (psutil.Error, ValueError):  # ValueError: reaped already, its number is -1
            return []


def _proportional_bytes(process: psutil.Process) -> int:
    """Give a process's fair share of the pages it maps; all of them where it hides its maps."""
    with contextlib.suppress(psutil.Error):
        return process.memory_full_info().pss
    with contextlib.suppress(psutil.Error):
        return process.memory_info().rss
    return 0
