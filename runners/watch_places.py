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

from watch_links import Links

OPENAT2, FACCESSAT2 = 437, 439  # the same numbers everywhere
RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT = 0x02, 0x10
AT_EMPTY_PATH = 0x1000
AT_FDCWD = -100
NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
FIXED = ("/usr/", "/lib/", "/lib64/", "/bin/", "/sbin/", "/opt/", "/etc/", "/run/sandbox/", "/sys/")
"""Where a guest can change nothing: what was found there once is so for good."""
OWN = ("/box/", "/tmp/", "/dev/shm/")  # noqa: S108 - names in the guest
"""What is the guest's alone: in it nothing changes but by calls that are seen."""
MOST_KEPT, MOST_FOLDERS = 20_000, 128
WRITE_AND_SEARCH = os.W_OK | os.X_OK

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


class _Folder(NamedTuple):
    """A folder that was found: its place, for who would make or remove names in it, held open."""

    place: Place
    descriptor: int


class Places:
    """The file system of one guest.

    What a guest can change is asked for again each time; but for its own folders, which are held
    open until one of them is renamed, removed or changed: each of these calls is seen too.
    """

    def __init__(self, process: int, programs: list[str] | None) -> None:
        """Take the root of a process of the guest. Raises OSError.

        programs: the only ones that may be started, if not any may.
        """
        self._root = os.open(f"/proc/{process}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._kept: dict[tuple[str, bool, int], Place] = {}
        self._folders: dict[str, _Folder] = {}
        self._user = os.geteuid()
        self.links = Links(self._read_link)
        self._programs = (
            None if programs is None else {self.find(each, 0).path for each in programs}
        )

    def find(self, path: str, needs: int, *, follows: bool = True) -> Place:
        """Find a file by its absolute path. needs: os.R_OK and its like; 0 to be there only."""
        if path.startswith(OWN):
            place = self._find_in_folder(path, needs, follows=follows)
            return place or self._find(path, needs, follows=follows)
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

    def find_parent(self, path: str) -> Place:
        """Find the folder of a path's last name, and whether names may be made in it."""
        parent = path.rstrip("/").rpartition("/")[0] or "/"
        folder = self._folder(parent) if path.startswith(OWN) else None
        return folder.place if folder else self.find(parent, WRITE_AND_SEARCH)

    def forget_folders(self) -> None:
        """Let the folders go that are held open: what their names mean is being changed."""
        for folder in self._folders.values():
            os.close(folder.descriptor)
        self._folders.clear()

    def _find_in_folder(self, path: str, needs: int, *, follows: bool) -> Place | None:
        """Find a name in a folder that is held open; None where that does not tell."""
        parent, _, name = path.rpartition("/")
        folder = self._folder(parent) if name not in {"", ".", ".."} else None
        if folder is None:
            return None
        real = f"{folder.place.path}/{name}"
        try:
            status = os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False)
        except OSError as fault:
            return Place(real, fault.errno or errno.ENOENT)
        mode = status.st_mode
        if status.st_uid != self._user or (follows and stat.S_ISLNK(mode)):
            return None
        # The file system is the guest's own and can be written: the owner's rights are all.
        is_refused = needs & ~(mode >> 6) & 7 and not stat.S_ISLNK(mode)
        return Place(real, errno.EACCES if is_refused else 0, mode, is_own=True)

    def _folder(self, path: str) -> _Folder | None:
        """Give a folder of the guest's own, held open; None where it is none."""
        if folder := self._folders.get(path):
            return folder
        descriptor = self._open(path, os.O_PATH | os.O_DIRECTORY)
        if descriptor < 0:
            return None
        place = self._describe(descriptor, WRITE_AND_SEARCH)
        if not f"{place.path}/".startswith(OWN):
            os.close(descriptor)
            return None
        if len(self._folders) >= MOST_FOLDERS:
            self.forget_folders()
        self._folders[path] = _Folder(place, descriptor)
        return self._folders[path]

    def _find(self, path: str, needs: int, *, follows: bool) -> Place:
        descriptor = self._open(path, os.O_PATH | (0 if follows else os.O_NOFOLLOW))
        if descriptor < 0:
            return Place(path, -descriptor)
        try:
            return self._describe(descriptor, needs)
        finally:
            os.close(descriptor)

    def _open(self, path: str, flags: int) -> int:
        """Open a place as the guest would come to it; give the negative errno where it cannot."""
        resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
        how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, resolve)
        return _call(OPENAT2, self._root, path.encode("utf-8", "surrogateescape"), how, len(how))

    def _read_link(self, path: str) -> str:
        """Give what a link holds; "" for what is none."""
        descriptor = self._open(path, os.O_PATH | os.O_NOFOLLOW)
        if descriptor < 0:
            return ""
        try:
            return os.readlink("", dir_fd=descriptor)
        except OSError:
            return ""
        finally:
            os.close(descriptor)

    def _describe(self, descriptor: int, needs: int) -> Place:
        status = os.fstat(descriptor)
        real = os.readlink(f"/proc/self/fd/{descriptor}")
        error = -_call(FACCESSAT2, descriptor, b"", needs, AT_EMPTY_PATH) if needs else 0
        return Place(real, error, status.st_mode, status.st_uid == self._user)


def _call(number: int, descriptor: int, name: bytes, third: bytes | int, fourth: int) -> int:
    """Make a system call on a file; give its result, or the negative errno."""
    word = ctypes.c_long(third) if isinstance(third, int) else third
    arguments = (ctypes.c_long(number), ctypes.c_long(descriptor), name, word)
    result: int = _libc.syscall(*arguments, ctypes.c_long(fourth))
    return result if result >= 0 else -ctypes.get_errno()


def link(thread: int, name: str) -> str:
    """Give what a link of a thread in /proc points to, as its own root sees it; "" for none."""
    try:
        return os.readlink(f"/proc/{thread}/{name}")
    except OSError:
        return ""


def is_folder(place: Place) -> bool:
    """Say whether it is a folder."""
    return stat.S_ISDIR(place.mode)


def leads_on(place: Place) -> bool:
    """Say whether other paths may go through it: a folder, or a link."""
    return stat.S_ISDIR(place.mode) or stat.S_ISLNK(place.mode)
