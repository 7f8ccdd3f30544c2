"""Runs a handler: a function of the host's program, with its context, resources and deadline.

A sync handler is called in the main thread, as it is; asyncio is imported only where something
is awaited. A generator's values are partial results; the value is what it returns or, if that is
nothing, the last that it yielded.
"""

import pickle
import signal
import time
import types
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, closing, suppress
from typing import Any, cast

import answer
import exits
import given
import plain
import remains
from channel import Channel

Call = dict[str, Any]
COROUTINE, ASYNC_GENERATOR = 0x80, 0x200  # flags of a code object
EXECUTOR_SECONDS = 0.1
"""How long threads of the event loop that have nothing to do may take to end."""


def run(call: Call) -> bytes:
    """Run the handler to its end and give the body of the answer. Raises what it raises."""
    given.install()
    before = remains.look()
    limit_bytes, depth = call["result_bytes"], call["result_depth"]
    channel = Channel(limit_bytes, depth)
    handler = Handler(call, channel)
    try:
        document = handler.perform()
        return answer.encode(document, depth=depth, limit_bytes=limit_bytes)
    except answer.NotJson as reason:
        return answer.unfit(f"the value is not JSON: {reason}")
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # there is nothing left to unwind
        with suppress(OSError):
            counts = remains.left_open(before, remains.look())
            channel.note({"left_open": counts}, is_last=True)


class Deadline:
    """Turns the host's SIGTERM into the end of the handler: an exception, or a cancelled task."""

    def __init__(self, grace_seconds: float, channel: Channel) -> None:
        """Take the signal from now on."""
        self.is_over = False
        """The handler has ended, and what it opened is being closed: no time to disturb it."""
        self.cancel: Callable[[], None] | None = None
        """How the task of an async handler is cancelled."""
        self.is_heeded = False
        """The event loop has come to cancel it."""
        self._is_asked = False
        self._grace_seconds = grace_seconds
        self._channel = channel
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGALRM, self._insist)

    def _ask(self, *_: object) -> None:
        if self._is_asked or self.is_over:
            return
        self._is_asked = True
        if self.cancel is None:
            self._channel.when_free(self._stop)
        else:
            self.cancel()
            # Async code that does not let its loop run is stopped as sync code is.
            signal.setitimer(signal.ITIMER_REAL, self._grace_seconds / 2)

    def _insist(self, *_: object) -> None:
        if not self.is_heeded:
            self._channel.when_free(self._stop)

    def _stop(self) -> None:
        if not self.is_over:
            message = "over its deadline"
            raise given.Cancelled(message)


class Handler:
    """One handler and all that it is given."""

    def __init__(self, call: Call, channel: Channel) -> None:
        """Keep the call. Nothing of the handler's runs yet."""
        self._call = call
        self._channel = channel
        self._deadline = Deadline(call["grace_seconds"], channel)
        self._loop: Loop | None = None
        self._is_async = False
        self._loaded: tuple[Any, ...] = ()

    def perform(self) -> dict[str, Any]:
        """Load it, run it, close what it opened; give the answer for its value."""
        # Kept: what it holds open in its globals is there to be counted when it has ended.
        self._loaded = pickle.loads(bytes.fromhex(self._call["pickled"]))  # noqa: S301 - from the host, to the guest
        function, arguments, keywords, resources = self._loaded
        self._is_async = bool(_flags(function) & (COROUTINE | ASYNC_GENERATOR))
        work = self._work(lambda injected: function(*arguments, **keywords, **injected), resources)
        try:
            return cast("dict[str, Any]", self._run(work))
        finally:
            if self._loop:
                self._loop.close()

    async def _work(
        self, function: Callable[[dict[str, Any]], Any], resources: dict[str, Any]
    ) -> dict[str, Any]:
        async with AsyncExitStack() as stack:
            opened = exits.Exits(stack, self._channel.note, self._settle)
            try:
                injected = await self._inject(opened, resources)
                # Made plain while the resources are open: it may be a row of theirs.
                return plain.to_document(await self._finish(function(injected)))
            finally:
                self._deadline.is_over = True

    async def _inject(self, opened: exits.Exits, resources: dict[str, Any]) -> dict[str, Any]:
        injected: dict[str, Any] = {}
        for parameter, kind in self._call["injected"].items():
            if kind == "context":
                injected[parameter] = self._context(opened)
            elif kind == "progress":
                injected[parameter] = given.Progress(self._channel.emit)
            else:
                injected[parameter] = await opened.open(*resources[parameter])
        return injected

    def _context(self, opened: exits.Exits) -> given.Context:
        fields = dict(self._call["context"])
        seconds = min(self._call["wall_seconds"], fields.pop("deadline_seconds", float("inf")))
        return given.Context(**fields, deadline=time.monotonic() + seconds, _exits=opened)

    async def _finish(self, value: Any) -> Any:
        """Bring what the call of the function gave to its end."""
        if isinstance(value, types.GeneratorType):
            return self._drain(cast("Any", value))
        if isinstance(value, types.AsyncGeneratorType):
            return await self._settle(self._drain_async(cast("Any", value)))
        return await self._settle(value) if hasattr(value, "__await__") else value

    def _drain(self, generator: Any) -> Any:
        last = None
        with closing(generator):
            while True:
                try:
                    last = next(generator)
                except StopIteration as end:
                    return last if end.value is None else end.value
                self._channel.emit(last)

    async def _drain_async(self, generator: Any) -> Any:
        last = None
        async with aclosing(generator):
            async for last in generator:
                self._channel.emit(last)
        return last

    async def _settle(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for it: in the handler's own task, or for a sync handler in a loop beside it."""
        if self._is_async:
            return await awaitable
        return self._open_loop().run(_as_coroutine(awaitable))

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        if self._is_async:
            return self._open_loop().run(work, self._deadline)
        try:
            work.send(None)
        except StopIteration as end:  # it never had to wait: _settle() did
            return end.value
        message = "a sync handler waited outside of an event loop"
        raise RuntimeError(message)

    def _open_loop(self) -> "Loop":
        self._loop = self._loop or Loop()
        return self._loop


class Loop:
    """An event loop for one handler, which waits for no thread at its end."""

    def __init__(self) -> None:
        """Import asyncio: the guests of a zygote that preloads it find it there."""
        import asyncio

        self._asyncio = asyncio
        self._loop = asyncio.new_event_loop()

    def run(self, work: Coroutine[Any, Any, Any], deadline: Deadline | None = None) -> Any:
        """Run a coroutine to its end; at the deadline its task is cancelled."""
        task = self._loop.create_task(work)

        def cancel() -> None:
            cast("Deadline", deadline).is_heeded = True
            task.cancel()

        if deadline:
            deadline.cancel = lambda: cast("None", self._loop.call_soon_threadsafe(cancel))
        return self._loop.run_until_complete(task)

    def close(self) -> None:
        """Cancel what is left in it, as asyncio.run() does, and let idle threads go."""
        left = self._asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(self._asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        threads: tuple[Any, ...] = tuple(
            getattr(getattr(self._loop, "_default_executor", None), "_threads", ())
        )
        self._loop.close()
        until = time.monotonic() + EXECUTOR_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


async def _as_coroutine(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _flags(function: Any) -> int:
    """Give the flags of the code behind a callable, 0 where there is none of Python."""
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    if not hasattr(function, "__code__") and not hasattr(function, "__func__"):
        function = getattr(cast("Any", type(function)), "__call__", None)  # noqa: B004 - which, not whether
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code.co_flags if code else 0
