"""What a handler is given, what it tells while it runs, and what it leaves behind."""

import asyncio
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.tools.context import Context, Progress
from sandbox.wire import Json
from tests.contract.conftest import error_of
from tests.contract.handlers import handler, left_open

CONTEXT: dict[str, Json] = {
    "user": "u1",
    "request_id": "r9",
    "permissions": ["pay"],
    "metadata": {"tenant": 3},
    "secrets": {"key": "hunter2"},
    "traceparent": "00-1-2-01",
    "deadline_seconds": 1.5,
}

READS: dict[str, tuple[Callable[[Context], object], Json]] = {
    "user": (lambda context: context.user, "u1"),
    "request": (lambda context: context.request_id, "r9"),
    "permissions": (lambda context: context.permissions, ["pay"]),
    "a permission it has": (lambda context: context.may("pay"), True),
    "a permission it lacks": (lambda context: context.may("admin"), False),
    "metadata": (lambda context: context.metadata, {"tenant": 3}),
    "a secret": (lambda context: context.secrets["key"], "hunter2"),
    "trace": (lambda context: context.traceparent, "00-1-2-01"),
    "time left": (lambda context: 0.5 < context.remaining() <= 1.5, True),
    "less time": (lambda context: context.narrow(wall_seconds=0.1).remaining() <= 0.1, True),
    "secrets are not shown": (lambda context: "hunter2" in repr(context), False),
}


@pytest.mark.parametrize(("read", "value"), READS.values(), ids=READS.keys())
def test_a_handler_reads_its_context(
    box: Sandbox, read: Callable[[Context], object], value: Json
) -> None:
    def reads(*, context: Context) -> object:
        return read(context)

    assert box.execute(handler(reads, given=CONTEXT, context="context")).unwrap() == value


def test_the_deadline_is_never_later_than_the_policys(box: Sandbox) -> None:
    def looks(*, context: Context) -> bool:
        return context.remaining() <= 5.0

    given: dict[str, Json] = {"deadline_seconds": 1000}

    assert box.execute(handler(looks, given=given, context="context")).unwrap() is True


def test_a_context_cannot_be_changed(box: Sandbox) -> None:
    def changes(*, context: Any) -> None:
        context.user = "root"

    assert error_of(box.execute(handler(changes, context="context"))).type == "AttributeError"


def yields() -> Iterator[int]:
    yield 1
    yield 2


def yields_and_returns() -> Generator[int, None, str]:
    yield from yields()
    return "whole"


async def yields_later() -> AsyncIterator[int]:
    yield 1
    await asyncio.sleep(0)
    yield 2


def emits(*, progress: Progress) -> str:
    progress.emit(1)
    progress(2)
    return "whole"


async def emits_later(*, progress: Progress) -> str:
    await asyncio.sleep(0)
    return emits(progress=progress)


def emits_from_threads(*, progress: Progress) -> str:
    for number in (1, 2):
        thread = threading.Thread(target=progress.emit, args=(number,))
        thread.start()
        thread.join()
    return "whole"


TELLING: dict[str, tuple[Callable[..., Any], dict[str, Any], Json]] = {
    "a generator": (yields, {}, 2),
    "a generator that returns": (yields_and_returns, {}, "whole"),
    "an async generator": (yields_later, {}, 2),
    "progress": (emits, {"progress": "progress"}, "whole"),
    "progress of async code": (emits_later, {"progress": "progress"}, "whole"),
    "progress of threads": (emits_from_threads, {"progress": "progress"}, "whole"),
}
by_way = pytest.mark.parametrize(
    ("function", "injected", "value"), TELLING.values(), ids=TELLING.keys()
)


@by_way
def test_what_a_handler_tells_before_its_end_is_partial(
    box: Sandbox, function: Callable[..., Any], injected: dict[str, Any], value: Json
) -> None:
    result = box.execute(handler(function, **injected))

    assert (result.partial, result.unwrap()) == ((1, 2), value)


@by_way
def test_what_a_handler_tells_is_heard_once_each(
    box: Sandbox, function: Callable[..., Any], injected: dict[str, Any], value: Json
) -> None:
    del value
    heard: list[Json] = []
    box.execute(handler(function, **injected), on_partial=heard.append)

    assert heard == [1, 2]


