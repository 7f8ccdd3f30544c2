"""What code runs used: packages by distribution, files and programs by path."""

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.policy import Policy
from sandbox.record import Event
from sandbox.review.dependencies import dependencies
from sandbox.review.model import Dependency
from sandbox.review.places import Places
from sandbox.review.subject import source_hash
from tests.unit.review.least_records import file, read, run, started


@dataclass(frozen=True)
class Python:
    """An interpreter with folders of packages made for a test."""

    packages: tuple[str, ...]
    prefix: str = "/usr"


def install(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    described = {f"{name}-{version}.dist-info/METADATA": f"Name: {name}\nVersion: {version}\n"}
    rows: list[str] = []
    for path, text in {**files, **described}.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
        rows.append(f"{path},sha256={digest.rstrip('=')},{len(text)}\n")
    record = folder / f"{name}-{version}.dist-info" / "RECORD"
    record.write_text("".join([*rows, f"{record.parent.name}/RECORD,,\n"]), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    install(tmp_path, "one", "1.0", {"one/__init__.py": "1", "one/data.txt": "1"})
    install(tmp_path, "two", "2.0", {"two.py": "2"})
    (tmp_path / "loose.py").write_text("3", encoding="utf-8")
    return tmp_path


def used(folder: Path, *events: Event, **given: bytes) -> tuple[Dependency, ...]:
    places = Places.of(Policy(), Python(packages=("/nowhere", str(folder))))
    files = {name.replace("_", "."): content for name, content in given.items()}
    return dependencies([run(*events)], places, given=files)


def names(found: tuple[Dependency, ...]) -> list[str]:
    return [each.name for each in found]


def test_a_file_that_was_read_is_its_distribution(folder: Path) -> None:
    events = (
        read("/opt/packages/1/two.py"),
        read("/opt/packages/1/one/__init__.py"),
        read("/opt/packages/1/one/data.txt"),
    )

    assert names(used(folder, *events)) == ["one 1.0", "two 2.0"]


def test_compiled_code_and_files_made_later_are_of_their_package(folder: Path) -> None:
    compiled = read("/opt/packages/1/__pycache__/two.cpython-311.pyc")
    later = read("/opt/packages/1/one/made_later.bin")

    assert names(used(folder, compiled, later)) == ["one 1.0", "two 2.0"]


def test_a_file_of_no_distribution_is_named_by_its_path(folder: Path) -> None:
    assert used(folder, read("/opt/packages/1/loose.py")) == (
        Dependency(name="/opt/packages/1/loose.py", hash=source_hash("3")),
    )


@pytest.mark.parametrize(
    "event",
    [
        file("look", "/opt/packages/1/two.py"),
        read("/opt/packages/1/two.py", outcome="refused"),
        read("/opt/packages/1/../../../etc/passwd"),
        read("/opt/packages/7/two.py"),
        read("/opt/packages/-1/two.py"),
        read("/opt/packages/1/no_such.py"),
        read("/opt/packages/1"),
        read("/opt/packages/1/one-1.0.dist-info/METADATA"),
        read("/opt/packages"),
        read("/data/two.py"),
    ],
    ids=lambda event: f"{event.access} {event.path} {event.outcome}",
)
def test_what_is_no_code_that_was_used_is_left_out(folder: Path, event: Event) -> None:
    assert used(folder, event) == ()


def test_a_link_out_of_the_packages_is_not_followed(folder: Path) -> None:
    (folder / "link.py").symlink_to("/etc/hostname")

    assert used(folder, read("/opt/packages/1/link.py")) == ()


ONE = read("/opt/packages/1/one/__init__.py")


def test_changed_code_has_another_hash_though_nobody_wrote_it_down(folder: Path) -> None:
    before = used(folder, ONE)
    path = folder / "one" / "__init__.py"
    path.write_text("7", encoding="utf-8")
    os.utime(path, ns=(5, 5))

    assert used(folder, ONE) != before


def test_the_hash_does_not_depend_on_what_was_read(folder: Path) -> None:
    assert used(folder, ONE) == used(folder, read("/opt/packages/1/one/data.txt"))


def test_how_it_was_installed_does_not_count(folder: Path) -> None:
    before = used(folder, ONE)
    record = folder / "one-1.0.dist-info" / "RECORD"
    text = record.read_text(encoding="utf-8")
    more = "one/__pycache__/__init__.cpython-311.pyc,,\n../../bin/one,sha256=x,1\n"
    record.write_text(f"{text}{more}one-1.0.dist-info/INSTALLER,sha256=y,4\n", encoding="utf-8")
    os.utime(folder, ns=(5, 5))

    assert used(folder, ONE) == before


def test_code_in_the_work_folder_counts_if_it_was_given_and_read(folder: Path) -> None:
    given = {"helper_py": b"1", "data_csv": b"2", "other_py": b"3"}
    events = read("/box/helper.py"), read("/box/data.csv"), read("/box/made.py")

    assert used(folder, *events, **given) == (
        Dependency(name="/box/helper.py", hash=source_hash(b"1")),
    )


def test_programs_count_by_their_file_on_the_host(folder: Path) -> None:
    found = used(folder, started("/usr/bin/env"), started("/usr/bin/id", outcome="refused"))

    assert found == (
        Dependency(
            name="/usr/bin/env", hash=hashlib.sha256(Path("/usr/bin/env").read_bytes()).hexdigest()
        ),
    )


def test_a_program_that_was_given_counts_and_one_that_was_made_does_not(folder: Path) -> None:
    found = used(folder, started("/box/tool.x"), started("/box/a.out"), tool_x=b"#!")

    assert found == (Dependency(name="/box/tool.x", hash=source_hash(b"#!")),)
