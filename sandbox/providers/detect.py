"""Whose response a document is, by its shape."""

from typing import Final

from sandbox.providers.envelope import Provider
from sandbox.providers.plain import JsonObject
from sandbox.wire import Json

__all__ = ["provider_of"]

_WHOLE: Final[tuple[tuple[str, Provider], ...]] = (
    ("candidates", "gemini"),
    ("promptFeedback", "gemini"),
    ("prompt_feedback", "gemini"),
    ("parts", "gemini"),
    ("choices", "openai-chat"),
    ("message", "openai-chat"),
    ("tool_calls", "openai-chat"),
    ("output", "openai"),
    ("steps", "gemini-interactions"),
    ("stop_reason", "anthropic"),
    ("params", "mcp"),
    ("method", "mcp"),
)
"""Members that only the response (or message, or content) of one provider has."""

_OF_TYPE: Final[dict[str, Provider]] = {
    "custom_tool_call": "openai",
    "shell_call": "openai",
    "apply_patch_call": "openai",
    "reasoning": "openai",
    "program": "openai",
    "output_text": "openai",
    "refusal": "openai",
    "web_search_call": "openai",
    "tool_use": "anthropic",
    "server_tool_use": "anthropic",
    "thinking": "anthropic",
    "redacted_thinking": "anthropic",
    "text": "anthropic",
    "function": "openai-chat",
    "custom": "openai-chat",
    "thought": "gemini-interactions",
    "model_output": "gemini-interactions",
    "user_input": "gemini-interactions",
}
"""Items, blocks and steps that only one provider has."""

_PART: Final = {"functionCall", "function_call", "thoughtSignature", "thought_signature", "text"}


def provider_of(document: Json) -> Provider | None:
    """Say whose response it is, or its list of items, blocks, parts or steps; None: unknown."""
    if isinstance(document, dict):
        return _of_object(document)
    for element in document if isinstance(document, list) else []:
        provider = _of_element(element) if isinstance(element, dict) else None
        if provider is not None:
            return provider
    return None


def _of_object(document: JsonObject) -> Provider | None:
    for member, provider in _WHOLE:
        if document.get(member) is not None:
            return provider
    return _of_content(document) or _of_element(document) or _of_request(document)


def _of_content(document: JsonObject) -> Provider | None:
    match document:
        case {"type": "message", "content": list(content)}:
            return provider_of(content)
        case {"role": "assistant", "content": list(content)}:
            return provider_of(content) or "anthropic"
        case {"role": "assistant"}:
            return "openai-chat"
        case {"content": dict()}:
            return "gemini"
        case _:
            return None


def _of_element(element: JsonObject) -> Provider | None:
    match element:
        case {"type": "function_call"}:
            return "openai" if "call_id" in element else "gemini-interactions"
        case {"type": "message", "content": list(content)}:
            return provider_of(content) or "openai"
        case {"type": str(kind)}:
            return _OF_TYPE.get(kind)
        case {"message": dict()}:
            return "openai-chat"
        case _:
            return "gemini" if _PART & element.keys() else None


def _of_request(document: JsonObject) -> Provider | None:
    """Say whether it is the params of a tools/call request."""
    return "mcp" if isinstance(document.get("name"), str) and "type" not in document else None
