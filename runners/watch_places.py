"""Finds what a path means to a guest, and whether its walls let it be opened.

Every step starts at the guest's root, and the kernel is told to treat it as the root whatever the
links say: no path that a guest makes up leads out of what it sees, openat2(2) RESOLVE_IN_ROOT.
Nothing is opened but as a place (O_PATH): no device, pipe or socket notices.
"""

import ctypes
import errno
import os
import stat
import struct
from typing import NamedTuple

OPENAT2, FACCESSAT2 = 437, 439  # the same numbers everywhere
RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT = 0x02, 0x10
AT_EMPTY_PATH = 0x1000
AT_FDCWD = -100
NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
FIXED = ("/usr/", "/lib/", "/lib64/", "/bin/", "/sbin/", "/opt/", "/etc/", "/run/sandbox/", "/sys/")
"""Where a guest can change nothing: what was found there once is so for good."""
MOST_KEPT = 20_000

_libc = ctypes.PyDLL(None, use_errno=True)


class Place(NamedTuple):
    """What a path means. error: why nothing could be found, or may be done; 0 where it may."""

    path: str
    error: int
    mode: int = 0
    is_own: bool = False

    @property
    def is_there(self) -> bool:
        """Whether there is a file."""
        return bool(self.mode)


class Places:
    """The file system of one guest."""

    def __init__(self, process: int, programs: list[str] | None) -> None:
        """Take the root of a process of the guest. Raises OSError.

        programs: the only ones that may be started, if not any may.
        """
        self._root = os.open(f"/proc/{process}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._kept: dict[tuple[str, bool, int], Place] = {}
        self._programs = (
            None if programs is None else {self.find(each, 0).path for each in programs}
        )

    def find(self, path: str, needs: int, *, follows: bool = True) -> Place:
        """Find a file by its absolute path. needs: os.R_OK and its like; 0 to be there only."""
        key = (path, follows, needs)
        if place := self._kept.get(key):
            return place
        place = self._find(path, needs, follows=follows)
        if path.startswith(FIXED) and place.path.startswith(FIXED) and len(self._kept) < MOST_KEPT:
            self._kept[key] = place
        return place

    def find_program(self, path: str) -> Place:
        """Find a program by its absolute path, and whether it may be started."""
        place = self.find(path, os.X_OK)
        if place.error or self._programs is None or place.path in self._programs:
            return place
        return place._replace(error=errno.EACCES)

    def find_folder(self, path: str, needs: int) -> Place:
        """Find the folder that a path's last name is in, or would be."""
        return self.find(os.path.dirname(path.rstrip("/")) or "/", needs)

    def _find(self, path: str, needs: int, *, follows: bool) -> Place:
        flags = os.O_PATH | os.O_CLOEXEC | (0 if follows else os.O_NOFOLLOW)
        how = struct.pack("=QQQ", flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
        name = path.encode("utf-8", "surrogateescape")
        descriptor = _call(OPENAT2, self._root, name, how, len(how))
        if descriptor < 0:
            return Place(path, -descriptor)
        try:
            status = os.fstat(descriptor)
            real = os.readlink(f"/proc/self/fd/{descriptor}")
            error = -_call(FACCESSAT2, descriptor, b"", needs, AT_EMPTY_PATH) if needs else 0
        finally:
            os.close(descriptor)
        return Place(real, error, status.st_mode, status.st_uid == os.geteuid())


def _call(number: int, descriptor: int, name: bytes, third: bytes | int, fourth: int) -> int:
    """Make a system call on a file; give its result, or the negative errno."""
    word = ctypes.c_long(third) if isinstance(third, int) else third
    arguments = (ctypes.c_long(number), ctypes.c_long(descriptor), name, word)
    result: int = _libc.syscall(*arguments, ctypes.c_long(fourth))
    return result if result >= 0 else -ctypes.get_errno()


def absolute(thread: int, number: int, folder: int, path: str) -> str:
    """Give a path as one from the guest's root.

    number: the process's own, in the guest. folder: AT_FDCWD or a descriptor of the thread.
    """
    if path.startswith("/"):
        return _of_itself(thread, number, path)
    base = link(thread, "cwd" if folder == AT_FDCWD else f"fd/{folder}")
    return f"{base.rstrip('/')}/{path}" if path else base


def link(thread: int, name: str) -> str:
    """Give what a link of a thread in /proc points to, as its own root sees it; "" for none."""
    try:
        return os.readlink(f"/proc/{thread}/{name}")
    except OSError:
        return ""


def _of_itself(thread: int, number: int, path: str) -> str:
    """Follow what means another file to each process: /proc/self, /dev/fd and the like."""
    for prefix in ("/proc/self/fd/", "/dev/fd/"):
        if path.startswith(prefix) and (open_file := link(thread, f"fd/{path[len(prefix) :]}")):
            return open_file
    if path == "/proc/self/exe":
        return link(thread, "exe") or path
    for prefix in ("/proc/self/", "/proc/thread-self/"):
        if path.startswith(prefix):
            return f"/proc/{number}/{path[len(prefix) :]}"
    return path


def is_folder(place: Place) -> bool:
    """Say whether it is a folder."""
    return stat.S_ISDIR(place.mode)
