"""The smallest quota: twice what was seen, rounded up, and never over the base's."""

from typing import Any

import pytest

from sandbox.policy import GIB, KIB, MIB, Policy, Quota
from sandbox.record import Sample, SeenProcess
from sandbox.review.least import least_policy
from sandbox.review.least_quota import least_quota, peaks_of, pleasant, pleasant_bytes
from sandbox.review.model import LeftFile, Run
from tests.unit.review.least_records import file, read, run, usage

REVIEW = Policy.load("review")
SAMPLE = Sample(at=1.0, cpu_seconds=7.0, memory_bytes=GIB // 4, processes=9, output_bytes=1)


def amount(key: str, *runs: Run, base: Policy = REVIEW) -> float:
    return least_quota(base, runs)[key].amount


@pytest.mark.parametrize(
    ("given", "rounded"),
    [
        (0, 0),
        (1e-300, 0.001),
        (0.3, 0.3),
        (0.31, 0.5),
        (1, 1),
        (1.1, 1.5),
        (1.6, 2),
        (21, 30),
        (51, 100),
        (151, 200),
    ],
)
def test_an_amount_is_rounded_up_to_a_pleasant_number(given: float, rounded: float) -> None:
    assert pleasant(given) == rounded


@pytest.mark.parametrize(
    ("given", "rounded"), [(0, 0), (1, 1), (3, 3), (5, 6), (7, 8), (MIB, MIB), (MIB + 1, MIB * 1.5)]
)
def test_bytes_are_rounded_up_to_powers_of_two_and_halves_between(
    given: int, rounded: float
) -> None:
    assert pleasant_bytes(given) == rounded


@pytest.mark.parametrize(
    ("key", "changes", "expected"),
    [
        ("wall_seconds", {"wall_seconds": 2.6}, 10),
        ("wall_seconds", {"wall_seconds": 0.01}, 3),
        ("wall_seconds", {"wall_seconds": 55.0}, 60),
        ("cpu_seconds", {"cpu_seconds": 1.4}, 3),
        ("cpu_seconds", {"cpu_seconds": 0.01}, 1),
        ("memory_bytes", {"peak_memory_bytes": 50 * MIB}, 128 * MIB),
        ("memory_bytes", {"peak_memory_bytes": 5 * MIB}, 64 * MIB),
        ("memory_bytes", {"peak_memory_bytes": 900 * MIB}, GIB),
        ("processes", {"peak_processes": 1}, 4),
        ("processes", {"peak_processes": 6}, 15),
        ("output_bytes", {"stdout_bytes": 20 * KIB, "stderr_bytes": 20 * KIB}, 96 * KIB),
        ("output_bytes", {"stdout_bytes": 0}, 16 * KIB),
        ("disk_bytes", {"disk_bytes": 3 * MIB}, 6 * MIB),
        ("disk_bytes", {"disk_bytes": 0}, MIB),
        ("file_bytes", {"disk_bytes": 3 * MIB}, 6 * MIB),
    ],
)
def test_what_was_measured_is_doubled(key: str, changes: dict[str, Any], expected: float) -> None:
    assert amount(key, run(), run(usage=usage(**changes))) == expected


def test_samples_and_processes_count_where_the_result_says_less() -> None:
    processes = [
        SeenProcess(number=n, parent=1, pid=n, started_at=0, ended_at=end, name="")
        for n, end in enumerate([None, None, 1.0])
    ]
    peaks = peaks_of([run(record={"samples": (SAMPLE,), "processes": processes})])

    assert (peaks.cpu_seconds, peaks.memory_bytes, peaks.processes) == (7.0, GIB // 4, 9)


def test_processes_count_that_were_there_at_once() -> None:
    spans = [(0.0, None), (1.0, 2.0), (1.5, None), (3.0, 4.0)]
    processes = [
        SeenProcess(number=n, parent=1, pid=n, started_at=start, ended_at=end, name="")
        for n, (start, end) in enumerate(spans)
    ]

    assert peaks_of([run(record={"processes": processes})]).processes == 3


def test_the_value_decides_what_a_result_may_hold() -> None:
    assert amount("result_bytes", run(value="x" * 1400)) == 3 * KIB
    assert amount("result_bytes", run(value="x" * 1600)) == 4 * KIB
    assert amount("result_bytes", run(value=None)) == KIB


def test_files_that_were_handed_back_decide_how_many_may_be() -> None:
    files = {"a": b"12", "b": b"345"}

    assert amount("returned_files", run(files=files)) == 5
    assert amount("returned_bytes", run(files=files)) == 12
    assert amount("returned_files", run()) == 0


def test_what_was_left_on_disk_counts_where_nobody_measured_more() -> None:
    left = LeftFile(path="x", change="created", size_bytes=10 * MIB)

    assert amount("disk_bytes", run(left=(left,))) == 24 * MIB


def test_the_disk_of_a_run_that_removed_files_is_bounded_by_its_memory() -> None:
    gone = file("remove", "/tmp/x")

    assert amount("disk_bytes", run(gone)) == 64 * MIB
    assert amount("disk_bytes", run(file("remove", "/data/x"))) == MIB


def test_the_disk_stays_where_neither_tells() -> None:
    unmeasured = run(file("remove", "/tmp/x"), usage=usage(peak_memory_bytes=0))

    assert amount("disk_bytes", unmeasured) == REVIEW.quota.disk_bytes
    assert amount("memory_bytes", unmeasured) == REVIEW.quota.memory_bytes


def test_the_largest_file_stays_where_files_of_the_host_may_be_written() -> None:
    grants = [{"path": "/data", "access": "write", "reason": "a test"}]
    base = Policy.model_validate({"files": grants, "quota": REVIEW.quota})

    assert amount("file_bytes", run(), base=base) == REVIEW.quota.file_bytes


@pytest.mark.parametrize(
    ("key", "more"),
    [
        ("grace_seconds", run(status="timeout")),
        ("open_files", run(read("/data/x", count=129))),
        ("disk_files", run(file("create", "/box/x", count=3000))),
    ],
)
def test_what_nobody_measures_stays_only_where_it_may_be_needed(key: str, more: Run) -> None:
    strict, base = getattr(Quota(), key), getattr(REVIEW.quota, key)

    assert (amount(key, run()), amount(key, more)) == (strict, base)


def test_open_files_are_counted_for_each_process() -> None:
    apart = [read("/data/x", count=100, process=number) for number in (1, 2)]

    assert amount("open_files", run(*apart)) == Quota().open_files


def test_processors_stay_where_more_than_one_was_used() -> None:
    base = Policy(quota=Quota(cpus=4))
    busy = run(usage=usage(wall_seconds=1.0, cpu_seconds=1.5))

    assert (amount("cpus", run(), base=base), amount("cpus", busy, base=base)) == (1, 4)


def test_depth_stays_where_the_value_is_deep() -> None:
    deep: Any = 1
    for _ in range(33):
        deep = {"in": [deep]}
    base = Policy(quota=Quota(result_depth=200))

    assert amount("result_depth", run(value=deep), base=base) == 200
    assert amount("result_depth", run(value=[1, {"a": []}]), base=base) == 64


def test_a_quota_below_strict_stays_below() -> None:
    base = Policy(quota=Quota(wall_seconds=0.5, open_files=16))

    assert amount("wall_seconds", run(), base=base) == 0.5
    assert amount("open_files", run(), base=base) == 16


def test_each_quota_says_what_was_seen() -> None:
    made = least_policy(REVIEW, [run(), run(usage=usage(wall_seconds=1.234))]).document

    assert "wall_seconds = 3.0              # a run took at most 1.23 s\n" in made
