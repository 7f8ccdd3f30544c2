"""What strict mode takes, what it cannot say, and that nothing is lost in silence."""

from typing import Any

import pytest
from anthropic import transform_schema
from openai.lib import _pydantic as of_openai

from sandbox.providers.envelope import Provider
from sandbox.providers.strict import Rewritten, strict_schema

STRICT: list[Provider] = ["openai", "openai-chat", "anthropic"]
INTEGER = {"type": "integer"}
TREE = {
    "type": "object",
    "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]}},
    "required": ["next"],
}
POINT = {"type": "object", "properties": {"x": INTEGER}, "required": ["x"]}


def closed(properties: Any, required: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties] if required is None else required,
        "additionalProperties": False,
        **more,
    }


def of_one(schema: Any, provider: Provider = "openai", definitions: Any = None) -> Rewritten:
    """Rewrite an object of one required argument."""
    more = {"$defs": definitions} if definitions else {}
    return strict_schema({**closed({"it": schema}), **more}, provider)


def written(rewritten: Rewritten) -> Any:
    """Give what has become of that argument."""
    assert rewritten.possible, rewritten.losses
    properties: Any = rewritten.schema["properties"]
    return properties["it"]


@pytest.mark.parametrize("provider", ["gemini", "gemini-interactions", "mcp"])
def test_who_has_no_strict_mode_is_given_the_schema_as_it_is(provider: Provider) -> None:
    schema = closed({"it": {"type": "object", "additionalProperties": INTEGER}}, [])

    assert strict_schema(schema, provider) == Rewritten(schema=schema, losses=(), possible=True)


@pytest.mark.parametrize("provider", STRICT)
def test_every_object_is_closed(provider: Provider) -> None:
    assert written(of_one(POINT, provider)) == closed({"x": INTEGER})


def test_an_optional_argument_becomes_one_that_may_be_null() -> None:
    rewritten = strict_schema(closed({"it": {**INTEGER, "description": "How many."}}, []), "openai")

    assert (written(rewritten), rewritten.schema["required"], rewritten.losses) == (
        {"anyOf": [INTEGER, {"type": "null"}], "description": "How many."},
        ["it"],
        (),
    )


def test_an_optional_argument_stays_optional_where_that_can_be_said() -> None:
    schema = closed({"it": INTEGER}, [])

    assert strict_schema(schema, "anthropic").schema == schema


@pytest.mark.parametrize("provider", STRICT)
def test_a_default_is_said_in_words(provider: Provider) -> None:
    rewritten = strict_schema(closed({"it": {**INTEGER, "default": 3}}, []), provider)

    assert (written(rewritten)["description"], rewritten.losses) == ("{default: 3}", ())


def test_a_default_of_null_needs_no_words() -> None:
    nullable = {"anyOf": [INTEGER, {"type": "null"}]}
    rewritten = strict_schema(closed({"it": {**nullable, "default": None}}, []), "openai")

    assert (written(rewritten), rewritten.losses) == (nullable, ())


def test_null_that_is_no_default_cannot_stand_for_leaving_out() -> None:
    nullable = {"anyOf": [INTEGER, {"type": "null"}], "default": 3}

    losses = strict_schema(closed({"it": nullable}, []), "openai").losses

    assert losses == ("it: it cannot be left out: null is null, not the default",)


