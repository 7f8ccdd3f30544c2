"""What a benchmark measured, and how it is shown: one table, one JSON document."""

import json
import platform
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

__all__ = ["Row", "print_table", "write_json"]

COLUMNS: Final = ("count", "median ms", "p95 ms", "p99 ms", "most ms", "bare forks")
SHOWN_CHARACTERS: Final = 160


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing that was measured. seconds: each time it was.

    bare_fork_seconds: median of a bare fork and wait, measured in turn with it; 0.0 where that
    says nothing. note: what the numbers do not say.
    """

    name: str
    seconds: tuple[float, ...] = ()
    bare_fork_seconds: float = 0.0
    note: str = ""

    @property
    def median_seconds(self) -> float:
        """The middle one; 0.0 of none."""
        return statistics.median(self.seconds) if self.seconds else 0.0

    @property
    def ratio(self) -> float:
        """The median in bare forks; 0.0 where that says nothing."""
        return self.median_seconds / self.bare_fork_seconds if self.bare_fork_seconds else 0.0

    def percentile_seconds(self, percent: int) -> float:
        """Give the least value that so many percent are not over; 0.0 of none."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


def print_table(rows: Iterable[Row]) -> None:
    """Print all rows as one table, as wide as it needs to be."""
    table = Table(title=_host(), title_justify="left")
    table.add_column("what", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    Console(width=None if Console().is_terminal else SHOWN_CHARACTERS).print(table)


def write_json(rows: Iterable[Row], path: Path) -> None:
    """Write all rows, without the single times, as one JSON document."""
    document = {"host": _host(), "rows": [_document(row) for row in rows]}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _cells(row: Row) -> list[str]:
    ratio = f"{row.ratio:.2f}" if row.ratio else ""
    if not row.seconds:
        return [row.name, *[""] * len(COLUMNS), row.note]
    times = (row.median_seconds, *map(row.percentile_seconds, (95, 99, 100)))
    shown = [f"{seconds * 1000:.2f}" for seconds in times]
    return [row.name, f"{len(row.seconds):,}", *shown, ratio, row.note]


def _document(row: Row) -> dict[str, str | int | float]:
    return {
        "name": row.name,
        "count": len(row.seconds),
        "median_seconds": row.median_seconds,
        "p95_seconds": row.percentile_seconds(95),
        "p99_seconds": row.percentile_seconds(99),
        "most_seconds": row.percentile_seconds(100),
        "ratio_to_bare_fork": row.ratio,
        "note": row.note,
    }


def _host() -> str:
    return f"Python {platform.python_version()}, {platform.system()} {platform.release()}"
