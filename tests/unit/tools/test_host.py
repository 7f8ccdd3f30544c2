"""Handlers on the host: cancelled where they can be, and an honest word where not."""

import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from sandbox import Context, File, Image, Policy, Progress, Result, Toolset
from sandbox.tools.answered import Called
from tests.unit.tools.turns import answer_one, call_of, text_of, turn_of, value_of

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "trio"])
SOON = 0.05
WHO: ContextVar[str] = ContextVar("who")


def tools_with(handler: Callable[..., Any], **options: Any) -> Toolset:
    tools = Toolset()
    tools.add(handler, name="handler", where="host", **options)
    return tools


def run(handler: Callable[..., Any], **options: Any) -> Called:
    return answer_one(tools_with(handler, **options), "handler")


def run_on(loop: str, handler: Callable[..., Any], **options: Any) -> Called:
    async def answer() -> Called:
        answered = await tools_with(handler, **options).answer(turn_of(call_of("handler")))
        return answered.calls[0]

    return anyio.run(answer, backend=loop)


def result_of(called: Called) -> Result:
    assert called.result is not None
    return called.result


def sync_value() -> int:
    return 5


async def async_value() -> int:
    await anyio.lowlevel.checkpoint()
    return 5


def sync_error() -> int:
    raise ValueError("five")  # noqa: EM101 - a handler as people write them


async def async_error() -> int:
    raise ValueError("five")  # noqa: EM101 - ditto


def sync_exit() -> int:
    raise SystemExit(3)


async def async_exit() -> int:
    raise SystemExit(3)


@LOOPS
@pytest.mark.parametrize("handler", [sync_value, async_value])
def test_a_handler_gives_its_value(loop: str, handler: Callable[..., Any]) -> None:
    assert value_of(run_on(loop, handler).answer) == 5


@LOOPS
@pytest.mark.parametrize("handler", [sync_error, async_error])
def test_what_a_handler_raises_is_told(loop: str, handler: Callable[..., Any]) -> None:
    assert "raised ValueError: five" in text_of(run_on(loop, handler).answer)


@LOOPS
@pytest.mark.parametrize("handler", [sync_exit, async_exit])
def test_a_handler_cannot_end_the_program(loop: str, handler: Callable[..., Any]) -> None:
    assert run_on(loop, handler).fate == "error"


@LOOPS
def test_an_async_handler_is_cancelled_at_its_deadline(loop: str) -> None:
    async def handler() -> None:
        await anyio.sleep_forever()

    assert run_on(loop, handler, wall_seconds=SOON).fate == "timeout"


def test_cleaning_up_after_the_deadline_may_await() -> None:
    cleaned: list[str] = []

    async def handler() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            await anyio.lowlevel.checkpoint()
            cleaned.append("all")

    run(handler, wall_seconds=SOON, grace_seconds=5)

    assert cleaned == ["all"]


def test_a_handler_that_swallows_every_cancellation_is_left_alone() -> None:
    is_over = anyio.Event()

    async def handler() -> None:
        while not is_over.is_set():
            with suppress(anyio.get_cancelled_exc_class()):
                await is_over.wait()

    async def answer() -> Called:
        tools = tools_with(handler, wall_seconds=SOON, grace_seconds=SOON)
        called = (await tools.answer(turn_of(call_of("handler")))).calls[0]
        is_over.set()
        return called

    assert "could not be stopped" in text_of(anyio.run(answer).answer)


def test_a_value_that_comes_in_the_grace_is_too_late() -> None:
    async def handler() -> int:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return 5
        return 6

    assert run(handler, wall_seconds=SOON, grace_seconds=5).fate == "timeout"


@pytest.fixture
def gate() -> Generator[threading.Event]:
    """What a handler in a thread waits for; opened at the end, so that its thread ends too."""
    opened = threading.Event()
    yield opened
    opened.set()


def test_a_thread_at_its_deadline_is_said_to_go_on(gate: threading.Event) -> None:
    def handler() -> None:
        gate.wait(30)

    assert "could not be stopped" in text_of(run(handler, wall_seconds=SOON).answer)


def test_nobody_waits_for_a_thread_at_its_deadline(gate: threading.Event) -> None:
    def handler() -> None:
        gate.wait(30)

    begun = time.monotonic()
    run(handler, wall_seconds=SOON)

    assert time.monotonic() - begun < 5


