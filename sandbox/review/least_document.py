"""Writes a policy document: TOML by hand, with what a guest said made harmless."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from sandbox.review.used import plain

__all__ = ["Table", "comment", "toml_value", "written"]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a document. name: "[quota]", "[[files]]", or "" for the keys at its top."""

    name: str
    keys: Mapping[str, object]
    remarks: Mapping[str, str] = field(default_factory=dict[str, str])
    """What stands behind a key."""
    why: Sequence[str] = ()
    """What stands above the table."""


def written(first_line: str, tables: Iterable[Table]) -> str:
    """Write a document. first_line: a comment, for whom it is."""
    return comment(first_line) + "\n".join(_table(table) for table in tables)


def comment(text: str) -> str:
    """Write one line of comment."""
    return f"# {plain(text)}\n"


def _table(table: Table) -> str:
    lines = [comment(line) for line in table.why]
    lines += [f"{table.name}\n"] if table.name else []
    for key, value in table.keys.items():
        line = f"{key} = {toml_value(value)}"
        remark = table.remarks.get(key)
        lines.append(f"{line:<31} # {plain(remark)}\n" if remark else f"{line}\n")
    return "".join(lines)


def toml_value(value: object) -> str:
    """Write a text, a truth, a number, a list or an inline table."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:_}"
        case float():
            return repr(value)
        case str():
            return _text(value)
        case Mapping():
            members = cast("Mapping[str, object]", value).items()
            pairs = [f"{_text(key)} = {toml_value(each)}" for key, each in members]
            return f"{{{', '.join(pairs)}}}"
        case Sequence():
            entries = cast("Sequence[object]", value)
            return f"[{', '.join(toml_value(each) for each in entries)}]"
        case _:
            message = f"{type(value).__name__} is nothing that a policy has"
            raise TypeError(message)


def _text(text: str) -> str:
    return '"' + "".join(_character(char) for char in text) + '"'


def _character(char: str) -> str:
    """Escape what TOML must have escaped, and what a reader would not see."""
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"
