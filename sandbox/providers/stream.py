"""Put a streamed response together again, event by event, until it can be read like a whole one."""

from collections.abc import Callable
from typing import Final, Protocol

from sandbox.providers import mcp
from sandbox.providers.envelope import Provider, Turn
from sandbox.providers.names import check_provider
from sandbox.providers.plain import plain, refuse
from sandbox.providers.stream_anthropic import AnthropicReader
from sandbox.providers.stream_gemini import GeminiReader
from sandbox.providers.stream_interactions import InteractionsReader
from sandbox.providers.stream_openai import ChatReader, ResponsesReader

__all__ = ["StreamReader", "stream_reader"]


class StreamReader(Protocol):
    """Gathers the events of one response."""

    def feed(self, event: object) -> None:
        """Take the next event or chunk: an SDK's object or plain JSON. Unknown ones are let go.

        BadCall: it is not JSON, or it is the provider's word that the stream has failed.
        """
        ...

    def turn(self) -> Turn:
        """Give what `read_turn` would give for the whole response.

        Arguments that are broken JSON stay text. BadCall: the response has not come to its end,
        so that a call may lack some of its arguments.
        """
        ...


class McpReader:
    """Takes the one request that there is: this protocol does not stream calls."""

    def __init__(self) -> None:
        """Start without a request."""
        self._turn: Turn | None = None

    def feed(self, event: object) -> None:
        """Take the request."""
        self._turn = mcp.read(plain(event))

    def turn(self) -> Turn:
        """Give its turn. BadCall: none came."""
        return self._turn or refuse("no tools/call request came")


_READERS: Final[dict[Provider, Callable[[], StreamReader]]] = {
    "openai": ResponsesReader,
    "openai-chat": ChatReader,
    "anthropic": AnthropicReader,
    "gemini": GeminiReader,
    "gemini-interactions": InteractionsReader,
    "mcp": McpReader,
}


def stream_reader(provider: Provider) -> StreamReader:
    """Start reading one streamed response of this provider's. BadCall: there is no such one."""
    check_provider(provider)
    return _READERS[provider]()
