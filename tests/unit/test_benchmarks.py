"""What the benchmarks say of their numbers: medians, ratios, targets, the table, the document."""

import json
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.benchmarks import names
from tests.benchmarks.bulk import bulk_sources
from tests.benchmarks.calls import call_sources
from tests.benchmarks.endurance import Holdings
from tests.benchmarks.human_eval import human_eval_sources
from tests.benchmarks.peers import CONTAINERS, LIGHT, as_source
from tests.benchmarks.rows import Row, Target
from tests.benchmarks.sessions import session_sources
from tests.benchmarks.table import document, print_table, write_json
from tests.benchmarks.targets import JUDGED, judge
from tests.benchmarks.throughput import throughput_sources

HUNDRED = tuple(float(number) for number in range(1, 101))
PYTHON = Path(sys.executable)
MEASURED_ALONE = {
    *(names.PSS_PARKED, names.PSS_SESSION, names.THOUSAND_SESSIONS),
    *(names.GROWTH, names.LAST_TENTH),
}


def row(name: str, *seconds: float, bare: float = 1.0) -> Row:
    return Row(name=name, group="one call", seconds=seconds, bare_fork_seconds=bare)


def shown(*rows: Row) -> str:
    page = StringIO()
    print_table(rows, Console(file=page, width=200))
    return page.getvalue()


def targets_of(name: str, *rows: Row) -> list[tuple[float, bool]]:
    """Give what was measured for a row's targets, and whether they are reached."""
    judged = {each.name: each for each in judge(rows)}[name]
    return [(round(target.measured, 3), target.is_reached) for target in judged.targets]


# Numbers


@pytest.mark.parametrize(
    ("seconds", "median"),
    [
        pytest.param((3.0, 1.0, 2.0), 2.0, id="odd"),
        pytest.param((4.0, 1.0, 2.0, 3.0), 2.5, id="even"),
        pytest.param((), 0.0, id="none"),
    ],
)
def test_the_median_is_the_middle_one(seconds: tuple[float, ...], median: float) -> None:
    assert row("x", *seconds).median_seconds == median


@pytest.mark.parametrize(
    ("seconds", "percent", "value"),
    [
        pytest.param(HUNDRED, 95, 95.0, id="p95 of a hundred"),
        pytest.param(HUNDRED, 99, 99.0, id="p99 of a hundred"),
        pytest.param(HUNDRED, 100, 100.0, id="most"),
        pytest.param((2.0, 1.0), 95, 2.0, id="of two, the larger"),
        pytest.param((), 99, 0.0, id="none"),
    ],
)
def test_so_many_percent_are_not_over_a_percentile(
    seconds: tuple[float, ...], percent: int, value: float
) -> None:
    assert row("x", *seconds).percentile_seconds(percent) == value


def test_a_ratio_is_the_median_in_bare_forks() -> None:
    assert row("x", 1.0, 3.0, 5.0, bare=2.0).ratio == 1.5


def test_no_ratio_is_given_where_no_fork_was_measured() -> None:
    assert row("x", 1.0, bare=0.0).ratio == 0.0


# Targets


@pytest.mark.parametrize(
    ("at_least", "measured", "is_reached"),
    [
        pytest.param(False, 0.45, True, id="at most, on the limit"),
        pytest.param(False, 0.46, False, id="at most, over"),
        pytest.param(True, 0.45, True, id="at least, on the limit"),
        pytest.param(True, 0.44, False, id="at least, under"),
    ],
)
def test_a_target_is_reached_on_its_side_of_the_limit(
    *, at_least: bool, measured: float, is_reached: bool
) -> None:
    target = Target(what="a fork", measured=measured, limit=0.45, at_least=at_least)

    assert target.is_reached is is_reached


def test_a_parked_call_is_judged_by_its_median_and_its_p99() -> None:
    parked = row(names.PARKED, 0.4, 0.4, 3.0)

    assert targets_of(names.PARKED, parked) == [(0.4, True), (3.0, False)]


def test_a_peer_is_judged_by_how_much_longer_it_takes_than_a_parked_call() -> None:
    rows = row(names.PARKED, 0.5), row(names.PLAIN, 6.0)

    assert targets_of(names.PLAIN, *rows) == [(12.0, True)]


def test_calls_a_second_are_compared_as_rates() -> None:
    rows = row(names.SUSTAINED, 2.0), row(names.FORK_SERVER, 1.8), row(names.FORK_LOOP, 0.8)

    assert targets_of(names.SUSTAINED, *rows) == [(0.9, True), (0.4, False)]


