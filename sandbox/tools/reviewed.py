"""Refuses tools whose code is not the code that was reviewed."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from pydantic import ValidationError

from sandbox.errors import BadCall
from sandbox.policy_documents import nearest
from sandbox.review.baseline import Baseline
from sandbox.review.subject import function_hash

__all__ = ["Reviewed", "Reviews"]

Reviewed: TypeAlias = Baseline | str | Path
"""A baseline, or the file with its JSON."""


class _Made(Protocol):
    """What is compared of a tool."""

    @property
    def name(self) -> str: ...

    @property
    def function(self) -> Callable[..., Any]: ...


class Reviews:
    """The baselines of a toolset, by the names of its tools."""

    def __init__(self, reviewed: Mapping[str, Reviewed]) -> None:
        """Read all of them. Raises BadCall for one that is not there, or is none."""
        self._baselines = {name: _baseline(name, each) for name, each in reviewed.items()}

    def check(self, tools: Sequence[_Made], own: Reviewed | None) -> None:
        """Compare the code of each tool with its baseline. own: that of one, given with it.

        Raises BadCall for a tool that is another, and for one baseline of several tools.
        """
        if own is not None and len(tools) != 1:
            message = f"reviewed= is for one function: these are {len(tools)}"
            raise BadCall(message)
        for tool in tools:
            if own is not None:
                _compare(tool, _baseline(tool.name, own))
            if tool.name in self._baselines:
                _compare(tool, self._baselines[tool.name])

    def check_all_registered(self, names: Collection[str]) -> None:
        """Raise BadCall for a baseline that no tool has: a slip would leave a tool unchecked."""
        for name in sorted(self._baselines.keys() - set(names)):
            hint = nearest(name, names) if names else "none is registered"
            message = f"reviewed has {name!r}, and there is no such tool: {hint}"
            raise BadCall(message)


def _baseline(name: str, reviewed: Reviewed) -> Baseline:
    if isinstance(reviewed, Baseline):
        return reviewed
    try:
        return Baseline.load(reviewed)
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    except ValidationError as error:
        fault = f"is none: {error.errors()[0]['msg']}"
    message = f"the tool {name}: its baseline {reviewed} {fault}: review it: sandbox review ..."
    raise BadCall(message)


def _compare(tool: _Made, baseline: Baseline) -> None:
    """Compare code only: what a tool depends on is compared when it is reviewed again."""
    again = f"review it again: sandbox review {_called(tool.function)}"
    if baseline.kind != "function":
        message = f"the tool {tool.name}: its baseline is of a {baseline.kind}: {again}"
        raise BadCall(message)
    found = function_hash(tool.function)
    if found != baseline.hash:
        message = (
            f"the tool {tool.name} is not what was reviewed as {baseline.name}: its code has "
            f"changed, SHA-256 {baseline.hash[:12]} is now {found[:12]}: {again}"
        )
        raise BadCall(message)


def _called(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", "")
    return f"{getattr(function, '__module__', '')}:{name}"
