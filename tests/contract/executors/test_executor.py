"""An executor with real guests: what they raise, that they are killed, that nothing is left."""

import asyncio
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any

import pytest

from sandbox import CallFailed, Policy, SandboxExecutor
from tests.contract.conftest import BelongingsNow, NewBackend, settled

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 30.0
LONG = Policy.load("strict").widen("a test", wall_seconds=60)
SHORT = Policy.load("strict").widen("a test", wall_seconds=0.5)


@pytest.fixture
def executor(new_backend: NewBackend) -> Iterator[SandboxExecutor]:
    """Two places under "strict", with much time."""
    with SandboxExecutor(LONG, max_workers=2, backend=new_backend()) as made:
        yield made


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    message = f"{number} is no good"
    raise ValueError(message)


def test_functions_run_by_import_by_value_and_by_name(executor: SandboxExecutor) -> None:
    futures = [
        executor.submit(math.gcd, 12, 18),
        executor.submit(square, 3),
        executor.submit("json:dumps", {"b": 1, "a": 2}, sort_keys=True),
    ]

    assert [future.result() for future in futures] == [6, 9, '{"a": 2, "b": 1}']


def test_map_takes_several_iterables(executor: SandboxExecutor) -> None:
    assert list(executor.map(pow, range(5), range(5), chunksize=2)) == [1, 1, 4, 27, 256]


def test_a_tuple_comes_back_as_a_list(executor: SandboxExecutor) -> None:
    assert list(executor.map(divmod, [7], [2])) == [[3, 1]]


def test_what_a_guest_raised_is_raised(executor: SandboxExecutor) -> None:
    with pytest.raises(ValueError, match="ValueError: 7 is no good"):
        executor.submit(refuse, 7).result()


def test_the_guests_own_lines_are_shown(executor: SandboxExecutor) -> None:
    error = executor.submit(refuse, 7).exception()

    assert error is not None
    assert ", in refuse\n" in error.__notes__[0]


def test_map_raises_at_the_call_that_failed(executor: SandboxExecutor) -> None:
    values = executor.map(divmod, [1, 1, 1], [1, 0, 2])
    next(values)

    with pytest.raises(ZeroDivisionError):
        next(values)


FATES: dict[str, tuple[Callable[..., object], tuple[Any, ...], str]] = {
    "too long": (time.sleep, (60,), "timeout"),
    "an exit": (sys.exit, (3,), "exit"),
    "a value that is not JSON": (object, (), "invalid"),
}


@pytest.mark.parametrize(("function", "arguments", "status"), FATES.values(), ids=FATES.keys())
def test_any_other_verdict_is_a_failed_call(
    new_backend: NewBackend, function: Callable[..., object], arguments: tuple[Any], status: str
) -> None:
    with SandboxExecutor(SHORT, backend=new_backend()) as executor:
        error = executor.submit(function, *arguments).exception()

    assert isinstance(error, CallFailed)
    assert error.result.status == status


def running(executor: SandboxExecutor, seconds: float) -> Future[Any]:
    """Submit a sleep and wait until its guest has surely begun: another one has come and gone."""
    future = executor.submit(time.sleep, seconds)
    executor.submit(math.sqrt, 4).result()
    return future


def test_cancel_kills_a_guest_that_runs(executor: SandboxExecutor) -> None:
    future = running(executor, 60)
    future.cancel()

    assert wait([future], PATIENCE_SECONDS).done == {future}


def test_an_executor_goes_on_after_a_kill(executor: SandboxExecutor) -> None:
    running(executor, 60).cancel()

    assert executor.submit(square, 3).result() == 9


def test_cancelling_a_task_of_asyncio_kills_its_guest(executor: SandboxExecutor) -> None:
    async def program() -> object:
        loop = asyncio.get_running_loop()
        for seconds in (60, 60):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.run_in_executor(executor, time.sleep, seconds), 0.3)
        return await loop.run_in_executor(executor, square, 3)  # there is a place again

    assert asyncio.run(program()) == 9


USES: dict[str, Callable[[SandboxExecutor], object]] = {
    "values": lambda executor: list(executor.map(square, range(5))),
    "an error": lambda executor: executor.submit(refuse, 1).exception(),
    "a kill": lambda executor: running(executor, 60).cancel(),
    "no wait": lambda executor: executor.shutdown(wait=False),
    "nothing": lambda _: None,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_a_shut_down_executor_leaves_nothing(
    new_backend: NewBackend, belongings: BelongingsNow, use: Callable[[SandboxExecutor], object]
) -> None:
    before = settled(belongings)

    with SandboxExecutor(LONG, max_workers=2, backend=new_backend()) as executor:
        use(executor)

    assert belongings() == before


def test_kills_from_many_threads_leave_nothing(
    new_backend: NewBackend, belongings: BelongingsNow
) -> None:
    before = settled(belongings)

    with SandboxExecutor(LONG, max_workers=3, backend=new_backend()) as executor:
        futures = [executor.submit(time.sleep, number % 2) for number in range(30)]
        threads = [
            threading.Thread(target=cancel_each, args=(futures[offset::2], futures[::3]))
            for offset in (0, 1, 0)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done = wait(futures, PATIENCE_SECONDS).done

    assert (done, belongings()) == (set(futures), before)


def cancel_each(*groups: list[Future[Any]]) -> None:
    for group in groups:
        for future in group:
            wait(group[:1], 0.02)  # some have begun by then, some have ended
            future.cancel()


PROGRAM = """
import atexit, os, signal, time
{before}
from sandbox import SandboxExecutor, Policy
executor = SandboxExecutor(Policy.load("strict").widen("a test", wall_seconds=60), max_workers=2)
def tell(future):
    print(future.exception() or future.result() if not future.cancelled() else "cancelled")
for number in range(3):
    executor.submit(pow, 2, number).add_done_callback(tell)
{after}
"""

FORKING = """
if os.fork():
    print("alive" if os.wait()[1] == 0 else "dead")
"""

SUBMITTING_LAST = """
@atexit.register
def last():
    try:
        executor.submit(id, 1)
    except RuntimeError:
        print("refused")
"""

PROGRAMS: dict[str, tuple[str, str, str]] = {
    "left open": ("", "", "1 2 4"),
    "not waited for": ("", "executor.shutdown(wait=False)", "1 2 4"),
    "dropped": ("", "del executor", "1 2 4"),
    "after a fork": ("", FORKING, "1 2 4 alive"),
    "submitting at exit": (SUBMITTING_LAST, "", "1 2 4 refused"),
}


def run_program(program: str) -> subprocess.CompletedProcess[str]:
    # Python 3.12 warns of any fork beside a thread
    command = [sys.executable, "-u", "-W", "ignore::DeprecationWarning", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize(("before", "after", "said"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_program_ends_with_what_it_submitted(before: str, after: str, said: str) -> None:
    program = PROGRAM.format(before=before, after=after)
    ended = run_program(program)

    # Two processes write, words and line feeds apart.
    assert (sorted("".join(ended.stdout.split())), ended.stderr) == (
        sorted("".join(said.split())),
        "",
    )


def test_an_interrupt_at_the_exit_of_a_program_kills_what_runs() -> None:
    program = PROGRAM.format(
        before="",
        after="""
executor.shutdown(wait=False); executor = SandboxExecutor(executor._policy)
future = executor.submit(time.sleep, 59); future.add_done_callback(tell)
executor.submit(time.sleep, 1).add_done_callback(lambda _: os.kill(os.getpid(), signal.SIGINT))
""",
    )
    ended = run_program(program)

    assert "cancelled" in ended.stdout.split()
