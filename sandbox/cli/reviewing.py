"""Carries out `review`: plans it, has it made, writes what was asked for, shows the rest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import anyio
import typer
from pydantic import ValidationError

from sandbox.box import AsyncSandbox
from sandbox.cli.gather import gather_files, gather_source
from sandbox.cli.output import say, show_table
from sandbox.errors import BadCall
from sandbox.policy import Policy
from sandbox.review.baseline import Baseline, Drift, baseline_of, compare
from sandbox.review.digest import digest
from sandbox.review.grants import unused_grants
from sandbox.review.model import SEVERITIES, Review
from sandbox.review.page import page
from sandbox.review.places import Places
from sandbox.review.plan import (
    Given,
    NamedInput,
    Plan,
    plan_command,
    plan_function,
    plan_module,
    plan_script,
    plan_source,
)
from sandbox.review.rules import Rules

__all__ = ["Wanted", "perform"]

MOST_INPUT_BYTES: Final = 64 << 20
PYTHONS: Final = ("python", "python3")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line says."""

    words: Sequence[str]
    is_module: bool
    inputs: tuple[Path, ...]
    files: tuple[str, ...]
    policy: str
    out: Path | None
    write_policy: Path | None
    check: str | None
    wall_seconds: float | None
    against: Path | None
    rules: tuple[Path, ...]
    has_canaries: bool
    fail_on: Literal["low", "medium", "high"] | None
    is_json: bool


def perform(wanted: Wanted) -> int:
    """Make the review and give the exit status. Raises SandboxError."""
    baseline = _read_baseline(wanted.against) if wanted.against else None
    policy = _policy(wanted)
    review = anyio.run(_review, wanted, policy)
    drifts = compare(baseline, review) if baseline else ()
    if wanted.out:
        _write_all(wanted.out, review)
    if wanted.write_policy:
        _write(wanted.write_policy, review.least_policy)
    if wanted.is_json:
        typer.echo(review.to_json())
    else:
        _show(review)
        _show_more(wanted, policy, review, drifts)
    is_bad = wanted.fail_on and SEVERITIES.index(review.severity) >= SEVERITIES.index(
        wanted.fail_on
    )
    return 1 if is_bad or drifts or review.least_differences else 0


def _policy(wanted: Wanted) -> Policy:
    policy = Policy.load(wanted.check or wanted.policy)
    if wanted.wall_seconds is None:
        return policy
    changes = {"name": policy.name, "wall_seconds": wanted.wall_seconds}
    return policy.widen("--timeout on the command line", **changes)


async def _review(wanted: Wanted, policy: Policy) -> Review:
    async with AsyncSandbox(policy, backend="subprocess") as box:
        return await box.review(
            _plan(wanted, policy, box.places),
            rules=Rules.load(*wanted.rules),
            plants_canaries=wanted.has_canaries,
            wants_least=wanted.write_policy is not None,
        )


def _plan(wanted: Wanted, policy: Policy, places: Places) -> Plan:
    """Say what the words mean. Raises BadCall."""
    what, *arguments = wanted.words
    if what.startswith("-"):
        message = f"there is no option {what}: see 'sandbox review --help'"
        raise BadCall(message)
    given = Given(
        arguments=arguments,
        files=gather_files(wanted.files, policy),
        inputs=[NamedInput(path.name, _read(path)) for path in wanted.inputs],
        places=places,
    )
    if wanted.is_module:
        return plan_module(what, given)
    if what in PYTHONS and arguments:
        return _plan_python(what, given)
    if Path(what).is_file() and not places.find(what):  # else the guest has it already
        return _plan_file(Path(what), given)
    if ":" in what and "/" not in what:
        return plan_function(what, given)
    if ("/" in what or what.endswith(".py")) and not places.find(what):
        message = f"there is no file {what}: check the path"
        raise BadCall(message)
    return plan_script(what, given) or plan_command(what, given)


def _plan_python(python: str, given: Given) -> Plan:
    """Plan what an interpreter would run: in the guest, it is run by the guest's own."""
    first, *rest = given.arguments
    if first == "-m" and rest:
        return plan_module(rest[0], replace(given, arguments=rest[1:]))
    if first == "-c" and rest:
        return plan_source(rest[0], "program.py", replace(given, arguments=rest[1:]))
    if Path(first).is_file():
        return _plan_file(Path(first), replace(given, arguments=rest))
    return plan_command(python, given)


def _plan_file(path: Path, given: Given) -> Plan:
    if path.suffix == ".py":
        return plan_source(gather_source(str(path)), path.name, given)
    files = {**given.files, path.name: _read(path)}
    return plan_command(f"./{path.name}", replace(given, files=files))


def _read(path: Path) -> bytes:
    """Read a file of the reviewer's. Raises BadCall."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_INPUT_BYTES + 1)
    except OSError as fault:
        message = f"{path}: cannot be read: {fault.strerror}: check the path"
        raise BadCall(message) from None
    if len(content) > MOST_INPUT_BYTES:
        message = f"{path}: is over {MOST_INPUT_BYTES >> 20} MiB: give a smaller one"
        raise BadCall(message)
    return content


def _read_baseline(path: Path) -> Baseline:
    try:
        return Baseline.load(path)
    except OSError as fault:
        message = f"--against {path}: cannot be read: {fault.strerror}: make it with --out"
        raise BadCall(message) from None
    except ValidationError as fault:
        message = f"--against {path}: is no baseline of a review: {fault.errors()[0]['msg']}"
        raise BadCall(message) from None


def _write_all(folder: Path, review: Review) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "review.html", page(review))
    _write(folder / "review.json", review.to_json())
    _write(folder / "baseline.json", baseline_of(review).to_json())
    say(f"written: {folder}/review.html, review.json, baseline.json")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _show(review: Review) -> None:
    shown = digest(review)
    typer.echo(shown.verdict)
    for line in shown.runs:
        typer.echo(line)
    for table in shown.tables:
        typer.echo(f"\n{table.title}")
        if table.rows:
            show_table(table.columns, table.rows)
        if table.left_out:
            typer.echo(f"and {table.left_out} more")


def _show_more(wanted: Wanted, policy: Policy, review: Review, drifts: Sequence[Drift]) -> None:
    if wanted.check:
        _list(f"Not used of {policy.name}", unused_grants(policy, review.runs))
    if wanted.write_policy:
        _list("Under the least policy it went otherwise", review.least_differences)
    if wanted.against:
        _list(f"Changed since {wanted.against.name}", [each.sentence for each in drifts])


def _list(title: str, sentences: Sequence[str]) -> None:
    typer.echo(f"\n{title}: {'nothing' if not sentences else ''}".rstrip())
    for sentence in sentences:
        typer.echo(f"* {sentence}")
