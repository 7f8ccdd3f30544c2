"""What a handler does to a granted folder: a transaction in a real database, and its end."""

import contextlib
import fcntl
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from sandbox import AsyncSandbox, Policy, Sandbox
from sandbox.call import Handler
from sandbox.policy import FileGrant
from sandbox.result import Result
from sandbox.tools.context import Progress, Resource
from tests.conftest import SandboxFor
from tests.contract.conftest import NewBackend
from tests.contract.handlers import box_with_grace, handler, sleeps, states, swallows
from tests.contract.tills import say

pytestmark = pytest.mark.slow


@pytest.fixture
def granted(tmp_path: Path) -> Path:
    """A folder that guests may write to, with a database in it."""
    folder = tmp_path / "granted"
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "till.db")) as database, database:
        database.execute("create table amounts (amount integer)")
        database.execute("insert into amounts values (100)")
    for path in (*folder.iterdir(), folder):
        path.chmod(0o777)  # a guest of root's is another user on the host
    return folder


def grant(folder: Path) -> FileGrant:
    return FileGrant(path=str(folder), at="/granted", access="write", reason="a test")


def amounts(folder: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(folder / "till.db")) as database:
        return [amount for (amount,) in database.execute("select amount from amounts")]


def opens_transaction() -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect("/granted/till.db", isolation_level=None)
    database.execute("pragma cache_size = 1")  # so that it writes to the file before the commit
    database.execute("begin immediate")
    try:
        yield database
    except BaseException:
        database.execute("rollback")
        raise
    else:
        database.execute("commit")
    finally:
        database.close()


def pay(database: sqlite3.Connection) -> None:
    database.execute("update amounts set amount = 1")
    database.executemany("insert into amounts values (?)", [(number,) for number in range(5_000)])


def pays(*, database: sqlite3.Connection) -> None:
    pay(database)


def pays_and_fails(*, database: sqlite3.Connection) -> None:
    pay(database)
    raise LookupError


def pays_and_sleeps(*, database: sqlite3.Connection, progress: Progress) -> None:
    pay(database)
    progress.emit("paid")
    time.sleep(60)


def pays_and_kills(*, database: sqlite3.Connection) -> None:
    pay(database)
    os.kill(os.getpid(), signal.SIGKILL)


def pays_and_swallows(*, database: sqlite3.Connection, progress: Progress) -> None:
    pay(database)
    progress.emit("paid")
    swallows(till=database)


def box_with_database(sandbox_for: SandboxFor, folder: Path) -> Sandbox:
    return box_with_grace(sandbox_for, files=(grant(folder),), file_bytes=1 << 26)


def transfer(function: Callable[..., Any], **injected: Any) -> Handler:
    return handler(function, database=Resource(opens_transaction, "till"), **injected)


def test_a_transaction_is_committed(sandbox_for: SandboxFor, granted: Path) -> None:
    result = box_with_database(sandbox_for, granted).execute(transfer(pays))

    assert (result.unwrap(), states(result.notes)[-1], len(amounts(granted))) == (
        None,
        ("till", "committed"),
        5_001,
    )


@dataclass(frozen=True)
class Undone:
    """A handler that pays and does not end well, and what is said of it."""

    call: Handler
    status: str
    state: str


UNDONE = {
    "error": Undone(transfer(pays_and_fails), "error", "rolled_back"),
    "deadline": Undone(transfer(pays_and_sleeps, progress="progress"), "timeout", "rolled_back"),
    "kill": Undone(transfer(pays_and_kills), "signal", "opened"),
    "swallowed": Undone(transfer(pays_and_swallows, progress="progress"), "timeout", "opened"),
}


@pytest.mark.parametrize("undone", UNDONE.values(), ids=UNDONE.keys())
def test_a_transaction_that_does_not_end_well_is_rolled_back(
    sandbox_for: SandboxFor, granted: Path, undone: Undone
) -> None:
    result = box_with_database(sandbox_for, granted).execute(undone.call)
    said = (result.status, states(result.notes)[-1][1])

    assert (said, amounts(granted)) == ((undone.status, undone.state), [100])


def test_a_transaction_is_rolled_back_when_the_call_is_cancelled(
    granted: Path, new_backend: NewBackend
) -> None:
    policy = Policy.load("strict").widen("a test", files=(grant(granted),), file_bytes=1 << 26)
    results: list[Result] = []

    async def test() -> None:
        async with AsyncSandbox(policy, backend=new_backend()) as box:
            with anyio.CancelScope() as scope:
                call = transfer(pays_and_sleeps, progress="progress")
                results.append(await box.execute(call, on_partial=lambda _: scope.cancel()))

    anyio.run(test)

    assert (results, amounts(granted)) == ([], [100])


def leaves_a_grandchild() -> None:
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
    say(os.read(ready, 4).decode())
    sleeps(till=None)


def test_a_grandchild_in_a_session_of_its_own_dies_with_the_call(
    sandbox_for: SandboxFor, granted: Path
) -> None:
    """Its lock is free only when it is dead."""
    result = box_with_database(sandbox_for, granted).execute(handler(leaves_a_grandchild))
    with (granted / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    assert (result.status, result.stdout) == ("timeout", "held\n")
