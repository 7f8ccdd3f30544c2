"""How a handler is made ready to be sent: what goes along, and what must not."""

import dataclasses
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import cloudpickle
import pytest
from pydantic import Field

from sandbox import BadCall, Policy, Quota
from sandbox.call import Handler, Source, quota_of
from sandbox.engine import Engine
from sandbox.functions import handler_call
from sandbox.tools.context import Context, Resource
from sandbox.wire import Image

_cloudpickle: Any = cloudpickle  # it has no types
POLICY = Policy.load("strict")


@dataclasses.dataclass
class Account:
    """An argument class of the user's."""

    number: int


def transfer(amount: Annotated[Decimal, Field(gt=0)], to: Account, *, context: Context) -> Account:
    del context
    return Account(to.number + int(amount))


def opens() -> Iterator[Account]:
    yield Account(1)


def makes_a_picture() -> object:
    return Image(b"")


def runs_an_engine() -> object:
    return Engine


def holds_a_lock() -> Callable[[], object]:
    lock = threading.Lock()
    return lambda: lock


def call_of(function: Callable[..., Any], *arguments: object, **injected: Any) -> Handler:
    return handler_call(function, arguments, {}, injected=injected, context={}, policy=POLICY)


def test_a_handler_and_its_arguments_are_sent_by_value() -> None:
    call = call_of(transfer, Decimal(2), Account(40))
    function, arguments, _, _ = pickle.loads(call.pickled)  # noqa: S301 - made here

    assert function(*arguments, context=None).number == 42


def test_one_class_is_one_class_in_function_and_arguments() -> None:
    function, arguments, _, _ = pickle.loads(call_of(transfer, 1, Account(1)).pickled)  # noqa: S301 - made here

    assert function.__globals__["Account"] is type(arguments[1])


def test_no_path_of_this_machine_is_sent() -> None:
    call = call_of(transfer, 1, Account(1), db=Resource(opens))
    folder = os.path.dirname(__file__)  # noqa: PTH120 - as the pickle would have it

    assert folder.encode() not in call.pickled


def test_annotations_of_a_handler_are_not_sent() -> None:
    assert b"pydantic" not in call_of(transfer, 1, Account(1)).pickled


def test_a_resource_is_sent_as_its_factory_and_name() -> None:
    call = call_of(transfer, db=Resource(opens, "till"))
    _, _, _, factories = pickle.loads(call.pickled)  # noqa: S301 - made here

    assert (call.injected["db"], factories["db"][1]) == ("resource", "till")


def test_content_parts_can_be_used_in_a_handler() -> None:
    assert b"Image" in call_of(makes_a_picture).pickled


REFUSED = {"what of ours no guest has": runs_an_engine, "a lock": holds_a_lock()}


@pytest.mark.parametrize("function", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_sent_is_refused_before_the_start(function: Callable[[], object]) -> None:
    with pytest.raises(BadCall, match="cannot be sent"):
        call_of(function)


def test_pickling_leaves_cloudpickle_as_it_was() -> None:
    call_of(transfer, 1, Account(1))

    assert _cloudpickle.list_registry_pickle_by_value() == set()


def test_a_module_that_somebody_else_sends_by_value_stays_so() -> None:
    _cloudpickle.register_pickle_by_value(dataclasses)
    try:
        call_of(transfer, 1, Account(1))

        assert _cloudpickle.list_registry_pickle_by_value() == {"dataclasses"}
    finally:
        _cloudpickle.unregister_pickle_by_value(dataclasses)


def test_many_threads_may_make_calls_at_once() -> None:
    faults: list[BaseException] = []

    def make() -> None:
        try:
            for _ in range(20):
                call_of(transfer, 1, Account(1))
        except BaseException as fault:  # noqa: BLE001 - whatever it is, the test must hear of it
            faults.append(fault)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []


def test_a_context_that_is_not_json_is_refused() -> None:
    with pytest.raises(BadCall, match="the context"):
        Handler(name="f", pickled=b"", context={"metadata": Path("x")})  # type: ignore[dict-item]  # that is the test


def test_secrets_are_not_shown() -> None:
    call = Handler(name="f", pickled=b"", context={"secrets": {"key": "hunter2"}})

    assert "hunter2" not in repr(call)


TIMES = {
    "none": (None, 5.0),
    "less": (2.0, 2.0),
    "more": (60.0, 5.0),
    "all gone": (-1.0, 0.001),
}


@pytest.mark.parametrize(("own", "wall_seconds"), TIMES.values(), ids=TIMES.keys())
def test_a_handler_has_the_lesser_time(own: float | None, wall_seconds: float) -> None:
    call = Handler(name="f", pickled=b"", wall_seconds=own)

    assert quota_of(call, Quota(wall_seconds=5)).wall_seconds == wall_seconds


def test_other_calls_have_the_time_of_their_policy() -> None:
    quota = Quota()

    assert quota_of(Source(source="1"), quota) is quota
