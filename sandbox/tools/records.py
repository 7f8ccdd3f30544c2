"""How a call that ran is kept in the ledger, and read from there."""

from typing import cast

from sandbox.providers.envelope import Answer, ToolCall
from sandbox.tools.answered import Called
from sandbox.tools.hooks import Fate
from sandbox.wire import Json, describe_part, parse_parts

__all__ = ["from_record", "to_record"]


def to_record(called: Called) -> Json:
    """Give what an answer needs when the same call comes again; nothing of the full result."""
    answer = called.answer
    return {
        "fate": called.fate,
        "parts": [describe_part(part) for part in answer.parts],
        "is_error": answer.is_error,
        "partial": list(answer.partial),
        "user_message": called.user_message,
    }


def from_record(record: Json, call: ToolCall) -> Called:
    """Give the answer for a call that came again. Raises ValueError for what is no record."""
    match record:
        case {
            "fate": str(fate),
            "parts": list(parts),
            "is_error": bool(is_error),
            "partial": list(partial),
            "user_message": str(user_message),
        }:
            answer = Answer(
                call=call,
                parts=parse_parts(cast("list[Json]", parts)),
                is_error=is_error,
                partial=tuple(cast("list[Json]", partial)),
            )
            return Called(
                call=call,
                answer=answer,
                fate="duplicate",
                first_fate=cast("Fate", fate),
                user_message=user_message,
            )
        case _:
            message = "the ledger holds something else for this call"
            raise ValueError(message)
