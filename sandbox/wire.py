"""The one reader of guest bytes: frames, JSON, the answer, init's report, output.

Everything that comes in here was written by somebody who wants the host to fall. So: a cap is
checked before anything is kept, nothing is executed or looked up by name, each field is checked,
and what does not fit becomes a value (Broken, NoAnswer) or Malformed, never another exception.
What a guest says is a claim: whether its call was ok is decided from what the host saw.
"""

import codecs
import contextlib
import json
import math
import os
import re
import struct
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Never, TypeAlias

__all__ = [
    "ANSWER", "HEADER_BYTES", "PARTIAL", "REPORT_BYTES", "Broken", "Claim", "FrameReader",
    "InitReport", "Json", "MainExited", "MainSignaled", "Malformed", "NoAnswer", "OutputBuffer",
    "Raised", "Returned", "Unfit", "decode_json", "encode_frame", "parse_answer",
    "parse_partials", "parse_report", "printable",
]  # fmt: skip

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A value that JSON can carry. Numbers are finite, strings are valid Unicode."""

Body: TypeAlias = bytes | bytearray

_HEADER: Final = struct.Struct(">IB")
HEADER_BYTES: Final = _HEADER.size
"""A frame is its body's length (32 bits, big-endian), its kind (8 bits), its body."""
ANSWER: Final = 1
"""Kind of the last frame of a call; nothing may follow it."""
PARTIAL: Final = 2
"""Kind of a frame with one value that the call gave before its end."""

_REPORT: Final = struct.Struct(">BI")
REPORT_BYTES: Final = _REPORT.size
"""A report of init is its kind (8 bits, always 1) and a wait status (32 bits, big-endian)."""

_LAST_STATUS: Final = 0xFFFF
_LAST_SIGNAL: Final = 64
_TEXT_CHARACTERS: Final = 10_000
_TRACEBACK_CHARACTERS: Final = 100_000
_DIGITS: Final = 4300
_LONG_RUN: Final = b"0" * (_DIGITS + 1)
_ZEROES: Final = bytes.maketrans(b"123456789", b"000000000")
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_CONTINUATION: Final = re.compile(rb"\A[\x80-\xbf]{1,3}")
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and line feed
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # order and width
    "\ud800-\udfff\U000e0000-\U000e007f]"  # half characters, tags
)


class Malformed(ValueError):
    """Guest bytes that are not what they must be; the reason quotes nothing of the guest's."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Why a stream of frames cannot be believed any more; the host's own words."""

    reason: str


def encode_frame(kind: int, body: bytes) -> bytes:
    """Put a header before a body. struct.error: body of 4 GiB or more, or kind over 255."""
    return _HEADER.pack(len(body), kind) + body


class FrameReader:
    """Take a guest's byte stream apart into frames, within a fixed amount of memory.

    limit_bytes: all bodies together, partials and answer. most_frames: their number, 10,000 by
    default, because small frames cost more than their bytes. Over either, an unknown kind, an
    empty body, anything after the answer or half a frame at the end: `broken` says why, all
    later bytes are dropped unread, the answer is gone; the partials before that point stay.
    """

    broken: Broken | None
    answer: Body | None
    """Body of the answer; None while there is none, and when the stream is broken."""
    partials: list[Body]
    """Bodies of the partial values, in the order in which they came."""

    def __init__(self, limit_bytes: int, *, most_frames: int = 10_000) -> None:
        """Start with nothing read."""
        self.broken = self.answer = None
        self.partials = []
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
            self.partials.append(self._gathered)
        return self._expect_header()

    def _expect_header(self) -> None:
        self._kind = 0
        self._wanted = HEADER_BYTES
        self._gathered = bytearray()

    def _expect_body(self, length: int, kind: int) -> None:
        """Charge the body's length before a byte of it is kept."""
        if kind not in {ANSWER, PARTIAL}:
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


def _refuse(reason: str) -> Never:
    raise Malformed(reason)


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse("a number is too large")


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else _refuse("an object has a key twice")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=lambda name: _refuse(f"{name} is not JSON"),
    parse_float=_finite,
)


def decode_json(body: Body, *, depth: int) -> Json:
    """Read one JSON document of at most `depth` nested lists and objects.

    Malformed: not UTF-8, a lone surrogate, NaN or infinity in any spelling, a key given twice,
    nested too deep, a number over 4300 digits, anything before or after the document.
    """
    # Before the parser, which recurses over lists and takes quadratic time over long integers.
    if body.count(b"[") + body.count(b"{") > depth and _deepest(body) > depth:
        _refuse(f"it is nested more than {depth} deep")
    if len(body) > _DIGITS and _LONG_RUN in _outside_strings(body).translate(_ZEROES):
        _refuse(f"a number has more than {_DIGITS} digits")
    value = _load(body)
    if _SURROGATE_ESCAPE.search(body) and not _is_unicode(value):
        _refuse("a string has a lone surrogate")
    return value


