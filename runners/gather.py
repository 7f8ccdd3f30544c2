"""Reads what a call left in its work folder, inside its container, once all its processes are dead.

Nothing moves any more and nothing outside can be reached from here. The host checks each name and
counts each byte again.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

SCANNED_ENTRIES = 10_000
MOST_DEPTH = 32
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}

TakeFile = Callable[[bytes, bytes], None]
LeaveOut = Callable[[bytes, str], None]


class Found(NamedTuple):
    """An entry: its path from the work folder, and what lstat(2) says of it."""

    path: bytes
    status: os.stat_result


def gather(
    folder: bytes, count: int, total_bytes: int, take: TakeFile, leave_out: LeaveOut
) -> None:
    """Give each regular file to take, in order of names, and each other entry to leave_out."""
    for path, status in _walk(folder, leave_out):
        reason = _fault_of(status, count, total_bytes)
        if not reason:
            content = _read(folder + b"/" + path, total_bytes)
            if content is not None:
                take(path, content)
                count -= 1
                total_bytes -= len(content)
                continue
            reason = "it cannot be read"
        leave_out(path, reason.format(count=count, total_bytes=total_bytes))


def _walk(folder: bytes, leave_out: LeaveOut) -> Iterator[Found]:
    """Visit everything but folders, depth first; at most so many entries."""
    left = SCANNED_ENTRIES
    with contextlib.suppress(PermissionError):  # of another user's, which can read it all the same
        os.chmod(folder, 0o700)  # the guest may have shut it
    open_folders = [(b"", iter(_names(folder)))]
    while open_folders:
        prefix, names = open_folders[-1]
        name = next(names, None)
        if name is None:
            open_folders.pop()
            continue
        if not left:
            leave_out(
                prefix or b".",
                f"over {SCANNED_ENTRIES} entries in all: the others were not looked at",
            )
            return
        left -= 1
        path = prefix + name
        try:
            status = os.lstat(folder + b"/" + path)
            if not stat.S_ISDIR(status.st_mode):
                yield Found(path, status)
            elif len(open_folders) >= MOST_DEPTH:
                leave_out(path, f"it lies more than {MOST_DEPTH} directories deep")
            else:
                open_folders.append((path + b"/", iter(_names(folder + b"/" + path))))
        except OSError as fault:
            leave_out(path, f"it cannot be read: {os.strerror(fault.errno or errno.EIO)}")


def _names(folder: bytes) -> list[bytes]:
    with os.scandir(folder) as entries:
        names: list[bytes] = []
        for entry in entries:
            names.append(entry.name)
            if len(names) > SCANNED_ENTRIES:
                break
    return sorted(names)


def _fault_of(status: os.stat_result, count: int, total_bytes: int) -> str:
    """Say why a file is not taken; nothing if it is."""
    if not stat.S_ISREG(status.st_mode):
        return f"it is {KINDS.get(stat.S_IFMT(status.st_mode), 'no regular file')}"
    if count <= 0:
        return "there are more files than are handed back"
    if status.st_size > total_bytes:
        return f"it has {status.st_size} bytes, and {total_bytes} may still be copied"
    return ""


def _read(path: bytes, most_bytes: int) -> bytes | None:
    """Read a whole file of at most so many bytes."""
    try:
        descriptor = os.open(path, READ_FLAGS)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        content = file.read(most_bytes + 1)
    return content if len(content) <= most_bytes else None
