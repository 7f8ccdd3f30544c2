"""A concurrent.futures.Executor whose calls run in guests."""

import asyncio
import atexit
import builtins
import contextvars
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from textwrap import indent
from types import TracebackType
from typing import Any, Final

import anyio
from typing_extensions import override

from sandbox.box import AsyncSandbox
from sandbox.call import Function
from sandbox.choices import BackendLike, PolicyLike, RuntimeName
from sandbox.errors import BadCall
from sandbox.functions import function_call
from sandbox.result import CallFailed, Result

__all__ = ["SandboxExecutor", "SandboxFuture"]


class SandboxFuture(Future[Any]):
    """The future of a call; cancel() also ends one that runs: its guest is killed, whole.

    cancel() does not wait for that. result() raises CancelledError from then on, callbacks have
    been called; wait() and as_completed() give the future once nothing of its guest is left.
    """

    # To the standard library it is pending until it is done: such a future can be cancelled, and
    # only the executor's thread ever moves it on, so that no two parties race for its state.
    _has_started = False

    def start(self) -> None:
        """Note that its guest is asked for. For the executor alone."""
        self._has_started = True

    @override
    def running(self) -> bool:
        """Say whether its guest runs, or is being killed where nobody has cancelled it."""
        return self._has_started and not self.done()

    @override
    def __repr__(self) -> str:
        shown = super().__repr__()
        return shown.replace("state=pending", "state=running") if self._has_started else shown


class SandboxExecutor(Executor):
    """Runs calls in guests, a fresh one each; a drop-in for a ProcessPoolExecutor.

    policy, backend, image, runtime, preload: as AsyncSandbox has them. max_workers: calls that run
    at once, the others wait in order; four per processor by default. Raises ValueError for less
    than one, BadPolicy and BadCall for options that are wrong; nothing starts before a submit().

    Arguments and values are JSON: a tuple comes back as a list. Nothing of a guest is unpickled.
    map() is the standard library's; chunksize is ignored, for each call has a guest of its own. A
    guest whose map() iterator is closed or timed out is killed.

    A verdict other than ok is raised by result() as a CallFailed with the guest's type name and
    message, and its traceback as a note; .result has the rest. Where the guest says that a builtin
    error of values and names was raised (ValueError, KeyError, ZeroDivisionError, ...), it is an
    instance of that too. It is not for OSError, TimeoutError, MemoryError, StopIteration and all
    others, by which a host learns of itself: no guest shall make it believe that those are its own.

    Callbacks of futures run in the executor's thread, or in the one that cancels: they must be
    quick, and must not wait for other calls. They may submit and cancel.
    """

    def __init__(  # noqa: PLR0913 - each is an option of its own, by keyword
        self,
        policy: PolicyLike = "strict",
        *,
        max_workers: int | None = None,
        backend: BackendLike | None = None,
        image: str | None = None,
        runtime: RuntimeName | None = None,
        preload: Sequence[str] = (),
    ) -> None:
        """Read the policy."""
        places = 4 * (os.cpu_count() or 1) if max_workers is None else max_workers
        if places < 1:
            message = "max_workers must be greater than 0"
            raise ValueError(message)
        box = AsyncSandbox(
            policy,
            backend=backend,
            image=image,
            runtime=runtime,
            preload=preload,
            parallel=places,
        )
        self._max_workers = places  # dask and others read this name of every executor
        self._policy = box.policy
        self._crew = _Crew(box, places)
        # One that nobody holds any more finishes what it was given, and ends.
        weakref.finalize(self, self._crew.close_soon).atexit = False

    @property
    def max_workers(self) -> int:
        """Calls that run at once."""
        return self._max_workers

    @override
    def submit(self, fn: str | Callable[..., Any], /, *args: Any, **kwargs: Any) -> SandboxFuture:
        """Call a function, by "module:name" or itself, in a guest. See AsyncSandbox.call.

        Raises RuntimeError after shutdown(). What cannot be sent is BadCall, raised by result(): as
        a process pool has it, so that one bad call of a map() does not hide the others.
        """
        self._crew.check_open()
        future = SandboxFuture()
        try:
            call = function_call(fn, args, kwargs, self._policy)
        except BadCall as error:
            future.set_exception(error)
        else:
            self._crew.accept(future, call)
        return future

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no further call, and end when those that were submitted are done.

        wait: until they are, and nothing is left of this executor; an interrupt (Ctrl-C) meanwhile
        kills them. cancel_futures: those that have not started are cancelled; to kill one that
        runs, cancel its future. Without wait, a program's exit waits for them, as for any pool.
        """
        self._crew.close()
        if cancel_futures:
            self._crew.cancel_pending()
        if wait:
            self._crew.join()

    @override
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Shut down and wait; what is no Exception (Ctrl-C, an exit) kills all that is left."""
        if exc_type and not issubclass(exc_type, Exception):
            self._crew.close()
            self._crew.cancel_all()
        self.shutdown(wait=True)


