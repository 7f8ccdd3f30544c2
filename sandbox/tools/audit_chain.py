"""The file under the audit log: JSON lines in a chain of hashes, and the head beside them.

A line is one JSON object with "n", counted from 1, and "previous", the SHA-256 of the line before
it without its line feed; zeroes before the first. FILE.head has the number and the hash of the
last line. A writer that dies between the two leaves the head one line behind, never more.
"""

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Never, TypeAlias

from sandbox.errors import EngineFault
from sandbox.wire import Json

__all__ = ["Verified", "append_record", "verify_log"]

NO_HASH: Final = "0" * 64
MOST_LINE_BYTES: Final = 1 << 20
BLOCK_BYTES: Final = 8192
RIGHTS: Final = 0o600
_OTHER: Final = "it is not the line that the head names"

Descriptor: TypeAlias = int


@dataclass(frozen=True)
class _Place:
    """A line of the chain: its number, its hash and the hash before it."""

    n: int = 0
    hash: str = NO_HASH
    previous: str = ""

    def __str__(self) -> str:
        return f"{self.n:020d} {self.hash}\n"


class _End(NamedTuple):
    """How a log ends: its last whole line, and what a killed writer left after it."""

    last: _Place
    torn: bytes


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What a look at a log gave."""

    lines: int
    """How many lines from the first on are in order."""
    head: str
    """Hash of the last of them: noted elsewhere, it proves later that they are unchanged."""
    fault: str = ""
    """The first thing that is wrong, with its line; "" if nothing is."""
    note: str = ""
    """What is not wrong but worth knowing."""


def append_record(path: Path, record: Mapping[str, Json], *, fsync: bool = False) -> None:
    """Write one record as the next line. Several threads and processes may do so at once.

    Half a line at the end, of a writer that was killed, is cut off, and a line says so. Raises
    OSError for what the disk refuses, EngineFault when the log does not end as its head says.
    """
    with _locked(path) as log:
        end = _end_of(log, path)
        last = end.last
        _check_head(path, last)
        if end.torn:
            os.ftruncate(log, os.fstat(log).st_size - len(end.torn))
            last = _append(log, last, {"event": "repaired", "cut_bytes": len(end.torn)})
            _write_head(path, last, fsync=False)
        last = _append(log, last, record)
        if fsync:
            os.fsync(log)
        _write_head(path, last, fsync=fsync)


def verify_log(path: Path, *, noted: str = "") -> Verified:
    """Read a log from its first line to what is its last now, and look at every hash.

    noted: the head of an earlier look; a log without that line has been rewritten. Raises OSError
    for a log that cannot be read.
    """
    with path.open("rb") as log:
        fcntl.flock(log, fcntl.LOCK_SH)
        head, left_bytes = _read_head(path), os.fstat(log.fileno()).st_size
        fcntl.flock(log, fcntl.LOCK_UN)  # before reading: writers must not wait for that
        return _verified(log, left_bytes, head, noted)


def _verified(log: BinaryIO, left_bytes: int, head: _Place | None, noted: str) -> Verified:
    last, is_noted = _Place(), not noted
    while line := log.readline(min(left_bytes, MOST_LINE_BYTES + 1)):
        left_bytes -= len(line)
        place = _place(line)
        if place is None:
            what = "it is no whole record" if line.endswith(b"\n") else "it has no end"
            return _broken(last, what)
        if (place.n, place.previous) != (last.n + 1, last.hash):
            return _broken(last, "it does not follow from the line before it")
        last = place
        is_noted = is_noted or last.hash == noted
        if head and head.n == last.n and head.hash != last.hash:
            return Verified(lines=last.n - 1, head=last.previous, fault=f"line {last.n}: {_OTHER}")
    return _ended(last, head, is_noted=is_noted)


def _broken(last: _Place, what: str) -> Verified:
    return Verified(lines=last.n, head=last.hash, fault=f"line {last.n + 1}: {what}")


def _ended(last: _Place, head: _Place | None, *, is_noted: bool) -> Verified:
    """Judge the end: nothing may be missing, nor be there that the head does not know."""
    if not is_noted:
        return Verified(lines=last.n, head=last.hash, fault="the noted line is not in this log")
    if head is None:
        return Verified(lines=last.n, head=last.hash, fault="the head file is none of this log's")
    if last.n < head.n:
        what = f"it is missing: the head names line {head.n}, so the end was cut off"
        return _broken(last, what)
    if last.n > head.n + 1:
        return _broken(head, "the head file does not know it")
    late = "the head is one line behind: a writer was stopped, or that line was put there"
    return Verified(lines=last.n, head=last.hash, note=late if last.n > head.n else "")


@contextmanager
def _locked(path: Path) -> Generator[Descriptor]:
    """Open the log and hold it alone, flock(2)."""
    log = _open_locked(path)
    while not _is_at(log, path):  # it was moved away while this waited
        os.close(log)
        log = _open_locked(path)
    try:
        yield log
    finally:
        os.close(log)


def _open_locked(path: Path) -> Descriptor:
    # Without waiting, for a FIFO; flock() waits nevertheless.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    log = os.open(path, flags, RIGHTS)
    try:
        if not stat.S_ISREG(os.fstat(log).st_mode):
            _refuse(path, "it is no regular file")
        fcntl.flock(log, fcntl.LOCK_EX)
    except BaseException:
        os.close(log)
        raise
    return log


def _is_at(log: Descriptor, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(log), path.stat())
    except FileNotFoundError:
        return False


def _end_of(log: Descriptor, path: Path) -> _End:
    """Read the last line. Raises EngineFault for a file that is none of ours."""
    whole, line_feed, torn = _tail(log).rpartition(b"\n")
    last = _place(whole.rpartition(b"\n")[2] + line_feed) if line_feed else _Place()
    if last is None:
        _refuse(path, "its last line is no record")
    ours = _beginning({"n": last.n + 1, "previous": last.hash})
    if not (torn.startswith(ours) or ours.startswith(torn)):
        _refuse(path, "it ends in what this log never wrote")
    return _End(last, torn)


def _tail(log: Descriptor) -> bytes:
    """Read backwards until the last whole line is there; a line has at most 1 MiB."""
    end, tail = os.fstat(log).st_size, b""
    while len(tail) < min(end, 2 * MOST_LINE_BYTES) and tail.count(b"\n") < 2:
        start = max(0, end - 2 * len(tail) - BLOCK_BYTES)
        tail = os.pread(log, end - len(tail) - start, start) + tail
    return tail


def _beginning(members: Mapping[str, Json]) -> bytes:
    """Give what a line with these members first begins with."""
    return json.dumps(members, separators=(",", ":"), allow_nan=False).encode()[:-1]


def _place(line: bytes) -> _Place | None:
    """Read the chain's own members of one line; None if it is no whole record."""
    try:
        record: Any = json.loads(line) if line.endswith(b"\n") else None
        n, previous = record["n"], record["previous"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if type(n) is not int or type(previous) is not str:
        return None
    return _Place(n, hashlib.sha256(line[:-1]).hexdigest(), previous)


def _append(log: Descriptor, last: _Place, record: Mapping[str, Json]) -> _Place:
    members = {"n": last.n + 1, "previous": last.hash, **record}
    line = _beginning(members) + b"}\n"
    if len(line) > MOST_LINE_BYTES:
        message = f"the record has {len(line)} bytes, over {MOST_LINE_BYTES}"
        raise EngineFault(message)
    end = os.fstat(log).st_size
    try:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(log, rest) :]
    except OSError:
        os.ftruncate(log, end)  # a full disk leaves no half a line
        raise
    return _Place(last.n + 1, hashlib.sha256(line[:-1]).hexdigest(), last.hash)


