"""The providers' own SDK clients, pointed at servers of ours."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
from google import genai
from google.genai.types import HttpOptions, HttpRetryOptions

from sandbox.tools.clients import Api
from tests.servers.anthropic import AnthropicServer
from tests.servers.base import Fails, Object, ProviderServer, Says
from tests.servers.gemini import GeminiServer
from tests.servers.gemini_interactions import InteractionsServer
from tests.servers.openai_chat import ChatServer
from tests.servers.openai_responses import ResponsesServer

__all__ = ["PROVIDERS", "ServedProvider"]

NewClient = Callable[[str], Any]


@dataclass(frozen=True)
class ServedProvider:
    """One provider: its API, its server, how its clients are made, how a user speaks."""

    api: Api
    server: Callable[..., ProviderServer]
    new_client: NewClient
    new_async_client: NewClient
    server_error: type[Exception]
    user: Callable[[str], Object]

    def serve(self, *script: Says | Fails) -> ProviderServer:
        """Make a server that plays a script."""
        return self.server(*script)

    @contextmanager
    def client(self, server: ProviderServer) -> Generator[Any]:
        """Make a sync client for a server, and close it."""
        client = self.new_client(server.url)
        try:
            yield client
        finally:
            client.close()

    @asynccontextmanager
    async def async_client(self, server: ProviderServer) -> AsyncGenerator[Any]:
        """Make an async client for a server, and close it."""
        client = self.new_async_client(server.url)
        try:
            yield client
        finally:
            await (client.aclose() if hasattr(client, "aclose") else client.close())


def _user(text: str) -> Object:
    return {"role": "user", "content": text}


def _gemini_user(text: str) -> Object:
    return {"role": "user", "parts": [{"text": text}]}


def _step(text: str) -> Object:
    return {"type": "user_input", "content": [{"type": "text", "text": text}]}


def _openai(url: str) -> openai.OpenAI:
    return openai.OpenAI(api_key="none", base_url=url, max_retries=0)


def _async_openai(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0)


def _anthropic(url: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="none", base_url=url, max_retries=0)


def _async_anthropic(url: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key="none", base_url=url, max_retries=0)


def _gemini(url: str) -> genai.Client:
    once = HttpRetryOptions(attempts=1)
    return genai.Client(api_key="none", http_options=HttpOptions(base_url=url, retry_options=once))


def _async_gemini(url: str) -> Any:
    return _gemini(url).aio


PROVIDERS: dict[str, ServedProvider] = {
    "openai": ServedProvider(
        "openai", ResponsesServer, _openai, _async_openai, openai.InternalServerError, _user
    ),
    "openai-chat": ServedProvider(
        "openai-chat", ChatServer, _openai, _async_openai, openai.InternalServerError, _user
    ),
    "anthropic": ServedProvider(
        "anthropic",
        AnthropicServer,
        _anthropic,
        _async_anthropic,
        anthropic.InternalServerError,
        _user,
    ),
    "gemini": ServedProvider(
        "gemini", GeminiServer, _gemini, _async_gemini, genai.errors.ServerError, _gemini_user
    ),
    "gemini-interactions": ServedProvider(
        "gemini-interactions",
        InteractionsServer,
        _gemini,
        _async_gemini,
        Exception,  # the SDK's own for this API has no public name
        _step,
    ),
}
