"""Who a process is: in its user namespace, user_namespaces(7), or in a container without one."""

import contextlib
import os
from collections.abc import Generator

import kernel


def map_identity(inside: int, outside_user: int, outside_group: int) -> None:
    """Name the one user and group of a new user namespace. Groups can then never be set again."""
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{inside} {outside_user} 1")
    write("/proc/self/gid_map", f"{inside} {outside_group} 1")


def become(number: int) -> None:
    """Give up root, and the capabilities that go with it, for an ordinary user and group."""
    os.setgroups([])
    os.setresgid(number, number, number)
    os.setresuid(number, number, number)
    # A change of user makes /proc/self root's own; the maps are written there.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)


@contextlib.contextmanager
def made_by(number: int | None) -> Generator[None]:
    """Make pipes as another user, who can then open them by name, as /dev/stdout is."""
    if number is None:
        yield
        return
    os.setegid(number)
    os.seteuid(number)
    yield
    os.seteuid(0)
    os.setegid(0)


def become_other(number: int) -> None:
    """Be another user than PID 1, for good: with the last of root's ids all capabilities go."""
    os.setgroups([number])
    os.setresgid(number, number, number)
    os.setresuid(number, number, number)


def write(path: str, text: str) -> None:
    """Write a small file of the kernel's."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
