"""The ledger: what was started is never new again, in this program or in another."""

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import EngineFault
from sandbox.tools.ledger import Finished, Ledger, Unfinished, key_of
from sandbox.wire import Json


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger in memory."""
    opened = Ledger()
    yield opened
    opened.close()


def test_a_call_that_was_never_started_is_unknown(ledger: Ledger) -> None:
    assert ledger.find("k") is None


def test_a_call_begins_once(ledger: Ledger) -> None:
    assert [ledger.begin("k"), ledger.begin("k")] == [True, False]


def test_a_call_that_was_begun_has_no_end_yet(ledger: Ledger) -> None:
    ledger.begin("k")

    assert ledger.find("k") == Unfinished()


@pytest.mark.parametrize("record", [None, {"a": ["ü\ud800"]}, 5], ids=["none", "object", "number"])
def test_the_end_of_a_call_is_given_as_it_was_written(ledger: Ledger, record: object) -> None:
    ledger.begin("k")
    ledger.finish("k", record)  # type: ignore[arg-type]

    assert ledger.find("k") == Finished(record)  # type: ignore[arg-type]


def test_a_call_that_was_taken_back_can_begin_again(ledger: Ledger) -> None:
    ledger.begin("k")
    ledger.forget("k")

    assert ledger.begin("k")


def test_a_ledger_in_a_file_outlives_its_program(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "ledger")
    first.begin("done")
    first.finish("done", "x")
    first.begin("cut")
    first.close()
    second = Ledger(tmp_path / "ledger")

    found = [second.find("done"), second.find("cut")]
    second.close()
    assert found == [Finished("x"), Unfinished()]


def test_of_two_programs_only_one_begins_a_call(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path / "ledger"), Ledger(tmp_path / "ledger")

    begun = [first.begin("k"), second.begin("k")]
    first.close()
    second.close()
    assert begun == [True, False]


def test_only_its_owner_can_read_a_ledger(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger").close()

    assert stat.S_IMODE((tmp_path / "ledger").stat().st_mode) == 0o600


def test_old_ends_make_room_and_unfinished_calls_stay(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger", most_calls=3)
    ledger.begin("cut")
    for number in range(9):
        ledger.begin(f"k{number}")
        ledger.finish(f"k{number}", number)
    ledger.close()
    with sqlite3.connect(tmp_path / "ledger") as rows:
        kept = [key for (key,) in rows.execute("SELECT key FROM calls ORDER BY number")]
    rows.close()

    assert kept == ["cut", "k6", "k7", "k8"]


def test_a_ledger_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineFault, match="cannot be used"):
        Ledger(tmp_path / "missing" / "ledger")


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_bytes(b"something else, long enough to be no header" * 40)

    with pytest.raises(EngineFault, match="cannot be used"):
        Ledger(tmp_path / "ledger")


def test_a_closed_ledger_fails_as_an_engine_does(ledger: Ledger) -> None:
    ledger.close()

    with pytest.raises(EngineFault):
        ledger.begin("k")


def test_keys_do_not_depend_on_the_order_of_arguments() -> None:
    assert key_of("x", {"a": 1, "b": 2}) == key_of("x", {"b": 2, "a": 1})


@pytest.mark.parametrize("other", [("y", {"a": 1}), ("x", {"a": "1"}), ("x", {"a": True})])
def test_keys_of_different_calls_differ(other: tuple[str, dict[str, Json]]) -> None:
    assert key_of("x", {"a": 1}) != key_of(*other)
