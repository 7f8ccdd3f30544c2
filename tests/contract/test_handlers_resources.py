"""Resources of handlers: opened before, closed in reverse after, with the exception if any."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.tools.context import Context, Resource
from tests.contract.handlers import handler, states
from tests.contract.tills import Till, each_factory


def takes(*, till: object) -> str:
    return str(till)


async def takes_later(*, till: object) -> str:
    await asyncio.sleep(0)
    return str(till)


@each_factory
@pytest.mark.parametrize("function", [takes, takes_later], ids=["sync", "async"])
def test_a_resource_is_open_while_the_handler_runs(
    box: Sandbox, factory: Callable[[], object], function: Callable[..., Any]
) -> None:
    result = box.execute(handler(function, till=Resource(factory, "till")))

    assert (result.unwrap(), result.stdout, states(result.notes)) == (
        "till",
        "opened\nclosed None\n",
        [("till", "opened"), ("till", "committed")],
    )


def fails(*, till: object) -> None:
    raise LookupError(till)


async def fails_later(*, till: object) -> None:
    await asyncio.sleep(0)
    raise LookupError(till)


@each_factory
@pytest.mark.parametrize("function", [fails, fails_later], ids=["sync", "async"])
def test_a_resource_is_closed_with_the_exception(
    box: Sandbox, factory: Callable[[], object], function: Callable[..., Any]
) -> None:
    result = box.execute(handler(function, till=Resource(factory, "till")))

    assert (result.status, result.stdout.split()[0], states(result.notes)[-1]) == (
        "error",
        "opened",
        ("till", "rolled_back"),
    )


def test_a_plain_value_is_no_resource_to_be_closed(box: Sandbox) -> None:
    result = box.execute(handler(takes, till=Resource(lambda: 7, "till")))

    assert (result.unwrap(), states(result.notes)) == ("7", [])


def test_a_resource_whose_end_fails_is_unknown(box: Sandbox) -> None:
    def opens_badly() -> Iterator[int]:
        yield 1
        message = "disk full"
        raise OSError(message)

    result = box.execute(handler(takes, till=Resource(opens_badly)))

    assert (result.status, states(result.notes)[-1]) == ("error", ("opens_badly", "unknown"))


def test_a_resource_that_cannot_be_opened_is_not_noted(box: Sandbox) -> None:
    def opens_never() -> Iterator[int]:
        message = "locked"
        raise OSError(message)
        yield 1

    result = box.execute(handler(takes, till=Resource(opens_never)))

    assert (result.status, states(result.notes)) == ("error", [])


def test_more_resources_than_can_be_noted_cost_nobody_the_answer(box: Sandbox) -> None:
    def enters_many(*, context: Context) -> int:
        for _ in range(3_000):
            context.enter(contextlib.ExitStack())
        return 7

    assert box.execute(handler(enters_many, context="context")).unwrap() == 7


def test_a_value_that_is_invalid_rolls_back(box: Sandbox) -> None:
    def gives_an_object(*, till: object) -> object:
        del till
        return object()

    result = box.execute(handler(gives_an_object, till=Resource(Till)))

    assert (result.status, states(result.notes)[-1]) == ("invalid", ("Till", "rolled_back"))


def enters(*, context: Context) -> None:
    for name in "ab":
        context.enter(contextlib.closing(contextlib.ExitStack())).callback(print, name)


async def enters_later(*, context: Context) -> None:
    for name in "ab":
        stack = await context.enter_async(contextlib.AsyncExitStack())
        stack.callback(print, name)


@pytest.mark.parametrize("function", [enters, enters_later], ids=["sync", "async"])
def test_what_a_handler_enters_is_closed_in_reverse(
    box: Sandbox, function: Callable[..., Any]
) -> None:
    assert box.execute(handler(function, context="context")).stdout == "b\na\n"
