"""OpenAI Responses: output items with calls, input items with answers."""

from collections.abc import Sequence
from typing import Final

from sandbox.providers.definitions import Prepared
from sandbox.providers.envelope import Answer, Data, File, Image, Part, Text, ToolCall, Turn
from sandbox.providers.parts import (
    DOCUMENTS,
    IMAGES,
    check_pairs,
    data_url,
    joined,
    media,
    refused,
    spoken,
    text_of,
)
from sandbox.providers.plain import (
    JsonObject,
    as_list,
    as_object,
    as_text,
    refuse,
    text_or,
    without_nulls,
)
from sandbox.wire import Json

__all__ = ["OUTPUT_OF", "encode", "read", "tools"]

OUTPUT_OF: Final = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "shell_call": "shell_call_output",
    "apply_patch_call": "apply_patch_call_output",
}
"""The calls that are ours to answer, each with the item that answers it."""

_CALLS: Final = list(OUTPUT_OF)
_OUTPUTS: Final = list(OUTPUT_OF.values())
_NOTHING: Final = frozenset[str]()


def read(document: Json) -> Turn:
    """Read a response, its list of output items, or one item.

    A call that the provider has answered itself, as in its own shell containers, is none of
    ours. A custom tool's text is the argument "input"; a shell call has the name "shell" and the
    members of its action as arguments; a patch has the name "apply_patch" and "operation".
    """
    items = [_history_item(as_object(item, "an output item")) for item in _items(document)]
    answered = [item.get("call_id") for item in items if item.get("type") in _OUTPUTS]
    calls = tuple(
        _call(item)
        for item in items
        if item.get("type") in _CALLS and item.get("call_id") not in answered
    )
    return Turn(provider="openai", calls=calls, history=tuple(items))


def _items(document: Json) -> list[Json]:
    match document:
        case list():
            return document
        case {"output": output}:
            return as_list(output, "the response's output")
        case {"type": str()}:
            return [document]
        case _:
            return refuse("it is no response of OpenAI's: it has no output")


def _history_item(item: JsonObject) -> JsonObject:
    """Leave out what an SDK adds; reasoning, signatures and unknown items stay as they are."""
    kept = without_nulls(item, "parsed_arguments")
    match kept:
        case {"type": "message", "content": list(content)}:
            parts = [without_nulls(part, "parsed") if isinstance(part, dict) else part
                     for part in content]  # fmt: skip
            return {**kept, "content": parts}
        case _:
            return kept


def _call(item: JsonObject) -> ToolCall:
    kind = text_or(item["type"])
    carried: JsonObject = {"type": OUTPUT_OF[kind]}
    if "caller" in item:
        carried["caller"] = item["caller"]
    return ToolCall(
        id=as_text(item.get("call_id"), f"the call_id of a {kind}"),
        name=_name(kind, item),
        arguments=_arguments(kind, item),
        namespace=text_or(item.get("namespace")),
        carried=carried,
    )


def _name(kind: str, item: JsonObject) -> str:
    if kind in {"shell_call", "apply_patch_call"}:
        return kind.removesuffix("_call")
    return as_text(item.get("name"), f"the name of a {kind}")


def _arguments(kind: str, item: JsonObject) -> str | JsonObject:
    match kind:
        case "custom_tool_call":
            return {"input": item.get("input", "")}
        case "shell_call":
            return as_object(item.get("action"), "the action of a shell call")
        case "apply_patch_call":
            return {"operation": item.get("operation")}
        case _:
            arguments = item.get("arguments")
            # Models that call without arguments send nothing between the quotes.
            return arguments if isinstance(arguments, dict) else text_or(arguments) or "{}"


def encode(turn: Turn, answers: Sequence[Answer]) -> tuple[Json, ...]:
    """Write one item for each call. An error is a text that begins with "Error"."""
    check_pairs(turn, answers)
    return tuple(_item(answer) for answer in answers)


def _item(answer: Answer) -> JsonObject:
    carried = dict(answer.call.carried)
    kind = text_or(carried.pop("type", None), "function_call_output")
    item: JsonObject = {"type": kind, "call_id": answer.call.id, **carried}
    match kind:
        case "shell_call_output":
            return {**item, "output": [_shell_output(answer)]}
        case "apply_patch_call_output":
            status = "failed" if answer.is_error else "completed"
            return {**item, "status": status, "output": _words(answer)}
        case _:
            return {**item, "output": _output(answer)}


def _shell_output(answer: Answer) -> JsonObject:
    words, failed = _words(answer), answer.is_error
    return {
        "stdout": "" if failed else words,
        "stderr": words if failed else "",
        "outcome": {"type": "exit", "exit_code": int(failed)},
    }


def _words(answer: Answer) -> str:
    return joined(media(spoken(answer), images=_NOTHING, files=_NOTHING)) or ""


def _output(answer: Answer) -> Json:
    parts = refused(spoken(answer)) if answer.is_error else spoken(answer)
    sendable = media(parts, images=IMAGES, files=DOCUMENTS)
    words = joined(sendable)
    return [_content(part) for part in sendable] if words is None else words


def _content(part: Part) -> JsonObject:
    match part:
        case Text() | Data():
            return {"type": "input_text", "text": text_of(part)}
        case Image():
            return {"type": "input_image", "image_url": data_url(part), "detail": "auto"}
        case File():
            return {"type": "input_file", "filename": part.name, "file_data": data_url(part)}


def tools(prepared: Sequence[Prepared]) -> list[Json]:
    """Write the tools, those of one namespace together, where its first one stands."""
    written: list[Json] = []
    inside: dict[str, list[Json]] = {}
    for each in prepared:
        if each.namespace and each.namespace not in inside:
            inside[each.namespace] = []
            written.append(_namespace(each.namespace, inside[each.namespace]))
        inside.get(each.namespace, written).append(_tool(each))
    return written


def _namespace(name: str, members: list[Json]) -> JsonObject:
    described = f"Tools of {name}."
    return {"type": "namespace", "name": name, "description": described, "tools": members}


def _tool(each: Prepared) -> JsonObject:
    return {
        "type": "function",
        "name": each.name,
        "description": each.description,
        "parameters": each.parameters,
        "strict": each.strict,
    }
