"""A function goes to a guest by import where the guest has the same, by value where not."""

import functools
import json
import math
import statistics
import threading
from collections.abc import Callable
from typing import Any

import cloudpickle
import psutil
import pytest

from sandbox.errors import BadCall
from sandbox.functions import function_call
from sandbox.policy import InstalledPackages, Policy

STRICT = Policy()
WITH_PACKAGES = STRICT.widen("a test", packages=InstalledPackages(reason="a test"))


class Tool:
    """Something with a method."""

    def double(self, number: int) -> int:
        return 2 * number


def top_level(number: int) -> int:
    return number


def closure(amount: int) -> Callable[[int], int]:
    def add(number: int) -> int:
        return number + amount

    return add


def with_lock() -> Callable[[], bool]:
    lock = threading.Lock()

    def is_locked() -> bool:
        return lock.locked()

    return is_locked


BY_IMPORT: dict[str, tuple[Callable[..., Any], str]] = {
    "Python's own": (statistics.mean, "statistics:mean"),
    "written in C": (math.gcd, "math:gcd"),
    "of a submodule": (json.dumps, "json:dumps"),
}

BY_VALUE: dict[str, Callable[..., Any]] = {
    "of this module": top_level,
    "a lambda": lambda: 1,
    "a closure": closure(1),
    "a bound method": Tool().double,
}


@pytest.mark.parametrize(("function", "name"), BY_IMPORT.values(), ids=BY_IMPORT.keys())
def test_a_function_of_the_standard_library_goes_by_import(
    function: Callable[..., Any], name: str
) -> None:
    call = function_call(function, [], {}, STRICT)

    assert (call.name, call.pickled) == (name, b"")


@pytest.mark.parametrize("function", BY_VALUE.values(), ids=BY_VALUE.keys())
def test_another_function_goes_by_value(function: Callable[..., Any]) -> None:
    assert function_call(function, [], {}, STRICT).pickled


def test_an_installed_function_goes_by_import_where_packages_are_let_in() -> None:
    assert not function_call(psutil.cpu_count, [], {}, WITH_PACKAGES).pickled


def test_a_function_by_name_is_taken_as_it_is() -> None:
    call = function_call("any.module:name", [1], {"a": 2}, STRICT)

    assert (call.name, call.arguments, call.keywords) == ("any.module:name", [1], {"a": 2})


def test_a_pickle_has_the_code_along(monkeypatch: pytest.MonkeyPatch) -> None:
    pickled = function_call(top_level, [], {}, STRICT).pickled
    monkeypatch.delattr(f"{__name__}.top_level", raising=False)

    assert cloudpickle.loads(pickled)(7) == 7


def test_a_partial_function_goes_by_value() -> None:
    assert function_call(functools.partial(top_level, 1), [], {}, STRICT).pickled


def test_an_object_that_can_be_called_goes_by_value() -> None:
    class Caller:
        def __call__(self) -> int:
            return 1

    assert function_call(Caller(), [], {}, STRICT).pickled


def test_what_lives_in_this_process_cannot_go() -> None:
    with pytest.raises(BadCall, match="cannot be sent"):
        function_call(with_lock(), [], {}, STRICT)


@pytest.mark.parametrize("thing", [42, None, [], "no name"], ids=str)
def test_what_is_no_function_is_refused(thing: Any) -> None:
    with pytest.raises(BadCall):
        function_call(thing, [], {}, STRICT)


def test_pickling_leaves_no_module_registered() -> None:
    registry: Callable[[], set[str]] = getattr(cloudpickle, "list_registry_pickle_by_value")  # noqa: B009 - it has no types
    before = registry()
    function_call(top_level, [], {}, STRICT)

    assert registry() == before
