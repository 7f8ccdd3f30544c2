"""Puts the input files of a call into its work folder."""

import os

WORK_FOLDER = "/box"
BRANCHES_FOLDER = "/branches"
"""Of this process; both change in a branch of a session."""


def write_new(name: str, content: bytes) -> None:
    """Write a file into a work folder that is new and empty, with nothing to follow."""
    _write(name, content, os.O_EXCL)


def write(name: str, content: bytes) -> None:
    """Write a file, in place of one that is there."""
    _write(name, content, os.O_TRUNC)


def _write(name: str, content: bytes, flag: int) -> None:
    path = f"{WORK_FOLDER}/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | flag
    with open(os.open(path, flags, 0o644), "wb") as file:
        file.write(content)
