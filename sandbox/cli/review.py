"""`sandbox review`: run a tool in a closed box, and say what it did and what that means."""

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = ["review"]

Words = Annotated[
    list[str],
    typer.Argument(
        metavar="WHAT [ARG]",
        help="A Python file, a program, module:function or `python ...`; then its arguments.",
    ),
]
Inputs = Annotated[
    list[Path] | None,
    typer.Option(
        "--input",
        metavar="FILE",
        help="Run once with this file: for {} among the arguments, or last. Repeatable.",
    ),
]
Files = Annotated[
    list[str] | None,
    typer.Option("--file", metavar="LOCAL[:NAME]", help="Copy into /box for each run."),
]
Policy = Annotated[str, typer.Option("--policy", metavar="NAME", help="What it runs under.")]
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Real time of each run; then it is ended."),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write review.html, review.json, baseline.json there."),
]
WritePolicy = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the least policy, after a run under it."),
]
Check = Annotated[
    str | None,
    typer.Option(metavar="POLICY", help="Run under this one; say what of it is not used."),
]
Against = Annotated[
    Path | None,
    typer.Option(metavar="BASELINE", help="Say what changed since; then exit with 1."),
]
Rules = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="Further rules for findings. Repeatable."),
]
FailOn = Annotated[
    Literal["low", "medium", "high"] | None,
    typer.Option(metavar="SEVERITY", help="Exit with 1 for a finding this bad or worse."),
]
IsModule = Annotated[
    bool, typer.Option("--module", help="WHAT is a module, run as `python -m` runs it.")
]
HasCanaries = Annotated[
    bool, typer.Option("--canaries/--no-canaries", help="Plant fake secrets to be stolen.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The whole review as JSON on stdout.")]


def review(  # noqa: PLR0913, PLR0917 - each is an option of its own
    words: Words,
    is_module: IsModule = False,  # noqa: FBT002 - a flag
    inputs: Inputs = None,
    files: Files = None,
    policy: Policy = "review",
    timeout: Timeout = None,
    out: Out = None,
    write_policy: WritePolicy = None,
    check: Check = None,
    against: Against = None,
    rules: Rules = None,
    has_canaries: HasCanaries = True,  # noqa: FBT002 - a flag
    fail_on: FailOn = None,
    is_json: AsJson = False,  # noqa: FBT002 - a flag
) -> int:
    """Run WHAT in a closed box, watched from below, and report what it did.

    What follows WHAT is its own, but for the options here; write -- before WHAT to give it all. A
    function's arguments are JSON, or else text; its --input is a JSON list or object of arguments.
    A file that is no Python is copied to /box and started there.

    The report goes to the terminal; --out adds a page for a browser, the same as JSON, and a
    baseline that a later review can be held --against.

    Exit status: 0. 1: something changed since the baseline, a finding as bad as --fail-on, or a
    run under the least policy went otherwise. 125: a fault of ours or in what was asked.
    """
    from sandbox.cli import reviewing  # noqa: PLC0415 - slow to import

    wanted = reviewing.Wanted(
        words=words,
        is_module=is_module,
        inputs=tuple(inputs or ()),
        files=tuple(files or ()),
        policy=policy,
        out=out,
        write_policy=write_policy,
        check=check,
        wall_seconds=timeout,
        against=against,
        rules=tuple(rules or ()),
        has_canaries=has_canaries,
        fail_on=fail_on,
        is_json=is_json,
    )
    return reviewing.perform(wanted)
