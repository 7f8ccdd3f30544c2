"""Answers become what each provider takes: the SDKs' own types are the judges."""

import pytest

from sandbox.providers import encode_answers, read_turn
from sandbox.providers.envelope import Answer, Data, Part, Provider, Text, Turn
from sandbox.wire import Json
from tests.unit.providers.answering import (
    CSV,
    PDF,
    PNG,
    UNKNOWN,
    answered,
    anthropic_result,
    failed,
    gemini_response,
    one_call,
)
from tests.unit.providers.documents import WHOLE
from tests.unit.providers.sdk import PROVIDERS, as_messages

every_provider = pytest.mark.parametrize("provider", PROVIDERS)

EVERYTHING = (Text("chart:"), Data({"rows": [1, None]}), PNG, PDF, CSV, UNKNOWN)

PARTS = pytest.mark.parametrize(
    "parts",
    [(), (Text("21 C"),), (Data({"temp_c": 21}),), (Data([1]), Text("")), (PNG,), EVERYTHING],
    ids=["nothing", "text", "object", "two", "picture", "everything"],
)


@PARTS
@every_provider
def test_the_sdk_takes_every_answer(provider: Provider, parts: tuple[Part, ...]) -> None:
    messages = answered(provider, *parts, partial=[1])

    assert as_messages(provider, messages) == messages


@PARTS
@every_provider
def test_the_sdk_takes_every_error(provider: Provider, parts: tuple[Part, ...]) -> None:
    messages = failed(provider, *parts, partial=[1])

    assert as_messages(provider, messages) == messages


def test_the_judge_sees_a_member_that_the_sdk_does_not_know() -> None:
    message: Json = {"type": "function_call_output", "call_id": "a", "output": "b", "isError": True}

    assert as_messages("openai", (message,)) != (message,)


