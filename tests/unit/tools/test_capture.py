"""From a result to what a model is told: checked, cut, without what is the host's own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox import Result
from sandbox.providers.envelope import Data, Image, Part, Text
from sandbox.tools.capture import Captured, Cutter, checked_return, without_host_paths
from sandbox.tools.host import ENFORCED
from sandbox.tools.signature import read_signature


@dataclass
class Weather:
    """What a function says it gives."""

    degrees: float
    place: str


def gives_weather() -> Weather:
    raise NotImplementedError


def gives_set() -> set[int]:
    raise NotImplementedError


def gives_anything() -> Any:
    raise NotImplementedError


def checked(function: Callable[..., Any], value: object) -> Result:
    return checked_return(
        Result(status="ok", value=value, enforced=ENFORCED), read_signature(function)
    )


@pytest.mark.parametrize(
    ("function", "value", "given"),
    [
        (gives_weather, {"degrees": "21", "place": "Rome"}, {"degrees": 21.0, "place": "Rome"}),
        (gives_set, [1, 1, 1], [1]),
        (gives_anything, {"x": [None]}, {"x": [None]}),
    ],
)
def test_a_value_comes_as_the_function_says(
    function: Callable[..., Any], value: object, given: object
) -> None:
    assert checked(function, value).value == given


@pytest.mark.parametrize(
    "value", [{"degrees": 21}, {"degrees": "warm", "place": "Rome"}, None, 5, "x", []]
)
def test_a_value_that_is_not_what_the_function_says_is_invalid(value: object) -> None:
    assert checked(gives_weather, value).status == "invalid"


def test_an_invalid_value_is_said_with_its_place() -> None:
    error = checked(gives_weather, {"degrees": "warm", "place": "Rome"}).error

    assert error is not None
    assert "degrees" in error.message


def test_a_bad_result_is_not_checked() -> None:
    result = Result(status="timeout", enforced=ENFORCED)

    assert checked_return(result, read_signature(gives_weather)) is result


def test_content_is_not_checked_against_an_annotation() -> None:
    result = Result(status="ok", parts=(Image(b"x"),), enforced=ENFORCED)

    assert checked_return(result, read_signature(gives_weather)).ok


PATHS = {
    "home": ("cannot open /home/ann/app/keys.db", "cannot open .../keys.db"),
    "quoted": ("[Errno 2] '/srv/app/x.txt'", "[Errno 2] '.../x.txt'"),
    "two": ("/a/b to /c/d", ".../b to .../d"),
    "folder": ("in /srv/app/data/", "in .../data"),
    "url": ("https://example.com/a/b is down", "https://example.com/a/b is down"),
    "guest": ("/box/out.txt and /tmp/x/y", "/box/out.txt and /tmp/x/y"),
    "fraction": ("and/or 1/2", "and/or 1/2"),
    "relative": ("src/app/x.py", "src/app/x.py"),
    "sentence": ("/srv/app/x is gone or/and bad", ".../x is gone or/and bad"),
    "root": ("/ and /etc", "/ and /etc"),
}


@pytest.mark.parametrize(("text", "shown"), PATHS.values(), ids=PATHS)
def test_a_path_of_the_host_is_shortened(text: str, shown: str) -> None:
    assert without_host_paths(text, "{}") == shown


def test_a_path_that_the_model_sent_is_said_back() -> None:
    assert without_host_paths("no /data/x.csv", '{"path": "/data/x.csv"}') == "no /data/x.csv"


def test_a_folder_that_only_begins_like_the_guest_s_is_the_host_s() -> None:
    assert without_host_paths("/boxes/ann/key", "{}") == ".../key"


def test_no_folder_is_a_host_handler_s_own() -> None:
    assert without_host_paths("/tmp/x/key", "{}", own=()) == ".../key"


def captured(*parts: Part, most: int = 20, folder: Path | None = None) -> Captured:
    return Cutter(most_characters=most, folder=folder).capture("tool", parts, (), ["hunter2"])


@pytest.mark.parametrize("part", [Text("x" * 20), Data(["x" * 16])], ids=["text", "value"])
def test_what_fits_is_left_as_it_is(part: Part) -> None:
    assert captured(part) == Captured(parts=(part,))


def test_what_does_not_fit_keeps_its_head_and_its_tail() -> None:
    (part,) = captured(Text("a" * 50 + "b" * 50)).parts

    assert isinstance(part, Text)
    assert (part.text[:11], part.text[-11:]) == ("a" * 10 + "\n", "\n" + "b" * 10)


def test_what_was_cut_is_said_and_kept_whole() -> None:
    given = captured(Text("a" * 100))
    ((name, content),) = given.files.items()
    (part,) = given.parts

    assert isinstance(part, Text)
    assert (content, f"80 of 100 characters left out; the whole is in {name}" in part.text) == (
        b"a" * 100,
        True,
    )


def test_a_large_value_becomes_its_text() -> None:
    (part,) = captured(Data(list(range(100)))).parts

    assert isinstance(part, Text)
    assert part.text.startswith("[0, 1, 2,")


def test_all_parts_together_have_one_limit() -> None:
    parts = captured(*[Text("x" * 15)] * 50, most=20).parts

    assert sum(part.text.count("x") for part in parts if isinstance(part, Text)) < 80


def test_the_whole_goes_into_the_folder(tmp_path: Path) -> None:
    given = captured(Text("a" * 100), folder=tmp_path)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == given.files


def test_a_folder_that_cannot_be_written_does_not_lose_the_answer(tmp_path: Path) -> None:
    assert len(captured(Text("a" * 100), folder=tmp_path / "missing").parts) == 1


def test_no_secret_is_in_the_whole_either() -> None:
    given = captured(Text("a" * 100 + "hunter2"))

    assert b"hunter2" not in b"".join(given.files.values())


def test_cutting_through_a_secret_shows_none_of_it() -> None:
    (part,) = captured(Text("a" * 7 + "hunter2" + "b" * 100)).parts

    assert isinstance(part, Text)
    assert "hun" not in part.text


def test_a_picture_is_not_looked_into() -> None:
    assert captured(Image(b"hunter2")).parts == (Image(b"hunter2"),)


def test_of_the_values_given_before_the_newest_that_fit_are_kept() -> None:
    values = [f"step {number}" for number in range(100)]
    given = Cutter(most_characters=40).capture("tool", (), values, ())

    assert given.partial == tuple(values[-len(given.partial) :])
    assert 1 <= len(given.partial) < 5
