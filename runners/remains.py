"""Counts what a handler leaves open at its end. The guest takes it all along; this is to tell."""

import os
import sys
from typing import NamedTuple

TEMPORARY_FOLDERS = ("/tmp", "/dev/shm")  # noqa: S108 - the guest's own
MOST_COUNTED = 10_000


class Remains(NamedTuple):
    """What is there now."""

    descriptors: frozenset[tuple[int, str]]
    threads: int
    processes: frozenset[int]
    temporary_files: int


def look() -> Remains:
    """Look at this process and its namespace."""
    return Remains(
        descriptors=frozenset(_descriptors()),
        # Of Python alone: what a library starts for itself at import is none of the handler's.
        threads=len(sys._current_frames()),  # pyright: ignore[reportPrivateUsage] - the only way
        processes=frozenset(_processes()),
        temporary_files=sum(map(_files_below, TEMPORARY_FOLDERS)),
    )


def left_open(before: Remains, after: Remains) -> dict[str, int]:
    """Count what is there after and was not before."""
    opened = after.descriptors - before.descriptors
    sockets = sum(target.startswith("socket:") for _, target in opened)
    return {
        "files": len(opened) - sockets,
        "sockets": sockets,
        "threads": max(0, after.threads - before.threads),
        "children": len(after.processes - before.processes),
        "temporary_files": max(0, after.temporary_files - before.temporary_files),
    }


def _descriptors() -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append((int(number), os.readlink(f"/proc/self/fd/{number}")))
        except OSError:  # the one that listed them
            continue
    return found


def _processes() -> list[int]:
    """Give who else runs in this namespace: daemons are children of PID 1 by now."""
    others = {int(name) for name in os.listdir("/proc") if name.isdigit()} - {1, os.getpid()}
    return [number for number in others if _runs(number)]


def _runs(number: int) -> bool:
    """Say whether it is more than a dead child that nobody has asked about, proc_pid_stat(5)."""
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (OSError, IndexError):
        return False


def _files_below(folder: str) -> int:
    count = 0
    for _, _, names in os.walk(folder):
        count += len(names)
        if count >= MOST_COUNTED:
            break
    return count
