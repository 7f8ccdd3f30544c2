"""What may be said about the loop: Gemini's own settings, and what each provider needs besides."""

import json
import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import openai
import pytest
from google.genai import types
from pydantic import BaseModel

from sandbox import BadCall, Reply, Toolset, run_automatic_sync
from tests.servers.anthropic import AnthropicServer
from tests.servers.base import Asks, ProviderServer, Says
from tests.servers.clients import PROVIDERS, ServedProvider
from tests.servers.gemini import GeminiServer

pytestmark = pytest.mark.slow  # a new client of an SDK takes a tenth of a second

GEMINI, ANTHROPIC, OPENAI = PROVIDERS["gemini"], PROVIDERS["anthropic"], PROVIDERS["openai"]
CALL = Says(calls=(Asks("call_A", "add", {"a": 1, "b": 2}),))
DONE = Says("It is 3.")


class Sum(BaseModel):
    """What a model may be asked to answer in."""

    total: int


@pytest.fixture
def tools() -> Iterator[Toolset]:
    """A tool that runs in the host, so that a test needs no guest."""

    async def add(a: int, b: int = 0, *, labels: dict[str, str] | None = None) -> int:
        """Add two numbers."""
        del labels
        return a + b

    with Toolset() as toolset:
        toolset.add(add, where="host")
        yield toolset


def talk(provider: ServedProvider, server: ProviderServer, tools: Toolset, **options: Any) -> Reply:
    options = {"messages": "What is 1 + 2?", "api": provider.api, **options}
    with provider.client(server) as client:
        return run_automatic_sync(client, tools=tools, model="test-model", **options)


def both_ways(settings: dict[str, Any], **others: Any) -> list[Any]:
    """Give a config as Gemini's own object, as a dict, and as JSON is spelled."""
    camel = {"".join([k.split("_")[0], *map(str.capitalize, k.split("_")[1:])]): v
             for k, v in settings.items()}  # fmt: skip
    return [
        types.GenerateContentConfig(
            automatic_function_calling=types.AutomaticFunctionCallingConfig(**settings), **others
        ),
        {"automatic_function_calling": settings, **others},
        {"automaticFunctionCalling": camel, **others},
    ]


SPELLINGS = pytest.mark.parametrize("spelling", [0, 1, 2], ids=["object", "dict", "JSON"])


@SPELLINGS
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_geminis_config_can_disable_the_loop(
    spelling: int, tools: Toolset, *, stream: bool
) -> None:
    config = both_ways({"disable": True})[spelling]
    with GEMINI.serve(CALL) as server:
        reply = talk(GEMINI, server, tools, config=config, stream=stream)
    assert reply.stopped_because == "disabled"


@SPELLINGS
@pytest.mark.parametrize("maximum", [0, -1])
def test_no_remote_calls_at_all_disable_the_loop_as_in_the_sdk(
    spelling: int, maximum: int, tools: Toolset
) -> None:
    config = both_ways({"maximum_remote_calls": maximum})[spelling]
    with GEMINI.serve(CALL) as server:
        assert talk(GEMINI, server, tools, config=config).stopped_because == "disabled"


@SPELLINGS
def test_geminis_config_bounds_the_requests(spelling: int, tools: Toolset) -> None:
    config = both_ways({"maximum_remote_calls": 2})[spelling]
    with GEMINI.serve(CALL, CALL, CALL) as server:
        reply = talk(GEMINI, server, tools, config=config)
    assert (reply.stopped_because, reply.requests) == ("maximum_calls", 2)


@pytest.mark.parametrize(("ours", "geminis"), [(1, 3), (3, 1)])
def test_of_two_bounds_the_smaller_holds(ours: int, geminis: int, tools: Toolset) -> None:
    config = both_ways({"maximum_remote_calls": geminis})[0]
    with GEMINI.serve(CALL, CALL, CALL) as server:
        assert talk(GEMINI, server, tools, config=config, maximum_calls=ours).requests == 1


@SPELLINGS
def test_geminis_config_can_leave_the_calls_out_of_the_messages(
    spelling: int, tools: Toolset
) -> None:
    config = both_ways({"ignore_call_history": True})[spelling]
    with GEMINI.serve(CALL, DONE) as server:
        reply = talk(GEMINI, server, tools, config=config)
    assert [list(message["parts"][0]) for message in reply.messages] == [["text"], ["text"]]


