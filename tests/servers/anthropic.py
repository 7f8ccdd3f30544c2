"""Anthropic's Messages API, as far as function calling goes."""

import json
from collections.abc import Iterator
from typing import Any

from tests.servers.base import Event, Object, ProviderServer, Refused, Says, objects, pieces

__all__ = ["AnthropicServer"]


class AnthropicServer(ProviderServer):
    """Wants all results in the next user message, before its text; thinking comes back unchanged.

    container: what each response names, and each later request must name.
    """

    def __init__(self, *script: Any, container: str = "") -> None:
        super().__init__(*script)
        self._sent: list[list[Object]] = []
        self._container = container

    def check(self, body: Object) -> None:
        if "max_tokens" not in body:
            message = "max_tokens: Field required"
            raise Refused(message)
        if self._container and self._sent and body.get("container") != self._container:
            message = "container_id is required when there are pending tool uses"
            raise Refused(message)
        messages = body["messages"]
        for index, message in enumerate(messages):
            if message["role"] == "assistant":
                self._check_turn(message["content"], index)
                after = [each["content"] for each in messages[index + 1 : index + 2]]
                self._check_results(message["content"], after[0] if after else None, index)

    def _check_turn(self, content: Any, index: int) -> None:
        """A turn of this server's is as it was sent, with its thinking and signature."""
        if _ids(content, "tool_use", "id") and content not in self._sent:
            message = f"messages.{index}: `thinking` blocks cannot be modified"
            raise Refused(message)

    @staticmethod
    def _check_results(content: Any, after: Any, index: int) -> None:
        asked = _ids(content, "tool_use", "id")
        answered = _ids(after, "tool_result", "tool_use_id")
        missing = [each for each in asked if each not in answered]
        if missing:
            message = (
                f"messages.{index}: `tool_use` ids were found without `tool_result` blocks"
                f" immediately after: {', '.join(missing)}."
            )
            raise Refused(message)
        if sorted(answered) != sorted(asked):
            message = f"messages.{index + 1}: each tool_use must have a single result: {answered}"
            raise Refused(message)
        kinds = [block["type"] for block in objects(after)]
        if kinds[: len(answered)] != ["tool_result"] * len(answered):
            message = f"messages.{index + 1}: `tool_result` blocks must come first"
            raise Refused(message)

    def error(self, message: str) -> Object:
        return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}

    def response(self, turn: Says) -> Object:
        content: list[Object] = []
        if turn.calls:
            thinking = {"thinking": "Let me see.", "signature": f"signed-{self.number}"}
            content.append({"type": "thinking", **thinking})
        if turn.text:
            content.append({"type": "text", "text": turn.text})
        content += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
            for call in turn.calls
        ]
        self._sent.append(content)
        return {**self._head(), "content": content, "stop_reason": _reason(turn)}

    def _head(self) -> Object:
        head: Object = {
            "id": f"msg_{self.number}",
            "type": "message",
            "role": "assistant",
            "model": "test-model",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        if self._container:
            expiry = "2026-12-01T00:00:00Z"
            head["container"] = {"id": self._container, "expires_at": expiry}
        return head

    def events(self, turn: Says) -> Iterator[Event]:
        blocks = self.response(turn)["content"]
        steps: list[Object] = [{"type": "message_start", "message": self._head()}]
        for index, block in enumerate(blocks):
            steps += _block_steps(index, block)
        delta = {"stop_reason": _reason(turn), "stop_sequence": None}
        steps.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 1}})
        steps.append({"type": "message_stop"})
        for step in steps:
            yield Event(step, name=step["type"])


def _reason(turn: Says) -> str:
    if turn.pauses:
        return "pause_turn"
    if turn.is_cut_off:
        return "max_tokens"
    return "tool_use" if turn.calls else "end_turn"


def _ids(content: Any, kind: str, member: str) -> list[str]:
    """Give the ids of all blocks of one kind."""
    return [block[member] for block in objects(content) if block["type"] == kind]


def _block_steps(index: int, block: Object) -> Iterator[Object]:
    start: Object
    match block["type"]:
        case "tool_use":
            start = {**block, "input": {}}
            text = json.dumps(block["input"])
            deltas = [{"type": "input_json_delta", "partial_json": each} for each in pieces(text)]
        case "thinking":
            start = {**block, "thinking": "", "signature": ""}
            thoughts = pieces(block["thinking"])
            deltas = [{"type": "thinking_delta", "thinking": each} for each in thoughts]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case _:
            start = {**block, "text": ""}
            deltas = [{"type": "text_delta", "text": each} for each in pieces(block["text"])]
    yield {"type": "content_block_start", "index": index, "content_block": start}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}
