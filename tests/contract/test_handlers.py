"""Handlers: functions of the host's program, run in a guest with Python values and a context."""

import asyncio
import enum
import functools
import math
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_jsonable_python

from sandbox import Policy, Sandbox
from sandbox.wire import Data, File, Image, Json, Text
from tests.conftest import SandboxFor
from tests.contract.conftest import error_of
from tests.contract.handlers import handler

PICTURE = b"\x89PNG\r\n\x1a\n"


class Unit(enum.Enum):
    """A choice."""

    CELSIUS = "c"


@dataclass
class Weather:
    """A class of the user's, unknown in the guest."""

    city: str
    at: datetime
    unit: Unit = Unit.CELSIUS


def adds(first: Decimal, second: Decimal = Decimal(2)) -> Decimal:
    return first + second


async def waits(number: int) -> int:
    await asyncio.sleep(0)
    return number


class Counter:
    """An object whose method is a handler."""

    def __init__(self, number: int) -> None:
        self.number = number

    def method(self) -> int:
        return self.number

    async def __call__(self) -> int:
        await asyncio.sleep(0)
        return self.number


def knows(weather: object) -> bool:
    return isinstance(weather, Weather) and weather.unit is Unit.CELSIUS


RETURNS: dict[str, tuple[Callable[..., Any], tuple[object, ...], Json]] = {
    "a value": (adds, (Decimal("0.1"),), "2.1"),
    "a coroutine": (waits, (7,), 7),
    "a coroutine of a lambda": (lambda: waits(8), (), 8),
    "a partial": (functools.partial(waits, 9), (), 9),
    "a method": (Counter(3).method, (), 3),
    "a callable object": (Counter(4), (), 4),
    "by import": (math.gcd, (12, 18), 6),
    "an argument of its own class": (knows, (Weather("Paris", datetime.now(UTC)),), True),
}


@pytest.mark.parametrize(("function", "arguments", "value"), RETURNS.values(), ids=RETURNS.keys())
def test_a_handler_returns(
    box: Sandbox, function: Callable[..., Any], arguments: tuple[object, ...], value: Json
) -> None:
    assert box.execute(handler(function, *arguments)).unwrap() == value


VALUES: dict[str, object] = {
    "decimal": Decimal("1.50"),
    "date": date(2026, 2, 3),
    "datetime": datetime(2026, 2, 3, 4, 5, 6, 7, tzinfo=UTC),
    "time": datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC).timetz(),
    "duration": timedelta(days=1, hours=2, seconds=3, microseconds=500),
    "short duration": timedelta(microseconds=1),
    "no duration": timedelta(0),
    "negative duration": timedelta(hours=-30),
    "whole hours": timedelta(hours=2),
    "uuid": uuid.UUID(int=7),
    "path": Path("a/b"),
    "enum": Unit.CELSIUS,
    "frozen set": frozenset({1}),
    "tuple": (1, (2, "x")),
    "bytes within": {"a": b"\xff\xfe\xfd"},
    "dataclass": Weather("Paris", datetime(2026, 1, 1, tzinfo=UTC)),
    "keys": {Unit.CELSIUS: 1, date(2026, 1, 1): 2, 3: 4},
    "plain": {"a": [1, 2.5, "x", None, True]},
}


def gives_back(value: object) -> object:
    return value


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_a_value_is_the_json_that_pydantic_makes_of_it(box: Sandbox, value: object) -> None:
    expected = to_jsonable_python(value, bytes_mode="base64")

    assert box.execute(handler(gives_back, value)).unwrap() == expected


@pytest.mark.differs("docker", "gvisor", reason="a container has the packages of its image")
def test_where_the_handler_has_pydantic_it_does_it_itself(sandbox_for: SandboxFor) -> None:
    def uses_pydantic() -> object:
        from pydantic import BaseModel  # noqa: PLC0415 - in the guest

        class Model(BaseModel):
            when: timedelta

        return {"model": Model(when=timedelta(seconds=1))}

    policy = Policy.load("tool")
    box = sandbox_for(policy)

    assert box.execute(handler(uses_pydantic, policy=policy)).unwrap() == {
        "model": {"when": "PT1S"}
    }


def test_a_handler_runs_in_a_fresh_interpreter(sandbox_for: SandboxFor) -> None:
    policy = Policy.load("strict").widen("a test", fresh_interpreter=True)

    assert sandbox_for(policy).execute(handler(waits, 7, policy=policy)).unwrap() == 7


