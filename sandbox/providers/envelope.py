"""One envelope for every provider: the calls of a model's turn, and the answers to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sandbox.wire import Data, File, Image, Json, Part, Text

__all__ = [
    "Answer",
    "Data",
    "Declaration",
    "File",
    "Image",
    "Part",
    "Provider",
    "Text",
    "ToolCall",
    "Turn",
]

Provider: TypeAlias = Literal[
    "openai", "openai-chat", "anthropic", "gemini", "gemini-interactions", "mcp"
]
"""A wire format. openai: Responses. gemini: generateContent."""


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """One function call as the model made it; nothing of it is checked yet."""

    id: str
    """What the answer must carry; "" where the provider sent none."""
    name: str
    arguments: str | Mapping[str, Json]
    """A JSON text, which may be none, or an object: whichever the provider sends."""
    namespace: str = ""
    carried: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Members of the call that its answer must repeat, such as OpenAI's `caller`."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One response of a model: its calls, in order, and what goes into the history for it."""

    provider: Provider
    calls: tuple[ToolCall, ...]
    history: tuple[Json, ...]
    """The model's own items or message, as they must be sent back: with reasoning, signatures."""
    request: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Members that the next request needs beside its messages: Anthropic's `container`."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model is told of one call."""

    call: ToolCall
    parts: tuple[Part, ...]
    is_error: bool = False
    partial: tuple[Json, ...] = ()
    """Values that the call had given before it failed."""


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """A tool as it is told to a model, before any provider's rules."""

    name: str
    description: str
    parameters: Mapping[str, Json]
    """JSON Schema (2020-12) of an object."""
    returns: Mapping[str, Json] | None = None
    """JSON Schema of the value, where the function says what it returns."""
    namespace: str = ""
