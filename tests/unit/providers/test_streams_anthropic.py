"""Anthropic's stream, put together, is read like the whole message."""

from collections.abc import Sequence
from typing import Any

import pytest
from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

from sandbox.errors import BadCall
from sandbox.providers import read_turn, stream_reader
from sandbox.providers.envelope import Turn
from sandbox.providers.plain import JsonObject
from sandbox.wire import Json
from tests.unit.providers.documents import ANTHROPIC_BLOCKS, WHOLE

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def gathered(events: Sequence[object]) -> Turn:
    reader = stream_reader("anthropic")
    for event in events:
        reader.feed(event)
    return reader.turn()


def start(index: int, **changes: Json) -> JsonObject:
    block = ANTHROPIC_BLOCKS[index]
    assert isinstance(block, dict)
    return {"type": "content_block_start", "index": index, "content_block": {**block, **changes}}


def delta(index: int, kind: str, **members: Json) -> JsonObject:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **members}}


def input_delta(index: int, text: str) -> JsonObject:
    return delta(index, "input_json_delta", partial_json=text)


MESSAGE_START: JsonObject = {
    "type": "message_start",
    "message": {**WHOLE["anthropic"], "content": [], "stop_reason": None},
}
MESSAGE_DELTA: JsonObject = {
    "type": "message_delta",
    "delta": {"stop_reason": "tool_use", "stop_sequence": None},
    "usage": {"output_tokens": 1},
}
MESSAGE_STOP: JsonObject = {"type": "message_stop"}

EVENTS: list[Json] = [
    MESSAGE_START,
    start(0, thinking="", signature=""),
    {"type": "ping"},
    delta(0, "thinking_delta", thinking="Two "),
    delta(0, "thinking_delta", thinking="cities."),
    delta(0, "signature_delta", signature="EqQB"),
    {"type": "content_block_stop", "index": 0},
    start(1),
    start(2, text=""),
    delta(2, "text_delta", text="Look"),
    delta(2, "text_delta", text="ing."),
    start(3, input={}),
    start(4, input={}),
    input_delta(3, ""),
    input_delta(4, '{"city":'),
    input_delta(3, '{"city":"Paris",'),
    input_delta(4, '"Rome"}'),
    input_delta(3, '"day":null}'),
    {"type": "content_block_stop", "index": 4},
    MESSAGE_DELTA,
    MESSAGE_STOP,
]


def one_call(*pieces: str) -> Turn:
    deltas = [input_delta(3, text) for text in pieces]
    return gathered([start(3, input={}), *deltas, MESSAGE_DELTA, MESSAGE_STOP])


def test_events_give_the_turn_of_the_whole() -> None:
    assert gathered(EVENTS) == read_turn(WHOLE["anthropic"])


def test_the_sdks_events_give_the_turn_of_the_whole() -> None:
    events = [EVENT.validate_python(event) for event in EVENTS if event != {"type": "ping"}]

    assert gathered(events) == read_turn(WHOLE["anthropic"])


@pytest.mark.parametrize("pieces", [[], [""]], ids=["no delta", "an empty one"])
def test_a_call_without_input_has_no_arguments(pieces: list[str]) -> None:
    assert one_call(*pieces).calls[0].arguments == {}


def test_broken_input_stays_text_in_the_call() -> None:
    assert one_call('{"city":', '"Par').calls[0].arguments == '{"city":"Par'


def test_broken_input_is_an_object_in_the_history_as_the_api_wants_it() -> None:
    (message,) = one_call('{"city":"Par').history

    assert "{'INVALID_JSON': '{\"city\":\"Par'}" in str(message)


def test_citations_are_gathered() -> None:
    events = [
        start(2, text="so", citations=None),
        delta(2, "citations_delta", citation={"type": "char_location", "cited_text": "a"}),
        delta(2, "citations_delta", citation={"type": "char_location", "cited_text": "b"}),
        MESSAGE_STOP,
    ]

    (message,) = gathered(events).history

    assert str(message).count("cited_text") == 2


def test_the_container_comes_with_the_last_delta() -> None:
    last: JsonObject = {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "container": {"id": "container_1"}},
    }

    turn = gathered([MESSAGE_START, *EVENTS[1:-2], last, MESSAGE_STOP])

    assert turn.request == {"container": "container_1"}


def test_events_of_the_sdks_own_reader_change_nothing() -> None:
    more: list[Json] = [
        {"type": "text", "text": "Looking.", "snapshot": "Looking."},
        {"type": "input_json", "partial_json": "{", "snapshot": {}},
    ]

    assert gathered([*EVENTS[:-1], *more, EVENTS[-1]]) == read_turn(WHOLE["anthropic"])


def test_a_stream_that_was_cut_is_no_turn() -> None:
    with pytest.raises(BadCall, match="has not come to its end"):
        gathered(EVENTS[:-1])


def test_a_stream_that_says_that_it_failed_is_no_turn() -> None:
    with pytest.raises(BadCall, match="Overloaded"):
        gathered([{"type": "error", "error": {"type": "overloaded", "message": "Overloaded"}}])
