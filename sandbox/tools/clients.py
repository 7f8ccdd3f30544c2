"""How each provider's own client is asked. No SDK is imported: a client is known by what it has."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from anyio import move_on_after, to_thread

from sandbox.errors import BadCall
from sandbox.providers import read_turn, stream_reader
from sandbox.providers.envelope import Provider, Turn
from sandbox.providers.plain import kind_shown, plain
from sandbox.tools.hooks import settled
from sandbox.tools.spoken import reason_of, text_in_event, text_of

__all__ = ["Api", "Client", "Heard", "OnText", "client_of"]

Api: TypeAlias = Literal["openai", "openai-chat", "anthropic", "gemini", "gemini-interactions"]
"""What a client may be asked with."""
OnText: TypeAlias = Callable[[str], None]
"""Called with each piece of the model's words as it comes."""

_METHODS: Final[Mapping[Api, tuple[str, str]]] = {
    "openai": ("responses.create", "responses.create"),
    "anthropic": ("messages.create", "messages.create"),
    "gemini": ("models.generate_content", "models.generate_content_stream"),
    "openai-chat": ("chat.completions.create", "chat.completions.create"),
    "gemini-interactions": ("interactions.create", "interactions.create"),
}
"""What each API is called by: for a whole response, and for a stream of events."""

MOST_CLOSE_SECONDS: Final = 5.0
MESSAGES_KEY: Final[Mapping[Provider, str]] = {
    "openai": "input",
    "gemini": "contents",
    "gemini-interactions": "input",
}
"""What the conversation is called, where that is not "messages"."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One response of a model. response: the SDK's own object, None after a stream."""

    turn: Turn
    text: str
    reason: str
    """Why it ended, in the provider's word; "" if that said nothing."""
    response: object = None


@dataclass(frozen=True, kw_only=True)
class Client:
    """A provider's client and how to ask it."""

    api: Api
    create: Callable[..., Any]
    create_stream: Callable[..., Any]
    is_async: bool

    @property
    def messages_key(self) -> str:
        """The argument that takes the conversation."""
        return MESSAGES_KEY.get(self.api, "messages")

    async def ask(
        self, request: Mapping[str, Any], on_text: OnText | None, *, stream: bool
    ) -> Heard:
        """Ask it. A sync client is asked in a thread; when cancelled, that one ends by itself."""
        create = self._creator(request, stream=stream)
        if not self.is_async:
            create = partial(to_thread.run_sync, create, abandon_on_cancel=True)
        given = await create()
        if not stream:
            return self._whole(given, on_text)
        gathered = _Gathered(self.api, on_text)
        try:
            async for event in _events(given):
                gathered.take(event)
        finally:
            await _close(given)
        return gathered.heard()

    def ask_sync(
        self, request: Mapping[str, Any], on_text: OnText | None, *, stream: bool
    ) -> Heard:
        """Ask it, and wait here."""
        given = self._creator(request, stream=stream)()
        if not stream:
            return self._whole(given, on_text)
        gathered = _Gathered(self.api, on_text)
        try:
            for event in given:
                gathered.take(event)
        finally:
            given.close()
        return gathered.heard()

    def _creator(self, request: Mapping[str, Any], *, stream: bool) -> Callable[[], Any]:
        if not stream:
            return partial(self.create, **request)
        if self.api == "gemini":
            return partial(self.create_stream, **request)
        return partial(self.create_stream, **request, stream=True)

    def _whole(self, response: object, on_text: OnText | None) -> Heard:
        document = plain(response)
        turn = read_turn(document, self.api)
        text = text_of(turn.history)
        if on_text and text:
            on_text(text)
        return Heard(turn=turn, text=text, reason=reason_of(document), response=response)


class _Gathered:
    """The events of a stream, put together."""

    def __init__(self, api: Api, on_text: OnText | None) -> None:
        self._reader = stream_reader(api)
        self._on_text = on_text
        self._reason = ""

    def take(self, event: object) -> None:
        document = plain(event)
        self._reader.feed(document)
        self._reason = reason_of(document) or self._reason
        text = text_in_event(document)
        if self._on_text and text:
            self._on_text(text)

    def heard(self) -> Heard:
        turn = self._reader.turn()
        if not self._reason:
            message = "the response has not come to its end: the stream broke"
            raise BadCall(message)
        return Heard(turn=turn, text=text_of(turn.history), reason=self._reason)


_END: Final = object()


async def _events(given: Any) -> AsyncIterator[object]:
    """Give the events of a stream; those of a sync one are waited for in a thread."""
    if hasattr(given, "__aiter__"):
        async for event in given:
            yield event
        return
    events: Iterator[object] = iter(given)
    while (event := await to_thread.run_sync(next, events, _END)) is not _END:
        yield event


async def _close(given: Any) -> None:
    """Give the connection back, also when the rest of the stream is not wanted, or cancelled."""
    with move_on_after(MOST_CLOSE_SECONDS, shield=True):
        await settled(given.aclose() if hasattr(given, "aclose") else given.close())


def client_of(client: object, api: Api | None) -> Client:
    """Find out how to ask a client: by `api`, or else by the first API that it has.

    Raises BadCall for what has none, or not the one that is asked for.
    """
    if api is not None and api not in _METHODS:
        message = f"there is no api {api!r}: use {', '.join(map(repr, _METHODS))}"
        raise BadCall(message)
    for each in (api,) if api else _METHODS:
        create, create_stream = (_member(client, path) for path in _METHODS[each])
        if create and create_stream:
            is_async = inspect.iscoroutinefunction(inspect.unwrap(create))
            return Client(api=each, create=create, create_stream=create_stream, is_async=is_async)
    wanted = f"{_METHODS[api][0]}()" if api else "method that asks a model"
    message = f"{kind_shown(client)} has no {wanted}: give a client of a provider's SDK"
    raise BadCall(message)


def _member(client: object, path: str) -> Callable[..., Any] | None:
    found: Any = client
    for name in path.split("."):
        found = getattr(found, name, None)
    return found if callable(found) else None
