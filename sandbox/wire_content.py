"""Content for a model beside plain JSON: words, values, pictures, files; read from a guest."""

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sandbox.wire_json import Json, refuse

__all__ = [
    "Data",
    "Display",
    "File",
    "Image",
    "Part",
    "Text",
    "describe_display",
    "describe_part",
    "parse_display",
    "parse_parts",
]

MOST_PARTS: Final = 1_000
MOST_NAME_CHARACTERS: Final = 255
MOST_FORMS: Final = 20
SVG: Final = "image/svg+xml"
_MEDIA_TYPE: Final = re.compile(r"[a-z]+/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,99}")
_NAME: Final = re.compile(r"[^/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


@dataclass(frozen=True)
class Text:
    """Words for the model."""

    text: str


@dataclass(frozen=True)
class Data:
    """A JSON value for the model."""

    value: Any  # not Json: pydantic, in result.py, cannot resolve an alias that names itself


@dataclass(frozen=True)
class Image:
    """A picture. data: its bytes. media_type: "image/png" by default."""

    data: bytes
    media_type: str = "image/png"


@dataclass(frozen=True)
class File:
    """A file. data: its bytes. name: without folders. media_type: of its content."""

    data: bytes
    name: str
    media_type: str = "application/octet-stream"


Display: TypeAlias = Mapping[str, str | bytes]
"""A MIME bundle: each form in which a value shows itself, by media type; pictures as bytes."""

Part: TypeAlias = Text | Data | Image | File


def parse_parts(parts: list[Json]) -> tuple[Part, ...]:
    """Read what a guest says are content parts. Malformed: any of them is not, or over 1,000."""
    if len(parts) > MOST_PARTS:
        refuse(f"there are over {MOST_PARTS} content parts")
    return tuple(_part(part) for part in parts)


def parse_display(display: dict[str, Json]) -> Display:
    """Read a MIME bundle; pictures but SVG are base64 in it.

    Malformed: it is none, or has over 20 forms.
    """
    if len(display) > MOST_FORMS:
        refuse(f"a value shows itself in over {MOST_FORMS} forms")
    return {_media_type(kind): _form(kind, form) for kind, form in display.items()}


def _form(kind: str, form: Json) -> str | bytes:
    text = form if isinstance(form, str) else refuse("a form of a value is not text")
    return _content(text) if kind.startswith("image/") and kind != SVG else text


def describe_display(display: Display) -> dict[str, str]:
    """Give a MIME bundle as the JSON that parse_display() reads."""
    return {
        kind: form if isinstance(form, str) else _as_base64(form) for kind, form in display.items()
    }


def describe_part(part: Part) -> dict[str, Json]:
    """Give a part as the JSON that parse_parts() reads."""
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Data(value):
            return {"type": "data", "value": value}
        case Image(content, kind):
            return {"type": "image", "data": _as_base64(content), "media_type": kind}
        case File(content, name, kind):
            content_text = _as_base64(content)
            return {"type": "file", "data": content_text, "name": name, "media_type": kind}


def _as_base64(content: bytes) -> str:
    return binascii.b2a_base64(content, newline=False).decode()


def _part(part: Json) -> Part:
    match part:
        case {"type": "text", "text": str(text), **rest} if not rest:
            return Text(text)
        case {"type": "data", "value": value, **rest} if not rest:
            return Data(value)
        case {"type": "image", "data": str(content), "media_type": str(kind), **rest} if not rest:
            if not kind.startswith("image/"):
                refuse("an image has a media type that is none of an image")
            return Image(_content(content), _media_type(kind))
        case {
            "type": "file",
            "data": str(content),
            "name": str(name),
            "media_type": str(kind),
            **rest,
        } if not rest:
            return File(_content(content), _file_name(name), _media_type(kind))
        case _:
            return refuse("a content part has none of the four forms")


def _content(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error, or characters that are not ASCII
        return refuse("the content of a part is not base64")


def _media_type(text: str) -> str:
    return text if _MEDIA_TYPE.fullmatch(text) else refuse("a media type is none")


def _file_name(name: str) -> str:
    """Let no name lead to a folder or act on a terminal."""
    is_plain = _NAME.fullmatch(name) and len(name) <= MOST_NAME_CHARACTERS
    return name if is_plain and name not in {".", ".."} else refuse("a file's name is not plain")
