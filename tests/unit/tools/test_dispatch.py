"""From a call to its answer: exactly one, with its id, whatever happens on the way."""

import logging
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from opentelemetry.sdk.trace import TracerProvider

from sandbox import CannotEnforce, Context, EngineFault, SandboxError, Toolset
from sandbox.backends.fake import FakeBackend, raised, returned
from sandbox.tools.hooks import Asked, Ended, Hook
from sandbox.tools.telemetry import Telemetry
from tests.unit.tools.turns import answer_all, answer_one, call_of, text_of, turn_of

RUNS: list[object] = []


@pytest.fixture(autouse=True)
def _no_runs() -> None:
    RUNS.clear()


def count(to: int = 1) -> int:
    """Count runs.

    Args:
        to: what to count

    """
    RUNS.append(to)
    return len(RUNS)


def pay(amount: int) -> str:
    RUNS.append(amount)
    return f"paid {amount}"


def tools_with(**options: Any) -> Toolset:
    tools = Toolset()
    tools.add(count, where="host", **options)
    return tools


def nobody(_: Context) -> bool:
    return False


# What ends a call before it runs


REFUSED: dict[str, tuple[str, Any, dict[str, Any], str, str]] = {
    "unknown": ("counts", {}, {}, "unknown_tool", "Did you mean count?"),
    "disabled": ("count", {}, {"enabled": False}, "disabled", "switched off"),
    "disabled here": ("count", {}, {"enabled": nobody}, "disabled", "switched off"),
    "not permitted": ("count", {}, {"permissions": {"pay"}}, "not_permitted", "permission pay"),
    "extra": ("count", {"of": 1}, {}, "bad_arguments", "the arguments are: to"),
    "not JSON": ("count", "{", {}, "bad_arguments", "JSON"),
    "nobody approves": ("count", {}, {"needs_approval": True}, "not_approved", "approval"),
}


@pytest.mark.parametrize(
    ("name", "arguments", "options", "fate", "words"), REFUSED.values(), ids=REFUSED
)
def test_what_cannot_run_is_answered(
    name: str, arguments: Any, options: dict[str, Any], fate: str, words: str
) -> None:
    called = answer_one(tools_with(**options), name, arguments)

    assert (called.fate, words in text_of(called.answer), called.answer.is_error) == (
        fate,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("name", "arguments", "options", "fate", "words"), REFUSED.values(), ids=REFUSED
)
def test_what_cannot_run_has_not_run(
    name: str, arguments: Any, options: dict[str, Any], fate: str, words: str
) -> None:
    del fate, words
    called = answer_one(tools_with(**options), name, arguments)

    assert (RUNS, called.started, called.transaction) == ([], "no", "not_started")


def test_the_tools_that_a_caller_may_not_use_are_not_named() -> None:
    tools = tools_with()
    tools.add(pay, permissions={"pay"})

    assert "pay" not in text_of(answer_one(tools, "cuont").answer)


def test_a_permission_lets_a_call_run() -> None:
    called = answer_one(
        tools_with(permissions={"pay"}), "count", context=Context(permissions={"pay"})
    )

    assert called.fate == "ok"


def test_a_long_name_is_not_said_back() -> None:
    assert len(text_of(answer_one(tools_with(), "x" * 100_000).answer)) < 500


@pytest.mark.parametrize(
    ("decision", "fate"),
    [(True, "ok"), (False, "not_approved"), ("too much", "not_approved"), (None, "not_approved")],
)
def test_an_approval_decides(decision: Any, fate: str) -> None:
    called = answer_one(tools_with(needs_approval=True), "count", approve=lambda _: decision)

    assert called.fate == fate


def test_the_model_is_told_why_a_call_was_not_approved() -> None:
    called = answer_one(tools_with(needs_approval=True), "count", approve=lambda _: "ask my boss")

    assert "ask my boss" in text_of(called.answer)


def refuse(_: Asked) -> str:
    return "ticket 5 of queue b"


@pytest.mark.parametrize("options", [{}, {"approve": refuse}], ids=["nobody", "refused"])
def test_a_user_hears_of_a_missing_approval_in_words_of_its_own(options: Any) -> None:
    called = answer_one(tools_with(needs_approval=True), "count", **options)

    assert called.user_message == "count was not run: it was not approved."


# Faults that are not the tool's


class Broken(Hook):
    """Fails before every call."""

    def before(self, asked: Asked) -> None:
        raise ZeroDivisionError(asked.tool)


def test_a_hook_that_fails_is_an_answer_and_not_an_exception() -> None:
    tools = Toolset(hooks=[Broken()])
    tools.add(count, where="host")
    called = answer_one(tools, "count")

    assert (called.fate, called.started, RUNS) == ("fault", "no", [])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (EngineFault("no zygote at /opt/x", started="no"), "Nothing of it was run"),
        (EngineFault("it died", started="yes"), "it may have had some effect"),
        (EngineFault("who knows", started="unknown"), "not known"),
        (CannotEnforce("no landlock"), "Nothing of it was run"),
    ],
    ids=["not started", "started", "unknown", "policy"],
)
def test_a_fault_of_the_engine_says_whether_the_call_ran(fault: SandboxError, words: str) -> None:
    tools = Toolset(backend=FakeBackend([fault]))
    tools.add(count)

    assert words in text_of(answer_one(tools, "count").answer)


def test_a_fault_s_own_words_stay_with_the_program() -> None:
    tools = Toolset(backend=FakeBackend([EngineFault("no zygote at /opt/x")]))
    tools.add(count)

    assert "/opt/x" not in text_of(answer_one(tools, "count").answer)


