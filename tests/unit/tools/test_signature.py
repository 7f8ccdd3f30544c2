"""A signature is read once: what a model gives, what the program gives, what none can give."""

import functools
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict, Unpack

import pytest
from pydantic import BaseModel, Field, FilePath, ImportString
from typing_extensions import TypeAliasType

from sandbox.errors import BadCall
from sandbox.providers.envelope import Image
from sandbox.tools.context import Context, Progress, Resource
from sandbox.tools.signature import Signature, read_signature


def opened() -> int:
    return 1


Connection = Annotated[int, Resource(opened)]
Alias = TypeAliasType("Alias", Context)


class Options(TypedDict):
    """Given by name."""

    depth: int
    note: NotRequired[str]
    context: NotRequired[Context]


@dataclass
class HidesContext:
    """What a model must not fill."""

    context: Context


class HidesResource(BaseModel):
    """Ditto."""

    connection: Connection


def example(city: str, unit: Literal["c", "f"] = "c", *, context: Context, now: Progress) -> int:
    """Say the weather.

    Args:
        city: Where.
        unit: Which.
        context: The program's.
        now: Ditto.

    """
    return len(city + unit + context.user + str(now))


def called(signature: Signature, text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    call = signature.call_arguments(signature.arguments.model_validate_json(text))
    return call.positional, dict(call.keywords)


def names(signature: Signature) -> set[str]:
    properties = signature.schema["properties"]
    assert isinstance(properties, dict)
    return set(properties)


def taking(annotation: Any) -> Callable[..., None]:
    def function(value: Any) -> None: ...

    function.__annotations__["value"] = annotation
    return function


def test_the_schema_has_what_a_model_gives_and_nothing_else() -> None:
    assert read_signature(example).schema == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where."},
            "unit": {"type": "string", "enum": ["c", "f"], "default": "c", "description": "Which."},
        },
        "required": ["city"],
        "additionalProperties": False,
    }


def test_a_text_of_the_authors_own_wins_over_the_docstring() -> None:
    def function(city: Annotated[str, Field(description="Own.")]) -> None:
        """Do.

        Args:
            city: From the docstring.

        """

    assert read_signature(function).schema["properties"] == {
        "city": {"type": "string", "description": "Own."}
    }


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        pytest.param(Context, "context", id="context"),
        pytest.param(Progress, "progress", id="progress"),
        pytest.param(Context | None, "context", id="optional"),
        pytest.param(Optional[Progress], "progress", id="typing.Optional"),  # noqa: UP045  # tried
        pytest.param(Annotated[Context, "a remark"], "context", id="annotated"),
        pytest.param(Annotated[Context | None, "a remark"], "context", id="annotated optional"),
        pytest.param(Alias, "context", id="alias"),
        pytest.param(Alias | None, "context", id="optional alias"),
        pytest.param("Context", "context", id="text"),
        pytest.param("Progress | None", "progress", id="optional text"),
        pytest.param(Connection, Resource(opened), id="resource"),
        pytest.param(Connection | None, Resource(opened), id="optional resource"),
    ],
)
def test_what_the_program_gives_is_known_by_its_annotation(annotation: Any, kind: Any) -> None:
    signature = read_signature(taking(annotation))

    assert (signature.injected, names(signature)) == ({"value": kind}, set())


@pytest.mark.parametrize(
    "annotation",
    [
        pytest.param(list[Context], id="in a list"),
        pytest.param(Context | str, id="in a union"),
        pytest.param(dict[str, Progress], id="in a dict"),
        pytest.param(HidesContext, id="in a dataclass"),
        pytest.param(list[HidesResource], id="in a model"),
        pytest.param(FilePath, id="a path that the host looks for"),
        pytest.param(ImportString, id="a module that the host imports"),
        pytest.param(Callable[[], int], id="a function"),
        pytest.param(type[int], id="a class"),
        pytest.param(Iterator[int], id="an iterator"),
        pytest.param(type, id="any class"),
        pytest.param(Generator[int, None, None], id="a generator"),
        pytest.param(dict[float, int], id="keys that no text is"),
        pytest.param(dict[Literal[1, 2], int], id="keys that are numbers"),
        pytest.param("Nowhere", id="an unknown name"),
    ],
)
def test_what_no_model_can_give_is_not_declared(annotation: Any) -> None:
    with pytest.raises(BadCall):
        read_signature(taking(annotation))


