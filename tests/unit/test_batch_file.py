"""A file of calls: each line is looked at before anything runs."""

import io
import json
from typing import Any

import pytest

from sandbox import BadCall, Command, Function, Source
from sandbox.batch import MOST_COMPLAINTS, CallFile, Entry
from sandbox.call import Call


def call_file(*lines: bytes | dict[str, Any]) -> CallFile:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return CallFile(io.BytesIO(b"\n".join(texts)), lambda _: None)


def entries(file: CallFile) -> list[Entry]:
    return list(file.entries(lambda _: True))


def complaints(*lines: bytes | dict[str, Any]) -> list[str]:
    said: list[str] = []
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    with pytest.raises(BadCall, match="nothing was run"):
        CallFile(io.BytesIO(b"\n".join(texts)), said.append)
    return said


@pytest.mark.parametrize(
    ("line", "call"),
    [
        pytest.param({"source": "1"}, Source(source="1"), id="source"),
        pytest.param(
            {"source": "x", "inputs": {"x": [1]}, "arguments": ["a"], "name": "p.py"},
            Source(source="x", inputs={"x": [1]}, arguments=["a"], name="p.py"),
            id="all of a source",
        ),
        pytest.param(
            {"source": "1", "expect_value": False},
            Source(source="1", expect_value=False),
            id="a script",
        ),
        pytest.param({"function": "math:pi"}, Function(name="math:pi"), id="function"),
        pytest.param(
            {"function": "m:f", "arguments": [1, None], "keywords": {"k": 2}},
            Function(name="m:f", arguments=[1, None], keywords={"k": 2}),
            id="all of a function",
        ),
        pytest.param({"argv": ["ls", "-l"]}, Command(argv=["ls", "-l"]), id="command"),
        pytest.param(
            {"argv": ["ls"], "files": {"a": "é", "b": {"base64": "/w=="}}, "stdin": "in"},
            Command(argv=["ls"], files={"a": "é".encode(), "b": b"\xff"}, stdin=b"in"),
            id="files",
        ),
        pytest.param(
            {"source": "1", "stdin": {"base64": "/w=="}},
            Source(source="1", stdin=b"\xff"),
            id="bytes of standard input",
        ),
    ],
)
def test_a_line_is_the_call(line: dict[str, Any], call: Call) -> None:
    assert entries(call_file(line)) == [Entry(line=1, id=None, call=call)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param(b"{", "not JSON at character", id="no JSON"),
        pytest.param(b"[1]", "no object with one of", id="no object"),
        pytest.param({}, "no object with one of", id="nothing to run"),
        pytest.param({"source": "1", "argv": ["x"]}, "one of", id="two things to run"),
        pytest.param(b'{"source": "1", "source": "2"}', "a key twice", id="a key twice"),
        pytest.param({"source": "1", "stdn": ""}, "stdn: Extra inputs", id="misspelt"),
        pytest.param({"argv": ["x"], "inputs": {}}, "inputs: Extra", id="of another kind"),
        pytest.param({"source": 1}, "source: Input should be a valid string", id="no text"),
        pytest.param({"argv": "ls -l"}, "argv: Input should be a valid list", id="no list"),
        pytest.param({"argv": []}, "a command is a list of words", id="no command"),
        pytest.param({"function": "print"}, "names no function", id="no function"),
        pytest.param({"function": "m:f", "name": "m:f"}, "Extra inputs", id="ours, not theirs"),
        pytest.param({"source": "1", "id": True}, "id", id="no id"),
        pytest.param({"source": "1", "stdin": 1}, "stdin: ", id="no content"),
        pytest.param({"source": "1", "stdin": {"base64": "?"}}, "stdin: ", id="no base64"),
        pytest.param({"source": "1", "files": {"../x": ""}}, "plain path", id="a way out"),
        pytest.param(b'{"source": "\\u0000"}', "NUL", id="a NUL"),
        pytest.param(b'{"source": "1", "inputs": {"x": NaN}}', "NaN", id="not a number"),
        pytest.param(b"[" * 500, "deep", id="too deep"),
        pytest.param(b'{"source": "\xff"}', "UTF-8", id="not UTF-8"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong(line: bytes | dict[str, Any], said: str) -> None:
    complaint = complaints({"source": "1"}, line)[0]
    assert (complaint.startswith("line 2: "), said in complaint) == (True, True), complaint


def test_all_bad_lines_are_named() -> None:
    seen = complaints(b"{", {"source": "1"}, b"", b"[")
    assert [each.partition(":")[0] for each in seen] == ["line 1", "line 4"]


def test_of_many_bad_lines_the_first_are_named() -> None:
    assert len(complaints(*[b"{"] * (MOST_COMPLAINTS + 5))) == MOST_COMPLAINTS


@pytest.mark.parametrize("name", ["a", 7, 0, ""])
def test_an_id_may_be_given_once(name: str | int) -> None:
    seen = complaints({"id": name, "source": "1"}, {"id": name, "source": "2"})
    assert [each.partition(" was")[0] for each in seen] == [f"line 2: the id {json.dumps(name)}"]


def test_a_text_and_a_number_are_two_ids() -> None:
    file = call_file({"id": "7", "source": "1"}, {"id": 7, "source": "2"})
    assert [each.id for each in entries(file)] == ["7", 7]


def test_lines_without_an_id_may_be_many() -> None:
    assert len(entries(call_file({"source": "1"}, {"source": "1"}))) == 2


def test_empty_lines_count_for_numbers_only() -> None:
    file = call_file(b"", {"source": "1"}, b"  ", {"source": "2"}, b"")
    assert (file.calls, [each.line for each in entries(file)]) == (2, [2, 4])


def test_lines_that_are_not_wanted_are_passed_over() -> None:
    file = call_file(*({"source": str(number)} for number in range(4)))
    assert [each.line for each in file.entries(lambda line: line % 2 == 0)] == [2, 4]


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.batch.MOST_LINE_BYTES", 1 << 20)
    with pytest.raises(BadCall, match="line 2 is over 1 MiB"):
        call_file(b"", b"x" * (1 << 20))


@pytest.mark.parametrize("text", [b'{"source": "2"}', b"", b'{"source": "1"}\n{"source": "2"}'])
def test_a_file_that_was_changed_since_is_a_fault(text: bytes) -> None:
    content = io.BytesIO(b'{"source": "1"}')
    file = CallFile(content, lambda _: None)
    content.truncate(0)
    content.seek(0)
    content.write(text)
    with pytest.raises(BadCall, match="was changed"):
        entries(file)
