"""Gemini's streams, of generateContent and of interactions, are read like the whole response."""

from collections.abc import Sequence
from typing import Any

import pytest
from google.genai import interactions, types
from pydantic import TypeAdapter

from sandbox.errors import BadCall
from sandbox.providers import read_turn, stream_reader
from sandbox.providers.envelope import Provider, Turn
from sandbox.providers.plain import JsonObject
from sandbox.wire import Json
from tests.unit.providers.documents import GEMINI_CONTENT, STEPS, WHOLE

EVENT: TypeAdapter[Any] = TypeAdapter(interactions.InteractionSSEEvent)


def gathered(provider: Provider, events: Sequence[object]) -> Turn:
    reader = stream_reader(provider)
    for event in events:
        reader.feed(event)
    return reader.turn()


def chunk(*parts: Json) -> JsonObject:
    return {"candidates": [{"index": 0, "content": {"role": "model", "parts": list(parts)}}]}


def parts() -> list[Json]:
    found = GEMINI_CONTENT["parts"]
    assert isinstance(found, list)
    return found


CHUNKS: list[Json] = [
    chunk({"text": "Two ", "thought": True}),
    chunk({"text": "cities.", "thought": True}),
    chunk(parts()[1]),
    chunk(parts()[2]),
    {"candidates": [{"index": 0, "finishReason": "STOP"}], "usageMetadata": {}},
]


def test_chunks_give_the_turn_of_the_whole() -> None:
    assert gathered("gemini", CHUNKS) == read_turn(WHOLE["gemini"])


def test_the_sdks_chunks_give_the_turn_of_the_whole() -> None:
    chunks = [types.GenerateContentResponse.model_validate(each) for each in CHUNKS]

    assert gathered("gemini", chunks) == read_turn(WHOLE["gemini"])


def test_a_signature_stays_on_the_very_part_that_it_was_on() -> None:
    pieces: list[Json] = [
        {"text": "a"},
        {"text": "", "thoughtSignature": "c2ln"},
        {"text": "b"},
        {"text": "c"},
    ]

    (content,) = gathered("gemini", [chunk(each) for each in pieces]).history

    assert content == {"role": "model", "parts": [*pieces[:2], {"text": "bc"}]}


def test_thoughts_are_not_mixed_with_words() -> None:
    pieces: list[Json] = [{"text": "a", "thought": True}, {"text": "b"}]

    (content,) = gathered("gemini", [chunk(*pieces)]).history

    assert content == {"role": "model", "parts": pieces}


def call_piece(*partial: Json, goes_on: bool = True, **members: Json) -> JsonObject:
    call: JsonObject = {"partialArgs": list(partial), **members}
    return chunk({"functionCall": {**call, **({"willContinue": True} if goes_on else {})}})


def arguments_of(*partial: Json) -> object:
    begin, end = call_piece(name="f", id="a"), call_piece(goes_on=False)
    return gathered("gemini", [begin, *map(call_piece, partial), end]).calls[0].arguments


@pytest.mark.parametrize(
    ("pieces", "arguments"),
    [
        ([], {}),
        (
            [
                {"jsonPath": "$.city", "stringValue": "Pa", "willContinue": True},
                {"jsonPath": "$.city", "stringValue": "ris"},
            ],
            {"city": "Paris"},
        ),
        ([{"jsonPath": "$.days", "numberValue": 3.0}], {"days": 3}),
        ([{"jsonPath": "$.days", "numberValue": 0.5}], {"days": 0.5}),
        ([{"jsonPath": "$.now", "boolValue": False}], {"now": False}),
        ([{"jsonPath": "$.day", "nullValue": "NULL_VALUE"}], {"day": None}),
        (
            [
                {"jsonPath": "$.stops[0].name", "stringValue": "a"},
                {"jsonPath": "$.stops[1]['the name']", "stringValue": "b"},
            ],
            {"stops": [{"name": "a"}, {"the name": "b"}]},
        ),
    ],
    ids=["none", "text", "whole number", "number", "bool", "null", "nested"],
)
def test_arguments_in_pieces_are_put_together(pieces: list[Json], arguments: object) -> None:
    assert arguments_of(*pieces) == arguments


def test_the_sdks_pieces_of_arguments_are_put_together() -> None:
    piece: Json = {"jsonPath": "$.city", "stringValue": "Paris"}
    chunks = [call_piece(name="f"), call_piece(piece, goes_on=False)]
    objects = [types.GenerateContentResponse.model_validate(each) for each in chunks]

    assert gathered("gemini", objects).calls[0].arguments == {"city": "Paris"}


def test_the_history_has_the_call_whole_and_its_signature() -> None:
    begin: Json = {
        "functionCall": {"name": "f", "id": "a", "willContinue": True},
        "thoughtSignature": "c2ln",
    }
    piece = call_piece({"jsonPath": "$.n", "numberValue": 1})

    (content,) = gathered("gemini", [chunk(begin), piece, call_piece(goes_on=False)]).history

    assert content == {
        "role": "model",
        "parts": [
            {
                "functionCall": {"name": "f", "id": "a", "args": {"n": 1}},
                "thoughtSignature": "c2ln",
            }
        ],
    }


@pytest.mark.parametrize(
    "path",
    ["", "$", "city", "$..city", "$.*", "$[0]", "$.a[7]", "$.a[99999999999]", "$.a[?@.b]"],
)
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(BadCall):
        arguments_of({"jsonPath": path, "stringValue": "x"})


