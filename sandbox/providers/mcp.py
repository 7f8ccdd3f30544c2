"""The Model Context Protocol: a tools/call request, its result."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from sandbox.providers.definitions import Prepared
from sandbox.providers.envelope import Answer, Data, File, Image, Part, Text, ToolCall, Turn
from sandbox.providers.parts import (
    base64_text,
    check_pairs,
    kind_of,
    spoken,
    text_of,
    text_of_file,
)
from sandbox.providers.plain import JsonObject, arguments_from, as_object, refuse
from sandbox.wire import Json

__all__ = ["encode", "read", "tools"]

_SCHEME: Final = "tool-result:///"
"""The protocol wants a URI for each file, and any scheme will do."""


def read(document: Json) -> Turn:
    """Read a request or its params; the history is empty, the client keeps it.

    The call has the id of the JSON-RPC request, as text; "" where only the params are given.
    """
    match document:
        case {"method": str(method)} if method != "tools/call":
            return refuse(f"it is a request for {method[:100]!r}, not for tools/call")
        case {"params": dict(params), "id": request_id}:
            call = _call(params, request_id)
        case {"params": dict(params)} | ({"name": str()} as params):
            call = _call(as_object(params, "the params"), None)
        case _:
            return refuse("it is no tools/call request: it has no params")
    return Turn(provider="mcp", calls=(call,), history=())


def _call(params: JsonObject, request_id: Json) -> ToolCall:
    name, arguments = params.get("name"), params.get("arguments")
    return ToolCall(
        id=str(request_id) if isinstance(request_id, int | str) else "",
        name=name if isinstance(name, str) else refuse("a tools/call request has no name"),
        arguments={} if arguments is None else arguments_from(arguments, "the arguments"),
    )


def encode(turn: Turn, answers: Sequence[Answer]) -> tuple[Json, ...]:
    """Write the result for each call, without the JSON-RPC around it."""
    check_pairs(turn, answers)
    return tuple(_result(answer) for answer in answers)


def _result(answer: Answer) -> JsonObject:
    content: list[Json] = [_content(part) for part in spoken(answer)]
    return {"content": content, **_structured(answer), "isError": answer.is_error}


def _structured(answer: Answer) -> JsonObject:
    """Give the value beside its text, as clients check it against the output schema.

    Only an object: until 2026-07-28 the protocol takes nothing else there.
    """
    match answer.parts:
        case (Data(value),) if isinstance(value, dict) and not answer.is_error:
            return {"structuredContent": value}
        case _:
            return {}


def _content(part: Part) -> JsonObject:
    match part:
        case Text() | Data():
            return {"type": "text", "text": text_of(part)}
        case Image():
            return {"type": "image", **_blob(part)}
        case File() if kind_of(part).startswith("audio/"):
            return {"type": "audio", **_blob(part)}
        case File():
            return {"type": "resource", "resource": _resource(part)}


def _blob(part: Image | File) -> JsonObject:
    return {"data": base64_text(part.data), "mimeType": kind_of(part)}


def _resource(part: File) -> JsonObject:
    words = text_of_file(part)
    content = {"blob": base64_text(part.data)} if words is None else {"text": words}
    return {"uri": _SCHEME + quote(part.name), "mimeType": kind_of(part), **content}


def tools(prepared: Sequence[Prepared]) -> list[Json]:
    """Write the tools, with an output schema where it is of an object."""
    return [_tool(each) for each in prepared]


def _tool(each: Prepared) -> JsonObject:
    returns = each.returns or {}
    return {
        "name": each.name,
        "description": each.description,
        "inputSchema": each.parameters,
        **({"outputSchema": returns} if returns.get("type") == "object" else {}),
    }
