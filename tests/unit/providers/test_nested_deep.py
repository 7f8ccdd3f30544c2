"""Arguments that nest too deep do not end a run: their call is read, and can be answered."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from google.genai import types

from sandbox.providers import read_turn
from sandbox.providers.envelope import Provider
from sandbox.wire import Json


def nested(levels: int) -> Json:
    value: Json = 1
    for _ in range(levels):
        value = {"input": value}
    return value


DEEP: dict[Provider, Callable[[Json], Json]] = {
    "anthropic": lambda given: {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "a", "name": "f", "input": given}],
    },
    "gemini": lambda given: {
        "candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": given}}]}}]
    },
    "gemini-interactions": lambda given: {
        "steps": [{"type": "function_call", "id": "a", "name": "f", "arguments": given}]
    },
    "mcp": lambda given: {
        "method": "tools/call",
        "id": "a",
        "params": {"name": "f", "arguments": given},
    },
}


@pytest.mark.parametrize("levels", [210, 400, 5000])
@pytest.mark.parametrize(("provider", "response"), DEEP.items(), ids=DEEP)
def test_arguments_that_nest_too_deep_are_a_call_that_can_be_answered(
    provider: Provider, response: Callable[[Json], Json], levels: int
) -> None:
    turn = read_turn(response({"a": nested(levels)}), provider)

    assert [call.arguments for call in turn.calls] == ["nested more than 200 deep"]


@pytest.mark.parametrize("provider", ["anthropic", "gemini", "gemini-interactions"])
def test_arguments_that_nest_too_deep_are_an_object_in_the_history(provider: Provider) -> None:
    turn = read_turn(DEEP[provider](nested(300)), provider)

    assert '{"INVALID_JSON": "nested more than 200 deep"}' in json.dumps(turn.history)


@pytest.mark.parametrize(("provider", "response"), DEEP.items(), ids=DEEP)
def test_a_text_with_arguments_that_nest_too_deep_is_read(
    provider: Provider, response: Callable[[Json], Json]
) -> None:
    turn = read_turn(json.dumps(response(nested(300))), provider)

    assert turn.calls[0].arguments == "nested more than 200 deep"


@pytest.mark.parametrize(("provider", "response"), DEEP.items(), ids=DEEP)
def test_arguments_as_deep_as_may_be_stay_as_they_are(
    provider: Provider, response: Callable[[Json], Json]
) -> None:
    turn = read_turn(response(nested(150)), provider)

    assert turn.calls[0].arguments == nested(150)


@pytest.mark.parametrize("levels", [220, 300])
def test_an_sdk_s_object_with_arguments_that_nest_too_deep_is_read(levels: int) -> None:
    args: Any = nested(levels)
    part = types.Part(function_call=types.FunctionCall(name="f", args=args))
    turn = read_turn(types.Content(role="model", parts=[part]))

    assert turn.calls[0].arguments == "nested more than 200 deep"
