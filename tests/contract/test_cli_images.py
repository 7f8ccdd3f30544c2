"""`sandbox images`, with a real container engine."""

import json
from typing import Any

import pytest

from sandbox.backends.images import tag_of
from tests.conftest import engine_info
from tests.contract.command_line import sandbox

pytestmark = pytest.mark.slow

needs_engine = pytest.mark.skipif(isinstance(engine_info(), str), reason="needs a container engine")


@needs_engine
def test_the_list_names_our_image() -> None:
    rows = json.loads(sandbox("images", "list", "--json").stdout)
    assert tag_of("python") in {row["name"] for row in rows}


@needs_engine
def test_people_are_shown_the_same_list() -> None:
    heading, *rows = sandbox("images", "list").stdout.splitlines()
    assert (heading.split()[0], tag_of("python") in {row.split()[0] for row in rows}) == (
        "NAME",
        True,
    )


@pytest.fixture(scope="module")
def made() -> list[dict[str, Any]]:
    """Make the image once. The one before stays without a name: sandboxes may be using it."""
    done = sandbox("images", "build", "python", "python", "--json")
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


@needs_engine
def test_an_image_that_is_made_is_told_once_with_its_size_and_time(
    made: list[dict[str, Any]],
) -> None:
    told = [(each["name"], each["size_bytes"] > 1 << 20, each["seconds"] > 0) for each in made]
    assert told == [(tag_of("python"), True, True)]


@needs_engine
@pytest.mark.usefixtures("made")
def test_an_image_that_was_made_is_current() -> None:
    rows = json.loads(sandbox("images", "list", "--json").stdout)
    assert [row["is_current"] for row in rows if row["name"] == tag_of("python")] == [True]


@pytest.mark.parametrize("words", [["build"], ["list"]])
def test_without_an_engine_one_line_says_what_to_do(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    done = sandbox("images", *words)
    assert (done.returncode, done.stderr.count("\n"), "set DOCKER_HOST" in done.stderr) == (
        125,
        1,
        True,
    )


def test_a_misspelt_image_is_refused_before_the_engine_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    done = sandbox("images", "build", "python", "pyhton")
    assert (done.returncode, "'pyhton' to build: use data or python" in done.stderr) == (125, True)
