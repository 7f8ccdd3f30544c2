"""A model's calls run in guests, and answered: values, deadlines, deaths, the turn's own time."""

import fcntl
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Unpack

import anyio
import pytest
from pydantic import BaseModel

from sandbox import Context, Image, Policy, Progress, Resource, Toolset
from sandbox.backends.subprocess import SubprocessBackend
from sandbox.policy import FileGrant
from sandbox.tools.answered import Called
from tests.contract.conftest import BelongingsNow, NewBackend, settled, wait_for
from tests.unit.tools.turns import Options, call_of, text_of, turn_of, value_of

WALL_SECONDS, GRACE_SECONDS = 0.3, 0.2
SOON_SECONDS = 5.0
"""An order of magnitude: a quiet machine needs 0.5 s."""
PNG = b"\x89PNG\r\n\x1a\n..."


class Account(BaseModel):
    """Somebody's."""

    owner: str
    limit: Decimal = Decimal(10)


class Receipt(BaseModel):
    """What was paid."""

    paid: Decimal
    to: Account


def transfer(amount: Decimal, to: Account, *, context: Context) -> Receipt:
    """Pay."""
    if amount > to.limit:
        message = f"{context.user} may pay {to.limit} to {to.owner}"
        raise PermissionError(message)
    return Receipt(paid=amount, to=to)


def naps(number: int) -> int:
    time.sleep(0.3)
    return number


async def greets(name: str) -> str:
    return f"hello {name}"


def draws() -> list[Any]:
    return ["a chart:", Image(PNG)]


def lies() -> int:
    return "many"  # type: ignore[return-value]


def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def eats() -> int:
    return len(bytearray(1 << 30))


def gives_up() -> None:
    raise TimeoutError("the database did not answer")  # noqa: EM101, TRY003 - as people write them


def leaks(context: Context) -> None:
    raise ValueError("the key is " + context.secrets["key"])


def prints_much() -> str:
    return "x" * 100_000


def opens() -> Iterator[str]:
    yield "a connection"


def litters() -> None:
    os.open("/box", os.O_RDONLY)
    if os.fork() == 0:
        time.sleep(60)


def uses(db: Annotated[str, Resource(opens, "db")]) -> str:
    return db


def fails(db: Annotated[str, Resource(opens, "db")]) -> str:
    raise ValueError(db)


HANDLERS = (
    transfer, naps, greets, draws, lies, dies, eats, gives_up, leaks, prints_much, uses, fails,
    litters,
)  # fmt: skip


@pytest.fixture(scope="module")
def tools(warm: Any) -> Iterator[Toolset]:
    """One toolset with all of these, kept warm."""
    backend = SubprocessBackend(
        preload=("cloudpickle", "asyncio"), use_control_groups=warm.mechanism == "cgroup"
    )
    with Toolset(backend=backend, ledger=None) as made:
        made.add(*HANDLERS)
        yield made


def answer(
    tools: Toolset,
    name: str,
    arguments: Any = None,
    context: Context | None = None,
    **options: Unpack[Options],
) -> Called:
    return tools.answer_sync(turn_of(call_of(name, arguments)), context=context, **options).calls[0]


def test_a_function_gets_what_its_signature_says_and_gives_json(tools: Toolset) -> None:
    called = answer(tools, "transfer", {"amount": "5.50", "to": {"owner": "Ann"}})

    assert value_of(called.answer) == {"paid": "5.50", "to": {"owner": "Ann", "limit": "10"}}


def test_what_a_function_raises_reaches_the_model(tools: Toolset) -> None:
    arguments = {"amount": "50", "to": {"owner": "Ann"}}
    called = answer(tools, "transfer", arguments, context=Context(user="Bob"))

    assert "transfer raised PermissionError: Bob may pay 10 to Ann" in text_of(called.answer)


def test_an_async_function_is_awaited(tools: Toolset) -> None:
    assert text_of(answer(tools, "greets", {"name": "Ann"}).answer) == "hello Ann"


def test_a_picture_reaches_the_model(tools: Toolset) -> None:
    assert Image(PNG) in answer(tools, "draws").answer.parts


@pytest.mark.parametrize(
    ("name", "fate"),
    [
        ("lies", "invalid"),
        ("dies", "signal"),
        ("eats", "memory_limit"),
        ("gives_up", "error"),
    ],
)
def test_however_a_call_ends_it_has_an_answer(tools: Toolset, name: str, fate: str) -> None:
    called = answer(tools, name)

    assert (called.fate, called.answer.is_error, bool(text_of(called.answer))) == (fate, True, True)


def test_a_tool_s_own_timeout_error_is_its_own(tools: Toolset) -> None:
    assert "raised TimeoutError: the database" in text_of(answer(tools, "gives_up").answer)


def test_no_secret_that_a_guest_tells_reaches_the_model(tools: Toolset) -> None:
    called = answer(tools, "leaks", context=Context(secrets={"key": "hunter2"}))

    assert "hunter2" not in text_of(called.answer)


def test_a_large_answer_is_cut_and_kept_whole(tools: Toolset) -> None:
    called = answer(tools, "prints_much")
    (whole,) = called.files.values()

    assert (len(whole), len(text_of(called.answer)) < 21_000) == (100_000, True)


@pytest.mark.parametrize(
    ("name", "transaction"),
    [("uses", "committed"), ("fails", "rolled_back"), ("greets", "none")],
)
def test_an_answer_says_what_became_of_its_resources(
    tools: Toolset, name: str, transaction: str
) -> None:
    arguments = {"name": "Ann"} if name == "greets" else {}

    assert answer(tools, name, arguments).transaction == transaction


