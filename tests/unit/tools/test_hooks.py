"""Hooks and approvals: who may stop a call, and what becomes of their own faults."""

import logging
from collections.abc import Callable
from typing import Any, cast

import anyio
import pytest

from sandbox import BadCall
from sandbox.providers.envelope import Answer, Text, ToolCall
from sandbox.tools import hooks as hooks_module
from sandbox.tools.approval import NOBODY, REFUSED, refusal_of
from sandbox.tools.context import Context
from sandbox.tools.hooks import Asked, Ended, Hook, HookFault, Hooks

CALL = ToolCall(id="call_1", name="pay", arguments={"to": {"name": "Ann"}})


def asked_for(call: ToolCall = CALL) -> Asked:
    return Asked(
        provider="openai",
        call=call,
        tool=call.name,
        arguments=call.arguments,
        context=Context(user="u1"),
    )


def ended(*, is_error: bool = False) -> Ended:
    answer = Answer(call=CALL, parts=(Text("done"),), is_error=is_error)
    return Ended(answer=answer, fate="error" if is_error else "ok")


class Diary(Hook):
    """Notes down what it is told, and in which order."""

    def __init__(self, name: str, pages: list[str]) -> None:
        self.name = name
        self.pages = pages

    async def before(self, asked: Asked) -> None:
        self.pages.append(f"{self.name} before {asked.tool}")

    def on_error(self, asked: Asked, ended: Ended) -> None:
        self.pages.append(f"{self.name} {ended.fate} of {asked.tool}")

    async def after(self, asked: Asked, ended: Ended) -> None:
        self.pages.append(f"{self.name} after {asked.tool}: {ended.fate}")


class Faulty(Hook):
    """Raises wherever it is asked."""

    def before(self, asked: Asked) -> None:
        raise ZeroDivisionError(asked.tool)

    async def on_error(self, asked: Asked, ended: Ended) -> None:
        raise ZeroDivisionError(asked.tool + ended.fate)

    def after(self, asked: Asked, ended: Ended) -> None:
        raise ZeroDivisionError(asked.tool + ended.fate)


def before(*given: Hook | Callable[[Asked], str | None]) -> str | None:
    return anyio.run(Hooks(given).before, asked_for())


def finish(*given: Hook, is_error: bool = False) -> None:
    anyio.run(Hooks(given).finish, asked_for(), ended(is_error=is_error))


def test_hooks_are_asked_in_order_and_told_in_the_opposite_one() -> None:
    pages: list[str] = []
    given = (Diary("a", pages), Diary("b", pages))
    before(*given)
    finish(*given)
    assert pages == ["a before pay", "b before pay", "b after pay: ok", "a after pay: ok"]


def test_an_error_is_told_before_the_end() -> None:
    pages: list[str] = []
    finish(Diary("a", pages), is_error=True)
    assert pages == ["a error of pay", "a after pay: error"]


def test_the_first_reason_refuses_and_the_next_hook_is_not_asked() -> None:
    pages: list[str] = []
    assert before(lambda asked: f"no {asked.tool} today", Diary("a", pages)) == "no pay today"
    assert pages == []


def test_without_hooks_nothing_is_refused() -> None:
    assert before() is None


def test_an_async_function_is_a_hook() -> None:
    async def refuse(asked: Asked) -> str:
        await anyio.lowlevel.checkpoint()
        return f"not for {asked.context.user}"

    assert anyio.run(Hooks([refuse]).before, asked_for()) == "not for u1"


def test_a_hook_that_raises_before_is_a_fault_and_nothing_was_started() -> None:
    with pytest.raises(HookFault, match="Faulty raised ZeroDivisionError") as caught:
        before(Faulty())
    assert caught.value.started == "no"


@pytest.mark.parametrize("given", [True, False, 0, b"no"], ids=repr)
def test_what_is_neither_text_nor_none_lets_nothing_run(given: object) -> None:
    with pytest.raises(HookFault, match="neither a text nor None"):
        before(lambda _: given)  # type: ignore[arg-type, return-value]  # a mistake of a user's


def test_a_hook_that_raises_afterwards_keeps_no_other_from_being_told() -> None:
    pages: list[str] = []
    finish(Diary("a", pages), Faulty(), is_error=True)
    assert pages == ["a error of pay", "a after pay: error"]


def test_a_hook_that_raises_is_logged_with_its_name_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        finish(Faulty(), is_error=True)
    assert [vars(record)["hook"] for record in caplog.records] == ["Faulty", "Faulty"]


def test_the_end_is_told_in_a_cancelled_scope_too() -> None:
    pages: list[str] = []

    class Slow(Hook):
        async def after(self, asked: Asked, ended: Ended) -> None:
            await anyio.lowlevel.checkpoint()
            pages.append(f"{asked.tool} {ended.fate}")

    async def cancelled() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await Hooks([Slow()]).finish(asked_for(), ended())

    anyio.run(cancelled)
    assert pages == ["pay ok"]


def test_a_hook_that_hangs_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hooks_module, "MOST_FINISH_SECONDS", 0.01)

    class Stuck(Hook):
        async def after(self, asked: Asked, ended: Ended) -> None:
            del asked, ended
            await anyio.Event().wait()

    finish(Stuck())
    assert [record.message for record in caplog.records] == ["a hook took too long"]


def test_what_a_hook_changes_reaches_neither_the_call_nor_its_history() -> None:
    asked = asked_for()
    for given in (asked.arguments, asked.call.arguments):
        cast("dict[str, dict[str, str]]", given)["to"]["name"] = "Eve"
    assert CALL.arguments == {"to": {"name": "Ann"}}


def test_arguments_nested_deeper_than_python_goes_are_no_fault() -> None:
    nested: dict[str, object] = {}
    for _ in range(100_000):
        nested = {"a": nested}
    call = ToolCall(id="1", name="f", arguments=nested)  # type: ignore[arg-type]  # JSON, but deep
    assert asked_for(call).arguments == "[nested too deep]"


@pytest.mark.parametrize("given", [Diary, 5, None], ids=str)
def test_what_is_no_hook_is_refused(given: object) -> None:
    with pytest.raises(BadCall, match="is no hook"):
        Hooks([given])  # type: ignore[list-item]  # a mistake of a user's


@pytest.mark.parametrize(
    ("decision", "refusal"),
    [
        pytest.param(True, None, id="yes"),
        pytest.param(False, REFUSED, id="no"),
        pytest.param("too much", f"{REFUSED}: too much", id="a reason"),
        pytest.param("", REFUSED, id="an empty reason"),
        pytest.param(None, REFUSED, id="nothing"),
        pytest.param(1, REFUSED, id="not quite True"),
    ],
)
def test_only_true_approves(decision: object, refusal: str | None) -> None:
    def approve(_: Asked) -> Any:
        return decision

    assert anyio.run(refusal_of, approve, asked_for()) == refusal


def test_an_approval_may_be_awaited() -> None:
    async def approve(asked: Asked) -> bool:
        await anyio.lowlevel.checkpoint()
        return asked.tool == "pay"

    assert anyio.run(refusal_of, approve, asked_for()) is None


def test_without_anybody_to_ask_nothing_is_approved() -> None:
    assert anyio.run(refusal_of, None, asked_for()) == NOBODY


def test_an_approval_that_raises_lets_nothing_run() -> None:
    def approve(asked: Asked) -> bool:
        raise KeyError(asked.tool)

    with pytest.raises(HookFault, match="the approval raised KeyError: nothing was run"):
        anyio.run(refusal_of, approve, asked_for())
