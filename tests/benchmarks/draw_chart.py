"""Draw the document that write_json wrote: ``python draw_chart.py ROWS.json CHART.png``.

Needs matplotlib and nothing of this project, so that any interpreter that has it can run this.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

GROUPS: Final = ("one call", "containers")
OURS, WALLS, BARE = "#0b7a75", "#7d8ca3", "#d3d8e0"
MEANINGS: Final = {OURS: "this project", WALLS: "others, with walls", BARE: "others, without any"}
LABEL_COLUMN_INCHES: Final = 11.0
ROW_INCHES: Final = 0.3


def main(source: Path, target: Path) -> None:
    """Read the one and write the other."""
    document = json.loads(source.read_text(encoding="utf-8"))
    rows = [row for row in document["rows"] if row["group"] in GROUPS and _is_shown(row)]
    rows.sort(key=lambda row: row["median_seconds"], reverse=True)
    matplotlib: Any = import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(LABEL_COLUMN_INCHES, 1.6 + ROW_INCHES * len(rows)))
    _draw_bars(axes, rows)
    _describe(axes, document["host"], _fork_milliseconds(rows))
    figure.tight_layout()
    figure.savefig(target, dpi=150)


def _is_shown(row: dict[str, Any]) -> bool:
    is_again = row["group"] != GROUPS[0] and row["name"].startswith("bare fork")
    return row["count"] > 0 and not is_again and "late after" not in row["name"]


def _fork_milliseconds(rows: list[dict[str, Any]]) -> float:
    """Give the bare fork that the first group was measured beside."""
    return next((row["bare_fork_seconds"] * 1000 for row in rows if row["group"] == GROUPS[0]), 1.0)


def _draw_bars(axes: Any, rows: list[dict[str, Any]]) -> None:
    for place, row in enumerate(rows):
        median, late = row["median_seconds"] * 1000, row["p99_seconds"] * 1000
        axes.barh(place, median, color=_color(row), height=0.72)
        axes.plot([median, late], [place, place], color="#333333", linewidth=1)
        text = f"  {_short(median)} ms, {_short(row['ratio_to_bare_fork'])} forks"
        axes.text(max(median, late), place, text, va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    axes.set_ylim(-0.6, len(rows) - 0.4)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2f}"


def _color(row: dict[str, Any]) -> str:
    if row["name"].startswith("ours"):
        return OURS
    return BARE if row["leaves_out"].startswith("any isolation") else WALLS


def _describe(axes: Any, host: str, fork_milliseconds: float) -> None:
    axes.set_xscale("log")
    axes.axvline(fork_milliseconds, color="#b03a2e", linewidth=0.8, linestyle="--", zorder=0)
    axes.set_xlim(right=axes.get_xlim()[1] * 12)  # room for the numbers
    axes.set_xlabel("milliseconds, log; bar: median, line: p99, dashed: a bare fork")
    axes.set_title(f"One small call, from asking to answer ({host})", fontsize=10, loc="left")
    axes.grid(axis="x", color="#e6e6e6")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    patch: Any = import_module("matplotlib.patches").Patch
    handles = [patch(color=color, label=meaning) for color, meaning in MEANINGS.items()]
    axes.legend(handles=handles, fontsize=8, loc="upper right", frameon=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
