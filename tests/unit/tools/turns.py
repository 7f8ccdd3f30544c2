"""Turns of a model for tests, and their answers."""

from collections.abc import Mapping
from typing import TypedDict, Unpack

import anyio

from sandbox import Answered, Called, Context, Text, Toolset
from sandbox.providers.envelope import Answer, Data, ToolCall, Turn
from sandbox.tools.approval import Approve
from sandbox.tools.dispatch import OnProgress
from sandbox.wire import Json


class Options(TypedDict, total=False):
    """What Toolset.answer() takes besides the turn and its context."""

    on_progress: OnProgress
    wall_seconds: float
    approve: Approve
    sequential: bool


def call_of(
    name: str, arguments: Mapping[str, Json] | str | None = None, call_id: str = "call_1"
) -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments if arguments is not None else {})


def turn_of(*calls: ToolCall) -> Turn:
    history: Json = {"role": "assistant", "content": []}
    return Turn(provider="anthropic", calls=calls, history=(history,))


def answer_all(
    tools: Toolset, *calls: ToolCall, context: Context | None = None, **options: Unpack[Options]
) -> Answered:
    """Answer a turn in an event loop of its own."""

    async def answer() -> Answered:
        return await tools.answer(turn_of(*calls), context=context, **options)

    return anyio.run(answer)


def answer_one(
    tools: Toolset,
    name: str,
    arguments: Mapping[str, Json] | str | None = None,
    *,
    context: Context | None = None,
    **options: Unpack[Options],
) -> Called:
    """Answer a turn of one call."""
    return answer_all(tools, call_of(name, arguments), context=context, **options).calls[0]


def text_of(answer: Answer) -> str:
    """Give what the model reads: the texts of an answer."""
    return "\n".join(part.text for part in answer.parts if isinstance(part, Text))


def value_of(answer: Answer) -> Json:
    """Give the one value of an answer."""
    (part,) = answer.parts
    assert isinstance(part, Data)
    value: Json = part.value
    return value
