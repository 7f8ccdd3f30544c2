"""A peer in a process of its own: one small loop that is told a step and says how long it took.

The time is taken in that process, around the call, as it is for ours in this one. What is not
installed there, does not start or gives a wrong answer is an error with the reason, nothing worse.
"""

import json
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from tests.benchmarks.rows import NotThere

__all__ = ["PeerFailed", "PeerServer", "peers_python"]

STEP_SECONDS: Final = 30.0
END_SECONDS: Final = 30.0
LOOP: Final = """\
import json, os, sys, time
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # what a peer prints is no answer
PYTHON = os.path.realpath(sys.executable)
steps = {}
def say(**answer):
    answers.write(json.dumps(answer) + "\\n")
try:
    exec(sys.argv[1])
    say(ready=True)
    while line := os.read(0, 100):  # not sys.stdin: a fork meanwhile would copy it locked
        started = time.perf_counter()
        steps[line.decode().strip()]()
        say(seconds=time.perf_counter() - started)
    if "end" in steps:
        steps["end"]()
except Exception as error:
    first_line = str(error).partition("\\n")[0]
    say(failed=f"{type(error).__name__}: {first_line}")
"""


class PeerFailed(NotThere):
    """A peer is not there, or did not do what it was to do."""


class PeerServer:
    """The loop with one peer's program, which defines `steps`. Use it as `with`."""

    def __init__(self, python: Path, program: str, *, step_seconds: float = STEP_SECONDS) -> None:
        """Start it under an interpreter and wait until it is ready. Raises PeerFailed."""
        self.step_seconds = step_seconds
        self._is_stuck = False
        argv = [str(python), "-c", LOOP, program]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def time(self, step: str) -> float:
        """Have it do one step; give the seconds that it took there. Raises PeerFailed."""
        try:
            self._stdin.write(f"{step}\n".encode())
            self._stdin.flush()
        except BrokenPipeError:
            message = "it has ended"
            raise PeerFailed(message) from None
        return float(self._read()["seconds"])

    def _read(self) -> dict[str, Any]:
        if not select.select([self._stdout], [], [], self.step_seconds)[0]:
            self._is_stuck = True
            message = f"no answer within {self.step_seconds:.0f} s"
            raise PeerFailed(message)
        line = self._stdout.readline()  # it writes whole lines only
        if not line:
            message = f"it ended with status {self._process.wait()}"
            raise PeerFailed(message)
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise PeerFailed(answer["failed"])
        return answer

    @property
    def _stdin(self) -> IO[bytes]:
        return _pipe(self._process.stdin)

    @property
    def _stdout(self) -> IO[bytes]:
        return _pipe(self._process.stdout)

    def close(self) -> None:
        """End it: its input ends, and it gets some time to tidy up unless it is stuck."""
        with self._process:  # closes the pipes
            with suppress(BrokenPipeError):
                self._stdin.close()
            try:
                self._process.wait(0 if self._is_stuck else END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End it."""
        self.close()


def peers_python(folder: Path | None) -> Path:
    """Give the interpreter that has the peers: of a folder made by --install, or this one."""
    return folder / "bin" / "python" if folder else Path(sys.executable)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        message = "the process has no pipes"
        raise RuntimeError(message)
    return pipe
