"""Anthropic Messages: an assistant's blocks with calls, one user message with all answers."""

from collections.abc import Sequence
from typing import Final

from sandbox.providers.definitions import Prepared
from sandbox.providers.envelope import Answer, Data, File, Image, Part, Text, ToolCall, Turn
from sandbox.providers.parts import (
    IMAGES,
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
    text_or,
    without_nulls,
)
from sandbox.wire import Json

__all__ = ["encode", "read", "tools"]

_PDF: Final = frozenset({"application/pdf"})
_NOTHING: Final = frozenset[str]()


def read(document: Json) -> Turn:
    """Read a message or its list of content blocks. Tools that the provider runs are not ours."""
    blocks = [_history_block(block) for block in _blocks(document) if not _is_empty(block)]
    calls = tuple(_call(block) for block in blocks if block.get("type") == "tool_use")
    history: tuple[Json, ...] = ({"role": "assistant", "content": list[Json](blocks)},)
    return Turn(
        provider="anthropic",
        calls=calls,
        history=history if blocks else (),
        request=_request(document),
    )


def _blocks(document: Json) -> list[JsonObject]:
    match document:
        case {"content": str(words)}:
            return [{"type": "text", "text": words}]
        case {"content": content}:
            listed = as_list(content, "the message's content")
        case list():
            listed = document
        case {"type": str(kind)} if kind != "message":
            listed = [document]
        case _:
            return refuse("it is no message of Anthropic's: it has no content")
    return [as_object(block, "a content block") for block in listed]


def _is_empty(block: JsonObject) -> bool:
    """Say whether it is a text of nothing but space, which the API sends but does not take."""
    return block.get("type") == "text" and not text_or(block.get("text")).strip()


def _history_block(block: JsonObject) -> JsonObject:
    return without_nulls(block, "parsed_output")


def _request(document: Json) -> JsonObject:
    match document:
        case {"container": {"id": str(container)}}:
            return {"container": container}
        case _:
            return {}


def _call(block: JsonObject) -> ToolCall:
    match block:
        case {"id": str(call_id), "name": str(name)}:
            given = block.get("input", {})
        case _:
            return refuse("a tool_use block has no id or no name")
    toolset = block.get("toolset_name")
    return ToolCall(
        id=call_id,
        name=name,
        arguments=given if isinstance(given, str) else arguments_from(given, "an input"),
        carried={} if toolset is None else {"toolset_name": toolset},
    )


def encode(turn: Turn, answers: Sequence[Answer]) -> tuple[Json, ...]:
    """Write one user message with a tool_result for each call; nothing where there is no call."""
    check_pairs(turn, answers)
    results: list[Json] = [_result(answer) for answer in answers]
    return ({"role": "user", "content": results},) if results else ()


def _result(answer: Answer) -> JsonObject:
    content = _content(answer)
    return {
        "type": "tool_result",
        "tool_use_id": answer.call.id,
        **answer.call.carried,
        **({"content": content} if content else {}),
        **({"is_error": True} if answer.is_error else {}),
    }


def _content(answer: Answer) -> str | list[Json]:
    # The API refuses an error with anything but text in it, and one with nothing in it.
    images, files = (_NOTHING, _NOTHING) if answer.is_error else (IMAGES, _PDF)
    parts = media(spoken(answer), images=images, files=files)
    words = joined(parts)
    if words is not None:
        return words if words.strip() or not answer.is_error else "Error"
    return [_block(part) for part in parts if part != Text("")]


def _block(part: Part) -> JsonObject:
    match part:
        case Text() | Data():
            return {"type": "text", "text": text_of(part)}
        case Image():
            return {"type": "image", "source": _source(part)}
        case File():
            return {"type": "document", "source": _source(part), "title": part.name}


def _source(part: Image | File) -> JsonObject:
    return {"type": "base64", "media_type": kind_of(part), "data": base64_text(part.data)}


def tools(prepared: Sequence[Prepared]) -> list[Json]:
    """Write the tools."""
    return [_tool(each) for each in prepared]


def _tool(each: Prepared) -> JsonObject:
    return {
        "name": each.name,
        "description": each.description,
        "input_schema": each.parameters,
        **({"strict": True} if each.strict else {}),
    }
