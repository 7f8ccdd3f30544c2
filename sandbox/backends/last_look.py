"""Sees that a call has ended before its memory is taken apart, which takes as long as the call.

The kernel marks a process that has begun to end, then frees what it had, and only then tells its
parent. What is marked runs no instruction of its own any more, whatever is still freed of it.
"""

import os
import time
from contextlib import suppress
from typing import Final

from sandbox.backends.cgroups import CallGroup
from sandbox.backends.processes import pid_of
from sandbox.wire import InitReport, Malformed, parse_status

__all__ = ["LastLook", "prepare_last_look"]

PF_EXITING: Final = 0x4
"""In the flags of a process from when it ends, include/linux/sched.h."""
STAT_BYTES: Final = 1024
FLAGS, START_CODE, EXIT_CODE = 6, 23, 49
"""Places behind the name in a stat file, proc_pid_stat(5), where they are numbered from 3 on."""
HIDDEN: Final = (b"0", b"1")
"""What stands for an address in the file of a process that may not be looked into."""
PATIENCE_SECONDS: Final = 0.0002
"""Ten times what a process takes from its answer to its end."""


def prepare_last_look(init_pidfd: int, group: CallGroup) -> "LastLook | None":
    """Find the only child of a guest's PID 1; None where this kernel does not show it whole."""
    with suppress(OSError, ValueError):
        init = pid_of(init_pidfd)
        with open(f"/proc/{init}/task/{init}/children", encoding="ascii") as children:
            (main,) = children.read().split()
        look = LastLook(os.open(f"/proc/{main}/stat", os.O_RDONLY | os.O_CLOEXEC), group)
        if look.shows_all:
            return look
        look.close()
    return None


class LastLook:
    """The stat file of a call's main process, open ahead of time: it stays that process's."""

    def __init__(self, descriptor: int, group: CallGroup) -> None:
        """Keep both. The descriptor is this object's, and closed by close()."""
        self._descriptor = descriptor
        self._group = group

    @property
    def shows_all(self) -> bool:
        """Whether this program may see all of the file; else its exit code would always be 0."""
        try:
            return self._fields()[START_CODE] not in HIDDEN
        except ProcessLookupError:
            return False

    def wait_for_end(self) -> InitReport | None:
        """Say how a main process that has just answered ended; None if it goes on, or others do."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not (ended := self.end()) and time.monotonic() < until:
            os.sched_yield()  # it may need this very processor
        return ended

    def end(self) -> InitReport | None:
        """Say how the main process ended; None while it, or anybody else of the call, may run."""
        try:
            fields = self._fields()
        except ProcessLookupError:  # it was reaped: PID 1 is about to tell
            return None
        # Then the others: what has begun to end makes no more of them.
        if not int(fields[FLAGS]) & PF_EXITING or self._group.processes() != 1:
            return None
        try:
            return parse_status(int(fields[EXIT_CODE]))
        except Malformed:  # no wait status that this program knows: let PID 1 tell
            return None

    def _fields(self) -> list[bytes]:
        # Its name is the guest's to choose, and may look like the rest of the line.
        return os.pread(self._descriptor, STAT_BYTES, 0).rpartition(b")")[2].split()

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
