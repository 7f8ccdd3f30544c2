"""Anthropic's stream: the blocks of a message, each begun, lengthened and ended."""

from dataclasses import replace
from typing import Final

from sandbox.providers import anthropic
from sandbox.providers.envelope import Turn
from sandbox.providers.plain import JsonObject, object_from, plain, refuse, text_or

__all__ = ["AnthropicReader"]

_GROWING: Final = {"text_delta": "text", "thinking_delta": "thinking"}
"""Deltas that lengthen a member of a block."""


class AnthropicReader:
    """Gathers the blocks of a message by their index."""

    def __init__(self) -> None:
        """Start without blocks."""
        self._blocks: dict[int, JsonObject] = {}
        self._inputs: dict[int, str] = {}
        self._message: JsonObject = {}
        self._ended = False

    def feed(self, event: object) -> None:
        """Take the next event."""
        match plain(event):
            case {"type": "message_start", "message": dict(message)}:
                self._message = message
            case {"type": "content_block_start", "index": int(index), "content_block": dict(block)}:
                self._blocks[index] = block
            case {"type": "content_block_delta", "index": int(index), "delta": dict(delta)}:
                self._grow(index, delta)
            case {"type": "message_delta", "delta": dict(delta)}:
                self._message |= delta
            case {"type": "message_stop"}:
                self._ended = True
            case {"type": "error", "error": error}:
                refuse(f"the stream has failed: {str(error)[:1000]}")
            case _:
                pass

    def turn(self) -> Turn:
        """Give the turn."""
        if not self._ended:
            refuse("the response has not come to its end")
        broken = {
            text_or(self._blocks[index].get("id")): text
            for index, text in self._inputs.items()
            if not self._put_input(self._blocks[index], text)
        }
        content = [self._blocks[index] for index in sorted(self._blocks)]
        turn = anthropic.read({**self._message, "content": list(content)})
        calls = (
            replace(call, arguments=broken.get(call.id, call.arguments)) for call in turn.calls
        )
        return replace(turn, calls=tuple(calls))

    def _grow(self, index: int, delta: JsonObject) -> None:
        block, kind = self._blocks.setdefault(index, {}), text_or(delta.get("type"))
        match delta:
            case {"partial_json": str(text)}:
                self._inputs[index] = self._inputs.get(index, "") + text
            case {"signature": signature}:
                block["signature"] = signature
            case {"citation": citation}:
                known = block.get("citations")
                block["citations"] = [*(known if isinstance(known, list) else []), citation]
            case _ if kind in _GROWING:
                member = _GROWING[kind]
                block[member] = text_or(block.get(member)) + text_or(delta.get(member))
            case _:
                # A kind of block that is not known here, such as a compaction: its last word.
                block.update({name: value for name, value in delta.items() if name != "type"})

    def _put_input(self, block: JsonObject, text: str) -> bool:
        """Put the input where the API wants an object back, whatever the model wrote."""
        members = object_from(text)
        if text or members is None:
            block["input"] = {"INVALID_JSON": text} if members is None else members
        return members is not None
