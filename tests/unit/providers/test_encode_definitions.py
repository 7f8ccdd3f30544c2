"""Definitions are what each provider takes: the SDKs' own types are the judges."""

import pytest

from sandbox.providers import encode_definitions
from sandbox.providers.envelope import Declaration, Provider
from sandbox.providers.plain import JsonObject
from sandbox.providers.strict import strict_schema
from sandbox.wire import Json
from tests.unit.providers.sdk import PROVIDERS, as_tools

every_provider = pytest.mark.parametrize("provider", PROVIDERS)

CITY: JsonObject = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
COUNTS: JsonObject = {
    "type": "object",
    "properties": {"counts": {"type": "object", "additionalProperties": {"type": "integer"}}},
    "required": ["counts"],
}
ANSWER: JsonObject = {"type": "object", "properties": {"temp_c": {"type": "number"}}}

WEATHER = Declaration(
    name="get_weather", description="Tell the weather.", parameters=CITY, returns=ANSWER
)
TIME = Declaration(name="get_time", description="Tell the time.", parameters=CITY, namespace="geo")
DATE = Declaration(name="get_date", description="Tell the date.", parameters=CITY, namespace="geo")
COUNT = Declaration(name="count", description="Count.", parameters=COUNTS)


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "not strict"])
@every_provider
def test_the_sdk_takes_the_definitions(provider: Provider, *, strict: bool) -> None:
    tools = encode_definitions([WEATHER, TIME, COUNT], provider, strict=strict).tools

    assert as_tools(provider, tools) == tools


@pytest.mark.parametrize(
    ("provider", "tools"),
    [
        (
            "openai",
            [
                {
                    "type": "function",
                    "name": "get_weather",
                    "description": "Tell the weather.",
                    "parameters": CITY,
                    "strict": True,
                }
            ],
        ),
        (
            "openai-chat",
            [
                {
                    "type": "function",
                    "function": {
                        "name": "get_weather",
                        "description": "Tell the weather.",
                        "parameters": CITY,
                        "strict": True,
                    },
                }
            ],
        ),
        (
            "anthropic",
            [
                {
                    "name": "get_weather",
                    "description": "Tell the weather.",
                    "input_schema": CITY,
                    "strict": True,
                }
            ],
        ),
        (
            "gemini",
            [
                {
                    "functionDeclarations": [
                        {
                            "name": "get_weather",
                            "description": "Tell the weather.",
                            "parametersJsonSchema": CITY,
                        }
                    ]
                }
            ],
        ),
        (
            "gemini-interactions",
            [
                {
                    "type": "function",
                    "name": "get_weather",
                    "description": "Tell the weather.",
                    "parameters": CITY,
                }
            ],
        ),
        (
            "mcp",
            [
                {
                    "name": "get_weather",
                    "description": "Tell the weather.",
                    "inputSchema": CITY,
                    "outputSchema": ANSWER,
                }
            ],
        ),
    ],
    ids=PROVIDERS,
)
def test_a_tool_is_told_in_the_providers_own_words(provider: Provider, tools: list[Json]) -> None:
    assert encode_definitions([WEATHER], provider, strict=True).tools == tools


def test_openai_gets_the_tools_of_a_namespace_together_where_the_first_stands() -> None:
    tools = encode_definitions([TIME, WEATHER, DATE], "openai", strict=False).tools

    assert [names(tool) for tool in tools] == [
        ("geo", ["get_time", "get_date"]),
        ("get_weather", []),
    ]


def names(tool: Json) -> tuple[Json, list[Json]]:
    """Give the name of a tool, and the names of those in it if it is a namespace."""
    assert isinstance(tool, dict)
    inner = tool.get("tools", [])
    assert isinstance(inner, list)
    return tool["name"], [each["name"] for each in inner if isinstance(each, dict)]


def test_others_get_the_namespace_in_the_name() -> None:
    (tool,) = encode_definitions([TIME], "anthropic", strict=False).tools

    assert names(tool) == ("geo__get_time", [])


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_tool_that_strict_cannot_express_is_sent_as_it_is(provider: Provider) -> None:
    strict = encode_definitions([COUNT], provider, strict=True).tools

    assert strict == encode_definitions([COUNT], provider, strict=False).tools


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_tool_that_strict_cannot_express_is_said_to_be(provider: Provider) -> None:
    losses = encode_definitions([WEATHER, COUNT], provider, strict=True).losses

    assert losses[0] == "count: sent without strict mode"


def test_each_loss_is_said_with_the_name_of_its_tool() -> None:
    losses = encode_definitions([COUNT], "openai", strict=True).losses

    assert losses[1:] == tuple(f"count: {each}" for each in strict_schema(COUNTS, "openai").losses)


@every_provider
def test_nothing_is_lost_where_strict_is_not_asked_for(provider: Provider) -> None:
    assert encode_definitions([WEATHER, COUNT], provider, strict=False).losses == ()


@every_provider
def test_no_tools_at_all_are_an_empty_list(provider: Provider) -> None:
    assert encode_definitions([], provider, strict=True).tools == []


@pytest.mark.parametrize("returns", [None, {"type": "array"}], ids=["unsaid", "list"])
def test_mcp_is_told_of_objects_only(returns: JsonObject | None) -> None:
    told = Declaration(name="f", description="", parameters=CITY, returns=returns)

    (tool,) = encode_definitions([told], "mcp", strict=True).tools

    assert "outputSchema" not in (tool if isinstance(tool, dict) else {})
