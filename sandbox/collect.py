"""Copy out what a call left in its work folder, and into a folder of the user.

The tree was made by somebody who wants the host to read, block on or fill up with something
else. Nobody of the call may be able to act any more; then nothing moves. Still each step
goes from a directory's descriptor to a single name in it, following nothing, and what is read is
what fstat(2) of the very same descriptor called a regular file.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Final, Never

from sandbox.errors import EngineFault
from sandbox.result import LeftOutFile
from sandbox.wire import printable

__all__ = [
    "Collected",
    "DiskUse",
    "collect_files",
    "fault_of_name",
    "read_file",
    "shown",
    "usage",
    "write_files",
]

_SCANNED_ENTRIES: Final = 10_000
_REASONS: Final = 100
_NAME_BYTES: Final = 255
_SHOWN_CHARACTERS: Final = 300
_CHUNK_BYTES: Final = 1 << 20
_HOST_FAULTS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBADF})
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

# openat2(2): the number is the same on every machine that Python runs on, but alpha.
_OPENAT2: Final = 437
# RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH
_RESOLVE: Final = 0x01 | 0x02 | 0x04 | 0x08

_KINDS: Final = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


@dataclass(frozen=True, slots=True)
class Collected:
    """What was copied out. files: content by relative path with "/", in the order of the walk.

    left_out: what was not, at most 100 entries and one that counts the others.
    """

    files: Mapping[str, bytes]
    left_out: tuple[LeftOutFile, ...]


@dataclass(frozen=True, slots=True)
class DiskUse:
    """How much of a file system is in use, in bytes and in inodes, and whether either is gone."""

    bytes: int
    files: int
    is_full: bool


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


@dataclass(slots=True)
class _Directory:
    """A directory whose walk is under way, with the names still to visit, last one first."""

    fd: int
    path: str
    names: list[bytes]


@dataclass(slots=True, kw_only=True)
class _Walk:
    """What may still be copied, what was, and the directories from the root to this one."""

    count: int
    total_bytes: int
    depth: int
    left_to_scan: int = _SCANNED_ENTRIES
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    left_out: list[LeftOutFile] = field(default_factory=list[LeftOutFile])
    unnamed: int = 0
    open: list[_Directory] = field(default_factory=list[_Directory])

    def leave_out(self, path: str, reason: str) -> None:
        if len(self.left_out) < _REASONS:
            self.left_out.append(LeftOutFile(path=shown(path), reason=reason))
        else:
            self.unnamed += 1


class _NotCopiedError(Exception):
    """The entry at hand is left out; the argument says why."""


def _skip(reason: str) -> Never:
    raise _NotCopiedError(reason)


def collect_files(directory_fd: int, *, count: int, total_bytes: int, depth: int = 32) -> Collected:
    """Read the regular files under a directory whose writers are all dead. Does not block.

    count: at most so many files. total_bytes: all contents together. depth: names in a path;
    one descriptor more than that is open at a time. At most 10,000 entries are looked at. A hard
    link counts like a file of its own. What is over a bound, no regular file, on another file
    system, unreadable or strangely named is left out, with the reason. Modes are not kept.
    EngineFault: the host is out of descriptors or memory, or directory_fd is not open.
    """
    walk = _Walk(count=count, total_bytes=total_bytes, depth=depth)
    try:
        with _leaving_out(walk, "."):
            _enter(walk, directory_fd, b".", "")
        while walk.open:
            _step(walk, walk.open[-1])
    finally:
        for directory in walk.open:
            os.close(directory.fd)
    if walk.unnamed:
        walk.left_out.append(LeftOutFile(path="...", reason=f"and {walk.unnamed} more"))
    return Collected(walk.files, tuple(walk.left_out))


def read_file(directory_fd: int, path: str, most_bytes: int) -> bytes:
    """Read one regular file at and below a directory, whoever writes there meanwhile.

    OSError: there is none, it lies behind a link or on another file system, or it is larger.
    """
    fd = os.dup(directory_fd)
    try:
        *folders, name = [os.fsencode(part) for part in path.split("/")]
        for folder in folders:
            inner = _open_beneath(fd, folder, os.O_DIRECTORY)
            os.close(fd)
            fd = inner
        return _read_file(fd, name, most_bytes)
    except _NotCopiedError as reason:
        raise OSError(errno.EINVAL, f"it cannot be copied out: {reason}", path) from None
    finally:
        os.close(fd)


def _step(walk: _Walk, directory: _Directory) -> None:
    """Visit one name of the innermost directory, or leave it when there is none."""
    if not directory.names:
        os.close(walk.open.pop().fd)
        return
    name = directory.names.pop()
    text = name.decode(errors="surrogateescape")
    path = directory.path + text
    with _leaving_out(walk, path):
        if fault := fault_of_name(text):
            _skip(fault)
        status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            _enter(walk, directory.fd, name, f"{path}/")
        else:
            _check_file(walk, status)
            walk.files[path] = content = _read_file(directory.fd, name, walk.total_bytes)
            walk.total_bytes -= len(content)


@contextmanager
def _leaving_out(walk: _Walk, path: str) -> Generator[None]:
    """Note down why an entry is not copied. The host's own troubles are not the guest's fate."""
    try:
        yield
    except _NotCopiedError as error:
        walk.leave_out(path, str(error))
    except OSError as error:
        if error.errno in _HOST_FAULTS:
            message = f"the files of a call cannot be copied out: {error.strerror}"
            raise EngineFault(message, started="yes") from error
        walk.leave_out(path, f"it cannot be read: {error.strerror}")


def fault_of_name(name: str) -> str:
    """Say what is wrong with one name of a path; nothing, if it may be shown and written."""
    if name in {"", ".", ".."} or "/" in name:
        return "its name is not one name"
    if any("\ud800" <= character <= "\udfff" for character in name):
        return "its name is not UTF-8"
    if len(name.encode()) > _NAME_BYTES:
        return f"its name is over {_NAME_BYTES} bytes"
    return "" if shown(name) == name else "its name has characters that cannot be shown"


def shown(path: str) -> str:
    """Make a path safe to show on one line: strange bytes escaped, a long one's beginning cut."""
    text = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    text = printable(text).replace("\n", r"\n").replace("\t", r"\t")
    return text if len(text) <= _SHOWN_CHARACTERS else f"...{text[-_SHOWN_CHARACTERS:]}"


