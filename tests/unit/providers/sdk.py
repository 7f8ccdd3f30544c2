"""The SDKs' own types, as judges of what is sent, and as makers of what is received."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import anthropic.types
import mcp.types
import openai.types.chat
import openai.types.responses
from anthropic.types import Message, MessageParam
from google.genai import interactions
from google.genai import types as gemini
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from openai.types.responses import Response, ResponseInputItemParam
from pydantic import BaseModel, TypeAdapter

from sandbox.providers.envelope import Provider
from sandbox.wire import Json

PROVIDERS: tuple[Provider, ...] = (
    "openai",
    "openai-chat",
    "anthropic",
    "gemini",
    "gemini-interactions",
    "mcp",
)

_TYPED: dict[Provider, TypeAdapter[Any]] = {
    "openai": TypeAdapter(ResponseInputItemParam),
    "openai-chat": TypeAdapter(ChatCompletionMessageParam),
    "anthropic": TypeAdapter(MessageParam),
    "gemini": TypeAdapter(gemini.Content),
    "gemini-interactions": TypeAdapter(interactions.FunctionResultStep),
    "mcp": TypeAdapter(mcp.types.CallToolResult),
}

_STEP: TypeAdapter[Any] = TypeAdapter(list[interactions.Step])

_TOOLS: dict[Provider, TypeAdapter[Any]] = {
    "openai": TypeAdapter(openai.types.responses.ToolParam),
    "openai-chat": TypeAdapter(openai.types.chat.ChatCompletionToolUnionParam),
    "anthropic": TypeAdapter(anthropic.types.ToolParam),
    "gemini": TypeAdapter(gemini.Tool),
    "gemini-interactions": TypeAdapter(interactions.Function),
    "mcp": TypeAdapter(mcp.types.Tool),
}

_MADE: dict[Provider, Callable[[Any], object]] = {
    "openai": lambda document: Response.construct(**document),
    "openai-chat": lambda document: ChatCompletion.construct(**document),
    "anthropic": lambda document: Message.construct(**document),
    "gemini": gemini.GenerateContentResponse.model_validate,
    "gemini-interactions": interactions.Interaction.model_validate,
    "mcp": mcp.types.CallToolRequest.model_validate,
}


def received(provider: Provider, document: Json) -> object:
    """Give the object that the provider's SDK makes of a response."""
    return _MADE[provider](document)


def as_messages(provider: Provider, messages: tuple[Json, ...]) -> tuple[Json, ...]:
    """Give what the SDK makes of messages: the same, unless it lacks or does not know a member."""
    return tuple(_whole(_TYPED[provider].validate_python(each)) for each in messages)


def as_steps(steps: tuple[Json, ...]) -> tuple[Json, ...]:
    """Give what the SDK makes of an interaction's steps."""
    return tuple(cast("list[Json]", _whole(_STEP.validate_python(list(steps)))))


def as_tools(provider: Provider, tools: list[Json]) -> list[Json]:
    """Give what the SDK makes of definitions: the same, unless it does not know a member."""
    return [_whole(_TOOLS[provider].validate_python(each)) for each in tools]


def _whole(value: object) -> Json:
    """Read to their ends the iterators with which the SDKs' types validate lists lazily."""
    match value:
        case BaseModel():
            return cast("Json", value.model_dump(mode="json", by_alias=True, exclude_unset=True))
        case dict():
            members = cast("dict[str, object]", value)
            return {name: _whole(member) for name, member in members.items()}
        case list() | tuple() | Iterator():
            return [_whole(each) for each in cast("Iterator[object]", value)]
        case _:
            return cast("Json", value)
