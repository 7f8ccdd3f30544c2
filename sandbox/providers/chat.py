"""OpenAI Chat Completions: an assistant's message with calls, tool messages with answers."""

from collections.abc import Sequence
from typing import Final

from sandbox.providers.definitions import Prepared
from sandbox.providers.envelope import Answer, Data, File, Image, Part, Text, ToolCall, Turn
from sandbox.providers.parts import (
    IMAGES,
    check_pairs,
    data_url,
    joined,
    kind_of,
    media,
    refused,
    spoken,
)
from sandbox.providers.plain import (
    JsonObject,
    as_list,
    as_object,
    as_text,
    refuse,
    without_nulls,
)
from sandbox.wire import Json

__all__ = ["encode", "read", "tools"]

_FILES: Final = frozenset({"application/pdf"})


def read(document: Json) -> Turn:
    """Read a completion (its first choice), a choice, a message, or a list of tool calls.

    A custom tool's text is the argument "input".
    """
    message = _history_message(_message(document))
    calls = as_list(message.get("tool_calls", []), "the message's tool_calls")
    read_calls = tuple(_call(as_object(call, "a tool call")) for call in calls)
    return Turn(provider="openai-chat", calls=read_calls, history=(message,))


def _message(document: Json) -> JsonObject:
    match document:
        case {"choices": [first, *_]}:
            return _message(first)
        case {"message": dict(message)}:
            return message
        case {"role": "assistant"}:
            return as_object(document, "a message")
        case [{"message": dict(message)}, *_]:
            return message
        case list():
            return {"role": "assistant", "content": None, "tool_calls": document}
        case _:
            return refuse("it is no chat completion: it has no assistant's message")


def _history_message(message: JsonObject) -> JsonObject:
    """Leave out what an SDK adds, and of audio all but its name, as the API wants it back."""
    kept = without_nulls(message, "parsed")
    calls = kept.pop("tool_calls", None)
    audio = kept.get("audio")
    if isinstance(audio, dict):
        kept["audio"] = {"id": audio.get("id")}
    if calls:
        kept["tool_calls"] = [_history_call(call) for call in as_list(calls, "tool_calls")]
    return {"role": "assistant", "content": message.get("content")} | kept


def _history_call(call: Json) -> Json:
    match call:
        case {"function": dict(function)}:
            kept = without_nulls(as_object(call, "a tool call"), "index")
            kept["function"] = without_nulls(function, "parsed_arguments")
            return kept
        case _:
            return call


def _call(call: JsonObject) -> ToolCall:
    call_id = as_text(call.get("id"), "the id of a tool call")
    match call:
        case {"custom": {"name": str(name), "input": str(text)}}:
            return ToolCall(id=call_id, name=name, arguments={"input": text})
        case {"function": {"name": str(name), "arguments": str() | dict() as arguments}}:
            # Models that call without arguments send nothing between the quotes.
            return ToolCall(id=call_id, name=name, arguments=arguments or "{}")
        case {"function": {"name": str(name)}}:
            return ToolCall(id=call_id, name=name, arguments="{}")
        case _:
            return refuse("a tool call has neither a function with a name nor a custom tool")


def encode(turn: Turn, answers: Sequence[Answer]) -> tuple[Json, ...]:
    """Write one tool message for each call. An error is a text that begins with "Error".

    Tool messages carry words only: pictures and PDF files follow in one user message, which
    says of which call they are.
    """
    check_pairs(turn, answers)
    messages = tuple(_tool_message(answer) for answer in answers)
    shown = [part for answer in answers for part in _shown(answer)]
    return (*messages, {"role": "user", "content": shown}) if shown else messages


def _sendable(answer: Answer) -> list[Part]:
    parts = refused(spoken(answer)) if answer.is_error else spoken(answer)
    return media(parts, images=IMAGES, files=_FILES)


def _tool_message(answer: Answer) -> JsonObject:
    parts = [_mentioned(part) for part in _sendable(answer)]
    return {"role": "tool", "tool_call_id": answer.call.id, "content": joined(parts)}


def _mentioned(part: Part) -> Text | Data:
    if isinstance(part, Text | Data):
        return part
    name = part.name if isinstance(part, File) else "image"
    return Text(f"[{name}: {kind_of(part)}, {len(part.data)} bytes, in the user message below]")


def _shown(answer: Answer) -> list[Json]:
    parts = [part for part in _sendable(answer) if isinstance(part, Image | File)]
    if not parts:
        return []
    words = f"Given by the tool {answer.call.name} (call {answer.call.id}), not by the user:"
    return [{"type": "text", "text": words}, *(_content(part) for part in parts)]


def _content(part: Image | File) -> JsonObject:
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": data_url(part)}}
    return {"type": "file", "file": {"filename": part.name, "file_data": data_url(part)}}


def tools(prepared: Sequence[Prepared]) -> list[Json]:
    """Write the tools."""
    return [{"type": "function", "function": _function(each)} for each in prepared]


def _function(each: Prepared) -> JsonObject:
    return {
        "name": each.name,
        "description": each.description,
        "parameters": each.parameters,
        "strict": each.strict,
    }