def _enter(walk: _Walk, parent_fd: int, name: bytes, path: str) -> None:
    """Open a directory and make it the innermost one."""
    if len(walk.open) >= walk.depth:
        _skip(f"it lies more than {walk.depth} directories deep")
    fd = _open_beneath(parent_fd, name, os.O_DIRECTORY)
    try:
        walk.open.append(_Directory(fd, path, _list(walk, fd, path)))
    except BaseException:
        os.close(fd)
        raise


def _list(walk: _Walk, fd: int, path: str) -> list[bytes]:
    """Read the names in a directory, no more than may still be looked at."""
    with os.scandir(fd) as entries:
        names = [os.fsencode(entry.name) for entry in islice(entries, walk.left_to_scan + 1)]
    if len(names) > walk.left_to_scan:
        names.pop()
        reason = f"over {_SCANNED_ENTRIES} entries in all: the others were not looked at"
        walk.leave_out(path or ".", reason)
    walk.left_to_scan -= len(names)
    return sorted(names, reverse=True)


def _check_file(walk: _Walk, status: os.stat_result) -> None:
    """Refuse before opening: a device may act on being opened, a huge file need not be read."""
    if not stat.S_ISREG(status.st_mode):
        _skip(f"it is {_KINDS.get(stat.S_IFMT(status.st_mode), 'no regular file')}")
    if len(walk.files) >= walk.count:
        _skip(f"there are more than {walk.count} files")
    if status.st_size > walk.total_bytes:
        _skip(f"it has {status.st_size} bytes, and {walk.total_bytes} may still be copied")


