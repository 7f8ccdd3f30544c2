"""How the benchmarks take turns, and what they say of a peer that is not there or fails."""

import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from tests.benchmarks.peer_server import PeerFailed, PeerServer
from tests.benchmarks.peers import CONTAINERS, LIGHT, Peer, as_source
from tests.benchmarks.rows import Row
from tests.benchmarks.subjects import Act, Choice, Rounds, Source, Times, measure_in_turn

PYTHON = Path(sys.executable)
MISSING = Peer(name="nobody", program="import no_such_peer", leaves_out="nothing")

Opener = Callable[[], AbstractAsyncContextManager[Act]]


def turns(name: str, taken: list[str], *, fails_at: int = 0) -> Opener:
    """Make a source that notes its turns, and raises in one of them."""

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Act]:
        async def act() -> Times:
            taken.append(name)
            if taken.count(name) == fails_at:
                message = "it broke"
                raise RuntimeError(message)
            return {name: [float(taken.count(name))]}

        yield act

    return opened


def source(
    name: str, taken: list[str], *, fails_at: int = 0, every: int = 1, repeats: int = 1
) -> Source:
    opener = turns(name, taken, fails_at=fails_at)
    return Source(names=(name,), open=opener, rest_seconds=0.0, every=every, repeats=repeats)


def measured(*sources: Source, count: int = 3, warm_up: int = 0) -> list[Row]:
    rounds = Rounds(count=count, warm_up=warm_up, beside_fork=False)
    return anyio.run(measure_in_turn, "one call", sources, rounds)


# Turns


def test_every_source_has_its_turn_before_any_has_its_next() -> None:
    taken: list[str] = []

    measured(source("a", taken), source("b", taken), source("c", taken), count=4)

    rounds = [sorted(taken[start : start + 3]) for start in range(0, 12, 3)]
    assert rounds == [["a", "b", "c"]] * 4


def test_the_order_differs_from_round_to_round() -> None:
    taken: list[str] = []

    measured(*(source(name, taken) for name in "abcdef"), count=5)

    assert len({tuple(taken[start : start + 6]) for start in range(0, 30, 6)}) > 1


def test_rounds_to_warm_up_do_not_count() -> None:
    rows = measured(source("a", []), count=2, warm_up=3)

    assert rows[0].seconds == (4.0, 5.0)


@pytest.mark.parametrize(
    ("others", "turns_taken"),
    [
        pytest.param({"every": 3}, 4, id="in every third round"),
        pytest.param({"repeats": 2}, 20, id="twice a round"),
    ],
)
def test_a_source_is_measured_as_often_as_it_says(others: dict[str, int], turns_taken: int) -> None:
    rows = measured(source("a", [], **others), count=10)

    assert len(rows[0].seconds) == turns_taken


def test_what_breaks_keeps_what_it_had_and_says_why_it_stopped() -> None:
    (broken,) = measured(source("a", [], fails_at=2), count=5)

    assert (broken.seconds, broken.note) == ((1.0,), "stopped: RuntimeError: it broke")


def test_what_breaks_does_not_stop_the_others() -> None:
    _, whole = measured(source("a", [], fails_at=1), source("b", []), count=5)

    assert len(whole.seconds) == 5


@pytest.mark.parametrize(
    ("words", "is_wanted"),
    [
        pytest.param((), True, id="no word"),
        pytest.param(("ONE CALL",), True, id="its group"),
        pytest.param(("jail",), True, id="part of its name"),
        pytest.param(("one",), False, id="part of its group"),
        pytest.param(("docker", "loky"), False, id="others"),
    ],
)
def test_a_choice_is_of_groups_and_of_words_in_names(
    words: tuple[str, ...], *, is_wanted: bool
) -> None:
    assert Choice(words).has("one call", "nsjail + python") is is_wanted


# Peers


def test_a_peer_that_is_not_installed_is_a_row_that_says_so() -> None:
    (missing,) = measured(as_source(MISSING, PYTHON))

    reason = "ModuleNotFoundError: No module named 'no_such_peer'"
    assert (missing.name, missing.seconds, missing.missing) == ("nobody", (), reason)


def test_a_peer_without_an_interpreter_is_a_row_that_says_so(tmp_path: Path) -> None:
    (missing,) = measured(as_source(MISSING, tmp_path / "python"))

    assert missing.missing.startswith("FileNotFoundError")


def test_the_rows_of_a_peer_that_is_missing_are_those_of_one_that_is_there() -> None:
    peer = Peer(name="p", program="import no_such_peer", leaves_out="", turn=("open", "run", "run"))

    assert [each.name for each in measured(as_source(peer, PYTHON))] == ["p: open", "p: run"]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        pytest.param(
            "steps['run'] = lambda: 1 / 0", "ZeroDivisionError: division by zero", id="raises"
        ),
        pytest.param("steps['run'] = lambda: os._exit(3)", "it ended with status 3", id="ends"),
        pytest.param("", "KeyError: 'run'", id="has no such step"),
    ],
)
def test_a_peer_that_fails_says_why(program: str, reason: str) -> None:
    with PeerServer(PYTHON, program) as server, pytest.raises(PeerFailed) as failed:
        server.time("run")

    assert str(failed.value) == reason


def test_a_peer_that_does_not_answer_is_waited_for_no_longer_than_said() -> None:
    with PeerServer(PYTHON, "steps['run'] = lambda: time.sleep(60)") as server:
        server.step_seconds = 0.0

        with pytest.raises(PeerFailed, match="no answer within 0 s"):
            server.time("run")


def test_what_a_peer_prints_is_no_answer() -> None:
    with PeerServer(PYTHON, "print('{}')\nsteps['run'] = lambda: print('{}')") as server:
        assert server.time("run") >= 0.0


@pytest.mark.parametrize("peer", [*LIGHT, *CONTAINERS], ids=lambda peer: peer.name)
def test_every_peer_says_what_its_isolation_leaves_out(peer: Peer) -> None:
    assert peer.leaves_out
