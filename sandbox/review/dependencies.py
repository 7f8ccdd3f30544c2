"""What code runs used beside the subject's own, by name and SHA-256.

A record's paths are a guest's words. They are looked up only inside the folders that the guest
saw, by Places.find(), and what is found there is read and never run.
"""

import importlib.metadata
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

from sandbox.record import FileEvent
from sandbox.review.made_up import normal_path
from sandbox.review.model import Dependency, Run
from sandbox.review.places import Places, file_hash
from sandbox.review.subject import source_hash
from sandbox.review.used import events_of, package_reads, programs_started

__all__ = ["dependencies"]

PACKAGES: Final = PurePosixPath("/opt/packages")
_BOX: Final = "/box/"
_CODE: Final = frozenset({".py", ".pyw", ".so", ".pth", ".pyz", ".zip", ".whl", ".sh"})
_HOW_INSTALLED: Final = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
_FOLDERS: Final = ("site-packages", "dist-packages")
_CACHED: Final = 32


@dataclass(frozen=True, kw_only=True)
class _Distribution:
    """What was installed together."""

    name: str
    """Its name and version."""
    files: tuple[tuple[str, str], ...]
    """Relative paths, and the hash that was written down for each; "" for none."""


def dependencies(
    runs: Sequence[Run], places: Places, *, given: Mapping[str, bytes] | None = None
) -> tuple[Dependency, ...]:
    """Give the code that the runs used, sorted by name: what was read or started, and allowed.

    Installed packages by distribution, of which all code is hashed, used or not; a file of none by
    its path. Files in /box that were given (relative name to content; leave out the subject's own)
    if they look like code. Programs by path. What a run made itself is left out, for it is what
    the run did, and so are compiled code and the system's libraries.
    """
    found = (
        *_packages(runs, places),
        *_given(runs, given or {}),
        *_programs(runs, places, given or {}),
    )
    once = {(each.name, each.hash): each for each in found}
    return tuple(once[key] for key in sorted(once))


def _given(runs: Sequence[Run], given: Mapping[str, bytes]) -> Iterator[Dependency]:
    for path in _read_in_box(runs):
        name = path.removeprefix(_BOX)
        if name in given and PurePosixPath(name).suffix in _CODE:
            yield Dependency(name=path, hash=source_hash(given[name]))


def _read_in_box(runs: Sequence[Run]) -> set[str]:
    return {
        normal_path(path) if path.endswith(".pyc") else path
        for seen in events_of(runs)
        if isinstance(seen.event, FileEvent)
        and seen.event.access == "read"
        and seen.event.outcome == "allowed"
        and (path := seen.event.path).startswith(_BOX)
    }


def _programs(
    runs: Sequence[Run], places: Places, given: Mapping[str, bytes]
) -> Iterator[Dependency]:
    for path in programs_started(runs):
        name = path.removeprefix(_BOX)
        if path.startswith(_BOX) and name in given:
            yield Dependency(name=path, hash=source_hash(given[name]))
        yield from _file(path, places)


def _file(path: str, places: Places) -> Iterator[Dependency]:
    """Give a file of the host's under the name that the guest has for it, if it can be read."""
    found = places.find(path)
    if found is None:
        return
    try:
        yield Dependency(name=path, hash=file_hash(found))
    except OSError:
        return


# Installed packages


def _packages(runs: Sequence[Run], places: Places) -> Iterator[Dependency]:
    seen = {seen.event.path for seen in package_reads(runs) if isinstance(seen.event, FileEvent)}
    known: set[tuple[str, str]] = set()
    for path in sorted({normal_path(each) for each in seen if not _describes(each)}):
        folder, inside = _in_folder(path, places)
        if folder is None or ".." in PurePosixPath(inside).parts:
            continue
        index = _index(str(folder), folder.stat().st_mtime_ns)
        distribution = index.get(inside) or index.get(PurePosixPath(inside).parts[0])
        if distribution is None:
            yield from _file(path, places)
        elif (distribution.name, str(folder)) not in known:
            known.add((distribution.name, str(folder)))
            digest = _distribution_hash(str(folder), distribution, _stamp(folder, distribution))
            yield Dependency(name=distribution.name, hash=digest)


