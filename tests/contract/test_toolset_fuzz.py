"""Ten thousand calls that no sensible model would make: each is answered, and nothing is left."""

import random
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest

from sandbox import Context, Resource, Toolset
from sandbox.providers.envelope import Provider, ToolCall, Turn
from sandbox.tools.answered import Answered
from tests.contract.conftest import BelongingsNow, NewBackend, settled, wait_for

CALLS = 10_000
GUEST_CALLS_IN_A_THOUSAND = 8
PROVIDERS: list[Provider] = ["openai", "openai-chat", "anthropic", "gemini", "mcp"]
SECRET = "hunter2"  # noqa: S105 - to be looked for
WHO = Context(user="Ann", permissions={"read"}, secrets={"key": SECRET})


def opened() -> str:
    return "Ann's own"


def who(
    note: str = "", *, context: Context, db: Annotated[str, Resource(opened)]
) -> tuple[str, str]:
    """Tell what the program gave; the model must not be able to set it."""
    del note
    return context.user, db


def picks(unit: Literal["c", "f"], values: list[int], **_: Any) -> int:
    if not values:
        raise ValueError(unit)
    return max(values)


async def leaks(context: Context) -> str:
    return context.secrets["key"]


def pays(amount: int) -> int:
    return amount


def guest(unit: str = "c") -> str:
    return unit


class Fuzz:
    """Makes calls from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - repeatable, not secret

    def turns(self, count: int) -> Iterator[Turn]:
        """Give turns with so many calls together."""
        while count:
            size = min(count, self.random.randint(1, 40))
            provider = self.random.choice(PROVIDERS)
            calls = tuple(self.call(number, provider) for number in range(size))
            yield Turn(provider=provider, calls=calls, history=())
            count -= size

    def call(self, number: int, provider: Provider) -> ToolCall:
        name = self.name()
        arguments: Any = {} if name == "guest" else self.arguments()
        # Of one turn no two ids are the same but on purpose; of two turns many are.
        call_id = self.random.choice([f"call_{number}", f"c{self.random.random()}", ""])
        if provider != "gemini":
            call_id = call_id or f"n{number}"
        return ToolCall(id=call_id, name=name, arguments=arguments)

    def name(self) -> str:
        if self.random.random() * 1000 < GUEST_CALLS_IN_A_THOUSAND:
            return "guest"
        known = ["who", "leaks", "pays", "off", "picks"]
        return self.random.choice([*known, *known, "whom", "", "pays\n", "../who", "x" * 5000])

    def arguments(self) -> Any:
        given = {self.key(): self.value(3) for _ in range(self.random.randint(0, 3))}
        if self.random.random() < 0.3:
            return self.random.choice(["", "{", "null", "[]", '{"a":1,"a":2}', "NaN", '"{}"', "\0"])
        return given

    def key(self) -> str:
        return self.random.choice(
            ["note", "context", "Context", "db", "_context", "kwargs", "user", "amount", "unit",
             "values", "__class__", "self", "progress", "", "\u017f", "c\u043entext"]
        )  # fmt: skip

    def value(self, depth: int) -> Any:
        plain = [None, True, -1, 10**40, 1.5, "c", "", "\ud800", '{"user":"Bob"}', "x" * 3000]
        if depth and self.random.random() < 0.4:
            inner = [self.value(depth - 1) for _ in range(self.random.randint(0, 3))]
            return self.random.choice([inner, {self.key(): each for each in inner}])
        return self.random.choice(plain)


@pytest.fixture
def tools(new_backend: NewBackend) -> Iterator[Toolset]:
    """A toolset with tools of every kind."""
    with Toolset(backend=new_backend()) as made:
        made.add(who, leaks, pays, where="host")
        made.add(picks, where="host", sequential=True)
        made.add(pays, name="off", where="host", permissions={"pay"})
        made.add(guest)
        yield made


def answered(tools: Toolset, seed: int) -> Iterator[Answered]:
    for turn in Fuzz(seed).turns(CALLS):
        yield tools.answer_sync(turn, context=WHO)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_call_has_one_answer_with_its_id(tools: Toolset) -> None:
    asked: list[str] = []
    told: list[str] = []
    for turn in answered(tools, seed=4):
        asked += [call.id for call in turn.turn.calls]
        told += [answer.call.id for answer in turn.answers]

    assert (len(told), told) == (CALLS, asked)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_nothing_of_the_calls_is_left(new_backend: NewBackend, belongings: BelongingsNow) -> None:
    before = settled(belongings)
    with Toolset(backend=new_backend()) as made:
        made.add(who, leaks, pays, where="host")
        made.add(guest)
        for _ in answered(made, seed=5):
            pass

    assert wait_for(belongings, lambda seen: seen == before) == before


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_no_argument_changes_what_the_program_gives_nor_tells_a_secret(tools: Toolset) -> None:
    given: set[object] = set()
    for turn in answered(tools, seed=6):
        assert SECRET not in repr(turn.messages)
        given |= {
            tuple(called.result.value)
            for called in turn.calls
            if called.call.name == "who" and called.result and called.fate == "ok"
        }

    assert given == {("Ann", "Ann's own")}
