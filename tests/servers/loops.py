"""The loop as tests run it: with an async client, a sync one, and a sync one in a thread."""

from functools import partial
from typing import Any, Final

import anyio

from sandbox import Reply, Toolset, run_automatic, run_automatic_sync
from tests.servers.base import Asks, ProviderServer, Says
from tests.servers.clients import ServedProvider

__all__ = ["DONE", "ONE", "OTHER", "QUESTION", "TWO_CALLS", "talk", "talk_in_thread", "talk_sync"]

ONE: Final = Asks("call_A", "add", {"a": 1, "b": 2})
OTHER: Final = Asks("call_B", "add", {"a": 3, "b": 4})
TWO_CALLS: Final = Says("Let me see.", (ONE, OTHER))
DONE: Final = Says("It is 3 and 7.")
QUESTION: Final = "What is 1 + 2, and 3 + 4?"


def talk(provider: ServedProvider, server: ProviderServer, tools: Toolset, **options: Any) -> Reply:
    """Run the loop with an async client."""
    options = {"messages": QUESTION, **options}

    async def whole() -> Reply:
        async with provider.async_client(server) as client:
            return await run_automatic(
                client, tools=tools, model="test-model", api=provider.api, **options
            )

    return anyio.run(whole)


def talk_sync(
    provider: ServedProvider, server: ProviderServer, tools: Toolset, **options: Any
) -> Reply:
    """Run the blocking loop with a sync client."""
    options = {"messages": QUESTION, **options}
    with provider.client(server) as client:
        return run_automatic_sync(
            client, tools=tools, model="test-model", api=provider.api, **options
        )


def talk_in_thread(
    provider: ServedProvider, server: ProviderServer, tools: Toolset, **options: Any
) -> Reply:
    """Run the loop with a sync client."""
    options = {"messages": QUESTION, **options}
    with provider.client(server) as client:
        run = partial(run_automatic, client, tools=tools, model="test-model", api=provider.api)
        return anyio.run(partial(run, **options))
