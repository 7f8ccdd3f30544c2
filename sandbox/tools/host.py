"""Runs a trusted handler in this program, with its objects: where="host". No wall is around it.

An async handler is cancelled at its deadline. A sync handler runs in a thread, and no thread can be
killed. What has not ended after its grace is left alone, the answer says so, and its next
progress.emit() raises Cancelled. The program does not end before such a thread does.
On trio an async handler that swallows its cancellation again and again is waited for.
"""

import asyncio
import inspect
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import anyio
import anyio.from_thread
import anyio.to_thread

from sandbox.policy import Policy
from sandbox.result import Enforced, ErrorInfo, Phases, Result, Status, Usage
from sandbox.tools.answers import STILL_RUNNING
from sandbox.tools.content import NotJson, as_json, as_parts
from sandbox.tools.context import Cancelled, Context, Progress, Resource
from sandbox.tools.resources import AsyncExits, Exits, Notes, open_async, open_sync
from sandbox.tools.signature import Injected
from sandbox.wire import Json, Malformed, Part, describe_part, parse_parts

__all__ = ["ENFORCED", "HostCall", "run_on_host"]

ENFORCED: Final = Enforced(
    **{**dict.fromkeys(Enforced.model_fields, "none: on the host"), "wall": "host"}
)
MOST_PARTIALS: Final = 10_000
UNWIND_SECONDS: Final = 0.1
"""What a handler has besides its grace to see that it is cancelled."""
_LEFT_ALONE: Final[set[asyncio.Task[None]]] = set()


@dataclass(frozen=True, kw_only=True)
class HostCall:
    """A handler with checked arguments, and what it is given besides them."""

    function: Callable[..., Any]
    positional: tuple[Any, ...]
    keywords: Mapping[str, Any]
    injected: Mapping[str, Injected]
    context: Context
    policy: Policy
    wall_seconds: float
    on_partial: Callable[[Json], None]

    @property
    def grace_seconds(self) -> float:
        """How long it may take to unwind, in seconds."""
        return self.policy.quota.grace_seconds


@dataclass
class _Run:
    """What is seen of one handler. outcome: its value or what it raised, once it has ended."""

    call: HostCall
    notes: Notes = field(default_factory=Notes)
    partial: list[Json] = field(default_factory=list[Json])
    value: Any = None
    raised: BaseException | None = None
    is_late: bool = False
    is_over: bool = False
    deadline: float = 0.0

    def take(self, value: Json) -> None:
        """Take a partial value, in the event loop; at the end of time nobody listens any more."""
        if not self.is_late and len(self.partial) < MOST_PARTIALS:
            self.partial.append(value)
            self.call.on_partial(value)

    def emit(self, value: Json) -> None:
        """Take one from an async handler."""
        if self.is_late:
            raise Cancelled
        self.take(value)

    def emit_from_thread(self, value: Json) -> None:
        """Take one from a sync handler, whose loop must not see what is raised here."""
        if self.is_late:
            raise Cancelled
        anyio.from_thread.run_sync(self.take, value)


async def run_on_host(call: HostCall) -> Result:
    """Run it; what it does, raises or fails to do is in the result. Cancelling cancels it."""
    run = _Run(call)
    begun = time.monotonic()
    run.deadline = begun + call.wall_seconds
    if _is_async(call.function):
        await _run_in_loop(run)
    else:
        await _run_in_thread(run)
    return _result(run, time.monotonic() - begun)


def _is_async(function: Callable[..., Any]) -> bool:
    handler = inspect.unwrap(function)
    return inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler)


# In a thread


async def _run_in_thread(run: _Run) -> None:
    # A limiter of its own: a thread that was left alone takes nobody's place.
    limiter = anyio.CapacityLimiter(1)
    with anyio.move_on_after(run.call.wall_seconds) as scope:
        await anyio.to_thread.run_sync(_call_sync, run, abandon_on_cancel=True, limiter=limiter)
    run.is_late = scope.cancelled_caught or run.is_late


def _call_sync(run: _Run) -> None:
    send = run.emit_from_thread
    try:
        with Exits(run.notes) as exits:
            given = _injected(run, exits, send)
            for name, resource in _resources(run.call):
                given[name] = open_sync(resource, exits)
            value = run.call.function(*run.call.positional, **run.call.keywords, **given)
            if inspect.isgenerator(value):
                value = _exhausted(value, send)
            run.value = value
    except BaseException as error:  # noqa: BLE001 - a handler's end is told, in a thread of ours
        run.raised = error
    run.is_over = True


def _exhausted(values: Any, send: Callable[[Json], None]) -> Any:
    """Give out what a generator yields; its value is what it returns, or else the last of them."""
    last: Any = None
    try:
        while True:
            last = next(values)
            send(as_json(last))
    except StopIteration as end:
        return last if end.value is None else end.value
    finally:
        values.close()


