"""OpenAI's Responses API, as far as function calling goes."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from tests.servers.base import Event, Object, ProviderServer, Refused, Says, objects, pieces

__all__ = ["ResponsesServer", "check_function"]

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_function(function: Object) -> None:
    """Refuse a declaration that OpenAI refuses."""
    if not NAME.fullmatch(function["name"]):
        message = f"Invalid 'tools[0].name': {function['name']!r}"
        raise Refused(message)
    if function.get("strict"):
        check_strict(function["name"], function["parameters"])


def check_strict(name: str, schema: object) -> None:
    """Refuse a schema that strict mode does not take: open objects, optional properties."""
    if isinstance(schema, list):
        for each in cast("list[object]", schema):
            check_strict(name, each)
    if not isinstance(schema, dict):
        return
    members = cast("Object", schema)
    for each in members.values():
        check_strict(name, each)
    if members.get("type") == "object":
        check_closed(name, members)


def check_closed(name: str, schema: Object) -> None:
    if schema.get("additionalProperties") is not False:
        message = f"Invalid schema for function '{name}': 'additionalProperties' must be false"
        raise Refused(message)
    if sorted(schema.get("required", [])) != sorted(schema.get("properties", {})):
        message = f"Invalid schema for function '{name}': 'required' must have every key"
        raise Refused(message)


class ResponsesServer(ProviderServer):
    """Keeps nothing between requests, as with store=False: reasoning must come back."""

    def __init__(self, *script: Any) -> None:
        super().__init__(*script)
        self._sent: dict[str, Object] = {}

    def check(self, body: Object) -> None:
        for tool in body.get("tools", []):
            if tool["type"] == "function":
                check_function(tool)
        items = objects(body["input"])
        self._check_pairs(items)
        before: Object = {}
        for item in items:
            self._check_own(before, item)
            before = item

    def _check_pairs(self, items: list[Object]) -> None:
        """Each call has one output after it, and each output a call."""
        calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
        outputs = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
        for call_id in Counter(calls) - Counter(outputs):
            message = f"No tool output found for function call {call_id}."
            raise Refused(message)
        for call_id in Counter(outputs) - Counter(calls):
            message = f"No tool call found for function call output with call_id {call_id}."
            raise Refused(message)

    def _check_own(self, before: Object, item: Object) -> None:
        """What this server sent comes back as it was, a first call after its reasoning."""
        sent = self._sent.get(item.get("id", ""))
        if sent is None:
            return
        if {key: item.get(key) for key in sent["item"]} != sent["item"]:
            message = f"Item '{item['id']}' is not what was sent: {item}"
            raise Refused(message)
        if sent["after"] and before.get("id") != sent["after"]:
            message = f"Item '{item['id']}' of type 'function_call' was provided without its"
            raise Refused(message + f" required 'reasoning' item: '{sent['after']}'.")

    def response(self, turn: Says) -> Object:
        output = self._output(turn)
        after = ""
        for item in output:
            self._sent[item["id"]] = {"item": item, "after": after}
            after = item["id"] if item["type"] == "reasoning" else ""
        status = "incomplete" if turn.is_cut_off else "completed"
        return {**self._head(), "status": status, "output": output}

    def _head(self) -> Object:
        return {
            "id": f"resp_{self.number}",
            "object": "response",
            "created_at": 1_790_000_000,
            "model": "test-model",
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }

    def _output(self, turn: Says) -> list[Object]:
        number = self.number
        output: list[Object] = []
        if turn.calls:
            thought: Object = {"encrypted_content": f"secret-{number}", "summary": []}
            output.append({"type": "reasoning", "id": f"rs_{number}", **thought})
        for index, call in enumerate(turn.calls):
            output.append(
                {
                    "type": "function_call",
                    "id": f"fc_{number}_{index}",
                    "call_id": call.id,
                    "name": call.name,
                    "arguments": call.text,
                    "status": "completed",
                }
            )
        if turn.text:
            part: Object = {"type": "output_text", "text": turn.text, "annotations": []}
            output.append(
                {
                    "type": "message",
                    "id": f"msg_{number}",
                    "role": "assistant",
                    "status": "completed",
                    "content": [part],
                }
            )
        return output

    def events(self, turn: Says) -> Iterator[Event]:
        response = self.response(turn)
        started: Object = {**self._head(), "status": "in_progress", "output": []}
        steps: list[Object] = [{"type": "response.created", "response": started}]
        for index, item in enumerate(response["output"]):
            steps += _item_steps(index, item)
        steps.append({"type": f"response.{response['status']}", "response": response})
        for number, step in enumerate(steps):
            yield Event({**step, "sequence_number": number}, name=step["type"])


def _item_steps(index: int, item: Object) -> Iterator[Object]:
    place = {"output_index": index, "item_id": item["id"]}
    yield {"type": "response.output_item.added", "output_index": index, "item": _empty(item)}
    if item["type"] == "function_call":
        kind = "response.function_call_arguments"
        for piece in pieces(item["arguments"]):
            yield {"type": f"{kind}.delta", "delta": piece, **place}
        yield {"type": f"{kind}.done", "arguments": item["arguments"], **place}
    if item["type"] == "message":
        text = item["content"][0]["text"]
        part: Object = {"content_index": 0, "logprobs": [], **place}
        for piece in pieces(text):
            yield {"type": "response.output_text.delta", "delta": piece, **part}
        yield {"type": "response.output_text.done", "text": text, **part}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _empty(item: Object) -> Object:
    match item["type"]:
        case "function_call":
            return {**item, "arguments": "", "status": "in_progress"}
        case "message":
            return {**item, "content": [], "status": "in_progress"}
        case _:
            return item
