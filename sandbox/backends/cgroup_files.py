"""Small files of the kernel's in a control group, cgroups(7): read and written whole."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["counter", "read", "write", "write_if_there"]


def read(path: str) -> str:
    """Read a small file of the kernel's; "" if this kernel has none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        return os.read(descriptor, 4096).decode()
    finally:
        os.close(descriptor)


def counter(text: str, name: str) -> int:
    """Read one line "name value" of a flat keyed file; 0 if it is not there."""
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def write(path: str | Path, text: str) -> None:
    """Write a small file of the kernel's. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def write_if_there(path: str, text: str) -> None:
    """Write one that not every kernel has."""
    with suppress(FileNotFoundError):
        write(path, text)
