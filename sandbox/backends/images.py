"""Which image a container is made of: one of ours, or anybody's with our runner put on top."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sandbox.backends.docker_engine import DockerEngine
from sandbox.backends.image_build import (
    PACKAGES,
    WIRE_VERSION,
    ImageSpec,
    root_archive,
    runner_archive,
    runner_hash,
)
from sandbox.backends.processes import owner_name
from sandbox.backends.view import Interpreter
from sandbox.errors import CannotEnforce, EngineFault
from sandbox.wire_container import Hello

__all__ = ["Image", "ImageRow", "build_image", "find_image", "list_images", "tag_of"]

LABEL_WIRE: Final = "sandbox-engine.wire"
LABEL_RUNNER: Final = "sandbox-engine.runner"
LABEL_PYTHON: Final = "sandbox-engine.python"
LABEL_PACKAGES: Final = "sandbox-engine.packages"
LABEL_BASE: Final = "sandbox-engine.base"
DERIVED: Final = "sandbox-engine/derived"
OPTIONS: Final = ("-I", "-S")
OWN_PYTHON: Final = (
    "/opt/sandbox/python/loader",
    "--library-path",
    "/opt/sandbox/python/libraries",
    "/opt/sandbox/python/bin/python3",
)
"""Started by its own loader, so that it runs in an image that has none."""
OLDEST_PYTHON: Final = (3, 10)


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that carries our runner. command: its interpreter. packages: their folders."""

    id: str
    command: tuple[str, ...]
    packages: tuple[str, ...]
    path: str
    """What it says PATH is; "" where it says nothing."""
    volumes: tuple[str, ...] = ()
    """Folders for which the engine would make a volume for each container."""


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """One line of `sandbox images list`."""

    name: str
    wire: str
    is_current: bool
    """Whether its runner is this engine's; one that is not gets it on top when it is used."""
    base: str
    size_bytes: int


TryOut = Callable[[str, tuple[str, ...]], Hello | None]
"""Start a container of an image with an interpreter; give its greeting, None if none comes."""


def tag_of(name: str) -> str:
    """Give the name in the engine of an image of ours."""
    return f"sandbox-engine/{name}:wire-{WIRE_VERSION}"


def build_image(engine: DockerEngine, name: str) -> str:
    """Make an image of ours from this host, without a registry; give its name in the engine."""
    spec = ImageSpec.load(name)
    packages = PACKAGES if spec.packages else ""
    labels = _labels((Interpreter.current().guest_executable,), packages)
    changes = ["WORKDIR /box", *(f'LABEL {key}="{value}"' for key, value in labels.items())]
    with root_archive(spec) as archive:
        engine.import_image(archive, tag_of(name), changes)
    return tag_of(name)


def list_images(engine: DockerEngine) -> list[ImageRow]:
    """List the images that carry a runner."""
    return [
        ImageRow(
            name=name,
            wire=each["Labels"].get(LABEL_WIRE, ""),
            is_current=each["Labels"].get(LABEL_RUNNER) == runner_hash(),
            base=each["Labels"].get(LABEL_BASE, ""),
            size_bytes=int(each.get("Size", 0)),
        )
        for each in engine.images(LABEL_WIRE)
        for name in _names(each)
    ]


def _names(found: dict[str, Any]) -> list[str]:
    """Give an image's names; its id where it has none, which engines say in two ways."""
    tags: list[str] = found.get("RepoTags") or []
    return [tag for tag in tags if tag != "<none>:<none>"] or [str(found["Id"])[:19]]


def find_image(engine: DockerEngine, name: str, try_out: TryOut) -> Image:
    """Give an image that carries this engine's runner, made of the one named if need be.

    Raises EngineFault for an image that is not there or in which nothing of ours can run, and
    CannotEnforce for one whose runner speaks another version of the wire.
    """
    description = engine.image(name)
    labels = _labels_of(description)
    wire = labels.get(LABEL_WIRE, str(WIRE_VERSION))
    if wire != str(WIRE_VERSION):
        message = (
            f"the image {name} speaks version {wire} of the wire and this engine version "
            f"{WIRE_VERSION}: build it again with 'sandbox images build'"
        )
        raise CannotEnforce(message)
    if labels.get(LABEL_RUNNER) == runner_hash():
        return _image(description)
    return _derived(engine, name, description, try_out)


def _derived(
    engine: DockerEngine, name: str, description: dict[str, Any], try_out: TryOut
) -> Image:
    """Give the image with our runner on top; make it the first time."""
    key = hashlib.sha256(f"{description['Id']} {runner_hash()}".encode()).hexdigest()[:16]
    tag = f"{DERIVED}:{key}"
    try:
        return _image(engine.image(tag))
    except EngineFault:
        pass  # not made yet
    labels = _labels_of(description)
    commands = [tuple(labels.get(LABEL_PYTHON, "python3").split()), OWN_PYTHON]
    for command in commands:
        trial = f"{DERIVED}:trial-{key}-{owner_name()}"  # another host may try the same
        with runner_archive(with_interpreter=command == OWN_PYTHON) as archive:
            engine.add_to_image(description["Id"], archive, trial, [], {LABEL_BASE: name})
        try:
            hello = try_out(trial, (*command, *OPTIONS))
            if hello and hello.python >= OLDEST_PYTHON:
                packages = labels.get(LABEL_PACKAGES, ":".join(hello.packages))
                found = _labels(command, packages) | {LABEL_BASE: name}
                with runner_archive(with_interpreter=False) as archive:
                    engine.add_to_image(trial, archive, tag, [], found)
                return _image(engine.image(tag))
        finally:
            engine.remove_image(trial)
    message = f"no Python runs in the image {name}: it must be one for Linux on this machine"
    raise EngineFault(message)


def _labels(command: tuple[str, ...], packages: str) -> dict[str, str]:
    return {
        LABEL_WIRE: str(WIRE_VERSION),
        LABEL_RUNNER: runner_hash(),
        LABEL_PYTHON: " ".join(command),
        LABEL_PACKAGES: packages,
    }


def _image(description: dict[str, Any]) -> Image:
    labels = _labels_of(description)
    variables: list[str] = _configuration_of(description).get("Env") or []
    paths = [text.partition("=")[2] for text in variables if text.startswith("PATH=")]
    return Image(
        id=description["Id"],
        command=(*labels[LABEL_PYTHON].split(), *OPTIONS),
        packages=tuple(filter(None, labels.get(LABEL_PACKAGES, "").split(":"))),
        path=paths[0] if paths else "",
        volumes=tuple(sorted(_configuration_of(description).get("Volumes") or ())),
    )


def _labels_of(description: dict[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = _configuration_of(description).get("Labels") or {}
    return labels


def _configuration_of(description: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = description.get("Config") or {}
    return found
