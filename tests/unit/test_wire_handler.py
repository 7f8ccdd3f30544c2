"""What only a handler says: content parts, notes about resources, what was left open."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import wire
from sandbox.result import Enforced, Result
from sandbox.wire import ANSWER, NOTE, PARTIAL, Data, File, FrameReader, Image, NoAnswer, Text

DEPTH = 6
PICTURE = b"\x89PNG\r\n\x1a\n"


def read(*frames: tuple[int, Any]) -> FrameReader:
    reader = FrameReader(10_000)
    for kind, document in frames:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        reader.feed(wire.encode_frame(kind, body))
    return reader


def claim_of(document: Any) -> wire.Claim:
    return wire.parse_answer(read((ANSWER, document)), depth=DEPTH)


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def image(**changes: Any) -> dict[str, Any]:
    whole = {"type": "image", "data": in_base64(PICTURE), "media_type": "image/png"}
    return whole | changes


def file(**changes: Any) -> dict[str, Any]:
    whole = {"type": "file", "data": "", "name": "a.csv", "media_type": "text/csv"}
    return whole | changes


PARTS: dict[str, tuple[dict[str, Any], wire.Part]] = {
    "text": ({"type": "text", "text": "x"}, Text("x")),
    "data": ({"type": "data", "value": {"a": [1]}}, Data({"a": [1]})),
    "image": (image(), Image(PICTURE, "image/png")),
    "file": (file(data=in_base64(b"1,2")), File(b"1,2", "a.csv", "text/csv")),
    "empty file": (file(), File(b"", "a.csv", "text/csv")),
    "name with dots": (file(name="..a..b"), File(b"", "..a..b", "text/csv")),
}


@pytest.mark.parametrize(("sent", "part"), PARTS.values(), ids=PARTS.keys())
def test_a_content_part_is_read_as_it_was_meant(sent: Any, part: wire.Part) -> None:
    assert claim_of({"parts": [sent]}) == wire.ReturnedParts((part,))


@pytest.mark.parametrize(("sent", "part"), PARTS.values(), ids=PARTS.keys())
def test_a_content_part_is_described_as_it_is_read(sent: Any, part: wire.Part) -> None:
    assert wire.describe_part(part) == sent


BAD_PARTS: dict[str, Any] = {
    "no object": "x",
    "no type": {"text": "x"},
    "unknown type": {"type": "audio", "data": ""},
    "text of a number": {"type": "text", "text": 1},
    "something beside": {"type": "text", "text": "x", "role": "system"},
    "image of no image": image(media_type="text/html"),
    "media type with a line": image(media_type="image/png\r\nx: y"),
    "media type with a parameter": image(media_type="image/png;base64,x"),
    "not base64": image(data="!!!!"),
    "url-safe base64": image(data="_-_-"),
    "base64 with a line": image(data="iVBO\nRw0K"),
    "base64 not ended": image(data="abc"),
    "not ASCII": image(data="ä"),
    "file without a name": file(name=""),
    "file in a folder": file(name="a/b"),
    "file above": file(name=".."),
    "file with a NUL": file(name="a\0b"),
    "file with an escape": file(name="a\x1b[2J"),
    "long file name": file(name="x" * 256),
    "file without a media type": file(media_type=""),
}


@pytest.mark.parametrize("sent", BAD_PARTS.values(), ids=BAD_PARTS.keys())
def test_what_is_no_content_part_is_no_answer(sent: Any) -> None:
    assert isinstance(claim_of({"parts": [PARTS["text"][0], sent]}), NoAnswer)


BAD_ANSWERS: dict[str, Any] = {
    "parts of no list": {"parts": {}},
    "parts and a value": {"parts": [], "value": 1},
    "over a thousand": {"parts": [{"type": "text", "text": ""}] * 1_001},
}


@pytest.mark.parametrize("sent", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_an_answer_of_parts_has_nothing_else(sent: Any) -> None:
    reader = FrameReader(1 << 20)
    reader.feed(wire.encode_frame(ANSWER, json.dumps(sent).encode()))

    assert isinstance(wire.parse_answer(reader, depth=DEPTH), NoAnswer)


NOTES = {
    state: (
        {"resource": "db", "state": state, "number": 0},
        wire.ResourceNote("db", state, 0),
    )
    for state in ("opened", "committed", "rolled_back", "unknown")
}
COUNTS = {"files": 1, "sockets": 0, "threads": 2, "children": 0, "temporary_files": 3}


@pytest.mark.parametrize(("sent", "note"), NOTES.values(), ids=NOTES.keys())
def test_a_note_of_a_resource_is_read(sent: Any, note: wire.Note) -> None:
    assert wire.parse_notes(read((NOTE, sent))) == (note,)


def test_a_note_of_what_was_left_open_is_read() -> None:
    notes = wire.parse_notes(read((NOTE, {"left_open": COUNTS})))

    assert notes == (wire.LeftOpen(**COUNTS),)


BAD_NOTES: dict[str, Any] = {
    "no JSON": b"{",
    "no object": [],
    "unknown": {"verdict": "ok"},
    "another state": {"resource": "db", "state": "ok", "number": 0},
    "no number": {"resource": "db", "state": "opened"},
    "a number below zero": {"resource": "db", "state": "opened", "number": -1},
    "true for a number": {"resource": "db", "state": "opened", "number": True},
    "something beside": {"resource": "db", "state": "opened", "number": 0, "status": "ok"},
    "a count missing": {"left_open": {"files": 1}},
    "a count too many": {"left_open": {**COUNTS, "users": 1}},
    "a count below zero": {"left_open": {**COUNTS, "files": -1}},
    "a count of text": {"left_open": {**COUNTS, "files": "1"}},
    "a huge count": {"left_open": {**COUNTS, "files": 1 << 40}},
    "too deep": {"left_open": {**COUNTS, "files": {"a": 1}}},
}


@pytest.mark.parametrize("sent", BAD_NOTES.values(), ids=BAD_NOTES.keys())
def test_what_is_no_note_is_left_out(sent: Any) -> None:
    good, note = NOTES["opened"]

    assert wire.parse_notes(read((NOTE, sent), (NOTE, good))) == (note,)


def test_the_name_of_a_resource_is_cut() -> None:
    sent = {"resource": "x" * 1_000, "state": "opened", "number": 0}

    assert wire.parse_notes(read((NOTE, sent))) == (wire.ResourceNote("x" * 100, "opened", 0),)


def test_notes_count_against_the_limit_of_all_frames() -> None:
    reader = FrameReader(100)
    for _ in range(3):
        reader.feed(wire.encode_frame(NOTE, b"x" * 40))

    assert reader.broken is not None


def test_a_partial_value_is_read_once() -> None:
    reader = read((PARTIAL, 1), (PARTIAL, 2))
    wire.parse_partials(reader, depth=DEPTH)
    reader.feed(wire.encode_frame(PARTIAL, b"3"))

    assert wire.parse_partials(reader, depth=DEPTH) == (3,)


def test_a_partial_value_that_was_read_is_kept_no_longer() -> None:
    reader = read((PARTIAL, 1))
    wire.parse_partials(reader, depth=DEPTH)

    assert reader.partials == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
            ["type", "text", "data", "value", "name", "media_type", "resource", "state", "number",
             "left_open", "parts", "files"]), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_no_document_of_a_guest_makes_the_reader_raise(document: Any) -> None:
    claim = claim_of({"parts": [document]})
    notes = wire.parse_notes(read((NOTE, document)))

    assert (isinstance(claim, wire.ReturnedParts | NoAnswer), len(notes) <= 1) == (True, True)


def test_a_result_with_parts_and_notes_goes_through_json() -> None:
    enforced = Enforced(**dict.fromkeys(Enforced.model_fields, "x"))
    parts: tuple[wire.Part, ...] = tuple(part for _, part in PARTS.values())
    notes = (wire.ResourceNote("db", "opened", 0), wire.LeftOpen(**COUNTS))
    result = Result(status="ok", parts=parts, notes=notes, enforced=enforced)

    assert Result.from_json(result.to_json()) == result
