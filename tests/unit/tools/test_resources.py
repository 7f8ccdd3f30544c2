"""Resources of handlers on the host: closed in reverse order, and what became of them noted."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import anyio
import anyio.lowlevel
import pytest

from sandbox import Called, Context, Resource, Toolset
from tests.unit.tools.turns import answer_one, text_of

SOON = 0.05


def run(handler: Callable[..., Any], **options: Any) -> Called:
    tools = Toolset()
    tools.add(handler, name="handler", where="host", **options)
    return answer_one(tools, "handler")


ENDED: list[str] = []


@contextmanager
def sync_transaction() -> Generator[str]:
    try:
        yield "open"
    except BaseException as error:
        ENDED.append(type(error).__name__)
        raise
    ENDED.append("committed")


@asynccontextmanager
async def async_transaction() -> AsyncGenerator[str]:
    try:
        yield "open"
    except BaseException as error:
        await anyio.lowlevel.checkpoint()
        ENDED.append(type(error).__name__)
        raise
    ENDED.append("committed")


async def commits(db: Annotated[str, Resource(async_transaction, "db")]) -> str:
    return db


async def fails(db: Annotated[str, Resource(async_transaction, "db")]) -> str:
    raise ValueError(db)


async def hangs(db: Annotated[str, Resource(async_transaction, "db")]) -> str:
    await anyio.sleep_forever()
    return db


def commits_sync(db: Annotated[str, Resource(sync_transaction, "db")]) -> str:
    return db


def fails_sync(db: Annotated[str, Resource(sync_transaction, "db")]) -> str:
    raise ValueError(db)


@pytest.mark.parametrize(
    ("handler", "ended", "outcome"),
    [
        (commits, "committed", "committed"),
        (fails, "ValueError", "rolled_back"),
        (hangs, "CancelledError", "rolled_back"),
        (commits_sync, "committed", "committed"),
        (fails_sync, "ValueError", "rolled_back"),
    ],
)
def test_a_resource_is_closed_with_the_handler_s_exception(
    handler: Callable[..., Any], ended: str, outcome: str
) -> None:
    ENDED.clear()
    called = run(handler, wall_seconds=SOON * 4, grace_seconds=5)

    assert (ENDED, called.transaction) == ([ended], outcome)


@contextmanager
def raising_at_its_end() -> Generator[str]:
    yield "open"
    raise OSError("disk full")  # noqa: EM101, TRY003 - ditto


def test_a_resource_that_cannot_be_closed_is_unknown() -> None:
    def handler(db: Annotated[str, Resource(raising_at_its_end, "db")]) -> str:
        return db

    assert run(handler).resources == {"db": "unknown"}


def test_a_factory_that_fails_leaves_nothing_started() -> None:
    def broken() -> str:
        raise ConnectionError("refused")  # noqa: EM101 - ditto

    def handler(db: Annotated[str, Resource(broken, "db")]) -> str:
        return db

    assert run(handler).transaction == "not_started"


def test_what_is_entered_by_hand_is_noted_too() -> None:
    def handler(context: Context) -> str:
        return context.enter(sync_transaction())

    assert run(handler).resources == {"sync_transaction": "committed"}


def test_an_async_resource_needs_an_async_handler() -> None:
    def handler(db: Annotated[str, Resource(async_transaction, "db")]) -> str:
        return db

    assert "make its tool `async def`" in text_of(run(handler).answer)