@pytest.mark.parametrize(
    ("provider", "messages"),
    [
        (
            "openai",
            (
                {"type": "function_call_output", "call_id": "call_A", "output": "one"},
                {
                    "type": "function_call_output",
                    "call_id": "call_B",
                    "caller": {"type": "program", "caller_id": "call_P"},
                    "output": "Error: two",
                },
            ),
        ),
        (
            "openai-chat",
            (
                {"role": "tool", "tool_call_id": "call_A", "content": "one"},
                {"role": "tool", "tool_call_id": "call_B", "content": "Error: two"},
            ),
        ),
        (
            "anthropic",
            (
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "toolu_A", "content": "one"},
                        {
                            "type": "tool_result",
                            "tool_use_id": "toolu_B",
                            "content": "two",
                            "is_error": True,
                        },
                    ],
                },
            ),
        ),
        (
            "gemini",
            (
                {
                    "role": "user",
                    "parts": [
                        {
                            "functionResponse": {
                                "id": "a1",
                                "name": "get_weather",
                                "response": {"output": "one"},
                            }
                        },
                        {
                            "functionResponse": {
                                "name": "get_weather",
                                "response": {"error": "two"},
                            }
                        },
                    ],
                },
            ),
        ),
        (
            "gemini-interactions",
            (
                {
                    "type": "function_result",
                    "call_id": "x1",
                    "name": "get_weather",
                    "result": "one",
                },
                {
                    "type": "function_result",
                    "call_id": "x2",
                    "name": "get_weather",
                    "result": "two",
                    "is_error": True,
                },
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_two_parallel_calls_are_answered_as_the_provider_groups_them(
    provider: Provider, messages: tuple[Json, ...]
) -> None:
    turn = read_turn(WHOLE[provider])
    first, second = turn.calls
    answers = [
        Answer(call=first, parts=(Text("one"),)),
        Answer(call=second, parts=(Text("two"),), is_error=True),
    ]

    assert encode_answers(turn, answers) == messages


def test_mcp_gives_a_value_beside_its_text() -> None:
    assert answered("mcp", Data({"temp_c": 21})) == (
        {
            "content": [{"type": "text", "text": '{"temp_c": 21}'}],
            "structuredContent": {"temp_c": 21},
            "isError": False,
        },
    )


def test_mcp_gives_an_error_no_structured_content() -> None:
    assert failed("mcp", Data({"temp_c": 21})) == (
        {"content": [{"type": "text", "text": '{"temp_c": 21}'}], "isError": True},
    )


@pytest.mark.parametrize(
    ("parts", "response"),
    [
        ((Text("x"),), {"output": "x"}),
        ((Data({"a": 1}),), {"output": {"a": 1}}),
        ((Text("x"), Data([1])), {"output": ["x", [1]]}),
        ((), {"output": []}),
    ],
    ids=["text", "object", "two", "nothing"],
)
def test_gemini_gets_values_as_output(parts: tuple[Part, ...], response: Json) -> None:
    assert gemini_response(answered("gemini", *parts))["response"] == response


def test_gemini_gets_partial_values_beside_the_error() -> None:
    response = gemini_response(failed("gemini", Text("timed out"), partial=[{"rows": 120}]))

    assert response["response"] == {"error": "timed out", "partial": [{"rows": 120}]}


@pytest.mark.parametrize("provider", ["openai", "openai-chat", "anthropic", "mcp"])
def test_partial_values_come_as_the_last_words(provider: Provider) -> None:
    assert "Partial results: [1, 2]" in str(failed(provider, Text("timed out"), partial=[1, 2]))


@pytest.mark.parametrize("words", ["error: no such city", "Error: x"])
def test_words_that_say_error_already_are_not_told_so_twice(words: str) -> None:
    assert failed("openai", Text(words)) == (
        {"type": "function_call_output", "call_id": "call_A", "output": words},
    )


def test_anthropic_gets_words_for_an_error_without_any() -> None:
    assert anthropic_result(failed("anthropic"))["content"] == "Error"


def test_anthropic_gets_no_content_where_there_is_none() -> None:
    assert anthropic_result(answered("anthropic", Text(""))) == {
        "type": "tool_result",
        "tool_use_id": "toolu_A",
    }


@pytest.mark.parametrize(
    ("is_error", "output"),
    [
        (False, {"stdout": "hi", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}),
        (True, {"stdout": "", "stderr": "hi", "outcome": {"type": "exit", "exit_code": 1}}),
    ],
    ids=["answer", "error"],
)
def test_a_shell_call_is_answered_as_one(is_error: bool, output: Json) -> None:  # noqa: FBT001  # a row of the table
    turn = read_turn([{"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}}])

    messages = encode_answers(
        turn, [Answer(call=turn.calls[0], parts=(Text("hi"),), is_error=is_error)]
    )

    assert as_messages("openai", messages) == (
        {"type": "shell_call_output", "call_id": "c", "output": [output]},
    )


@pytest.mark.parametrize(
    "item",
    [
        {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "select 1"},
        {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file"}},
    ],
    ids=["custom", "apply_patch"],
)
def test_the_sdk_takes_the_answer_of_a_call_that_is_no_function(item: Json) -> None:
    turn = read_turn([item])

    messages = encode_answers(turn, [Answer(call=turn.calls[0], parts=(Text("hi"),))])

    assert as_messages("openai", messages) == messages


@every_provider
def test_a_turn_without_calls_has_no_messages(provider: Provider) -> None:
    assert encode_answers(Turn(provider=provider, calls=(), history=()), []) == ()


@every_provider
def test_a_call_without_an_answer_is_our_own_fault(provider: Provider) -> None:
    with pytest.raises(ValueError, match="the calls are"):
        encode_answers(one_call(provider), [])


@pytest.mark.parametrize("provider", ["openai", "openai-chat", "anthropic", "gemini"])
def test_answers_in_another_order_are_our_own_fault(provider: Provider) -> None:
    turn = read_turn(WHOLE[provider])
    answers = [Answer(call=call, parts=()) for call in reversed(turn.calls)]

    with pytest.raises(ValueError, match="the calls are"):
        encode_answers(turn, answers)
