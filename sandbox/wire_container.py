"""What PID 1 of a container says, out of the stream that a container engine attaches.

PID 1 is a program of ours, but it runs where the guest does, so its word is taken apart here, with
the same care as the guest's: bounds first, every field checked, Malformed for what does not fit.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sandbox.wire import REPORT_BYTES, InitReport, Json, Malformed, decode_json, parse_report
from sandbox.wire_json import Body

__all__ = [
    "Answered",
    "ContainerReader",
    "ContainerReport",
    "Done",
    "Ended",
    "Event",
    "Fault",
    "FileFound",
    "FileLeft",
    "Hello",
    "Output",
    "Piece",
    "Ready",
    "Shown",
]

_ENGINE_HEADER: Final = struct.Struct(">B3xI")
"""Stream (1 stdout, 2 stderr) and length; the engine's API, "attach to a container"."""
_STDERR: Final = 2
_FILE_KIND: Final = 8
_HEADER: Final = struct.Struct(">IB")
_NAME: Final = struct.Struct(">H")
_SMALL_FRAME_BYTES: Final = 1 << 20
_LAST_WORDS_BYTES: Final = 4096
_REPORT_DEPTH: Final = 3
_FOLDER: Final = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._+-]{1,100}){1,20}")
_MOST_COUNTED: Final = 1 << 53


@dataclass(frozen=True, slots=True)
class Hello:
    """PID 1 is there. wire: the version that it speaks. python: of its interpreter.

    packages: the folders in which that one looks for installed packages.
    """

    wire: int
    python: tuple[int, int]
    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """It is locked down and waits for its call."""


@dataclass(frozen=True, slots=True)
class Output:
    """The guest wrote."""

    stream: Literal["stdout", "stderr"]
    chunk: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """The guest wrote to its answer pipe: bytes for a FrameReader."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The main process ended by itself."""

    report: InitReport


@dataclass(frozen=True, slots=True)
class FileFound:
    """A regular file of the work folder. path: as the guest named it, not checked yet."""

    path: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class FileLeft:
    """Something in the work folder that is not handed back."""

    path: bytes
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerReport:
    """What the container's own counters said when all was over."""

    cpu_seconds: float
    peak_memory_bytes: int
    peak_processes: int
    disk_bytes: int
    limits_hit: tuple[str, ...]
    limits_reached: tuple[str, ...]
    stopped_by: str | None


@dataclass(frozen=True, slots=True)
class Done:
    """Every process of the call is dead, and all is said."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The next bytes of the one file that was asked for, of a session that goes on."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Shown:
    """All is said of the files that were asked for, of a session that goes on."""


@dataclass(frozen=True, slots=True)
class Fault:
    """PID 1 could not do its work."""

    reason: str


Event: TypeAlias = (
    Hello
    | Ready
    | Output
    | Answered
    | Ended
    | FileFound
    | FileLeft
    | ContainerReport
    | Done
    | Fault
    | Piece
    | Shown
)


class ContainerReader:
    """Take the attached stream of one container apart, within a fixed amount of memory.

    most_file_bytes: the largest file that may be handed back.
    """

    def __init__(self, most_file_bytes: int) -> None:
        """Start with nothing read."""
        self._most_file_bytes = most_file_bytes
        self._header = bytearray()
        self._left = 0
        self._stream = 0
        self._frame = bytearray()
        self._words = bytearray()

    @property
    def last_words(self) -> str:
        """The last line that the container wrote to its own stderr: a fault of PID 1's."""
        lines = self._words.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def feed(self, chunk: Body) -> list[Event]:
        """Read the next bytes, however they were cut. Malformed: this is not PID 1's speech."""
        events: list[Event] = []
        rest = memoryview(chunk)
        while rest:
            rest = self._take(rest, events)
        return events

    def _take(self, rest: memoryview, events: list[Event]) -> memoryview:
        """Read one piece of the engine's own framing."""
        if not self._left:
            lacking = _ENGINE_HEADER.size - len(self._header)
            self._header += rest[:lacking]
            if len(self._header) == _ENGINE_HEADER.size:
                self._stream, self._left = _ENGINE_HEADER.unpack(self._header)
                self._header.clear()
            return rest[lacking:]
        piece = rest[: self._left]
        self._left -= len(piece)
        if self._stream == _STDERR:
            self._words = (self._words + piece)[-_LAST_WORDS_BYTES:]
        else:
            self._frame += piece
            self._split(events)
        return rest[len(piece) :]

    def _split(self, events: list[Event]) -> None:
        """Take every whole frame off the front; refuse a frame that is too long by its header."""
        start = 0
        while len(self._frame) - start >= _HEADER.size:
            length, kind = _HEADER.unpack_from(self._frame, start)
            limit = self._most_file_bytes if kind == _FILE_KIND else 0
            if length > limit + _SMALL_FRAME_BYTES:
                message = "a frame of PID 1 is too long"
                raise Malformed(message)
            end = start + _HEADER.size + length
            if len(self._frame) < end:
                break
            events.append(_read(kind, bytes(self._frame[start + _HEADER.size : end])))
            start = end
        del self._frame[:start]


