"""What calls about files ask for, read from their registers: which file, for what, and may it.

Each reader gives events as plain dicts, ready to be written down. The outcome says whether a wall
is in the way; whether the call then works, the watcher does not see.
"""

import errno
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from watch_memory import Memory
from watch_places import (
    AT_FDCWD,
    NOTHING_THERE,
    Place,
    Places,
    is_folder,
    leads_on,
    link,
)
from watch_processes import Process

Event = dict[str, Any]

O_PATH = 0o10000000
O_TMPFILE = 0o20000000
AT_SYMLINK_NOFOLLOW = 0x100


class Asked(NamedTuple):
    """A call that waits: who makes it, with which registers, and where to look what they mean."""

    thread: int
    process: Process
    arguments: tuple[int, ...]
    places: Places

    @property
    def number(self) -> int:
        """The process's own number, in the guest."""
        return self.process.number

    @property
    def memory(self) -> Memory:
        """Its memory. Raises OSError where it is gone."""
        return self.process.memory()

    def number_at(self, place: int) -> int:
        """Give a register as the kernel takes an int: signed, of 32 bits."""
        value = self.arguments[place] & 0xFFFFFFFF
        return value - (1 << 32) if value >> 31 else value

    def path(self, place: int, folder: int = AT_FDCWD) -> str:
        """Give the path that a register points to, from the guest's root. Raises Unreadable."""
        return self.absolute(folder, self.memory.text(self.arguments[place]))

    def absolute(self, folder: int, path: str) -> str:
        """Give a path as one from the guest's root. folder: AT_FDCWD or a descriptor."""
        if not path.startswith("/"):
            is_current = folder == AT_FDCWD
            base = self.process.folder() if is_current else link(self.thread, f"fd/{folder}")
            if not path:
                return base
            path = f"{base.rstrip('/')}/{path}"
        return self.places.links.follow(self.thread, self.number, path)


Reader = Callable[[Asked], Iterator[Event]]


def outcome(place: Place) -> str:
    """Say what becomes of a call on a place as it was found."""
    if not place.error:
        return "allowed"
    return "missing" if place.error in NOTHING_THERE else "refused"


def file_event(access: str, named: str, place: Place, result: str, **more: str) -> Event:
    """Make the event of a file."""
    event = {"kind": "file", "access": access, "path": place.path, "outcome": result, **more}
    return event if place.path == named else {**event, "named": named}


def opened(asked: Asked, named: str, flags: int) -> Iterator[Event]:
    """Read what open(2) and its kin want of a file."""
    follows = not flags & os.O_NOFOLLOW
    place = asked.places.find(named, _needs(flags), follows=follows)
    if place.error in NOTHING_THERE and flags & os.O_CREAT:
        parent = asked.places.find_parent(named)
        yield file_event("create", named, place, outcome(parent))
    elif flags & O_TMPFILE == O_TMPFILE:
        yield file_event("create", named, place, outcome(place))
    else:
        yield file_event(_access(flags, place), named, place, outcome(place))


def _needs(flags: int) -> int:
    if flags & O_PATH:
        return 0
    needs = (os.R_OK, os.W_OK, os.R_OK | os.W_OK, 0)[flags & os.O_ACCMODE]
    return needs | (os.W_OK if flags & os.O_TRUNC else 0)


def _access(flags: int, place: Place) -> str:
    if flags & O_PATH:
        return "look"
    if _needs(flags) & os.W_OK:
        return "write"
    return "list" if flags & os.O_DIRECTORY or is_folder(place) else "read"


def made(asked: Asked, named: str, access: str = "create", **more: str) -> Iterator[Event]:
    """Read what makes a new name: mkdir(2), mknod(2), link(2), symlink(2)."""
    place = asked.places.find(named, 0, follows=False)
    parent = asked.places.find_parent(named)
    result = "failed" if place.is_there else outcome(parent)
    yield file_event(access, named, place, result, **more)


def removed(asked: Asked, named: str) -> Iterator[Event]:
    """Read what takes a name away: unlink(2), rmdir(2)."""
    place = asked.places.find(named, 0, follows=False)
    if leads_on(place):
        asked.places.forget_folders()
    yield file_event("remove", named, place, _of_both(asked, named, place))


def renamed(asked: Asked, named: str, to: str) -> Iterator[Event]:
    """Read rename(2): both folders are changed."""
    place = asked.places.find(named, 0, follows=False)
    if leads_on(place) or leads_on(asked.places.find(to, 0, follows=False)):
        asked.places.forget_folders()
    result = _of_both(asked, named, place)
    if result == "allowed":
        result = outcome(asked.places.find_parent(to))
    yield file_event("rename", named, place, result, to=to)


def _of_both(asked: Asked, named: str, place: Place) -> str:
    """Say what becomes of a change of a name: it must be there, and its folder writable."""
    return outcome(place) if place.error else outcome(asked.places.find_parent(named))


def changed(asked: Asked, named: str, *, follows: bool = True) -> Iterator[Event]:
    """Read a change of mode, owner, times or attributes, which takes the owner, not a writer."""
    place = asked.places.find(named, os.W_OK, follows=follows)
    if is_folder(place):
        asked.places.forget_folders()
    is_owners = place.error == errno.EACCES and place.is_own
    yield file_event("change", named, place, "allowed" if is_owners else outcome(place))