def test_geminis_own_loop_does_not_stand_by(
    tools: Toolset, caplog: pytest.LogCaptureFixture
) -> None:
    config = types.GenerateContentConfig(tools=[types.Tool(google_search=types.GoogleSearch())])
    with caplog.at_level(logging.INFO, "google_genai.models"), GEMINI.serve(CALL, DONE) as server:
        talk(GEMINI, server, tools, config=config)
    assert [record.message for record in caplog.records if "AFC" in record.message] == []


@SPELLINGS
def test_the_rest_of_geminis_config_reaches_the_model(spelling: int, tools: Toolset) -> None:
    search: list[dict[str, object]] = [{"google_search": {}}]
    config = both_ways({}, temperature=0.25, tools=search, system_instruction="Be brief.")[spelling]
    with GEMINI.serve(DONE) as server:
        talk(GEMINI, server, tools, config=config)
    [sent] = server.requests
    assert (sent["generationConfig"], [list(tool) for tool in sent["tools"]]) == (
        {"temperature": 0.25},
        [["googleSearch"], ["functionDeclarations"]],
    )
    assert "Be brief." in json.dumps(sent["systemInstruction"])


def test_a_config_keeps_what_is_no_json(tools: Toolset) -> None:
    config = types.GenerateContentConfig(
        response_schema=Sum,
        response_mime_type="application/json",
        http_options=types.HttpOptions(headers={"x-test": "yes"}),
    )
    with GEMINI.serve(DONE) as server:
        talk(GEMINI, server, tools, config=config)
    assert server.requests[0]["generationConfig"]["responseSchema"]["title"] == "Sum"


def test_a_config_is_not_changed(tools: Toolset) -> None:
    config = types.GenerateContentConfig(temperature=0.5)
    with GEMINI.serve(CALL, DONE) as server:
        talk(GEMINI, server, tools, config=config)
    assert config == types.GenerateContentConfig(temperature=0.5)


def test_a_function_in_geminis_config_is_refused_because_the_sdk_would_run_it_here(
    tools: Toolset,
) -> None:
    config = types.GenerateContentConfig(tools=[print])
    with GEMINI.serve() as server, pytest.raises(BadCall, match="add them to the Toolset"):
        talk(GEMINI, server, tools, config=config)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_gemini_may_leave_ids_out(tools: Toolset, *, stream: bool) -> None:
    twice = Says(calls=(Asks("", "add", {"a": 1}), Asks("", "add", {"a": 2})))
    with GeminiServer(twice, DONE, sends_ids=False) as server:
        reply = talk(GEMINI, server, tools, stream=stream)
    assert [answer.parts for answer in reply.answered[0].answers] != []
    assert reply.text == "It is 3."


def test_geminis_own_objects_are_messages_too(tools: Toolset) -> None:
    messages = types.Content(role="user", parts=[types.Part(text="What is 1 + 2?")])
    with GEMINI.serve(CALL, DONE) as server:
        reply = talk(GEMINI, server, tools, messages=messages)
    assert (reply.messages[0], reply.text) == (messages, "It is 3.")


# Anthropic


