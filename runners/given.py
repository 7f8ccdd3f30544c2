"""What a handler can import from `sandbox` in its guest: context, progress, content parts.

The same names as on the host, as plain classes: dataclasses would cost a guest their import. A
pickle of the host's refers to them by the names of the host's modules, so they stand there too.
"""

import sys
import time
import types
from collections.abc import Callable
from typing import Any, Never

HOMES = {
    "sandbox.tools.context": ("Cancelled", "Context", "Progress", "Resource"),
    "sandbox.wire_content": ("Data", "File", "Image", "Text"),
    "sandbox.wire": ("Data", "File", "Image", "Text"),
    "sandbox.providers.envelope": ("Data", "File", "Image", "Text"),
}


class Cancelled(BaseException):
    """Raised in sync code at its deadline, so that `finally` and `with` unwind."""


class _Frozen:
    """Compares and shows itself by its fields, which cannot be set."""

    _hidden: frozenset[str] = frozenset()

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __setattr__(self, name: str, value: object) -> Never:
        message = f"cannot assign to field {name!r}"
        raise AttributeError(message)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._shown() == getattr(other, "_shown", dict)()

    def __hash__(self) -> int:
        return hash((type(self), repr(self)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._shown().items())
        return f"{type(self).__name__}({shown})"

    def _shown(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__dict__ if name not in self._hidden}


class Text(_Frozen):
    """Words for the model."""

    def __init__(self, text: str) -> None:
        """Keep them."""
        super().__init__(text=text)


class Data(_Frozen):
    """A JSON value for the model."""

    def __init__(self, value: Any) -> None:
        """Keep it."""
        super().__init__(value=value)


class Image(_Frozen):
    """A picture: its bytes."""

    def __init__(self, data: bytes, media_type: str = "image/png") -> None:
        """Keep it."""
        super().__init__(data=data, media_type=media_type)


class File(_Frozen):
    """A file: its bytes, a name without folders."""

    def __init__(
        self, data: bytes, name: str, media_type: str = "application/octet-stream"
    ) -> None:
        """Keep it."""
        super().__init__(data=data, name=name, media_type=media_type)


class Context(_Frozen):
    """Who calls, and within what; see sandbox.Context."""

    _hidden = frozenset({"secrets", "_exits"})

    permissions: frozenset[str]
    deadline: float | None
    _exits: Any

    def __init__(  # noqa: PLR0913 - the fields of the host's dataclass
        self,
        *,
        user: str = "",
        request_id: str = "",
        permissions: Any = (),
        deadline: float | None = None,
        metadata: dict[str, Any] | None = None,
        secrets: dict[str, str] | None = None,
        traceparent: str = "",
        _exits: Any = None,
    ) -> None:
        """Keep it all. deadline: by time.monotonic() of this guest, in seconds."""
        super().__init__(
            user=user,
            request_id=request_id,
            permissions=frozenset(permissions),
            deadline=deadline,
            metadata=metadata or {},
            secrets=secrets or {},
            traceparent=traceparent,
            _exits=_exits,
        )

    def may(self, permission: str) -> bool:
        """Say whether the caller has a permission."""
        return permission in self.permissions

    def remaining(self) -> float:
        """Give the seconds until the deadline, not below 0.0; infinity where there is none."""
        if self.deadline is None:
            return float("inf")
        return max(0.0, self.deadline - time.monotonic())

    def narrow(
        self, *, deadline: float | None = None, wall_seconds: float | None = None
    ) -> "Context":
        """Give this context with an earlier deadline; a later one is not kept."""
        after = None if wall_seconds is None else time.monotonic() + wall_seconds
        known = [at for at in (self.deadline, deadline, after) if at is not None]
        fields: dict[str, Any] = {**self.__dict__, "deadline": min(known, default=None)}
        return Context(**fields)

    def enter(self, manager: Any) -> Any:
        """Enter a context manager until the handler's end, whatever that is."""
        return self._open_exits().enter(manager)

    async def enter_async(self, manager: Any) -> Any:
        """Do what enter() does with an async context manager."""
        return await self._open_exits().enter_async(manager)

    def _open_exits(self) -> Any:
        if self._exits is None:
            message = "enter() is for a running handler: nothing would close what is entered here"
            raise RuntimeError(message)
        return self._exits


class Progress:
    """How a handler tells how far it is: progress.emit(value), or progress(value)."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        """Keep where the values go."""
        self._send = send

    def emit(self, value: Any) -> None:
        """Tell one value. Raises ValueError for what JSON cannot say."""
        self._send(value)

    def __call__(self, value: Any) -> None:
        """Do what emit() does."""
        self.emit(value)


class Resource(_Frozen):
    """Marks a parameter that is opened for the call."""

    def __init__(self, factory: Callable[[], Any], name: str = "") -> None:
        """Keep it."""
        super().__init__(factory=factory, name=name or getattr(factory, "__name__", "resource"))


def install() -> None:
    """Put `sandbox` and the modules that pickles name where imports find them."""
    everything: dict[str, Any] = {}
    for home, names in HOMES.items():
        members = {name: globals()[name] for name in names}
        everything |= members
        _make_module(home, members)
    _make_module("sandbox", everything)


def _make_module(name: str, members: dict[str, Any]) -> None:
    """Make a module, and its parents, in place of any that is there."""
    module = sys.modules.get(name)
    if module is None or module.__spec__ is not None:
        module = types.ModuleType(name)
        module.__path__ = []
        sys.modules[name] = module
    module.__dict__.update(members)
    parent, _, child = name.rpartition(".")
    if parent:
        _make_module(parent, {child: module})
