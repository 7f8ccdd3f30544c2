"""Tools as they are registered and declared, and a toolset from its beginning to its end."""

import asyncio
import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from sandbox import BadCall, BadPolicy, Context, EngineFault, Policy, Toolset
from sandbox.providers.envelope import ToolCall, Turn
from sandbox.tools.tool import Changes, Options
from tests.unit.tools.turns import answer_all, call_of, text_of, turn_of, value_of


def greet(name: str) -> str:
    """Greet somebody.

    Args:
        name: whom

    """
    return f"hello {name}"


class Bank:
    """An object whose methods are tools."""

    def __init__(self) -> None:
        self.balance = 10

    def pay(self, amount: int) -> int:
        """Pay."""
        self.balance -= amount
        return self.balance

    def look(self) -> int:
        """Look."""
        return self.balance

    def _hidden(self) -> None:
        """Nobody's."""


def names(tools: Toolset) -> list[str]:
    return list(tools.tools)


def greeting(tools: Toolset, name: str = "greet") -> str:
    called = answer_all(tools, call_of(name, {"name": "Ann"})).calls[0]
    return text_of(called.answer)


# Registering


def test_a_decorated_function_stays_what_it_is() -> None:
    tools = Toolset()
    decorated = tools.tool(where="host")(greet)

    assert (decorated is greet, greeting(tools)) == (True, "hello Ann")


def test_a_decorator_needs_no_options() -> None:
    tools = Toolset()

    assert (tools.tool(greet) is greet, names(tools)) == (True, ["greet"])


def test_a_function_is_found_by_its_import_path() -> None:
    tools = Toolset()
    tools.add("tests.unit.tools.test_toolset:greet", where="host")

    assert greeting(tools) == "hello Ann"


def test_the_public_methods_of_an_object_are_tools() -> None:
    tools = Toolset()
    tools.add(Bank(), where="host", namespace="bank")

    assert names(tools) == ["bank__look", "bank__pay"]


def test_methods_share_their_object() -> None:
    tools = Toolset()
    tools.add(Bank(), where="host", sequential=True)
    calls = (call_of("pay", {"amount": 3}, "1"), call_of("look", {}, "2"))

    assert [value_of(answer) for answer in answer_all(tools, *calls).answers] == [7, 7]


@pytest.mark.parametrize(
    "what",
    ["greet", "no.such:thing", "json:nothing", ":x", Bank, object(), 5],
    ids=["no module", "no such module", "no such name", "no name", "class", "object", "number"],
)
def test_what_is_no_function_is_refused(what: object) -> None:
    with pytest.raises(BadCall):
        Toolset().add(what)


def test_two_tools_of_one_name_are_refused() -> None:
    tools = Toolset()
    tools.add(greet)

    with pytest.raises(BadCall, match="two tools 'greet'"):
        tools.add(greet)


def test_a_namespace_and_a_name_that_join_to_another_name_are_refused() -> None:
    tools = Toolset()
    tools.add(greet, name="a__b")

    with pytest.raises(BadCall, match="two tools"):
        tools.add(greet, name="b", namespace="a")


def test_of_several_functions_none_is_registered_if_one_is_refused() -> None:
    tools = Toolset()
    with pytest.raises(BadCall):
        tools.add(greet, "no.such:thing")

    assert names(tools) == []


def test_one_name_is_for_one_function() -> None:
    with pytest.raises(BadCall, match="is for one function"):
        Toolset().add(Bank(), name="bank")


@pytest.mark.parametrize("name", ["a b", "x" * 65, "ü", "1st"])
def test_a_name_that_a_provider_refuses_is_refused_here(name: str) -> None:
    with pytest.raises(BadCall, match="cannot be named"):
        Toolset().add(greet, name=name)


@pytest.mark.parametrize(
    "options",
    [{"permissions": "pay"}, {"where": "cloud"}, {"idempotency": "always"}],
    ids=["permissions", "where", "idempotency"],
)
def test_an_option_that_does_not_fit_is_refused(options: Any) -> None:
    with pytest.raises(BadCall):
        Toolset().add(greet, **options)


