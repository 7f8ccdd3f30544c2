"""The command `sandbox` as its users have it: a process with descriptors and an exit status."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial

ARGV = [sys.executable, "-m", "sandbox.cli"]
MOST_SECONDS = 50

Done = subprocess.CompletedProcess[str]


def sandbox(*words: str, stdin: str | None = None) -> Done:
    """Run it to its end. stdin: text in a pipe; nothing by default."""
    argv = [*ARGV, *words]
    run = partial(subprocess.run, argv, capture_output=True, text=True, timeout=MOST_SECONDS)
    return run(stdin=subprocess.DEVNULL) if stdin is None else run(input=stdin)


@contextmanager
def started(*words: str) -> Generator[subprocess.Popen[bytes]]:
    """Start it, and let nothing of it outlive the test."""
    pipe = subprocess.PIPE
    # A shell that starts the tests in the background has them ignore Ctrl-C.
    process = subprocess.Popen(
        ["/usr/bin/env", "--default-signal=INT", *ARGV, *words],
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        bufsize=0,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
