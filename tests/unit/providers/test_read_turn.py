"""A model's response becomes calls and a history, whatever its provider and its form."""

import json
from typing import Any

import pytest
from anthropic.types import Message
from google.genai import types
from pydantic import BaseModel

from sandbox.errors import BadCall
from sandbox.providers import read_turn
from sandbox.providers.envelope import Provider, ToolCall, Turn
from sandbox.providers.plain import JsonObject
from sandbox.wire import Json
from tests.unit.providers.documents import (
    ANTHROPIC_BLOCKS,
    CHAT_MESSAGE,
    GEMINI_CONTENT,
    HISTORY,
    IDS,
    INNER,
    OPENAI_ITEMS,
    WHOLE,
)
from tests.unit.providers.sdk import PROVIDERS, as_messages, as_steps, received

every_provider = pytest.mark.parametrize("provider", PROVIDERS)


def ids_of(turn: Turn) -> list[str]:
    return [call.id for call in turn.calls]


def dumped(provider: Provider) -> Any:
    """Give the SDK's own dump, with a null for each member that the API did not send."""
    model = received(provider, WHOLE[provider])
    assert isinstance(model, BaseModel)
    return model.model_dump()


@every_provider
def test_plain_json_is_read_as_its_own_providers(provider: Provider) -> None:
    assert read_turn(WHOLE[provider]).provider == provider


@every_provider
def test_an_object_of_the_sdk_is_read_as_its_own_providers(provider: Provider) -> None:
    assert read_turn(received(provider, WHOLE[provider])).provider == provider


@every_provider
def test_the_message_alone_is_read_as_its_own_providers(provider: Provider) -> None:
    assert read_turn(INNER[provider]).provider == provider


@every_provider
def test_calls_have_their_ids_in_order(provider: Provider) -> None:
    assert ids_of(read_turn(WHOLE[provider])) == IDS[provider]


@every_provider
def test_an_object_of_the_sdk_gives_the_same_history_as_the_json(provider: Provider) -> None:
    assert read_turn(received(provider, WHOLE[provider])).history == HISTORY[provider]


@every_provider
def test_a_text_of_json_gives_the_same_turn_as_the_json(provider: Provider) -> None:
    assert read_turn(json.dumps(WHOLE[provider])) == read_turn(WHOLE[provider])


@every_provider
def test_the_message_alone_gives_the_same_calls_as_the_whole(provider: Provider) -> None:
    assert read_turn(INNER[provider]).calls == read_turn(WHOLE[provider]).calls


@every_provider
def test_nulls_of_an_sdks_dump_do_not_reach_the_history(provider: Provider) -> None:
    assert read_turn(dumped(provider)).history == HISTORY[provider]


@pytest.mark.parametrize("provider", ["openai", "openai-chat", "anthropic", "gemini"])
def test_the_sdk_takes_the_history_back(provider: Provider) -> None:
    history = read_turn(WHOLE[provider]).history
    known = tuple(without_extras(each) for each in history)

    assert as_messages(provider, known) == known


def without_extras(message: Json) -> Json:
    """Leave out what another vendor's server adds and the SDK of OpenAI does not know."""
    kept = dict(message) if isinstance(message, dict) else {}
    kept.pop("reasoning_content", None)
    return kept


def test_the_sdk_takes_the_steps_of_an_interaction_back() -> None:
    history = read_turn(WHOLE["gemini-interactions"]).history

    assert as_steps(history) == history


def test_the_turn_does_not_change_with_the_document_that_it_was_read_from() -> None:
    document = json.loads(json.dumps(WHOLE["anthropic"]))
    turn = read_turn(document)

    document["content"].clear()

    assert turn.history == HISTORY["anthropic"]


@pytest.mark.parametrize(
    ("provider", "arguments"),
    [
        ("openai", '{"city":"Paris"}'),
        ("openai-chat", '{"city":"Paris"}'),
        ("anthropic", {"city": "Paris", "day": None}),
        ("gemini", {"city": "Paris", "day_of_week": None}),
        ("gemini-interactions", {"city": "Paris", "day": None}),
        ("mcp", {"city": "Paris"}),
    ],
)
def test_arguments_are_as_the_model_gave_them(provider: Provider, arguments: Json) -> None:
    assert read_turn(received(provider, WHOLE[provider])).calls[0].arguments == arguments