@pytest.mark.parametrize(
    "changes",
    [{"wall_second": 5}, {"wall_seconds": -1}, {"policy": "lax"}],
    ids=["unknown", "wrong", "no such policy"],
)
def test_a_policy_that_does_not_fit_is_refused(changes: Any) -> None:
    with pytest.raises(BadPolicy):
        Toolset().add(greet, **changes)


# Policies


def test_a_tool_without_a_policy_has_the_toolset_s() -> None:
    (tool,) = Toolset("strict").add(greet)

    assert tool.policy == Policy.load("strict")


def test_a_tool_may_have_a_policy_of_its_own(tmp_path: Path) -> None:
    document = tmp_path / "weather.toml"
    document.write_text('extends = "strict"\n[quota]\nwall_seconds = 2.0\n', encoding="utf-8")
    (tool,) = Toolset().add(greet, policy=document)

    assert tool.policy.quota.wall_seconds == 2.0


def test_keys_of_the_policy_change_it_for_one_tool() -> None:
    (tool,) = Toolset("strict").add(greet, wall_seconds=60, memory_bytes=1 << 30)

    assert (tool.policy.quota.wall_seconds, tool.policy.quota.memory_bytes) == (60, 1 << 30)


def test_a_wider_policy_has_a_reason() -> None:
    (own,) = Toolset().add(greet, wall_seconds=60, reason="slow")
    (ours,) = Toolset().add(greet, wall_seconds=60)

    assert (own.policy.reason, ours.policy.reason) == ("slow", "the tool greet is registered so")


def test_every_key_of_a_policy_can_be_changed_for_a_tool() -> None:
    policy = Policy()
    keys = policy.__class__.model_fields.keys() | policy.quota.__class__.model_fields.keys()

    of_sessions = {"idle_seconds", "life_seconds"}
    assert Changes.__annotations__.keys() == keys - {"name", "summary"} - of_sessions


def test_no_option_has_the_name_of_a_key_of_a_policy() -> None:
    assert Options.__annotations__.keys() & Changes.__annotations__.keys() == set()


# Declaring


def declared(tools: Toolset, **options: Any) -> list[str]:
    definitions = cast("list[dict[str, Any]]", tools.definitions("anthropic", **options))
    return [each["name"] for each in definitions]


def test_a_tool_is_declared_by_its_signature() -> None:
    tools = Toolset()
    tools.add(greet)
    (definition,) = cast("list[dict[str, Any]]", tools.definitions("anthropic", strict=False))

    assert (definition["name"], definition["description"]) == ("greet", "Greet somebody.")


def test_a_disabled_tool_is_not_declared() -> None:
    tools = Toolset()
    tools.add(greet, enabled=False)

    assert declared(tools) == []


@pytest.mark.parametrize(("permissions", "seen"), [({"pay"}, ["greet"]), (set[str](), [])])
def test_a_caller_is_told_of_the_tools_it_may_use(permissions: set[str], seen: list[str]) -> None:
    tools = Toolset()
    tools.add(greet, permissions={"pay"})

    assert declared(tools, context=Context(permissions=permissions)) == seen


def test_what_strict_mode_cannot_say_is_reported() -> None:
    def free(given: dict[str, int]) -> None:
        del given

    tools = Toolset()
    tools.add(free)

    assert "free" in " ".join(tools.definition_losses("openai"))


@pytest.mark.parametrize(
    ("namespace", "name"), [("geo", "greet"), ("", "geo__greet")], ids=["beside", "joined"]
)
def test_a_namespace_is_found_in_either_form(namespace: str, name: str) -> None:
    tools = Toolset()
    tools.add(greet, where="host", namespace="geo")
    call = ToolCall(id="1", name=name, namespace=namespace, arguments={"name": "Ann"})

    assert text_of(answer_all(tools, call).answers[0]) == "hello Ann"


def test_a_name_alone_does_not_reach_into_a_namespace() -> None:
    tools = Toolset()
    tools.add(greet, where="host", namespace="geo")

    assert answer_all(tools, call_of("greet", {"name": "Ann"})).calls[0].fate == "unknown_tool"


