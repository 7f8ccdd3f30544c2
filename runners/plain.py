"""Makes JSON of what a handler gave: values as they are, or content parts for a model."""

import binascii
import json
import os
import sys
from collections.abc import Callable
from typing import Any, cast

from answer import NotJson
from given import Data, File, Image, Text

KINDS = {Text: "text", Data: "data", Image: "image", File: "file"}
SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)
"""How pictures begin: bytes that are one become an image, all others a file."""


def to_document(value: Any) -> dict[str, Any]:
    """Give the answer for a value: {"value": JSON}, or {"parts": [...]} if it has any content."""
    if _is_content(value):
        return {"parts": [_to_part(value)]}
    if isinstance(value, list | tuple) and any(map(_is_content, cast("list[Any]", value))):
        return {"parts": [_to_part(each) for each in cast("list[Any]", value)]}
    return {"value": to_json(value)}


def to_json(value: Any) -> Any:
    """Give plain JSON for a value. Raises NotJson for what has no natural form in it."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return _convert(value)
    return value


def _convert(value: Any) -> Any:
    """Convert as pydantic does, by pydantic itself where the handler has loaded it."""
    pydantic_core = sys.modules.get("pydantic_core")
    try:
        if pydantic_core:
            convert = pydantic_core.to_jsonable_python
            return convert(value, bytes_mode="base64", fallback=_to_simpler)
        return _to_plain(value)
    except RecursionError as fault:
        message = "it is nested too deep, or within itself"
        raise NotJson(message) from fault
    except ValueError as fault:
        raise NotJson(str(fault)) from fault


def _is_content(value: Any) -> bool:
    is_shown = callable(getattr(value, "_repr_png_", None)) and not isinstance(value, type)
    return is_shown or isinstance(value, Text | Data | Image | File | bytes | bytearray)


def _to_part(value: Any) -> dict[str, Any]:
    part = _as_part(value)
    fields: dict[str, Any] = {"type": KINDS[type(part)], **part.__dict__}
    if "data" in fields:
        fields["data"] = _base64(fields["data"])
    if "value" in fields:
        fields["value"] = to_json(fields["value"])
    return fields


def _as_part(value: Any) -> Text | Data | Image | File:
    if isinstance(value, Text | Data | Image | File):
        return value
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, bytes | bytearray):
        return _as_image_or_file(bytes(value))
    return Image(value._repr_png_()) if _is_content(value) else Data(value)


def _as_image_or_file(content: bytes) -> Image | File:
    for signature, media_type in SIGNATURES:
        if content.startswith(signature):
            return Image(content, media_type)
    return File(content, "data.bin")


def _base64(content: Any) -> str:
    if not isinstance(content, bytes | bytearray):
        message = f"the content of a part is bytes, not {type(content).__name__}"
        raise NotJson(message)
    return binascii.b2a_base64(content, newline=False).decode()


def _to_plain(value: Any) -> Any:
    """Convert one value and all within it; no recursion but the value's own depth."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        members = cast("dict[Any, Any]", value)
        return {_to_key(key): _to_plain(member) for key, member in members.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_to_plain(member) for member in cast("list[Any]", value)]
    fields: dict[str, Any] | None = getattr(value, "__dataclass_fields__", None)
    if fields and not isinstance(value, type):
        return {name: _to_plain(getattr(value, name)) for name in fields}
    return _to_plain(_to_simpler(value))


def _to_key(key: Any) -> Any:
    plain = _to_plain(key)
    if plain is None or isinstance(plain, bool | int | float | str):
        return plain
    message = f"a key is a {type(key).__name__}, which no key in JSON can be"
    raise NotJson(message)


def _to_simpler(value: Any) -> Any:
    """Give the text or number that stands for a value of the standard library's."""
    if isinstance(value, bytes | bytearray):
        return binascii.b2a_base64(value, newline=False).decode().translate(URL_SAFE)
    if isinstance(value, os.PathLike):
        return os.fspath(cast("os.PathLike[str]", value))
    for base in type(value).__mro__:
        if simplify := SIMPLER.get(f"{base.__module__}.{base.__qualname__}"):
            return simplify(value)
    message = f"an object of the class {type(value).__name__} has no form in JSON"
    raise NotJson(message)


def _moment(moment: Any) -> str:
    return str(moment.isoformat()).replace("+00:00", "Z")


def _duration(span: Any) -> str:
    """Write a timedelta as ISO 8601 does, in days and seconds."""
    microseconds = (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds
    days, rest = divmod(abs(microseconds), 86_400_000_000)
    hours, rest = divmod(rest, 3_600_000_000)
    minutes, rest = divmod(rest, 60_000_000)
    seconds = f"{rest // 1_000_000}.{rest % 1_000_000:06}".rstrip("0").rstrip(".")
    clock = f"{hours}H" * bool(hours) + f"{minutes}M" * bool(minutes)
    clock += f"{seconds}S" if rest or not (days or clock) else ""
    sign = "-" if microseconds < 0 else ""
    return f"{sign}P{f'{days}D' * bool(days)}{'T' * bool(clock)}{clock}"


URL_SAFE = {ord("+"): "-", ord("/"): "_"}
SIMPLER: dict[str, Callable[[Any], Any]] = {
    # By name: nothing is imported that the handler has not imported itself.
    "collections.deque": list,
    "datetime.date": lambda value: value.isoformat(),
    "datetime.datetime": _moment,
    "datetime.time": _moment,
    "datetime.timedelta": _duration,
    "decimal.Decimal": str,
    "enum.Enum": lambda value: value.value,
    "fractions.Fraction": str,
    "uuid.UUID": str,
}
