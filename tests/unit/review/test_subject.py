"""The hash of a subject is of its own code, all of it, and found without running it."""

import functools
import hashlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import BadCall
from sandbox.policy import Policy
from sandbox.review.places import Places
from sandbox.review.subject import (
    command_hash,
    find_module,
    function_hash,
    module_hash,
    named_function_hash,
    source_hash,
    tree_hash,
)

PLACES = Places.of(Policy())


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def loaded(monkeypatch: pytest.MonkeyPatch, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    return module


def test_the_hash_of_a_source_is_that_of_its_file(tmp_path: Path) -> None:
    path = written(tmp_path, "program.py", "print('é')")

    assert source_hash("print('é')") == tree_hash(path)
    assert source_hash("print('é')") == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_module_is_found_without_running_its_package(tmp_path: Path) -> None:
    written(tmp_path, "package/__init__.py", "raise SystemExit")
    path = written(tmp_path, "package/part.py", "1")

    assert find_module("package.part", [tmp_path / "no", tmp_path]) == path
    assert find_module("package", [tmp_path]) == tmp_path / "package"


@pytest.mark.parametrize("name", ["no_such", "../secret", "a/b", "", "a..b", "/etc/passwd"])
def test_a_name_that_is_no_module_here_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadCall, match=r"module"):
        module_hash(name, [tmp_path])


@pytest.mark.parametrize("name", ["__init__.py", "inner/data.txt", "new.py"])
def test_every_file_of_a_package_counts(tmp_path: Path, name: str) -> None:
    written(tmp_path, "package/__init__.py", "1")
    written(tmp_path, "package/inner/data.txt", "1")
    before = module_hash("package", [tmp_path])
    written(tmp_path, f"package/{name}", "2")

    assert module_hash("package", [tmp_path]) != before


def test_compiled_code_does_not_count(tmp_path: Path) -> None:
    written(tmp_path, "package/__init__.py", "1")
    before = module_hash("package", [tmp_path])
    written(tmp_path, "package/__pycache__/x.cpython-311.pyc", "1")

    assert module_hash("package", [tmp_path]) == before


def test_a_link_in_a_package_counts_and_is_not_followed(tmp_path: Path) -> None:
    written(tmp_path, "package/__init__.py", "1")
    outside = written(tmp_path, "outside", "1")
    (tmp_path / "package" / "link").symlink_to(outside)
    before = module_hash("package", [tmp_path])
    outside.write_text("2", encoding="utf-8")
    followed = module_hash("package", [tmp_path])
    (tmp_path / "package" / "link").unlink()

    assert followed == before
    assert module_hash("package", [tmp_path]) != before


# Functions


def test_a_function_has_one_hash_by_name_and_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(
        tmp_path, "reviewed_one.py", "def f():\n    return 1\n\ndef g():\n    return 2\n"
    )
    module = loaded(monkeypatch, path)
    named = [named_function_hash(f"reviewed_one:{name}", [tmp_path]) for name in "fg"]

    assert [function_hash(module.f), function_hash(module.g)] == named
    assert named[0] != named[1]


def test_a_function_is_another_when_anything_of_its_module_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "def f():\n    return helper()\n\ndef helper():\n    return {}\n"
    path = written(tmp_path, "reviewed_two.py", text.format(1))
    before = function_hash(loaded(monkeypatch, path).f)
    written(tmp_path, "reviewed_two.py", text.format(2))

    assert function_hash(loaded(monkeypatch, path).f) != before


def test_a_method_and_a_decorated_function_are_those_of_their_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "import functools\n"
        "class A:\n    def m(self):\n        return 1\n"
        "@functools.cache\ndef cached():\n    return 1\n"
    )
    module = loaded(monkeypatch, written(tmp_path, "reviewed_three.py", text))

    assert function_hash(module.A().m) == named_function_hash("reviewed_three:A.m", [tmp_path])
    assert function_hash(module.cached) == named_function_hash("reviewed_three:cached", [tmp_path])


def test_a_wrapper_that_hides_its_function_is_hashed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "reviewed_four.py", "def f():\n    return 1\n")

    def hidden(function: Callable[[], int]) -> Callable[[], int]:
        def wrapper() -> int:
            return function()

        return wrapper

    before = function_hash(hidden(loaded(monkeypatch, path).f))
    written(tmp_path, "reviewed_four.py", "def f():\n    return 2\n")

    assert function_hash(hidden(loaded(monkeypatch, path).f)) != before


def made(text: str) -> Any:
    space: dict[str, Any] = {"__name__": "no_file_at_all"}
    exec(text, space)  # noqa: S102 - a function of no file
    return space["f"]


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    return 2\n",
        "def f():\n    return (lambda: 3)()\n",
        "def f():\n    return g()\n",
        "def f():\n    return 1 in {1, 2, 4}\n",
    ],
)
def test_a_function_without_a_file_is_hashed_by_its_code(text: str) -> None:
    same = "def f():\n    return 1\n"

    assert function_hash(made(same)) == function_hash(made(f"\n\n{same}"))
    assert function_hash(made(text)) != function_hash(made(same))


@pytest.mark.parametrize("what", [len, functools.partial(print)])
def test_what_has_no_code_is_refused(what: Any) -> None:
    with pytest.raises(BadCall, match="has no code that can be read"):
        function_hash(what)


@pytest.mark.parametrize("name", ["json", "json:", "no_such:f"])
def test_a_function_by_a_wrong_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadCall):
        named_function_hash(name, [tmp_path])


# Commands


def test_a_command_is_the_file_on_the_path_of_the_guest() -> None:
    real = Path("/usr/bin/env").resolve()

    assert command_hash("env", PLACES) == hashlib.sha256(real.read_bytes()).hexdigest()
    assert command_hash("/usr/bin/env", PLACES) == command_hash("env", PLACES)


def test_a_command_may_be_a_file_that_comes_with_it() -> None:
    given = {"tool": b"#!/bin/sh\n"}

    assert command_hash("./tool", PLACES, given=given) == source_hash(b"#!/bin/sh\n")
    assert command_hash("/box/tool", PLACES, given=given) == source_hash(b"#!/bin/sh\n")


@pytest.mark.parametrize("word", ["no-such-program", "/etc/passwd", "../etc/passwd", "tool", ""])
def test_a_command_that_no_guest_has_is_refused(word: str) -> None:
    with pytest.raises(BadCall, match="no program"):
        command_hash(word, PLACES, given={"tool": b""})


# Places


def test_a_link_of_a_grant_is_not_followed_out_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "granted"
    inside = written(folder, "inside", "1")
    (folder / "out").symlink_to("/usr/bin/env")
    (folder / "in").symlink_to(inside)
    grant = {"path": str(folder), "at": "/data", "reason": "a test"}
    places = Places.of(Policy.model_validate({"files": [grant]}))

    assert (places.find("/data/out"), places.find("/data/in")) == (None, inside)


@pytest.mark.parametrize(
    "path",
    ["/usr/../etc/passwd", "usr/bin/env", "/etc/passwd", "/usr", "/usr/bin/\0", "/box/x", ""],
)
def test_what_a_guest_does_not_see_there_is_not_found(path: str) -> None:
    assert PLACES.find(path) is None
