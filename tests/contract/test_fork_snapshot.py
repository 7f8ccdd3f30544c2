"""A snapshot is a session as it was: whatever starts from it starts from the same state."""

from collections.abc import Generator
from contextlib import contextmanager

import pytest

from sandbox import Sandbox, SessionLost
from sandbox.session import Session

pytestmark = pytest.mark.differs(
    "watchdog",
    "docker",
    "gvisor",
    reason="branches need control groups: see test_fork_refused.py, test_docker.py",
)


@contextmanager
def prepared(box: Sandbox, source: str) -> Generator[Session]:
    """A session in which a first turn went well."""
    with box.session() as session:
        session.run(source).unwrap()
        yield session


def test_every_run_of_a_snapshot_starts_from_the_same_state(box: Sandbox) -> None:
    change = "x.append(2)\nopen('f', 'a').write('2')\n[len(x), open('f').read()]"
    with prepared(box, "x = [1]\nopen('f', 'w').write('1')") as session, session.freeze() as frozen:
        assert [frozen.run(change).value for _ in range(20)] == [[2, "12"]] * 20


def test_a_snapshot_is_of_the_session_as_it_was(box: Sandbox) -> None:
    with prepared(box, "x = 1") as session, session.freeze() as frozen:
        session.run("x = 2").unwrap()

        assert frozen.run("x").value == 1


def test_a_run_of_a_snapshot_takes_inputs(box: Sandbox) -> None:
    with prepared(box, "x = 40") as session, session.freeze() as frozen:
        assert [frozen.run("x + y", inputs={"y": y}).value for y in (1, 2)] == [41, 42]


def test_a_session_of_a_snapshot_keeps_its_own_state(box: Sandbox) -> None:
    with prepared(box, "x = 1") as session, session.freeze() as frozen:
        with frozen.session() as one:
            one.run("x += 1").unwrap()
            seen = [one.run("x").value, frozen.run("x").value]

        assert seen == [2, 1]


def test_a_session_of_a_snapshot_outlives_it(box: Sandbox) -> None:
    with prepared(box, "x = 42") as session:
        frozen = session.freeze()
        with frozen.session() as one:
            frozen.close()

            assert one.run("x").value == 42


def test_a_closed_snapshot_gives_no_session(box: Sandbox) -> None:
    with prepared(box, "x = 42") as session:
        frozen = session.freeze()
        frozen.close()

        with pytest.raises(SessionLost):
            frozen.run("x")
