"""`sandbox audit`: look whether an audit log is as it was written."""

from pathlib import Path
from typing import Annotated

import typer

from sandbox.cli.output import say

__all__ = ["app"]

app = typer.Typer(help="Look at audit logs.", rich_markup_mode=None)


@app.callback()
def audit() -> None:
    """Keep `verify` a command of its own, though it is the only one."""


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The log; FILE.head is beside it.")],
    noted: Annotated[
        str, typer.Option("--noted", metavar="SHA256", help="The head of an earlier look.")
    ] = "",
) -> int:
    """Check every line's hash, and that the end is the one that FILE.head names.

    Prints the number of lines and the head, to be noted where the log's writer cannot reach: with
    --noted, the log must still have that line. Without it, whoever may write both files could have
    written both anew.

    Exit status: 0 if all is in order, 1 with one line on stderr, the first bad line, if not.
    """
    from sandbox.tools.audit_chain import verify_log  # noqa: PLC0415 - --help does without

    seen = verify_log(file, noted=noted)
    if seen.fault:
        say(f"{file}: {seen.fault}")
        return 1
    if seen.note:
        say(f"{file}: {seen.note}")
    typer.echo(f"{file}: ok, {seen.lines} lines, head {seen.head}")
    return 0
