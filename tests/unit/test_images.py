"""Which image is taken, what it is called, and what its labels say: with an engine of paper."""

import ast
import re
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox import CannotEnforce, EngineFault
from sandbox.backends import image_build
from sandbox.backends.docker_engine import DockerEngine
from sandbox.backends.image_build import (
    WIRE_VERSION,
    ImageSpec,
    image_names,
    runner_archive,
    runner_hash,
)
from sandbox.backends.images import Image, find_image, list_images, tag_of
from sandbox.errors import BadCall
from sandbox.shipped import IMAGES, RUNNERS
from sandbox.wire_container import Hello

Json = dict[str, Any]
GREETING = Hello(WIRE_VERSION, (3, 12), ("/usr/lib/python3/dist-packages",))
OURS = {
    "sandbox-engine.wire": str(WIRE_VERSION),
    "sandbox-engine.runner": runner_hash(),
    "sandbox-engine.python": "/usr/bin/python3",
    "sandbox-engine.packages": "/opt/packages",
}


class PaperEngine(DockerEngine):
    """An engine that only keeps descriptions of images."""

    def __init__(self, **images: Json) -> None:
        self.kept: dict[str, Json] = {
            name: {"Id": f"sha256:{name}", "Config": {"Labels": labels}}
            for name, labels in images.items()
        }

    def image(self, name: str) -> Json:
        if name not in self.kept:
            message = f"there is no image {name}"
            raise EngineFault(message)
        return self.kept[name]

    def images(self, label: str) -> list[Json]:
        every = [{"Labels": each["Config"]["Labels"], **each} for each in self.kept.values()]
        return [each for each in every if label in each["Labels"]]

    def add_to_image(
        self,
        image: str,
        archive: Path,
        name: str,
        changes: Sequence[str],
        labels: Mapping[str, str],
    ) -> None:
        assert archive.is_file()
        self.kept[name] = {
            "Id": f"{image}+{len(self.kept)}",
            "Config": {"Labels": dict(labels), "Env": list(changes)},
        }

    def remove_image(self, name: str) -> None:
        del self.kept[name]


class Trials:
    """Tells which of an image's interpreters start, and remembers which were tried."""

    def __init__(self, *greetings: Hello | None) -> None:
        self._greetings = [*greetings]
        self.commands: list[tuple[str, ...]] = []

    def __call__(self, _tag: str, command: tuple[str, ...]) -> Hello | None:
        self.commands.append(command)
        return self._greetings.pop(0)


def taken(engine: PaperEngine, *greetings: Hello | None) -> Image:
    return find_image(engine, "theirs", Trials(*greetings))


def names(engine: PaperEngine) -> list[str]:
    """Give the images that the engine has beside the first one."""
    return [name for name in engine.kept if name != "theirs"]


def test_an_image_with_our_runner_is_taken_as_it_is() -> None:
    image = taken(PaperEngine(theirs=OURS))

    assert (image.id, image.packages) == ("sha256:theirs", ("/opt/packages",))


def test_our_runner_is_started_by_the_interpreter_that_the_label_names() -> None:
    assert taken(PaperEngine(theirs=OURS)).command == ("/usr/bin/python3", "-I", "-S")


@pytest.mark.parametrize("version", ["0", "1", str(WIRE_VERSION + 1), "", "2.0", "two"])
def test_an_image_that_speaks_another_version_of_the_wire_is_refused(version: str) -> None:
    with pytest.raises(CannotEnforce, match="sandbox images build"):
        taken(PaperEngine(theirs=OURS | {"sandbox-engine.wire": version}))


def test_an_image_that_is_not_there_is_our_fault() -> None:
    with pytest.raises(EngineFault, match="no image"):
        taken(PaperEngine())


@pytest.mark.parametrize(
    "labels", [{}, OURS | {"sandbox-engine.runner": "another"}], ids=["none", "an older one"]
)
def test_an_image_without_this_runner_gets_it_on_top(labels: dict[str, str]) -> None:
    engine = PaperEngine(theirs=labels)
    image = taken(engine, GREETING)

    assert engine.kept[names(engine)[0]]["Id"] == image.id
    assert image.id != "sha256:theirs"


def test_what_was_made_once_is_found_again() -> None:
    engine = PaperEngine(theirs={})
    made = taken(engine, GREETING)

    assert taken(engine) == made


@pytest.mark.slow
def test_nothing_is_left_of_what_was_tried_out() -> None:
    engine = PaperEngine(theirs={})
    taken(engine, None, GREETING)

    assert [re.sub("[0-9a-f]{16}", "KEY", name) for name in names(engine)] == [
        "sandbox-engine/derived:KEY"
    ]


def test_nothing_is_left_of_a_trial_that_fails() -> None:
    engine = PaperEngine(theirs={})

    def fail(_tag: str, _command: tuple[str, ...]) -> Hello | None:
        message = "no seccomp here"
        raise CannotEnforce(message)

    with pytest.raises(CannotEnforce):
        find_image(engine, "theirs", fail)

    assert names(engine) == []


def test_another_image_under_the_same_name_is_made_anew() -> None:
    engine = PaperEngine(theirs={})
    before = taken(engine, GREETING)
    engine.kept["theirs"]["Id"] = "sha256:changed"

    assert taken(engine, GREETING) != before


