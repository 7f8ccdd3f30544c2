"""Compile the system-call lists of policies/seccomp into a filter for seccomp(2).

A list is a document: each entry names some calls, what becomes of them, and why. Entries of one
call without ``when`` say what happens in general, those with ``when`` what happens if all their
conditions hold. A later document replaces what an earlier one says of a call, whole.
"""

import errno
import os
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from sandbox.errors import CannotEnforce, EngineFault
from sandbox.shipped import POLICIES

__all__ = ["CallList", "Condition", "Decision", "Entry", "compile_filter", "describe", "merge"]

THIS_MACHINE = os.uname().machine
INSTRUCTIONS_MAX = 4096
"""BPF_MAXINSNS of linux/bpf_common.h: seccomp(2) takes no longer program."""

# linux/audit.h: the architecture that the kernel puts beside each call's number.
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# asm/unistd.h: x32 calls come with the architecture of x86_64 and this bit in their number.
X32_BIT = 0x40000000

# linux/seccomp.h: the verdicts, and struct seccomp_data, which the program reads.
KILL_PROCESS = 0x80000000
ERRNO = 0x00050000
ALLOW = 0x7FFF0000
NUMBER_OFFSET = 0
ARCH_OFFSET = 4
ARGUMENTS_OFFSET = 16

# linux/bpf_common.h: class, size and mode of an instruction, put together.
LOAD_WORD = 0x20
AND = 0x54
JUMP = 0x05
JUMP_IF_EQUAL = 0x15
JUMP_IF_AT_LEAST = 0x35
RETURN = 0x06
SHORT_JUMP_MAX = 255

LONG = 64
HALF = 32
HALF_BITS = 0xFFFFFFFF


def _number(written: object) -> object:
    """Read a number that a document writes in hexadecimal, as a text."""
    return int(written, 16) if isinstance(written, str) and written.startswith("0x") else written


def _unsigned_64(number: int) -> int:
    if not 0 <= number < 1 << 64:
        message = f"{number} is no unsigned 64-bit number"
        raise ValueError(message)
    return number


