"""A bare fork and wait, the least that any isolated call costs, timed where nothing else runs.

The helper is this interpreter, started with -I -S: it has little memory to copy. A fork of this
program itself, with all that it has imported, is dearer.
"""

import os
import subprocess
import sys
import time
from types import TracebackType
from typing import Final, Self

__all__ = ["ForkHelper", "fork_here"]

HELPER: Final = """\
import os, sys, time
for line in sys.stdin:
    started = time.perf_counter()
    for _ in range(int(line)):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    print(time.perf_counter() - started, flush=True)
"""


class ForkHelper:
    """A process that forks when it is asked to. Use it as `with`."""

    def __init__(self) -> None:
        """Start it."""
        argv = [sys.executable, "-I", "-S", "-c", HELPER]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, bufsize=1)

    def fork(self, times: int = 1) -> float:
        """Have it fork so many times, one after the other; give the seconds of all of them."""
        if self._process.stdin is None or self._process.stdout is None:
            message = "the helper has no pipes"
            raise RuntimeError(message)
        self._process.stdin.write(f"{times}\n")
        return float(self._process.stdout.readline())

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End it: its input ends."""
        self._process.__exit__(kind, error, at)


def fork_here() -> float:
    """Fork this program; give the seconds until the child was reaped."""
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return time.perf_counter() - started