class _Crew:
    """What works behind an executor: a thread, its loop, and a sandbox in it.

    It outlives the executor, for the futures. What any thread may change is under the lock: whether
    it is closed, what is pending and what has a place. All that awaits is in the thread alone.
    """

    def __init__(self, box: AsyncSandbox, places: int) -> None:
        self._box = box
        self._places = places
        self._lock = threading.RLock()
        self._is_closed = False
        self._pending: OrderedDict[SandboxFuture, Function] = OrderedDict()
        self._running: dict[SandboxFuture, anyio.CancelScope | None] = {}
        self._is_ready = threading.Event()
        self._is_gone = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def check_open(self) -> None:
        if self._is_closed:
            message = "cannot schedule new futures after shutdown: make another executor"
            raise RuntimeError(message)

    def accept(self, future: SandboxFuture, call: Function) -> None:
        future.add_done_callback(self._note_cancel)
        with self._lock:
            self.check_open()
            self._pending[future] = call
            if self._thread is None:
                self._start()
            self._go_on()

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._go_on()

    def close_soon(self) -> None:
        """Close from wherever garbage is collected: in the midst of what holds the lock, maybe."""
        self._tell(self.close)

    def cancel_pending(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, OrderedDict()
        for future in pending:
            _abandon(future)
        self._go_on()

    def cancel_all(self) -> None:
        self.cancel_pending()
        self._tell(lambda: [future.cancel() for future in (*self._running,)])

    def join(self) -> None:
        """Wait until the thread has ended; an interrupt kills what it waits for."""
        if self._thread is None:
            return
        if self._thread is threading.current_thread():
            message = "a callback cannot wait for its own executor: use shutdown(wait=False)"
            raise RuntimeError(message)
        try:
            self._is_gone.wait()  # Thread.join() takes the thread for dead once interrupted: 3.11
        except KeyboardInterrupt:
            self.cancel_all()
            self._is_gone.wait()
            raise
        finally:
            self._thread.join()

    def _tell(self, task: Callable[..., object], *arguments: object) -> None:
        """Have the thread do something, soon; nothing if there is none, or no more.

        The loop's own way and not anyio's, which waits: callbacks in that very thread come here.
        """
        if self._loop:
            with suppress(RuntimeError):  # the loop is closed: nothing is left to be told of
                self._loop.call_soon_threadsafe(task, *arguments, context=self._context)

    def _note_cancel(self, future: Future[Any]) -> None:
        if future.cancelled():
            self._tell(self._withdraw, future)

    def _start(self) -> None:
        """Start a daemon: _finish_all() waits for it at the exit, and can be interrupted."""
        self._thread = threading.Thread(target=self._work, name="sandbox-executor", daemon=True)
        self._thread.start()
        self._is_ready.wait()

    def _work(self) -> None:
        _working.add(self)
        try:
            anyio.run(self._serve, backend="asyncio")
        finally:
            self.close()
            self.cancel_pending()  # there are none, unless a callback has ended the thread
            for future in (*self._running,):
                _abandon(future)
            _working.discard(self)
            self._is_gone.set()

    async def _serve(self) -> None:
        self._context = contextvars.copy_context()  # anyio's; not of a thread that submits
        self._is_over = anyio.Event()
        async with self._box, anyio.create_task_group() as self._tasks:
            self._loop = asyncio.get_running_loop()
            self._is_ready.set()
            self._go_on()  # where an interrupt has kept the starter from it
            await self._is_over.wait()

    def _withdraw(self, future: SandboxFuture) -> None:
        """Let go of a future that was cancelled."""
        if scope := self._running.get(future):
            scope.cancel()
        with self._lock:
            was_pending = self._pending.pop(future, None) is not None
        if was_pending:
            _abandon(future)
            self._go_on()

    def _go_on(self) -> None:
        """Start what there is a place for; end when there is nothing more to do."""
        with self._lock:
            while self._loop and self._pending and len(self._running) < self._places:
                future, call = self._pending.popitem(last=False)
                self._running[future] = None
                future.start()
                self._tell(self._launch, future, call)
            if self._loop and self._is_closed and not self._running and not self._pending:
                self._tell(self._is_over.set)

    def _launch(self, future: SandboxFuture, call: Function) -> None:
        self._running[future] = scope = anyio.CancelScope()
        if future.cancelled():  # before it had a place
            scope.cancel()
        self._tasks.start_soon(self._run, future, call, scope)

    async def _run(self, future: SandboxFuture, call: Function, scope: anyio.CancelScope) -> None:
        outcome: Result | Exception | None = None
        with scope:
            outcome = await self._outcome_of(call)
        with self._lock:
            del self._running[future]
        # False if it was cancelled, and only now is wait() told: nothing of the guest is left.
        if future.set_running_or_notify_cancel():
            _settle(future, outcome)
        self._go_on()

    async def _outcome_of(self, call: Function) -> Result | Exception:
        try:
            return await self._box.execute(call)
        except Exception as fault:  # noqa: BLE001 - the future raises it
            return fault


def _abandon(future: SandboxFuture) -> None:
    """Cancel a future of which nothing is left, and tell who waits for it."""
    future.cancel()
    future.set_running_or_notify_cancel()


def _settle(future: SandboxFuture, outcome: Result | Exception | None) -> None:
    if isinstance(outcome, Result) and outcome.ok:
        future.set_result(outcome.value)
    elif isinstance(outcome, Result):
        future.set_exception(_failure(outcome))
    else:
        future.set_exception(outcome)


def _failure(result: Result) -> CallFailed:
    """Make what result() raises."""
    error = result.error
    kind = _kind_of(error.type) if error and result.status == "error" else CallFailed
    failure = kind(result)
    if error and error.traceback:
        # Indented: no line of a guest's shall look like one of the host's own traceback.
        failure.add_note("in the guest:\n" + indent(error.traceback.rstrip(), "  | "))
    return failure


def _kind_of(name: str) -> type[CallFailed]:
    """Give the class for a guest's error by its name: a claim, so only a look-up in a table."""
    named = vars(builtins).get(name)
    line: tuple[type, ...] = named.__mro__ if isinstance(named, type) else ()
    return next((_KINDS[each] for each in line if each in _KINDS), CallFailed)


def _kind(alike: type[Exception]) -> type[CallFailed]:
    """Make the class of failures that are also one of Python's."""
    # KeyError would show itself by repr()
    return type(f"Guest{alike.__name__}", (CallFailed, alike), {"__str__": Exception.__str__})


_KINDS: Final[dict[type, type[CallFailed]]] = {
    alike: _kind(alike)
    for alike in (
        *(ArithmeticError, FloatingPointError, OverflowError, ZeroDivisionError),
        *(LookupError, IndexError, KeyError),
        *(ValueError, UnicodeError, TypeError, AssertionError),
        *(AttributeError, NameError, UnboundLocalError),
    )
}

_working: Final[set[_Crew]] = set()
"""Those whose thread runs."""


def _finish_all() -> None:
    """Wait at a program's exit for what it has submitted, as the standard library's pools do."""
    crews = list(_working)
    for crew in crews:
        crew.close()
    for crew in crews:
        crew.join()


atexit.register(_finish_all)
os.register_at_fork(after_in_child=_working.clear)  # a child has none of these threads
