"""Gemini's stream: chunks of parts, and on Vertex AI arguments in pieces."""

import re
from itertools import pairwise
from typing import Final

from sandbox.providers import gemini
from sandbox.providers.envelope import Turn
from sandbox.providers.plain import JsonObject, as_object, plain, refuse, text_or
from sandbox.wire import Json

__all__ = ["GeminiReader"]

_STEP: Final = re.compile(r"""\.([^.*\[\]'"]+)|\[(\d{1,6})\]|\['([^']*)'\]|\["([^"]*)"\]""")
"""A step of a JSON path (RFC 9535), as far as arguments need it: no wildcards, no filters."""

_EXACT: Final = 2**53
"""From here on a double does not tell whole numbers apart."""


class GeminiReader:
    """Gathers the parts of the first candidate."""

    def __init__(self) -> None:
        """Start without parts."""
        self._parts: list[JsonObject] = []
        self._fed = False
        self._open: JsonObject | None = None

    def feed(self, event: object) -> None:
        """Take the next chunk."""
        document = plain(event)
        match document:
            case {"error": error}:
                refuse(f"the stream has failed: {str(error)[:1000]}")
            case {"candidates": _}:
                self._fed = True
                for part in gemini.parts_of(document):
                    self._take(part)
            case {"promptFeedback": {"blockReason": _}} | {"prompt_feedback": {"block_reason": _}}:
                self._fed = True  # the prompt was blocked: there will be no candidate
            case _:
                pass

    def turn(self) -> Turn:
        """Give the turn."""
        if self._open is not None or not self._fed:
            refuse("the response has not come to its end")
        return gemini.read(list(self._parts))

    def _take(self, part: JsonObject) -> None:
        call = part.get("functionCall")
        if isinstance(call, dict):
            self._take_call(part, call)
        elif self._parts and _are_one_text(self._parts[-1], part):
            self._parts[-1]["text"] = text_or(self._parts[-1]["text"]) + text_or(part["text"])
        else:
            self._parts.append(part)

    def _take_call(self, part: JsonObject, piece: JsonObject) -> None:
        """Begin a call, or go on with the one whose last piece said that it goes on."""
        goes_on, pieces = piece.pop("willContinue", False), piece.pop("partialArgs", [])
        if self._open is None:
            self._open = part
            self._parts.append(part)
        else:
            known = as_object(self._open["functionCall"], "a functionCall")
            self._open |= {**part, "functionCall": known | piece}
        call = as_object(self._open["functionCall"], "a functionCall")
        for each in pieces if isinstance(pieces, list) else []:
            _put(as_object(call.setdefault("args", {}), "args"), as_object(each, "a partialArg"))
        self._open = self._open if goes_on is True else None


def _are_one_text(before: JsonObject, part: JsonObject) -> bool:
    """Say whether both are text alone: a signature must come back on the very part it was on."""
    alone = all(each.keys() <= {"text", "thought"} and "text" in each for each in (before, part))
    return alone and before.get("thought") == part.get("thought")


def _put(arguments: JsonObject, piece: JsonObject) -> None:
    """Put a piece of an argument where its path says; texts grow."""
    *outer, last = _steps(text_or(piece.get("jsonPath")))
    value = _value(piece)
    holder: Json = arguments
    for step, following in pairwise((*outer, last)):
        holder = _member(holder, step, {} if isinstance(following, str) else [])
    before = _member(holder, last, "" if isinstance(value, str) else value)
    grown = before + value if isinstance(before, str) and isinstance(value, str) else value
    match holder, last:
        case dict(), str():
            holder[last] = grown
        case list(), int():
            holder[last] = grown
        case _:
            pass


def _steps(path: str) -> list[str | int]:
    """Take a path apart: names of members and numbers of elements."""
    found = list(_STEP.finditer(path, 1))
    if not found or path != "$" + "".join(step[0] for step in found):
        refuse(f"an argument has the path {path[:200]!r}, which cannot be followed")
    return [int(step[2]) if step[2] else step[1] or step[3] or step[4] or "" for step in found]


def _member(holder: Json, step: str | int, default: Json) -> Json:
    """Give what lies at a step; if nothing does, put the default there."""
    match holder, step:
        case dict(), str():
            return holder.setdefault(step, default)
        case list(), int() if step < len(holder):
            return holder[step]
        case list(), int() if step == len(holder):
            holder.append(default)
            return default
        case _:
            return refuse("the pieces of an argument do not fit together")


def _value(piece: JsonObject) -> Json:
    """Give the value of a piece; a whole number as an int, for the API sends doubles."""
    match piece:
        case {"stringValue": value} | {"boolValue": value}:
            return value
        case {"numberValue": float(number)} if number.is_integer() and abs(number) < _EXACT:
            return int(number)
        case {"numberValue": value}:
            return value
        case _:
            return None
