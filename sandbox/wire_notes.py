"""What a guest says about its handler besides the answer: its resources, what it left open."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from sandbox.wire_json import Json, refuse

__all__ = ["LeftOpen", "Note", "ResourceNote", "ResourceState", "parse_note"]

ResourceState: TypeAlias = Literal["opened", "committed", "rolled_back", "unknown"]
"""opened: entered. committed: closed without an exception. rolled_back: closed with one, which it
was given. unknown: closing it raised. One whose last note is "opened" was never closed: killed."""

MOST_NAME_CHARACTERS: Final = 100
MOST_COUNT: Final = 1 << 31
_STATES: Final = dict(zip(get_args(ResourceState), get_args(ResourceState), strict=True))


@dataclass(frozen=True)
class ResourceNote:
    """What became of a resource: the guest's claim, the last of one name and number counts."""

    resource: str
    state: ResourceState
    number: int
    """In the order in which they were opened, from 0: two may have one name."""


@dataclass(frozen=True)
class LeftOpen:
    """How many of each a handler had left open at its end; the guest's count. All are gone."""

    files: int
    sockets: int
    threads: int
    children: int
    temporary_files: int


Note: TypeAlias = ResourceNote | LeftOpen


def parse_note(note: Json) -> Note:
    """Read one note. Malformed: it has neither form."""
    match note:
        case {"resource": str(name), "state": str(state), "number": int(number), **rest} if (
            not rest and state in _STATES
        ):
            return ResourceNote(name[:MOST_NAME_CHARACTERS], _STATES[state], _count(number))
        case {"left_open": dict(counts), **rest} if not rest and set(counts) == _COUNTED:
            return LeftOpen(**{name: _count(count) for name, count in counts.items()})
        case _:
            return refuse("a note has none of the forms")


_COUNTED: Final = set(LeftOpen.__dataclass_fields__)


def _count(number: Json) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MOST_COUNT:
        refuse("a count is none")
    return number