# In the event loop


async def _run_in_loop(run: _Run) -> None:
    if _is_asyncio():
        return await _run_on_asyncio(run)
    with anyio.move_on_after(run.call.wall_seconds) as scope:
        await _work(run)
    run.is_late = scope.cancelled_caught
    return None


def _is_asyncio() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


async def _run_on_asyncio(run: _Run) -> None:
    """Cancel once at the deadline, so that a rollback may await; then wait for its grace only."""
    task = asyncio.create_task(_work(run))
    _LEFT_ALONE.add(task)  # asyncio forgets a task that nobody holds
    task.add_done_callback(_LEFT_ALONE.discard)
    try:
        await asyncio.wait({task}, timeout=run.call.wall_seconds)
    finally:
        if not task.done():
            run.is_late = True
            task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait({task}, timeout=run.call.grace_seconds + UNWIND_SECONDS)


async def _work(run: _Run) -> None:
    try:
        await _call_async(run)
    except anyio.get_cancelled_exc_class() as error:
        if not _is_asyncio():
            raise  # trio's own, and it knows where it must arrive
        run.raised = error
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a handler's end is told
        run.raised = error
    finally:
        run.is_over = True


async def _call_async(run: _Run) -> None:
    async with _Unwound(run) as exits:
        given = _injected(run, exits, run.emit)
        for name, resource in _resources(run.call):
            given[name] = await open_async(resource, exits)
        value = run.call.function(*run.call.positional, **run.call.keywords, **given)
        if inspect.isasyncgen(value):
            run.value = await _last_of(value, run.emit)
        else:
            run.value = await value if isinstance(value, Awaitable) else value


async def _last_of(values: Any, send: Callable[[Json], None]) -> Any:
    """Give out what an async generator yields; it cannot return, so its last value is its value."""
    last: Any = None
    try:
        async for last in values:
            send(as_json(last))
    finally:
        await values.aclose()
    return last


class _Unwound:
    """Closes what a handler opened, in reverse order, also when it is cancelled."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._exits = AsyncExits(run.notes)

    async def __aenter__(self) -> AsyncExits:
        await self._exits.__aenter__()
        return self._exits

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        left = max(0.0, self._run.deadline - time.monotonic())
        with anyio.move_on_after(left + self._run.call.grace_seconds, shield=True):
            return await self._exits.__aexit__(kind, error, trace)
        return None


def _injected(run: _Run, exits: Exits | AsyncExits, send: Callable[[Json], None]) -> dict[str, Any]:
    """Give what is injected but resources, which are opened one after the other."""
    given: dict[str, Any] = {}
    for name, kind in run.call.injected.items():
        if kind == "context":
            given[name] = run.call.context.bound(exits)
        elif kind == "progress":
            given[name] = Progress(send)
    return given


def _resources(call: HostCall) -> list[tuple[str, Resource]]:
    return [(name, kind) for name, kind in call.injected.items() if isinstance(kind, Resource)]


# What was seen


@dataclass(frozen=True)
class _End:
    """How it ended, as a verdict."""

    status: Status
    error: ErrorInfo | None = None
    value: Any = None

    @classmethod
    def of(cls, run: _Run) -> Self:
        if run.is_late:
            message = f"over its deadline of {run.call.wall_seconds:.3g} s"
            kind = "LimitExceeded" if run.is_over else STILL_RUNNING
            return cls("timeout", ErrorInfo(type=kind, message=message))
        if run.raised is not None:
            return cls("error", _error(run.raised))
        return cls("ok", value=run.value)


def _result(run: _Run, ran_seconds: float) -> Result:
    end = _End.of(run)
    value: Json = None
    parts: tuple[Part, ...] = ()
    if end.status == "ok":
        try:
            parts = _checked_parts(as_parts(end.value) or ())
            value = None if parts else as_json(end.value, run.call.policy.quota)
        except (NotJson, Malformed) as reason:
            end = _End("invalid", ErrorInfo(type="InvalidValue", message=str(reason)))
    return Result(
        status=end.status,
        value=value,
        parts=parts,
        error=end.error,
        partial=tuple(run.partial),
        notes=run.notes.all(),
        usage=Usage(wall_seconds=ran_seconds),
        phases=Phases(ran=ran_seconds),
        enforced=ENFORCED,
        policy=run.call.policy.fingerprint,
    )


def _checked_parts(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Hold parts to the rules for a guest's: no folders in names, known kinds of media."""
    return parse_parts([describe_part(part) for part in parts])


def _error(raised: BaseException) -> ErrorInfo:
    try:
        message = str(raised)
    except Exception:  # noqa: BLE001 - an exception's own code may fail
        message = "(its message cannot be shown)"
    lines = traceback.format_exception(raised)
    return ErrorInfo(type=type(raised).__name__, message=message, traceback="".join(lines))
