"""Guest bytes are hostile: whatever comes, a claim comes out, and memory stays bounded."""

import json
import os
import struct
import sys
import tracemalloc
from collections.abc import Callable
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import wire
from sandbox.wire import ANSWER, PARTIAL, FrameReader, Json, Malformed, NoAnswer, Returned

LIMIT_BYTES = 1000
DEPTH = 8
OVER = "the frames are over the limit for results"

JSON_VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)  # fmt: skip


def read(*chunks: bytes) -> FrameReader:
    """Feed a reader a whole stream."""
    reader = FrameReader(LIMIT_BYTES)
    for chunk in chunks:
        reader.feed(chunk)
    reader.close()
    return reader


def claim_of(*chunks: bytes) -> wire.Claim:
    return wire.parse_answer(read(*chunks), depth=DEPTH)


def answer(text: str) -> bytes:
    return wire.encode_frame(ANSWER, text.encode())


def partial(body: bytes) -> bytes:
    return wire.encode_frame(PARTIAL, body)


def reason_of(body: bytes) -> str:
    with pytest.raises(Malformed) as caught:
        wire.decode_json(body, depth=DEPTH)
    return str(caught.value)


def peak_bytes(action: Callable[[], None], *, times: int = 1) -> int:
    """Say how much memory was taken, at the most, while something was done over and over."""
    tracemalloc.start()
    for _ in range(times):
        action()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """Cut a stream in pieces at places that may lie outside of it."""
    ends = sorted({min(place, len(stream)) for place in places} | {len(stream)})
    return [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]


HONEST = {
    '{"value": [1, null]}': Returned([1, None]),
    '{"value": {"value": 1}}': Returned({"value": 1}),
    '{"unfit": "too large"}': wire.Unfit("too large"),
    '{"raised": {"type": "E", "message": "m", "traceback": "t"}}': wire.Raised("E", "m", "t"),
}


@pytest.mark.parametrize(("text", "claim"), HONEST.items(), ids=HONEST)
def test_an_honest_answer_is_read_as_it_was_meant(text: str, claim: wire.Claim) -> None:
    assert claim_of(answer(text)) == claim


OTHER_FORMS = [
    "{}", "null", '"value"', '[{"value": 1}]', '{"unfit": 3}', '{"unfit": null}', '{"raised": "E"}',
    '{"value": 1, "extra": 2}', '{"value": 1, "unfit": "x"}', '{"py/object": "os.system"}',
    '{"raised": {"type": "E", "message": "m"}}',
    '{"raised": {"type": 1, "message": "m", "traceback": ""}}',
    '{"raised": {"type": "", "message": "", "traceback": "", "x": 1}}',
]  # fmt: skip


@pytest.mark.parametrize("text", OTHER_FORMS, ids=str)
def test_an_answer_of_another_form_is_no_answer(text: str) -> None:
    assert claim_of(answer(text)) == NoAnswer("the answer has none of the four forms")


GOOD = answer('{"value": 1}')
HALF = "the stream ended inside a frame"
BROKEN_STREAMS = {
    "silence": (b"", "no answer came"), "partial only": (partial(b"1"), "no answer came"),
    "two answers": (GOOD * 2, "bytes came after the answer"),
    "byte more": (GOOD + b"x", "bytes came after the answer"),
    "half": (GOOD[:-1], HALF), "header only": (GOOD[:5], HALF), "half a header": (b"\0", HALF),
    "kind 9": (wire.encode_frame(9, b"1"), "a frame is of the unknown kind 9"),
    "kind 0": (wire.encode_frame(0, b"1"), "a frame is of the unknown kind 0"),
    "text": (b"Traceback (most", "a frame is of the unknown kind 101"),
    "empty body": (answer(""), "a frame is empty"), "4 GiB said": (b"\xff" * 4 + b"\1", OVER),
    "not JSON": (answer("{"), "the answer cannot be read: it is not JSON at character 1"),
}  # fmt: skip


@pytest.mark.parametrize(("stream", "reason"), BROKEN_STREAMS.values(), ids=BROKEN_STREAMS)
def test_a_stream_that_breaks_the_rules_is_no_answer(stream: bytes, reason: str) -> None:
    assert claim_of(stream) == NoAnswer(reason)


def test_bytes_after_the_answer_are_noticed_in_a_later_chunk() -> None:
    assert claim_of(GOOD, b"x") == NoAnswer("bytes came after the answer")


def test_an_answer_of_just_the_limit_is_read() -> None:
    text = json.dumps({"value": "x" * (LIMIT_BYTES - 13)})
    assert claim_of(answer(text)) == Returned("x" * (LIMIT_BYTES - 13))