def test_a_provider_that_is_none_is_told_which_there_are() -> None:
    tools = Toolset()
    provider: Any = "claude"

    with pytest.raises(BadCall, match="'openai', 'openai-chat', 'anthropic', 'gemini', "):
        tools.definitions(provider)


def test_a_response_of_a_provider_that_is_none_is_refused() -> None:
    provider: Any = "claude"

    with Toolset() as tools, pytest.raises(BadCall, match="no provider 'claude'"):
        tools.answer_sync(RESPONSE, provider=provider)


# Answers


RESPONSE = {
    "role": "assistant",
    "content": [
        {"type": "text", "text": "I greet."},
        {"type": "tool_use", "id": "toolu_1", "name": "greet", "input": {"name": "Ann"}},
    ],
}


def test_the_messages_go_back_as_they_are() -> None:
    tools = Toolset()
    tools.add(greet, where="host")
    answered = tools.answer_sync(RESPONSE)
    tools.close()

    assert answered.messages == [
        RESPONSE,
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "hello Ann"}],
        },
    ]


def test_messages_items_and_content_are_one_thing() -> None:
    tools = Toolset()
    tools.add(greet, where="host")
    answered = answer_all(tools, call_of("greet", {"name": "Ann"}))

    assert answered.messages == answered.items == answered.content
    assert answered.messages == [*answered.turn.history, *answered.outputs]


def test_a_response_without_calls_has_no_answers() -> None:
    answered = answer_all(Toolset())

    assert (answered.answers, answered.messages) == ((), list(answered.turn.history))


def test_what_is_no_response_is_refused() -> None:
    async def answer() -> None:
        await Toolset().answer({"weather": "fine"})

    with pytest.raises(BadCall):
        anyio.run(answer)


def test_a_user_is_told_a_line_for_each_call_that_went_wrong() -> None:
    tools = Toolset()
    tools.add(greet, where="host")
    calls = (call_of("greet", {"name": "Ann"}, "1"), call_of("grete", {}, "2"), call_of("x"))

    assert len(answer_all(tools, *calls).user_message.splitlines()) == 2


# Its end


@pytest.mark.parametrize("again", [1, 2])
def test_a_closed_toolset_answers_nothing(again: int) -> None:
    tools = Toolset()
    for _ in range(again):
        tools.close()

    with pytest.raises(EngineFault, match="closed"):
        tools.answer_sync(turn_of())


def test_both_faces_may_be_used_at_once() -> None:
    tools = Toolset(ledger=None)
    tools.add(greet, where="host")

    async def turn() -> list[str]:
        async with tools:
            here = await tools.answer(turn_of(call_of("greet", {"name": "Ann"})))
            there = await asyncio.to_thread(
                tools.answer_sync, turn_of(call_of("greet", {"name": "Bob"}))
            )
        return [text_of(answered.answers[0]) for answered in (here, there)]

    assert asyncio.run(turn()) == ["hello Ann", "hello Bob"]


def test_what_a_decorator_with_its_own_name_wraps_is_called() -> None:
    def shouting(function: Callable[..., str]) -> Callable[..., str]:
        @functools.wraps(function)
        def shout(*args: Any, **kwargs: Any) -> str:
            return function(*args, **kwargs).upper()

        return shout

    tools = Toolset()
    tools.add(shouting(greet), where="host")

    assert greeting(tools) == "HELLO ANN"


def test_answering_well_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    tools = Toolset()
    tools.add(greet, where="host")
    with caplog.at_level(logging.INFO):
        greeting(tools)

    assert [record for record in caplog.records if record.name.startswith("sandbox")] == []


def test_a_turn_of_another_provider_is_answered_in_its_format() -> None:
    tools = Toolset()
    tools.add(greet, where="host")
    call = ToolCall(id="call_A", name="greet", arguments='{"name":"Ann"}')
    answered = tools.answer_sync(Turn(provider="openai", calls=(call,), history=()))
    tools.close()

    assert answered.messages == [
        {"type": "function_call_output", "call_id": "call_A", "output": "hello Ann"}
    ]
