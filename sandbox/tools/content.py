"""What a host handler gave, as JSON or as content for a model. Guests do the same on their side."""

import json
from collections.abc import Callable
from typing import Any, Final, cast

from pydantic_core import PydanticSerializationError, to_jsonable_python

from sandbox.policy import Quota
from sandbox.wire import Data, File, Image, Json, Part, Text

__all__ = ["NotJson", "as_json", "as_parts"]

_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


class NotJson(ValueError):
    """A value that JSON cannot say, or that is larger or deeper than the policy allows."""


def as_json(value: Any, quota: Quota | None = None) -> Json:
    """Give a value as pydantic says it in JSON. Raises NotJson; also for what is over a quota."""
    try:
        given: Json = to_jsonable_python(value, bytes_mode="base64")
        text = json.dumps(given, allow_nan=False, ensure_ascii=False).encode()
    except (PydanticSerializationError, TypeError, ValueError, RecursionError) as error:
        message = f"the value is not JSON: {str(error)[:300]}"
        raise NotJson(message) from error
    if quota and len(text) > quota.result_bytes:
        most = f"quota.result_bytes = {quota.result_bytes}"
        message = f"the value is {len(text)} bytes of JSON, over {most}"
        raise NotJson(message)
    if quota and _is_deeper(given, quota.result_depth):
        message = f"the value is nested deeper than quota.result_depth = {quota.result_depth}"
        raise NotJson(message)
    return given


def _is_deeper(value: Json, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [inner for each in level for inner in _inner(each)]
        if not level:
            return False
    return True


def _inner(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def as_parts(value: Any) -> tuple[Part, ...] | None:
    """Give content for a model, None for a plain value.

    Text, Data, Image and File as they are; bytes as a picture where they begin as one does, as a
    file otherwise; what has _repr_png_() as that picture; of a list with any of these, each member.
    """
    if isinstance(value, list | tuple):
        members = list(cast("list[Any]", value))
        found = [_part(member) for member in members]
        if not any(found):
            return None
        pairs = zip(members, found, strict=True)
        return tuple(part or _plain(member) for member, part in pairs)
    part = _part(value)
    return (part,) if part else None


def _part(value: Any) -> Part | None:
    if isinstance(value, Text | Data | Image | File):
        return value
    if isinstance(value, bytes | bytearray):
        return _from_bytes(bytes(value))
    draw: Callable[[], object] | None = getattr(value, "_repr_png_", None)
    if not callable(draw) or isinstance(value, type):
        return None
    png = draw()
    return Image(png) if isinstance(png, bytes) else None


def _plain(value: Any) -> Part:
    return Text(value) if isinstance(value, str) else Data(as_json(value))


def _from_bytes(content: bytes) -> Part:
    for beginning, media_type in _SIGNATURES:
        if content.startswith(beginning):
            return Image(content, media_type)
    return File(content, "data.bin")