def test_an_answer_one_byte_over_the_limit_is_cut_off() -> None:
    text = json.dumps({"value": "x" * (LIMIT_BYTES - 12)})
    assert claim_of(answer(text)) == NoAnswer(OVER)


def test_partials_and_answer_share_one_limit() -> None:
    large = partial(b'"%s"' % (b"x" * (LIMIT_BYTES - 12)))
    assert claim_of(large, GOOD) == NoAnswer(OVER)


@pytest.mark.parametrize(("most_frames", "broken"), [(3, False), (2, True)], ids=str)
def test_a_stream_has_no_more_frames_than_allowed(most_frames: int, *, broken: bool) -> None:
    reader = FrameReader(LIMIT_BYTES, most_frames=most_frames)
    reader.feed(partial(b"1") * 3)
    assert (reader.broken is not None) == broken


def test_partials_that_came_before_the_fault_are_kept() -> None:
    reader = read(partial(b"1"), partial(b"[2]"), b"\0\0\0\1\7")
    assert wire.parse_partials(reader, depth=DEPTH) == (1, [2])


def test_a_partial_that_is_not_json_is_left_out() -> None:
    reader = read(*(partial(body) for body in (b"1", b"NaN", b"3")))
    assert wire.parse_partials(reader, depth=DEPTH) == (1, 3)


def test_a_flood_after_the_fault_costs_no_memory() -> None:
    reader = read(b"\xff" * wire.HEADER_BYTES)
    flood = bytes(1 << 20)
    assert peak_bytes(lambda: reader.feed(flood), times=100) < 10_000


def test_a_frame_that_says_it_is_huge_reserves_nothing() -> None:
    reader = FrameReader(1 << 30)
    assert peak_bytes(lambda: reader.feed(struct.pack(">IB", 1 << 30, ANSWER))) < 10_000


@given(stream=st.binary(max_size=300), places=st.lists(st.integers(0, 300), max_size=10))
def test_any_bytes_in_any_pieces_give_a_claim(stream: bytes, places: list[int]) -> None:
    claim = claim_of(*cut(stream, places))
    assert isinstance(claim, (Returned, wire.Raised, wire.Unfit, NoAnswer))


@given(
    frames=st.lists(st.tuples(st.sampled_from([ANSWER, PARTIAL, 7]), st.binary(max_size=600))),
    places=st.lists(st.integers(0, 3000), max_size=10),
)
def test_no_stream_makes_the_reader_keep_more_than_its_limit(
    frames: list[tuple[int, bytes]], places: list[int]
) -> None:
    reader = read(*cut(b"".join(wire.encode_frame(kind, body) for kind, body in frames), places))
    assert sum(map(len, [*reader.partials, reader.answer or b""])) <= LIMIT_BYTES


@pytest.mark.slow
@given(value=JSON_VALUES, places=st.lists(st.integers(0, 200), max_size=10))
def test_how_a_stream_is_cut_does_not_matter(value: Json, places: list[int]) -> None:
    stream = partial(b"1") + answer(json.dumps({"value": value}))
    whole, pieces = FrameReader(10_000), FrameReader(10_000)
    whole.feed(stream)
    for piece in cut(stream, places):
        pieces.feed(piece)
    assert (whole.answer, whole.partials) == (pieces.answer, pieces.partials)


CUTS = {
    "type": (10_001, "a" + "b" * 9_999),
    "message": (10_001, "a" + "b" * 9_999),
    "traceback": (100_001, "b" * 100_000),
}


@pytest.mark.parametrize("field", CUTS)
def test_a_long_text_of_an_exception_is_cut(field: str) -> None:
    length, kept = CUTS[field]
    raised = {"type": "", "message": "", "traceback": "", field: "a" + "b" * (length - 1)}
    reader = FrameReader(1 << 20)
    reader.feed(answer(json.dumps({"raised": raised})))
    assert getattr(wire.parse_answer(reader, depth=DEPTH), field) == kept


