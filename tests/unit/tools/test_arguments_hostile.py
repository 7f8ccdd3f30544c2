"""What a hostile model sends costs the host a moment, and is answered like the rest."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest

from sandbox.tools.arguments import Checked, Refusal, check_arguments
from sandbox.tools.signature import read_signature
from sandbox.wire import Json


@dataclass
class Left:
    """Looks like Right."""

    child: "Left | Right | None" = None
    size: int = 1


@dataclass
class Right:
    """Looks like Left."""

    child: "Left | Right | None" = None
    width: int = 1


def either(child: Left | Right) -> None: ...


def everything(
    many: dict[str, int] | None = None, flat: list[int] | None = None, **_others: Any
) -> None: ...


def nested(levels: int, inside: Json) -> Json:
    for _ in range(levels):
        inside = {"child": inside}
    return inside


HOSTILE: dict[str, Callable[[], str]] = {
    "a million brackets": lambda: "[" * 500_000 + "]" * 500_000,
    "a million digits": lambda: '{"flat": [' + "9" * 1_000_000 + "]}",
    "a million digits in a string": lambda: json.dumps({"flat": "9" * 1_000_000}),
    "a hundred thousand keys": lambda: json.dumps({str(n): 1 for n in range(80_000)}),
    "as many wrong values": lambda: json.dumps({"many": {str(n): [] for n in range(60_000)}}),
    "as many empty strings": lambda: json.dumps({"flat": [""] * 200_000}),
    "lists in strings": lambda: json.dumps({"flat": json.dumps(["1"] * 100_000)}),
    "a long name": lambda: json.dumps({"a" * 1_000_000: 1}),
}


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_arguments_take_a_moment(text: Callable[[], str]) -> None:
    signature, raw = read_signature(everything), text()

    before = time.process_time()
    check_arguments(signature, raw)

    assert time.process_time() - before < 2


@pytest.mark.parametrize("as_text", [False, True], ids=["as objects", "in a string"])
def test_a_recursive_union_is_not_tried_without_end(*, as_text: bool) -> None:
    signature, wrong = read_signature(either), nested(25, {"size": "x", "width": "x"})
    arguments = {"child": json.dumps(wrong) if as_text else wrong}

    before = time.process_time()
    outcome = check_arguments(signature, arguments)

    assert isinstance(outcome, Refusal)
    assert time.process_time() - before < 2


def test_a_recursive_union_can_be_called_as_deep_as_its_limit() -> None:
    inside = nested(read_signature(either).limits.depth - 1, {"width": 3})

    outcome = check_arguments(read_signature(either), cast("dict[str, Json]", inside))

    assert isinstance(outcome, Checked)