def test_a_thread_left_alone_is_told_when_it_tells(gate: threading.Event) -> None:
    told: list[str] = []
    is_told = threading.Event()

    def handler(progress: Progress) -> None:
        gate.wait(30)
        try:
            progress("late")
        except BaseException as error:
            told.append(type(error).__name__)
            is_told.set()
            raise

    run(handler, wall_seconds=SOON)
    gate.set()
    is_told.wait(5)

    assert told == ["Cancelled"]


def test_a_thread_left_alone_takes_no_other_call_s_place(gate: threading.Event) -> None:
    def handler() -> None:
        gate.wait(30)

    tools = Toolset(parallel=1)
    tools.add(handler, name="stuck", where="host", wall_seconds=SOON)
    tools.add(sync_value, name="quick", where="host")

    async def answer() -> list[str]:
        calls = [call_of("stuck", call_id="1"), call_of("quick", call_id="2")]
        return [each.fate for each in (await tools.answer(turn_of(*calls))).calls]

    assert anyio.run(answer) == ["timeout", "ok"]


def test_a_tool_s_own_timeout_error_is_its_own() -> None:
    def handler() -> None:
        raise TimeoutError("the database did not answer")  # noqa: EM101, TRY003 - ditto

    called = run(handler)

    assert (called.fate, "raised TimeoutError: the database" in text_of(called.answer)) == (
        "error",
        True,
    )


def sync_steps() -> Generator[int, None, str]:
    yield 1
    yield 2
    return "done"


async def async_steps() -> AsyncGenerator[int]:
    yield 1
    yield 2


@LOOPS
@pytest.mark.parametrize(("handler", "value"), [(sync_steps, "done"), (async_steps, 2)])
def test_what_a_generator_yields_is_progress(
    loop: str, handler: Callable[..., Any], value: object
) -> None:
    result = result_of(run_on(loop, handler))

    assert (result.partial, result.value) == ((1, 2), value)


def test_progress_reaches_the_caller_while_the_handler_runs() -> None:
    told: list[object] = []

    async def handler(progress: Progress) -> list[object]:
        progress.emit(1)
        return list(told)

    called = answer_one(
        tools_with(handler), "handler", on_progress=lambda _, value: told.append(value)
    )

    assert value_of(called.answer) == [1]


def test_a_progress_callback_that_fails_is_not_the_call_s_fault() -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    async def handler(progress: Progress) -> int:
        progress.emit(1)
        return 5

    assert answer_one(tools_with(handler), "handler", on_progress=fail).fate == "ok"


def test_contextvars_follow_the_call_into_its_thread() -> None:
    def handler() -> str:
        return WHO.get("nobody")

    async def answer() -> Called:
        WHO.set("Ann")
        return (await tools_with(handler).answer(turn_of(call_of("handler")))).calls[0]

    assert text_of(anyio.run(answer).answer) == "Ann"


def test_a_handler_sees_its_context_with_its_own_deadline() -> None:
    async def handler(context: Context) -> list[object]:
        return [context.user, 0 < context.remaining() <= 2]

    called = answer_one(tools_with(handler, wall_seconds=2), "handler", context=Context(user="u1"))

    assert value_of(called.answer) == ["u1", True]


PNG = b"\x89PNG\r\n\x1a\n..."


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (PNG, (Image(PNG),)),
        (b"abc", (File(b"abc", "data.bin"),)),
        (File(b"abc", "a.csv", "text/csv"), (File(b"abc", "a.csv", "text/csv"),)),
    ],
    ids=["picture", "bytes", "file"],
)
def test_content_goes_to_the_model_as_what_it_is(value: object, parts: object) -> None:
    async def handler() -> Any:
        return value

    assert run(handler).answer.parts == parts


@pytest.mark.parametrize(
    "value",
    [object(), float("nan"), File(b"", "../x"), "x" * 2000, [[[[[[5]]]]]]],
    ids=["object", "nan", "folder", "large", "deep"],
)
def test_what_cannot_be_sent_is_invalid(value: object) -> None:
    async def handler() -> Any:
        return value

    assert run(handler, result_bytes=1000, result_depth=4).fate == "invalid"


def test_a_host_handler_says_that_nothing_is_around_it() -> None:
    result = result_of(run(sync_value))

    assert result.enforced.isolation == "none: on the host"


def test_a_value_within_the_depth_is_good() -> None:
    async def handler() -> Any:
        return [[[[5]]]]

    assert run(handler, policy=Policy.load("tool"), result_depth=4).fate == "ok"
