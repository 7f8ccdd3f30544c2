"""Where a branch could not be held to limits of its own, a session is not forked at all."""

import pytest

from sandbox import CannotEnforce, Sandbox
from tests.contract.conftest import BelongingsNow, NewBackend, kept, settled, wait_for

pytestmark = pytest.mark.differs(
    "cgroup", "docker", "gvisor", reason="sessions are forked, or not even opened"
)
KEPT_PROCESSES = 6
"""Keeper, zygote, and the two of the session and of the guest that waits for the next one."""


def test_a_session_is_not_forked_without_control_groups(box: Sandbox) -> None:
    with box.session() as session, pytest.raises(CannotEnforce, match="control groups"):
        session.fork()


def test_a_session_is_not_frozen_without_control_groups(box: Sandbox) -> None:
    with box.session() as session, pytest.raises(CannotEnforce, match="control groups"):
        session.freeze()


def test_a_refused_session_goes_on(box: Sandbox) -> None:
    with box.session() as session:
        session.run("x = 42").unwrap()
        with pytest.raises(CannotEnforce):
            session.fork()

        assert session.run("x").value == 42


def test_a_refused_fork_leaves_nothing(new_backend: NewBackend, belongings: BelongingsNow) -> None:
    cold = settled(belongings)
    with Sandbox(backend=new_backend()) as box, box.session() as session:
        session.run("1").unwrap()
        before = kept(belongings, cold, KEPT_PROCESSES)
        with pytest.raises(CannotEnforce):
            session.fork(3)

        assert wait_for(belongings, before.__eq__) == before
