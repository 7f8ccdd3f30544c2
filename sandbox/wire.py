"""The one reader of guest bytes: frames, the answer, init's report; its kin wire_* the rest.

Everything that comes in here was written by somebody who wants the host to fall. So: a cap is
checked before anything is kept, nothing is executed or looked up by name, each field is checked,
and what does not fit becomes a value (Broken, NoAnswer) or Malformed, never another exception.
What a guest says is a claim: whether its call was ok is decided from what the host saw.
"""

import contextlib
import os
import struct
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sandbox.wire_content import (
    Data,
    Display,
    File,
    Image,
    Part,
    Text,
    describe_display,
    describe_part,
    parse_display,
    parse_parts,
)
from sandbox.wire_json import Body, Json, Malformed, decode_json, refuse
from sandbox.wire_notes import LeftOpen, Note, ResourceNote, ResourceState, parse_note
from sandbox.wire_output import OutputBuffer, printable

__all__ = [
    "ANSWER",
    "EVIDENCE",
    "HEADER_BYTES",
    "NOTE",
    "PARTIAL",
    "REPORT_BYTES",
    "Body",
    "Broken",
    "Claim",
    "Data",
    "Display",
    "File",
    "FrameReader",
    "Image",
    "InitReport",
    "Json",
    "LeftOpen",
    "MainExited",
    "MainSignaled",
    "Malformed",
    "NoAnswer",
    "Note",
    "OutputBuffer",
    "Part",
    "Raised",
    "ResourceNote",
    "ResourceState",
    "Returned",
    "ReturnedParts",
    "Text",
    "Unfit",
    "decode_json",
    "describe_display",
    "describe_part",
    "encode_frame",
    "parse_answer",
    "parse_display",
    "parse_notes",
    "parse_partials",
    "parse_parts",
    "parse_report",
    "parse_status",
    "printable",
]  # fmt: skip

_HEADER: Final = struct.Struct(">IB")
HEADER_BYTES: Final = _HEADER.size
"""A frame is its body's length (32 bits, big-endian), its kind (8 bits), its body."""
ANSWER: Final = 1
"""Kind of the last frame of a call; nothing may follow it."""
PARTIAL: Final = 2
"""Kind of a frame with one value that the call gave before its end."""
NOTE: Final = 3
"""Kind of a frame with one fact about a handler: a resource of it, what it left open."""
EVIDENCE: Final = 4
"""Kind of a frame with what a watched program's own Python says that it does."""
_NOTE_DEPTH: Final = 2

_REPORT: Final = struct.Struct(">BI")
REPORT_BYTES: Final = _REPORT.size
"""A report of init is its kind (8 bits, always 1) and a wait status (32 bits, big-endian)."""

_LAST_STATUS: Final = 0xFFFF
_LAST_SIGNAL: Final = 64
_TEXT_CHARACTERS: Final = 10_000
_TRACEBACK_CHARACTERS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Broken:
    """Why a stream of frames cannot be believed any more; the host's own words."""

    reason: str


def encode_frame(kind: int, body: bytes) -> bytes:
    """Put a header before a body. struct.error: body of 4 GiB or more, or kind over 255."""
    return _HEADER.pack(len(body), kind) + body


class FrameReader:
    """Take a guest's byte stream apart into frames, within a fixed amount of memory.

    limit_bytes: all bodies together, whatever their kind. most_frames: their number, 10,000 by
    default, because small frames cost more than their bytes. takes_evidence: whether the guest is
    a watched one; of others it is an unknown kind. Over either limit, an unknown kind, an
    empty body, anything after the answer or half a frame at the end: `broken` says why, all
    later bytes are dropped unread, the answer is gone; partials and notes before it stay.
    """

    broken: Broken | None
    answer: Body | None
    """Body of the answer; None while there is none, and when the stream is broken."""
    partials: list[Body]
    """Bodies of the partial values, in the order in which they came."""
    notes: list[Body]
    """Bodies of the notes, likewise."""
    evidence: list[Body]
    """Bodies of the evidence, likewise."""

    def __init__(
        self, limit_bytes: int, *, most_frames: int = 10_000, takes_evidence: bool = False
    ) -> None:
        """Start with nothing read."""
        self.broken = self.answer = None
        self.partials, self.notes, self.evidence = [], [], []
        self._before_answer = {PARTIAL: self.partials, NOTE: self.notes}
        if takes_evidence:
            self._before_answer[EVIDENCE] = self.evidence
        self._left_bytes = limit_bytes
        self._left_frames = most_frames
        self._expect_header()

    def feed(self, chunk: Body) -> None:
        """Read the next bytes of the stream, however they were cut. Never raises."""
        rest = memoryview(chunk)
        while rest and self.broken is None:
            rest = self._take(rest)

    def close(self) -> None:
        """Say that the stream has ended: half a frame now counts as broken. Never raises."""
        if self._kind or self._gathered:
            self._break("the stream ended inside a frame")

    def _take(self, rest: memoryview) -> memoryview:
        """Move what the current header or body still lacks; give back the remainder."""
        if self.answer is not None:
            self._break("bytes came after the answer")
            return rest
        lacking = self._wanted - len(self._gathered)
        self._gathered += rest[:lacking]
        if len(self._gathered) == self._wanted:
            self._finish_part()
        return rest[lacking:]

    def _finish_part(self) -> None:
        """Go from a whole header to its body, or keep a whole body and go to the next header."""
        if not self._kind:
            length, kind = _HEADER.unpack(self._gathered)
            return self._expect_body(length, kind)
        if self._kind == ANSWER:
            self.answer = self._gathered
        else:
            self._before_answer[self._kind].append(self._gathered)
        return self._expect_header()

    def _expect_header(self) -> None:
        self._kind = 0
        self._wanted = HEADER_BYTES
        self._gathered = bytearray()

    def _expect_body(self, length: int, kind: int) -> None:
        """Charge the body's length before a byte of it is kept."""
        if kind != ANSWER and kind not in self._before_answer:
            return self._break(f"a frame is of the unknown kind {kind}")
        if length == 0:
            return self._break("a frame is empty")
        if length > self._left_bytes:
            return self._break("the frames are over the limit for results")
        if self._left_frames == 0:
            return self._break("there are too many frames")
        self._left_bytes -= length
        self._left_frames -= 1
        self._kind, self._wanted, self._gathered = kind, length, bytearray()
        return None

    def _break(self, reason: str) -> None:
        self.broken = self.broken or Broken(reason)
        self.answer = None
        self._expect_header()


