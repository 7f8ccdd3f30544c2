"""What is declared can be called: each type of the list, from a value that only its schema knows.

The values are made from the schema that a model is sent, never from the type. The function must
be called with a value of the annotated type.
"""

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional, TypedDict, cast
from uuid import UUID

import jsonschema  # type: ignore[import-untyped]  # it has no types
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from sandbox.providers.envelope import Provider
from sandbox.providers.strict import strict_schema
from sandbox.tools.arguments import Checked, check_arguments
from sandbox.tools.signature import Signature, read_signature
from sandbox.wire import Json

SEVERAL = Literal["a", 1, None]  # noqa: PYI061  # not the same schema as a union's
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
MOST_NESTED = 4


class Colour(Enum):
    """Two of them."""

    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    """Two numbers."""

    LOW = 1
    HIGH = 2


WITH_ONE: list[Any] = [Level, SEVERAL]


class Keys(TypedDict):
    """One must be there, one may."""

    name: str
    size: NotRequired[int]


@dataclass
class Point:
    """In the plane."""

    x: float
    y: float = 0.0


class Pair(NamedTuple):
    """A number with a text."""

    left: int
    right: str


class Address(BaseModel):
    """Where somebody lives."""

    street: Annotated[str, Field(min_length=1, description="With the number.")]
    zip_code: str | None = None
    lines: list[str] = []


class Node(BaseModel):
    """A tree."""

    value: int
    children: list["Node"] = []


@dataclass
class Chain:
    """Contains itself."""

    colour: Colour
    then: Optional["Chain"] = None


class Circle(BaseModel):
    """Known by its tag, which has a default."""

    kind: Literal["circle"] = "circle"
    radius: float


class Square(BaseModel):
    """Known by its tag."""

    kind: Literal["square"]
    side: int


GRID: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "None": None,
    "Decimal": Decimal,
    "datetime": datetime,
    "date": date,
    "time": time,
    "timedelta": timedelta,
    "UUID": UUID,
    "bytes": bytes,
    "Path": Path,
    "Enum": Colour,
    "IntEnum": Level,
    "Literal of texts": Literal["a", "b"],
    "Literal of several types": SEVERAL,
    "Annotated with Field": Annotated[int, Field(ge=3, lt=9)],
    "a limited text": Annotated[str, Field(min_length=2, max_length=4)],
    "a pattern": Annotated[str, Field(pattern="^[a-f]{3}$")],
    "Optional": int | None,
    "a union": int | str | list[bool],
    "a union of dates": date | int,
    "list": list[int],
    "list of anything": list[Any],
    "set": set[str],
    "frozenset": frozenset[int],
    "tuple": tuple[int, str, bool],
    "tuple of one type": tuple[float, ...],
    "dict": dict[str, int],
    "dict of lists": dict[str, list[Decimal]],
    "dict of whole numbers": dict[int, str],
    "dict of enum": dict[Colour, int],
    "Any": Any,
    "TypedDict": Keys,
    "list of TypedDict": list[Keys],
    "dataclass": Point,
    "NamedTuple": Pair,
    "model": Address,
    "recursive model": Node,
    "recursive dataclass": Chain,
    "union of models": Annotated[Circle | Square, Field(discriminator="kind")],
    "deeply mixed": dict[str, list[tuple[Colour, Address | None]]],
}


class Maker:
    """Makes values from a JSON Schema alone, as a model does."""

    def __init__(self, root: Mapping[str, Json]) -> None:
        self._definitions = cast("dict[str, Any]", root.get("$defs", {}))

    def values(self, schema: Any, depth: int = 0) -> st.SearchStrategy[Any]:
        if "$ref" in schema:
            name = schema["$ref"].removeprefix("#/$defs/")
            return st.deferred(lambda: self.values(self._definitions[name], depth + 1))
        for union in ("anyOf", "oneOf"):
            if union in schema:
                members = [
                    each for each in schema[union] if depth < MOST_NESTED or "$ref" not in each
                ]
                return st.one_of([self.values(each, depth) for each in members])
        if "const" in schema or "enum" in schema:
            return st.sampled_from(schema.get("enum", [schema.get("const")]))
        if "type" not in schema:
            return st.recursive(st.none() | st.integers() | TEXT, st.lists, max_leaves=3)
        make: dict[str, Callable[[Any, int], st.SearchStrategy[Any]]] = {
            "object": self._objects,
            "array": self._arrays,
            "string": lambda inner, _: strings(inner),
            "integer": lambda inner, _: integers(inner),
            "number": lambda inner, _: numbers(inner),
            "boolean": lambda _inner, _: st.booleans(),
            "null": lambda _inner, _: st.none(),
        }
        return make[schema["type"]](schema, depth)

    def _objects(self, schema: Any, depth: int) -> st.SearchStrategy[Any]:
        properties = {
            name: self.values(each, depth + 1)
            for name, each in schema.get("properties", {}).items()
        }
        required = set(schema.get("required", ()))
        if properties or schema.get("additionalProperties") is False:
            must = {name: each for name, each in properties.items() if name in required}
            may = {name: each for name, each in properties.items() if name not in required}
            return st.fixed_dictionaries(must, optional=may if depth < MOST_NESTED else {})
        names = schema.get("propertyNames", {"type": "string"})
        keys = self.values({"type": "string", **names} if "$ref" not in names else names)
        more = schema.get("additionalProperties", {})
        return st.dictionaries(
            keys, self.values({} if more is True else more, depth + 1), max_size=3
        )

    def _arrays(self, schema: Any, depth: int) -> st.SearchStrategy[Any]:
        if "prefixItems" in schema:
            return st.tuples(*(self.values(each, depth + 1) for each in schema["prefixItems"])).map(
                list
            )
        most = 3 if depth < MOST_NESTED else 0
        items = self.values(schema["items"], depth + 1) if schema.get("items") else st.integers()
        least = schema.get("minItems", 0)
        most = schema.get("maxItems", max(most, least))
        by = repr if schema.get("uniqueItems") else None
        return st.lists(items, min_size=least, max_size=most, unique_by=by)


