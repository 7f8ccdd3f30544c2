"""Resources that tell when they are opened and closed, of every kind that a factory may give."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Generator

import pytest

__all__ = ["Till", "each_factory", "say"]


def say(text: str) -> None:
    """Write a line from within the guest."""
    sys.stdout.write(f"{text}\n")


class Till:
    """A context manager of the user's."""

    def __enter__(self) -> str:
        """Say so."""
        say("opened")
        return "till"

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Say so."""
        say(f"closed {kind.__name__ if kind else None}")


class AsyncTill:
    """An async context manager."""

    async def __aenter__(self) -> str:
        """Say so."""
        await asyncio.sleep(0)
        return Till().__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Say so."""
        await asyncio.sleep(0)
        Till().__exit__(kind, *error)


class Closable:
    """A thing that can only be closed."""

    def __init__(self) -> None:
        say("opened")

    def close(self) -> None:
        say("closed None")

    def __str__(self) -> str:
        """Give its name."""
        return "till"


def opens() -> Generator[str]:
    with Till() as till:
        yield till


async def opens_later() -> AsyncIterator[str]:
    async with AsyncTill() as till:
        yield till


async def gives_later() -> Till:
    await asyncio.sleep(0)
    return Till()


FACTORIES: dict[str, Callable[[], object]] = {
    "a context manager": Till,
    "an async context manager": AsyncTill,
    "a generator function": opens,
    "an async generator function": opens_later,
    "a function of contextlib's": contextlib.contextmanager(opens),
    "a coroutine function": gives_later,
    "what can be closed": Closable,
}
each_factory = pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES.keys())