def test_an_argument_without_annotation_is_named() -> None:
    def function(city: str) -> None: ...

    del function.__annotations__["city"]
    with pytest.raises(BadCall, match=r"'city' of function\(\) .* has no annotation"):
        read_signature(function)


def test_arguments_without_names_are_refused() -> None:
    def function(*cities: str) -> None: ...

    with pytest.raises(BadCall, match="take a list"):
        read_signature(function)


def test_what_is_injected_must_have_a_name() -> None:
    def function(context: Context, /) -> None: ...

    with pytest.raises(BadCall, match="leave the / away"):
        read_signature(function)


def test_what_has_no_name_is_given_by_its_place() -> None:
    def function(copy: int, json: int = 2, /, *, model_config: int = 3) -> None: ...

    assert called(read_signature(function), '{"copy": 1}') == ((1, 2), {})


def test_what_is_not_given_is_left_to_the_function() -> None:
    sentinel: Any = object()

    def function(size: int = sentinel, name: str = "x") -> None: ...

    assert called(read_signature(function), '{"name": "y"}') == ((), {"name": "y"})


def test_a_default_that_stands_in_a_field_is_given() -> None:
    def function(size: int = Field(default=4, ge=1)) -> None: ...

    assert called(read_signature(function), "{}") == ((), {"size": 4})


def test_the_keys_of_an_unpacked_dict_are_arguments() -> None:
    def function(**options: Unpack[Options]) -> None: ...

    signature = read_signature(function)

    assert (names(signature), signature.schema["required"]) == ({"depth", "note"}, ["depth"])


def test_a_key_of_an_unpacked_dict_can_be_injected() -> None:
    def function(**options: Unpack[Options]) -> None: ...

    assert read_signature(function).injected == {"context": "context"}


def test_keywords_of_any_name_are_open() -> None:
    def function(first: int, **others: int) -> None: ...

    signature = read_signature(function)

    assert called(signature, '{"first": 1, "argument_0": 2}') == ((), {"first": 1, "argument_0": 2})


def test_what_a_partial_has_set_is_not_the_models_to_give() -> None:
    def function(city: str, account: str) -> None: ...

    signature = read_signature(functools.partial(function, account="mine"))

    assert (names(signature), signature.reserved) == (
        {"city"},
        frozenset({"account"}),
    )


def test_a_method_is_read_without_its_object() -> None:
    class Holder:
        def look(self, city: str) -> None: ...

        def __call__(self, town: str) -> None: ...

    assert (names(read_signature(Holder().look)), names(read_signature(Holder()))) == (
        {"city"},
        {"town"},
    )


def test_a_class_of_the_function_around_it_is_found_under_postponed_annotations() -> None:
    class Local(BaseModel):
        size: int

    def function(value: "Local") -> None: ...

    assert called(read_signature(function), '{"value": {"size": 1}}')[1]["value"] == Local(size=1)


@pytest.mark.parametrize(
    ("annotation", "accepts"),
    [
        pytest.param(dict[str, int], True, id="a dict"),
        pytest.param(None, True, id="nothing"),
        pytest.param(Image, False, id="a picture"),
        pytest.param(list[str | bytes], False, id="parts in a list"),
        pytest.param(Iterator[int], False, id="an iterator"),
        pytest.param(type, False, id="a class"),
    ],
)
def test_a_value_is_checked_where_json_can_tell(annotation: Any, *, accepts: bool) -> None:
    def function() -> Any: ...

    function.__annotations__["return"] = annotation

    assert (read_signature(function).returns is not None) == accepts


def test_the_value_of_a_generator_is_what_it_returns() -> None:
    def function() -> Generator[str, None, int]:
        yield "half"
        return 1

    returns = read_signature(function).returns

    assert returns is not None
    assert returns.json_schema() == {"type": "integer"}


def test_nothing_is_known_of_the_value_of_an_async_generator() -> None:
    async def function() -> AsyncIterator[int]:
        yield 1

    assert read_signature(function).returns is None


def test_the_tag_of_a_union_must_be_given_also_where_it_has_a_default() -> None:
    class Circle(BaseModel):
        kind: Literal["circle"] = "circle"

    class Square(BaseModel):
        kind: Literal["square"] = "square"

    signature = read_signature(taking(Annotated[Circle | Square, Field(discriminator="kind")]))
    definitions: Any = signature.schema["$defs"]

    assert [each["required"] for each in definitions.values()] == [["kind"], ["kind"]]
