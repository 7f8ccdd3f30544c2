"""The file under the audit log: what a look at it finds, and what a writer does with it."""

import json
import multiprocessing
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from sandbox.errors import EngineFault
from sandbox.tools.audit_chain import append_record, verify_log


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def log_of(path: Path, count: int) -> Path:
    for number in range(count):
        append_record(path, {"event": "test", "number": number})
    return path


def test_only_its_owner_may_read_a_log(tmp_path: Path) -> None:
    path = log_of(tmp_path / "log", 1)
    rights = [stat.S_IMODE(each.stat().st_mode) for each in (path, tmp_path / "log.head")]
    assert rights == [0o600, 0o600]


def test_a_log_as_written_is_in_order(tmp_path: Path) -> None:
    seen = verify_log(log_of(tmp_path / "log", 30))
    assert (seen.lines, seen.fault, seen.note) == (30, "", "")


CHANGES: Final[dict[str, Callable[[list[bytes]], list[bytes]]]] = {
    "a line changed": lambda rows: [row.replace(b'"number":2', b'"number":9') for row in rows],
    "one removed": lambda rows: rows[:2] + rows[3:],
    "the first removed": lambda rows: rows[1:],
    "the last removed": lambda rows: rows[:-1],
    "all removed": lambda rows: rows[:0],
    "one repeated": lambda rows: [*rows, rows[-1]],
    "order changed": lambda rows: [rows[1], rows[0], *rows[2:]],
    "an empty record": lambda rows: [*rows[:4], b"{}\n"],
    "no JSON": lambda rows: [*rows[:4], b"\xff\n"],
    "half a line": lambda rows: [*rows[:4], rows[4][:-9]],
    "the last changed": lambda rows: [*rows[:4], rows[4].replace(b"4}", b"5}")],
    "an endless line": lambda rows: [*rows[:4], rows[4][:-2] + b" " * (1 << 20) + b"}\n"],
}


@pytest.mark.parametrize(
    ("change", "lines", "fault"),
    [
        ("a line changed", 3, "line 4: it does not follow from the line before it"),
        ("one removed", 2, "line 3: it does not follow from the line before it"),
        ("the first removed", 0, "line 1: it does not follow from the line before it"),
        ("the last removed", 4, "line 5: it is missing: the head names line 5"),
        ("all removed", 0, "line 1: it is missing: the head names line 5"),
        ("one repeated", 5, "line 6: it does not follow from the line before it"),
        ("order changed", 0, "line 1: it does not follow from the line before it"),
        ("an empty record", 4, "line 5: it is no whole record"),
        ("no JSON", 4, "line 5: it is no whole record"),
        ("half a line", 4, "line 5: it has no end"),
        ("the last changed", 4, "line 5: it is not the line that the head names"),
        ("an endless line", 4, "line 5: it has no end"),
    ],
    ids=CHANGES,
)
def test_a_log_that_was_touched_is_found_with_its_line(
    change: str, lines: int, fault: str, tmp_path: Path
) -> None:
    path = log_of(tmp_path / "log", 5)
    path.write_bytes(b"".join(CHANGES[change](path.read_bytes().splitlines(keepends=True))))
    seen = verify_log(path)
    assert (seen.lines, seen.fault[: len(fault)]) == (lines, fault)


def test_without_its_head_a_log_is_not_in_order(tmp_path: Path) -> None:
    path = log_of(tmp_path / "log", 5)
    (tmp_path / "log.head").unlink()
    assert verify_log(path).fault == "line 1: the head file does not know it"


@pytest.mark.parametrize("head", ["", "x", "5 abc\n", "\u0665 " + "0" * 64 + "\n"], ids=repr)
def test_a_head_that_is_none_is_said(head: str, tmp_path: Path) -> None:
    path = log_of(tmp_path / "log", 5)
    (tmp_path / "log.head").write_text(head)
    assert verify_log(path).fault == "the head file is none of this log's"


def test_a_noted_head_is_found_again_after_more_was_written(tmp_path: Path) -> None:
    path = log_of(tmp_path / "log", 3)
    noted = verify_log(path).head
    assert verify_log(log_of(path, 3), noted=noted).fault == ""


