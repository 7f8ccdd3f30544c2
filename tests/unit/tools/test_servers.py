"""The servers of the tests refuse what the real providers refuse: else the loops prove nothing."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.servers.anthropic import AnthropicServer
from tests.servers.base import Asks, Object, ProviderServer, Refused, Says
from tests.servers.gemini import GeminiServer
from tests.servers.gemini_interactions import InteractionsServer
from tests.servers.openai_chat import ChatServer
from tests.servers.openai_responses import ResponsesServer

TURN = Says(calls=(Asks("A", "f"), Asks("B", "g")))

Change = Callable[[list[Object]], list[Object]]


def openai_items() -> tuple[ProviderServer, list[Object]]:
    server = ResponsesServer(TURN)
    answered = {"type": "function_call_output", "output": "x"}
    sent: list[Object] = server.response(TURN)["output"]
    return server, [*sent, {**answered, "call_id": "A"}, {**answered, "call_id": "B"}]


def chat_messages() -> tuple[ProviderServer, list[Object]]:
    server = ChatServer(TURN)
    answered = {"role": "tool", "content": "x"}
    message: Object = server.response(TURN)["choices"][0]["message"]
    return server, [message, {**answered, "tool_call_id": "A"}, {**answered, "tool_call_id": "B"}]


def anthropic_messages() -> tuple[ProviderServer, list[Object]]:
    server = AnthropicServer(TURN)
    answered = {"type": "tool_result", "content": "x"}
    results = [{**answered, "tool_use_id": "A"}, {**answered, "tool_use_id": "B"}]
    turn: Object = {"role": "assistant", "content": server.response(TURN)["content"]}
    return server, [turn, {"role": "user", "content": results}]


def gemini_contents() -> tuple[ProviderServer, list[Object]]:
    server = GeminiServer(TURN)
    answers: list[Object] = [
        {"functionResponse": {"id": "A", "name": "f", "response": {}}},
        {"functionResponse": {"id": "B", "name": "g", "response": {}}},
    ]
    content: Object = server.response(TURN)["candidates"][0]["content"]
    return server, [content, {"role": "user", "parts": answers}]


def interaction_steps() -> tuple[ProviderServer, list[Object]]:
    server = InteractionsServer(TURN)
    results: list[Object] = [
        {"type": "function_result", "call_id": "A", "result": "x"},
        {"type": "function_result", "call_id": "B", "result": "x"},
    ]
    return server, [*server.response(TURN)["steps"], *results]


def inside(index: int, member: str, change: Change) -> Change:
    """Change the list inside one message."""
    return lambda rows: [
        {**row, member: change(row[member])} if number == index else row
        for number, row in enumerate(rows)
    ]


def unsigned(rows: list[Object]) -> list[Object]:
    return [{key: row[key] for key in row if key != "thoughtSignature"} for row in rows]


MESSAGES: dict[str, tuple[Callable[[], tuple[ProviderServer, list[Object]]], str]] = {
    "openai": (openai_items, "input"),
    "openai-chat": (chat_messages, "messages"),
    "anthropic": (anthropic_messages, "messages"),
    "gemini": (gemini_contents, "contents"),
    "gemini-interactions": (interaction_steps, "input"),
}


def send(provider: str, change: Change) -> None:
    make, member = MESSAGES[provider]
    server, messages = make()
    body: dict[str, Any] = {member: change(messages), "max_tokens": 1}
    server.check(body)


@pytest.mark.parametrize("provider", MESSAGES)
def test_a_turn_with_all_its_answers_is_taken(provider: str) -> None:
    send(provider, lambda rows: rows)


FAULTS: Final[dict[str, tuple[str, Change, str]]] = {
    "openai, no answer": ("openai", lambda rows: rows[:-1], "No tool output found"),
    "openai, two answers": ("openai", lambda rows: [*rows, rows[-1]], "No tool call found"),
    "openai, no reasoning": ("openai", lambda rows: rows[1:], "required 'reasoning' item"),
    "openai, another call": (
        "openai",
        lambda rows: [rows[0], {**rows[1], "arguments": "{ }"}, *rows[2:]],
        "not what was sent",
    ),
    "chat, no answer": ("openai-chat", lambda rows: rows[:-1], "Missing: B"),
    "chat, no call": ("openai-chat", lambda rows: rows[1:], "must be a response"),
    "chat, too late": (
        "openai-chat",
        lambda rows: [rows[0], {"role": "user", "content": "?"}, *rows[1:]],
        "Missing: A, B",
    ),
    "anthropic, no answer": ("anthropic", lambda rows: rows[:1], "without `tool_result` blocks"),
    "anthropic, two answers": (
        "anthropic",
        inside(1, "content", lambda parts: [*parts, parts[0]]),
        "a single result",
    ),
    "anthropic, text first": (
        "anthropic",
        inside(1, "content", lambda parts: [{"type": "text", "text": "so:"}, *parts]),
        "must come first",
    ),
    "anthropic, no thinking": (
        "anthropic",
        inside(0, "content", lambda parts: parts[1:]),
        "cannot be modified",
    ),
    "gemini, no answer": (
        "gemini",
        inside(1, "parts", lambda parts: parts[1:]),
        "number of function response parts",
    ),
    "gemini, another order": (
        "gemini",
        inside(1, "parts", lambda parts: parts[::-1]),
        "is not for the function call",
    ),
    "interactions, no answer": (
        "gemini-interactions",
        lambda rows: rows[:-1],
        "have the results",
    ),
    "interactions, no thought": (
        "gemini-interactions",
        lambda rows: rows[1:],
        "without its thought",
    ),
    "gemini, no signature": (
        "gemini",
        inside(0, "parts", unsigned),
        "missing a thought_signature",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_provider_refuses_is_refused(fault: str) -> None:
    provider, change, reason = FAULTS[fault]
    with pytest.raises(Refused, match=reason):
        send(provider, change)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": "object", "properties": {}}, id="open"),
        pytest.param(
            {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
            id="optional",
        ),
    ],
)
def test_openai_refuses_a_schema_that_is_not_strict(schema: Object) -> None:
    tool = {"type": "function", "name": "f", "strict": True, "parameters": schema}
    with pytest.raises(Refused, match="Invalid schema"):
        ResponsesServer().check({"tools": [tool], "input": "?"})
