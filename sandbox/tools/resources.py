"""Opens what a host handler asks for by Resource, closes it in reverse, and notes how that went."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from types import TracebackType
from typing import Any, TypeAlias, cast

from sandbox.tools.context import Resource
from sandbox.wire import ResourceNote, ResourceState

__all__ = ["AsyncExits", "Exits", "Notes", "open_async", "open_sync"]

Manager: TypeAlias = AbstractContextManager[Any, Any]
AsyncManager: TypeAlias = AbstractAsyncContextManager[Any, Any]


class Notes:
    """What became of each resource, in the order of events."""

    def __init__(self) -> None:
        """Start with nothing opened."""
        self._notes: list[ResourceNote] = []
        self._opened = 0

    def all(self) -> tuple[ResourceNote, ...]:
        """Give what was noted so far."""
        return tuple(self._notes)

    def opened(self, name: str) -> Callable[[ResourceState], None]:
        """Note that a resource was opened; give the function that notes its end."""
        number, self._opened = self._opened, self._opened + 1

        def note(state: ResourceState) -> None:
            self._notes.append(ResourceNote(name, state, number))

        note("opened")
        return note


class Exits(ExitStack):
    """An exit stack that notes what became of each context manager."""

    def __init__(self, notes: Notes) -> None:
        """Start empty."""
        super().__init__()
        self._notes = notes

    def enter_context(self, cm: Manager, name: str = "") -> Any:
        """Enter one; name: under which it is noted, its own by default."""
        return super().enter_context(_Noted(cm, name or _name_of(cm), self._notes))


class AsyncExits(AsyncExitStack):
    """The same in async code."""

    def __init__(self, notes: Notes) -> None:
        """Start empty."""
        super().__init__()
        self._notes = notes

    def enter_context(self, cm: Manager, name: str = "") -> Any:
        """Enter one; name: under which it is noted, its own by default."""
        return super().enter_context(_Noted(cm, name or _name_of(cm), self._notes))

    async def enter_async_context(self, cm: AsyncManager, name: str = "") -> Any:
        """Enter an async one."""
        noted = _NotedAsync(cm, name or _name_of(cm), self._notes)
        return await super().enter_async_context(noted)


def open_sync(resource: Resource, exits: Exits) -> Any:
    """Open a resource in sync code; it is closed with the others of this stack.

    Raises TypeError for one that only async code can open, and whatever the factory raises.
    """
    given = _given(resource)
    if isinstance(given, AbstractContextManager):
        return exits.enter_context(cast("Manager", given), resource.name)
    if isinstance(given, AbstractAsyncContextManager | Awaitable):
        if isinstance(given, Coroutine):
            given.close()
        message = f"the resource {resource.name} is async: make its tool `async def`"
        raise TypeError(message)
    return given


async def open_async(resource: Resource, exits: AsyncExits) -> Any:
    """Open a resource in async code; it is closed with the others of this stack."""
    given = _given(resource)
    if inspect.isawaitable(given):
        given = await given
    if isinstance(given, AbstractAsyncContextManager):
        return await exits.enter_async_context(cast("AsyncManager", given), resource.name)
    if isinstance(given, AbstractContextManager):
        return exits.enter_context(cast("Manager", given), resource.name)
    return given


def _name_of(manager: object) -> str:
    """Name a context manager: one made of a generator function by that function."""
    function = getattr(manager, "func", None)
    return str(getattr(function, "__name__", "") or type(manager).__name__)


def _given(resource: Resource) -> Any:
    """Call the factory; a generator function counts as the context manager it would make."""
    factory = resource.factory
    if inspect.isgeneratorfunction(factory):
        return contextmanager(factory)()
    if inspect.isasyncgenfunction(factory):
        return asynccontextmanager(factory)()
    return factory()


def _state(given: BaseException | None, raised: BaseException | None) -> ResourceState:
    """Tell the end from the exception that closing was given and the one that came out of it."""
    if raised is not None and raised is not given:
        return "unknown"
    return "committed" if given is None else "rolled_back"


class _Noted:
    """A context manager whose beginning and end are noted."""

    def __init__(self, manager: Manager, name: str, notes: Notes) -> None:
        self._manager, self._name, self._notes = manager, name, notes
        self._note: Callable[[ResourceState], None] = lambda _: None

    def __enter__(self) -> Any:
        value = self._manager.__enter__()
        self._note = self._notes.opened(self._name)
        return value

    def __exit__(
        self,
        kind: type[BaseException] | None,
        given: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        try:
            is_swallowed = bool(self._manager.__exit__(kind, given, trace))
        except BaseException as raised:
            self._note(_state(given, raised))
            raise
        self._note(_state(given, None))
        return is_swallowed


class _NotedAsync:
    """The same for an async one."""

    def __init__(self, manager: AsyncManager, name: str, notes: Notes) -> None:
        self._manager, self._name, self._notes = manager, name, notes
        self._note: Callable[[ResourceState], None] = lambda _: None

    async def __aenter__(self) -> Any:
        value = await self._manager.__aenter__()
        self._note = self._notes.opened(self._name)
        return value

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        given: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        try:
            is_swallowed = bool(await self._manager.__aexit__(kind, given, trace))
        except BaseException as raised:
            self._note(_state(given, raised))
            raise
        self._note(_state(given, None))
        return is_swallowed
