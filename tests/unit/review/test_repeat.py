"""A run and the same run again: what matters is told, what is always another is not."""

from typing import Any

import pytest

from sandbox.result import ErrorInfo
from sandbox.review.least import behaves_the_same
from sandbox.review.model import LeftFile, Run
from tests.unit.review.least_records import file, network, read, run, started, usage


def left(path: str, size_bytes: int = 5) -> LeftFile:
    return LeftFile(path=path, change="created", size_bytes=size_bytes)


SAME: dict[str, tuple[Run, Run]] = {
    "times": (run(usage=usage(wall_seconds=1.0)), run(usage=usage(wall_seconds=2.0))),
    "counts": (run(read("/data/x", count=2)), run(read("/data/x"))),
    "temporary names in the value": (
        run(value=["/tmp/tmpab12cd34"]),
        run(value=["/tmp/tmpzz99yy88"]),
    ),
    "temporary names left": (run(left=(left("tmpab12cd34"),)), run(left=(left("tmpzz99yy88"),))),
    "the size of what was left": (run(left=(left("x", 5),)), run(left=(left("x", 6),))),
    "refused before": (run(read("/a", outcome="refused")), run(read("/a", outcome="refused"))),
    "refused now and then": (
        run(read("/a"), read("/a", outcome="refused")),
        run(read("/a", outcome="refused")),
    ),
    "allowed as well": (run(read("/a")), run(read("/a"), read("/a", outcome="missing"))),
    "what was refused works": (run(read("/a", outcome="refused")), run(read("/a"))),
}
DIFFERENT: dict[str, tuple[Run, Run, str]] = {
    "status": (run(), run(status="timeout"), "the verdict was 'ok' and is 'timeout'"),
    "exit code": (run(), run(exit_code=3), "the exit code was 0 and is 3"),
    "value": (run(value={"a": 1}), run(value={"a": 2}), "the value was {'a': 1} and is {'a': 2}"),
    "limits": (run(), run(limits_hit=("memory",)), "the limits reached was [] and is ['memory']"),
    "file": (run(left=(left("x"),)), run(), "x created: was left before, and is not"),
    "new file": (run(), run(left=(left("x"),)), "x created: is left, and was not before"),
    "empty": (
        run(left=(left("x"),)),
        run(left=(left("x", 0), left("x"))),
        "x created, empty: is left, and was not before",
    ),
    "program": (
        run(started("/usr/bin/id")),
        run(),
        "/usr/bin/id: was started before, and is not",
    ),
    "refused": (
        run(file("create", "/data/x")),
        run(file("create", "/data/x", outcome="refused")),
        "create /data/x: was allowed before, and is not",
    ),
    "missing": (
        run(read("/data/x")),
        run(read("/data/x", outcome="missing")),
        "read /data/x: was allowed before, and is not",
    ),
    "network": (
        run(network("connect", "203.0.113.5")),
        run(network("connect", "203.0.113.5", outcome="refused")),
        "connect 203.0.113.5 443: was allowed before, and is not",
    ),
}


@pytest.mark.parametrize(("before", "after"), SAME.values(), ids=SAME.keys())
def test_what_is_always_another_is_no_difference(before: Run, after: Run) -> None:
    assert behaves_the_same(before, after) == ()


@pytest.mark.parametrize(("before", "after", "said"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_matters_is_said(before: Run, after: Run, said: str) -> None:
    assert behaves_the_same(before, after) == (said,)


def test_another_error_is_said() -> None:
    runs: list[Any] = [
        run(status="error", error=ErrorInfo(type=name, message="")) for name in ("A", "B")
    ]

    assert behaves_the_same(*runs) == ("the error was 'A' and is 'B'",)
