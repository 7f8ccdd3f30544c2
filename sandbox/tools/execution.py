"""Where calls run: the engines of one event loop, the places in them, and the host."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

import anyio

from sandbox.backends.base import Backend
from sandbox.call import Handler
from sandbox.choices import BackendLike, as_backend
from sandbox.engine import Engine
from sandbox.functions import handler_call
from sandbox.policy import Policy
from sandbox.result import ErrorInfo, Result, Usage
from sandbox.tenants import Bounds, Budget
from sandbox.tools.arguments import Checked
from sandbox.tools.context import Context
from sandbox.tools.host import HostCall, run_on_host
from sandbox.tools.tool import Tool
from sandbox.wire import Json

__all__ = ["Execution", "Places", "Settings"]

PRELOAD: Final = ("cloudpickle", "asyncio")
"""What handlers need: importing it in each guest would take 30 ms."""
UNWIND_SECONDS: Final = 1.0
"""How long after its deadline and grace a guest may take until it is gone."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a toolset runs its guests. preload: modules that they find imported already.

    backend: None chooses by the isolation that a call's policy asks for.
    """

    backend: BackendLike | None
    preload: tuple[str, ...]
    parallel: int
    budget: Budget | None = None


_HELD: ContextVar[tuple["Places", ...]] = ContextVar("held", default=())
"""In whose places the current task already is."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One call that has passed all checks."""

    tool: Tool
    checked: Checked
    context: Context
    on_partial: Callable[[Json], None]
    wall_seconds: float
    """How long it may take: what its policy says, or what is left of the turn."""


class Places:
    """What one event loop runs for a toolset: so many calls at once, the others wait in order."""

    def __init__(self, settings: Settings) -> None:
        """Start nothing."""
        self._settings = settings
        self._places = anyio.CapacityLimiter(settings.parallel)
        self._guests: dict[str, _Guests] = {}
        self._running: dict[str, anyio.Event] = {}

    @asynccontextmanager
    async def alone(self, key: str) -> AsyncGenerator[None]:
        """Wait until no other call with this key is answered here."""
        while key in self._running:
            await self._running[key].wait()
        self._running[key] = is_over = anyio.Event()
        try:
            yield
        finally:
            del self._running[key]
            is_over.set()

    @asynccontextmanager
    async def place(self, deadline_seconds: float) -> AsyncGenerator[bool]:
        """Wait for a place; False if the time was over before there was one.

        What a handler on the host asks for in its turn runs in the handler's own place: it would
        wait for itself otherwise.
        """
        if self in _HELD.get():
            yield True
            return
        owner = object()
        with anyio.move_on_after(deadline_seconds) as waiting:
            await self._places.acquire_on_behalf_of(owner)
        if waiting.cancelled_caught:
            yield False
            return
        held = _HELD.set((*_HELD.get(), self))
        try:
            yield True
        finally:
            _HELD.reset(held)
            self._places.release_on_behalf_of(owner)

    async def run(self, execution: Execution) -> Result:
        """Run it where its tool says. Raises SandboxError for the engine's faults only."""
        if execution.tool.where == "host":
            return await run_on_host(_host_call(execution))
        return await self._run_in_guest(execution)

    async def _run_in_guest(self, execution: Execution) -> Result:
        """Run it; where its turn ends before its policy's time, it is killed from here."""
        policy, guests = execution.tool.policy, self._guests_for(execution.tool.policy)
        partial: list[Json] = []

        def on_partial(value: Json) -> None:
            partial.append(value)
            execution.on_partial(value)

        begun = time.monotonic()
        last = execution.wall_seconds + policy.quota.grace_seconds + UNWIND_SECONDS
        with anyio.move_on_after(None if execution.context.deadline is None else last):
            execute, name = guests.engine.execute, execution.tool.name
            return await execute(_handler(execution), policy, None, on_partial, tenant=name)
        return Result(
            status="timeout",
            error=ErrorInfo(type="LimitExceeded", message="over the time of its turn: killed"),
            partial=tuple(partial),
            usage=Usage(wall_seconds=time.monotonic() - begun),
            enforced=guests.backend.enforced(policy),
            policy=policy.fingerprint,
        )

    def _guests_for(self, policy: Policy) -> "_Guests":
        """Give what runs guests under a policy, made when first needed."""
        given = self._settings.backend
        # By its isolation, where the user named none.
        backend = given or ("subprocess" if policy.isolation == "process" else "docker")
        name = backend if isinstance(backend, str) else backend.name
        if name not in self._guests:
            own = PRELOAD if name == "subprocess" else ()
            made = as_backend(backend, (*own, *self._settings.preload))
            bounds = Bounds(parallel=self._settings.parallel, budget=self._settings.budget)
            self._guests[name] = _Guests(Engine(made, bounds), made)
        return self._guests[name]

    async def aclose(self) -> None:
        """End what still runs."""
        while self._guests:
            _, guests = self._guests.popitem()
            await guests.engine.aclose()


@dataclass(frozen=True)
class _Guests:
    """A backend, and the engine that runs calls on it."""

    engine: Engine
    backend: Backend


def _handler(execution: Execution) -> Handler:
    context = execution.context
    told: dict[str, Json] = {
        "user": context.user,
        "request_id": context.request_id,
        "permissions": list(context.permissions),
        "deadline_seconds": execution.wall_seconds,
        "metadata": dict(context.metadata),
        "secrets": dict(context.secrets),
        "traceparent": context.traceparent,
    }
    return handler_call(
        execution.tool.function,
        execution.checked.positional,
        execution.checked.keywords,
        injected=execution.tool.signature.injected,
        context=told,
        policy=execution.tool.policy,
        wall_seconds=execution.wall_seconds,
    )


def _host_call(execution: Execution) -> HostCall:
    tool = execution.tool
    return HostCall(
        function=tool.function,
        positional=execution.checked.positional,
        keywords=execution.checked.keywords,
        injected=tool.signature.injected,
        context=execution.context,
        policy=tool.policy,
        wall_seconds=execution.wall_seconds,
        on_partial=execution.on_partial,
    )
