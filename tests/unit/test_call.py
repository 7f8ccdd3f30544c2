"""A call is checked when it is made, before anything of it is sent."""

from collections.abc import Callable

import pytest

from sandbox.call import Call, Command, Function, Source
from sandbox.errors import BadCall

GOOD: dict[str, Callable[[], Call]] = {
    "source": lambda: Source(source="1"),
    "nothing at all": lambda: Source(source=""),
    "unicode": lambda: Source(source="'é😀'", inputs={"größe": "😀"}),
    "a file in a folder": lambda: Source(source="1", files={"a/b/c.txt": b""}),
    "a file with a strange name": lambda: Source(source="1", files={"-rf *\n": b""}),
    "a hidden file": lambda: Source(source="1", files={".hidden": b""}),
    "a name of 255 bytes": lambda: Source(source="1", files={"x" * 255: b""}),
    "forty names deep": lambda: Source(source="1", files={"x/" * 39 + "x": b""}),
    "a function": lambda: Function(name="a.b:c.d"),
    "a function in unicode": lambda: Function(name="mödule:fünction"),
    "a function by value": lambda: Function(name="a:<lambda>", pickled=b"x"),
    "a command": lambda: Command(argv=["echo", "", "é"]),
    "a command as a tuple": lambda: Command(argv=("true",)),
}

BAD: dict[str, tuple[Callable[[], Call], str]] = {
    "NUL": (lambda: Source(source="a\0b"), "the source has a NUL at character 1: remove it"),
    "surrogate": (lambda: Source(source="\udfff"), "lone surrogate at character 0"),
    "NUL in argv": (lambda: Source(source="", arguments=["\0"]), "NUL"),
    "no name": (lambda: Source(source="", inputs={"1a": 1}), "'1a' is not a Python name"),
    "keyword": (lambda: Source(source="", inputs={"for": 1}), "'for'"),
    "inputs that are not finite": (lambda: Source(source="", inputs={"a": 1e999}), "inputs"),
    "a file that goes up": (lambda: Source(source="", files={"a/../../b": b""}), "a/../../b"),
    "an absolute file": (lambda: Source(source="", files={"/a": b""}), "plain path"),
    "a file with two slashes": (lambda: Source(source="", files={"a//b": b""}), "plain path"),
    "41 deep": (lambda: Source(source="", files={"x/" * 40 + "x": b""}), "plain path"),
    "256 bytes": (lambda: Source(source="", files={"é" * 128: b""}), "over 255 bytes"),
    "a file below a file": (lambda: Source(source="", files={"a": b"", "a/b": b""}), "'a"),
    "no function": (lambda: Function(name="f"), "'module:function'"),
    "an expression": (lambda: Function(name="a:b()"), "'module:function'"),
    "two functions": (lambda: Function(name="a:b:c"), "'module:function'"),
    "a trailing dot": (lambda: Function(name="a:b."), "'module:function'"),
    "an argument": (lambda: Function(name="a:b", arguments=[float("inf")]), "arguments"),
    "no command": (lambda: Command(argv=[]), "list of words"),
    "a text": (lambda: Command(argv="ls"), "list of words, not 'ls'"),
    "NUL in a command": (lambda: Command(argv=["a", "b\0"]), "NUL at character 1"),
    "files of a command": (lambda: Command(argv=["a"], files={"..": b""}), "plain path"),
}


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD.keys())
def test_a_good_call_is_made(make: Callable[[], Call]) -> None:
    assert make() == make()


@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD.keys())
def test_a_bad_call_is_refused_with_its_place(make: Callable[[], Call], words: str) -> None:
    with pytest.raises(BadCall) as caught:
        make()

    assert words in str(caught.value)


@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD.keys())
def test_a_refusal_is_one_line_and_says_that_nothing_ran(
    make: Callable[[], Call], words: str
) -> None:
    with pytest.raises(BadCall) as caught:
        make()

    assert ("\n" in str(caught.value), caught.value.started, bool(words)) == (False, "no", True)


def test_a_refusal_of_a_long_name_is_short() -> None:
    with pytest.raises(BadCall) as caught:
        Source(source="", files={"x" * 100_000: b""})

    assert len(str(caught.value)) < 200