@pytest.mark.parametrize(
    "chunks",
    [[], [call_piece(name="f")]],
    ids=["nothing came", "a call goes on"],
)
def test_a_gemini_stream_that_was_cut_is_no_turn(chunks: list[Json]) -> None:
    with pytest.raises(BadCall, match="has not come to its end"):
        gathered("gemini", chunks)


def start(index: int, step: Json) -> JsonObject:
    return {"event_type": "step.start", "index": index, "step": step}


def delta(index: int, kind: str, **members: Json) -> JsonObject:
    return {"event_type": "step.delta", "index": index, "delta": {"type": kind, **members}}


def begun(index: int) -> JsonObject:
    """Give the event with which a call begins: without its arguments."""
    step = STEPS[index]
    assert isinstance(step, dict)
    return start(index, {**step, "arguments": {}})


COMPLETED: JsonObject = {
    "event_type": "interaction.completed",
    "interaction": {"id": "i1", "status": "requires_action"},
}

STEP_EVENTS: list[Json] = [
    {
        "event_type": "interaction.created",
        "interaction": {"id": "i1", "status": "in_progress"},
    },
    start(0, {"type": "thought"}),
    delta(0, "thought_summary", content={"type": "text", "text": "Two."}),
    delta(0, "thought_signature", signature="c2lnbmVk"),
    {"event_type": "step.stop", "index": 0},
    start(1, {"type": "model_output"}),
    delta(1, "text", text="Look"),
    delta(1, "text", text="ing."),
    begun(2),
    begun(3),
    delta(2, "arguments_delta", arguments='{"city":"Paris",'),
    delta(3, "arguments_delta", arguments='{"city":"Rome"}'),
    delta(2, "arguments_delta", arguments='"day":null}'),
    {"event_type": "step.stop", "index": 2},
    COMPLETED,
]


def test_steps_give_the_turn_of_the_whole() -> None:
    turn = gathered("gemini-interactions", STEP_EVENTS)

    assert turn == read_turn(WHOLE["gemini-interactions"])


def test_the_sdks_events_of_steps_give_the_turn_of_the_whole() -> None:
    events = [EVENT.validate_python(event) for event in STEP_EVENTS]

    assert gathered("gemini-interactions", events) == read_turn(WHOLE["gemini-interactions"])


def test_the_steps_of_the_last_event_win() -> None:
    last: Json = {**COMPLETED, "interaction": {"id": "i1", "status": "done", "steps": STEPS}}

    assert gathered("gemini-interactions", [last]) == read_turn(WHOLE["gemini-interactions"])


def test_broken_arguments_of_a_step_stay_text() -> None:
    piece = delta(2, "arguments_delta", arguments='{"city":"Par')

    turn = gathered("gemini-interactions", [begun(2), piece, COMPLETED])

    assert turn.calls[0].arguments == '{"city":"Par'


def test_annotations_are_on_the_text_that_they_follow() -> None:
    events = [
        start(0, {"type": "model_output"}),
        delta(0, "text", text="so"),
        delta(0, "text_annotation_delta", annotations=[{"type": "url_citation"}]),
        COMPLETED,
    ]

    (step,) = gathered("gemini-interactions", events).history

    assert step == {
        "type": "model_output",
        "content": [{"type": "text", "text": "so", "annotations": [{"type": "url_citation"}]}],
    }


def test_a_picture_is_one_of_the_contents() -> None:
    picture = delta(0, "image", data="cG5n", mime_type="image/png")
    events = [start(0, {"type": "model_output"}), picture, COMPLETED]

    (step,) = gathered("gemini-interactions", events).history

    assert step == {"type": "model_output", "content": [picture["delta"]]}


def test_a_stream_of_steps_that_was_cut_is_no_turn() -> None:
    with pytest.raises(BadCall, match="has not come to its end"):
        gathered("gemini-interactions", STEP_EVENTS[:-1])


@pytest.mark.parametrize(
    ("provider", "event"),
    [
        ("gemini", {"error": {"code": 503, "message": "overloaded"}}),
        ("gemini-interactions", {"event_type": "error", "error": {"message": "overloaded"}}),
    ],
)
def test_a_stream_that_says_that_it_failed_is_no_turn(provider: Provider, event: Json) -> None:
    with pytest.raises(BadCall, match="overloaded"):
        gathered(provider, [event])


def test_a_request_of_mcp_is_its_own_stream() -> None:
    assert gathered("mcp", [WHOLE["mcp"]]) == read_turn(WHOLE["mcp"])


def test_no_request_of_mcp_is_no_turn() -> None:
    with pytest.raises(BadCall, match="no tools/call request"):
        gathered("mcp", [])


def test_a_blocked_prompt_is_the_same_turn_in_one_chunk_as_whole() -> None:
    blocked: Json = {"promptFeedback": {"blockReason": "SAFETY"}}

    assert gathered("gemini", [blocked]) == read_turn(blocked, "gemini")


def test_a_prompt_that_was_judged_and_not_blocked_is_no_end() -> None:
    with pytest.raises(BadCall, match="not come to its end"):
        gathered("gemini", [{"promptFeedback": {"safetyRatings": []}}])


def test_the_stream_of_a_provider_that_is_none_is_refused() -> None:
    provider: Any = "claude"

    with pytest.raises(BadCall, match="no provider 'claude'"):
        stream_reader(provider)
