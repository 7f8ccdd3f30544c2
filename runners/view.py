"""Builds the file system that guests see, from a plan the host made, and leaves the host's behind.

A plan is a list of steps, each with a "kind" and a "target" (an absolute path in the new root):

    folder, file (text), link (to), bind (source, write), device (source), empty (mask a folder)

Runs in a mount namespace of its own, before any guest exists.
"""

import os
from collections.abc import Callable
from typing import Any

import kernel

Step = dict[str, Any]
STAGE = "/tmp"  # noqa: S108 - only a mount point that every system has; the mount is ours alone
OLD, NEW = "/old", "/new"


def build(plan: list[Step]) -> None:
    """Make the planned tree the root of this mount namespace, read-only, and detach the old one."""
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    _stand_between()
    for step in plan:
        _MAKERS[step["kind"]](NEW + step["target"], step)
    # A whole /proc must stay visible, or the kernel lets no user namespace below mount its own.
    kernel.mount("proc", f"{NEW}/proc", "proc", _PLAIN | kernel.MS_NOEXEC)
    kernel.mount("", NEW, "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | _PLAIN)
    _leave_for(NEW)


_PLAIN = kernel.MS_NOSUID | kernel.MS_NODEV


def _stand_between() -> None:
    """Move to a root that holds both trees, the old one to copy from and the new one to build."""
    kernel.mount("tmpfs", STAGE, "tmpfs", _PLAIN, "mode=755")
    os.mkdir(STAGE + OLD)
    os.mkdir(STAGE + NEW)
    kernel.pivot_root(STAGE, STAGE + OLD)
    os.chdir("/")
    kernel.mount("tmpfs", NEW, "tmpfs", _PLAIN, "mode=755,size=4m")


def _leave_for(root: str) -> None:
    """Make a folder the root and detach everything else, pivot_root(2) "pivot_root(., .)"."""
    os.chdir(root)
    kernel.pivot_root(".", ".")
    kernel.unmount(".")
    os.chdir("/")


def _folder(target: str, step: Step) -> None:
    del step
    os.makedirs(target, exist_ok=True)


def _file(target: str, step: Step) -> None:
    _make_point(target, is_folder=False)
    with open(target, "w", encoding="utf-8") as file:
        file.write(step["text"])


def _link(target: str, step: Step) -> None:
    _make_parent(target)
    os.symlink(step["to"], target)


def _bind(target: str, step: Step) -> None:
    _attach(target, step)
    if step["write"]:
        kernel.forbid_privilege(target)
    else:
        kernel.make_read_only(target)


def _device(target: str, step: Step) -> None:
    _attach(target, step)
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_NOSUID | kernel.MS_NOEXEC
    kernel.mount("", target, "", flags)


def _empty(target: str, step: Step) -> None:
    del step
    if os.path.isdir(target):
        kernel.mount("tmpfs", target, "tmpfs", _PLAIN | kernel.MS_RDONLY, "mode=755,size=4k")


def _attach(target: str, step: Step) -> None:
    source = OLD + step["source"]
    _make_point(target, is_folder=os.path.isdir(source))
    kernel.mount(source, target, "", kernel.MS_BIND | kernel.MS_REC)


def _make_point(target: str, *, is_folder: bool) -> None:
    if os.path.lexists(target):
        return
    _make_parent(target)
    if is_folder:
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def _make_parent(target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)


_MAKERS: dict[str, Callable[[str, Step], None]] = {
    "folder": _folder,
    "file": _file,
    "link": _link,
    "bind": _bind,
    "device": _device,
    "empty": _empty,
}
