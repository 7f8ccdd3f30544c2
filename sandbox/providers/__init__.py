"""Each provider's shapes, to and from one envelope. Nothing here executes anything."""

from collections.abc import Sequence
from typing import Final, Protocol

from sandbox.providers import anthropic, chat, gemini, interactions, mcp, responses
from sandbox.providers.definitions import Definitions, Prepared, losses_of, prepare
from sandbox.providers.detect import provider_of
from sandbox.providers.envelope import Answer, Declaration, Provider, Turn
from sandbox.providers.names import check_name, check_provider, qualified_name
from sandbox.providers.plain import plain, refuse
from sandbox.providers.stream import StreamReader, stream_reader
from sandbox.wire import Json

__all__ = [
    "Definitions",
    "StreamReader",
    "check_name",
    "encode_answers",
    "encode_definitions",
    "qualified_name",
    "read_turn",
    "stream_reader",
]


class _Format(Protocol):
    """What a provider's module has."""

    def read(self, document: Json) -> Turn:
        """Read a response."""
        ...

    def encode(self, turn: Turn, answers: Sequence[Answer]) -> tuple[Json, ...]:
        """Write the answers."""
        ...

    def tools(self, prepared: Sequence[Prepared]) -> list[Json]:
        """Write the definitions."""
        ...


_FORMATS: Final[dict[Provider, _Format]] = {
    "openai": responses,
    "openai-chat": chat,
    "anthropic": anthropic,
    "gemini": gemini,
    "gemini-interactions": interactions,
    "mcp": mcp,
}


def read_turn(response: object, provider: Provider | None = None) -> Turn:
    """Read the calls of a model's response, and what of it goes into the history.

    response: an SDK's object, plain JSON, or a text of JSON; the whole of it, or only its
    message, content, output items, parts or steps. provider: found by the shape unless given;
    needed for an empty list, which could be anybody's. BadCall: it is no response of a model, or
    there is no such provider.
    """
    document = plain(response)
    known = provider if provider is not None else provider_of(document)
    if known is None:
        refuse("the response has no shape of a known provider: name the provider, or see its JSON")
    check_provider(known)
    return _FORMATS[known].read(document)


def encode_answers(turn: Turn, answers: Sequence[Answer]) -> tuple[Json, ...]:
    """Write the answers in the format of the turn's provider, to be sent after `turn.history`.

    answers: one for each call, in order. ValueError: they are not, which is a bug of the caller's.
    """
    return _FORMATS[turn.provider].encode(turn, answers)


def encode_definitions(
    declarations: Sequence[Declaration], provider: Provider, *, strict: bool
) -> Definitions:
    """Write what the model is told of the tools.

    strict: the provider shall hold the model to the schemas. A tool that strict mode cannot
    express is sent without it, and `losses` says so. BadCall: there is no such provider.
    """
    check_provider(provider)
    prepared = [prepare(each, provider, strict=strict) for each in declarations]
    return Definitions(tools=_FORMATS[provider].tools(prepared), losses=losses_of(prepared))
