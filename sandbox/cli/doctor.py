"""`sandbox doctor`: what this host offers, what holds each limit, and one guest as the proof."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sandbox.cli.output import show_table
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from sandbox.backends.probe import Finding

__all__ = ["doctor"]


def doctor(
    *,
    is_json: Annotated[bool, typer.Option("--json", help="The same as JSON on stdout.")] = False,
) -> int:
    """Say what this host can hold guests with, what is missing and how to get it.

    Ends with a real guest under the policy "strict". Exit status: 0 if it ran, 1 if it did not.
    """
    from sandbox.backends.probe import probe  # noqa: PLC0415 - slow to import

    findings = probe()
    enforced = _enforced()
    proof = _prove()
    if is_json:
        report = {"can_run": proof.ok, "findings": [asdict(each) for each in (*findings, proof)]}
        typer.echo(json.dumps(report | {"enforced": enforced}, indent=2))
    else:
        _show(findings, enforced, proof)
    return 0 if proof.ok else 1


def _enforced() -> dict[str, Any]:
    """Say what would hold each limit of "strict"; the reason under "refused" if nothing would."""
    from sandbox.backends.subprocess import SubprocessBackend  # noqa: PLC0415 - ditto
    from sandbox.policy import Policy  # noqa: PLC0415 - ditto

    try:
        return SubprocessBackend().enforced(Policy.load("strict")).model_dump()
    except SandboxError as fault:
        return {"refused": str(fault)}


def _prove() -> "Finding":
    """Run a guest."""
    from sandbox.backends.probe import Finding  # noqa: PLC0415 - ditto
    from sandbox.box import Sandbox  # noqa: PLC0415 - ditto

    name = "a guest"
    try:
        with Sandbox() as box:
            result = box.run("6 * 7")
    except SandboxError as fault:
        return Finding(name=name, ok=False, detail=str(fault), fix="mend what is missing above")
    milliseconds = (result.phases.prepared + result.phases.ran + result.phases.torn_down) * 1000
    detail = f"6 * 7 is {result.value}, {result.status} in {milliseconds:.1f} ms"
    is_right = result.ok and result.value == 42
    return Finding(name=name, ok=is_right, detail=detail, fix="" if is_right else "please report")


def _show(findings: "tuple[Finding, ...]", enforced: dict[str, Any], proof: "Finding") -> None:
    rows = [(each.name, "ok" if each.ok else "missing", each.detail) for each in findings]
    show_table(("MECHANISM", "", "SEEN"), rows)
    typer.echo()
    show_table(("LIMIT", "HELD BY"), [(name, str(holder)) for name, holder in enforced.items()])
    missing = [each for each in (*findings, proof) if not each.ok]
    if missing:
        typer.echo()
        show_table(("MISSING", "HOW TO GET IT"), [(each.name, each.fix) for each in missing])
    typer.echo(f"\n{'Guests run here' if proof.ok else 'No guest can run here'}: {proof.detail}")
