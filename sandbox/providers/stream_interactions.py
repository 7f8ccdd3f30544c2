"""The stream of Gemini's Interactions API: steps, each begun, lengthened and ended."""

from dataclasses import replace
from typing import Final

from sandbox.providers import interactions
from sandbox.providers.envelope import Turn
from sandbox.providers.plain import JsonObject, as_object, object_from, plain, refuse, text_or
from sandbox.wire import Json

__all__ = ["InteractionsReader"]

_CONTENT: Final = {"text", "image", "audio", "document", "video"}
"""Deltas of a model's own words and media."""


class InteractionsReader:
    """Gathers the steps of an interaction by their index."""

    def __init__(self) -> None:
        """Start without steps."""
        self._steps: dict[int, JsonObject] = {}
        self._arguments: dict[int, str] = {}
        self._whole: list[Json] | None = None
        self._ended = False

    def feed(self, event: object) -> None:
        """Take the next event."""
        match plain(event):
            case {"event_type": "step.start", "index": int(index), "step": dict(step)}:
                self._steps[index] = step
            case {"event_type": "step.delta", "index": int(index), "delta": dict(delta)}:
                self._grow(index, delta)
            case {"event_type": "interaction.completed", "interaction": dict(interaction)}:
                steps = interaction.get("steps")
                self._whole = steps if isinstance(steps, list) and steps else None
                self._ended = True
            case {"event_type": "error", "error": error}:
                refuse(f"the stream has failed: {str(error)[:1000]}")
            case _:
                pass

    def turn(self) -> Turn:
        """Give the turn."""
        if not self._ended:
            refuse("the response has not come to its end")
        if self._whole is not None:
            return interactions.read(self._whole)
        broken = {
            text_or(self._steps[index].get("id")): text
            for index, text in self._arguments.items()
            if not _put_arguments(self._steps[index], text)
        }
        turn = interactions.read([self._steps[index] for index in sorted(self._steps)])
        calls = (
            replace(call, arguments=broken.get(call.id, call.arguments)) for call in turn.calls
        )
        return replace(turn, calls=tuple(calls))

    def _grow(self, index: int, delta: JsonObject) -> None:
        step, kind = self._steps.setdefault(index, {}), text_or(delta.get("type"))
        match delta:
            case {"type": "arguments_delta", "arguments": str(text)}:
                self._arguments[index] = self._arguments.get(index, "") + text
            case {"type": "thought_summary", "content": content}:
                _append(step, "summary", content)
            case {"type": "text_annotation_delta", "annotations": list(annotations)}:
                _annotate(step, annotations)
            case _ if kind in _CONTENT:
                _append(step, "content", delta)
            case _:
                step.update({name: value for name, value in delta.items() if name != "type"})


def _put_arguments(step: JsonObject, text: str) -> bool:
    """Put the arguments where the API wants an object back, whatever the model wrote."""
    members = object_from(text)
    step["arguments"] = {"INVALID_JSON": text} if members is None else members
    return members is not None


def _append(step: JsonObject, member: str, piece: Json) -> None:
    """Add a piece of content; a text goes on where a text was before."""
    known = step.get(member)
    pieces = known if isinstance(known, list) else []
    step[member] = pieces
    last = pieces[-1] if pieces else None
    match last, piece:
        case {"type": "text", "text": str(before)}, {"type": "text", "text": str(more)}:
            pieces[-1] = {**as_object(last, "a content"), "text": before + more}
        case _:
            pieces.append(piece)


def _annotate(step: JsonObject, annotations: list[Json]) -> None:
    """Add annotations to the last text of a step."""
    match step.get("content"):
        case [*_, dict(last)]:
            known = last.get("annotations")
            last["annotations"] = [*(known if isinstance(known, list) else []), *annotations]
        case _:
            pass
