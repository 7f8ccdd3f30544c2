"""One call of each provider, answered with given parts."""

from collections.abc import Sequence

import pytest

from sandbox.providers import encode_answers, read_turn
from sandbox.providers.envelope import Answer, File, Image, Part, Provider, Turn
from sandbox.wire import Json
from tests.unit.providers.documents import WHOLE

PNG = Image(b"png")
PDF = File(b"pdf", "r.pdf", "application/pdf")
CSV = File(b"a,b\n", "t.csv", "text/csv")
UNKNOWN = File(b"\x00\xff", "x.bin")


def one_call(provider: Provider) -> Turn:
    """Give a turn with the first call of a response alone."""
    turn = read_turn(WHOLE[provider])
    return Turn(provider=provider, calls=turn.calls[:1], history=turn.history)


def answered(provider: Provider, *parts: Part, partial: Sequence[Json] = ()) -> tuple[Json, ...]:
    turn = one_call(provider)
    return encode_answers(
        turn, [Answer(call=turn.calls[0], parts=parts, partial=tuple(partial))]
    )  # fmt: skip


def failed(provider: Provider, *parts: Part, partial: Sequence[Json] = ()) -> tuple[Json, ...]:
    turn = one_call(provider)
    answer = Answer(call=turn.calls[0], parts=parts, is_error=True, partial=tuple(partial))
    return encode_answers(turn, [answer])


def gemini_response(messages: tuple[Json, ...]) -> dict[str, Json]:
    match messages:
        case ({"parts": [{"functionResponse": dict(response)}]},):
            return response
        case _:
            pytest.fail(f"there is more or less than one functionResponse: {messages}")


def anthropic_result(messages: tuple[Json, ...]) -> dict[str, Json]:
    match messages:
        case ({"content": [dict(result)]},):
            return result
        case _:
            pytest.fail(f"there is more or less than one tool_result: {messages}")