def test_a_namespace_lies_beside_the_name() -> None:
    call = read_turn(WHOLE["openai"]).calls[1]

    assert (call.namespace, call.name) == ("geo", "get_weather")


@pytest.mark.parametrize(
    ("item", "call"),
    [
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "select 1"},
            ToolCall(
                id="c",
                name="sql",
                arguments={"input": "select 1"},
                carried={"type": "custom_tool_call_output"},
            ),
        ),
        (
            {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
            ToolCall(
                id="c",
                name="shell",
                arguments={"commands": ["ls"]},
                carried={"type": "shell_call_output"},
            ),
        ),
        (
            {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file"}},
            ToolCall(
                id="c",
                name="apply_patch",
                arguments={"operation": {"type": "delete_file"}},
                carried={"type": "apply_patch_call_output"},
            ),
        ),
    ],
    ids=["custom", "shell", "apply_patch"],
)
def test_a_call_that_is_no_function_is_one_of_the_turns_calls(item: Json, call: ToolCall) -> None:
    assert read_turn([item]).calls == (call,)


def test_a_shell_call_that_the_provider_has_answered_is_not_ours() -> None:
    call: Json = {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}}
    output: Json = {"type": "shell_call_output", "call_id": "c", "output": []}

    assert read_turn([call, output]).calls == ()


def test_an_interactions_call_that_has_its_result_is_not_of_this_turn() -> None:
    call: Json = {"type": "function_call", "id": "c", "name": "f", "arguments": {}}
    result: Json = {"type": "function_result", "call_id": "c", "result": "done"}

    assert read_turn({"steps": [call, result]}).calls == ()


def test_a_tool_that_anthropic_runs_is_not_ours() -> None:
    block: Json = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}

    assert read_turn([block]).calls == ()


def test_a_custom_tool_of_chat_gets_its_text_as_input() -> None:
    call: Json = {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}

    assert read_turn([call]).calls[0].arguments == {"input": "select 1"}


@pytest.mark.parametrize("provider", ["openai", "openai-chat"])
def test_no_arguments_at_all_are_an_empty_object(provider: Provider) -> None:
    item: Json = {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}
    call: Json = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}

    assert read_turn([item] if provider == "openai" else [call]).calls[0].arguments == "{}"


def test_broken_arguments_stay_as_they_are() -> None:
    item: Json = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a'}

    assert read_turn([item]).calls[0].arguments == '{"a'


def test_what_the_sdk_parsed_is_not_sent_back() -> None:
    item: JsonObject = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}

    turn = read_turn({"output": [{**item, "parsed_arguments": {"a": 1}}]})

    assert turn.history == (item,)


def test_an_unknown_item_goes_into_the_history_unchanged() -> None:
    item: Json = {"type": "hologram", "beams": [{"phase": None}]}

    assert read_turn({"output": [item]}).history == (item,)


def test_of_spoken_audio_only_the_name_is_sent_back() -> None:
    audio: Json = {"id": "audio_1", "data": "UklG", "expires_at": 1, "transcript": "hi"}

    (message,) = read_turn({"message": {"role": "assistant", "audio": audio}}).history

    assert message == {"role": "assistant", "content": None, "audio": {"id": "audio_1"}}


def test_an_empty_list_of_calls_is_not_sent_back() -> None:
    message: Json = {"role": "assistant", "content": "hi", "tool_calls": []}

    assert read_turn(message).history == ({"role": "assistant", "content": "hi"},)


def test_a_blank_text_that_anthropic_would_refuse_is_not_sent_back() -> None:
    blocks: list[Json] = [{"type": "text", "text": " \n"}, ANTHROPIC_BLOCKS[3]]

    assert read_turn(blocks).history == ({"role": "assistant", "content": [ANTHROPIC_BLOCKS[3]]},)


def test_members_that_the_api_did_not_send_are_not_in_the_history_however_deep() -> None:
    citation: Json = {"type": "char_location", "cited_text": "a", "document_index": 0}
    block: Json = {"type": "text", "text": "so", "citations": [citation]}

    turn = read_turn(received("anthropic", {**WHOLE["anthropic"], "content": [block]}))

    assert turn.history == ({"role": "assistant", "content": [block]},)


