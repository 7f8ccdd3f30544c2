"""How rows are shown: one table, one JSON document."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.benchmarks.rows import Row, Target

__all__ = ["document", "print_table", "write_json"]

NUMBERS: Final = ("count", "median ms", "p95 ms", "p99 ms", "x fork")
SHOWN_CHARACTERS: Final = 180


def print_table(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print all rows as one table, as wide as it needs to be; what is not reached stands out."""
    shown = console or Console(width=None if Console().is_terminal else SHOWN_CHARACTERS)
    table = Table(title=_host(), title_justify="left")
    table.add_column("what", overflow="fold", max_width=44)
    for column in NUMBERS:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("reached?", overflow="fold")
    table.add_column("leaves out; notes", overflow="fold")
    for group, members in groupby(rows, key=lambda row: row.group):
        table.add_section()
        table.add_row(f"[bold]{escape(group)}[/bold]")
        for row in members:
            table.add_row(*_cells(row))
    shown.print(table)
    shown.print(_sum_up(rows))


def _sum_up(rows: Iterable[Row]) -> str:
    targets = [target for row in rows for target in row.targets]
    reached = sum(target.is_reached for target in targets)
    return f"{reached} of {len(targets)} targets reached"


def _cells(row: Row) -> list[str]:
    remarks = "; ".join(filter(None, (_without(row), row.note)))
    return [
        escape(f"  {row.name}"),
        *_numbers(row),
        "\n".join(_verdict(target) for target in row.targets),
        f"[yellow]not there: {escape(row.missing)}[/yellow]" if row.missing else escape(remarks),
    ]


def _without(row: Row) -> str:
    return f"without {row.leaves_out}" if row.leaves_out else ""


def _verdict(target: Target) -> str:
    color = "green" if target.is_reached else "bold red"
    return f"[{color}]{escape(str(target))}[/{color}]"


def _numbers(row: Row) -> list[str]:
    if row.amount is not None:
        return ["", f"{row.amount:,.2f} {row.unit}", "", "", ""]
    if not row.seconds:
        return [""] * len(NUMBERS)
    times = (row.median_seconds, row.percentile_seconds(95), row.percentile_seconds(99))
    shown = [f"{seconds * 1000:,.2f}" for seconds in times]
    return [f"{len(row.seconds):,}", *shown, f"{row.ratio:,.2f}" if row.ratio else ""]


def write_json(rows: Iterable[Row], path: Path) -> None:
    """Write all rows, without the single times, as one JSON document."""
    path.write_text(json.dumps(document(rows), indent=2) + "\n", encoding="utf-8")


def document(rows: Iterable[Row]) -> dict[str, Any]:
    """Give what write_json writes."""
    return {"host": _host(), "rows": [_row_document(row) for row in rows]}


def _row_document(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "group": row.group,
        "count": len(row.seconds),
        "median_seconds": row.median_seconds,
        "p95_seconds": row.percentile_seconds(95),
        "p99_seconds": row.percentile_seconds(99),
        "most_seconds": row.percentile_seconds(100),
        "bare_fork_seconds": row.bare_fork_seconds,
        "ratio_to_bare_fork": row.ratio,
        "amount": row.amount,
        "unit": row.unit,
        "targets": [_target_document(target) for target in row.targets],
        "leaves_out": row.leaves_out,
        "missing": row.missing,
        "note": row.note,
    }


def _target_document(target: Target) -> dict[str, Any]:
    return {
        "what": target.what,
        "measured": target.measured,
        "limit": target.limit,
        "at_least": target.at_least,
        "unit": target.unit,
        "is_reached": target.is_reached,
    }


def _host() -> str:
    kernel = f"{platform.system()} {platform.release()}"
    return f"Python {platform.python_version()}, {kernel}, {os.cpu_count()} processors"
