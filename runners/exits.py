"""Opens a handler's resources, closes them in reverse, and notes what became of each."""

import types
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from typing import Any, cast


class Exits:
    """Closes what a handler entered, in reverse order, and says what became of each."""

    def __init__(
        self,
        stack: AsyncExitStack,
        note: Callable[[dict[str, Any]], None],
        settle: Callable[[Any], Awaitable[Any]],
    ) -> None:
        """Keep the stack, where the notes go, and how what is awaitable is waited for."""
        self._stack = stack
        self._note = note
        self._settle = settle
        self._opened = 0

    async def open(self, factory: Callable[[], Any], name: str) -> Any:
        """Open a resource by whatever its factory gives; without an exit it is a plain value."""
        opened = factory()
        if isinstance(opened, types.GeneratorType):
            return self.enter(contextmanager(lambda: cast("Any", opened))(), name)
        if isinstance(opened, types.AsyncGeneratorType):
            return await self.enter_async(asynccontextmanager(lambda: cast("Any", opened))(), name)
        if hasattr(opened, "__await__") and not hasattr(opened, "__aenter__"):
            opened = await self._settle(opened)
        if hasattr(opened, "__enter__"):
            return self.enter(opened, name)
        if hasattr(opened, "__aenter__"):
            return await self.enter_async(opened, name)
        return self._enter_closing(opened, name)

    def _enter_closing(self, opened: Any, name: str) -> Any:
        is_closable = callable(getattr(opened, "close", None))
        return self.enter(closing(opened), name) if is_closable else opened

    def enter(self, manager: Any, name: str = "") -> Any:
        """Enter a context manager; it is closed with the stack."""
        value = manager.__enter__()
        recorder = self._recorder(name or _name_of(manager))

        def close(*error: Any) -> Any:
            with recorder(error[1]):
                return manager.__exit__(*error)

        self._stack.push(close)
        return value

    async def enter_async(self, manager: Any, name: str = "") -> Any:
        """Enter an async context manager."""
        value = await self._settle(manager.__aenter__())
        recorder = self._recorder(name or _name_of(manager))

        async def close(*error: Any) -> Any:
            with recorder(error[1]):
                return await self._settle(manager.__aexit__(*error))

        self._stack.push_async_exit(close)
        return value

    def _recorder(self, name: str) -> Callable[[BaseException | None], "Recorder"]:
        """Note that a resource is open; give what notes its end."""
        about = {"resource": name[:100], "number": self._opened}
        self._opened += 1
        self._note({**about, "state": "opened"})
        return lambda error: Recorder(lambda state: self._note({**about, "state": state}), error)


class Recorder:
    """Notes whether closing a resource went well, and with an exception or without one."""

    def __init__(self, note: Callable[[str], None], error: BaseException | None) -> None:
        """Keep the exception that the resource is closed with."""
        self._note = note
        self._error = error

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, _kind: object, raised: BaseException | None, _trace: object) -> None:
        """Note the end. One that raises again what it was given has done its work too."""
        if raised is not None and raised is not self._error:
            self._note("unknown")
        else:
            self._note("committed" if self._error is None else "rolled_back")


def _name_of(manager: Any) -> str:
    """Name a context manager: that of a generator function by its function."""
    function = getattr(manager, "func", None)
    return str(getattr(function, "__name__", "") or type(manager).__name__)
