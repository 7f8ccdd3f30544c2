"""What the SDKs' own clients give, streamed or parsed, is read like the plain response."""

import json
from collections.abc import Iterable, Sequence

import anthropic
import httpx2
import openai
import pytest
from pydantic import BaseModel

from sandbox.providers import read_turn, stream_reader
from sandbox.providers.envelope import Provider, Turn
from sandbox.wire import Json
from tests.unit.providers.documents import CHAT_MESSAGE, WHOLE
from tests.unit.providers.test_streams_anthropic import EVENTS
from tests.unit.providers.test_streams_openai import CHAT_EVENTS, RESPONSES_EVENTS

ONE_CALL_AFTER_THE_OTHER = [*CHAT_EVENTS[:5], CHAT_EVENTS[6], CHAT_EVENTS[5], *CHAT_EVENTS[7:]]
"""The SDK's own reader parses a call's arguments as soon as a piece of another comes."""


class get_weather(BaseModel):  # noqa: N801  # the SDK takes the tool's name from the class
    """Tell the weather."""

    city: str


def served(events: Sequence[Json]) -> httpx2.Client:
    """Give a transport that answers every request with these events."""
    lines = [f"event: {kind_of(event)}\ndata: {json.dumps(event)}\n\n" for event in events]
    body = "".join(lines).encode()
    headers = {"content-type": "text/event-stream"}
    return httpx2.Client(
        transport=httpx2.MockTransport(
            lambda _: httpx2.Response(200, content=body, headers=headers)
        )
    )


def kind_of(event: Json) -> str:
    kind = event.get("type", "message") if isinstance(event, dict) else "message"
    return str(kind)


def openai_client(events: Sequence[Json]) -> openai.OpenAI:
    return openai.OpenAI(api_key="none", http_client=served(events))


def anthropic_client() -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="none", http_client=served(EVENTS))


def gathered(provider: Provider, events: Iterable[object]) -> Turn:
    reader = stream_reader(provider)
    for event in events:
        reader.feed(event)
    return reader.turn()


def test_a_stream_of_responses_is_read() -> None:
    events = openai_client(RESPONSES_EVENTS).responses.create(model="m", input="x", stream=True)

    assert gathered("openai", events) == read_turn(WHOLE["openai"])


def test_what_openais_own_reader_of_responses_parsed_is_not_sent_back() -> None:
    tools = [openai.pydantic_function_tool(get_weather)]
    client = openai_client(RESPONSES_EVENTS)

    with client.responses.stream(model="m", input="x", tools=tools) as stream:
        response = stream.get_final_response()

    assert read_turn(response) == read_turn(WHOLE["openai"])


def test_a_stream_of_chat_is_read() -> None:
    client = openai_client(CHAT_EVENTS)

    events = client.chat.completions.create(model="m", messages=[], stream=True)

    assert gathered("openai-chat", events) == read_turn(CHAT_MESSAGE)


def test_the_events_of_openais_own_reader_of_chat_are_read() -> None:
    client = openai_client(CHAT_EVENTS)

    with client.chat.completions.stream(model="m", messages=[]) as stream:
        turn = gathered("openai-chat", stream)

    assert turn == read_turn(CHAT_MESSAGE)


def test_what_openais_own_reader_of_chat_parsed_is_not_sent_back() -> None:
    tools = [openai.pydantic_function_tool(get_weather)]
    client = openai_client(ONE_CALL_AFTER_THE_OTHER)

    with client.chat.completions.stream(model="m", messages=[], tools=tools) as stream:
        completion = stream.get_final_completion()

    assert read_turn(completion) == read_turn(CHAT_MESSAGE)


def test_a_stream_of_anthropic_is_read() -> None:
    client = anthropic_client()

    events = client.messages.create(model="m", messages=[], max_tokens=1, stream=True)

    assert gathered("anthropic", events) == read_turn(WHOLE["anthropic"])


@pytest.mark.parametrize("is_beta", [False, True], ids=["messages", "beta"])
def test_the_events_of_anthropics_own_reader_are_read(*, is_beta: bool) -> None:
    client = anthropic_client()
    messages = client.beta.messages if is_beta else client.messages

    with messages.stream(model="m", messages=[], max_tokens=1) as stream:
        turn = gathered("anthropic", stream)

    assert turn == read_turn(WHOLE["anthropic"])


@pytest.mark.parametrize("is_beta", [False, True], ids=["messages", "beta"])
def test_what_anthropics_own_reader_parsed_is_not_sent_back(*, is_beta: bool) -> None:
    client = anthropic_client()
    messages = client.beta.messages if is_beta else client.messages

    with messages.stream(model="m", messages=[], max_tokens=1) as stream:
        message = stream.get_final_message()

    assert read_turn(message) == read_turn(WHOLE["anthropic"])
