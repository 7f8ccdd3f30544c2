"""What an answer says: words for every provider, and media where a provider takes it."""

import base64
import json
from collections.abc import Sequence
from typing import Final

from sandbox.providers.envelope import Answer, Data, File, Image, Part, Text, Turn
from sandbox.wire import Json

__all__ = [
    "DOCUMENTS",
    "IMAGES",
    "base64_text",
    "check_pairs",
    "data_url",
    "joined",
    "json_text",
    "kind_of",
    "media",
    "refused",
    "spoken",
    "text_of",
    "text_of_file",
]

IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""The pictures that OpenAI and Anthropic take."""

_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
DOCUMENTS: Final = frozenset(
    {
        "application/pdf",
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        f"{_OFFICE}presentationml.presentation",
        f"{_OFFICE}spreadsheetml.sheet",
        f"{_OFFICE}wordprocessingml.document",
    }
)
"""The files with a layout that OpenAI and the Interactions API take."""

_TEXTUAL: Final = frozenset(
    {
        "application/json",
        "application/javascript",
        "application/toml",
        "application/xml",
        "application/yaml",
        "image/svg+xml",
    }
)


def check_pairs(turn: Turn, answers: Sequence[Answer]) -> None:
    """Raise ValueError unless there is one answer for each call, in order: it would be our bug."""
    asked = [(call.id, call.namespace, call.name) for call in turn.calls]
    answered = [(each.call.id, each.call.namespace, each.call.name) for each in answers]
    if asked != answered:
        message = f"the calls are {asked}, the answers are for {answered}"
        raise ValueError(message)


def spoken(answer: Answer) -> tuple[Part, ...]:
    """Give the parts, and after them the partial values, as words."""
    if not answer.partial:
        return answer.parts
    return (*answer.parts, Text(f"Partial results: {json_text(list(answer.partial))}"))


def refused(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Put "Error" before the parts, for providers that have no other sign of one."""
    match parts:
        case (Text(words), *rest) if words.lower().startswith("error"):
            return (Text(words), *rest)
        case (Text(words), *rest):
            return (Text(f"Error: {words}"), *rest)
        case _:
            return (Text("Error:"), *parts)


def media(parts: Sequence[Part], *, images: frozenset[str], files: frozenset[str]) -> list[Part]:
    """Give the parts with only such media as are named; the others become words.

    A file that is a picture becomes an Image. A file of text that is not among `files` becomes
    its text; what cannot be sent at all becomes a line that says so, with its size.
    """
    return [_sendable(part, images, files) for part in parts]


def _sendable(part: Part, images: frozenset[str], files: frozenset[str]) -> Part:
    if isinstance(part, Text | Data):
        return part
    kind = kind_of(part)
    if kind in images:
        return Image(part.data, kind)
    if isinstance(part, File) and kind in files:
        return part
    words = text_of_file(part)
    name = part.name if isinstance(part, File) else "image"
    if words is None:
        return Text(f"[{name}: {kind}, {len(part.data)} bytes, which cannot be shown here]")
    return Text(f"{name}:\n{words}")


def kind_of(part: Image | File) -> str:
    """Give the media type without its parameters."""
    return part.media_type.partition(";")[0].strip().lower()


def text_of_file(part: Image | File) -> str | None:
    """Give the text of a file that is one by its media type, and is UTF-8; else None."""
    kind = kind_of(part)
    if not kind.startswith("text/") and kind not in _TEXTUAL:
        return None
    try:
        return part.data.decode()
    except UnicodeDecodeError:
        return None


def text_of(part: Text | Data) -> str:
    """Give words as they are, a JSON value as JSON."""
    return part.text if isinstance(part, Text) else json_text(part.value)


def json_text(value: Json) -> str:
    """Write JSON, with letters as they are."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def joined(parts: Sequence[Part]) -> str | None:
    """Give all the words as one text, a line for each part; None where there is media too."""
    words = [text_of(part) for part in parts if isinstance(part, Text | Data)]
    return "\n".join(words) if len(words) == len(parts) else None


def base64_text(content: bytes) -> str:
    """Write bytes as base64."""
    return base64.b64encode(content).decode()


def data_url(part: Image | File) -> str:
    """Write media as a URL that has it inside."""
    return f"data:{kind_of(part)};base64,{base64_text(part.data)}"
