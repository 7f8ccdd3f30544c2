"""Many calls at once: results as they come, and no more calls taken than results are taken."""

import base64
import hashlib
import json
import math
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Annotated, Any, BinaryIO, Final, Generic, Protocol, Self, TypeAlias, TypeVar

import anyio
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sandbox.call import Call, Command, Function, Source
from sandbox.errors import BadCall, EngineFault
from sandbox.result import Result
from sandbox.wire import Malformed, decode_json

__all__ = [
    "BlockingResults",
    "CallFile",
    "Calls",
    "Done",
    "Entry",
    "Results",
    "map_calls",
]

MOST_DEPTH: Final = 200
MOST_LINE_BYTES: Final = 64 << 20
MOST_COMPLAINTS: Final = 20

Item = TypeVar("Item")
Answer = TypeVar("Answer")
T = TypeVar("T")

Calls: TypeAlias = Iterable[Call] | AsyncIterable[Call]
Execute: TypeAlias = Callable[[Call], Awaitable[Result]]


@dataclass(frozen=True, kw_only=True)
class Done:
    """A call of a batch that is over. index: its place among the calls, from 0."""

    index: int
    call: Call
    result: Result


@dataclass(frozen=True)
class _Fault:
    error: Exception


class Results(Generic[Item, Answer]):
    """What a batch gives, in order of completion; several tasks may take from it at once.

    Use it as `async with Results(perform, concurrency).of(items) as results`. No exception of a
    call leaves the tasks of the batch: it comes out of the iterator.
    """

    def __init__(self, perform: Callable[[int, Item], Awaitable[Answer]], concurrency: int) -> None:
        """Start nothing. perform: given each item and its index, gives its answer.

        concurrency: the most items that are taken while their answers are not. Raises BadCall
        for one below 1.
        """
        _check(concurrency)
        self._perform = perform
        self._places = anyio.Semaphore(concurrency)
        self._send, self._receive = anyio.create_memory_object_stream[Answer | _Fault](math.inf)
        self._work = anyio.CancelScope()

    def __aiter__(self) -> Self:
        """Give itself."""
        return self

    async def __anext__(self) -> Answer:
        """Wait for the next; raises what a call raised, and is at its end then."""
        if self._work.cancel_called:
            raise StopAsyncIteration
        try:
            answer = await self._receive.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None
        if isinstance(answer, _Fault):
            self._work.cancel()
            raise answer.error
        self._places.release()
        return answer

    @asynccontextmanager
    async def of(self, items: Iterable[Item] | AsyncIterable[Item]) -> AsyncGenerator[Self]:
        """Perform these while the block runs; its end cancels what still runs and waits for it."""
        raised: Exception | None = None
        with self._send, self._receive:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._take_all, items)
                try:
                    yield self
                except Exception as error:  # noqa: BLE001 - raised below, where no group wraps it
                    raised = error
                finally:
                    self._work.cancel()
        if raised:
            raise raised

    async def _take_all(self, items: Iterable[Item] | AsyncIterable[Item]) -> None:
        """Take items while there are places; when all have ended, end the stream."""
        with self._work, self._send:
            async with anyio.create_task_group() as tasks, aclosing(_in_turn(items)) as source:
                index = 0
                while item := await self._take(source):
                    tasks.start_soon(self._run, index, *item)
                    index += 1

    async def _take(self, source: AsyncGenerator[Item]) -> tuple[Item] | None:
        """Take one once there is a place; None at the end, also when the source fails."""
        await self._places.acquire()
        try:
            return (await anext(source),)
        except StopAsyncIteration:
            return None
        except Exception as error:  # noqa: BLE001 - comes out of the iterator
            self._send.send_nowait(_Fault(error))
            return None

    async def _run(self, index: int, item: Item) -> None:
        try:
            answer = await self._perform(index, item)
        except Exception as error:  # noqa: BLE001 - ditto
            self._send.send_nowait(_Fault(error))
        else:
            self._send.send_nowait(answer)


async def _in_turn(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncGenerator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


def map_calls(
    execute: Execute, calls: Calls, concurrency: int
) -> AbstractAsyncContextManager[Results[Call, Done]]:
    """Stand behind AsyncSandbox.map."""

    async def perform(index: int, call: Call) -> Done:
        return Done(index=index, call=call, result=await execute(call))

    return Results(perform, concurrency).of(calls)


class _Wait(Protocol):
    """Runs a coroutine function in an event loop's thread and waits for its value."""

    def __call__(self, call: Callable[[], Awaitable[T]], /) -> T: ...


class BlockingResults(Iterator[Done]):
    """What Sandbox.map gives: an iterator for one thread, to be left by close() or a `with`."""

    def __init__(
        self, execute: Execute, wait: _Wait, calls: Iterable[Call], concurrency: int
    ) -> None:
        """Start nothing. Raises BadCall for a concurrency below 1."""
        _check(concurrency)
        self._execute = execute
        self._wait = wait
        self._calls = iter(enumerate(calls))
        self._places = concurrency
        self._taken = 0
        self._is_closed = False
        self._scopes: set[anyio.CancelScope] = set()
        self._finished: SimpleQueue[Future[Done]] = SimpleQueue()
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="sandbox-map")

    def __next__(self) -> Done:
        """Take calls while there are places, and wait for the next that ends.

        Raises what a call raised, or the iterable of calls. That, the end of all calls and an
        interrupt close it.
        """
        try:
            self._take()
            if not self._taken:
                raise StopIteration  # noqa: TRY301 - closes as every other end
            done = self._finished.get().result()
        except BaseException:
            self.close()
            raise
        self._taken -= 1
        return done

    def close(self) -> None:
        """Kill what still runs, wait for its end and take no more; again does nothing."""
        self._is_closed = True
        if self._taken:
            with suppress(EngineFault):  # a closed sandbox has killed them already
                self._wait(self._cancel)
        self._taken = 0
        self._threads.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _take(self) -> None:
        while self._taken < self._places and not self._is_closed:
            following = next(self._calls, None)
            if following is None:
                return
            self._taken += 1  # first: an interrupt after it must find it
            future = self._threads.submit(self._wait, partial(self._run, *following))
            future.add_done_callback(self._finished.put)

    async def _run(self, index: int, call: Call) -> Done:
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            if self._is_closed:  # after close() has looked for scopes
                scope.cancel()
            try:
                return Done(index=index, call=call, result=await self._execute(call))
            finally:
                self._scopes.discard(scope)
        message = "the batch was closed"
        raise EngineFault(message, started="unknown")

    async def _cancel(self) -> None:
        for scope in self._scopes:
            scope.cancel()