@pytest.mark.slow
def test_sync_functions_of_one_turn_run_at_once(tools: Toolset) -> None:
    """0.35 s on a quiet machine; one after the other they would take 0.9 s."""
    calls = [call_of("naps", {"number": number}, str(number)) for number in range(3)]
    tools.answer_sync(turn_of(*calls))
    begun = time.monotonic()
    tools.answer_sync(turn_of(*calls))

    assert time.monotonic() - begun < 0.8


@pytest.mark.slow
def test_the_time_of_a_turn_ends_a_call_that_has_more(tools: Toolset) -> None:
    called = answer(tools, "naps", {"number": 1}, wall_seconds=0.1)

    assert called.fate == "timeout"


def test_what_a_function_leaves_open_is_counted(tools: Toolset) -> None:
    left = answer(tools, "litters").left_open

    assert left is not None
    assert (left.files, left.children) == (1, 1)


# Deaths


def with_a_grandchild(then: Callable[[], Any]) -> None:
    """Hold a lock in a process of another session, which no signal but one ends; then go on."""
    ready, say_ready = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
            lock = os.open("/granted/lock", os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.write(say_ready, b"held")
            time.sleep(60)
        os._exit(0)
    os.read(ready, 4)
    then()


def sleeps(progress: Progress) -> None:
    progress("asleep")
    with_a_grandchild(lambda: time.sleep(60))


def loops_in_c(progress: Progress) -> None:
    progress("matching")
    with_a_grandchild(lambda: re.match(r"(a+)+$", "a" * 60 + "b"))


def swallows(progress: Progress) -> None:
    def swallow() -> None:
        while True:
            try:
                time.sleep(60)
            except BaseException:  # noqa: BLE001, S112 - the point
                continue

    progress("deaf")
    with_a_grandchild(swallow)


async def swallows_async(progress: Progress) -> None:
    progress("deaf")
    with_a_grandchild(lambda: None)
    while True:
        try:
            await anyio.sleep(60)
        except BaseException:  # noqa: BLE001, S112 - the point
            continue


DEAF = [sleeps, loops_in_c, swallows, swallows_async]


@pytest.fixture(scope="module")
def granted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the host's that guests may write."""
    folder = tmp_path_factory.mktemp("granted")
    folder.chmod(0o777)
    for parent in list(folder.parents)[:2]:
        parent.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def deaf_tools(warm: Any, granted: Path) -> Iterator[Toolset]:
    """A toolset whose handlers end for nobody."""
    backend = SubprocessBackend(
        preload=("cloudpickle", "asyncio"), use_control_groups=warm.mechanism == "cgroup"
    )
    grant = FileGrant(path=str(granted), at="/granted", access="write", reason="a test")
    policy = Policy.load("tool").widen("a test", files=[grant])
    with Toolset(policy, backend=backend, ledger=None) as made:
        made.add(*DEAF, wall_seconds=WALL_SECONDS, grace_seconds=GRACE_SECONDS)
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("handler", DEAF)
def test_what_does_not_end_is_answered_soon(
    deaf_tools: Toolset, handler: Callable[..., Any]
) -> None:
    begun = time.monotonic()
    called = answer(deaf_tools, handler.__name__)

    assert (called.fate, time.monotonic() - begun < SOON_SECONDS) == ("timeout", True)


@pytest.mark.slow
@pytest.mark.parametrize("handler", DEAF)
def test_what_does_not_end_is_dead_with_its_descendants(
    deaf_tools: Toolset, granted: Path, handler: Callable[..., Any]
) -> None:
    """The lock is free only when the grandchild is dead."""
    answer(deaf_tools, handler.__name__)

    with (granted / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.slow
@pytest.mark.parametrize("handler", DEAF)
def test_how_far_it_got_is_told(deaf_tools: Toolset, handler: Callable[..., Any]) -> None:
    told: list[object] = []
    called = answer(deaf_tools, handler.__name__, on_progress=lambda _, value: told.append(value))

    assert list(called.answer.partial) == told != []


@pytest.mark.slow
def test_the_engine_s_deadline_is_not_a_timeout_error(deaf_tools: Toolset) -> None:
    words = text_of(answer(deaf_tools, "sleeps").answer)

    assert ("stopped by the engine" in words, "TimeoutError" in words) == (True, False)


# The toolset's own end


@pytest.mark.slow
def test_a_toolset_leaves_nothing(new_backend: NewBackend, belongings: BelongingsNow) -> None:
    before = settled(belongings)
    with Toolset(backend=new_backend()) as tools:
        tools.add(greets)
        answer(tools, "greets", {"name": "Ann"})

    assert wait_for(belongings, lambda seen: seen == before) == before


@pytest.mark.slow
def test_a_cancelled_turn_leaves_nothing(
    new_backend: NewBackend, belongings: BelongingsNow
) -> None:
    async def turn() -> None:
        async with Toolset(backend=new_backend()) as tools:
            tools.add(naps)
            with anyio.move_on_after(0.1):
                await tools.answer(turn_of(call_of("naps", {"number": 1})))

    before = settled(belongings)
    anyio.run(turn)

    assert wait_for(belongings, lambda seen: seen == before) == before


@pytest.mark.slow
def test_one_toolset_serves_one_event_loop_after_another() -> None:
    made = Toolset(ledger=None)
    made.add(greets)

    async def turn() -> str:
        answered = await made.answer(turn_of(call_of("greets", {"name": "Ann"})))
        return text_of(answered.calls[0].answer)

    greetings = [anyio.run(turn, backend=loop) for loop in ("asyncio", "trio", "asyncio")]
    anyio.run(made.aclose)

    assert greetings == ["hello Ann"] * 3
