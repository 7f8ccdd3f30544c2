"""What a handler is given besides its arguments: who asks, progress, resources, cancellation."""

import time
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
)
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar, cast

from pydantic_core import to_jsonable_python

from sandbox.errors import BadCall
from sandbox.wire import Json

__all__ = ["Cancelled", "Context", "Progress", "Resource"]

T = TypeVar("T")


class Cancelled(BaseException):
    """Raised inside a sync handler at its deadline, so that its `finally` and `with` unwind.

    Not an Exception: `except Exception` does not swallow it. An async handler sees its event
    loop's own cancellation instead.
    """


@dataclass(frozen=True, kw_only=True)
class Context:
    """Who calls, and within what: the same for every call of a turn. A model cannot set any of it.

    A handler that has a parameter annotated with it is given it; the parameter is in no schema.
    Raises BadCall for permissions or secrets that are no collections of texts.
    """

    user: str = ""
    """Who the model acts for. Default: nobody."""
    request_id: str = ""
    """The request that this call is part of. Default: none."""
    permissions: AbstractSet[str] = frozenset()
    """What the caller may do; a frozenset from here on. Default: nothing."""
    deadline: float | None = None
    """When the answer must be there, by time.monotonic(), in seconds. Default: no such time."""
    metadata: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """JSON values of the application's own. Default: none."""
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Keys and passwords for the handler. Never shown, never in an answer, record or log."""
    traceparent: str = ""
    """The W3C trace that the call belongs to. Default: none."""
    _exits: ExitStack | AsyncExitStack | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Freeze the permissions and look at the secrets."""
        object.__setattr__(self, "permissions", _texts("permissions", self.permissions))
        _texts("secrets", self.secrets.values())

    def may(self, permission: str) -> bool:
        """Say whether the caller has a permission."""
        return permission in self.permissions

    def remaining(self) -> float:
        """Give the seconds until the deadline, not below 0.0; infinity where there is none."""
        if self.deadline is None:
            return float("inf")
        return max(0.0, self.deadline - time.monotonic())

    def narrow(self, *, deadline: float | None = None, wall_seconds: float | None = None) -> Self:
        """Give this context with an earlier deadline, for nested calls; a later one is not kept.

        deadline: by time.monotonic(), in seconds. wall_seconds: from now.
        """
        after = None if wall_seconds is None else time.monotonic() + wall_seconds
        known = [each for each in (self.deadline, deadline, after) if each is not None]
        narrowed = replace(self, deadline=min(known, default=None))
        object.__setattr__(narrowed, "_exits", self._exits)
        return narrowed

    def bound(self, exits: ExitStack | AsyncExitStack) -> Self:
        """Give this context for one running handler, whose enter() keeps its exits there."""
        given = replace(self)
        object.__setattr__(given, "_exits", exits)
        return given

    def enter(self, manager: AbstractContextManager[T, Any]) -> T:
        """Enter a context manager until the handler's end, whatever that is.

        All that was entered is closed in reverse order, with the exception passed in if there is
        one: success, error, deadline. Raises RuntimeError outside a handler.
        """
        return self._open_exits().enter_context(manager)

    async def enter_async(self, manager: AbstractAsyncContextManager[T, Any]) -> T:
        """Do what enter() does with an async context manager. Raises RuntimeError in sync code."""
        exits = self._open_exits()
        if isinstance(exits, AsyncExitStack):
            return await exits.enter_async_context(manager)
        message = "enter_async() needs an async handler: use enter()"
        raise RuntimeError(message)

    def _open_exits(self) -> ExitStack | AsyncExitStack:
        if self._exits is None:
            message = "enter() is for a running handler: nothing would close what is entered here"
            raise RuntimeError(message)
        return self._exits


class Progress:
    """How a handler tells how far it is, while it runs: progress.emit(value), or progress(value).

    Each value is anything that pydantic can turn into JSON. It reaches the caller's on_progress at
    once, and the model if the call does not end well.
    """

    def __init__(self, send: Callable[[Json], None]) -> None:
        """Keep where the values go."""
        self._send = send

    def emit(self, value: Any) -> None:
        """Tell one value. Raises ValueError for what JSON cannot say."""
        self._send(to_jsonable_python(value))

    def __call__(self, value: Any) -> None:
        """Do what emit() does."""
        self.emit(value)


@dataclass(frozen=True)
class Resource:
    """Marks a parameter that is opened for the call: `db: Annotated[Connection, Resource(open)]`.

    factory: called without arguments before the handler, where the handler runs. It gives a value,
    a context manager (sync or async), or is a generator function that yields one value. What it
    opened is closed after the handler, with the handler's exception passed in, so that a
    transaction commits on success and rolls back otherwise. name: said in the record; the
    factory's own by default.
    """

    factory: Callable[[], Any]
    name: str = ""

    def __post_init__(self) -> None:
        """Raise BadCall for a factory that cannot be called."""
        if not callable(self.factory):
            message = f"Resource() takes a function that opens it, not {self.factory!r}"
            raise BadCall(message)
        if not self.name:
            object.__setattr__(self, "name", getattr(self.factory, "__name__", "resource"))


def _texts(what: str, given: object) -> frozenset[str]:
    """Refuse one text instead of several, which would be taken for its letters."""
    members = () if isinstance(given, str) else cast("Iterable[object]", given)
    texts = [each for each in members if isinstance(each, str)]
    if isinstance(given, str) or len(texts) < len(list(members)):
        message = f"{what} of a Context are texts, several of them"
        raise BadCall(message)
    return frozenset(texts)
