"""OpenAI's streams: events of Responses, chunks of Chat Completions."""

from typing import Final

from sandbox.providers import chat, responses
from sandbox.providers.envelope import Turn
from sandbox.providers.plain import JsonObject, as_object, plain, refuse, text_or
from sandbox.wire import Json

__all__ = ["ChatReader", "ResponsesReader"]

_GROWING: Final = {
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}
"""Events that lengthen a member of an item."""

_GROWN: Final = {
    "response.function_call_arguments.done": "arguments",
    "response.custom_tool_call_input.done": "input",
}
"""Events that give such a member whole."""

_LAST: Final = {"response.completed", "response.incomplete", "response.failed"}


class ResponsesReader:
    """Gathers the output items of a response by their index."""

    def __init__(self) -> None:
        """Start without items."""
        self._items: dict[int, JsonObject] = {}
        self._output: list[Json] | None = None

    def feed(self, event: object) -> None:
        """Take the next event."""
        match plain(event):
            case {"type": str(kind), "response": dict(response)} if kind in _LAST:
                self._end(response)
            case {"type": "error", "message": message}:
                refuse(f"the stream has failed: {text_or(message)[:1000]}")
            case {"output_index": int(index), "item": dict(item)}:
                # When it begins and when it is whole: the later one has all.
                self._items[index] = item
            case {"type": str(kind), "output_index": int(index)} as growth:
                self._grow(kind, index, as_object(growth, "an event"))
            case _:
                pass

    def turn(self) -> Turn:
        """Give the turn."""
        if self._output is None:
            refuse("the response has not come to its end")
        return responses.read(self._output)

    def _grow(self, kind: str, index: int, event: JsonObject) -> None:
        item = self._items.get(index, {})
        if kind in _GROWING:
            member = _GROWING[kind]
            item[member] = text_or(item.get(member)) + text_or(event.get("delta"))
        elif kind in _GROWN:
            member = _GROWN[kind]
            item[member] = event.get(member, item.get(member))

    def _end(self, response: JsonObject) -> None:
        """Prefer the response as a whole; servers that are only alike may leave it empty."""
        output = response.get("output")
        gathered: list[Json] = [self._items[index] for index in sorted(self._items)]
        self._output = output if isinstance(output, list) and output else gathered


class ChatReader:
    """Gathers the message of the first choice; its calls by their index."""

    def __init__(self) -> None:
        """Start without a message."""
        self._message: JsonObject = {"role": "assistant", "content": None}
        self._calls: list[JsonObject] = []
        self._by_index: dict[int, JsonObject] = {}
        self._ended = False

    def feed(self, event: object) -> None:
        """Take the next chunk, or the event of the SDK's own reader that has it."""
        match plain(event):
            case {"chunk": {"choices": list(choices)}} | {"choices": list(choices)}:
                self._take(choices)
            case {"error": error}:
                refuse(f"the stream has failed: {str(error)[:1000]}")
            case _:
                pass

    def turn(self) -> Turn:
        """Give the turn."""
        if not self._ended:
            refuse("the response has not come to its end")
        calls: list[Json] = [{"type": "function", **call} for call in self._calls]
        return chat.read({**self._message, "tool_calls": calls})

    def _take(self, choices: list[Json]) -> None:
        for choice in choices:
            match choice:
                case {"index": int(index)} if index > 0:
                    continue
                case {"delta": dict(delta), **rest}:
                    self._grow(delta)
                    self._ended = self._ended or rest.get("finish_reason") is not None
                case _:
                    pass

    def _grow(self, delta: JsonObject) -> None:
        calls = delta.pop("tool_calls", None)
        _extend(self._message, delta, fixed={"role"})
        for call in calls if isinstance(calls, list) else []:
            self._grow_call(as_object(call, "a tool call"))

    def _grow_call(self, piece: JsonObject) -> None:
        call = self._call_of(piece.pop("index", None), text_or(piece.get("id")))
        for kind in ("function", "custom"):
            inner = piece.pop(kind, None)
            if isinstance(inner, dict):
                _extend(as_object(call.setdefault(kind, {}), kind), inner, fixed={"name"})
        _extend(call, piece, fixed=set(piece))

    def _call_of(self, index: Json, call_id: str) -> JsonObject:
        """Find the call that a piece belongs to.

        Servers that are only alike leave the index out, or give the same to every call: then a
        new id begins a new call, and a piece without one belongs to the last.
        """
        known = self._by_index.get(index) if isinstance(index, int) else None
        if known is None and not isinstance(index, int):
            same = [call for call in self._calls if call.get("id") == call_id or not call_id]
            known = same[-1] if same else None
        if known is not None and (not call_id or text_or(known.get("id")) in {"", call_id}):
            return known
        call: JsonObject = {}
        self._calls.append(call)
        if isinstance(index, int):
            self._by_index[index] = call
        return call


def _extend(whole: JsonObject, piece: JsonObject, *, fixed: set[str]) -> None:
    """Add a delta: texts and lists grow; what is fixed, or neither, is what came last."""
    for name, value in piece.items():
        before = whole.get(name)
        match before, value:
            case _, None | "":
                whole.setdefault(name, value)
            case str(), str() if name not in fixed:
                whole[name] = before + value
            case list(), list() if name not in fixed:
                whole[name] = before + value
            case _:
                whole[name] = value