def test_a_log_written_anew_lacks_the_noted_head(tmp_path: Path) -> None:
    path = log_of(tmp_path / "log", 3)
    noted = verify_log(path).head
    for each in (path, tmp_path / "log.head"):
        each.unlink()
    append_record(path, {"event": "forged"})
    assert verify_log(log_of(path, 4), noted=noted).fault == "the noted line is not in this log"


def stop_before_the_head(path: Path) -> None:
    """Leave what a writer leaves that is killed between the line and the head."""
    head = (path.parent / "log.head").read_bytes() if path.exists() else None
    append_record(path, {"event": "late"})
    if head is None:
        (path.parent / "log.head").unlink()
    else:
        (path.parent / "log.head").write_bytes(head)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_one_line_after_the_head_is_in_order_and_said(count: int, tmp_path: Path) -> None:
    path = log_of(tmp_path / "log", count)
    stop_before_the_head(path)
    seen = verify_log(path)
    assert (seen.lines, seen.fault, seen.note[:22]) == (count + 1, "", "the head is one line b")


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_writer_goes_on_after_one_that_was_killed_before_the_head(
    count: int, tmp_path: Path
) -> None:
    path = log_of(tmp_path / "log", count)
    stop_before_the_head(path)
    seen = verify_log(log_of(path, 1))
    assert (seen.lines, seen.fault, seen.note) == (count + 2, "", "")


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("kept", [1, 40, 80, 95], ids="{} bytes".format)
def test_half_a_line_is_cut_off_and_the_next_line_says_so(
    count: int, kept: int, tmp_path: Path
) -> None:
    path = log_of(tmp_path / "log", count)
    whole = path.read_bytes() if count else b""
    stop_before_the_head(path)
    path.write_bytes(path.read_bytes()[: len(whole) + kept])
    log_of(path, 1)
    repaired = lines_of(path)[-2]
    assert (repaired["event"], repaired["cut_bytes"], verify_log(path).fault) == (
        "repaired",
        kept,
        "",
    )


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"somebody's letter", id="one line"),
        pytest.param(b"somebody's\nletter", id="two lines"),
        pytest.param(b"somebody's\n", id="a whole line"),
        pytest.param(b"x" * (3 << 20), id="a large file"),
        pytest.param(b'{"n": true, "previous": ""}\n', id="odd JSON"),
    ],
)
def test_a_file_of_somebody_elses_is_left_as_it_is(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "letter"
    path.write_bytes(content)
    with pytest.raises(EngineFault, match="cannot be continued"):
        log_of(path, 1)
    assert path.read_bytes() == content


@pytest.mark.parametrize("kept", [0, 1, 3], ids="{} lines".format)
def test_a_log_that_lost_its_end_is_not_continued(kept: int, tmp_path: Path) -> None:
    path = log_of(tmp_path / "log", 5)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:kept]))
    with pytest.raises(EngineFault, match=r"log\.head names another"):
        log_of(path, 1)


def test_a_device_is_no_log() -> None:
    with pytest.raises(EngineFault, match="it is no regular file"):
        log_of(Path("/dev/full"), 1)


def test_a_record_over_a_mebibyte_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    path = log_of(tmp_path / "log", 1)
    with pytest.raises(EngineFault, match="the record has"):
        append_record(path, {"event": "x" * (1 << 20)})
    assert verify_log(path).lines == 1


def append_many(path: Path, count: int) -> None:
    log_of(path, count)


@pytest.mark.slow
def test_a_log_is_in_order_while_it_is_written(tmp_path: Path) -> None:
    path = log_of(tmp_path / "log", 1)
    writer = multiprocessing.get_context("fork").Process(target=append_many, args=(path, 300))
    writer.start()
    faults = {verify_log(path).fault}
    while writer.is_alive():
        faults.add(verify_log(path).fault)
    writer.join()
    assert faults == {""}


@pytest.mark.slow
def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=append_many, args=(tmp_path / "log", 50)) for _ in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    seen = verify_log(tmp_path / "log")
    assert (seen.lines, seen.fault) == (200, "")
