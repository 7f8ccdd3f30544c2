"""CPython's own tests of executors pass on ours, but for those that are listed here.

They are those of Python 3.11, where all are in one module; later ones have made a folder of it.
"""

import importlib
import logging
import os
import unittest
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any, Final

import pytest

from sandbox import Policy, SandboxExecutor
from sandbox.executors.futures import SandboxFuture
from tests.contract.conftest import NewBackend

pytestmark = pytest.mark.slow

MODULE: Final = "test.test_concurrent_futures"
IS_REQUIRED: Final = "testsuite" in os.environ.get("SANDBOX_REQUIRE", "").split(",")
"""In CI what is missing must not be skipped."""

CLASSES: Final = (
    *("ExecutorTest", "ExecutorShutdownTest", "WaitTests", "AsCompletedTests"),
    "FutureTests",
)

LEFT_OUT: Final[dict[str, str]] = {
    "ExecutorTest.test_submit_keyword": "compares a value with a tuple, and JSON has none",
    "ExecutorTest.test_map_exception": "compares values with tuples, and JSON has none",
    "ExecutorTest.test_free_reference": "values are objects of its own class: they are not JSON",
    "ExecutorShutdownTest.test_interpreter_shutdown": "imports the class from concurrent.futures, "
    "and looks for what a guest prints: see test_a_program_ends_with_what_it_submitted",
    "ExecutorShutdownTest.test_hang_gh83386": "ditto",
    "ExecutorShutdownTest.test_submit_after_interpreter_shutdown": "ditto",
    "FutureTests.test_multiple_set_result": "its pattern has the name of the class, Future",
    "FutureTests.test_multiple_set_exception": "ditto",
}

LEFT_OUT_CLASSES: Final[dict[str, str]] = {
    "ThreadPoolExecutorTest": "counts the threads of a ThreadPoolExecutor, gives guests its locks",
    "ThreadPoolShutdownTest": "looks at the threads of a ThreadPoolExecutor, and at their names",
    "ThreadPoolWaitTests": "gives its calls an event of this process",
    "ProcessPoolShutdownTest": "looks at the queues and processes of a ProcessPoolExecutor",
    "ProcessPoolExecutorTest": "kills workers, reuses workers, passes objects of its own",
    "ExecutorDeadlockTest": "is about pickles that break a worker: nothing of a guest is unpickled",
    "InitializerMixin": "there is no initializer: each call has a guest of its own; see preload",
    "FailingInitializerMixin": "ditto",
}

POLICY: Final = Policy.load("strict").widen("they sleep for 6 s", wall_seconds=20)


@cache
def suite() -> Any:
    """Import the module; None where this Python came without it, or with another one."""
    with warnings.catch_warnings(), suppress(ImportError, unittest.SkipTest):
        warnings.simplefilter("ignore")
        found = importlib.import_module(MODULE)
        return found if hasattr(found, "ExecutorTest") else None
    return None


def names() -> Iterator[str]:
    for each in CLASSES if suite() else ():
        loader = unittest.TestLoader()
        for name in loader.getTestCaseNames(getattr(suite(), each)):
            yield f"{each}.{name}"


def problems_of(full_name: str, new_backend: NewBackend) -> list[str]:
    """Run one test of theirs on our executor."""

    class Ours(SandboxExecutor):
        def __init__(self, max_workers: int | None = None) -> None:
            super().__init__(POLICY, max_workers=max_workers, backend=new_backend())

    theirs, _, name = full_name.partition(".")
    members = {"executor_type": Ours}
    mixin = () if theirs == "FutureTests" else (suite().ExecutorMixin,)
    bases = (getattr(suite(), theirs), *mixin, suite().BaseTestCase)
    case: Any = type(theirs, tuple(dict.fromkeys(bases)), members)(name)
    outcome = unittest.TestResult()
    case.run(outcome)
    assert outcome.testsRun == 1
    return [text for _, text in (*outcome.errors, *outcome.failures, *outcome.skipped)]


@pytest.fixture
def as_they_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have them make our futures, find errors of callbacks on stderr, and wait for less long."""
    monkeypatch.setattr(suite(), "Future", SandboxFuture)
    monkeypatch.setattr(logging.getLogger("concurrent.futures"), "handlers", [logging.lastResort])
    monkeypatch.setattr(suite().support, "SHORT_TIMEOUT", 5)


def test_the_suite_is_here() -> None:
    if not suite():
        message = f"this Python came without {MODULE} of 3.11: install libpython3.11-testsuite"
        (pytest.fail if IS_REQUIRED else pytest.skip)(message)

    assert len(list(names())) > 40


@pytest.mark.usefixtures("as_they_expect")
@pytest.mark.parametrize("name", [each for each in names() if each not in LEFT_OUT])
def test_cpythons_own_tests_pass(new_backend: NewBackend, name: str) -> None:
    assert problems_of(name, new_backend) == []


@pytest.mark.usefixtures("as_they_expect")
@pytest.mark.parametrize("name", LEFT_OUT if suite() else ())
def test_what_is_left_out_is_there_and_would_fail(new_backend: NewBackend, name: str) -> None:
    """What passes by now, or is no more, is left out for nothing."""
    assert name in set(names())
    assert problems_of(name, new_backend) != []


@pytest.mark.parametrize("name", LEFT_OUT_CLASSES if suite() else ())
def test_a_class_that_is_left_out_is_there(name: str) -> None:
    assert hasattr(suite(), name)
