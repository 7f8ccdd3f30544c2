"""How a client is asked: streams are closed however they end. The clients here are no SDK's."""

from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from sandbox import BadCall
from sandbox.tools.clients import Client, client_of

WORDS: dict[str, Any] = {"choices": [{"delta": {"role": "assistant", "content": "so"}}]}
END: dict[str, Any] = {"choices": [{"delta": {}, "finish_reason": "stop"}]}


class Stream:
    """Events of Chat Completions, and whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def __iter__(self) -> Iterator[Any]:
        """Give the events."""
        return iter((WORDS, END))

    def close(self) -> None:
        self.is_closed = True


class AsyncStream(Stream):
    """The same, to be awaited; after the words it waits for nobody if it hangs."""

    def __init__(self, *, hangs: bool = False) -> None:
        super().__init__()
        self.hangs = hangs
        self.has_spoken = anyio.Event()

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Give the events."""
        yield WORDS
        self.has_spoken.set()
        if self.hangs:
            await anyio.Event().wait()
        yield END

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.is_closed = True


def chat(stream: Stream) -> Client:
    """Give a client with Chat Completions alone, async if its stream is."""

    def create(**_: object) -> Stream:
        return stream

    async def create_async(**_: object) -> Stream:
        await anyio.lowlevel.checkpoint()
        return stream

    chosen = create_async if isinstance(stream, AsyncStream) else create
    completions = SimpleNamespace(create=chosen)
    return client_of(SimpleNamespace(chat=SimpleNamespace(completions=completions)), None)


def fail(text: str) -> None:
    raise LookupError(text)


async def ask(stream: Stream, on_text: Any) -> str:
    heard = await chat(stream).ask({}, on_text, stream=True)
    return heard.text


@pytest.mark.parametrize("kind", [Stream, AsyncStream])
def test_a_stream_is_closed_at_its_end(kind: type[Stream]) -> None:
    stream = kind()
    assert (anyio.run(ask, stream, None), stream.is_closed) == ("so", True)


@pytest.mark.parametrize("kind", [Stream, AsyncStream])
def test_a_stream_is_closed_when_its_words_are_not_taken(kind: type[Stream]) -> None:
    stream = kind()
    with pytest.raises(LookupError):
        anyio.run(ask, stream, fail)
    assert stream.is_closed


def test_a_sync_stream_is_closed_when_its_words_are_not_taken() -> None:
    stream = Stream()
    with pytest.raises(LookupError):
        chat(stream).ask_sync({}, fail, stream=True)
    assert stream.is_closed


def test_a_stream_is_closed_when_it_is_cancelled() -> None:
    async def cancelled() -> bool:
        stream = AsyncStream(hangs=True)
        async with anyio.create_task_group() as group:
            group.start_soon(ask, stream, None)
            await stream.has_spoken.wait()
            group.cancel_scope.cancel()
        return stream.is_closed

    assert anyio.run(cancelled)


def test_a_client_is_known_by_what_it_has() -> None:
    client = chat(Stream())
    assert (client.api, client.is_async, client.messages_key) == ("openai-chat", False, "messages")


def test_an_async_client_is_told_from_a_sync_one() -> None:
    assert chat(AsyncStream()).is_async


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(BadCall, match="has no method that asks a model"):
        client_of(SimpleNamespace(chat="no"), None)


@pytest.mark.parametrize(("client", "words"), [(object(), "an object has"), ("x", "a str has")])
def test_what_cannot_be_asked_is_named_with_its_article(client: object, words: str) -> None:
    with pytest.raises(BadCall, match=f"^{words} no method that asks a model"):
        client_of(client, None)
