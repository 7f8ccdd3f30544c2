"""The options that `run` and `exec` share, and the sizes that people write."""

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import typer

__all__ = ["Options", "parse_size"]

_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([a-z]*)", re.ASCII | re.IGNORECASE)
_UNITS: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}


def parse_size(text: str) -> int:
    """Read an amount of bytes as "512MiB", "1.5GB" or "4096". Raises typer.BadParameter."""
    found = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(found[2].lower()) if found else None
    if not found or unit is None:
        message = f"{text!r} is no size: write it as 512MiB, 64MB, 1.5GiB or 4096 (bytes)"
        raise typer.BadParameter(message)
    return int(Decimal(found[1]) * unit)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What both commands are told besides what to run."""

    policy: str
    wall_seconds: float | None
    cpu_seconds: float | None
    memory_bytes: int | None
    processes: int | None
    disk_bytes: int | None
    output_bytes: int | None
    network: str | None
    reason: str
    files: tuple[str, ...]
    out: Path | None
    is_json: bool
    wants_stdin: bool | None
    backend: Literal["subprocess", "docker"] | None
    """None: what gives the isolation that the policy asks for."""
    image: str | None
    runtime: Literal["runc", "runsc"] | None


def _size(flag: str, text: str) -> object:
    return typer.Option(flag, parser=parse_size, metavar="SIZE", help=text)


PolicyName: TypeAlias = Annotated[
    str, typer.Option("--policy", help="A preset's name, or a document as ./my.toml.")
]
Timeout: TypeAlias = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", help="Real time; then 124.")
]
CpuSeconds: TypeAlias = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Processor time of all processes; then 124.")
]
Memory: TypeAlias = Annotated[
    int | None, _size("--memory", "Memory of all processes, as 512MiB; then 137.")
]
Processes: TypeAlias = Annotated[
    int | None, typer.Option(metavar="NUMBER", help="Processes and threads at a time.")
]
Disk: TypeAlias = Annotated[
    int | None, _size("--disk", "Files in /box, /tmp and /dev/shm together; part of the memory.")
]
Output: TypeAlias = Annotated[int | None, _size("--output", "stdout and stderr together.")]
Network: TypeAlias = Annotated[
    Literal["none", "full"] | None,
    typer.Option(help="By default as in the policy; full needs --reason."),
]
Reason: TypeAlias = Annotated[
    str, typer.Option(metavar="TEXT", help="Why this call needs more than the policy gives.")
]
Files: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--file", metavar="LOCAL[:NAME]", help="Copy a file into /box. Repeatable."),
]
Out: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write the files that the call leaves in /box there."),
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="The whole result as JSON on stdout, at the end.")
]
Stdin: TypeAlias = Annotated[
    bool | None,
    typer.Option("--stdin/--no-stdin", help="Standard input; by default if a file or a pipe."),
]
BackendName: TypeAlias = Annotated[
    Literal["subprocess", "docker"] | None,
    typer.Option("--backend", help="By default what gives the policy's isolation."),
]
ImageName: TypeAlias = Annotated[
    str | None,
    typer.Option("--image", metavar="NAME", help="python (the default), data, or any; for docker."),
]
RuntimeName: TypeAlias = Annotated[
    Literal["runc", "runsc"] | None,
    typer.Option("--runtime", help="By default as the policy's isolation asks; for docker."),
]
