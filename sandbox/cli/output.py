"""What the command line says in its own words: lines on stderr, tables on stdout."""

import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["one_line", "say", "show_table"]

MOST_LINE_CHARACTERS: Final = 2000
UNWRAPPED_WIDTH: Final = 10_000


def one_line(text: str) -> str:
    """Make any text one line that is safe to show, cut to 2000 characters."""
    from sandbox.wire import printable  # noqa: PLC0415 - --help does without

    return printable(text.strip()[:MOST_LINE_CHARACTERS]).replace("\n", r"\n")


def say(text: str) -> None:
    """Say one line on stderr with our name before it; a reader that is gone does not matter."""
    try:
        sys.stderr.write(f"sandbox: {one_line(text)}\n")
        sys.stderr.flush()
    except OSError:
        return


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Show rows under headings; a terminal gets them wrapped, a file or pipe does not."""
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.table import Table  # noqa: PLC0415 - ditto
    from rich.text import Text  # noqa: PLC0415 - ditto

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    console = Console(highlight=False)
    console.width = console.width if console.is_terminal else UNWRAPPED_WIDTH
    console.print(table)
