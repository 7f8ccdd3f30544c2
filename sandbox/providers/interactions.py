"""Gemini's Interactions API: steps with calls, one step with an answer for each."""

from collections.abc import Sequence
from typing import Final

from sandbox.providers.definitions import Prepared
from sandbox.providers.envelope import Answer, Data, File, Image, Part, Text, ToolCall, Turn
from sandbox.providers.parts import (
    DOCUMENTS,
    base64_text,
    check_pairs,
    joined,
    kind_of,
    media,
    spoken,
    text_of,
)
from sandbox.providers.plain import (
    JsonObject,
    arguments_from,
    as_list,
    as_object,
    refuse,
    without_nulls,
)
from sandbox.wire import Json

__all__ = ["encode", "read", "tools"]

_IMAGES: Final = frozenset(
    f"image/{kind}" for kind in ("png", "jpeg", "webp", "heic", "heif", "gif", "bmp", "tiff")
)
_FILES: Final = DOCUMENTS | {"text/csv"}


def read(document: Json) -> Turn:
    """Read an interaction, its list of steps, or one step.

    The history is for requests without previous_interaction_id: with it only the answers are sent.
    Calls that already have their result among the steps are not calls of this turn.
    """
    steps = [without_nulls(as_object(step, "a step")) for step in _steps(document)]
    answered = [step.get("call_id") for step in steps if step.get("type") == "function_result"]
    calls = tuple(
        _call(step)
        for step in steps
        if step.get("type") == "function_call" and step.get("id") not in answered
    )
    return Turn(provider="gemini-interactions", calls=calls, history=tuple(steps))


def _steps(document: Json) -> list[Json]:
    match document:
        case list():
            return document
        case {"steps": steps}:
            return as_list(steps or [], "the interaction's steps")
        case {"type": str()}:
            return [document]
        case _:
            return refuse("it is no interaction: it has no steps")


def _call(step: JsonObject) -> ToolCall:
    match step:
        case {"id": str(call_id), "name": str(name)}:
            arguments = step.get("arguments", {})
        case _:
            return refuse("a function_call step has no id or no name")
    if not isinstance(arguments, str):
        arguments = arguments_from(arguments, "the arguments")
    return ToolCall(id=call_id, name=name, arguments=arguments)


def encode(turn: Turn, answers: Sequence[Answer]) -> tuple[Json, ...]:
    """Write a function_result step for each call."""
    check_pairs(turn, answers)
    return tuple(_step(answer) for answer in answers)


def _step(answer: Answer) -> JsonObject:
    return {
        "type": "function_result",
        "call_id": answer.call.id,
        "name": answer.call.name,
        "result": _result(answer),
        **({"is_error": True} if answer.is_error else {}),
    }


def _result(answer: Answer) -> Json:
    parts = media(spoken(answer), images=_IMAGES, files=_FILES)
    value: Json = parts[0].value if len(parts) == 1 and isinstance(parts[0], Data) else None
    if isinstance(value, dict):
        return value
    words = joined(parts)
    return [_content(part) for part in parts] if words is None else words


def _content(part: Part) -> JsonObject:
    match part:
        case Text() | Data():
            return {"type": "text", "text": text_of(part)}
        case Image():
            return {"type": "image", **_blob(part)}
        case File():
            return {"type": "document", **_blob(part)}


def _blob(part: Image | File) -> JsonObject:
    return {"mime_type": kind_of(part), "data": base64_text(part.data)}


def tools(prepared: Sequence[Prepared]) -> list[Json]:
    """Write the tools."""
    return [_tool(each) for each in prepared]


def _tool(each: Prepared) -> JsonObject:
    return {
        "type": "function",
        "name": each.name,
        "description": each.description,
        "parameters": each.parameters,
    }
