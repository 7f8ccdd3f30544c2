"""What a model said, in each provider's shape."""

import pytest

from sandbox.providers.envelope import Provider
from sandbox.tools.spoken import reason_of, text_in_event, text_of, user_message
from sandbox.wire import Json


@pytest.mark.parametrize(
    ("history", "text"),
    [
        pytest.param([], "", id="nothing"),
        pytest.param([{"type": "reasoning", "content": [{"text": "hm"}]}], "", id="a thought"),
        pytest.param(
            [
                {"type": "message", "content": [{"type": "output_text", "text": "a"}]},
                {"type": "function_call", "arguments": "{}"},
                {"type": "message", "content": [{"type": "output_text", "text": "b"}]},
            ],
            "ab",
            id="items of OpenAI's",
        ),
        pytest.param([{"role": "assistant", "content": "a"}], "a", id="a message of Chat's"),
        pytest.param([{"role": "assistant", "content": None}], "", id="a message without words"),
        pytest.param(
            [{"role": "assistant", "content": [{"thinking": "hm"}, {"type": "text", "text": "a"}]}],
            "a",
            id="blocks of Anthropic's",
        ),
        pytest.param(
            [{"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "a"}]}],
            "a",
            id="parts of Gemini's",
        ),
        pytest.param(
            [
                {"type": "thought", "summary": [{"type": "text", "text": "hm"}]},
                {"type": "model_output", "content": [{"type": "text", "text": "a"}]},
                {"type": "function_call", "id": "x", "name": "f", "arguments": {"a": 1}},
            ],
            "a",
            id="steps of Gemini's",
        ),
        pytest.param([None, 5, "x", {"content": [None, {"text": 5}]}], "", id="odd things"),
    ],
)
def test_words_are_found_and_thoughts_are_not(history: list[Json], text: str) -> None:
    assert text_of(history) == text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        pytest.param({"type": "response.output_text.delta", "delta": "a"}, "a", id="Responses"),
        pytest.param({"type": "response.reasoning_text.delta", "delta": "a"}, "", id="a thought"),
        pytest.param({"choices": [{"delta": {"content": "a"}}]}, "a", id="Chat"),
        pytest.param({"choices": []}, "", id="Chat's usage"),
        pytest.param(
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}},
            "a",
            id="Anthropic",
        ),
        pytest.param(
            {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "a"}},
            "",
            id="Anthropic's thought",
        ),
        pytest.param(
            {"candidates": [{"content": {"parts": [{"text": "a"}, {"text": "b"}]}}]},
            "ab",
            id="Gemini",
        ),
        pytest.param(
            {"candidates": [{"content": {"parts": [{"text": "a", "thought": True}]}}]},
            "",
            id="Gemini's thought",
        ),
    ],
)
def test_an_event_brings_its_words(event: Json, text: str) -> None:
    assert text_in_event(event) == text


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        pytest.param({"output": [], "status": "incomplete"}, "incomplete", id="Responses"),
        pytest.param({"response": {"status": "completed"}}, "completed", id="its event"),
        pytest.param({"choices": [{"finish_reason": "length"}]}, "length", id="Chat"),
        pytest.param({"choices": [{"finish_reason": None}]}, "", id="Chat's event"),
        pytest.param({"stop_reason": "max_tokens"}, "max_tokens", id="Anthropic"),
        pytest.param({"delta": {"stop_reason": "end_turn"}}, "end_turn", id="its event"),
        pytest.param({"candidates": [{"finishReason": "MAX_TOKENS"}]}, "MAX_TOKENS", id="Gemini"),
        pytest.param({"candidates": [{"finish_reason": "STOP"}]}, "STOP", id="Gemini in Python"),
        pytest.param(
            {"promptFeedback": {"blockReason": "SAFETY"}}, "SAFETY", id="a blocked prompt"
        ),
        pytest.param(
            {"steps": [], "status": "requires_action"}, "requires_action", id="Interactions"
        ),
        pytest.param({"interaction": {"status": "incomplete"}}, "incomplete", id="its event"),
        pytest.param({}, "", id="nothing"),
    ],
)
def test_the_reason_for_the_end_is_the_providers_word(document: Json, reason: str) -> None:
    assert reason_of(document) == reason


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ("openai", {"role": "user", "content": "hi"}),
        ("anthropic", {"role": "user", "content": "hi"}),
        ("gemini", {"role": "user", "parts": [{"text": "hi"}]}),
        (
            "gemini-interactions",
            {"type": "user_input", "content": [{"type": "text", "text": "hi"}]},
        ),
    ],
)
def test_a_text_becomes_a_users_message(provider: Provider, message: Json) -> None:
    assert user_message(provider, "hi") == message
