"""OpenAI's streams, put together, are read like the whole response."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from sandbox.errors import BadCall
from sandbox.providers import read_turn, stream_reader
from sandbox.providers.envelope import Provider, Turn
from sandbox.providers.plain import JsonObject
from sandbox.wire import Json
from tests.unit.providers.documents import CHAT_MESSAGE, OPENAI_ITEMS, WHOLE

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
CHUNK: TypeAdapter[Any] = TypeAdapter(ChatCompletionChunk)


def gathered(provider: Provider, events: Sequence[object]) -> Turn:
    reader = stream_reader(provider)
    for event in events:
        reader.feed(event)
    return reader.turn()


def numbered(*events: JsonObject) -> list[Json]:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def argument_delta(index: int, delta: str) -> JsonObject:
    kind = "response.function_call_arguments.delta"
    return {"type": kind, "item_id": f"fc_{index}", "output_index": index, "delta": delta}


def added(index: int, item: Json) -> JsonObject:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index: int, item: Json) -> JsonObject:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


CREATED: JsonObject = {"type": "response.created", "response": {**WHOLE["openai"], "output": []}}
COMPLETED: JsonObject = {"type": "response.completed", "response": WHOLE["openai"]}
EMPTY_END: JsonObject = {"type": "response.completed", "response": {"output": []}}


def begun(index: int) -> JsonObject:
    """Give the event with which a call begins: without its arguments."""
    item = OPENAI_ITEMS[index]
    assert isinstance(item, dict)
    return added(index, {**item, "arguments": "", "status": "in_progress"})


RESPONSES_EVENTS: list[Json] = numbered(
    CREATED,
    added(0, OPENAI_ITEMS[0]),
    done(0, OPENAI_ITEMS[0]),
    added(1, OPENAI_ITEMS[1]),
    done(1, OPENAI_ITEMS[1]),
    begun(2),
    begun(3),
    argument_delta(2, '{"ci'),
    argument_delta(3, '{"city":'),
    argument_delta(2, 'ty":"Paris"}'),
    argument_delta(3, '"Rome"}'),
    done(2, OPENAI_ITEMS[2]),
    done(3, OPENAI_ITEMS[3]),
    COMPLETED,
)


def test_events_of_responses_give_the_turn_of_the_whole() -> None:
    assert gathered("openai", RESPONSES_EVENTS) == read_turn(WHOLE["openai"])


def test_the_sdks_events_of_responses_give_the_turn_of_the_whole() -> None:
    events = [EVENT.validate_python(event) for event in RESPONSES_EVENTS]

    assert gathered("openai", events) == read_turn(WHOLE["openai"])


def test_a_server_that_ends_without_the_output_is_read_by_its_items() -> None:
    events = [*RESPONSES_EVENTS[:-1], EMPTY_END]

    assert gathered("openai", events) == read_turn(WHOLE["openai"])


def test_a_server_that_sends_only_deltas_is_read_by_them() -> None:
    events = [begun(2), argument_delta(2, '{"a"'), argument_delta(2, ":1}"), EMPTY_END]

    assert gathered("openai", events).calls[0].arguments == '{"a":1}'


def test_the_input_of_a_custom_tool_grows_too() -> None:
    item: Json = {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": ""}
    kind = "response.custom_tool_call_input.delta"
    deltas: list[Json] = [
        {"type": kind, "output_index": 0, "item_id": "i", "delta": "select "},
        {"type": kind, "output_index": 0, "item_id": "i", "delta": "1"},
    ]

    turn = gathered("openai", [added(0, item), *deltas, EMPTY_END])

    assert turn.calls[0].arguments == {"input": "select 1"}


def chunk(delta: Json, finish_reason: str | None = None) -> JsonObject:
    choice: Json = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl_1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt",
        "choices": [choice],
    }


def piece(index: int | None, call_id: str | None, name: str | None, arguments: str) -> JsonObject:
    """Give a delta of one call, as the API writes it: what is not said again is not there."""
    function: JsonObject = {"arguments": arguments, **({"name": name} if name else {})}
    call: JsonObject = {"function": function}
    if call_id:
        call |= {"id": call_id, "type": "function"}
    if index is not None:
        call["index"] = index
    return {"tool_calls": [call]}


CHAT_EVENTS: list[Json] = [
    chunk({"role": "assistant", "content": None}),
    chunk({"reasoning_content": "Two "}),
    chunk({"reasoning_content": "cities."}),
    chunk(piece(0, "call_A", "get_weather", "")),
    chunk(piece(0, None, None, '{"city":')),
    chunk(piece(1, "call_B", "get_weather", '{"ci')),
    chunk(piece(0, None, None, '"Paris"}')),
    chunk(piece(1, None, None, 'ty":"Rome"}')),
    chunk({}, "tool_calls"),
    {"id": "chatcmpl_1", "choices": [], "usage": {"total_tokens": 1}},
]


def test_chunks_of_chat_give_the_turn_of_the_whole() -> None:
    assert gathered("openai-chat", CHAT_EVENTS) == read_turn(CHAT_MESSAGE)


def test_the_sdks_chunks_of_chat_give_the_turn_of_the_whole() -> None:
    events = [CHUNK.validate_python(event) for event in CHAT_EVENTS[:-1]]

    assert gathered("openai-chat", events) == read_turn(CHAT_MESSAGE)


def test_the_events_of_the_sdks_own_reader_are_read_by_their_chunks() -> None:
    events = [{"type": "chunk", "chunk": event, "snapshot": {}} for event in CHAT_EVENTS]
    more = [{"type": "content.delta", "delta": "x", "snapshot": "x"}]

    assert gathered("openai-chat", [*more, *events]) == read_turn(CHAT_MESSAGE)


def test_the_words_of_a_message_grow() -> None:
    events = [chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop")]

    assert gathered("openai-chat", events).history == ({"role": "assistant", "content": "Hello"},)


def test_only_the_first_choice_is_read() -> None:
    other: Json = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "stop"}]}
    events = [chunk({"content": "yes"}), other, chunk({}, "stop")]

    assert gathered("openai-chat", events).history == ({"role": "assistant", "content": "yes"},)


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(0, "a", "f", "{}"), piece(0, "b", "f", "{}")],
        [piece(None, "a", "f", "{}"), piece(None, "b", "f", "{}")],
        [piece(None, "a", "f", "{"), piece(None, None, None, "}"), piece(None, "b", "f", "{}")],
        [piece(0, "a", "f", "{"), piece(0, "a", "f", "}"), piece(1, "b", "f", "{}")],
    ],
    ids=["one index for all", "no index", "no index, in pieces", "id said again"],
)
def test_the_calls_of_servers_that_are_only_alike_are_told_apart(pieces: list[Json]) -> None:
    turn = gathered("openai-chat", [*map(chunk, pieces), chunk({}, "tool_calls")])

    assert [(call.id, call.arguments) for call in turn.calls] == [("a", "{}"), ("b", "{}")]


@given(city=st.text(), cuts=st.lists(st.integers(0, 40), max_size=5))
def test_arguments_may_be_cut_anywhere(city: str, cuts: list[int]) -> None:
    arguments = json.dumps({"city": city})
    edges = [0, *sorted(min(cut, len(arguments)) for cut in cuts), len(arguments)]
    pieces = [arguments[start:end] for start, end in pairwise(edges)]

    turn = gathered(
        "openai-chat",
        [
            chunk(piece(0, "a", "f", "")),
            *(chunk(piece(0, None, None, each)) for each in pieces),
            chunk({}, "tool_calls"),
        ],
    )

    assert turn.calls[0].arguments == arguments


def test_arguments_that_ended_too_soon_stay_text() -> None:
    events = [chunk(piece(0, "a", "f", '{"city":"Par')), chunk({}, "length")]

    assert gathered("openai-chat", events).calls[0].arguments == '{"city":"Par'


@pytest.mark.parametrize(
    ("provider", "events"),
    [("openai", RESPONSES_EVENTS[:-1]), ("openai-chat", CHAT_EVENTS[:-2])],
)
def test_a_stream_that_was_cut_is_no_turn(provider: Provider, events: list[Json]) -> None:
    with pytest.raises(BadCall, match="has not come to its end"):
        gathered(provider, events)


@pytest.mark.parametrize(
    ("provider", "event"),
    [
        ("openai", {"type": "error", "message": "overloaded", "code": None, "param": None}),
        ("openai-chat", {"error": {"message": "overloaded"}}),
    ],
)
def test_a_stream_that_says_that_it_failed_is_no_turn(provider: Provider, event: Json) -> None:
    with pytest.raises(BadCall, match="overloaded"):
        gathered(provider, [event])
