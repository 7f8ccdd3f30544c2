"""`sandbox ps` and `sandbox gc`: what runs for sandboxes on this host, and what was left behind."""

import json
from contextlib import closing, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.output import say, show_table
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from sandbox.backends.docker_leftovers import RunningContainer
    from sandbox.backends.leftovers import Running

__all__ = ["gc", "ps"]

DEAD = "dead: see 'sandbox gc'"


def ps(
    *,
    is_json: Annotated[bool, typer.Option("--json", help="The same as JSON on stdout.")] = False,
) -> None:
    """List the warm interpreters of this user's sandboxes, for root everybody's, and containers.

    Of the container engine, if there is one, all containers of sandboxes are listed. An engine that
    does not answer within five seconds is a line on stderr.
    """
    from sandbox.backends.leftovers import find_running  # noqa: PLC0415 - slow to import

    running = find_running()
    try:
        containers = _containers()
    except SandboxError as fault:
        say(f"containers are not listed: {fault}")
        containers = ()
    if is_json:
        rows = [{"kind": "process", **asdict(each)} for each in running]
        rows += [{"kind": "container", **asdict(each)} for each in containers]
        typer.echo(json.dumps(rows, indent=2))
        return
    columns = ("ID", "OWNER", "KIND", "POLICY", "AGE", "GUESTS", "MEMORY", "OWNER'S COMMAND")
    show_table(columns, [*map(_row, running), *map(_container_row, containers)])


def _containers() -> "tuple[RunningContainer, ...]":
    """List the containers of sandboxes; none where there can be no engine. Raises EngineFault."""
    from sandbox.backends.docker_probe import (  # noqa: PLC0415 - ditto
        ask_engine,
        engine_is_named,
    )

    if not engine_is_named():
        return ()
    from sandbox.backends.docker_leftovers import find_containers  # noqa: PLC0415 - ditto

    return ask_engine(find_containers)


def _row(running: "Running") -> tuple[str, ...]:
    return (
        str(running.pid),
        str(running.owner_pid),
        "process",
        running.policy,
        f"{running.age_seconds:.0f} s",
        str(running.guests),
        f"{running.memory_bytes >> 20} MiB",
        running.owner_command or DEAD,
    )


def _container_row(container: "RunningContainer") -> tuple[str, ...]:
    """Show a container; what its memory is only the engine knows, and it takes a second to say."""
    return (
        container.id,
        str(container.owner_pid),
        "container",
        container.policy,
        f"{container.age_seconds:.0f} s",
        "1",
        "-",
        DEAD if container.is_left_over else _command(container.owner),
    )


def _command(owner: str) -> str:
    """Give the command of a living owner, if its number means the same process here."""
    import psutil  # noqa: PLC0415 - ditto

    from sandbox.backends.processes import owner_name  # noqa: PLC0415 - ditto

    pid, _, rest = owner.partition("-")
    if rest.rpartition("-")[2] == owner_name().rpartition("-")[2]:
        with suppress(psutil.Error, ValueError):
            return " ".join(psutil.Process(int(pid)).cmdline())
    return "-"


def gc() -> int:
    """Remove what killed hosts left: processes, control groups and containers; normally nothing.

    Exit status: 0 if nothing is left, 1 if something could not be removed or looked at.
    """
    from sandbox.backends.leftovers import remove_leftovers  # noqa: PLC0415 - ditto

    removed = remove_leftovers()
    containers, kept = _remove_containers()
    done = [f"killed process {pid} and all below it" for pid in removed.keepers]
    done += [f"removed control group {path}" for path in removed.groups]
    done += [f"removed container {name}" for name in containers]
    left = [*removed.left, *kept]
    for line in done:
        typer.echo(line)
    for reason in left:
        say(reason)
    if not done and not left:
        typer.echo("nothing left behind")
    return 1 if left else 0


def _remove_containers() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Remove the containers of dead owners; give their ids, and the reasons of what stays."""
    removed: tuple[str, ...] = ()
    try:
        orphans = {each.id for each in _containers() if each.is_left_over}
        if not orphans:
            return (), ()
        removed = _remove_orphans()
        left = [each for each in _containers() if each.id in orphans and each.state != "removing"]
    except SandboxError as fault:
        return removed, (f"containers are not looked after: {fault}",)
    return removed, tuple(f"container {each.id} cannot be removed" for each in left)


def _remove_orphans() -> tuple[str, ...]:
    """Have the engine remove them, for as long as it takes it."""
    from sandbox.backends.docker_engine import DockerEngine  # noqa: PLC0415 - ditto
    from sandbox.backends.docker_leftovers import remove_orphans  # noqa: PLC0415 - ditto

    with closing(DockerEngine()) as engine:
        return remove_orphans(engine)
