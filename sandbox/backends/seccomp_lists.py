"""The system-call lists of policies/seccomp: read, checked, put one over the other, explained.

A list is a document: each entry names some calls, what becomes of them, and why. Entries of one
call without ``when`` say what happens in general, those with ``when`` what happens if all their
conditions hold. A later document replaces what an earlier one says of a call, whole.
"""

import errno
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal, Self, TypeVar

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

from sandbox.errors import EngineFault
from sandbox.shipped import POLICIES

__all__ = [
    "ALLOW",
    "ERRNO",
    "CallList",
    "Condition",
    "Decision",
    "Entry",
    "Unwatched",
    "call_numbers",
    "describe",
    "merge",
    "read_unwatched",
]

# linux/seccomp.h: the verdicts that a list can lead to.
ERRNO = 0x00050000
ALLOW = 0x7FFF0000
LONG = 64


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


class Unwatched(_Strict):
    """Some calls that nobody looks at in a watched guest, and why. when: only these of them."""

    names: Annotated[tuple[str, ...], Field(min_length=1)]
    when: tuple[Condition, ...] = ()
    why: Reason


class _UnwatchedDocument(_Strict):
    purpose: Annotated[str, Field(alias="for", min_length=10)]
    entries: tuple[Unwatched, ...]


_AnyDocument = TypeVar("_AnyDocument", bound=_Strict)


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
class CallList:
    """What some documents say together, call by call."""

    default: _Verdict
    entries: dict[str, tuple[Entry, ...]]


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


_NUMBERS = TypeAdapter(dict[str, dict[str, int]])


@cache
def call_numbers() -> dict[str, dict[str, int]]:
    """Give the number of each call by name, for each machine as uname(2) calls it."""
    text = (POLICIES / "seccomp" / "numbers.json").read_bytes()
    return _NUMBERS.validate_json(text, strict=True)


def _read(name: str, kind: type[_AnyDocument]) -> _AnyDocument:
    try:
        text = (POLICIES / "seccomp" / f"{name}.json").read_bytes()
        return kind.model_validate_json(text)
    except OSError as error:
        message = f"system-call list {name}.json: {error.strerror}"
        raise EngineFault(message) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = f"system-call list {name}.json: {place}: {first['msg']}"
        raise EngineFault(message) from error


@cache
def read_unwatched() -> tuple[Unwatched, ...]:
    """Read which calls of a watched guest are let on unseen. Raises EngineFault."""
    entries = _read("unwatched", _UnwatchedDocument).entries
    known = {call for table in call_numbers().values() for call in table}
    if strange := sorted({name for entry in entries for name in entry.names} - known):
        message = f"system-call list unwatched.json: {strange[0]}: no machine has such a call"
        raise EngineFault(message)
    return entries


def merge(names: tuple[str, ...]) -> CallList:
    """Read documents, later ones over earlier ones. Raises EngineFault for a broken list."""
    documents = [_read(name, _Document) for name in names]
    defaults = [document.default for document in documents]
    if not defaults or defaults[0] is None or any(defaults[1:]):
        message = f"system-call lists {names}: the first, and only the first, holds the default"
        raise EngineFault(message)
    known = {call for table in call_numbers().values() for call in table}
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
