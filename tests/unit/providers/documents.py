"""One response of each provider with two parallel calls, as the APIs send them."""

from sandbox.providers.envelope import Provider
from sandbox.providers.plain import JsonObject
from sandbox.wire import Json

OPENAI_ITEMS: list[Json] = [
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Two cities."}],
        "encrypted_content": "gAAA",
    },
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Looking.", "annotations": []}],
    },
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_A",
        "name": "get_weather",
        "arguments": '{"city":"Paris"}',
        "status": "completed",
    },
    {
        "type": "function_call",
        "id": "fc_2",
        "call_id": "call_B",
        "name": "get_weather",
        "arguments": '{"city":"Rome"}',
        "status": "completed",
        "namespace": "geo",
        "caller": {"type": "program", "caller_id": "call_P"},
    },
]

CHAT_MESSAGE: JsonObject = {
    "role": "assistant",
    "content": None,
    "reasoning_content": "Two cities.",
    "tool_calls": [
        {
            "id": "call_A",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
        },
        {
            "id": "call_B",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'},
        },
    ],
}

ANTHROPIC_BLOCKS: list[Json] = [
    {"type": "thinking", "thinking": "Two cities.", "signature": "EqQB"},
    {"type": "redacted_thinking", "data": "Eo8B"},
    {"type": "text", "text": "Looking."},
    {
        "type": "tool_use",
        "id": "toolu_A",
        "name": "get_weather",
        "input": {"city": "Paris", "day": None},
        "caller": {"type": "direct"},
    },
    {
        "type": "tool_use",
        "id": "toolu_B",
        "name": "get_weather",
        "input": {"city": "Rome"},
        "caller": {"type": "code_execution_20260120", "tool_id": "srvtoolu_1"},
    },
]

GEMINI_CONTENT: JsonObject = {
    "role": "model",
    "parts": [
        {"text": "Two cities.", "thought": True},
        {
            "functionCall": {
                "id": "a1",
                "name": "get_weather",
                "args": {"city": "Paris", "day_of_week": None},
            },
            "thoughtSignature": "c2lnbmVk",
        },
        {"functionCall": {"name": "get_weather", "args": {"city": "Rome"}}},
    ],
}

STEPS: list[Json] = [
    {"type": "thought", "signature": "c2lnbmVk", "summary": [{"type": "text", "text": "Two."}]},
    {"type": "model_output", "content": [{"type": "text", "text": "Looking."}]},
    {
        "type": "function_call",
        "id": "x1",
        "name": "get_weather",
        "arguments": {"city": "Paris", "day": None},
    },
    {"type": "function_call", "id": "x2", "name": "get_weather", "arguments": {"city": "Rome"}},
]

WHOLE: dict[Provider, JsonObject] = {
    "openai": {
        "id": "resp_1",
        "object": "response",
        "created_at": 1.0,
        "model": "gpt",
        "status": "completed",
        "output": OPENAI_ITEMS,
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    },
    "openai-chat": {
        "id": "chatcmpl_1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": CHAT_MESSAGE}],
    },
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": ANTHROPIC_BLOCKS,
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "gemini": {
        "candidates": [{"content": GEMINI_CONTENT, "finishReason": "STOP", "index": 0}],
        "modelVersion": "gemini",
    },
    "gemini-interactions": {"id": "i1", "status": "requires_action", "steps": STEPS},
    "mcp": {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {"name": "get_weather", "arguments": {"city": "Paris"}},
    },
}

INNER: dict[Provider, Json] = {
    "openai": OPENAI_ITEMS,
    "openai-chat": CHAT_MESSAGE,
    "anthropic": ANTHROPIC_BLOCKS,
    "gemini": GEMINI_CONTENT,
    "gemini-interactions": STEPS,
    "mcp": WHOLE["mcp"],
}
"""The message, content or items alone."""

HISTORY: dict[Provider, tuple[Json, ...]] = {
    "openai": tuple(OPENAI_ITEMS),
    "openai-chat": (CHAT_MESSAGE,),
    "anthropic": ({"role": "assistant", "content": ANTHROPIC_BLOCKS},),
    "gemini": (GEMINI_CONTENT,),
    "gemini-interactions": tuple(STEPS),
    "mcp": (),
}

IDS: dict[Provider, list[str]] = {
    "openai": ["call_A", "call_B"],
    "openai-chat": ["call_A", "call_B"],
    "anthropic": ["toolu_A", "toolu_B"],
    "gemini": ["a1", ""],
    "gemini-interactions": ["x1", "x2"],
    "mcp": ["7"],
}
