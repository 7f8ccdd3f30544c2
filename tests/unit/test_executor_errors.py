"""What an executor raises for a call that ended badly, and what no guest can make it raise."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import pytest

from sandbox import BadCall, CallFailed, EngineFault, SandboxExecutor
from sandbox.backends.base import Sighting
from sandbox.backends.fake import FakeBackend, raised
from sandbox.wire import Raised

PATIENCE_SECONDS = 10.0


def answering(*sightings: Sighting | EngineFault) -> SandboxExecutor:
    return SandboxExecutor(max_workers=2, backend=FakeBackend(sightings))


def error_of(future: Future[Any]) -> BaseException:
    error = future.exception(timeout=PATIENCE_SECONDS)
    assert error is not None
    return error


UNSENDABLE: dict[str, Callable[[Executor], Future[Any]]] = {
    "an argument": lambda executor: executor.submit(print, object()),
    "a keyword": lambda executor: executor.submit(dict, end=object()),
    "a function": lambda executor: executor.submit(threading.Lock().acquire),
    "no function": lambda executor: executor.submit("no name"),  # type: ignore[arg-type]  # wrong
}


@pytest.mark.parametrize("submit", UNSENDABLE.values(), ids=UNSENDABLE.keys())
def test_what_cannot_be_sent_fails_its_own_future(
    submit: Callable[[Executor], Future[Any]],
) -> None:
    with answering() as executor:
        assert isinstance(error_of(submit(executor)), BadCall)


def test_a_fault_of_the_engine_is_raised_as_it_is() -> None:
    fault = EngineFault("a test's", started="unknown")

    with answering(fault) as executor:
        assert error_of(executor.submit(int)) is fault


ALIKE = {
    "ArithmeticError": ArithmeticError,
    "AssertionError": AssertionError,
    "AttributeError": AttributeError,
    "IndexError": IndexError,
    "KeyError": KeyError,
    "NameError": NameError,
    "TypeError": TypeError,
    "UnboundLocalError": UnboundLocalError,
    "UnicodeDecodeError": UnicodeError,
    "ValueError": ValueError,
    "ZeroDivisionError": ZeroDivisionError,
}


@pytest.mark.parametrize(("name", "kind"), ALIKE.items(), ids=ALIKE.keys())
def test_an_error_of_values_is_also_the_builtin_one(name: str, kind: type[Exception]) -> None:
    with answering(raised(name, "x")) as executor:
        error = error_of(executor.submit(int))

    assert (isinstance(error, kind), isinstance(error, CallFailed)) == (True, True)


UNLIKE = (
    *("OSError", "FileNotFoundError", "TimeoutError", "ConnectionError", "MemoryError"),
    *("StopIteration", "StopAsyncIteration", "GeneratorExit", "KeyboardInterrupt", "SystemExit"),
    *("RuntimeError", "RecursionError", "SystemError", "ImportError", "UserWarning"),
    *("Exception", "BaseException", "ExceptionGroup", "object", "type", "eval", "__import__"),
    *("CancelledError", "BrokenProcessPool", "BadCall", "JSONDecodeError", "mine.ValueError", ""),
)


@pytest.mark.parametrize("name", UNLIKE)
def test_no_guest_makes_a_host_believe_that_something_is_its_own(name: str) -> None:
    with answering(raised(name, "x")) as executor:
        assert type(error_of(executor.submit(int))) is CallFailed


def test_a_verdict_that_the_host_decided_is_never_a_builtin_error() -> None:
    sighting = replace(raised("ValueError", "x"), stopped_by="wall")
    with answering(sighting) as executor:
        assert type(error_of(executor.submit(int))) is CallFailed


@pytest.mark.parametrize("name", ["KeyError", "ValueError", "OSError", "Strange"])
def test_an_error_shows_type_and_message_of_the_guests(name: str) -> None:
    with answering(raised(name, "it's gone")) as executor:
        assert str(error_of(executor.submit(int))) == f"error: {name}: it's gone"


def test_each_line_of_a_guests_traceback_is_marked() -> None:
    text = 'Traceback\n  File "host.py"\rTraceback\nValueError: x'
    sighting = replace(raised("ValueError"), claim=Raised("ValueError", "x", text))
    with answering(sighting) as executor:
        (note,) = error_of(executor.submit(int)).__notes__

    first, *others = note.splitlines()
    assert (first, [line[:4] for line in others]) == ("in the guest:", ["  | "] * 4)
