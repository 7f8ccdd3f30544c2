"""Plain JSON of whatever an SDK or a user hands over, as a copy that nobody else can change."""

import base64
import datetime as dt
import enum
import math
from collections.abc import Mapping, Sequence
from typing import Final, Never, Protocol, TypeAlias, cast, runtime_checkable

from pydantic import BaseModel

from sandbox.errors import BadCall
from sandbox.wire import Json, Malformed, decode_json

__all__ = [
    "JsonObject",
    "arguments_from",
    "as_list",
    "as_object",
    "as_text",
    "kind_shown",
    "object_from",
    "plain",
    "refuse",
    "text_or",
    "without_nulls",
]

JsonObject: TypeAlias = dict[str, Json]

_DEPTH: Final = 200
"""Levels of lists and objects; a model's arguments nest a few, the message around them six."""
_TEXT_DEPTH: Final = 800
"""Levels that a text is read to, so that arguments over the limit can still be answered."""

_ARGUMENTS: Final = frozenset({"arguments", "args", "input"})
"""What the arguments of a call are called by those who send them as an object."""
_REASON: Final = f"nested more than {_DEPTH} deep"
_TOO_DEEP: Final[JsonObject] = {"INVALID_JSON": _REASON}
"""Stands in a history for arguments that nest too deep: its provider wants an object back."""


class _TooDeep(BadCall):
    """A document nests over the limit."""


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

    Arguments that nest too deep are replaced; see arguments_from(). BadCall: it has members that
    are not JSON, or nests more than 200 deep elsewhere.
    """
    if isinstance(document, str | bytes | bytearray):
        document = _parsed(document)
    try:
        return _copy(document, _DEPTH)
    except RecursionError:
        return refuse(f"the response is {_REASON}")


def _parsed(document: str | bytes | bytearray) -> Json:
    try:
        body = document.encode() if isinstance(document, str) else document
        return decode_json(body, depth=_TEXT_DEPTH)
    except (Malformed, UnicodeEncodeError) as error:
        return refuse(f"the response is no JSON document: {error}")


def _copy(value: object, depth: int, *, is_argument: bool = False) -> Json:
    match value:
        case enum.Enum():
            return _copy(value.value, depth, is_argument=is_argument)
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else refuse(f"{value} is not JSON")
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case dt.datetime():
            return value.isoformat()
        case _:
            return _copy_container(value, depth, is_argument=is_argument)


def _copy_container(value: object, depth: int, *, is_argument: bool) -> Json:
    if depth == 0:
        message = f"the response is {_REASON}"
        raise _TooDeep(message)
    match value:
        case Mapping():
            members = cast("Mapping[object, object]", value)
            copied = _copy if is_argument else _copy_member
            return {
                _key(key): copied(each, depth - 1, is_argument=is_argument or key in _ARGUMENTS)
                for key, each in members.items()
            }
        case list() | tuple():
            elements = cast("Sequence[object]", value)
            return [_copy(each, depth - 1, is_argument=is_argument) for each in elements]
        case _Model() if not isinstance(value, type):
            return _copy(_dumped(value), depth, is_argument=is_argument)
        case _:
            return refuse(f"{kind_shown(value)} is no response of a model and no JSON")


def _copy_member(value: object, depth: int, *, is_argument: bool) -> Json:
    """Copy a member of what is no argument itself; where it is one, the whole of it or nothing."""
    try:
        return _copy(value, depth, is_argument=is_argument)
    except (_TooDeep, RecursionError):
        if not is_argument:
            raise
        return dict(_TOO_DEEP)


def _key(key: object) -> str:
    return key if isinstance(key, str) else refuse(f"a key is a {type(key).__name__}, not a string")


def _dumped(model: _Model) -> object:
    """Give what the provider sent and no more: members that an SDK adds are left unset there."""
    try:
        return model.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
    except (TypeError, ValueError) as error:
        if isinstance(model, BaseModel):  # it may nest too deep for pydantic; its members are less
            return _members(model)
        return refuse(f"{kind_shown(model)} cannot be read as JSON: {error}")


def _members(model: BaseModel) -> dict[str, object]:
    """Give the members that are set, by the names that the API has for them."""
    members = {
        field.serialization_alias or name: getattr(model, name)
        for name, field in type(model).model_fields.items()
        if name in model.model_fields_set
    }
    return members | (model.model_extra or {})


def kind_shown(value: object) -> str:
    """Give the name of a value's type after its article."""
    name = type(value).__name__
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"


def arguments_from(value: Json, what: str) -> str | JsonObject:
    """Give the arguments of a call that its provider sends as an object. BadCall: they are none.

    Those that nest too deep become a text, which is no JSON: the call is answered by that.
    """
    return _REASON if value == _TOO_DEEP else as_object(value, what)


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
