"""Puts the input files of a call into its work folder."""

import os

PROGRAMS = (b"#!", b"\x7fELF")
"""How files begin that can be started, execve(2)."""
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
    mode = 0o755 if content.startswith(PROGRAMS) else 0o644
    with open(os.open(path, flags, mode), "wb") as file:
        file.write(content)
