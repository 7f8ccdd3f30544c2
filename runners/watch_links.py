"""Follows the links that openat2(2) is not to follow: those of /proc, which mean what is open.

They lead to a process's root, folder, program and open files, and past every name that these have:
/proc/self/root/box/key is /box/key. Each step is a name in the guest, found from the guest's root.
"""

import os
import re
from collections.abc import Callable

MOST_LINKS = 40  # MAXSYMLINKS of linux/namei.h
_MAGIC = re.compile(r"/proc/\d+(?:/task/\d+)?/(?:root|cwd|exe|fd/\d+)")
_OF_PROCESSES = re.compile(r"/proc(?:/\d+(?:/.*)?)?", re.DOTALL)
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}

ReadLink = Callable[[str], str]
"""Gives what an ordinary link holds, by its path from the guest's root; "" for no link."""


class Links:
    """What the links of one guest mean."""

    def __init__(self, read_link: ReadLink) -> None:
        """read_link: reads an ordinary one."""
        self._read_link = read_link
        self._may_lead_to_proc = False

    def note(self, target: str) -> None:
        """Take note of a link that the guest makes: any path may go through it to /proc."""
        if {"proc", "self", "thread-self", "fd"} & {*target.split("/")}:
            self._may_lead_to_proc = True

    def follow(self, thread: int, number: int, path: str) -> str:
        """Give a path from the guest's root with all that leads through /proc resolved.

        number: the process's own, in the guest. A last name that is an ordinary link stays.
        """
        if not (self._may_lead_to_proc or "/proc" in path or "/dev/" in path):
            return path
        names, done, links = path.split("/")[::-1], "", 0
        while names:
            name = names.pop()
            if name == "..":
                done = done.rpartition("/")[0]
            if name in {"", ".", ".."}:
                continue
            target = self._target(thread, number, f"{done}/{name}", is_last=not names)
            if not target or links == MOST_LINKS:
                done = f"{done}/{name}"
                continue
            links += 1
            done = "" if target.startswith("/") else done
            names += target.split("/")[::-1]
        return done or "/"

    def _target(self, thread: int, number: int, path: str, *, is_last: bool) -> str:
        """Give what a link means to who asks; "" for what is none, or leads to no name."""
        if path in {"/proc/self", "/proc/thread-self"}:
            return f"/proc/{number}"
        if path in _STANDARD:
            return f"/proc/{number}/fd/{_STANDARD[path]}"
        # A look into another process is what it says: it stays under that one's name.
        if path.startswith(f"/proc/{number}/") and _MAGIC.fullmatch(path):
            target = _magic(thread, path)
            return target if target.startswith("/") else ""
        if is_last or _OF_PROCESSES.fullmatch(path):
            return ""
        return self._read_link(path)


def _magic(thread: int, path: str) -> str:
    """Read a link of the guest's /proc: nothing is in its path but numbers and our words."""
    try:
        return os.readlink(f"/proc/{thread}/root{path}")
    except OSError:
        return ""
