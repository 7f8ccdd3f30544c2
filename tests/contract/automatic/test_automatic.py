"""The whole loop, with each provider's own client against a server that speaks its API.

The servers refuse what the real ones refuse: a call without its answer, an answer without its
call, a lost signature or reasoning item.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from sandbox import Context, Reply, Toolset, run_automatic
from sandbox.tools.hooks import Asked
from tests.servers.base import Asks, ProviderServer, Says
from tests.servers.clients import PROVIDERS, ServedProvider
from tests.servers.loops import (
    DONE,
    ONE,
    OTHER,
    QUESTION,
    TWO_CALLS,
    talk,
    talk_in_thread,
    talk_sync,
)

pytestmark = pytest.mark.slow  # a new client of an SDK takes a tenth of a second


@pytest.mark.parametrize("run", [talk, talk_sync, talk_in_thread], ids=lambda run: run.__name__)
def test_calls_are_run_and_answered_until_the_model_is_done(
    run: Any, provider: ServedProvider, tools: Toolset, *, stream: bool
) -> None:
    with provider.serve(TWO_CALLS, DONE) as server:
        reply = run(provider, server, tools, stream=stream)
    assert (reply.text, reply.stopped_because, reply.requests, server.left) == (
        "It is 3 and 7.",
        "finished",
        2,
        0,
    )


def test_calls_of_several_turns_are_answered_in_order(
    provider: ServedProvider, tools: Toolset, ran: list[str], *, stream: bool
) -> None:
    script = (Says(calls=(ONE,)), Says(calls=(OTHER,)), DONE)
    with provider.serve(*script) as server:
        reply = talk(provider, server, tools, stream=stream)
    assert (ran, [call.name for call in reply.calls], len(reply.answered)) == (
        ["1 + 2", "3 + 4"],
        ["add", "add"],
        2,
    )


def test_the_messages_of_a_reply_can_be_sent_on(
    provider: ServedProvider, tools: Toolset, *, stream: bool
) -> None:
    with provider.serve(TWO_CALLS, DONE, Says("You are welcome.")) as server:
        first = talk(provider, server, tools, stream=stream)
        messages = [*first.messages, provider.user("Thank you.")]
        second = talk(provider, server, tools, stream=stream, messages=messages)
    assert (second.text, second.messages[:-1]) == ("You are welcome.", messages)


def test_what_was_given_is_not_changed(provider: ServedProvider, tools: Toolset) -> None:
    given = [provider.user(QUESTION)]
    with provider.serve(TWO_CALLS, DONE) as server:
        talk(provider, server, tools, messages=given)
    assert given == [provider.user(QUESTION)]


def test_words_are_told_as_they_come(
    provider: ServedProvider, tools: Toolset, *, stream: bool
) -> None:
    heard: list[str] = []
    with provider.serve(TWO_CALLS, DONE) as server:
        talk(provider, server, tools, stream=stream, on_text=heard.append)
    whole = ["Let me see.", "It is 3 and 7."]
    assert heard == (["Let me ", "see.", "It is 3", " and 7."] if stream else whole)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        pytest.param(Asks("call_A", "fail"), "no such city", id="a tool that raises"),
        pytest.param(Asks("call_A", "nothing"), "add", id="an unknown tool"),
        pytest.param(Asks("call_A", "add", {"a": 1}), "b", id="a missing argument"),
        pytest.param(Asks("call_A", "pay", {"amount": 1}), "approv", id="nobody to approve"),
    ],
)
def test_a_call_that_fails_is_answered_and_the_loop_goes_on(
    call: Asks, told: str, provider: ServedProvider, tools: Toolset, *, stream: bool
) -> None:
    with provider.serve(Says(calls=(call, OTHER)), DONE) as server:
        reply = talk(provider, server, tools, stream=stream)
    failed, went_well = reply.answered[0].answers
    assert (reply.stopped_because, failed.is_error, went_well.is_error) == ("finished", True, False)
    assert told in json.dumps(server.requests[1])


def test_arguments_that_are_no_json_are_answered(tools: Toolset, *, stream: bool) -> None:
    provider = PROVIDERS["openai"]
    with provider.serve(Says(calls=(Asks("call_A", "add", '{"a": 1,'),)), DONE) as server:
        reply = talk(provider, server, tools, stream=stream)
    assert [called.fate for called in reply.answered[0].calls] == ["bad_arguments"]


@pytest.mark.parametrize(
    ("decision", "outcome"),
    [
        pytest.param(True, ["pay 5"], id="approved"),
        pytest.param("too much for today", [], id="refused for a reason"),
    ],
)
def test_an_approval_decides_and_its_reason_reaches_the_model(
    decision: bool | str,  # noqa: FBT001 - what an approval gives
    outcome: list[str],
    provider: ServedProvider,
    tools: Toolset,
    ran: list[str],
) -> None:
    asked: list[str] = []

    def approve(call: Asked) -> bool | str:
        asked.append(f"{call.context.user} {call.tool} {call.arguments}")
        return decision

    script = (Says(calls=(Asks("call_A", "pay", {"amount": 5}),)), DONE)
    with provider.serve(*script) as server:
        talk(provider, server, tools, approve=approve, context=Context(user="u1"))
    assert (asked, ran) == (["u1 pay {'amount': 5}"], outcome)
    assert (str(decision) in json.dumps(server.requests[1])) == (decision is not True)


# Waiting


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_sync_client_does_not_stop_the_event_loop(
    loop: str, provider: ServedProvider, tools: Toolset, *, stream: bool
) -> None:
    async def open_when_asked(server: ProviderServer) -> None:
        await to_thread.run_sync(server.asked.wait)
        server.gate.set()

    async def both(server: ProviderServer, client: object) -> None:
        ask = partial(run_automatic, tools=tools, model="m", api=provider.api, stream=stream)
        async with anyio.create_task_group() as group:
            group.start_soon(open_when_asked, server)
            replies.append(await ask(client, QUESTION))

    replies: list[Reply] = []
    with provider.serve(DONE) as server, provider.client(server) as client:
        server.gate.clear()
        anyio.run(both, server, client, backend=loop)
    assert [reply.text for reply in replies] == ["It is 3 and 7."]


def test_it_can_be_cancelled_while_the_model_thinks(
    provider: ServedProvider, tools: Toolset, *, stream: bool
) -> None:
    async def cancelled(server: ProviderServer) -> bool:
        async with provider.async_client(server) as client, anyio.create_task_group() as group:
            ask = partial(run_automatic, tools=tools, model="m", api=provider.api, stream=stream)
            group.start_soon(ask, client, QUESTION)
            await to_thread.run_sync(server.asked.wait)
            group.cancel_scope.cancel()
        return group.cancel_scope.cancelled_caught

    with provider.serve(DONE) as server:
        server.gate.clear()
        was_cancelled = anyio.run(cancelled, server)
        server.gate.set()
    assert was_cancelled


def test_it_can_be_cancelled_in_the_middle_of_a_stream(
    provider: ServedProvider, tools: Toolset, ran: list[str]
) -> None:
    async def cancelled(server: ProviderServer) -> bool:
        async with provider.async_client(server) as client, anyio.create_task_group() as group:
            ask = partial(run_automatic, tools=tools, model="m", api=provider.api, stream=True)
            group.start_soon(ask, client, QUESTION)
            await to_thread.run_sync(server.halted.wait)
            group.cancel_scope.cancel()
        return group.cancel_scope.cancelled_caught

    with provider.serve(Says("Let me see.", (ONE, OTHER), halts=True)) as server:
        was_cancelled = anyio.run(cancelled, server)
        server.gate.set()
    assert (was_cancelled, ran) == (True, [])


def test_a_callback_for_words_that_raises_ends_the_stream(
    provider: ServedProvider, tools: Toolset
) -> None:
    def fail(text: str) -> None:
        raise RecursionError(text)

    with provider.serve(DONE) as server, pytest.raises(RecursionError, match="It is 3"):
        talk(provider, server, tools, stream=True, on_text=fail)


# In a guest


def test_the_loop_runs_calls_in_guests(
    provider: ServedProvider, tmp_path: Path, *, stream: bool
) -> None:
    def where() -> bool:
        """Say whether the test's folder can be seen."""
        return Path(folder).exists()

    folder = str(tmp_path)
    with Toolset() as tools:
        tools.add(where)
        with provider.serve(Says(calls=(Asks("call_A", "where"),)), DONE) as server:
            reply = talk_sync(provider, server, tools, stream=stream)
    result = reply.answered[0].results[0]
    assert result is not None
    assert (result.status, result.value) == ("ok", False)