@pytest.mark.parametrize(
    ("schema", "provider", "kept"),
    [
        pytest.param({"type": "integer", "minimum": 1}, "openai", True, id="minimum"),
        pytest.param(
            {"type": "integer", "minimum": 1}, "anthropic", False, id="minimum, anthropic"
        ),
        pytest.param({"type": "string", "minLength": 1}, "openai", False, id="length"),
        pytest.param({"type": "string", "pattern": "^a$"}, "openai", True, id="pattern"),
        pytest.param({"type": "string", "pattern": "^(?!a)"}, "openai", False, id="look-ahead"),
        pytest.param({"type": "string", "format": "date"}, "openai", True, id="date"),
        pytest.param({"type": "string", "format": "date"}, "anthropic", True, id="date, anthropic"),
        pytest.param({"type": "string", "format": "uri"}, "anthropic", True, id="uri, anthropic"),
        pytest.param({"type": "string", "format": "path"}, "openai", False, id="path"),
        pytest.param(
            {"type": "array", "items": INTEGER, "minItems": 1}, "anthropic", True, id="one"
        ),
        pytest.param(
            {"type": "array", "items": INTEGER, "minItems": 2}, "anthropic", False, id="two"
        ),
        pytest.param(
            {"type": "array", "items": INTEGER, "maxItems": 2}, "openai", True, id="at most"
        ),
        pytest.param(
            {"type": "array", "items": INTEGER, "uniqueItems": True}, "openai", False, id="a set"
        ),
        pytest.param({"type": "string", "unheardOf": 1}, "openai", False, id="an unknown keyword"),
    ],
)
def test_a_limit_is_kept_or_said_in_words_and_told(
    schema: Any, provider: Provider, *, kept: bool
) -> None:
    rewritten = of_one(schema, provider)
    limit = next(key for key in schema if key not in {"type", "items"})
    in_words = f"{limit}: " in written(rewritten).get("description", "")

    assert (limit in written(rewritten), in_words, bool(rewritten.losses)) == (
        kept,
        not kept,
        not kept,
    )


@pytest.mark.parametrize("provider", STRICT)
@pytest.mark.parametrize(
    ("schema", "why"),
    [
        pytest.param({"type": "object", "additionalProperties": INTEGER}, "not fixed", id="a map"),
        pytest.param({"type": "object"}, "any names", id="any object"),
        pytest.param({**POINT, "additionalProperties": True}, "not fixed", id="an open object"),
        pytest.param({**POINT, "patternProperties": {}}, "not fixed", id="names by pattern"),
        pytest.param({}, "anything", id="anything"),
        pytest.param({"title": "It", "default": 3}, "anything", id="anything with a title"),
        pytest.param({"type": "array"}, "anything", id="a list of anything"),
        pytest.param({"type": "array", "items": {}}, "anything", id="a list of empty schemas"),
        pytest.param(
            {
                "type": "array",
                "prefixItems": [INTEGER, {"type": "null"}],
                "minItems": 2,
                "maxItems": 2,
            },
            "of its own",
            id="a mixed tuple",
        ),
        pytest.param({"allOf": [POINT, {**POINT, "title": "b"}]}, "at once", id="all of several"),
        pytest.param({"enum": [{"a": 1}]}, "is an object", id="a constant object"),
    ],
)
def test_what_strict_mode_cannot_say_is_sent_as_it_was(
    schema: Any, why: str, provider: Provider
) -> None:
    rewritten = of_one(schema, provider)

    assert not rewritten.possible
    assert rewritten.schema == closed({"it": schema})
    assert why in rewritten.losses[0]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        pytest.param(
            {"const": "a", "type": "string"}, {"type": "string", "enum": ["a"]}, id="const"
        ),
        pytest.param(
            {"enum": ["a", 1]}, {"type": ["integer", "string"], "enum": ["a", 1]}, id="mixed"
        ),
        pytest.param({"enum": [True]}, {"type": "boolean", "enum": [True]}, id="true"),
        pytest.param({"allOf": [INTEGER], "title": "It"}, INTEGER, id="all of one"),
        pytest.param(
            {"type": ["integer", "null"]}, {"anyOf": [INTEGER, {"type": "null"}]}, id="two types"
        ),
        pytest.param(
            {"oneOf": [INTEGER], "discriminator": {"propertyName": "a"}},
            {"anyOf": [INTEGER]},
            id="oneOf",
        ),
        pytest.param(
            {"type": "array", "prefixItems": [INTEGER, INTEGER], "minItems": 2, "maxItems": 2},
            {"type": "array", "items": INTEGER, "minItems": 2, "maxItems": 2},
            id="a tuple of one type",
        ),
    ],
)
def test_the_same_is_said_in_another_way_and_nothing_is_lost(schema: Any, expected: Any) -> None:
    rewritten = of_one(schema)

    assert (written(rewritten), rewritten.losses) == (expected, ())


