"""Makes the answer to one call: from a result, from a refusal, from a fault of the engine."""

import json
from collections.abc import Collection
from dataclasses import replace

from sandbox.errors import Started
from sandbox.providers.envelope import Answer, Data, Part, Text, ToolCall
from sandbox.result import Result
from sandbox.tools import answers
from sandbox.tools.answered import Called, Transaction
from sandbox.tools.answers import Said
from sandbox.tools.audit import redacted
from sandbox.tools.capture import (
    GUEST_FOLDERS,
    Cutter,
    checked_return,
    without_host_paths,
)
from sandbox.tools.hooks import Fate
from sandbox.tools.tool import Tool
from sandbox.wire import Json, ResourceNote

__all__ = ["Teller"]


class Teller:
    """Tells a model and a user how a call ended. No secret is in what it tells."""

    def __init__(self, call: ToolCall, cutter: Cutter, secrets: Collection[str]) -> None:
        """Keep what every answer to this call needs."""
        self._call, self._cutter, self._secrets = call, cutter, tuple(secrets)

    def refusal(self, fate: Fate, said: Said, started: Started = "no") -> Called:
        """Tell that there is no result, and why."""
        return Called(
            call=self._call,
            answer=self._error(said),
            fate=fate,
            started=started,
            transaction="not_started" if started == "no" else "unknown",
            user_message=self._without_secrets(said.user),
        )

    def result(self, tool: Tool, given: Result) -> Called:
        """Tell what a run gave, checked against what its function says it gives."""
        result = checked_return(given, tool.signature)
        resources = _resources(result)
        called = self._good(tool, result) if result.ok else self._bad(tool, result, resources)
        return replace(
            called,
            started="yes",
            transaction=_transaction(tool, resources),
            resources=resources,
            ran_seconds=result.usage.wall_seconds,
        )

    def _good(self, tool: Tool, result: Result) -> Called:
        parts = result.parts or (_part(result.value),)
        captured = self._cutter.capture(tool.name, parts, (), self._secrets)
        answer = Answer(call=self._call, parts=captured.parts)
        return Called(
            call=self._call, answer=answer, fate="ok", result=result, files=captured.files
        )

    def _bad(self, tool: Tool, result: Result, resources: dict[str, str]) -> Called:
        said = answers.unsuccessful(tool.name, result, tool.policy)
        captured = self._cutter.capture(tool.name, (), result.partial, self._secrets)
        far = answers.how_far(len(result.partial), len(captured.partial))
        words = (said.model, far, answers.outcome_of(resources))
        told = Said(" ".join(filter(None, words)), said.user)
        own = GUEST_FOLDERS if tool.where == "guest" else ()
        answer = replace(self._error(told, own), partial=captured.partial)
        user_message = self._without_secrets(said.user)
        return Called(
            call=self._call,
            answer=answer,
            fate=result.status,
            result=result,
            user_message=user_message,
        )

    def _error(self, said: Said, own_folders: tuple[str, ...] = ()) -> Answer:
        known = self._without_secrets(said.model)
        text = without_host_paths(known, _sent(self._call), own_folders)
        return Answer(call=self._call, parts=(Text(text),), is_error=True)

    def _without_secrets(self, text: str) -> str:
        return str(redacted(text, self._secrets))


def _sent(call: ToolCall) -> str:
    """Give what the model sent, as one text to look into."""
    given = call.arguments
    if isinstance(given, str):
        return given
    try:
        return json.dumps(dict(given), ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):  # it was refused for that
        return ""


def _part(value: Json) -> Part:
    return Text(value) if isinstance(value, str) else Data(value)


def _resources(result: Result) -> dict[str, str]:
    """Give the last state of each resource; one that was never closed is unknown."""
    last = {
        (note.number, note.resource): note.state
        for note in result.notes
        if isinstance(note, ResourceNote)
    }
    names = [name for _, name in last]
    return {
        name if names.count(name) == 1 else f"{name}#{number}": (
            "unknown" if state == "opened" else state
        )
        for (number, name), state in last.items()
    }


def _transaction(tool: Tool, resources: dict[str, str]) -> Transaction:
    states = set(resources.values())
    if not states:
        has_any = any(not isinstance(kind, str) for kind in tool.signature.injected.values())
        return "not_started" if has_any else "none"
    if states == {"committed"}:
        return "committed"
    return "rolled_back" if states == {"rolled_back"} else "unknown"
