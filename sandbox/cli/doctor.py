"""`sandbox doctor`: what this host offers, what holds each limit, and one guest as the proof."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sandbox.cli.output import show_table
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from sandbox.backends.docker_probe import EngineReport
    from sandbox.backends.probe import Finding
    from sandbox.choices import BackendLike

__all__ = ["doctor"]


def doctor(
    *,
    is_json: Annotated[bool, typer.Option("--json", help="The same as JSON on stdout.")] = False,
) -> int:
    """Say what this host can hold guests with, what is missing and how to get it.

    Ends with a real guest under the policy "strict". Exit status: 0 if it ran, 1 if it did not.
    The container engine is optional: what is wrong with it is a warning.
    """
    from sandbox.backends.probe import probe  # noqa: PLC0415 - slow to import

    findings = probe()
    enforced = _enforced()
    engine = _look_at_engine()
    proof = _prove("a guest", "subprocess", fix="mend what is missing above")
    if is_json:
        report = {"can_run": proof.ok, "findings": [asdict(each) for each in (*findings, proof)]}
        report |= {"enforced": enforced, "container_engine": asdict(engine)}
        typer.echo(json.dumps(report, indent=2))
    else:
        _show(findings, enforced, proof)
        _show_engine(engine)
        verdict = "Guests run here" if proof.ok else "No guest can run here"
        typer.echo(f"\n{verdict}: {proof.detail}")
    return 0 if proof.ok else 1


def _enforced() -> dict[str, Any]:
    """Say what would hold each limit of "strict"; the reason under "refused" if nothing would."""
    from sandbox.backends.subprocess import SubprocessBackend  # noqa: PLC0415 - ditto
    from sandbox.policy import Policy  # noqa: PLC0415 - ditto

    try:
        return SubprocessBackend().enforced(Policy.load("strict")).model_dump()
    except SandboxError as fault:
        return {"refused": str(fault)}


def _look_at_engine() -> "EngineReport":
    """Ask the container engine, and have it run a guest for each of our runtimes if it can."""
    from sandbox.backends.docker_probe import probe_engine  # noqa: PLC0415 - ditto

    report = probe_engine()
    works = {each.name for each in report.findings if each.ok}
    if "image python" not in works:
        return report
    runtimes: tuple[Literal["runc", "runsc"], ...] = ("runc", "runsc")
    proofs = [_prove_container(name) for name in runtimes if f"runtime {name}" in works]
    return replace(report, findings=(*report.findings, *proofs))


def _prove_container(runtime: Literal["runc", "runsc"]) -> "Finding":
    """Run a guest in a container, with none kept for a second call."""
    from sandbox.backends.docker import DockerBackend  # noqa: PLC0415 - ditto

    fix = "mend what the engine says; its own log says more"
    return _prove(f"a guest of {runtime}", DockerBackend(runtime=runtime, warm=0), fix=fix)


def _prove(name: str, backend: "BackendLike", *, fix: str) -> "Finding":
    """Run a guest."""
    from sandbox.backends.probe import Finding  # noqa: PLC0415 - ditto
    from sandbox.box import Sandbox  # noqa: PLC0415 - ditto

    try:
        with Sandbox(backend=backend) as box:
            result = box.run("6 * 7")
    except SandboxError as fault:
        return Finding(name=name, ok=False, detail=str(fault), fix=fix)
    milliseconds = (result.phases.prepared + result.phases.ran + result.phases.torn_down) * 1000
    detail = f"6 * 7 is {result.value}, {result.status} in {milliseconds:.1f} ms"
    is_right = result.ok and result.value == 42
    return Finding(name=name, ok=is_right, detail=detail, fix="" if is_right else "please report")


def _show(findings: "tuple[Finding, ...]", enforced: dict[str, Any], proof: "Finding") -> None:
    rows = [(each.name, "ok" if each.ok else "missing", each.detail) for each in findings]
    show_table(("MECHANISM", "", "SEEN"), rows)
    typer.echo()
    show_table(("LIMIT", "HELD BY"), [(name, str(holder)) for name, holder in enforced.items()])
    _show_fixes("MISSING", (*findings, proof))


def _show_engine(engine: "EngineReport") -> None:
    """Show what was found of the engine; where none answers, that is one line."""
    typer.echo()
    if not engine.answers:
        typer.echo(f"Container engine (optional): {engine.detail}")
        return
    typer.echo(f"Container engine (optional): {engine.detail}\n")
    rows = [(each.name, "ok" if each.ok else "warning", each.detail) for each in engine.findings]
    show_table(("CONTAINERS", "", "SEEN"), rows)
    _show_fixes("WARNING", engine.findings)


def _show_fixes(heading: str, findings: "Sequence[Finding]") -> None:
    wrong = [(each.name, each.fix) for each in findings if not each.ok]
    if wrong:
        typer.echo()
        show_table((heading, "WHAT TO DO"), wrong)