def test_constants_of_several_types_need_none_for_anthropic() -> None:
    assert written(of_one({"enum": ["a", 1]}, "anthropic")) == {"enum": ["a", 1]}


def test_one_of_several_without_a_tag_is_told() -> None:
    losses = of_one({"oneOf": [INTEGER, {"type": "number"}]}).losses

    assert losses == ("it: exactly one of several is said as one or more of them",)


@pytest.mark.parametrize("provider", STRICT)
def test_a_bare_reference_is_kept_with_its_definition(provider: Provider) -> None:
    rewritten = of_one({"$ref": "#/$defs/Point"}, provider, definitions={"Point": POINT})

    assert rewritten.schema["$defs"] == {"Point": closed({"x": INTEGER})}


@pytest.mark.parametrize("provider", STRICT)
def test_a_reference_with_words_beside_it_is_replaced_by_what_it_names(provider: Provider) -> None:
    schema = {"$ref": "#/$defs/Point", "description": "Where."}
    rewritten = of_one(schema, provider, definitions={"Point": POINT})

    assert (written(rewritten), "$defs" in rewritten.schema) == (
        closed({"x": INTEGER}, description="Where."),
        False,
    )


def test_a_definition_that_contains_itself_is_not_replaced_without_end() -> None:
    schema = {"$ref": "#/$defs/Tree", "description": "The root."}

    rewritten = of_one(schema, definitions={"Tree": TREE})

    assert written(rewritten) == {
        "anyOf": [{"$ref": "#/$defs/Tree"}],
        "description": "The root.",
    }


def test_a_definition_that_contains_itself_is_not_strict_for_anthropic() -> None:
    rewritten = of_one({"$ref": "#/$defs/Tree"}, "anthropic", definitions={"Tree": TREE})

    assert (rewritten.possible, rewritten.losses) == (False, ("Tree contains itself",))


@pytest.mark.parametrize(
    ("schema", "what"),
    [
        pytest.param(
            {"type": "string", "enum": [str(n) for n in range(1001)]}, "constants", id="constants"
        ),
        pytest.param(
            closed({f"p{n}": INTEGER for n in range(5000)}), "properties", id="properties"
        ),
        pytest.param(
            {"type": "string", "description": "x" * 120_000}, "characters", id="characters"
        ),
    ],
)
def test_a_schema_over_a_ceiling_is_not_strict(schema: Any, what: str) -> None:
    assert what in of_one(schema).losses[0]


def test_ten_levels_are_strict_and_eleven_are_not() -> None:
    def levels(count: int) -> dict[str, Any]:
        return closed({"it": levels(count - 1)}) if count > 1 else closed({"it": INTEGER})

    assert [strict_schema(levels(count), "openai").possible for count in (10, 11)] == [True, False]


def test_the_given_schema_is_not_changed() -> None:
    schema = closed({"it": {**INTEGER, "default": 3}}, [])
    before = repr(schema)

    strict_schema(schema, "openai")

    assert repr(schema) == before


LIKE_THE_SDK: Any = {
    **closed(
        {
            "name": {"type": "string", "description": "Who."},
            "at": {"type": "string", "format": "date-time"},
            "points": {"type": "array", "items": {"$ref": "#/$defs/Point"}},
            "one": {"anyOf": [INTEGER, {"type": "null"}]},
        }
    ),
    "$defs": {"Point": closed({"x": INTEGER})},
}


def test_openais_own_helper_leaves_a_rewritten_schema_as_it_is() -> None:
    schema: Any = strict_schema(LIKE_THE_SDK, "openai").schema

    assert of_openai._ensure_strict_json_schema(schema, path=(), root=schema) == schema  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def test_anthropics_own_helper_leaves_a_rewritten_schema_as_it_is() -> None:
    schema: Any = strict_schema(LIKE_THE_SDK, "anthropic").schema

    assert transform_schema(schema) == schema
