"""No document, however odd, gives anything but a turn that can be answered, or BadCall."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import BadCall
from sandbox.providers import encode_answers, read_turn, stream_reader
from sandbox.providers.envelope import Answer, Provider, Text, Turn
from sandbox.providers.plain import JsonObject
from sandbox.wire import Json
from tests.unit.providers.sdk import PROVIDERS

KEYS = st.sampled_from([
    *("type", "output", "choices", "message", "content", "parts", "steps", "candidates", "role"),
    *("functionCall", "function", "tool_calls", "id", "call_id", "name", "arguments", "input"),
])  # fmt: skip
WORDS = st.sampled_from([
    *("function_call", "tool_use", "text", "message", "assistant", "custom", "shell_call", "f"),
    *("function_result", "model_output", "", "{}"),
])  # fmt: skip
DOCUMENTS: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


def turn_of(document: Json, provider: Provider | None) -> Turn | None:
    try:
        return read_turn(document, provider)
    except BadCall:
        return None


@pytest.mark.slow
@given(document=DOCUMENTS, provider=st.none() | st.sampled_from(PROVIDERS))
def test_any_json_is_refused_or_each_of_its_calls_is_answered(
    document: Json, provider: Provider | None
) -> None:
    turn = turn_of(document, provider)
    answers = [Answer(call=call, parts=(Text("a sign"),)) for call in turn.calls] if turn else []

    messages = json.dumps(encode_answers(turn, answers)) if turn else ""

    assert messages.count("a sign") == len(answers)


EVENT_KINDS: dict[Provider, list[JsonObject]] = {
    "openai": [
        {"type": "response.output_item.added"},
        {"type": "response.function_call_arguments.delta", "delta": "{"},
        {"type": "response.function_call_arguments.done"},
        {"type": "response.completed"},
    ],
    "openai-chat": [{}],
    "anthropic": [
        {"type": "message_start"},
        {"type": "content_block_start"},
        {"type": "content_block_delta"},
        {"type": "message_stop"},
    ],
    "gemini": [{}],
    "gemini-interactions": [
        {"event_type": "step.start"},
        {"event_type": "step.delta"},
        {"event_type": "interaction.completed", "interaction": {}},
    ],
    "mcp": [{"method": "tools/call"}],
}
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("index", "output_index"), st.integers(0, 2)),
        **dict.fromkeys(("item", "content_block", "step", "delta", "response"), DOCUMENTS),
        **dict.fromkeys(("candidates", "choices", "message", "params", "interaction"), DOCUMENTS),
    },
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[Provider, list[JsonObject]]:
    """Give events with the providers' names and members, and anything at all in them."""
    provider = draw(st.sampled_from(PROVIDERS))
    kinds = draw(st.lists(st.sampled_from(EVENT_KINDS[provider]), max_size=6))
    return provider, [{**draw(MEMBERS), **kind} for kind in kinds]


@pytest.mark.slow
@given(stream=streams())
def test_any_events_are_read_or_refused(stream: tuple[Provider, list[JsonObject]]) -> None:
    provider, events = stream
    reader = stream_reader(provider)
    try:
        for event in events:
            reader.feed(event)
        turn = reader.turn()
    except BadCall:
        turn = Turn(provider=provider, calls=(), history=())

    assert json.loads(json.dumps(turn.history)) == list(turn.history)
