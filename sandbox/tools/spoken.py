"""What a model said besides its calls, in each provider's shape: its words, and why it ended."""

from collections.abc import Iterable, Sequence
from typing import Final

from sandbox.providers.envelope import Provider
from sandbox.wire import Json

__all__ = ["CUT_OFF", "PAUSED", "reason_of", "text_in_event", "text_of", "user_message"]

CUT_OFF: Final = frozenset(
    {"incomplete", "length", "max_tokens", "MAX_TOKENS", "model_context_window_exceeded"}
)
"""Reasons for which a response has not all that the model had to say."""
PAUSED: Final = frozenset({"pause_turn", "compaction"})
"""Reasons for which Anthropic wants the turn back as it is, to go on with it."""

_SPOKEN: Final = frozenset({"message", "model_output"})
"""Items and steps with words for the user, where these have types."""


def user_message(provider: Provider, text: str) -> Json:
    """Give a user's text as the first message of a conversation."""
    if provider == "gemini":
        return {"role": "user", "parts": [{"text": text}]}
    if provider == "gemini-interactions":
        return {"type": "user_input", "content": [{"type": "text", "text": text}]}
    return {"role": "user", "content": text}


def text_of(history: Sequence[Json]) -> str:
    """Give the words in a turn's history, without its thoughts."""
    return "".join(_text_in_message(message) for message in history)


def _text_in_message(message: Json) -> str:
    match message:
        case {"type": kind} if kind not in _SPOKEN:
            return ""
        case {"content": str(text)}:
            return text
        case {"content": list(parts)} | {"parts": list(parts)}:
            return _joined(parts)
        case _:
            return ""


def _joined(parts: Iterable[Json]) -> str:
    return "".join(_text_in_part(part) for part in parts)


def _text_in_part(part: Json) -> str:
    match part:
        case {"thought": True}:
            return ""
        case {"text": str(text)}:
            return text
        case _:
            return ""


def text_in_event(event: Json) -> str:
    """Give the words that one event of a stream brings."""
    match event:
        case {"type": "response.output_text.delta", "delta": str(text)}:
            return text
        case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": str(text)}}:
            return text
        case {"event_type": "step.delta", "delta": {"type": "text", "text": str(text)}}:
            return text
        case {"choices": [{"delta": {"content": str(text)}}, *_]}:
            return text
        case {"candidates": [{"content": {"parts": list(parts)}}, *_]}:
            return _joined(parts)
        case _:
            return ""


def reason_of(document: Json) -> str:
    """Give the reason for which a response ended, from it or from one event; "" if it says none."""
    match document:
        case (
            {"response": {"status": str(reason)}}
            | {"output": _, "status": str(reason)}
            | {"interaction": {"status": str(reason)}}
            | {"steps": _, "status": str(reason)}
            | {"choices": [{"finish_reason": str(reason)}, *_]}
            | {"stop_reason": str(reason)}
            | {"delta": {"stop_reason": str(reason)}}
            | {"candidates": [{"finishReason": str(reason)}, *_]}
            | {"candidates": [{"finish_reason": str(reason)}, *_]}
            | {"promptFeedback": {"blockReason": str(reason)}}
            | {"prompt_feedback": {"block_reason": str(reason)}}
        ):
            return reason
        case _:
            return ""