def _read_file(directory_fd: int, name: bytes, most_bytes: int) -> bytes:
    fd = _open_beneath(directory_fd, name, 0)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            _skip("it was a regular file and is none any more")
        content = _read_bounded(fd, most_bytes + 1)
    finally:
        os.close(fd)
    return content if len(content) <= most_bytes else _skip("it grew while it was read")


def _read_bounded(fd: int, most_bytes: int) -> bytes:
    chunks: list[bytes] = []
    while most_bytes and (chunk := os.read(fd, min(_CHUNK_BYTES, most_bytes))):
        chunks.append(chunk)
        most_bytes -= len(chunk)
    return b"".join(chunks)


def _open_beneath(directory_fd: int, name: bytes, flags: int) -> int:
    """Open one name in a directory, and nothing that lies elsewhere.

    A kernel before 5.6, or a container's filter, has no openat2(2): then O_NOFOLLOW and a name
    without "/" do the same, but for a file system that is mounted inside the tree.
    """
    if not _has_openat2():
        return os.open(name, _OPEN_FLAGS | flags, dir_fd=directory_fd)
    return _openat2(directory_fd, name, _OPEN_FLAGS | flags)


@cache
def _has_openat2() -> bool:
    root_fd = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.close(_openat2(root_fd, b".", os.O_PATH | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in _HOST_FAULTS:
            raise
        return False
    finally:
        os.close(root_fd)
    return True


def _openat2(directory_fd: int, name: bytes, flags: int) -> int:
    how = _OpenHow(flags=flags, mode=0, resolve=_RESOLVE)
    size = ctypes.sizeof(how)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(ctypes.c_long(_OPENAT2), directory_fd, name, ctypes.byref(how), size)
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(fd)


def usage(directory_fd: int) -> DiskUse:
    """Measure the file system that a directory lies on, by statvfs(3). OSError: not open."""
    status = os.fstatvfs(directory_fd)
    # Zero blocks or inodes in all means that the file system does not count them.
    no_room = status.f_blocks > 0 and status.f_bavail == 0
    no_inodes = status.f_files > 0 and status.f_favail == 0
    return DiskUse(
        bytes=(status.f_blocks - status.f_bfree) * status.f_frsize,
        files=status.f_files - status.f_ffree,
        is_full=no_room or no_inodes,
    )


def write_files(destination: Path, files: Mapping[str, bytes]) -> None:
    """Write collected files into a folder of the user, which is made if it is missing.

    Follows no link inside the folder and replaces nothing. Files are new, with the mode that
    the umask leaves of 0666. Nothing is written when a name is not acceptable (ValueError) or
    already taken (FileExistsError). OSError: the folder cannot be written; what was written
    before that stays.
    """
    for path in files:
        _check_path(destination, path)
    destination.mkdir(parents=True, exist_ok=True)
    fd = os.open(destination, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path, content in files.items():
            _write_file(fd, path.split("/"), content)
    finally:
        os.close(fd)


def _check_path(destination: Path, path: str) -> None:
    for name in path.split("/"):
        if fault := fault_of_name(name):
            message = f"{shown(path)} cannot be written: {fault}"
            raise ValueError(message)
    if os.path.lexists(destination / path):
        message = f"{shown(path)} is already in {destination}: choose an empty folder"
        raise FileExistsError(message)


def _write_file(root_fd: int, names: list[str], content: bytes) -> None:
    directory_fd = os.dup(root_fd)
    try:
        for name in names[:-1]:
            inner_fd = _make_directory(directory_fd, name)
            os.close(directory_fd)
            directory_fd = inner_fd
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(names[-1], flags, 0o666, dir_fd=directory_fd)
    finally:
        os.close(directory_fd)
    with os.fdopen(fd, "wb") as file:
        file.write(content)


def _make_directory(parent_fd: int, name: str) -> int:
    """Make a directory or take the one that is there, but no link to one."""
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent_fd)
    return os.open(name, _OPEN_FLAGS | os.O_DIRECTORY, dir_fd=parent_fd)