@pytest.mark.slow
def test_the_images_own_python_is_tried_first() -> None:
    trials = Trials(None, GREETING)
    find_image(PaperEngine(theirs={}), "theirs", trials)

    assert [command[0] for command in trials.commands] == [
        "python3",
        "/opt/sandbox/python/loader",
    ]


@pytest.mark.slow
def test_a_python_too_old_for_our_runner_is_not_used() -> None:
    old = Hello(WIRE_VERSION, (3, 9), ())

    assert taken(PaperEngine(theirs={}), old, GREETING).command[0] == "/opt/sandbox/python/loader"


@pytest.mark.slow
def test_an_image_in_which_no_python_runs_is_our_fault() -> None:
    with pytest.raises(EngineFault, match="no Python runs"):
        taken(PaperEngine(theirs={}), None, None)


def test_the_folders_of_an_images_packages_are_those_that_its_python_named() -> None:
    assert taken(PaperEngine(theirs={}), GREETING).packages == GREETING.packages


def test_a_derived_image_says_of_which_it_is() -> None:
    engine = PaperEngine(theirs={})
    taken(engine, GREETING)

    assert [row.base for row in list_images(engine)] == ["theirs"]


@pytest.mark.parametrize(
    ("runner", "is_current"), [(runner_hash(), True), ("another", False)], ids=["ours", "old"]
)
def test_the_list_says_whether_a_runner_is_this_one(runner: str, *, is_current: bool) -> None:
    engine = PaperEngine(theirs=OURS | {"sandbox-engine.runner": runner})

    assert [row.is_current for row in list_images(engine)] == [is_current]


def test_the_version_of_the_wire_is_in_the_name() -> None:
    assert tag_of("python") == f"sandbox-engine/python:wire-{WIRE_VERSION}"


# What is shipped


def test_host_and_runner_speak_the_same_version_of_the_wire() -> None:
    module = ast.parse((RUNNERS / "link.py").read_text())
    values = {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    assert ast.literal_eval(values["WIRE_VERSION"]) == WIRE_VERSION


@pytest.mark.parametrize("name", image_names())
@pytest.mark.parametrize("label", ["wire", "python", "packages"])
def test_a_dockerfile_says_what_a_build_of_ours_says(name: str, label: str) -> None:
    wanted = {
        "wire": str(WIRE_VERSION),
        "python": "python3",
        "packages": image_build.PACKAGES if ImageSpec.load(name).packages else "",
    }
    text = (IMAGES / name / "Dockerfile").read_text()

    assert f'sandbox-engine.{label}="{wanted[label]}"' in text


@pytest.mark.parametrize("name", image_names())
def test_a_dockerfile_names_the_image_as_we_look_for_it(name: str) -> None:
    assert f"-t {tag_of(name)} ." in (IMAGES / name / "Dockerfile").read_text()


def test_a_dockerfile_installs_the_packages_of_our_build() -> None:
    packages = " ".join(ImageSpec.load("data").packages)

    assert (
        f"--target {image_build.PACKAGES} {packages}\n" in (IMAGES / "data/Dockerfile").read_text()
    )


def test_an_image_has_what_the_one_it_extends_has() -> None:
    python, data = ImageSpec.load("python"), ImageSpec.load("data")

    assert set(python.programs) <= set(data.programs)
    assert set(data.packages) == {"numpy", "pandas"}


@pytest.mark.parametrize("name", ["", "..", "no-such", "python/../python", "/etc"])
def test_a_name_that_is_none_of_ours_cannot_be_built(name: str) -> None:
    with pytest.raises(BadCall, match="there is no image"):
        ImageSpec.load(name)


@pytest.mark.parametrize("program", ["sh", "bash", "env", "cat", "sleep", "sha256sum"])
def test_the_programs_of_ordinary_scripts_are_in_the_image(program: str) -> None:
    assert program in ImageSpec.load("python").programs


def archived(*, with_interpreter: bool) -> list[tarfile.TarInfo]:
    with runner_archive(with_interpreter=with_interpreter) as path, tarfile.open(path) as tar:
        return tar.getmembers()


def test_every_file_of_the_runner_is_put_on_top() -> None:
    found = {entry.name for entry in archived(with_interpreter=False)}

    assert {f"opt/sandbox/runners/{file.name}" for file in RUNNERS.glob("*.py")} <= found


def test_nothing_but_our_own_folder_is_touched_in_an_image_of_theirs() -> None:
    found = {entry.name for entry in archived(with_interpreter=False)}

    assert {each for each in found if not each.startswith("opt/sandbox/")} == {
        *("opt", "opt/sandbox", "box")
    }


@pytest.mark.slow
def test_nothing_that_is_put_on_top_is_anybodys_but_roots() -> None:
    entries = archived(with_interpreter=True)

    assert {(each.uid, each.gid) for each in entries} == {(0, 0)}
    assert [each.name for each in entries if each.mode & 0o7022] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["loader", "bin/python3", "libraries/libc.so.6"])
def test_an_interpreter_that_needs_nothing_of_the_image_can_be_put_on_top(name: str) -> None:
    found = {entry.name for entry in archived(with_interpreter=True)}

    assert f"opt/sandbox/python/{name}" in found


def test_a_change_of_the_runner_changes_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = runner_hash()
    for file in RUNNERS.glob("*.py"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "link.py").write_text(f"WIRE_VERSION = {WIRE_VERSION + 1}\n")
    monkeypatch.setattr(image_build, "RUNNERS", tmp_path)

    assert runner_hash() != before
