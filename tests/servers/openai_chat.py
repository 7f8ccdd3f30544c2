"""OpenAI's Chat Completions API, as far as function calling goes."""

from collections.abc import Iterator

from tests.servers.base import Event, Object, ProviderServer, Refused, Says, objects, pieces
from tests.servers.openai_responses import check_function

__all__ = ["ChatServer"]


class ChatServer(ProviderServer):
    """Wants a tool message for each call, right after the message with the calls."""

    def check(self, body: Object) -> None:
        for tool in body.get("tools", []):
            check_function(tool["function"])
        open_ids: list[str] = []
        for index, message in enumerate(body["messages"]):
            if message["role"] == "tool":
                self._close(open_ids, message["tool_call_id"], index)
                continue
            self._check_none_open(open_ids)
            open_ids = [call["id"] for call in objects(message.get("tool_calls"))]
        self._check_none_open(open_ids)

    @staticmethod
    def _close(open_ids: list[str], call_id: str, index: int) -> None:
        if call_id not in open_ids:
            message = (
                f"messages.[{index}].role: messages with role 'tool' must be a response to a"
                " preceeding message with 'tool_calls'."
            )
            raise Refused(message)
        open_ids.remove(call_id)

    @staticmethod
    def _check_none_open(open_ids: list[str]) -> None:
        if open_ids:
            message = (
                "An assistant message with 'tool_calls' must be followed by tool messages"
                f" responding to each 'tool_call_id'. Missing: {', '.join(open_ids)}"
            )
            raise Refused(message)

    def response(self, turn: Says) -> Object:
        message: Object = {"role": "assistant", "content": turn.text or None, "refusal": None}
        if turn.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.text},
                }
                for call in turn.calls
            ]
        choice = {"index": 0, "message": message, "finish_reason": _reason(turn)}
        return {**self._head("chat.completion"), "choices": [choice]}

    def _head(self, kind: str) -> Object:
        return {
            "id": f"chatcmpl-{self.number}",
            "object": kind,
            "created": 1_790_000_000,
            "model": "test-model",
        }

    def events(self, turn: Says) -> Iterator[Event]:
        yield self._chunk({"role": "assistant", "content": "" if turn.text else None})
        for piece in pieces(turn.text) if turn.text else []:
            yield self._chunk({"content": piece})
        for index, call in enumerate(turn.calls):
            function = {"name": call.name, "arguments": ""}
            first = {"index": index, "id": call.id, "type": "function", "function": function}
            yield self._chunk({"tool_calls": [first]})
        # The arguments of parallel calls come in turns.
        rows = [pieces(call.text) for call in turn.calls]
        for step in range(max(map(len, rows), default=0)):
            for index, row in enumerate(rows):
                if step < len(row):
                    delta = {"index": index, "function": {"arguments": row[step]}}
                    yield self._chunk({"tool_calls": [delta]})
        yield self._chunk({}, finish_reason=_reason(turn))
        yield Event("[DONE]")

    def _chunk(self, delta: Object, finish_reason: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return Event({**self._head("chat.completion.chunk"), "choices": [choice]})


def _reason(turn: Says) -> str:
    if turn.is_cut_off:
        return "length"
    return "tool_calls" if turn.calls else "stop"