def test_a_partial_value_is_heard_while_the_handler_runs(box: Sandbox) -> None:
    """It would sleep for a minute; it is killed when it was heard."""

    def tells_and_waits(*, progress: Progress) -> None:
        progress.emit("begun")
        time.sleep(60)

    class HeardError(Exception):
        pass

    def on_partial(_: Json) -> None:
        raise HeardError

    with pytest.raises(HeardError):
        box.execute(handler(tells_and_waits, progress="progress"), on_partial=on_partial)


def test_any_value_can_be_told(box: Sandbox) -> None:
    def tells(*, progress: Progress) -> None:
        progress.emit({"price": Decimal("1.5")})

    result = box.execute(handler(tells, progress="progress"))

    assert result.partial == ({"price": "1.5"},)


def test_a_value_that_json_cannot_say_is_refused_where_it_is_told(box: Sandbox) -> None:
    def tells(*, progress: Progress) -> str:
        try:
            progress.emit(object())
        except ValueError:
            return "refused"
        return "sent"

    assert box.execute(handler(tells, progress="progress")).unwrap() == "refused"


def test_more_progress_than_the_host_takes_costs_nobody_the_answer(box: Sandbox) -> None:
    def tells(*, progress: Progress) -> str:
        for _ in range(12_000):
            progress.emit("x" * 200)
        return "x" * 1_000_000

    assert box.execute(handler(tells, progress="progress")).ok


def test_a_child_process_cannot_tell_for_its_handler(box: Sandbox) -> None:
    def forks(*, progress: Progress) -> int:
        child = os.fork()
        if child == 0:
            try:
                progress.emit("from the child")
            finally:
                os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert box.execute(handler(forks, progress="progress")).partial == ()


# What is left


def leaves_files() -> None:
    opened.append(Path("/box/left").open("w"))  # noqa: SIM115 - left open on purpose


def leaves_sockets() -> None:
    opened.extend(socket.socketpair())


def leaves_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(60,)).start()


def leaves_a_child() -> None:
    opened.append(subprocess.Popen(["/bin/sleep", "60"]))


def leaves_a_daemon() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(60)
        os._exit(0)
    os.wait()


def leaves_temporary_files() -> None:
    for _ in range(3):
        os.close(tempfile.mkstemp()[0])


async def leaves_a_thread_of_its_loop() -> None:
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)


async def uses_a_thread() -> None:
    await asyncio.to_thread(int)


def tidies_up() -> None:
    with Path("/box/closed").open("w"), tempfile.TemporaryFile():
        subprocess.run(["/bin/true"], check=True)
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()


opened: list[Any] = []
LEAVING: dict[str, tuple[Callable[[], Any], dict[str, int]]] = {
    "nothing": (tidies_up, {}),
    "an open file": (leaves_files, {"files": 1}),
    "sockets": (leaves_sockets, {"sockets": 2}),
    "a thread": (leaves_a_thread, {"threads": 1}),
    "a child": (leaves_a_child, {"children": 1}),
    "a daemon": (leaves_a_daemon, {"children": 1}),
    "temporary files": (leaves_temporary_files, {"temporary_files": 3}),
    "a thread of an event loop": (leaves_a_thread_of_its_loop, {"threads": 1}),
    "idle threads of an event loop": (uses_a_thread, {}),
}


@pytest.mark.parametrize(("function", "counts"), LEAVING.values(), ids=LEAVING.keys())
def test_what_a_handler_leaves_is_counted(
    box: Sandbox, function: Callable[[], Any], counts: dict[str, int]
) -> None:
    result = box.execute(handler(function))

    assert (result.unwrap(), left_open(result.notes)) == (None, counts)


LEFT = (leaves_a_thread, leaves_a_thread_of_its_loop, leaves_a_daemon)


@pytest.mark.parametrize("function", LEFT, ids=lambda each: each.__name__)
def test_what_a_handler_leaves_keeps_nobody_waiting(
    box: Sandbox, function: Callable[[], Any]
) -> None:
    assert box.execute(handler(function)).usage.wall_seconds < 3.0
