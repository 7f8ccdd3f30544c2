"""What issue 5 asks to be reached, and whether it was."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from tests.benchmarks import names
from tests.benchmarks.bulk import OUTPUT_BYTES
from tests.benchmarks.rows import Row, Target

__all__ = ["JUDGED", "judge"]

Rows: TypeAlias = Mapping[str, Row]
Measure: TypeAlias = Callable[[Row, Rows], float | None]
"""Gives the number to compare, or None where another row that it needs is not there."""


@dataclass(frozen=True)
class _Rule:
    row: str
    what: str
    measure: Measure
    limit: float
    at_least: bool = False
    unit: str = "x"


def _ratio(row: Row, _: Rows) -> float | None:
    return row.ratio or None


def _tail(row: Row, _: Rows) -> float | None:
    return row.in_bare_forks(row.percentile_seconds(99)) or None


def _over(*others: str) -> Measure:
    """Compare with the median of the quickest of some others."""

    def measure(row: Row, rows: Rows) -> float | None:
        medians = [rows[name].median_seconds for name in others if name in rows]
        there = [median for median in medians if median]
        return row.median_seconds / min(there) if there else None

    return measure


def _rate_over(other: str) -> Measure:
    def measure(row: Row, rows: Rows) -> float | None:
        over = _over(other)(row, rows)
        return 1 / over if over else None

    return measure


def _amount(row: Row, _: Rows) -> float | None:
    return row.amount


def _megabytes_a_second(row: Row, _: Rows) -> float | None:
    return OUTPUT_BYTES / 1e6 / row.median_seconds


FORK: Final = "a bare fork"
PARKED: Final = "a parked call"
RULES: Final = (
    _Rule(names.PARKED, FORK, _ratio, 0.45),
    _Rule(names.PARKED, "a bare fork, at its p99", _tail, 2),
    _Rule(names.PLAIN, PARKED, _over(names.PARKED), 10, at_least=True),
    _Rule(names.SANDLOCK, PARKED, _over(names.PARKED), 15, at_least=True),
    _Rule(names.DOCKER_RUN, PARKED, _over(names.PARKED), 150, at_least=True),
    _Rule(names.NUMPY, PARKED, _over(names.PARKED), 1.5),
    _Rule(names.PANDAS, PARKED, _over(names.PARKED), 3),
    _Rule(names.SESSION, FORK, _ratio, 0.3),
    _Rule(names.SESSION_FORK, FORK, _ratio, 4),
    _Rule(names.SUSTAINED, "the server", _rate_over(names.FORK_SERVER), 0.8, at_least=True),
    _Rule(names.SUSTAINED, "the loop", _rate_over(names.FORK_LOOP), 0.45, at_least=True),
    _Rule(names.PSS_PARKED, "each", _amount, 3, unit=" MB"),
    _Rule(names.PSS_SESSION, "each", _amount, 8, unit=" MB"),
    _Rule(names.THOUSAND_SESSIONS, "answers", _amount, 1000, at_least=True, unit=""),
    _Rule(names.GROWTH, "kinds", _amount, 0, unit=""),
    _Rule(names.LAST_TENTH, "the first tenth", _over(names.FIRST_TENTH), 1.05),
    _Rule(names.OUTPUT, "MB a second", _megabytes_a_second, 300, at_least=True, unit=""),
    _Rule(names.JSON_VALUE, "dumps and loads", _over(names.DUMPS_AND_LOADS), 3),
    _Rule(names.HUMAN_EVAL, "the faster pool", _over(*names.POOLS), 1),
)

JUDGED: Final = frozenset(rule.row for rule in RULES)
"""The rows that have targets."""


def judge(rows: Sequence[Row]) -> list[Row]:
    """Give the rows with their targets; one that was not measured has none."""
    by_name = {row.name: row for row in rows}
    return [replace(row, targets=tuple(_targets(row, by_name))) for row in rows]


def _targets(row: Row, rows: Rows) -> Iterator[Target]:
    for rule in RULES if row.is_measured else ():
        measured = rule.measure(row, rows) if rule.row == row.name else None
        if measured is not None:
            yield Target(
                what=rule.what,
                measured=measured,
                limit=rule.limit,
                at_least=rule.at_least,
                unit=rule.unit,
            )
