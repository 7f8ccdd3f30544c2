"""What hostile guest programs share: text that says how an attack ended, and who reads it.

An attack that crashes proves nothing. So each program prints one line per attack, "done" or
"refused: EPERM", and the test compares that line.
"""

import json
import os
import platform
import subprocess
import sys
from typing import Final

from sandbox.result import Result
from sandbox.shipped import POLICIES

__all__ = ["ASK", "ATTEMPT", "IS_ROOT", "NOBODY", "NUMBER", "SUCCEEDED", "said", "unconfined"]

IS_ROOT: Final = os.geteuid() == 0
NOBODY: Final = 65534
MACHINE: Final = platform.machine()
NUMBER: Final[dict[str, int]] = json.loads((POLICIES / "seccomp/numbers.json").read_text())[MACHINE]
"""System calls of this machine by name."""

SUCCEEDED: Final = "done"

ATTEMPT: Final = """
import errno, os

def attempt(action, *arguments):
    try:
        action(*arguments)
    except OSError as fault:
        return "refused: " + errno.errorcode[fault.errno]
    return "done"
"""
"""Guest text: attempt(function, arguments) says "done", or by which error it was refused."""

ASK: Final = """
import ctypes, errno, os

libc = ctypes.CDLL(None, use_errno=True)

def ask(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    return "done" if result >= 0 else "refused: " + errno.errorcode[ctypes.get_errno()]
"""
"""Guest text: ask(number, arguments) makes a system call and says "done" or the error."""


def said(result: Result) -> str:
    """Give what a guest printed, or its fate if it did not come to its end."""
    return result.stdout.strip() if result.ok else f"{result.status}: {result.error}"


def unconfined(program: str, *, as_nobody: bool = False, cwd: str = "/") -> str:
    """Run a guest's program without any sandbox: the positive control. Give what it printed.

    as_nobody: without root's capabilities, so that only what every process may do is done.
    """
    user = NOBODY if as_nobody and IS_ROOT else None
    groups: list[int] | None = None if user is None else []
    ended = subprocess.run(
        [sys.executable, "-I", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=cwd,
        user=user,
        group=user,
        extra_groups=groups,
    )
    return ended.stdout.strip() or f"crashed: {ended.returncode}: {ended.stderr[-500:]}"