@dataclass(frozen=True, slots=True)
class Returned:
    """The guest says that the call gave this value, and how it shows itself in a session."""

    value: Json
    display: Display = field(default_factory=dict[str, "str | bytes"])


@dataclass(frozen=True, slots=True)
class ReturnedParts:
    """The guest says that its handler gave content for a model instead of a plain value."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Raised:
    """The guest says that the call raised.

    type and message: at most 10,000 characters. traceback: its last 100,000.
    """

    type: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Unfit:
    """The guest says that its value cannot be sent: not JSON, or too large."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer, or none that can be believed; the reason is the host's own words."""

    reason: str


Claim: TypeAlias = Returned | ReturnedParts | Raised | Unfit | NoAnswer
"""What a guest says became of its call. Not a verdict."""


def parse_answer(reader: FrameReader, *, depth: int, skip_bytes: int = 0) -> Claim:
    """Read what the guest claims. Never raises.

    depth: nested lists and objects in a value. skip_bytes: of the body, what is no answer yet.
    """
    if reader.broken:
        return NoAnswer(reader.broken.reason)
    if reader.answer is None:
        return NoAnswer("no answer came")
    try:
        # One level more: the value lies in {"value": ...}.
        answer = decode_json(
            reader.answer[skip_bytes:] if skip_bytes else reader.answer, depth=depth + 1
        )
        return _claim(answer)
    except Malformed as error:
        return NoAnswer(f"the answer cannot be read: {error}")


def _claim(answer: Json) -> Claim:
    match answer:
        case {"value": value, **rest} if not rest:
            return Returned(value)
        case {"value": value, "display": dict(display), **rest} if not rest:
            return Returned(value, parse_display(display))
        case {"parts": list(parts), **rest} if not rest:
            return ReturnedParts(parse_parts(parts))
        case {
            "raised": {"type": str(kind), "message": str(message), "traceback": str(trace), **more},
            **rest,
        } if not more and not rest:
            return Raised(
                kind[:_TEXT_CHARACTERS], message[:_TEXT_CHARACTERS], trace[-_TRACEBACK_CHARACTERS:]
            )
        case {"unfit": str(reason), **rest} if not rest:
            return Unfit(reason[:_TEXT_CHARACTERS])
        case _:
            return NoAnswer("the answer has none of the four forms")


def parse_partials(reader: FrameReader, *, depth: int) -> tuple[Json, ...]:
    """Read the partial values that came since the last time, and let go of their bytes.

    In order; those that are not good JSON are left out. Never raises.
    """
    bodies = reader.partials[:]
    reader.partials.clear()
    values: list[Json] = []
    for body in bodies:
        with contextlib.suppress(Malformed):
            values.append(decode_json(body, depth=depth))
    return tuple(values)


def parse_notes(reader: FrameReader) -> tuple[Note, ...]:
    """Read the notes in order; those that have none of their forms are left out. Never raises."""
    notes: list[Note] = []
    for body in reader.notes:
        with contextlib.suppress(Malformed):
            notes.append(parse_note(decode_json(body, depth=_NOTE_DEPTH)))
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class MainExited:
    """The call's main process ended by itself. code: 0 to 255."""

    code: int


@dataclass(frozen=True, slots=True)
class MainSignaled:
    """The call's main process was killed. signal: 1 to 64."""

    signal: int


InitReport: TypeAlias = MainExited | MainSignaled


def parse_report(report: Body) -> InitReport:
    """Read how the main process ended, as init saw it by waitpid(2). Malformed: anything else."""
    kind, status = _REPORT.unpack(report) if len(report) == REPORT_BYTES else (0, 0)
    if kind != 1:
        return refuse(f"it is no report of init: {bytes(report[:REPORT_BYTES]).hex()}")
    return parse_status(status)


def parse_status(status: int) -> InitReport:
    """Read a wait status, wait(2). Malformed: that of a process which has not ended."""
    if status <= _LAST_STATUS and os.WIFEXITED(status):
        return MainExited(os.WEXITSTATUS(status))
    if status <= _LAST_STATUS and os.WIFSIGNALED(status) and os.WTERMSIG(status) <= _LAST_SIGNAL:
        return MainSignaled(os.WTERMSIG(status))
    return refuse(f"{status:#x} is the wait status of no process that ended")