def test_anthropics_container_is_for_the_next_request() -> None:
    container: Json = {"id": "container_1", "expires_at": "2026-11-22T00:00:00Z"}

    turn = read_turn(received("anthropic", {**WHOLE["anthropic"], "container": container}))

    assert turn.request == {"container": "container_1"}


def test_pythons_spelling_of_gemini_becomes_the_apis() -> None:
    parts: list[object] = [
        {"function_call": {"name": "f", "args": {"day_of_week": 1}}, "thought_signature": b"signed"}
    ]

    (content,) = read_turn(parts).history

    assert content == {
        "role": "model",
        "parts": [
            {
                "functionCall": {"name": "f", "args": {"day_of_week": 1}},
                "thoughtSignature": "c2lnbmVk",
            }
        ],
    }


@pytest.mark.parametrize("signature", [b"signed", b"\xff\xfe\xfb", bytes(range(256))])
def test_a_signature_comes_back_to_the_sdk_bit_by_bit(signature: bytes) -> None:
    call = types.FunctionCall(name="f", args={})
    said = types.Content(
        role="model", parts=[types.Part(function_call=call, thought_signature=signature)]
    )

    (content,) = read_turn(said).history

    assert types.Content.model_validate(content) == said


@pytest.mark.parametrize(
    "document",
    [
        {"candidates": [{"finishReason": "SAFETY"}]},
        {"promptFeedback": {"blockReason": "SAFETY"}},
        {"candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS"}]},
    ],
    ids=["answer blocked", "prompt blocked", "nothing said"],
)
def test_a_gemini_response_without_content_is_a_turn_without_calls(document: Json) -> None:
    assert read_turn(document) == Turn(provider="gemini", calls=(), history=())


@pytest.mark.parametrize(
    ("document", "provider"),
    [
        ({"role": "assistant", "content": "hello"}, "openai-chat"),
        ({**WHOLE["anthropic"], "content": []}, "anthropic"),
        (OPENAI_ITEMS[1], "openai"),
        (OPENAI_ITEMS[3], "openai"),
        (CHAT_MESSAGE["tool_calls"], "openai-chat"),
        ([{"index": 0, "message": CHAT_MESSAGE}], "openai-chat"),
        ({"content": GEMINI_CONTENT}, "gemini"),
        (GEMINI_CONTENT["parts"], "gemini"),
        ({"name": "f", "arguments": {}}, "mcp"),
        ({"params": {"name": "f"}}, "mcp"),
    ],
)
def test_pieces_are_told_apart(document: Json, provider: Provider) -> None:
    assert read_turn(document).provider == provider


def test_a_list_of_the_sdks_objects_is_read() -> None:
    message = received("anthropic", WHOLE["anthropic"])
    assert isinstance(message, Message)

    assert read_turn(message.content).history == HISTORY["anthropic"]


NO_RESPONSES: list[object] = [
    None,
    7,
    "hello",
    [],
    {},
    {"output": "no list"},
    {"output": [1]},
    {"type": "message", "role": "assistant", "stop_reason": "end_turn"},
    {"choices": []},
    {"choices": [{"message": {"role": "assistant", "tool_calls": [{}]}}]},
    [{"type": "function_call", "name": "f", "call_id": None}],
    [{"type": "function_call", "call_id": "a"}],
    [{"type": "tool_use", "name": "f"}],
    [{"type": "tool_use", "id": "a", "name": "f", "input": 1}],
    {"parts": [{"functionCall": {}}]},
    {"steps": [{"type": "function_call", "id": "a"}]},
    {"method": "tools/list", "params": {}},
    {"params": {"arguments": {}}},
    {"role": "assistant", "content": float("nan")},
    {"output": [1j]},
    {1: 2},
    b"\xff",
    int,
]


@pytest.mark.parametrize("document", NO_RESPONSES, ids=repr)
def test_what_is_no_response_is_refused(document: object) -> None:
    with pytest.raises(BadCall):
        read_turn(document)


def test_a_document_that_nests_too_deep_is_refused() -> None:
    document: Json = []
    for _ in range(1000):
        document = [document]

    with pytest.raises(BadCall, match="200 deep"):
        read_turn(document)


@pytest.mark.parametrize("provider", ["claude", ""])
def test_a_provider_that_is_none_is_told_which_there_are(provider: Any) -> None:
    with pytest.raises(BadCall, match=r"'openai', .*'gemini-interactions', 'mcp'"):
        read_turn([], provider)
