"""Who a process is inside its user namespace, user_namespaces(7)."""

import os

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


def write(path: str, text: str) -> None:
    """Write a small file of the kernel's."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
