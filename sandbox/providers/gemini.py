"""Gemini generateContent: a model's parts with calls, one user content with all answers."""

from collections.abc import Mapping, Sequence
from typing import Final

from sandbox.providers.definitions import Prepared
from sandbox.providers.envelope import Answer, Data, File, Image, Part, Text, ToolCall, Turn
from sandbox.providers.parts import base64_text, check_pairs, joined, kind_of, media
from sandbox.providers.plain import (
    JsonObject,
    arguments_from,
    as_list,
    as_object,
    as_text,
    refuse,
    text_or,
)
from sandbox.wire import Json

__all__ = ["encode", "parts_of", "read", "tools"]

_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/webp"})
_FILES: Final = frozenset({"application/pdf", "text/plain"})

_USERS_OWN: Final = {"args", "response", "partMetadata"}
"""Members whose keys are not the API's."""

_WITHOUT_PARTS: Final = {
    *("role", "finishReason", "finish_reason"),
    *("promptFeedback", "prompt_feedback", "usageMetadata", "usage_metadata"),
}
"""Members by which a response, a candidate or a content is known that has nothing in it."""


def read(document: Json) -> Turn:
    """Read a response (its first candidate), a candidate, a content, or its list of parts.

    Python's spelling of the members (function_call) is read like the API's (functionCall), which
    the history always has. A call without an id has the id "".
    """
    parts = parts_of(document)
    calls = tuple(
        _call(as_object(part["functionCall"], "a functionCall"))
        for part in parts
        if "functionCall" in part
    )
    content: JsonObject = {"role": "model", "parts": list[Json](parts)}
    return Turn(provider="gemini", calls=calls, history=(content,) if parts else ())


def _parts(document: Json) -> list[Json]:
    """Give the parts as they are: none where a prompt or an answer was blocked."""
    match document:
        case {"candidates": candidates}:
            return _parts(candidates[0]) if isinstance(candidates, list) and candidates else []
        case {"content": content}:
            return _parts(content) if content else []
        case {"parts": parts}:
            return as_list(parts or [], "the content's parts")
        case dict() if document.keys() & _WITHOUT_PARTS:
            return []
        case list():
            return document
        case _:
            return refuse("it is no response of Gemini's: it has no candidates, content or parts")


def parts_of(document: Json) -> list[JsonObject]:
    """Give the parts of a response's first candidate, in the API's spelling."""
    return [as_object(_in_api_spelling(part), "a part") for part in _parts(document)]


def _in_api_spelling(value: Json) -> Json:
    """Write the API's members as the API does (functionCall), and leave out those that are null."""
    match value:
        case dict():
            named = {_camel(name): member for name, member in value.items() if member is not None}
            return {
                name: member if name in _USERS_OWN else _in_api_spelling(member)
                for name, member in named.items()
            }
        case list():
            return [_in_api_spelling(each) for each in value]
        case _:
            return value


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _call(call: JsonObject) -> ToolCall:
    name = as_text(call.get("name"), "the name of a functionCall")
    arguments = arguments_from(call.get("args", {}), "the args of a functionCall")
    return ToolCall(id=text_or(call.get("id")), name=name, arguments=arguments)


def encode(turn: Turn, answers: Sequence[Answer]) -> tuple[Json, ...]:
    """Write one user content with a part for each call, in order; nothing where there is no call.

    `response` has "output", or "error"; "partial" beside it; media lie beside the response and
    stand in it as {"$ref": name}.
    """
    check_pairs(turn, answers)
    parts: list[Json] = [{"functionResponse": _response(answer)} for answer in answers]
    return ({"role": "user", "parts": parts},) if parts else ()


def _response(answer: Answer) -> JsonObject:
    named = _named(media(answer.parts, images=_IMAGES, files=_FILES))
    blobs: list[Json] = [
        {"inlineData": _blob(name, part)}
        for name, part in named.items()
        if isinstance(part, Image | File)
    ]
    return {
        **({"id": answer.call.id} if answer.call.id else {}),
        "name": answer.call.name,
        "response": _error(answer, named) if answer.is_error else _output(answer, named),
        **({"parts": blobs} if blobs else {}),
    }


def _named(parts: Sequence[Part]) -> dict[str, Part]:
    """Give each part a name of its own, in order; numbers go before them only if they must."""
    wanted = [
        part.name if isinstance(part, File) else f"part-{number}{_suffix(part)}"
        for number, part in enumerate(parts, start=1)
    ]
    if len(set(wanted)) < len(wanted):
        wanted = [f"{number}-{name}" for number, name in enumerate(wanted, start=1)]
    return dict(zip(wanted, parts, strict=True))


def _suffix(part: Part) -> str:
    return "." + kind_of(part).partition("/")[2] if isinstance(part, Image) else ""


def _blob(name: str, part: Image | File) -> JsonObject:
    return {"mimeType": kind_of(part), "data": base64_text(part.data), "displayName": name}


def _output(answer: Answer, named: Mapping[str, Part]) -> JsonObject:
    values = [_value(name, part) for name, part in named.items()]
    output: JsonObject = {"output": values[0] if len(values) == 1 else values}
    return output | _partial(answer)


def _error(answer: Answer, named: Mapping[str, Part]) -> JsonObject:
    words = joined([part for part in named.values() if isinstance(part, Text | Data)])
    pictures = [
        _value(name, part) for name, part in named.items() if isinstance(part, Image | File)
    ]
    shown: JsonObject = {"output": list(pictures)} if pictures else {}
    return {"error": words or "it failed", **shown} | _partial(answer)


def _partial(answer: Answer) -> JsonObject:
    return {"partial": list(answer.partial)} if answer.partial else {}


def _value(name: str, part: Part) -> Json:
    if isinstance(part, Text):
        return part.text
    return part.value if isinstance(part, Data) else {"$ref": name}


def tools(prepared: Sequence[Prepared]) -> list[Json]:
    """Write one tool with all the declarations; nothing where there are none."""
    declarations: list[Json] = [_declaration(each) for each in prepared]
    return [{"functionDeclarations": declarations}] if declarations else []


def _declaration(each: Prepared) -> JsonObject:
    return {
        "name": each.name,
        "description": each.description,
        "parametersJsonSchema": each.parameters,
    }