REFUSED = {
    "not JSON": [b"", b"1 2", b"[1,]", b"{'a': 1}", b'"\n"', b"\xef\xbb\xbf1", b"+1", b"01"],
    "not UTF-8": ['"x"'.encode("utf-16"), b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"'],
    "lone surrogate": [rb'"\ud800"', rb'"\uD83D\u0041"', rb'[{"a": "\udfff"}]', rb'{"\udc00": 1}'],
    "NaN": [b"NaN", b'{"a": [NaN]}'],
    "Infinity": [b"[Infinity]", b"-Infinity"],
    "too large": [b"1e999", b'{"a": -1E+99999}'],
    "twice": [b'{"a": 1, "a": 1}', rb'[{"a": 1, "\u0061": 2}]'],
    "4300 digits": [b"9" * 4301, b'["",' + b"9" * 100_000 + b"]"],
    "deep": [b"[" * 100_000, b'{"a":' * 100_000, b'["]\\"]",' * 100_000],
}


@pytest.mark.parametrize(
    ("reason", "body"),
    [(reason, body) for reason, bodies in REFUSED.items() for body in bodies],
    ids=lambda value: repr(value)[:30],
)
def test_a_document_that_is_not_strict_json_is_refused(reason: str, body: bytes) -> None:
    assert reason in reason_of(body)


LOOKS_WRONG: dict[str, tuple[bytes, object]] = {
    "a whole pair": (rb'"\ud83d\ude00"', "\U0001f600"), "no escape": (rb'"\\ud800"', r"\ud800"),
    "1e308": (b"1e308", 1e308), "-1e-999": (b"-1e-999", -0.0), "space": (b" \n[ ] ", []),
    "5000 digits in a string": (b'"' + b"9" * 5000 + b'"', "9" * 5000),
    "4300 digits": (b"9" * 4300, 10**4300 - 1),
    "5000 brackets in a string": (b'"' + b"[" * 5000 + b'"', "[" * 5000),
    "9 lists": (b"[[],[],[],[],[],[],[],[],[]]", [[], [], [], [], [], [], [], [], []]),
    "quotes": (rb'["\\", [[[[[[["\""]]]]]]]]', ["\\", [[[[[[['"']]]]]]]]),
}  # fmt: skip


@pytest.mark.parametrize(("body", "value"), LOOKS_WRONG.values(), ids=LOOKS_WRONG)
def test_a_document_that_only_looks_wrong_is_read(body: bytes, value: object) -> None:
    assert wire.decode_json(body, depth=DEPTH) == value


def nested(levels: int, opening: str, closing: str) -> bytes:
    """Nest lists or objects around a string that looks like brackets."""
    return (opening * (levels - 1) + '["]}[{"]' + closing * (levels - 1)).encode()


KINDS = {"lists": ("[", "]"), "objects": ('{"a":', "}")}


@pytest.mark.parametrize(("opening", "closing"), KINDS.values(), ids=KINDS)
def test_nesting_of_just_the_depth_is_read(opening: str, closing: str) -> None:
    body = nested(DEPTH, opening, closing)
    assert wire.decode_json(body, depth=DEPTH) == json.loads(body)


@pytest.mark.parametrize(("opening", "closing"), KINDS.values(), ids=KINDS)
def test_nesting_one_over_the_depth_is_refused(opening: str, closing: str) -> None:
    body = nested(DEPTH + 1, opening, closing)
    assert reason_of(body) == f"it is nested more than {DEPTH} deep"


def test_the_depth_of_an_answer_is_counted_from_its_value() -> None:
    value = "[" * DEPTH + "]" * DEPTH
    assert claim_of(answer(f'{{"value": {value}}}')) == Returned(json.loads(value))


def test_a_parser_that_recurses_too_deep_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.wire_json._DECODER.decode", Mock(side_effect=RecursionError))
    assert reason_of(b"[]") == "it is nested too deep"


def test_a_host_without_a_digit_limit_is_not_slowed_down() -> None:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        reason = reason_of(b"9" * 4301)
    finally:
        sys.set_int_max_str_digits(limit)
    assert reason == "a number has more than 4300 digits"


@pytest.mark.slow
@given(value=JSON_VALUES, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
def test_every_valid_document_is_read_as_json_reads_it(
    value: Json, *, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert wire.decode_json(text.encode(), depth=200) == json.loads(text)


@given(body=st.text('[]{}:,"\\u0d8 1eN\n', max_size=60).map(str.encode))
def test_nothing_but_malformed_is_raised(body: bytes) -> None:
    try:
        value = wire.decode_json(body, depth=3)
    except Malformed:
        value = None
    assert value is None or value == json.loads(body)


ENDINGS = {
    "exit 0": (0, wire.MainExited(0)), "exit 255": (255 << 8, wire.MainExited(255)),
    "SIGKILL": (9, wire.MainSignaled(9)), "with core": (11 | 0x80, wire.MainSignaled(11)),
    "signal 64": (64, wire.MainSignaled(64)),
}  # fmt: skip


@pytest.mark.parametrize(("status", "report"), ENDINGS.values(), ids=ENDINGS)
def test_a_report_says_how_the_main_process_ended(status: int, report: wire.InitReport) -> None:
    assert wire.parse_report(struct.pack(">BI", 1, status)) == report


def test_a_report_of_a_real_process_is_exact() -> None:
    program = [sys.executable, "-ISc", "raise SystemExit(3)"]
    _, status = os.waitpid(os.posix_spawn(program[0], program, {}), 0)
    assert wire.parse_report(struct.pack(">BI", 1, status)) == wire.MainExited(3)


BAD_REPORTS = {
    "nothing": b"", "a byte short": b"\1\0\0\0", "a byte long": b"\1\0\0\0\0\0",
    "another kind": b"\2\0\0\0\0", "stopped": b"\1\0\0\x13\x7f", "continued": b"\1\0\0\xff\xff",
    "signal 65": b"\1\0\0\0\x41", "no C integer": b"\1\xff\xff\xff\xff",
}  # fmt: skip


@pytest.mark.parametrize("report", BAD_REPORTS.values(), ids=BAD_REPORTS)
def test_a_report_that_init_cannot_have_sent_is_refused(report: bytes) -> None:
    with pytest.raises(Malformed, match=r"report of init|wait status"):
        wire.parse_report(report)


@given(report=st.binary(max_size=8) | st.binary(min_size=5, max_size=5))
def test_any_report_is_read_or_refused(report: bytes) -> None:
    try:
        ending: wire.InitReport | None = wire.parse_report(report)
    except Malformed:
        ending = None
    assert ending is None or len(report) == 5


def output_of(limit_bytes: int, *chunks: bytes) -> wire.OutputBuffer:
    output = wire.OutputBuffer(limit_bytes)
    for chunk in chunks:
        output.append(chunk)
    return output


TEXTS = {
    "within the limit": (11, b"hello world", "hello world"),
    "over the limit": (4, b"abXcd", "ab\n[... 1 bytes dropped ...]\ncd"),
    "a character across head and tail": (2, "é".encode(), "é"),
    "characters cut by the drop": (8, "aaa€x€bbb".encode(), "aaa\n[... 5 bytes dropped ...]\nbbb"),
    "not UTF-8": (10, b"a\xffb", "a\ufffdb"),
    "nothing allowed": (0, b"abc", "\n[... 3 bytes dropped ...]\n"),
}


@pytest.mark.parametrize(("limit_bytes", "stream", "text"), TEXTS.values(), ids=TEXTS)
def test_output_reads_as_text_that_says_what_was_dropped(
    limit_bytes: int, stream: bytes, text: str
) -> None:
    assert output_of(limit_bytes, stream).text() == text


@given(chunks=st.lists(st.binary(max_size=40), max_size=20), limit_bytes=st.integers(0, 50))
def test_a_buffer_keeps_what_a_naive_one_would(chunks: list[bytes], limit_bytes: int) -> None:
    output, stream = output_of(limit_bytes, *chunks), b"".join(chunks)
    head, tail_bytes = stream[: limit_bytes - limit_bytes // 2], limit_bytes // 2
    kept = stream if len(stream) <= limit_bytes else head + stream[len(stream) - tail_bytes :]
    facts = (kept, len(stream), len(stream) - len(kept))
    assert (output.bytes(), output.total, output.dropped) == facts


@pytest.mark.slow
@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20], ids=str)
def test_a_flood_of_output_takes_flat_memory(chunk_bytes: int) -> None:
    limit_bytes = 100_000
    output, chunk = wire.OutputBuffer(limit_bytes), bytes(chunk_bytes)
    peak = peak_bytes(lambda: output.append(chunk), times=300_000 if chunk_bytes == 1 else 300)
    assert peak < 3 * limit_bytes + 2 * chunk_bytes


PRINTED = [
    ("plain é 漢\n\ttext", "plain é 漢\n\ttext"), ("ok\rno", r"ok\rno"), ("\0\x7f", r"\x00\x7f"),
    ("\x1b[31mred", r"\x1b[31mred"), ("\x1b]52;c;eA==\x07", r"\x1b]52;c;eA==\x07"),
    ("\x9b2J", r"\x9b2J"), ("\u202egpj.exe", r"\u202egpj.exe"), ("\u2066x", r"\u2066x"),
    ("a\u2028b", r"a\u2028b"), ("a\u200bb", r"a\u200bb"), ("\ud800", r"\ud800"),
    ("\U000e0041", r"\U000e0041"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "shown"), PRINTED, ids=ascii)
def test_what_acts_on_a_terminal_is_shown_instead(text: str, shown: str) -> None:
    assert wire.printable(text) == shown