def _describes(path: str) -> bool:
    """Tell whether a file only describes a distribution: plug-ins are looked for in all of them."""
    return any(part.endswith((".dist-info", ".egg-info")) for part in path.split("/"))


def _in_folder(path: str, places: Places) -> tuple[Path | None, str]:
    """Give the host's folder of packages that a guest's path is in, and the path inside it."""
    parts = PurePosixPath(path).parts
    if PurePosixPath(path).is_relative_to(PACKAGES):
        number, inside = parts[3:4], parts[4:]
        folder = _numbered(number[0] if number else "", places)
    else:
        at = next((n for n, part in enumerate(parts) if part in _FOLDERS), len(parts))
        inside = parts[at + 1 :]
        folder = places.find_folder("/".join(parts[: at + 1]).replace("//", "/"))
    return (folder, "/".join(inside)) if folder and inside else (None, "")


def _numbered(number: str, places: Places) -> Path | None:
    is_number = number.isascii() and number.isdigit() and len(number) < 4
    if not is_number or int(number) >= len(places.packages):
        return None
    folder = Path(places.packages[int(number)])
    return folder if folder.is_dir() else None


@lru_cache(_CACHED)
def _index(folder: str, changed_at: int) -> Mapping[str, _Distribution]:
    """Give the distribution of every file and, where it is the only one, of a first name.

    changed_at: when the folder was changed last, so that what was installed since is seen.
    """
    del changed_at
    index: dict[str, _Distribution] = {}
    shared: set[str] = set()
    for found in importlib.metadata.distributions(path=[folder]):
        distribution = _described(found)
        for path, _ in distribution.files:
            index[path] = distribution
        for first in {path.partition("/")[0] for path, _ in distribution.files if "/" in path}:
            if index.setdefault(first, distribution) is not distribution:
                shared.add(first)
    return {name: distribution for name, distribution in index.items() if name not in shared}


def _described(found: importlib.metadata.Distribution) -> _Distribution:
    name = f"{found.metadata['Name'] or 'unnamed'} {found.version}"
    files = found.files or []
    recorded = {str(file): file.hash.value if file.hash else "" for file in files}
    return _Distribution(name=name, files=tuple(sorted(_that_count(recorded))))


def _that_count(recorded: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Leave out what differs between two installs of the same, and what lies elsewhere."""
    for name, digest in recorded.items():
        path = PurePosixPath(name)
        if ".." in path.parts or path.is_absolute() or path.suffix in {".pyc", ".pyo"}:
            continue
        if path.parent.suffix in {".dist-info", ".egg-info"} and path.name in _HOW_INSTALLED:
            continue
        yield name, digest


def _stamp(folder: Path, distribution: _Distribution) -> int:
    """Give what is another number when any of the code was written since."""
    return hash(tuple(_written_at(folder / name) for name, _ in distribution.files))


def _written_at(file: Path) -> tuple[int, int]:
    if file.suffix not in _CODE:
        return (0, 0)
    try:
        found = file.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ctime_ns)


@lru_cache(_CACHED * 8)
def _distribution_hash(folder: str, distribution: _Distribution, stamp: int) -> str:
    """Hash the code by its content, the rest as it was written down when it was installed.

    For who changes code need not write that down. stamp: so that a later change is seen.
    """
    del stamp
    lines = [
        f"{name}\0{_content_hash(folder, name, digest)}\n" for name, digest in distribution.files
    ]
    return source_hash("".join(lines).encode(errors="surrogateescape"))


def _content_hash(folder: str, name: str, written_down: str) -> str:
    if written_down and PurePosixPath(name).suffix not in _CODE:
        return written_down
    try:
        return file_hash(Path(os.path.realpath(Path(folder, name))))
    except OSError:
        return "not there"
