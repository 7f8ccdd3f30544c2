"""Gemini's Interactions API, as far as function calling goes."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.servers.base import Event, Object, ProviderServer, Refused, Says, objects, pieces

__all__ = ["InteractionsServer"]


class InteractionsServer(ProviderServer):
    """Keeps nothing between requests: each call has one result, and its thought comes back."""

    def __init__(self, *script: Any) -> None:
        super().__init__(*script)
        self._thoughts: dict[str, Object] = {}

    def check(self, body: Object) -> None:
        steps = objects(body["input"])
        calls = Counter(step["id"] for step in steps if step["type"] == "function_call")
        results = Counter(step["call_id"] for step in steps if step["type"] == "function_result")
        if calls != results:
            message = f"the calls {sorted(calls)} have the results {sorted(results)}"
            raise Refused(message)
        for step in steps:
            if step["type"] == "function_call" and self._thoughts[step["id"]] not in steps:
                message = f"the function call {step['id']} came without its thought"
                raise Refused(message)

    def error(self, message: str) -> Object:
        return {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}

    def response(self, turn: Says) -> Object:
        return {**self._head(), "status": _status(turn), "steps": self._steps(turn)}

    def _head(self) -> Object:
        return {"id": f"interaction_{self.number}", "model": "test-model", "status": "in_progress"}

    def _steps(self, turn: Says) -> list[Object]:
        steps: list[Object] = []
        if turn.calls:
            steps.append({"type": "thought", "signature": f"signed{self.number}00="})
            self._thoughts |= {call.id: steps[0] for call in turn.calls}
        for call in turn.calls:
            asked = {"id": call.id, "name": call.name, "arguments": call.arguments}
            steps.append({"type": "function_call", **asked})
        if turn.text:
            text = {"type": "text", "text": turn.text}
            steps.append({"type": "model_output", "content": [text]})
        return steps

    def events(self, turn: Says) -> Iterator[Event]:
        yield _event("interaction.created", interaction=self._head())
        for index, step in enumerate(self._steps(turn)):
            yield from _step_events(index, step, turn)
        whole = {**self._head(), "status": _status(turn)}
        yield _event("interaction.completed", interaction=whole)
        yield Event("[DONE]", name="done")


def _status(turn: Says) -> str:
    if turn.is_cut_off:
        return "incomplete"
    return "requires_action" if turn.calls else "completed"


def _event(kind: str, **members: Any) -> Event:
    return Event({"event_type": kind, **members}, name=kind)


def _step_events(index: int, step: Object, turn: Says) -> Iterator[Event]:
    deltas: list[Object] = []
    start: Object = step
    if step["type"] == "function_call":
        start = {**step, "arguments": {}}
        text = next(call.text for call in turn.calls if call.id == step["id"])
        deltas = [{"type": "arguments_delta", "arguments": each} for each in pieces(text)]
    if step["type"] == "model_output":
        start = {"type": "model_output"}
        deltas = [{"type": "text", "text": each} for each in pieces(turn.text)]
    yield _event("step.start", index=index, step=start)
    for delta in deltas:
        yield _event("step.delta", index=index, delta=delta)
    yield _event("step.stop", index=index)