def _check(concurrency: int) -> None:
    if concurrency < 1:
        message = f"concurrency is {concurrency}, with which nothing runs: give 1 or more"
        raise BadCall(message)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a file of calls. line: its number, from 1."""

    line: int
    id: str | int | None
    call: Call


class CallFile:
    """A file of calls, one as JSON a line, read as often as needed and never kept.

    A line is an object with one of "source", "function" ("module:name") and "argv". Beside
    "source": inputs, arguments, name, expect_value; beside "function": arguments, keywords; beside
    each: id, a string or an integer; files, by name; stdin. Their content is text or
    {"base64": "..."}. Empty lines are passed over.
    """

    def __init__(self, file: BinaryIO, complain: Callable[[str], None]) -> None:
        """Look at every line. Raises BadCall after complaining of the first twenty bad ones.

        Of ids, which must differ, hashes are kept, 16 bytes each.
        """
        self._file = file
        self.lines = self.calls = 0
        bad, ids, digest = 0, set[bytes](), hashlib.sha256()
        for number, line in self._numbered():
            digest.update(line)
            self.lines = number
            if not line.strip():
                continue
            self.calls += 1
            try:
                _check_id(_read_entry(number, line).id, ids)
            except BadCall as fault:
                bad += 1
                if bad <= MOST_COMPLAINTS:
                    complain(f"line {number}: {fault}")
        self.sha256 = digest.hexdigest()
        if bad:
            message = f"bad lines: {bad} of {self.calls}: nothing was run"
            raise BadCall(message)

    def entries(self, is_wanted: Callable[[int], bool]) -> Iterator[Entry]:
        """Give the calls of the lines that are wanted. Raises BadCall if the file was changed."""
        digest = hashlib.sha256()
        for number, line in self._numbered():
            digest.update(line)
            if number <= self.lines and line.strip() and is_wanted(number):
                yield _read_entry(number, line)
        if digest.hexdigest() != self.sha256:
            message = "the file of calls was changed while it was run: begin anew"
            raise BadCall(message, started="unknown")

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        self._file.seek(0)
        lines = iter(partial(self._file.readline, MOST_LINE_BYTES), b"")
        for number, line in enumerate(lines, start=1):
            if len(line) == MOST_LINE_BYTES:
                message = f"line {number} is over {MOST_LINE_BYTES >> 20} MiB: nothing was run"
                raise BadCall(message)
            yield number, line


def _check_id(name: str | int | None, ids: set[bytes]) -> None:
    """Raise BadCall for an id that was there before."""
    mark = hashlib.blake2b(json.dumps(name).encode(), digest_size=16).digest()
    if mark in ids:
        message = f"the id {json.dumps(name)[:100]} was given before: make it another"
        raise BadCall(message)
    if name is not None:
        ids.add(mark)


def _to_bytes(value: Any) -> bytes:
    match value:
        case str():
            return value.encode()
        case {"base64": str(text)} if len(value) == 1:
            return base64.b64decode(text, validate=True)
        case _:
            message = 'it is neither text nor {"base64": "..."}'
            raise ValueError(message)


_Content = Annotated[bytes, BeforeValidator(_to_bytes)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str | int | None = None
    files: dict[str, _Content] = Field(default_factory=dict)
    stdin: _Content = b""


class _SourceLine(_Line):
    source: str
    inputs: dict[str, Any] = Field(default_factory=dict)
    arguments: list[str] = Field(default_factory=list)
    name: str = "program.py"
    expect_value: bool = True


class _FunctionLine(_Line):
    name: str = Field(alias="function")
    arguments: list[Any] = Field(default_factory=list)
    keywords: dict[str, Any] = Field(default_factory=dict)


class _CommandLine(_Line):
    argv: list[str]


_KINDS: Final[Mapping[str, tuple[type[_Line], Callable[..., Call]]]] = {
    "source": (_SourceLine, Source),
    "function": (_FunctionLine, Function),
    "argv": (_CommandLine, Command),
}


def _read_entry(number: int, line: bytes) -> Entry:
    """Read one line of a file of calls. Raises BadCall, saying which member is wrong."""
    try:
        document = decode_json(line, depth=MOST_DEPTH)
    except Malformed as error:
        raise BadCall(str(error)) from None
    given = document if isinstance(document, dict) else {}
    kinds = [kind for kind in _KINDS if kind in given]
    if len(kinds) != 1:
        message = 'it is no object with one of "source", "function" and "argv"'
        raise BadCall(message)
    model, make = _KINDS[kinds[0]]
    try:
        members = model.model_validate(given).model_dump(exclude_unset=True)
    except ValidationError as errors:
        first = errors.errors(include_url=False)[0]
        message = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise BadCall(message) from None
    return Entry(line=number, id=members.pop("id", None), call=make(**members))