def _outside_strings(body: Body) -> Body:
    """Leave strings away. Right up to the first fault at least, which is where the parser stops.

    Without escaped backslashes and escaped quotes, every other piece between quotes is outside.
    """
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")
    return b" ".join(plain.split(b'"')[::2])


def _deepest(body: Body) -> int:
    brackets = _outside_strings(body).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(memoryview(brackets).cast("b")), default=0)


def _load(body: Body) -> Json:
    try:
        value: Json = _DECODER.decode(body.decode())
    except UnicodeDecodeError:
        return _refuse("it is not UTF-8")
    except json.JSONDecodeError as error:
        return _refuse(f"it is not JSON at character {error.pos}")
    except RecursionError:
        return _refuse("it is nested too deep")
    return value


def _is_unicode(value: Json) -> bool:
    """Say whether UTF-8 can carry all strings: half a surrogate pair may come as an escape."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Returned:
    """The guest says that the call gave this value."""

    value: Json


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


Claim: TypeAlias = Returned | Raised | Unfit | NoAnswer
"""What a guest says became of its call. Not a verdict."""


def parse_answer(reader: FrameReader, *, depth: int) -> Claim:
    """Read what the guest claims. depth: nested lists and objects in a value. Never raises."""
    if reader.broken:
        return NoAnswer(reader.broken.reason)
    if reader.answer is None:
        return NoAnswer("no answer came")
    try:
        # One level more: the value lies in {"value": ...}.
        answer = decode_json(reader.answer, depth=depth + 1)
    except Malformed as error:
        return NoAnswer(f"the answer cannot be read: {error}")
    return _claim(answer)


def _claim(answer: Json) -> Claim:
    match answer:
        case {"value": value, **rest} if not rest:
            return Returned(value)
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
            return NoAnswer("the answer has none of the three forms")


def parse_partials(reader: FrameReader, *, depth: int) -> tuple[Json, ...]:
    """Read the partial values in order; those that are not good JSON are left out. Never raises."""
    values: list[Json] = []
    for body in reader.partials:
        with contextlib.suppress(Malformed):
            values.append(decode_json(body, depth=depth))
    return tuple(values)


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
    if kind != 1 or status > _LAST_STATUS:
        return _refuse(f"it is no report of init: {bytes(report[:REPORT_BYTES]).hex()}")
    if os.WIFEXITED(status):
        return MainExited(os.WEXITSTATUS(status))
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) <= _LAST_SIGNAL:
        return MainSignaled(os.WTERMSIG(status))
    return _refuse(f"a report of init has the wait status {status:#x}")


Chunk: TypeAlias = bytes  # inside OutputBuffer `bytes` is its method


class OutputBuffer:
    """Keep the first and the last half of a stream of output, in flat memory.

    limit_bytes: how much is kept. Up to it nothing is lost; over it the middle goes.
    """

    total: int
    """How many bytes came."""

    def __init__(self, limit_bytes: int) -> None:
        """Start empty."""
        self.total = 0
        self._tail_bytes = limit_bytes // 2
        self._head_bytes = limit_bytes - self._tail_bytes
        self._head = bytearray()
        self._tail = bytearray()

    @property
    def dropped(self) -> int:
        """How many of them were not kept."""
        return max(0, self.total - self._head_bytes - self._tail_bytes)

    def append(self, chunk: Chunk) -> None:
        """Add the next bytes. Time is in proportion to the chunk, however small it is."""
        self.total += len(chunk)
        room = self._head_bytes - len(self._head)
        self._head += chunk[:room]
        rest = chunk[room:]
        self._tail += rest[max(0, len(rest) - self._tail_bytes) :]
        # At twice its size, so that each byte is moved once at most.
        if len(self._tail) > 2 * self._tail_bytes:
            del self._tail[: len(self._tail) - self._tail_bytes]

    def text(self) -> str:
        """Read it as UTF-8, faults as U+FFFD, with a line where something was dropped.

        A character that was cut in two where the middle went is left away.
        """
        if not self.dropped:
            return self.bytes().decode(errors="replace")
        # Not final: it keeps the beginning of a character to itself.
        head = codecs.getincrementaldecoder("utf-8")("replace").decode(self._head)
        tail = _CONTINUATION.sub(b"", self._kept_tail()).decode(errors="replace")
        return f"{head}\n[... {self.dropped} bytes dropped ...]\n{tail}"

    def bytes(self) -> Chunk:
        """Give head and tail; nothing is put between them."""
        return Chunk(self._head) + self._kept_tail()

    def _kept_tail(self) -> Chunk:
        return Chunk(self._tail[max(0, len(self._tail) - self._tail_bytes) :])


def printable(text: str) -> str:
    r"""Make guest text safe for a terminal or a log: what acts or hides becomes an escape.

    Line feeds and tabs stay. Controls, direction overrides, the invisible: shown like \x1b.
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
