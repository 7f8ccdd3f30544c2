"""Where on the host lies what a guest names: only inside what was shown to it."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Protocol, Self

from sandbox.policy import Policy

__all__ = ["HostPython", "Places", "file_hash", "read_start"]

PREFIX: Final = "/opt/python"
PACKAGES: Final = "/opt/packages"
SYSTEM: Final = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"),
    "/etc/alternatives",
)
"""What is at the same place on the host."""
MOST_HASHED_BYTES: Final = 1 << 30
_CHUNK_BYTES: Final = 1 << 20


class HostPython(Protocol):
    """An interpreter that guests run; backends.view.Interpreter is one."""

    @property
    def prefix(self) -> str:
        """The folder with its lib/pythonX.Y, on the host."""
        ...

    @property
    def packages(self) -> tuple[str, ...]:
        """The folders of installed packages, on the host."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Folder:
    """A folder that a guest sees, or a file."""

    guest: PurePosixPath
    host: str
    is_granted: bool


@dataclass(frozen=True, kw_only=True)
class Places:
    """What of the host a guest sees, and where. Made by of()."""

    folders: tuple[_Folder, ...]
    """The deepest first."""
    packages: tuple[str, ...]
    """The folders of installed packages on the host, in the order of /opt/packages."""

    @classmethod
    def of(cls, policy: Policy, python: HostPython | None = None) -> Self:
        """Give them for a policy. python: without one, its folders and packages are not known."""
        packages = python.packages if python else ()
        shown = [(folder, folder, False) for folder in SYSTEM]
        if python and not PurePosixPath(python.prefix).is_relative_to("/usr"):
            shown.append((PREFIX, python.prefix, False))
        shown += [(f"{PACKAGES}/{n}", folder, False) for n, folder in enumerate(packages)]
        shown += [(grant.at, grant.path, True) for grant in policy.files]
        folders = [
            _Folder(guest=PurePosixPath(guest), host=host, is_granted=granted)
            for guest, host, granted in shown
        ]
        deepest = sorted(folders, key=lambda each: len(each.guest.parts), reverse=True)
        return cls(folders=tuple(deepest), packages=packages)

    def find(self, guest_path: str) -> Path | None:
        """Give the regular file on the host that a guest names, its links followed.

        None for what is no plain path, is not there, or leads out of what the guest sees: a guest
        may have made a link in a granted folder.
        """
        real = self._real(guest_path)
        return real if real and real.is_file() else None

    def find_folder(self, guest_path: str) -> Path | None:
        """Give the folder on the host that a guest names; None as for find()."""
        real = self._real(guest_path)
        return real if real and real.is_dir() else None

    def _real(self, guest_path: str) -> Path | None:
        path = PurePosixPath(guest_path)
        if "\0" in guest_path or not path.is_absolute() or ".." in path.parts:
            return None
        folder = next((each for each in self.folders if path.is_relative_to(each.guest)), None)
        if folder is None:
            return None
        real = Path(os.path.realpath(Path(folder.host) / path.relative_to(folder.guest)))
        return real if self._is_inside(real, folder) else None

    def _is_inside(self, real: Path, folder: _Folder) -> bool:
        """Let a link of the system lead into all of the system, one of a grant not out of it."""
        own = [each for each in self.folders if not each.is_granted]
        roots = [folder] if folder.is_granted else own
        return any(real.is_relative_to(os.path.realpath(root.host)) for root in roots)


def file_hash(path: Path) -> str:
    """Give the SHA-256 of a regular file; of one over 1 GiB, of its beginning and its size.

    Raises OSError for what cannot be read or is no regular file.
    """
    digest = hashlib.sha256()
    # Another program may put a fifo there meanwhile: opening it would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            message = f"{path} is no regular file"
            raise OSError(message)
        left = MOST_HASHED_BYTES
        while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
    if found.st_size > MOST_HASHED_BYTES:
        digest.update(str(found.st_size).encode())
    return digest.hexdigest()


def read_start(path: Path, most_bytes: int) -> bytes:
    """Give the first bytes of a file; none of what cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(most_bytes)
    except OSError:
        return b""
