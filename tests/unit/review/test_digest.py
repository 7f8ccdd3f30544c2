"""What a terminal shows of a review."""

import pytest

from sandbox.review.digest import MOST_ROWS, Digest, Table, digest
from tests.reviews import good, hostile, huge


def table(shown: Digest, title: str) -> Table:
    return next(each for each in shown.tables if each.title == title)


def test_the_verdict_comes_first_with_what_was_found() -> None:
    shown = digest(hostile())

    assert shown.verdict.startswith("invoice_helper: high: ")
    assert "found in 3 runs" in shown.verdict
    assert len(shown.runs) == 3


def test_nothing_found_is_said() -> None:
    assert ": info: nothing found in 1 run" in digest(good()).verdict


@pytest.mark.parametrize("title", ["Files", "Network", "Programs"])
def test_the_surprising_comes_first(title: str) -> None:
    marks = [row[0] for row in table(digest(hostile()), title).rows]

    order = ["refused", "missing", "failed", ""]
    assert marks == sorted(marks, key=order.index)


def test_what_every_program_reads_as_it_starts_is_counted_and_not_shown() -> None:
    files = table(digest(hostile()), "Files")

    assert not any(row[2].startswith("/usr/lib/") and row[1] == "read" for row in files.rows)
    assert files.left_out > 0


def test_a_table_is_short_whatever_was_done() -> None:
    shown = digest(huge())

    assert all(len(each.rows) <= MOST_ROWS for each in shown.tables if each.title != "Findings")
