"""A declaration says what a function takes; Gemini's is held against its own SDK's."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, Optional, Union

import pytest
from google.genai import types
from pydantic import BaseModel, Field

from sandbox.errors import BadCall
from sandbox.providers.envelope import Provider
from sandbox.tools.context import Context
from sandbox.tools.declare import declaration, from_callable
from sandbox.tools.signature import read_signature


class Address(BaseModel):
    """Where somebody lives."""

    street: str
    number: int


class Person(BaseModel):
    """Somebody, with an address."""

    name: str
    home: Address
    nickname: str | None = None


class Node(BaseModel):
    """A tree."""

    value: int
    children: list["Node"]


class WithDefault(BaseModel):
    """A field that may be left out."""

    size: int
    colour: str = "red"


class Colour(Enum):
    """Two of them."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    """In the plane."""

    x: float
    y: float


def scalars(a: str, b: int, c: float, d: bool) -> str:  # noqa: FBT001  # as models give it
    """Take what is simple."""
    return f"{a}{b}{c}{d}"


def defaults(a: str = "x", b: int = 3, c: float = 0.5, d: bool = True) -> int:  # noqa: FBT001, FBT002  # ditto
    """Take what need not be given."""
    return len(f"{a}{b}{c}{d}")


def containers(a: list[str], b: dict[str, int], c: list[list[int]], d: list[Any] | None) -> None:
    """Take several."""


def optional(a: int | None, b: Optional[str] = None, c: Union[int, None] = 4) -> None:  # noqa: UP007, UP045  # tried
    """Take nothing, too."""


def unions(a: int | str, b: Union[int, str, None] = None) -> None:  # noqa: UP007  # tried
    """Take one of several."""


def literals(a: Literal["x", "y"], b: Literal["p", "q"] = "p") -> None:
    """Take one of these."""


def models(a: Address, b: list[Address], c: Person) -> dict[str, int]:
    """Take objects.

    Args:
        a: Google leaves this where it stands.
        b: And this.
        c: And this.

    """
    return {str(a): len(b), c.name: 1}


def described(a: Annotated[int, Field(description="How many.", ge=1)]) -> None:
    """Take a described one."""


def enumerated(a: Colour, b: list[Colour]) -> Address:
    """Take a colour."""
    return Address(street=a.value, number=len(b))


def recursive(a: Node) -> None:
    """Take a tree."""


def tupled(a: tuple[int, str]) -> tuple[int, str]:
    """Take a pair."""
    return a


def from_dataclass(a: Point, b: list[Point]) -> list[Point]:
    """Take points."""
    return [a, *b]


def undescribed(a: int) -> int:
    return a


ALIKE_IN_JSON = [
    scalars, defaults, containers, optional, unions, literals, models, described, enumerated,
    recursive, tupled, undescribed,
]  # fmt: skip
ALIKE_IN_ITS_OWN = [scalars, defaults, containers, optional, unions, literals, undescribed]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keep the SDK's advice out of the tests' output."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def theirs(function: Callable[..., Any], *, use_json_schema: bool) -> dict[str, Any]:
    made = types.FunctionDeclaration.from_callable_with_api_option(
        callable=function, use_json_schema=use_json_schema
    )
    return made.model_dump(mode="json", exclude_none=True)


def ours(function: Callable[..., Any], *, use_json_schema: bool) -> dict[str, Any]:
    """Give ours as the SDK reads it."""
    made = from_callable(function, use_json_schema=use_json_schema)
    return types.FunctionDeclaration.model_validate(made).model_dump(mode="json", exclude_none=True)


@pytest.mark.parametrize("function", ALIKE_IN_JSON, ids=lambda each: str(each.__name__))
def test_for_gemini_it_is_what_its_sdk_makes(function: Callable[..., Any]) -> None:
    assert ours(function, use_json_schema=True) == theirs(function, use_json_schema=True)


@pytest.mark.parametrize("function", ALIKE_IN_ITS_OWN, ids=lambda each: str(each.__name__))
def test_in_geminis_own_schema_it_is_what_its_sdk_makes(function: Callable[..., Any]) -> None:
    assert ours(function, use_json_schema=False) == theirs(function, use_json_schema=False)


def test_a_nested_model_is_what_its_sdk_makes_in_its_own_schema() -> None:
    def function(home: Address, others: list[Address]) -> None: ...

    assert ours(function, use_json_schema=False) == theirs(function, use_json_schema=False)


def test_a_default_inside_of_a_model_is_kept_where_the_sdk_drops_it() -> None:
    def function(it: WithDefault) -> None: ...

    own: Any = from_callable(function, use_json_schema=False)["parameters"]

    assert own["properties"]["it"]["required"] == ["size"]


def test_an_argument_of_any_type_is_required_where_the_sdk_forgets_it() -> None:
    def function(it: Any, other: int) -> None: ...

    declared: Any = from_callable(function)["parametersJsonSchema"]

    assert declared["required"] == ["it", "other"]


def test_two_classes_of_one_name_stay_apart_where_the_sdk_takes_the_last() -> None:
    def of(kind: type) -> type[BaseModel]:
        class Same(BaseModel):
            value: kind  # type: ignore[valid-type]  # pyright: ignore[reportInvalidTypeForm]

        return Same

    def function(left: Any, right: Any) -> None: ...

    function.__annotations__ |= {"left": list[of(int)], "right": list[of(str)]}  # type: ignore[misc]
    declared: Any = from_callable(function)["parametersJsonSchema"]

    assert len(declared["$defs"]) == 2


@pytest.mark.parametrize("use_json_schema", [True, False], ids=["in JSON Schema", "in its own"])
def test_the_tag_of_a_union_is_required_where_the_sdk_leaves_it_open(
    *, use_json_schema: bool
) -> None:
    class Left(BaseModel):
        kind: Literal["left"] = "left"

    class Right(BaseModel):
        kind: Literal["right"] = "right"

    def function(it: Annotated[Left | Right, Field(discriminator="kind")]) -> None: ...

    declared = str(from_callable(function, use_json_schema=use_json_schema))

    assert declared.count("'required': ['kind']") == 2


def test_points_of_a_dataclass_are_declared_where_the_sdk_refuses_them() -> None:
    declared: Any = from_callable(from_dataclass, use_json_schema=False)["parameters"]

    assert declared["properties"]["a"]["required"] == ["x", "y"]


def test_what_the_program_gives_is_not_declared() -> None:
    def function(city: str, context: Context) -> None: ...

    declared: Any = from_callable(function)["parametersJsonSchema"]

    assert set(declared["properties"]) == {"city"}


@pytest.mark.parametrize(
    ("function", "what"),
    [(recursive, "contains itself"), (tupled, "a tuple")],
    ids=["a tree", "a tuple"],
)
def test_what_geminis_own_schema_cannot_say_is_refused(
    function: Callable[..., Any], what: str
) -> None:
    with pytest.raises(BadCall, match=what):
        from_callable(function, use_json_schema=False)


def test_a_function_without_arguments_has_no_parameters() -> None:
    def function() -> str:
        """Do."""
        return ""

    assert from_callable(function) == {
        "name": "function",
        "description": "Do.",
        "responseJsonSchema": {"type": "string"},
    }


@pytest.mark.parametrize(
    ("provider", "key"),
    [
        ("openai", "parameters"),
        ("openai-chat", "function"),
        ("anthropic", "input_schema"),
        ("mcp", "inputSchema"),
    ],
)
def test_for_others_it_is_in_their_format(provider: Provider, key: str) -> None:
    assert key in from_callable(scalars, provider=provider)


def test_a_declaration_takes_the_functions_own_name_and_summary() -> None:
    declared = declaration(read_signature(models))

    assert (declared.name, declared.description) == ("models", "Take objects.")


def test_a_declaration_takes_the_given_name_and_text() -> None:
    declared = declaration(read_signature(models), name="n", description="d", namespace="s")

    assert (declared.name, declared.description, declared.namespace) == ("n", "d", "s")


def test_a_declaration_says_what_comes_back() -> None:
    declared = declaration(read_signature(enumerated))

    assert declared.returns is not None
    assert declared.returns["required"] == ["street", "number"]
