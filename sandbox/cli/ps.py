"""`sandbox ps` and `sandbox gc`: what runs for sandboxes on this host, and what was left behind."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.output import say, show_table

if TYPE_CHECKING:
    from sandbox.backends.leftovers import Running

__all__ = ["gc", "ps"]


def ps(
    *,
    is_json: Annotated[bool, typer.Option("--json", help="The same as JSON on stdout.")] = False,
) -> None:
    """List the warm interpreters of this user's sandboxes, for root everybody's."""
    from sandbox.backends.leftovers import find_running  # noqa: PLC0415 - slow to import

    running = find_running()
    if is_json:
        typer.echo(json.dumps([asdict(each) for each in running], indent=2))
        return
    columns = ("PID", "OWNER", "POLICY", "AGE", "GUESTS", "MEMORY", "OWNER'S COMMAND")
    show_table(columns, [_row(each) for each in running])


def _row(running: "Running") -> tuple[str, ...]:
    return (
        str(running.pid),
        str(running.owner_pid),
        running.policy,
        f"{running.age_seconds:.0f} s",
        str(running.guests),
        f"{running.memory_bytes >> 20} MiB",
        running.owner_command or "dead: see 'sandbox gc'",
    )


def gc() -> int:
    """Remove what killed hosts left behind, processes and control groups; normally nothing.

    Exit status: 0 if nothing is left, 1 if something could not be removed.
    """
    from sandbox.backends.leftovers import remove_leftovers  # noqa: PLC0415 - ditto

    removed = remove_leftovers()
    for pid in removed.keepers:
        typer.echo(f"killed process {pid} and all below it")
    for path in removed.groups:
        typer.echo(f"removed control group {path}")
    for reason in removed.left:
        say(reason)
    if not (removed.keepers or removed.groups or removed.left):
        typer.echo("nothing left behind")
    return 1 if removed.left else 0