Number = Annotated[int, BeforeValidator(_number), AfterValidator(_unsigned_64)]
Reason = Annotated[str, Field(min_length=10)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Condition(_Strict):
    """One argument of a call, masked, equals one of some named values.

    width: 32 where the kernel takes an int and looks at the low half only; 64 where it takes a
    long: then both halves are compared, with one value.
    mask: the bits that count; all of them by default.
    """

    argument: Annotated[int, Field(ge=0, le=5)]
    width: Literal[32, 64]
    mask: Number | None = None
    equals: Annotated[dict[str, Number], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        wide = [value for value in (self.bits, *self.equals.values()) if value >> self.width]
        if wide:
            message = f"{wide[0]:#x} does not fit width {self.width}"
            raise ValueError(message)
        if any(value & ~self.bits for value in self.equals.values()):
            message = f"a value has bits outside the mask {self.bits:#x}: it could never be equal"
            raise ValueError(message)
        if self.width == LONG and len(self.equals) > 1:
            message = "width 64 takes one value"
            raise ValueError(message)
        return self

    @property
    def bits(self) -> int:
        """The mask, filled in."""
        return (1 << self.width) - 1 if self.mask is None else self.mask

    def __str__(self) -> str:
        """Say it for a reader."""
        mask = "" if self.mask is None else f" & {self.mask:#x}"
        return f"argument {self.argument}{mask} is {' or '.join(self.equals)}"


class _Verdict(_Strict):
    action: Literal["allow", "errno"]
    errno: Literal["EPERM", "ENOSYS", "NOTHING"] | None = None
    why: Reason

    @model_validator(mode="after")
    def _errno_beside_errno(self) -> Self:
        if (self.action == "errno") != (self.errno is not None):
            message = 'exactly the action "errno" has an errno'
            raise ValueError(message)
        return self

    @property
    def code(self) -> int:
        """What the filter returns. NOTHING: success, without the call having done anything."""
        return ALLOW if self.errno is None else ERRNO | getattr(errno, self.errno, 0)


class Entry(_Verdict):
    """Some calls, what becomes of them, and why. when: all of it must hold; empty: in general."""

    names: Annotated[tuple[str, ...], Field(min_length=1)]
    when: tuple[Condition, ...] = ()


class _Document(_Strict):
    purpose: Annotated[str, Field(alias="for", min_length=10)]
    default: _Verdict | None = None
    entries: tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What becomes of one call: ``action`` is "allow" or the name of an errno.

    when: the conditions, all of which must hold; "" for what happens in general.
    """

    name: str
    action: str
    when: str
    why: str


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What becomes of one number: the first case whose conditions all hold, or else ``code``."""

    code: int
    cases: tuple[tuple[tuple[Condition, ...], int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Range:
    start: int
    outcome: _Outcome


@dataclass(frozen=True, kw_only=True)
class CallList:
    """What some documents say together, call by call."""

    default: _Verdict
    entries: dict[str, tuple[Entry, ...]]


def compile_filter(documents: Sequence[str] = ("guest",), machine: str = THIS_MACHINE) -> bytes:
    """Give the filter of these documents: an array of struct sock_filter, ready for seccomp(2).

    documents: names in policies/seccomp; the first holds the default, later ones override.
    machine: as uname(2) calls it. The result is kept, so a second call costs nothing.
    Calls by another architecture, and x32 calls, kill the process with SIGSYS.
    Raises CannotEnforce for a machine without a table of numbers, EngineFault for a broken list.
    """
    return _compile(tuple(documents), machine)


def describe(documents: Sequence[str] = ("guest",)) -> list[Decision]:
    """Give what is decided for each call, with the reasons; the default comes last, named "*"."""
    merged = merge(tuple(documents))
    decisions = [
        Decision(
            name=name,
            action=entry.errno or entry.action,
            when=" and ".join(map(str, entry.when)),
            why=entry.why,
        )
        for name, entries in sorted(merged.entries.items())
        for entry in entries
    ]
    default = merged.default
    last = Decision(name="*", action=default.errno or default.action, when="", why=default.why)
    return [*decisions, last]


@cache
def _compile(documents: tuple[str, ...], machine: str) -> bytes:
    numbers = _numbers()
    if machine not in numbers or machine not in AUDIT_ARCH:
        message = f"no system-call numbers for machine {machine}: use {' or '.join(AUDIT_ARCH)}"
        raise CannotEnforce(message)
    merged = merge(documents)
    ranges = list(_ranges(merged, numbers[machine]))
    program = _guard(machine) + _tree(ranges)
    if len(program) > INSTRUCTIONS_MAX:
        message = f"{documents}: {len(program)} instructions, the kernel takes {INSTRUCTIONS_MAX}"
        raise EngineFault(message)
    return b"".join(program)


# Reading the documents.

_NUMBERS = TypeAdapter(dict[str, dict[str, int]])


@cache
def _numbers() -> dict[str, dict[str, int]]:
    text = (POLICIES / "seccomp" / "numbers.json").read_bytes()
    return _NUMBERS.validate_json(text, strict=True)


def _read(name: str) -> _Document:
    try:
        text = (POLICIES / "seccomp" / f"{name}.json").read_bytes()
        return _Document.model_validate_json(text)
    except OSError as error:
        message = f"system-call list {name}.json: {error.strerror}"
        raise EngineFault(message) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = f"system-call list {name}.json: {place}: {first['msg']}"
        raise EngineFault(message) from error


def merge(names: tuple[str, ...]) -> CallList:
    """Read documents, later ones over earlier ones. Raises EngineFault for a broken list."""
    documents = [_read(name) for name in names]
    defaults = [document.default for document in documents]
    if not defaults or defaults[0] is None or any(defaults[1:]):
        message = f"system-call lists {names}: the first, and only the first, holds the default"
        raise EngineFault(message)
    known = {call for table in _numbers().values() for call in table}
    entries: dict[str, tuple[Entry, ...]] = {}
    for name, document in zip(names, documents, strict=True):
        entries |= _by_call(name, document, known)
    return CallList(default=defaults[0], entries=entries)


def _by_call(name: str, document: _Document, known: set[str]) -> dict[str, tuple[Entry, ...]]:
    entries: defaultdict[str, tuple[Entry, ...]] = defaultdict(tuple)
    for entry in document.entries:
        for call in entry.names:
            entries[call] += (entry,)
    for call, of_call in entries.items():
        fault = "no machine has such a call" if call not in known else _contradiction(of_call)
        if fault:
            message = f"system-call list {name}.json: {call}: {fault}"
            raise EngineFault(message)
    return entries


def _contradiction(entries: tuple[Entry, ...]) -> str:
    """Say what makes the order of one call's entries matter; it never may."""
    general = [entry.code for entry in entries if not entry.when]
    special = {entry.code for entry in entries if entry.when}
    if len(general) != 1:
        return f'needs one entry without "when", has {len(general)}'
    if len(special) > 1 or special & set(general):
        return 'every entry with "when" must lead to the same end, and not to the general one'
    return ""


# Writing the program. Every block ends in returns and jumps only forward within itself.


def _ranges(merged: CallList, numbers: dict[str, int]) -> Iterator[_Range]:
    """Cut the numbers into the fewest ranges of one outcome each."""
    default = _Outcome(code=merged.default.code)
    outcomes = {
        numbers[call]: _outcome(entries)
        for call, entries in merged.entries.items()
        if call in numbers
    }
    previous = None
    for start in sorted({0, *outcomes, *(number + 1 for number in outcomes)}):
        outcome = outcomes.get(start, default)
        if outcome != previous:
            yield _Range(start=start, outcome=outcome)
        previous = outcome


def _outcome(entries: tuple[Entry, ...]) -> _Outcome:
    (code,) = (entry.code for entry in entries if not entry.when)
    return _Outcome(
        code=code, cases=tuple((entry.when, entry.code) for entry in entries if entry.when)
    )


def _guard(machine: str) -> list[bytes]:
    """Kill what comes by another architecture; go on with the number loaded."""
    kill = _instruction(RETURN, KILL_PROCESS)
    program = [
        _instruction(LOAD_WORD, ARCH_OFFSET),
        _instruction(JUMP_IF_EQUAL, AUDIT_ARCH[machine], if_true=1),
        kill,
        _instruction(LOAD_WORD, NUMBER_OFFSET),
    ]
    if machine == "x86_64":
        program += [_instruction(JUMP_IF_AT_LEAST, X32_BIT, if_false=1), kill]
    return program


def _tree(ranges: Sequence[_Range]) -> list[bytes]:
    """Find the range of the loaded number by halving."""
    if len(ranges) == 1:
        return _leaf(ranges[0].outcome)
    middle = len(ranges) // 2
    below = _tree(ranges[:middle])
    return [*_over(ranges[middle].start, len(below)), *below, *_tree(ranges[middle:])]


def _over(start: int, below: int) -> list[bytes]:
    """Jump over the block of the numbers below start; conditional jumps reach only so far."""
    if below <= SHORT_JUMP_MAX:
        return [_instruction(JUMP_IF_AT_LEAST, start, if_true=below)]
    return [_instruction(JUMP_IF_AT_LEAST, start, if_false=1), _instruction(JUMP, below)]


def _leaf(outcome: _Outcome) -> list[bytes]:
    program: list[bytes] = []
    for conditions, code in outcome.cases:
        program += _case(conditions, code)
    return [*program, _instruction(RETURN, outcome.code)]


def _case(conditions: tuple[Condition, ...], code: int) -> list[bytes]:
    """Return the code if all conditions hold, or else go on behind this block."""
    block = [_instruction(RETURN, code)]
    for condition in reversed(conditions):
        offset = ARGUMENTS_OFFSET + 8 * condition.argument
        values = list(condition.equals.values())
        # On a 32-bit condition the high half has an empty mask: no comparison.
        high = [value >> HALF for value in values]
        low = [value & HALF_BITS for value in values]
        block = _compare(offset + 4, condition.bits >> HALF, high, len(block)) + block
        block = _compare(offset, condition.bits & HALF_BITS, low, len(block)) + block
    return block


def _compare(offset: int, mask: int, values: list[int], rest: int) -> list[bytes]:
    """Go on if the masked word is one of the values, or else jump over the rest of the block."""
    if not mask:
        return []
    load = [_instruction(LOAD_WORD, offset)]
    masked = [] if mask == HALF_BITS else [_instruction(AND, mask)]
    *others, last = values
    ahead = range(len(others), 0, -1)
    tests = [_instruction(JUMP_IF_EQUAL, v, if_true=n) for v, n in zip(others, ahead, strict=True)]
    return [*load, *masked, *tests, _instruction(JUMP_IF_EQUAL, last, if_false=rest)]


def _instruction(code: int, operand: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    """Pack a struct sock_filter."""
    if max(if_true, if_false) > SHORT_JUMP_MAX:
        message = f"system-call list: a condition's block is over {SHORT_JUMP_MAX} instructions"
        raise EngineFault(message)
    return struct.pack("<HBBI", code, if_true, if_false, operand)