def strings(schema: Any) -> st.SearchStrategy[str]:
    by_format: dict[str, st.SearchStrategy[str]] = {
        "date-time": st.datetimes().map(lambda each: each.isoformat() + "Z"),
        "date": st.dates().map(str),
        "time": st.times().map(str),
        "duration": st.integers(0, 10**6).map(lambda seconds: f"PT{seconds}S"),
        "uuid": st.uuids().map(str),
    }
    if schema.get("format") in by_format:
        return by_format[schema["format"]]
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True, alphabet=string.printable)
    least = schema.get("minLength", 0)
    most = schema.get("maxLength", least + 8)
    return st.text(st.characters(codec="utf-8"), min_size=least, max_size=most)


def integers(schema: Any) -> st.SearchStrategy[int | float]:
    """Give whole numbers, some of them written as 2.0, which are whole to JSON Schema too."""
    least, most = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMaximum" in schema:
        most = schema["exclusiveMaximum"] - 1
    whole = st.integers(least, most)
    return whole | whole.filter(lambda each: abs(each) < 2**53).map(float)


def numbers(schema: Any) -> st.SearchStrategy[int | float]:
    limits = {"min_value": schema.get("minimum"), "max_value": schema.get("maximum")}
    floats = st.floats(allow_nan=False, allow_infinity=False, **limits)
    return floats | st.integers(-(10**6), 10**6) if limits["min_value"] is None else floats


def signature_of(annotation: Any) -> Signature:
    def function(value: Any) -> None: ...

    function.__annotations__["value"] = annotation
    return read_signature(function)


def reached(signature: Signature, arguments: Json) -> Any:
    """Give the value that the function would be called with."""
    checked = check_arguments(signature, cast("Mapping[str, Json]", arguments))
    assert isinstance(checked, Checked), checked
    return checked.keywords["value"]


EXAMPLES = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@pytest.mark.slow
@pytest.mark.parametrize("annotation", GRID.values(), ids=GRID)
def test_what_the_schema_allows_reaches_the_function_in_its_type(annotation: Any) -> None:
    signature, right = signature_of(annotation), TypeAdapter[Any](annotation)

    @EXAMPLES
    @given(Maker(signature.schema).values(signature.schema))
    def check(arguments: Json) -> None:
        value = reached(signature, arguments)
        assert right.validate_python(value, strict=True) == value

    check()


ANY_JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "a", "red", "7", "[1]"])
    | st.sampled_from([0.5, 2.0, 1e9]),
    lambda inner: st.lists(inner, max_size=3, unique_by=repr)
    | st.dictionaries(st.sampled_from(["name", "x", "value", "street", "kind"]), inner),
    max_leaves=5,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("annotation", GRID.values(), ids=GRID)
def test_what_reaches_the_function_is_allowed_by_the_schema(annotation: Any) -> None:
    signature = signature_of(annotation)

    @EXAMPLES
    @given(ANY_JSON)
    def check(value: Json) -> None:
        outcome = check_arguments(signature, {"value": value})
        # To pydantic true is 1 among constants, as it is to Python; the function gets the 1.
        if isinstance(outcome, Checked) and (value is not True or annotation not in WITH_ONE):
            jsonschema.validate(outcome.given, signature.schema)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
@pytest.mark.parametrize("annotation", GRID.values(), ids=GRID)
def test_what_a_strict_schema_allows_can_be_called(annotation: Any, provider: Provider) -> None:
    signature = signature_of(annotation)
    rewritten = strict_schema(signature.schema, provider)
    # What strict mode cannot enforce is told to the model in words, and a model may not heed it.
    is_exact = not any("in words only" in loss for loss in rewritten.losses)

    @EXAMPLES
    @given(Maker(rewritten.schema).values(rewritten.schema))
    def check(arguments: Json) -> None:
        outcome = check_arguments(signature, cast("Mapping[str, Json]", arguments))
        assert isinstance(outcome, Checked) or not is_exact

    check()
