"""Plain JSON of whatever an SDK or a user hands over, as a copy that nobody else can change."""

import base64
import datetime as dt
import enum
import math
from collections.abc import Mapping, Sequence
from typing import Final, Never, Protocol, TypeAlias, cast, runtime_checkable

from sandbox.errors import BadCall
from sandbox.wire import Json, Malformed, decode_json

__all__ = [
    "JsonObject",
    "as_list",
    "as_object",
    "as_text",
    "object_from",
    "plain",
    "refuse",
    "text_or",
    "without_nulls",
]

JsonObject: TypeAlias = dict[str, Json]

_DEPTH: Final = 200
"""Levels of lists and objects; a model's arguments nest a few, the message around them six."""


@runtime_checkable
class _Model(Protocol):
    """What the SDKs' objects have in common: all of them are pydantic models."""

    def model_dump(self, *, mode: str, by_alias: bool, exclude_unset: bool, warnings: bool) -> Json:
        """Give the object as JSON."""
        ...


def refuse(reason: str) -> Never:
    """Raise BadCall: the document is no response that can be read."""
    raise BadCall(reason)


def plain(document: object) -> Json:
    """Give the JSON of an SDK's object, of a text of JSON, or of lists and mappings of these.

    BadCall: it has members that are not JSON, or nests more than 200 deep.
    """
    if isinstance(document, str | bytes | bytearray):
        return _parsed(document)
    return _copy(document, _DEPTH)


def _parsed(document: str | bytes | bytearray) -> Json:
    try:
        body = document.encode() if isinstance(document, str) else document
        return decode_json(body, depth=_DEPTH)
    except (Malformed, UnicodeEncodeError) as error:
        return refuse(f"the response is no JSON document: {error}")


def _copy(value: object, depth: int) -> Json:
    match value:
        case enum.Enum():
            return _copy(value.value, depth)
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else refuse(f"{value} is not JSON")
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case dt.datetime():
            return value.isoformat()
        case _:
            return _copy_container(value, depth)


def _copy_container(value: object, depth: int) -> Json:
    if depth == 0:
        return refuse(f"the response is nested more than {_DEPTH} deep")
    match value:
        case Mapping():
            members = cast("Mapping[object, object]", value)
            return {_key(key): _copy(each, depth - 1) for key, each in members.items()}
        case list() | tuple():
            return [_copy(each, depth - 1) for each in cast("Sequence[object]", value)]
        case _Model() if not isinstance(value, type):
            return _copy(_dumped(value), depth)
        case _:
            return refuse(f"a {type(value).__name__} is no response of a model and no JSON")


def _key(key: object) -> str:
    return key if isinstance(key, str) else refuse(f"a key is a {type(key).__name__}, not a string")


def _dumped(model: _Model) -> Json:
    """Give what the provider sent and no more: members that an SDK adds are left unset there."""
    try:
        return model.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
    except (TypeError, ValueError) as error:
        return refuse(f"a {type(model).__name__} cannot be read as JSON: {error}")


def as_object(value: Json, what: str) -> JsonObject:
    """Give a value that must be an object. BadCall: it is none."""
    return value if isinstance(value, dict) else refuse(f"{what} is not an object")


def as_list(value: Json, what: str) -> list[Json]:
    """Give a value that must be a list. BadCall: it is none."""
    return value if isinstance(value, list) else refuse(f"{what} is not a list")


def as_text(value: Json, what: str) -> str:
    """Give a value that must be a string, be it empty. BadCall: it is none."""
    return value if isinstance(value, str) else refuse(f"{what} is not a string")


def text_or(value: Json, default: str = "") -> str:
    """Give a value that is a string, or else the default."""
    return value if isinstance(value, str) else default


def without_nulls(members: JsonObject, *dropped: str) -> JsonObject:
    """Leave out members that are null, which an SDK's dump adds, and those named."""
    return {
        name: value for name, value in members.items() if value is not None and name not in dropped
    }


def object_from(text: str) -> JsonObject | None:
    """Read a streamed text of JSON, "" as no members; None: it is no object."""
    try:
        value = decode_json((text or "{}").encode(), depth=_DEPTH)
    except (Malformed, UnicodeEncodeError):
        return None
    return value if isinstance(value, dict) else None
