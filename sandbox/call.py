"""What to run: Python source, a function with arguments, or a command, checked."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import PurePosixPath
from typing import Final, Literal, TypeAlias

from sandbox.errors import BadCall
from sandbox.policy import Quota
from sandbox.wire import Json

__all__ = [
    "Call",
    "Command",
    "Function",
    "Handler",
    "Injected",
    "Source",
    "as_bytes",
    "as_files",
    "quota_of",
]

MOST_DEPTH: Final = 40
LEAST_WALL_SECONDS: Final = 0.001
MOST_SOURCE_CHARACTERS: Final = 16 << 20
MOST_NAME_BYTES: Final = 255
_FUNCTION_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, kw_only=True)
class _Given:
    """What every call is given besides its code.

    files: relative name to content, put into the guest's /box before it starts.
    stdin: bytes of standard input; then end of file.
    """

    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    stdin: bytes = b""

    def __post_init__(self) -> None:
        """Raise BadCall for a file name that is not a plain relative path."""
        for name in self.files:
            _check_file_name(name)
            for parent in PurePosixPath(name).parents:
                if str(parent) in self.files:
                    message = (
                        f"the file name {str(parent)!r} is also the folder of {name!r}: rename it"
                    )
                    raise BadCall(message)


@dataclass(frozen=True, kw_only=True)
class Source(_Given):
    """Python source, run as the main module; the value of its last expression is the value.

    inputs: JSON values, names in the module. arguments: sys.argv[1:]. name: sys.argv[0].
    expect_value: False runs it as a script, whose last expression is nobody's value.
    """

    source: str
    inputs: Mapping[str, Json] = field(default_factory=dict[str, Json])
    arguments: Sequence[str] = ()
    name: str = "program.py"
    expect_value: bool = True

    def __post_init__(self) -> None:
        """Raise BadCall for text that no program can have, or inputs that are no names."""
        super().__post_init__()
        if len(self.source) > MOST_SOURCE_CHARACTERS:
            message = f"the source is over {MOST_SOURCE_CHARACTERS} characters: send it as files"
            raise BadCall(message)
        _check_text("the source", self.source)
        for name in self.inputs:
            if not name.isidentifier() or iskeyword(name) or name.startswith("__"):
                message = f"the input {name!r} is not a Python name of yours to give: rename it"
                raise BadCall(message)
        _check_json("inputs", dict(self.inputs))
        for argument in (self.name, *self.arguments):
            _check_text(f"the argument {argument[:40]!r}", argument)


@dataclass(frozen=True, kw_only=True)
class Function(_Given):
    """A function: by import as "module:name", or by value as a pickle that this host made."""

    name: str
    arguments: Sequence[Json] = ()
    keywords: Mapping[str, Json] = field(default_factory=dict[str, Json])
    pickled: bytes = b""

    def __post_init__(self) -> None:
        """Raise BadCall for a name that is not "module:name", or arguments that are not JSON."""
        super().__post_init__()
        if not self.pickled and not _FUNCTION_NAME.fullmatch(self.name):
            message = f"{self.name!r} names no function: write it as 'module:function'"
            raise BadCall(message)
        _check_json("the arguments", [list(self.arguments), dict(self.keywords)])


@dataclass(frozen=True, kw_only=True)
class Command(_Given):
    """A program and its arguments; found on the guest's PATH, never through a shell."""

    argv: Sequence[str]

    def __post_init__(self) -> None:
        """Raise BadCall for an empty command or an argument that execve(2) cannot take."""
        super().__post_init__()
        if isinstance(self.argv, str) or not self.argv or not self.argv[0]:
            message = f"a command is a list of words, not {self.argv!r}"
            raise BadCall(message)
        for word in self.argv:
            _check_text(f"the argument {word[:40]!r}", word)


def as_bytes(content: bytes | str) -> bytes:
    """Give text as UTF-8, and bytes as they are."""
    return content.encode() if isinstance(content, str) else bytes(content)


def as_files(files: Mapping[str, bytes | str] | None) -> dict[str, bytes]:
    """Give the input files of a call as bytes."""
    return {name: as_bytes(content) for name, content in (files or {}).items()}


Injected: TypeAlias = Literal["context", "progress", "resource"]
"""What the guest side gives to a parameter of a handler."""


@dataclass(frozen=True, kw_only=True)
class Handler(_Given):
    """A function of this program with checked arguments, and what it is given besides them.

    name: for its logs. pickled: the function, its arguments, keywords and resource factories, by
    functions.handler_call(). injected: parameter to what it gets. context: JSON members of the
    guest's Context; "deadline_seconds" is the time left, the rest as Context has it.
    wall_seconds: its time, where that is less than its policy's.
    """

    name: str
    pickled: bytes = field(repr=False)
    injected: Mapping[str, Injected] = field(default_factory=dict[str, Injected])
    context: Mapping[str, Json] = field(default_factory=dict[str, Json], repr=False)
    wall_seconds: float | None = None

    def __post_init__(self) -> None:
        """Raise BadCall for a context that is not JSON."""
        super().__post_init__()
        _check_text("the name", self.name)
        _check_json("the context", dict(self.context))


Call: TypeAlias = Source | Function | Handler | Command


def quota_of(call: Call, quota: Quota) -> Quota:
    """Give the quota of a call: its policy's, with the time of a handler that has less."""
    if not isinstance(call, Handler) or call.wall_seconds is None:
        return quota
    wall_seconds = max(LEAST_WALL_SECONDS, min(quota.wall_seconds, call.wall_seconds))
    return quota.model_copy(update={"wall_seconds": wall_seconds})


def _check_text(what: str, text: str) -> None:
    """Refuse a NUL or half a surrogate pair, with its place."""
    if "\0" in text:
        message = f"{what} has a NUL at character {text.index(chr(0))}: remove it"
        raise BadCall(message)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = f"{what} has a lone surrogate at character {error.start}: remove it"
        raise BadCall(message) from None


def _check_json(what: str, value: Json) -> None:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{what} cannot be sent as JSON: {error}"
        raise BadCall(message) from None


def _check_file_name(name: str) -> None:
    """Refuse what is not a plain relative path below the work folder."""
    _check_text(f"the file name {name[:40]!r}", name)
    parts = name.split("/")
    if len(parts) > MOST_DEPTH or any(part in {"", ".", ".."} for part in parts):
        message = f"the file name {name!r} is not a plain path below the work folder: rename it"
        raise BadCall(message)
    if any(len(part.encode()) > MOST_NAME_BYTES for part in parts):
        message = f"the file name {name[:40]!r}... is over {MOST_NAME_BYTES} bytes: shorten it"
        raise BadCall(message)