def _head_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.head")


def _read_head(path: Path) -> _Place | None:
    """Give what the head names: nothing where there is none yet, None for what is no head."""
    try:
        text = _head_path(path).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return _Place()
    number, _, digest = text.rstrip("\n").partition(" ")
    place = _Place(int(number), digest) if number.isdecimal() and number.isascii() else None
    return place if str(place) == text else None


def _check_head(path: Path, last: _Place) -> None:
    """Raise EngineFault unless the head names the last line, or the one before: then mend it."""
    head = _read_head(path)
    if head and (head.n, head.hash) == (last.n, last.hash):
        return
    if head is None or (head.n, head.hash) != (last.n - 1, last.previous):
        _refuse(path, f"its last line is {last.n}, and {_head_path(path).name} names another")
    _write_head(path, last, fsync=False)


def _write_head(path: Path, last: _Place, *, fsync: bool) -> None:
    """Write it in place: always the same length, so that no writer leaves half of it."""
    head = os.open(_head_path(path), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, RIGHTS)
    try:
        os.pwrite(head, str(last).encode(), 0)
        if fsync:
            os.fsync(head)
    finally:
        os.close(head)


def _refuse(path: Path, reason: str) -> Never:
    message = f"the audit log {path} cannot be continued: {reason}: see 'sandbox audit verify'"
    raise EngineFault(message)
