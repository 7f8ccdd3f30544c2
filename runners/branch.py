"""Forks a session: a copy of its process beside it, with a work folder and limits of its own.

The host sends the descriptors of the branch over the session's own socket. The branch is a process
of the same namespaces, held to the same filter; it can open its own work folder and neither that of
the session nor those of other branches, and can send them no signals, landlock(7).
"""

import _thread
import array
import contextlib
import fcntl
import functools
import os
import shutil
import socket
import sys
from typing import Any

import files
import kernel
import lockdown

STDIN, STDOUT, STDERR, PAYLOAD, ANSWER = range(5)
MOST_DESCRIPTORS = 16
HELLO = b"B"
SHUT = {"box", "branches"}
"""What of the root a branch loses: the work folders of its session and of the other branches."""


def fork(turn: dict[str, Any]) -> bool:
    """Fork as the host asks; say whether this is the branch. Raises OSError, RuntimeError."""
    descriptors = _take_descriptors()
    try:
        _remove_closed(turn["gone"])
        _refuse_threads()
        _shared()
        is_branch = kernel.fork_beside() == 0
        if is_branch:
            _become_branch(turn["folder"], descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return is_branch


def _take_descriptors() -> list[int]:
    with socket.socket(fileno=os.dup(ANSWER)) as control:
        _, descriptors, _, _ = socket.recv_fds(control, 1, MOST_DESCRIPTORS)
    # First out of the way of the numbers that they are to have: the program may have closed those.
    safe = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, ANSWER + 1) for each in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    return safe


def _remove_closed(names: list[str]) -> None:
    """Remove the work folders of branches that are closed; what cannot be removed stays."""
    for name in names:
        with contextlib.suppress(RecursionError):  # a branch may have nested folders without end
            shutil.rmtree(f"{files.BRANCHES_FOLDER}/{name}/box", ignore_errors=True)


def _refuse_threads() -> None:
    """A fork has one thread: what the others hold would stay locked in it for ever."""
    if _thread._count():  # pyright: ignore[reportPrivateUsage] - it has no public name
        message = "a session with running threads cannot be forked: end them first"
        raise RuntimeError(message)


def _become_branch(name: str, descriptors: list[int]) -> None:
    """Enter limits and a folder of its own, and tell the host. What fails ends the branch."""
    try:
        for number in range(STDIN, ANSWER + 1):
            os.dup2(descriptors[number], number, inheritable=number <= STDERR)
        for control_group in descriptors[ANSWER + 1 :]:
            os.write(control_group, b"0")
        folder = _own_folder(name)
        if numpy_random := sys.modules.get("numpy.random"):
            numpy_random.seed()  # unlike random it does not do so after a fork
        _say_hello(folder)
    except BaseException:  # noqa: BLE001 - whatever it is, half a branch must not run
        os.write(STDERR, b"the branch cannot be made\n")
        os._exit(70)


def _own_folder(name: str) -> str:
    """Copy the work folder and move to the copy; what else there is of the session's is shut."""
    shared = _shared()
    own = f"{files.BRANCHES_FOLDER}/{name}"
    folder = f"{own}/box"
    os.mkdir(own)
    if os.listdir(files.WORK_FOLDER):
        shutil.copytree(files.WORK_FOLDER, folder, symlinks=True)
    else:  # what there is to be copied is small, and copytree comes upon a hundred pages
        os.mkdir(folder, 0o700)
    os.mkdir(f"{own}/branches", 0o700)
    os.chdir(_same_place(folder))
    sys.path[:] = [folder if path == files.WORK_FOLDER else path for path in sys.path]
    os.environ["HOME"] = files.WORK_FOLDER = folder
    files.BRANCHES_FOLDER = f"{own}/branches"
    lockdown.keep_only([*shared, own])
    return folder


def _same_place(folder: str) -> str:
    """Give what the current folder is in the copy; outside of the work folder, the copy itself."""
    try:
        current = os.getcwd()
    except FileNotFoundError:  # it was removed
        return folder
    if current == files.WORK_FOLDER:
        return folder
    inner = os.path.relpath(current, files.WORK_FOLDER)
    return folder if inner.startswith("..") else os.path.join(folder, inner)


@functools.cache
def _shared() -> list[str]:
    """Give what branches see as their session does. Asked there: a branch cannot list the root."""
    with os.scandir("/") as entries:  # what a link leads to is one of the others
        return [each.path for each in entries if each.name not in SHUT and not each.is_symlink()]


def _say_hello(folder: str) -> None:
    """Send the host the work folder; the kernel tells it who sends, unix(7) SCM_CREDENTIALS."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with socket.socket(fileno=os.dup(ANSWER)) as control:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))
        control.sendmsg([HELLO], [rights])
    os.close(descriptor)
