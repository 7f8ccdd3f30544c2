"""`sandbox images`: make the images that containers are started from, and list them."""

import json
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.output import show_table

if TYPE_CHECKING:
    from sandbox.backends.docker_engine import DockerEngine
    from sandbox.backends.images import ImageRow

__all__ = ["app"]

app = typer.Typer(help="Make and list the images of containers.", rich_markup_mode=None)

Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="python (the default) or data.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The same as JSON on stdout.")]


@dataclass(frozen=True, kw_only=True)
class _Built:
    """One image that was made."""

    name: str
    size_bytes: int
    seconds: float


@app.command()
def build(names: Names = None, *, is_json: AsJson = False) -> None:
    """Make images out of this host's own Python and programs; no registry is needed.

    The packages of "data" come from PyPI, by pip. Each image is a line when it is made: its name in
    the engine, its size and the time it took.
    """
    from sandbox.backends.docker_engine import DockerEngine  # noqa: PLC0415 - slow to import
    from sandbox.backends.image_build import ImageSpec  # noqa: PLC0415 - ditto

    wanted = list(dict.fromkeys(names or ["python"]))
    for name in wanted:
        ImageSpec.load(name)  # a misspelt one is refused before any is made
    built: list[_Built] = []
    with closing(DockerEngine()) as engine:
        for name in wanted:
            built.append(_build(engine, name))
            if not is_json:
                typer.echo(_line(built[-1]))
    if is_json:
        typer.echo(json.dumps([asdict(each) for each in built], indent=2))


def _build(engine: "DockerEngine", name: str) -> _Built:
    from sandbox.backends.images import build_image  # noqa: PLC0415 - ditto

    begun = time.monotonic()
    tag = build_image(engine, name)
    seconds = time.monotonic() - begun
    return _Built(name=tag, size_bytes=int(engine.image(tag)["Size"]), seconds=seconds)


def _line(built: _Built) -> str:
    return f"{built.name}: {_size(built.size_bytes)}, made in {built.seconds:.1f} s"


@app.command("list")
def list_all(*, is_json: AsJson = False) -> None:
    """List the images in the engine that carry our runner: ours, and what was made from others.

    One that is not current still serves: what changed is put on top when it is first used.
    """
    from sandbox.backends.docker_engine import DockerEngine  # noqa: PLC0415 - ditto
    from sandbox.backends.images import list_images  # noqa: PLC0415 - ditto

    with closing(DockerEngine()) as engine:
        rows = list_images(engine)
    if is_json:
        typer.echo(json.dumps([asdict(each) for each in rows], indent=2))
        return
    show_table(("NAME", "CURRENT", "WIRE", "MADE FROM", "SIZE"), [_row(each) for each in rows])


def _row(image: "ImageRow") -> tuple[str, ...]:
    is_current = "yes" if image.is_current else "no"
    return (image.name, is_current, image.wire, image.base or "this host", _size(image.size_bytes))


def _size(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):.1f} MiB"