def test_anthropics_container_is_named_in_the_next_request(tools: Toolset) -> None:
    with AnthropicServer(CALL, DONE, container="container_1") as server:
        talk(ANTHROPIC, server, tools)
    assert [request.get("container") for request in server.requests] == [None, "container_1"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_turn_that_pauses_is_sent_back_to_go_on(tools: Toolset, *, stream: bool) -> None:
    with ANTHROPIC.serve(Says("I search.", pauses=True), DONE) as server:
        reply = talk(ANTHROPIC, server, tools, stream=stream)
    assert (reply.text, reply.requests, [each["role"] for each in reply.messages]) == (
        "It is 3.",
        2,
        ["user", "assistant", "assistant"],
    )


def test_a_model_that_only_pauses_stops_at_the_maximum(tools: Toolset) -> None:
    with ANTHROPIC.serve(*[Says("I search.", pauses=True)] * 3) as server:
        reply = talk(ANTHROPIC, server, tools, maximum_calls=3)
    assert (reply.stopped_because, server.left) == ("maximum_calls", 0)


@pytest.mark.parametrize(("given", "sent"), [({}, 4096), ({"max_tokens": 7}, 7)], ids=["none", "7"])
def test_anthropic_gets_the_most_tokens_that_it_insists_on(
    given: dict[str, int], sent: int, tools: Toolset
) -> None:
    with ANTHROPIC.serve(DONE) as server:
        talk(ANTHROPIC, server, tools, **given)
    assert server.requests[0]["max_tokens"] == sent


# OpenAI, and all


def test_an_openai_client_is_asked_with_responses_unless_told_otherwise(tools: Toolset) -> None:
    with OPENAI.serve(DONE) as server:
        assert talk(OPENAI, server, tools, api=None).text == "It is 3."


def test_the_sdks_own_objects_go_back_as_messages(tools: Toolset) -> None:
    with OPENAI.serve(CALL, DONE) as server, OPENAI.client(server) as client:
        response = client.responses.create(model="test-model", input="What is 1 + 2?")
        answers = tools.answer_sync(response).messages[len(response.output) :]
        messages = [{"role": "user", "content": "?"}, *response.output, *answers]
        reply = run_automatic_sync(client, messages, tools=tools, model="test-model")
    assert reply.text == "It is 3."


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "not strict"])
@pytest.mark.parametrize("name", PROVIDERS)
def test_the_model_is_told_of_the_tools_as_asked(
    name: str, tools: Toolset, *, strict: bool
) -> None:
    provider = PROVIDERS[name]
    with provider.serve(DONE) as server:
        talk(provider, server, tools, strict=strict)
    told = json.dumps(tools.definitions(provider.api, strict=strict))
    sent = json.dumps(server.requests[0]["tools"])
    # Gemini's SDK sends this member in the other of the two spellings that the API takes.
    assert json.loads(sent.replace("parameters_json_schema", "parametersJsonSchema")) == (
        json.loads(told)
    )


def test_tools_of_the_providers_own_are_told_after_ours(tools: Toolset) -> None:
    with OPENAI.serve(DONE) as server:
        talk(OPENAI, server, tools, built_in=[{"type": "web_search"}])
    assert [tool["type"] for tool in server.requests[0]["tools"]] == ["function", "web_search"]


@pytest.mark.parametrize("name", PROVIDERS)
def test_without_tools_none_are_told(name: str) -> None:
    provider = PROVIDERS[name]
    with Toolset() as none, provider.serve(DONE) as server:
        talk(provider, server, none)
    assert "tools" not in server.requests[0]


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        pytest.param("openai", {"input": "x"}, "'input' cannot be given", id="messages twice"),
        pytest.param("anthropic", {"max_tokens": 1, "maximum_calls": 0}, "at least 1", id="none"),
        pytest.param("openai", {"conversation": "c"}, "'conversation' cannot", id="two histories"),
        pytest.param("gemini", {"contents": "x"}, "'contents' cannot be given", id="contents"),
        pytest.param("anthropic", {"api": "openai"}, r"no responses\.create", id="another's API"),
        pytest.param("openai", {"api": "mcp"}, "there is no api 'mcp'", id="no API"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_asking(
    name: str, options: dict[str, Any], reason: str, tools: Toolset
) -> None:
    provider = PROVIDERS[name]
    with provider.serve() as server:
        with pytest.raises(BadCall, match=reason):
            talk(provider, server, tools, **options)
        assert server.requests == []


def test_what_is_no_client_is_refused(tools: Toolset) -> None:
    with pytest.raises(BadCall, match="a dict has no method that asks a model"):
        run_automatic_sync({}, "hello", tools=tools, model="m")


def test_an_async_client_needs_the_async_face(tools: Toolset) -> None:
    async def ask() -> None:
        async with openai.AsyncOpenAI(api_key="none", base_url="http://127.0.0.1:9") as client:
            run_automatic_sync(client, "hello", tools=tools, model="m")

    with pytest.raises(BadCall, match="use run_automatic"):
        anyio.run(partial(ask))
