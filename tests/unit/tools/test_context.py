"""Who calls, and within what: what a handler can do with it, and what never shows."""

import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress

import anyio
import pytest

from sandbox import BadCall, Cancelled, Context, Progress, Resource
from sandbox.wire import Json


def test_a_context_never_shows_its_secrets() -> None:
    assert "hunter2" not in repr(Context(user="u1", secrets={"key": "hunter2"}))


def test_one_text_is_no_set_of_permissions() -> None:
    with pytest.raises(BadCall, match="permissions"):
        Context(permissions="pay")  # type: ignore[arg-type]


def test_a_secret_is_a_text() -> None:
    with pytest.raises(BadCall, match="secrets"):
        Context(secrets={"key": 5})  # type: ignore[dict-item]


def test_a_context_may_only_what_it_was_given() -> None:
    context = Context(permissions={"read"})

    assert (context.may("read"), context.may("pay")) == (True, False)


def test_permissions_given_as_a_set_cannot_be_added_to_later() -> None:
    given = {"read"}
    context = Context(permissions=given)
    given.add("pay")

    assert not context.may("pay")


def test_there_is_no_end_of_time_without_a_deadline() -> None:
    assert Context().remaining() == float("inf")


def test_no_time_remains_after_the_deadline() -> None:
    assert Context(deadline=time.monotonic() - 1).remaining() == 0.0


@pytest.mark.parametrize(
    ("deadline", "narrowed", "left"),
    [(None, 5.0, 5.0), (9.0, 5.0, 5.0), (5.0, 9.0, 5.0), (5.0, None, 5.0), (None, None, None)],
    ids=["first", "earlier", "later", "none", "never"],
)
def test_a_deadline_only_gets_earlier(
    deadline: float | None, narrowed: float | None, left: float | None
) -> None:
    assert Context(deadline=deadline).narrow(deadline=narrowed).deadline == left


def test_a_narrowed_context_counts_seconds_from_now() -> None:
    assert 0 < Context().narrow(wall_seconds=5).remaining() <= 5


def test_a_context_outside_a_handler_enters_nothing() -> None:
    with pytest.raises(RuntimeError, match="running handler"):
        Context().enter(ExitStack())


def test_what_is_entered_is_closed_in_reverse_order_with_the_exception() -> None:
    closed: list[str] = []

    @contextmanager
    def opened(name: str) -> Generator[str]:
        try:
            yield name
        except ValueError as error:
            closed.append(f"{name} {error}")
            raise

    def handler(context: Context) -> None:
        context.enter(opened("first"))
        context.narrow(wall_seconds=1).enter(opened("second"))
        raise ValueError("boom")  # noqa: EM101 - the shortest handler that fails

    with suppress(ValueError), ExitStack() as exits:
        handler(Context().bound(exits))

    assert closed == ["second boom", "first boom"]


def test_an_async_manager_is_entered_by_async_code() -> None:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[int]:
        yield 5

    async def handler() -> int:
        async with AsyncExitStack() as exits:
            return await Context().bound(exits).enter_async(opened())

    assert anyio.run(handler) == 5


def test_sync_code_cannot_enter_an_async_manager() -> None:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[int]:
        yield 5

    async def handler() -> None:
        with ExitStack() as exits:
            await Context().bound(exits).enter_async(opened())

    with pytest.raises(RuntimeError, match="async handler"):
        anyio.run(handler)


def test_progress_tells_json() -> None:
    told: list[Json] = []
    progress = Progress(told.append)
    progress.emit({"at": {1}})
    progress("half")

    assert told == [{"at": [1]}, "half"]


def test_progress_refuses_what_json_cannot_say() -> None:
    with pytest.raises(ValueError, match="object"):
        Progress(lambda _: None).emit(object())


def test_except_exception_does_not_swallow_a_cancellation() -> None:
    assert not issubclass(Cancelled, Exception)


def test_a_resource_is_named_after_its_factory() -> None:
    def open_database() -> None: ...

    assert Resource(open_database).name == "open_database"


def test_a_resource_needs_a_factory() -> None:
    with pytest.raises(BadCall, match="function that opens it"):
        Resource("sqlite:///x")  # type: ignore[arg-type]
