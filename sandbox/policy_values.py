"""The checked values a policy is made of: host names, paths, variable names, lines of text."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, cast, final

from pydantic import AfterValidator, BeforeValidator, Field

__all__ = [
    "AbsolutePath",
    "FrozenValues",
    "HostName",
    "Line",
    "Names",
    "Reason",
    "ToolName",
    "VariableName",
    "VariableValue",
    "as_tuple",
    "host_within",
    "without_covered_hosts",
]

# control characters, line and paragraph separators, what turns the direction of reading around,
# and lone surrogates, which have no UTF-8
_UNPLAIN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_UNPASSABLE = re.compile(r"[\x00\ud800-\udfff]")
_HOST_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOOL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_HOST_NAME_LENGTH = 253


def _one_line(text: str) -> str:
    if _UNPLAIN.search(text):
        message = f"{text!r} holds a control or broken character: write plain text on one line"
        raise ValueError(message)
    return text


def _said(text: str) -> str:
    if not text.strip():
        message = "nothing is said: say in one line why the call needs this"
        raise ValueError(message)
    return _one_line(text)


def _absolute_path(path: str) -> str:
    _one_line(path)
    # PurePosixPath keeps two leading slashes and every '..': neither is plain
    plain = str(PurePosixPath(path)) == path and not path.startswith("//")
    if not path.startswith("/") or ".." in path.split("/") or not plain:
        message = f"{path!r} is no plain absolute path: use no '..', '//', './' or last '/'"
        raise ValueError(message)
    return path


def _host_name(name: str) -> str:
    lowered = name.lower()
    labels = lowered.removeprefix("*.").split(".")
    if len(labels) == 1:
        message = f"{name!r} is too wide or means another host on each machine: name at least a.b"
        raise ValueError(message)
    plausible = all(_HOST_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit()
    if not plausible or len(lowered) > _HOST_NAME_LENGTH:
        message = f"{name!r} is no host name: write it as api.example.org or *.example.org"
        raise ValueError(message)
    return lowered


def host_within(name: str, wider: str) -> bool:
    """Tell whether allowing `wider` allows `name` too; *.a.b covers x.a.b but not a.b itself."""
    return name == wider or (wider.startswith("*.") and name.endswith(wider[1:]))


def without_covered_hosts(names: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out each name that a wildcard beside it covers."""
    return tuple(
        name
        for name in names
        if not any(host_within(name, other) for other in names if other != name)
    )


def _variable_name(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        message = f"{name!r} is no variable name: use letters, digits and _, not a digit first"
        raise ValueError(message)
    return name


def _variable_value(value: str) -> str:
    if _UNPASSABLE.search(value):
        message = "the value of a variable cannot hold a NUL or a lone surrogate: leave it out"
        raise ValueError(message)
    return value


def _tool_name(name: str) -> str:
    if not _TOOL.fullmatch(name):
        message = f"{name!r} is no tool name: use up to 64 letters, digits, _, - and ."
        raise ValueError(message)
    return name


def as_tuple(given: object) -> object:
    """TOML has lists where a frozen policy has tuples."""
    return tuple(cast("list[object]", given)) if isinstance(given, list) else given


def _sorted_once(names: tuple[str, ...]) -> tuple[str, ...]:
    """Order and repetition mean nothing in a list of names; equal grants are equal policies."""
    return tuple(sorted(set(names)))


@final
class FrozenValues(Mapping[str, str]):
    """A mapping of names to texts that cannot change and can be hashed."""

    def __init__(self, values: Mapping[str, str]) -> None:
        """Copy the values, sorted by name."""
        self._values = dict(sorted(values.items()))

    def __getitem__(self, name: str) -> str:
        """Give the text of a name."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names, sorted."""
        return iter(self._values)

    def __len__(self) -> int:
        """Count the names."""
        return len(self._values)

    def __hash__(self) -> int:
        """Hash by content."""
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        """Show the content."""
        return f"FrozenValues({self._values!r})"


Line = Annotated[str, AfterValidator(_one_line)]
Reason = Annotated[str, AfterValidator(_said)]
AbsolutePath = Annotated[str, AfterValidator(_absolute_path)]
HostName = Annotated[str, AfterValidator(_host_name)]
VariableName = Annotated[str, AfterValidator(_variable_name)]
VariableValue = Annotated[str, Field(max_length=30_000), AfterValidator(_variable_value)]
ToolName = Annotated[str, AfterValidator(_tool_name)]
Names = (BeforeValidator(as_tuple), AfterValidator(_sorted_once))
