"""Time and order of the calls of a turn, and what nobody may read in their answers."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from sandbox import Context, Progress, Text, Toolset
from sandbox.tools.answered import Answered, Called
from sandbox.tools.hooks import Asked
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


async def hang() -> None:
    RUNS.append("hang")
    await anyio.sleep_forever()


def test_a_turn_without_time_left_starts_nothing() -> None:
    called = answer_one(tools_with(), "count", wall_seconds=0)

    assert (called.fate, called.started, RUNS) == ("timeout", "no", [])


def test_the_time_of_a_turn_ends_what_waits_for_a_place() -> None:
    tools = Toolset(parallel=1)
    tools.add(hang, where="host")
    answered = answer_all(
        tools, call_of("hang", {}, "1"), call_of("hang", {}, "2"), wall_seconds=0.05
    )

    assert [called.started for called in answered.calls] == ["yes", "no"]


def test_an_approval_has_no_more_time_than_the_turn() -> None:
    async def think(_: Asked) -> bool:
        await anyio.sleep_forever()
        return True

    called = answer_one(tools_with(needs_approval=True), "count", approve=think, wall_seconds=0.05)

    assert (called.fate, called.started) == ("timeout", "no")


def overlapping() -> Callable[..., Any]:
    """Make a handler that gives how many of its kind ran with it."""
    running: list[int] = []

    async def overlap(number: int) -> int:
        running.append(number)
        RUNS.append(number)
        await anyio.wait_all_tasks_blocked()
        most = len(running)
        running.remove(number)
        return most

    return overlap


@pytest.mark.parametrize(
    ("options", "turn", "together"),
    [({}, {}, 3), ({"sequential": True}, {}, 1), ({}, {"sequential": True}, 1)],
    ids=["parallel", "the tool says one by one", "the turn says one by one"],
)
def test_calls_of_a_turn_run_together_or_one_by_one(
    options: dict[str, Any], turn: dict[str, Any], together: int
) -> None:
    tools = Toolset(parallel=8)
    tools.add(overlapping(), where="host", **options)
    calls = [call_of("overlap", {"number": number}, str(number)) for number in range(3)]
    answered = answer_all(tools, *calls, **turn)

    assert max(value_of(answer) for answer in answered.answers) == together  # type: ignore[type-var]


def test_calls_one_by_one_run_in_the_order_in_which_they_were_asked() -> None:
    tools = Toolset(parallel=8)
    tools.add(overlapping(), where="host", sequential=True)
    answer_all(tools, *[call_of("overlap", {"number": n}, str(n)) for n in range(5)])

    assert RUNS == [0, 1, 2, 3, 4]


def test_no_more_calls_run_than_there_are_places() -> None:
    tools = Toolset(parallel=2)
    tools.add(overlapping(), where="host")
    calls = [call_of("overlap", {"number": number}, str(number)) for number in range(6)]

    assert max(value_of(a) for a in answer_all(tools, *calls).answers) == 2  # type: ignore[type-var]


def test_answers_come_in_the_order_in_which_they_were_asked() -> None:
    async def later(number: int) -> int:
        for _ in range(10 - number):
            await anyio.lowlevel.checkpoint()
        return number

    tools = Toolset()
    tools.add(later, where="host")
    answered = answer_all(tools, *[call_of("later", {"number": n}, str(n)) for n in range(8)])

    assert [value_of(answer) for answer in answered.answers] == list(range(8))


def test_a_nested_call_has_no_more_time_than_its_context() -> None:
    tools = Toolset()

    async def outer(context: Context) -> list[str]:
        nested = context.narrow(wall_seconds=0.05)
        answered = await tools.answer(turn_of(call_of("hang")), context=nested)
        return [each.fate for each in answered.calls]

    tools.add(hang, outer, where="host")

    assert value_of(answer_one(tools, "outer").answer) == ["timeout"]


def test_a_nested_call_needs_no_second_place() -> None:
    tools = Toolset(parallel=1)

    async def inner() -> int:
        return 5

    async def outer() -> object:
        return value_of((await tools.answer(turn_of(call_of("inner")))).answers[0])

    tools.add(inner, outer, where="host")

    assert value_of(answer_one(tools, "outer").answer) == 5


# Secrets


def leak(progress: Progress, context: Context) -> str:
    progress.emit({context.secrets["key"]: [context.secrets["key"]]})
    raise ValueError("the key is " + context.secrets["key"])


def show(context: Context) -> list[str]:
    return ["key " + context.secrets["key"]]


SECRET = Context(secrets={"key": "hunter2"})


def seen_by_a_model(answered: Answered) -> str:
    return str(answered.messages) + answered.user_message


@pytest.mark.parametrize("handler", [leak, show])
def test_no_secret_is_in_what_a_model_or_user_is_told(handler: Callable[..., Any]) -> None:
    tools = Toolset()
    tools.add(handler, name="handler", where="host")

    assert "hunter2" not in seen_by_a_model(answer_all(tools, call_of("handler"), context=SECRET))


def test_no_secret_is_in_the_progress_that_is_shown() -> None:
    told: list[str] = []
    tools = Toolset()
    tools.add(leak, where="host")
    answer_one(tools, "leak", context=SECRET, on_progress=lambda _, value: told.append(str(value)))

    assert told == ["{'[redacted]': ['[redacted]']}"]


def test_the_record_of_the_run_has_all_of_it() -> None:
    tools = Toolset()
    tools.add(show, where="host")
    (result,) = answer_all(tools, call_of("show"), context=SECRET).results

    assert result is not None
    assert result.value == ["key hunter2"]


def test_the_user_is_told_less_than_the_model() -> None:
    tools = Toolset()
    tools.add(leak, where="host")
    called: Called = answer_one(tools, "leak", context=SECRET)

    assert (called.user_message, Text(called.user_message) in called.answer.parts) == (
        "leak failed.",
        False,
    )
