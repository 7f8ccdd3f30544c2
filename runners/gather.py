"""Reads what lies in the work folder of a container, from within: its call may still run there.

Every name is opened in the folder that was opened before, no link is followed and no other file
system entered, so nothing else is read whatever the guest does meanwhile. The host checks each name
and counts each byte again.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Generator, Iterator
from typing import BinaryIO, NamedTuple

SCANNED_ENTRIES = 10_000
MOST_DEPTH = 32
FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Not O_DIRECTORY: with that gVisor follows links all the same."""
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
    """An entry: its path from the work folder, its open folder, its name, what lstat(2) says."""

    path: bytes
    folder: int
    name: bytes
    status: os.stat_result


class Folder(NamedTuple):
    """An open folder that is being looked through."""

    prefix: bytes
    descriptor: int
    names: Iterator[bytes]


def gather(
    folder: bytes, count: int, total_bytes: int, take: TakeFile, leave_out: LeaveOut
) -> None:
    """Give each regular file to take, in order of names, and each other entry to leave_out."""
    with contextlib.closing(_walk(folder, leave_out)) as entries:
        for found in entries:
            reason = _fault_of(found.status, count, total_bytes)
            if not reason:
                try:
                    content = _read(found.folder, found.name, total_bytes)
                except OSError:
                    reason = "it cannot be read"
                else:
                    take(found.path, content)
                    count -= 1
                    total_bytes -= len(content)
                    continue
            leave_out(found.path, reason)


def open_named(folder: bytes, path: bytes, most_bytes: int) -> BinaryIO:
    """Open one regular file. Raises OSError where there is none or it is larger."""
    *folders, name = path.split(b"/")
    descriptor = os.open(folder, FLAGS)
    try:
        for each in folders:
            inner = _open_inner(descriptor, each)
            os.close(descriptor)
            descriptor = inner
        return _open_file(descriptor, name, most_bytes)
    finally:
        os.close(descriptor)


def _open_inner(folder: int, name: bytes) -> int:
    """Open a folder in a folder."""
    if name in {b".", b".."}:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return _open(folder, name, errno.ENOTDIR, lambda status: stat.S_ISDIR(status.st_mode))


def _open(folder: int, name: bytes, error: int, is_right: Callable[[os.stat_result], bool]) -> int:
    """Open a name in a folder if it is of the right kind, and on the same file system."""
    descriptor = os.open(name, FLAGS, dir_fd=folder)
    status = os.fstat(descriptor)
    if status.st_dev != os.fstat(folder).st_dev:
        error = errno.EXDEV
    elif is_right(status):
        return descriptor
    os.close(descriptor)
    raise OSError(error, os.strerror(error))


def _walk(folder: bytes, leave_out: LeaveOut) -> Generator[Found]:
    """Visit everything but folders, depth first; at most so many entries."""
    left = SCANNED_ENTRIES
    with contextlib.suppress(PermissionError):  # of another user's, which can read it all the same
        os.chmod(folder, 0o700)  # the guest may have shut it
    open_folders: list[Folder] = []
    try:
        open_folders.append(_enter(b"", os.open(folder, FLAGS)))
        while open_folders:
            inner = open_folders[-1]
            name = next(inner.names, None)
            if name is None:
                os.close(open_folders.pop().descriptor)
                continue
            if not left:
                reason = f"over {SCANNED_ENTRIES} entries in all: the others were not looked at"
                leave_out(inner.prefix or b".", reason)
                return
            left -= 1
            path = inner.prefix + name
            try:
                status = os.lstat(name, dir_fd=inner.descriptor)
                if not stat.S_ISDIR(status.st_mode):
                    yield Found(path, inner.descriptor, name, status)
                elif len(open_folders) >= MOST_DEPTH:
                    leave_out(path, f"it lies more than {MOST_DEPTH} directories deep")
                else:
                    open_folders.append(_enter(path + b"/", _open_inner(inner.descriptor, name)))
            except OSError as fault:
                leave_out(path, f"it cannot be read: {os.strerror(fault.errno or errno.EIO)}")
    finally:
        for each in open_folders:
            os.close(each.descriptor)


def _enter(prefix: bytes, descriptor: int) -> Folder:
    """Take over the descriptor of a folder."""
    try:
        return Folder(prefix, descriptor, iter(_names(descriptor)))
    except BaseException:
        os.close(descriptor)
        raise


def _names(folder: int) -> list[bytes]:
    with os.scandir(folder) as entries:
        names: list[bytes] = []
        for entry in entries:
            names.append(os.fsencode(entry.name))
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


def _read(folder: int, name: bytes, most_bytes: int) -> bytes:
    """Read a whole regular file of at most so many bytes. Raises OSError."""
    with _open_file(folder, name, most_bytes) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:  # it grew meanwhile
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return content


def _open_file(folder: int, name: bytes, most_bytes: int) -> BinaryIO:
    def is_right(status: os.stat_result) -> bool:
        return stat.S_ISREG(status.st_mode) and status.st_size <= most_bytes

    return open(_open(folder, name, errno.EINVAL, is_right), "rb")
