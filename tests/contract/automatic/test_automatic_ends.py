"""Where the loop ends: what is run before, what is left, and what can be sent on."""

import json
from typing import Any

import pytest

from sandbox import Reply, Toolset
from sandbox.errors import BadCall
from tests.servers.base import Asks, Fails, Says
from tests.servers.clients import ServedProvider
from tests.servers.loops import DONE, ONE, OTHER, TWO_CALLS, talk, talk_in_thread, talk_sync

pytestmark = pytest.mark.slow  # a new client of an SDK takes a tenth of a second


@pytest.mark.parametrize("maximum", [1, 2, 3])
def test_the_calls_of_the_last_request_are_not_run(
    maximum: int, provider: ServedProvider, tools: Toolset, ran: list[str]
) -> None:
    script = [Says(calls=(Asks(f"call_{n}", "add", {"a": n, "b": 0}),)) for n in range(maximum)]
    with provider.serve(*script) as server:
        reply = talk(provider, server, tools, maximum_calls=maximum)
    assert (reply.stopped_because, reply.requests, len(ran)) == (
        "maximum_calls",
        maximum,
        maximum - 1,
    )


def test_ten_requests_are_enough_for_everybody_who_says_nothing(
    provider: ServedProvider, tools: Toolset
) -> None:
    script = [Says(calls=(Asks(f"call_{n}", "add", {"a": n, "b": 0}),)) for n in range(11)]
    with provider.serve(*script) as server:
        reply = talk(provider, server, tools)
    assert (reply.requests, server.left) == (10, 1)


def test_a_model_that_is_done_with_the_last_request_has_finished(
    provider: ServedProvider, tools: Toolset
) -> None:
    with provider.serve(TWO_CALLS, DONE) as server:
        reply = talk(provider, server, tools, maximum_calls=2)
    assert (reply.stopped_because, reply.pending) == ("finished", None)


def test_calls_that_were_not_run_can_be_answered_later(
    provider: ServedProvider, tools: Toolset, *, stream: bool
) -> None:
    with provider.serve(TWO_CALLS, DONE) as server:
        first = talk(provider, server, tools, stream=stream, maximum_calls=1)
        assert first.pending is not None
        messages = first.messages + tools.answer_sync(first.pending).messages
        second = talk(provider, server, tools, stream=stream, messages=messages)
    assert second.text == "It is 3 and 7."


def test_disabled_it_asks_once_and_runs_nothing(
    provider: ServedProvider, tools: Toolset, ran: list[str], *, stream: bool
) -> None:
    with provider.serve(TWO_CALLS) as server:
        reply = talk(provider, server, tools, stream=stream, disable=True)
    assert reply.pending is not None
    assert (reply.stopped_because, ran, [call.name for call in reply.pending.calls]) == (
        "disabled",
        [],
        ["add", "add"],
    )


def test_disabled_it_still_tells_the_model_of_the_tools(
    provider: ServedProvider, tools: Toolset
) -> None:
    with provider.serve(DONE) as server:
        reply = talk(provider, server, tools, disable=True)
    assert (reply.stopped_because, "Add two numbers." in json.dumps(server.requests)) == (
        "finished",
        True,
    )


def test_the_callers_condition_ends_it_after_a_turn(
    provider: ServedProvider, tools: Toolset
) -> None:
    seen: list[int] = []

    def stop(reply: Reply) -> bool:
        seen.append(len(reply.calls))
        return len(reply.calls) > 2

    with provider.serve(TWO_CALLS, Says(calls=(Asks("c", "add", {"a": 5, "b": 6}),))) as server:
        reply = talk(provider, server, tools, stop=stop)
    assert (seen, reply.stopped_because, reply.pending) == ([2, 3], "stop", None)


def test_what_a_condition_has_seen_can_be_sent_on_after_a_failure(
    provider: ServedProvider, tools: Toolset
) -> None:
    saved: list[list[Any]] = []

    def save(reply: Reply) -> bool:
        saved.append(reply.messages)
        return False

    with provider.serve(TWO_CALLS, Fails(), DONE) as server:
        with pytest.raises(provider.server_error, match="it is broken today"):
            talk(provider, server, tools, stop=save)
        reply = talk(provider, server, tools, messages=saved[-1])
    assert reply.text == "It is 3 and 7."


def test_calls_of_a_response_that_was_cut_off_are_not_run(
    provider: ServedProvider, tools: Toolset, ran: list[str], *, stream: bool
) -> None:
    with provider.serve(Says(calls=(ONE,), is_cut_off=True)) as server:
        reply = talk(provider, server, tools, stream=stream)
    assert (reply.stopped_because, ran, len(reply.messages)) == ("cut_off", [], 1)


def test_words_that_were_cut_off_are_said_to_be(
    provider: ServedProvider, tools: Toolset, *, stream: bool
) -> None:
    with provider.serve(Says("It is", is_cut_off=True)) as server:
        reply = talk(provider, server, tools, stream=stream)
    assert (reply.stopped_because, reply.text) == ("cut_off", "It is")


def test_calls_of_a_stream_that_broke_are_not_run(
    provider: ServedProvider, tools: Toolset, ran: list[str]
) -> None:
    with (
        provider.serve(Says("Let me see.", (ONE, OTHER), breaks=True)) as server,
        pytest.raises(BadCall, match="has not come to its end"),
    ):
        talk(provider, server, tools, stream=True)
    assert ran == []


@pytest.mark.parametrize("run", [talk, talk_sync, talk_in_thread], ids=lambda run: run.__name__)
def test_a_failure_of_the_provider_is_the_sdks_own(
    run: Any, provider: ServedProvider, tools: Toolset, *, stream: bool
) -> None:
    with (
        provider.serve(Fails()) as server,
        pytest.raises(provider.server_error, match="it is broken today"),
    ):
        run(provider, server, tools, stream=stream)