def _read(kind: int, body: bytes) -> Event:
    read = _READERS.get(kind)
    if not read:
        message = f"PID 1 sent a frame of the unknown kind {kind}"
        raise Malformed(message)
    return read(body)


def _named(body: bytes) -> tuple[bytes, bytes]:
    """Take a name of two bytes' length off the front."""
    if len(body) < _NAME.size:
        message = "a file has no name"
        raise Malformed(message)
    end = _NAME.size + _NAME.unpack_from(body)[0]
    return body[_NAME.size : end], body[end:]


def _hello(document: Json) -> Hello:
    match document:
        case {"wire": int(wire), "python": [int(major), int(minor)], "packages": list(packages)}:
            return Hello(wire, (major, minor), tuple(filter(_FOLDER.fullmatch, map(str, packages))))
        case _:
            message = "PID 1 greets in an unknown way"
            raise Malformed(message)


def _can_be_counted(number: float) -> bool:
    return not isinstance(number, bool) and 0 <= number <= _MOST_COUNTED


def _report(document: Json) -> ContainerReport:
    match document:
        case {
            "cpu_seconds": int(cpu) | float(cpu),
            "peak_memory_bytes": int(memory),
            "peak_processes": int(processes),
            "disk_bytes": int(disk),
            "limits_hit": list(hit),
            "limits_reached": list(reached),
            "stopped_by": (str() | None) as stopped_by,
        } if all(map(_can_be_counted, (cpu, memory, processes, disk))):
            return ContainerReport(
                cpu_seconds=cpu,
                peak_memory_bytes=memory,
                peak_processes=processes,
                disk_bytes=disk,
                limits_hit=tuple(map(str, hit)),
                limits_reached=tuple(map(str, reached)),
                stopped_by=stopped_by,
            )
        case _:
            message = "PID 1 reports in an unknown way"
            raise Malformed(message)


def _file_left(body: bytes) -> FileLeft:
    path, reason = _named(body)
    return FileLeft(path, reason.decode(errors="replace"))


_READERS: Final[dict[int, Callable[[bytes], Event]]] = {
    1: lambda body: _hello(decode_json(body, depth=_REPORT_DEPTH)),
    2: lambda _: Ready(),
    3: lambda body: Output("stdout", body),
    4: lambda body: Output("stderr", body),
    5: Answered,
    6: lambda body: Ended(parse_report(body[:REPORT_BYTES])),
    7: lambda body: _report(decode_json(body, depth=_REPORT_DEPTH)),
    8: lambda body: FileFound(*_named(body)),
    9: _file_left,
    10: lambda _: Done(),
    11: lambda body: Fault(body.decode(errors="replace")[:1000]),
    12: Piece,
    13: lambda _: Shown(),
}
"""By the kind of the frame, as runners/link.py numbers them."""