def test_human_eval_is_compared_with_the_faster_pool() -> None:
    pools = [row(name, seconds) for name, seconds in zip(names.POOLS, (9.0, 4.0), strict=True)]

    assert targets_of(names.HUMAN_EVAL, row(names.HUMAN_EVAL, 5.0), *pools) == [(1.25, False)]


def test_what_is_no_time_is_judged_by_its_amount() -> None:
    weight = Row(name=names.PSS_PARKED, amount=2.5, unit="MB")

    assert targets_of(names.PSS_PARKED, weight) == [(2.5, True)]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param([], id="the other was not asked for"),
        pytest.param([Row(name=names.PARKED, missing="why")], id="the other is not there"),
    ],
)
def test_nothing_is_judged_by_what_was_not_measured(other: list[Row]) -> None:
    assert targets_of(names.PLAIN, row(names.PLAIN, 6.0), *other) == []


def test_what_was_not_measured_is_not_judged() -> None:
    rows = Row(name=names.PLAIN, missing="why"), row(names.PARKED, 1.0)

    assert targets_of(names.PLAIN, *rows) == []


def test_every_target_is_of_a_row_that_is_measured(tmp_path: Path) -> None:
    sources = [
        *(as_source(peer, PYTHON) for peer in (*LIGHT, *CONTAINERS)),
        *call_sources(None),
        *session_sources(),
        *throughput_sources(1),
        *bulk_sources(),
        *human_eval_sources(tmp_path),
    ]

    in_turn = {name for each in sources for name in each.names}
    assert in_turn | MEASURED_ALONE >= JUDGED


# What is shown


def test_a_target_that_is_missed_is_shown_as_missed() -> None:
    page = shown(*judge([row(names.PARKED, 0.9)]))

    assert "NO: 0.90x a bare fork, wanted ≤ 0.45" in page


def test_the_table_counts_the_targets() -> None:
    assert "0 of 2 targets reached" in shown(*judge([row(names.PARKED, 9.0)]))


def test_what_is_not_there_is_shown_with_its_reason() -> None:
    assert "not there: no [such] peer" in shown(Row(name="p", missing="no [such] peer"))


def test_what_a_peer_leaves_out_is_shown_beside_its_time() -> None:
    page = shown(Row(name="p", seconds=(0.0025,), leaves_out="all walls"))

    assert ("2.50" in page, "without all walls" in page) == (True, True)


def test_the_document_has_every_row_in_order() -> None:
    rows = [row("a", 1.0), Row(name="b", missing="why")]

    assert [each["name"] for each in document(rows)["rows"]] == ["a", "b"]


def test_the_document_of_a_row_has_its_numbers_and_its_targets(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"

    write_json(judge([row(names.PARKED, 0.4, 0.4, 3.0)]), file)

    written: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["rows"][0]
    assert written == {
        "name": names.PARKED,
        "group": "one call",
        "count": 3,
        "median_seconds": 0.4,
        "p95_seconds": 3.0,
        "p99_seconds": 3.0,
        "most_seconds": 3.0,
        "bare_fork_seconds": 1.0,
        "ratio_to_bare_fork": 0.4,
        "amount": None,
        "unit": "",
        "targets": [
            {
                "what": "a bare fork",
                "measured": 0.4,
                "limit": 0.45,
                "at_least": False,
                "unit": "x",
                "is_reached": True,
            },
            {
                "what": "a bare fork, at its p99",
                "measured": 3.0,
                "limit": 2,
                "at_least": False,
                "unit": "x",
                "is_reached": False,
            },
        ],
        "leaves_out": "",
        "missing": "",
        "note": "",
    }


# Endurance


def holdings(*, descriptors: int = 9, memory_bytes: int = 10**8) -> Holdings:
    return Holdings(
        descriptors=descriptors,
        threads=1,
        children=4,
        mounts=20,
        groups=3,
        memory_bytes=memory_bytes,
    )


@pytest.mark.parametrize(
    ("later", "grown"),
    [
        pytest.param(holdings(), [], id="the same"),
        pytest.param(holdings(descriptors=8), [], id="fewer"),
        pytest.param(holdings(descriptors=10), ["descriptors"], id="one descriptor"),
        pytest.param(holdings(memory_bytes=10**8 + 4096), [], id="a page of memory"),
        pytest.param(holdings(memory_bytes=2 * 10**8), ["memory_bytes"], id="much memory"),
    ],
)
def test_what_there_is_more_of_is_named(later: Holdings, grown: list[str]) -> None:
    assert holdings().growth(later) == grown
