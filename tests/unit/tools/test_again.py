"""The same call again: answered from the ledger, and never run twice."""

from pathlib import Path
from typing import Any

import pytest

from sandbox import Called, Context, EngineFault, Toolset
from sandbox.tools.ledger import Ledger
from tests.unit.tools.turns import answer_all, answer_one, call_of, turn_of, value_of

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


def test_a_call_that_comes_again_is_not_run_again() -> None:
    tools = tools_with()
    answer_one(tools, "count")

    assert (value_of(answer_one(tools, "count").answer), RUNS) == (1, [1])


@pytest.mark.parametrize(
    ("second", "context"),
    [
        (call_of("count", {}, "call_2"), None),
        (call_of("count", {"to": 2}, "call_1"), None),
        (call_of("count", {}, "call_1"), Context(user="somebody else")),
    ],
    ids=["id", "arguments", "user"],
)
def test_another_call_is_run(second: Any, context: Context | None) -> None:
    tools = tools_with()
    answer_all(tools, call_of("count", {}, "call_1"))
    answer_all(tools, second, context=context)

    assert len(RUNS) == 2


@pytest.mark.parametrize("parallel", [1, 8])
def test_a_call_twice_in_one_turn_runs_once_and_is_answered_twice(parallel: int) -> None:
    tools = Toolset(parallel=parallel)
    tools.add(count, where="host")
    answered = answer_all(tools, call_of("count"), call_of("count"))

    assert ([value_of(answer) for answer in answered.answers], RUNS) == ([1, 1], [1])


def test_a_call_without_an_id_runs_each_time() -> None:
    tools = tools_with()
    answer_all(tools, call_of("count", {}, ""), call_of("count", {}, ""))

    assert len(RUNS) == 2


def test_a_tool_may_run_again_if_it_says_so() -> None:
    tools = tools_with(idempotency=None)
    answer_one(tools, "count")
    answer_one(tools, "count")

    assert len(RUNS) == 2


def test_a_resumed_turn_is_answered_from_the_file(tmp_path: Path) -> None:
    def in_a_new_program() -> Called:
        with Toolset(ledger=tmp_path / "ledger") as tools:
            tools.add(count, where="host")
            return tools.answer_sync(turn_of(call_of("count"))).calls[0]

    in_a_new_program()
    called = in_a_new_program()

    assert (called.fate, value_of(called.answer), RUNS) == ("duplicate", 1, [1])


def test_a_call_that_was_cut_by_a_crash_is_not_run_again(tmp_path: Path) -> None:
    class Crashing(Ledger):
        """A ledger of a program that dies while the call runs."""

        def finish(self, key: str, record: object) -> None:
            raise EngineFault(f"{key} {record}")  # noqa: EM102, TRY003 - nobody reads it

    def pay_with(ledger: Ledger) -> Called:
        tools = Toolset(ledger=ledger)
        tools.add(pay, where="host")
        called = answer_one(tools, "pay", {"amount": 5})
        ledger.close()
        return called

    pay_with(Crashing(tmp_path / "ledger"))
    called = pay_with(Ledger(tmp_path / "ledger"))

    assert (called.fate, called.started, RUNS) == ("duplicate", "unknown", [5])


def test_an_error_is_remembered_too() -> None:
    def fail() -> None:
        RUNS.append("fail")
        raise ValueError("five")  # noqa: EM101 - a handler as people write them

    tools = Toolset()
    tools.add(fail, where="host")
    answer_one(tools, "fail")

    assert (answer_one(tools, "fail").answer.is_error, RUNS) == (True, ["fail"])


@pytest.mark.parametrize(("name", "fate"), [("count", "ok"), ("fail", "error")])
def test_a_call_that_comes_again_says_how_the_first_ended(name: str, fate: str) -> None:
    def fail() -> None:
        raise ValueError("five")  # noqa: EM101 - a handler as people write them

    tools = Toolset()
    tools.add(count, fail, where="host")
    first, again = answer_one(tools, name), answer_one(tools, name)

    assert (first.first_fate, again.fate, again.first_fate) == (None, "duplicate", fate)