UNFIT: dict[str, Callable[[], object]] = {
    "an object": lambda: object(),  # noqa: PLW0108 - a function of this file
    "an object within": lambda: [{"a": object()}],
    "a class": lambda: Weather,
    "NaN": lambda: math.nan,
    "a key of a tuple": lambda: {(1, 2): 3},
    "itself": lambda: (loop := [Decimal(1)], loop.append(loop)),  # type: ignore[arg-type, func-returns-value]  # a list within itself
    "a lone surrogate": lambda: "\ud800",
    "an image of no bytes": lambda: Image("x"),  # type: ignore[arg-type]  # that is the test
}


@pytest.mark.parametrize("function", UNFIT.values(), ids=UNFIT.keys())
def test_a_value_without_a_form_in_json_is_invalid(
    box: Sandbox, function: Callable[[], object]
) -> None:
    assert box.execute(handler(function)).status == "invalid"


class Plot:
    """A thing that notebooks show as a picture."""

    def _repr_png_(self) -> bytes:
        return PICTURE


CONTENT: dict[str, tuple[Callable[[], object], tuple[object, ...]]] = {
    "an image": (lambda: Image(PICTURE), (Image(PICTURE),)),
    "a file": (lambda: File(b"1", "a.csv"), (File(b"1", "a.csv"),)),
    "text": (lambda: Text("x"), (Text("x"),)),
    "data": (lambda: Data({1: Decimal(2)}), (Data({"1": "2"}),)),
    "bytes of a picture": (lambda: PICTURE, (Image(PICTURE),)),
    "other bytes": (lambda: b"\0", (File(b"\0", "data.bin"),)),
    "what shows itself": (Plot, (Image(PICTURE),)),
    "a mixture": (
        lambda: ["chart:", Image(b"x", "image/webp"), {"a": 1}],
        (Text("chart:"), Image(b"x", "image/webp"), Data({"a": 1})),
    ),
}


@pytest.mark.parametrize(("function", "parts"), CONTENT.values(), ids=CONTENT.keys())
def test_content_comes_as_parts(
    box: Sandbox, function: Callable[[], object], parts: tuple[object, ...]
) -> None:
    result = box.execute(handler(function))

    assert (result.unwrap(), result.parts) == (None, parts)


def test_a_program_that_is_no_handler_has_no_parts(box: Sandbox) -> None:
    answer = b'{"parts": []}'
    program = f"import os, struct\nos.write(4, struct.pack('>IB', {len(answer)}, 1) + {answer!r})"

    assert error_of(box.run(program + "\nos._exit(0)")).type == "NoAnswer"


def test_a_handler_imports_what_it_needs_from_sandbox(box: Sandbox) -> None:
    def imports() -> object:
        import sandbox  # noqa: PLC0415 - in the guest
        from sandbox import Image as Picture  # noqa: PLC0415 - ditto

        return Picture(sandbox.Cancelled.__name__.encode())

    assert box.execute(handler(imports)).parts == (Image(b"Cancelled"),)


def test_the_hosts_package_is_in_no_guest_of_a_program(box: Sandbox) -> None:
    assert error_of(box.run("import sandbox")).type == "ModuleNotFoundError"


def raises() -> None:
    message = "no such city"
    raise LookupError(message)


def test_what_a_handler_raises_is_told(box: Sandbox) -> None:
    result = box.execute(handler(raises))

    assert (result.status, error_of(result).type, error_of(result).message) == (
        "error",
        "LookupError",
        "no such city",
    )


async def raises_later() -> None:
    await asyncio.sleep(0)
    raises()


@pytest.mark.parametrize("function", [raises, raises_later], ids=["sync", "async"])
def test_a_traceback_shows_the_handler_alone(box: Sandbox, function: Callable[..., object]) -> None:
    first = error_of(box.execute(handler(function))).traceback.splitlines()[1]

    assert first.split(",")[0] == '  File "test_handlers.py"'


def test_a_handler_that_exits_has_failed(box: Sandbox) -> None:
    assert error_of(box.execute(handler(lambda: sys.exit(0)))).type == "SystemExit"


def test_a_timeout_of_the_handlers_own_is_its_own(box: Sandbox) -> None:
    def times_out() -> None:
        message = "the printer is busy"
        raise TimeoutError(message)

    result = box.execute(handler(times_out))

    assert (result.status, error_of(result).type) == ("error", "TimeoutError")