def looked(asked: Asked, named: str, *, follows: bool = True) -> Iterator[Event]:
    """Read a question whether and what something is."""
    place = asked.places.find(named, 0, follows=follows)
    yield file_event("look", named, place, outcome(place))


# The calls, with their registers.


def _simple(read: Callable[..., Iterator[Event]], place: int = 0, **more: Any) -> Reader:
    """Read a call whose path is one register, from the current folder."""
    return lambda asked: read(asked, asked.path(place), **more)


def _in_folder(read: Callable[..., Iterator[Event]], **more: Any) -> Reader:
    """Read a call whose first two registers are a folder and a path in it."""
    return lambda asked: read(asked, asked.path(1, asked.number_at(0)), **more)


def _with_flags(read: Callable[..., Iterator[Event]], flags_at: int) -> Reader:
    """Read a call that follows a last link, or not, as flags say."""

    def reader(asked: Asked) -> Iterator[Event]:
        flags = asked.arguments[flags_at]
        if not asked.arguments[1]:  # utimensat(2) of a descriptor itself
            return read(asked, asked.absolute(asked.number_at(0), ""))
        named = asked.path(1, asked.number_at(0))
        return read(asked, named, follows=not flags & AT_SYMLINK_NOFOLLOW)

    return reader


def _of_descriptor(asked: Asked) -> Iterator[Event]:
    return changed(asked, asked.absolute(asked.number_at(0), ""))


def _openat2(asked: Asked) -> Iterator[Event]:
    (flags,) = asked.memory.words(asked.arguments[2], 1)
    return opened(asked, asked.path(1, asked.number_at(0)), flags)


def _moves(asked: Asked) -> Iterator[Event]:
    """Note that the process goes to another folder, chdir(2); what is below it is seen then."""
    asked.process.forget_folder()
    yield from ()


def _memory_file(asked: Asked) -> Iterator[Event]:
    name = asked.memory.text(asked.arguments[0], 256)
    yield {"kind": "file", "access": "create", "path": f"/memfd:{name}", "outcome": "allowed"}


def _linked(asked: Asked, named: str) -> Iterator[Event]:
    """Read symlink(2): where it leads to matters to every path that goes through it later."""
    target = asked.memory.text(asked.arguments[0])
    asked.places.links.note(target)
    return made(asked, named, "link", to=target)


CREATING = os.O_CREAT | os.O_WRONLY | os.O_TRUNC

READERS: dict[str, Reader] = {
    "open": lambda asked: opened(asked, asked.path(0), asked.arguments[1]),
    "openat": lambda asked: opened(asked, asked.path(1, asked.number_at(0)), asked.arguments[2]),
    "openat2": _openat2,
    "creat": lambda asked: opened(asked, asked.path(0), CREATING),
    "memfd_create": _memory_file,
    **dict.fromkeys(("chdir", "fchdir"), _moves),
    "truncate": lambda asked: opened(asked, asked.path(0), os.O_WRONLY),
    **dict.fromkeys(("stat", "access", "statfs", "getxattr", "listxattr"), _simple(looked)),
    **dict.fromkeys(
        ("lstat", "readlink", "lgetxattr", "llistxattr"), _simple(looked, follows=False)
    ),
    "newfstatat": _with_flags(looked, 3),
    "statx": _with_flags(looked, 2),
    **dict.fromkeys(("faccessat", "faccessat2"), _in_folder(looked)),
    "readlinkat": _in_folder(looked, follows=False),
    "inotify_add_watch": _simple(looked, 1),
    **dict.fromkeys(("mkdir", "mknod"), _simple(made)),
    **dict.fromkeys(("mkdirat", "mknodat"), _in_folder(made)),
    **dict.fromkeys(("unlink", "rmdir"), _simple(removed)),
    "unlinkat": _in_folder(removed),
    "rename": lambda asked: renamed(asked, asked.path(0), asked.path(1)),
    **dict.fromkeys(
        ("renameat", "renameat2"),
        lambda asked: renamed(
            asked, asked.path(1, asked.number_at(0)), asked.path(3, asked.number_at(2))
        ),
    ),
    "link": lambda asked: made(asked, asked.path(1), "link", to=asked.path(0)),
    "linkat": lambda asked: made(
        asked, asked.path(3, asked.number_at(2)), "link", to=asked.path(1, asked.number_at(0))
    ),
    "symlink": lambda asked: _linked(asked, asked.path(1)),
    "symlinkat": lambda asked: _linked(asked, asked.path(2, asked.number_at(1))),
    **dict.fromkeys(
        ("chmod", "chown", "utime", "utimes", "setxattr", "removexattr"), _simple(changed)
    ),
    **dict.fromkeys(("lchown", "lsetxattr", "lremovexattr"), _simple(changed, follows=False)),
    **dict.fromkeys(("fchmod", "fchown", "fsetxattr", "fremovexattr"), _of_descriptor),
    **dict.fromkeys(("fchmodat", "futimesat"), _in_folder(changed)),
    "fchmodat2": _with_flags(changed, 3),
    "utimensat": _with_flags(changed, 3),
    "fchownat": _with_flags(changed, 4),
}
"""By the name of the call. What is not here names no file."""
