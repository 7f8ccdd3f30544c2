"""The command `sandbox`. It only asks, shows and exits; what it shows is decided elsewhere."""

import os
import sys
from typing import NoReturn

__all__ = ["main"]

OURS = 125
BROKEN_PIPE, INTERRUPTED = 141, 130  # 128 and the signal, as a shell says it


def main() -> NoReturn:
    """Run the command line of this process and exit. No exception gets out as a traceback."""
    _occupy_standard_descriptors()
    status = _run(sys.argv[1:] or ["--help"])
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        status = status or BROKEN_PIPE
    sys.exit(status)


def _occupy_standard_descriptors() -> None:
    """Open what the caller closed: else the engine's sockets would become 0, 1 or 2."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # None when they were closed before the interpreter started
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _run(words: list[str]) -> int:
    """Give the exit status. Every fault becomes one line on stderr."""
    try:
        from sandbox.cli.app import run_command  # noqa: PLC0415 - a Ctrl-C may come while it loads

        return run_command(words)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return BROKEN_PIPE
    except Exception as fault:  # noqa: BLE001 - a traceback helps nobody at a command line
        from sandbox.cli.output import say  # noqa: PLC0415 - needed for faults only

        say(f"internal fault, please report it: {type(fault).__name__}: {fault}")
        return OURS
