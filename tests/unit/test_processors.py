"""Sharing out processors among guests."""

import os

import pytest

from sandbox.backends.processors import Shares, here


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this program on the processors 1, 2, 5 and 6."""

    def allowed(_: int) -> set[int]:
        return {6, 5, 2, 1}

    monkeypatch.setattr(os, "sched_getaffinity", allowed)


@pytest.mark.usefixtures("four")
def test_each_is_given_in_turn() -> None:
    shares = Shares(1)

    assert [shares.next([]) for _ in range(5)] == [(1,), (2,), (5,), (6,), (1,)]


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("each", "shares"),
    [
        (2, {(1, 2), (5, 6)}),
        (3, {(1, 2, 5), (6, 1, 2), (5, 6, 1), (2, 5, 6)}),
        (4, {(1, 2, 5, 6)}),
    ],
)
def test_a_share_has_as_many_as_asked_for(each: int, shares: set[tuple[int, ...]]) -> None:
    given = Shares(each)

    assert {given.next([]) for _ in range(8)} == shares


@pytest.mark.usefixtures("four")
def test_the_next_is_one_that_fewest_of_those_who_wait_have() -> None:
    shares = Shares(1)

    assert shares.next([(1,), (1,), (2,), (5,), (6,), (6,)]) in {(2,), (5,)}


def test_this_program_runs_on_one_that_it_may_use() -> None:
    assert here() in os.sched_getaffinity(0)
