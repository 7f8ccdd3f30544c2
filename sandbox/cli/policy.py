"""`sandbox policy`: read, check, explain and compare policy documents."""

from typing import Annotated

import typer

from sandbox.cli.output import say, show_table
from sandbox.errors import BadPolicy

__all__ = ["app"]

app = typer.Typer(help="Read, check, explain and compare policies.", rich_markup_mode=None)

NameOrFile = Annotated[
    str, typer.Argument(metavar="NAME-OR-FILE", help="A preset, or a document as ./my.toml.")
]


@app.command("list")
def list_presets() -> None:
    """List the presets and who they are for."""
    from sandbox.policy import Policy, preset_names  # noqa: PLC0415 - slow to import

    rows = [(name, Policy.load(name).summary) for name in preset_names()]
    show_table(("NAME", "FOR"), rows)


@app.command()
def show(name: NameOrFile) -> None:
    """Print a policy's document, with the reasons that stand in it."""
    from sandbox.policy import Policy, document_path  # noqa: PLC0415 - ditto

    Policy.load(name)
    typer.echo(document_path(name).read_text(encoding="utf-8"), nl=False)


@app.command()
def check(file: NameOrFile) -> int:
    """Check a document. Exit status: 0 if it can be used, 1 with one line on stderr if not."""
    from sandbox.policy import Policy  # noqa: PLC0415 - ditto

    try:
        policy = Policy.load(file)
    except BadPolicy as fault:
        say(str(fault))
        return 1
    typer.echo(f"{file}: ok, {policy.fingerprint}")
    return 0


@app.command()
def explain(name: NameOrFile) -> None:
    """Say everything that a policy allows, a sentence to a line."""
    from sandbox.policy import Policy  # noqa: PLC0415 - ditto

    typer.echo(Policy.load(name).explain())


@app.command()
def diff(before: NameOrFile, after: NameOrFile) -> int:
    """Say what changes from one policy to another, and in which direction.

    Exit status: 0 if they enforce the same, 1 if not.
    """
    from sandbox import policy  # noqa: PLC0415 - ditto

    changes = policy.diff(policy.Policy.load(before), policy.Policy.load(after))
    for change in changes:
        typer.echo(str(change))
    return 1 if changes else 0
