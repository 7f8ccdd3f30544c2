"""Runs an attack and looks whether the host is the same afterwards."""

import os
import socket
import stat
import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from sandbox import Result, Sandbox

__all__ = ["HostState", "attack"]

GROWTH_BYTES: Final = 48 << 20
"""What this process may keep of an attack: freed memory that its allocator has not given back."""
LOOK_SECONDS: Final = 0.01
QUIET_LOOKS: Final = 12
MOST_LOOKS: Final = 400
POOLED_CONNECTIONS: Final = 8
"""What the docker library may keep open for its next requests, one a worker and a few to spare."""
DEPTH: Final = 3
"""Keeper, zygote, PID 1 of each guest: nothing in its namespace outlives it, and what escaped from
there would be the zygote's child. PID 2 of a guest kept ready comes up in its own time."""


@dataclass(frozen=True, kw_only=True)
class HostState:
    """What this process has of the host's: the same before and after an attack that failed."""

    descriptors: int
    threads: tuple[str, ...] = field(compare=False)
    """Their names: one may end in its own time, and none may be new."""
    processes: int
    connections: int = field(compare=False, default=0)
    """Sockets to a container engine, which come and go with its library's pool."""

    @classmethod
    def now(cls) -> "HostState":
        """Count."""
        process = psutil.Process()
        numbers = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
        connections = sum(map(_is_connection, numbers))
        return cls(
            descriptors=len(numbers) - connections,
            connections=connections,
            # anyio keeps its worker threads for the next use, and ends them itself; a dummy
            # stands for a thread that threading did not start, and stays when that one has ended
            threads=tuple(
                sorted(
                    each.name
                    for each in threading.enumerate()
                    if "worker" not in each.name and not each.name.startswith("Dummy")
                )
            ),
            processes=_descendants(process.pid, DEPTH),
        )

    @classmethod
    def at_rest(cls) -> "HostState":
        """Count once nothing changes any more: a guest may be made ready for the next call."""
        pause = threading.Event()
        state, quiet_looks = cls.now(), 0
        for _ in range(MOST_LOOKS):
            if quiet_looks == QUIET_LOOKS:
                break
            pause.wait(LOOK_SECONDS)
            seen = cls.now()
            quiet_looks = quiet_looks + 1 if seen == state else 0
            state = seen
        return state

    def assert_unchanged(self) -> "HostState":
        """Fail unless the host, once at rest, has what it had then and no thread more."""
        after = HostState.at_rest()
        assert after == self, f"{after} after {self}"
        new = Counter(after.threads) - Counter(self.threads)
        assert not new, f"{after} after {self}"
        return after


def attack(sandbox: Sandbox, source: str, *, stdin: bytes = b"") -> Result:
    """Run a hostile program in a warm sandbox; fail if the host is not the same afterwards."""
    assert sandbox.run("6 * 7").value == 42
    before, before_bytes = HostState.at_rest(), psutil.Process().memory_info().rss
    result = sandbox.run(source, stdin=stdin)
    after = before.assert_unchanged()
    assert after.connections <= before.connections + POOLED_CONNECTIONS
    assert psutil.Process().memory_info().rss < before_bytes + GROWTH_BYTES
    return result


def _is_connection(descriptor: int) -> bool:
    """Say whether it is a socket whose other end has a name: no socket pair of ours has one."""
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        with closing(socket.socket(fileno=os.dup(descriptor))) as copy:
            return bool(copy.getpeername())
    except OSError:  # it was closed meanwhile, or has no other end
        return False


def _descendants(pid: int, depth: int) -> int:
    """Count a process's descendants so many levels down, proc_pid_task(5)."""
    if not depth:
        return 0
    count = 0
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = path.read_text(encoding="ascii").split()
        except OSError:
            continue
        count += len(children) + sum(_descendants(int(child), depth - 1) for child in children)
    return count
