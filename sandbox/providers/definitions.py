"""What a model is told of the tools, before each provider's spelling of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.providers.envelope import Declaration, Provider
from sandbox.providers.names import qualified_name
from sandbox.providers.strict import strict_schema
from sandbox.wire import Json

__all__ = ["Definitions", "Prepared", "prepare"]


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """The declared tools in a provider's format."""

    tools: list[Json]
    """Ready to be passed as `tools=` of a request."""
    losses: tuple[str, ...]
    """What strict mode could not express, a sentence each, with the name of the tool first."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """One tool with the name and the schema that a provider is sent."""

    name: str
    description: str
    parameters: dict[str, Json]
    strict: bool
    returns: dict[str, Json] | None
    namespace: str
    losses: tuple[str, ...] = ()


def prepare(declaration: Declaration, provider: Provider, *, strict: bool) -> Prepared:
    """Rewrite a schema for strict mode; a tool that has no strict form stays as it is."""
    name = qualified_name(declaration, provider)
    parameters, losses, possible = dict(declaration.parameters), tuple[str, ...](), False
    if strict:
        rewritten = strict_schema(declaration.parameters, provider)
        losses, possible = tuple(rewritten.losses), rewritten.possible
        parameters = dict(rewritten.schema) if possible else parameters
        losses = losses if possible else ("sent without strict mode", *losses)
    return Prepared(
        name=name,
        description=declaration.description,
        parameters=parameters,
        strict=possible,
        returns=dict(declaration.returns) if declaration.returns is not None else None,
        namespace=declaration.namespace,
        losses=tuple(f"{name}: {loss}" for loss in losses),
    )


def losses_of(prepared: Sequence[Prepared]) -> tuple[str, ...]:
    """Give all losses, tool after tool."""
    return tuple(loss for each in prepared for loss in each.losses)