def test_a_fault_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    tools = Toolset(backend=FakeBackend([EngineFault("no zygote")]))
    tools.add(count)
    with caplog.at_level(logging.ERROR):
        answer_one(tools, "count")

    assert "no zygote" in caplog.text


KEPT: list[object] = []


def keep() -> int:
    return len(KEPT)


@pytest.fixture
def _nothing_kept() -> Iterator[None]:
    yield
    KEPT.clear()


@pytest.mark.usefixtures("_nothing_kept")
def test_a_tool_that_cannot_be_sent_any_more_is_told_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tools = Toolset(backend=FakeBackend([]))
    tools.add(keep)
    KEPT.append(threading.Lock())
    called = answer_one(tools, "keep")

    assert (called.fate, text_of(called.answer), "cannot be sent" in caplog.text) == (
        "fault",
        "keep cannot be run as it is set up: do without it. Nothing of it was run.",
        True,
    )


def test_a_sibling_s_fault_is_its_own() -> None:
    tools = Toolset(backend=FakeBackend([EngineFault("gone")]))
    tools.add(count)
    tools.add(pay, where="host")
    answered = answer_all(tools, call_of("count", None, "1"), call_of("pay", {"amount": 5}, "2"))

    assert [called.fate for called in answered.calls] == ["fault", "ok"]


def test_a_call_that_never_started_may_be_tried_again() -> None:
    tools = Toolset(backend=FakeBackend([EngineFault("busy"), returned(5)]))
    tools.add(count)
    answer_one(tools, "count")

    assert answer_one(tools, "count").fate == "ok"


def test_a_guest_s_value_that_is_not_what_the_function_says_is_invalid() -> None:
    tools = Toolset(backend=FakeBackend([returned("many")]))
    tools.add(count)

    assert answer_one(tools, "count").fate == "invalid"


def test_a_guest_s_exception_is_told() -> None:
    tools = Toolset(backend=FakeBackend([raised("KeyError", "'city'")]))
    tools.add(count)

    assert text_of(answer_one(tools, "count").answer).startswith("count raised KeyError: 'city'")


def test_a_handler_is_below_the_span_of_its_call_and_not_beside_it() -> None:
    def parent_of(context: Context) -> str:
        return context.traceparent

    provider, outer = TracerProvider(), f"00-{'a' * 32}-{'b' * 16}-01"
    tools = Toolset(hooks=[Telemetry(provider)])
    tools.add(parent_of, where="host")
    called = answer_one(tools, "parent_of", context=Context(traceparent=outer))

    assert (text_of(called.answer)[:35], text_of(called.answer) == outer) == (outer[:35], False)


# Cancelling


def cancelled_turn(tools: Toolset) -> None:
    """Answer one call, and cancel that once it runs."""

    async def turn() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(tools.answer, turn_of(call_of("hang")))
            while not RUNS:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()

    anyio.run(turn)


async def hang() -> None:
    RUNS.append("hang")
    await anyio.sleep_forever()


def test_a_cancelled_call_is_not_run_again_and_says_so() -> None:
    tools = Toolset()
    tools.add(hang, where="host")
    cancelled_turn(tools)
    called = answer_one(tools, "hang")

    assert (RUNS, "the turn was cancelled" in text_of(called.answer)) == (["hang"], True)


class Diary(Hook):
    """Notes the fate of each call."""

    def __init__(self) -> None:
        self.fates: list[str] = []
        self.asked: list[Asked] = []

    def before(self, asked: Asked) -> None:
        self.asked.append(asked)

    def after(self, asked: Asked, ended: Ended) -> None:
        self.asked.append(asked)
        self.fates.append(ended.fate)


def test_hooks_are_told_of_a_cancelled_call() -> None:
    diary = Diary()
    tools = Toolset(hooks=[diary])
    tools.add(hang, where="host")
    cancelled_turn(tools)

    assert diary.fates == ["cancelled"]


@pytest.mark.parametrize("name", ["count", "cuont"])
def test_hooks_are_told_once_of_each_call(name: str) -> None:
    diary = Diary()
    tools = Toolset(hooks=[diary])
    tools.add(count, where="host")
    answer_one(tools, name)

    assert len(diary.fates) == 1


def test_hooks_see_one_object_before_and_after() -> None:
    diary = Diary()
    tools = Toolset(hooks=[diary])
    tools.add(count, where="host")
    answer_one(tools, "count")

    assert diary.asked[0] is diary.asked[1]


def test_a_hook_that_refuses_tells_the_model_why() -> None:
    tools = Toolset(hooks=[lambda asked: f"no {asked.tool} today"])
    tools.add(count, where="host")
    called = answer_one(tools, "count")

    assert (called.fate, "no count today" in text_of(called.answer), RUNS) == ("refused", True, [])


def test_arguments_nested_too_deep_to_look_at_are_answered() -> None:
    arguments: dict[str, Any] = {}
    for _ in range(5000):
        arguments = {"to": arguments}

    assert answer_one(tools_with(), "count", arguments).fate == "bad_arguments"


def test_an_object_nested_too_deep_for_its_provider_is_a_call_that_is_answered() -> None:
    given: dict[str, Any] = {}
    for _ in range(300):
        given = {"to": given}
    block = {"type": "tool_use", "id": "toolu_1", "name": "count", "input": given}
    with tools_with() as tools:
        [called] = tools.answer_sync({"role": "assistant", "content": [block]}).calls

    assert (called.fate, called.call.id, RUNS) == ("bad_arguments", "toolu_1", [])
