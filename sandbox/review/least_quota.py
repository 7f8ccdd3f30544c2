"""The quota that runs would have done with: what they used at most, twice, rounded up."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from sandbox.policy import KIB, MIB, Policy, Quota
from sandbox.record import FileEvent, Record
from sandbox.review.model import Run

__all__ = ["Judged", "Peaks", "least_quota", "peaks_of", "pleasant", "pleasant_bytes"]

MARGIN: Final = 2
LEAST_WALL_SECONDS: Final = 3.0
LEAST_CPU_SECONDS: Final = 1.0
LEAST_MEMORY_BYTES: Final = 64 * MIB
LEAST_PROCESSES: Final = 4
LEAST_DISK_BYTES: Final = MIB
LEAST_OUTPUT_BYTES: Final = 16 * KIB
LEAST_RESULT_BYTES: Final = KIB
"""Below these a busy machine, a traceback or an error's text would end a call that is right."""
_LEAST_AMOUNT: Final = 0.001
_STEPS: Final = (1, 1.5, 2, 3, 5, 10)
_PRIVATE: Final = ("/box/", "/tmp/", "/dev/shm/")  # noqa: S108 - the guest's
_STRICT: Final = Quota()


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """The most that any run used of each; 0 where nothing was measured."""

    wall_seconds: float
    cpu_seconds: float
    memory_bytes: int
    processes: int
    disk_bytes: int
    output_bytes: int
    result_bytes: int
    result_depth: int
    returned_files: int
    returned_bytes: int


@dataclass(frozen=True, kw_only=True)
class Judged:
    """An amount for a key of the quota, and what was seen, for its comment."""

    amount: float
    said: str


def least_quota(base: Policy, runs: Sequence[Run]) -> dict[str, Judged]:
    """Give every key of the quota, in their order: never over the base's."""
    peaks = peaks_of(runs)
    judged = _measured(peaks) | _disk(base, peaks, runs) | _returned(peaks)
    unjudged = _unjudged(base.quota, peaks, runs)
    return {
        key: _within(most, judged.get(key) or unjudged.get(key) or _kept(key, most))
        for key, most in base.quota
    }


def peaks_of(runs: Sequence[Run]) -> Peaks:
    """Give the most that any of the runs used, by its result and its record."""
    usages = [run.result.usage for run in runs]
    samples = [sample for run in runs for sample in run.record.samples]
    values = [run.result.value for run in runs]
    return Peaks(
        wall_seconds=_most(each.wall_seconds for each in usages),
        cpu_seconds=_most(
            [*(each.cpu_seconds for each in usages), *(each.cpu_seconds for each in samples)]
        ),
        memory_bytes=_most(
            [
                *(each.peak_memory_bytes for each in usages),
                *(each.memory_bytes for each in samples),
            ]
        ),
        processes=_most(
            [
                *(each.peak_processes for each in usages),
                *(each.processes for each in samples),
                *(_together(run.record) for run in runs),
            ]
        ),
        disk_bytes=_most([*(each.disk_bytes for each in usages), *map(_left_bytes, runs)]),
        output_bytes=_most(each.stdout_bytes + each.stderr_bytes for each in usages),
        result_bytes=_most(map(_answer_bytes, runs)),
        result_depth=_most(map(_depth, values)),
        returned_files=_most(len(run.result.files) for run in runs),
        returned_bytes=_most(sum(map(len, run.result.files.values())) for run in runs),
    )


def _measured(peaks: Peaks) -> dict[str, Judged]:
    """Judge what a result says itself."""
    found = {
        "wall_seconds": _seconds(peaks.wall_seconds, LEAST_WALL_SECONDS, "a run took at most"),
        "cpu_seconds": _seconds(peaks.cpu_seconds, LEAST_CPU_SECONDS, "a run used at most"),
        "memory_bytes": _bytes(peaks.memory_bytes, LEAST_MEMORY_BYTES, "a run had at most"),
        "processes": _count(peaks.processes, "a run had at most", "at a time"),
        # no output is an output: it was counted
        "output_bytes": _bytes(peaks.output_bytes or 1, LEAST_OUTPUT_BYTES, "a run wrote at most"),
        "result_bytes": _bytes(peaks.result_bytes or 1, LEAST_RESULT_BYTES, "a value had at most"),
    }
    return {key: judged for key, judged in found.items() if judged}


def _disk(base: Policy, peaks: Peaks, runs: Sequence[Run]) -> dict[str, Judged]:
    """Judge the disk. What is removed before the end nobody measured: memory has it too.

    file_bytes also bounds files of the host, which no disk quota counts.
    """
    if not peaks.wall_seconds or (_removes(runs) and not peaks.memory_bytes):
        return {key: _base(base.quota, key) for key in ("disk_bytes", "file_bytes")}
    if _removes(runs):
        most, words = peaks.memory_bytes, "files came and went, in a memory of at most"
    else:
        most, words = peaks.disk_bytes, "a run left at most"
    amount = max(LEAST_DISK_BYTES, pleasant_bytes(MARGIN * most))
    disk = Judged(amount=amount, said=f"{words} {_shown_bytes(most)}")
    file = Judged(amount=disk.amount, said="a file is no larger than the disk")
    has_grants = any(grant.access == "write" for grant in base.files)
    return {
        "disk_bytes": disk,
        "file_bytes": _base(base.quota, "file_bytes") if has_grants else file,
    }


def _returned(peaks: Peaks) -> dict[str, Judged]:
    return {
        "returned_files": Judged(
            amount=pleasant(MARGIN * peaks.returned_files),
            said=f"a run handed back at most {peaks.returned_files}",
        ),
        "returned_bytes": Judged(
            amount=pleasant_bytes(MARGIN * peaks.returned_bytes),
            said=f"a run handed back at most {_shown_bytes(peaks.returned_bytes)}",
        ),
    }


def _unjudged(base: Quota, peaks: Peaks, runs: Sequence[Run]) -> dict[str, Judged]:
    """Keep the base's amount where the runs may have needed more than strict's."""
    needs = {
        "grace_seconds": any(run.result.status == "timeout" for run in runs),
        "cpus": any(
            each.result.usage.cpu_seconds > each.result.usage.wall_seconds for each in runs
        ),
        "open_files": _most(map(_opened, runs)) > _STRICT.open_files // MARGIN,
        "disk_files": _most(map(_made, runs)) > _STRICT.disk_files // MARGIN,
        "result_depth": peaks.result_depth > _STRICT.result_depth // MARGIN,
        "processes": not peaks.processes,
        "memory_bytes": not peaks.memory_bytes,
        "cpu_seconds": not peaks.cpu_seconds and peaks.wall_seconds > _STRICT.cpu_seconds,
    }
    return {key: _base(base, key) for key, needed in needs.items() if needed}


def _base(base: Quota, key: str) -> Judged:
    return Judged(amount=getattr(base, key), said="as it was: no run tells how little will do")


def _kept(key: str, most: float) -> Judged:
    amount = min(most, getattr(_STRICT, key))
    return Judged(amount=amount, said="no run tells: the smaller of strict's and what it was")


def _within(most: float, judged: Judged) -> Judged:
    amount = min(most, judged.amount)
    return Judged(amount=type(most)(amount), said=judged.said)


# Amounts


def pleasant(amount: float) -> float:
    """Round up to 1, 1.5, 2, 3 or 5 with zeros; a whole number from 2 on. 0 stays."""
    if amount <= 0:
        return 0
    amount = max(amount, _LEAST_AMOUNT)
    power = 10.0 ** math.floor(math.log10(amount))
    rounded = next(step * power for step in _STEPS if step * power >= amount * (1 - 1e-9))
    return math.ceil(rounded) if rounded > _STEPS[1] else round(rounded, 3)


def pleasant_bytes(amount: float) -> int:
    """Round up to a power of two, or one and a half of one. 0 stays."""
    if amount <= 0:
        return 0
    power = 1 << (math.ceil(amount) - 1).bit_length()
    return power // 4 * 3 if power >= 4 and power // 4 * 3 >= amount else power


def _seconds(peak: float, least: float, words: str) -> Judged | None:
    if not peak:
        return None
    amount = max(least, pleasant(MARGIN * peak))
    return Judged(amount=amount, said=f"{words} {peak:.3g} s")


def _bytes(peak: int, least: int, words: str) -> Judged | None:
    if not peak:
        return None
    amount = max(least, pleasant_bytes(MARGIN * peak))
    return Judged(amount=amount, said=f"{words} {_shown_bytes(peak)}")


def _count(peak: int, words: str, tail: str) -> Judged | None:
    if not peak:
        return None
    amount = max(LEAST_PROCESSES, math.ceil(pleasant(MARGIN * peak)))
    return Judged(amount=amount, said=f"{words} {peak} {tail}")


def _shown_bytes(amount: int) -> str:
    if amount >= MIB:
        return f"{amount / MIB:.1f} MiB"
    return f"{amount / KIB:.1f} KiB" if amount >= KIB else f"{amount} bytes"


# What a run used


def _most(amounts: Iterable[Any]) -> Any:
    return max(amounts, default=0)


def _together(record: Record) -> int:
    """Count the processes that were there at once; those of no known end, to the end."""
    changes = [(each.started_at, 1) for each in record.processes]
    changes += [(each.ended_at, -1) for each in record.processes if each.ended_at is not None]
    alive = most = 0
    # of two at one moment the beginning first: rather one too many
    for _, change in sorted(changes, key=lambda each: (each[0], -each[1])):
        alive += change
        most = max(most, alive)
    return most


def _left_bytes(run: Run) -> int:
    returned = sum(map(len, run.result.files.values()))
    return max(returned, sum(left.size_bytes for left in run.left))


def _answer_bytes(run: Run) -> int:
    given = run.result.model_dump_json(include={"value", "parts", "partial"})
    return len(given.encode())


def _depth(value: Any) -> int:
    """Count the levels of a value, without recursion: it may have two hundred."""
    depth, level = 0, [value]
    while level := [inner for outer in level for inner in _inner(outer)]:
        depth += 1
    return depth


def _inner(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [{}, *cast("dict[str, Any]", value).values()] if value else []
    return list(cast("list[Any]", value)) if isinstance(value, list | tuple) else []


def _opened(run: Run) -> int:
    """Count the most that one process ever opened: the quota is each process's own."""
    opened: Counter[int] = Counter()
    for event in run.record.events:
        if event.kind == "network" or (isinstance(event, FileEvent) and _opens(event)):
            opened[event.process] += event.count
    return max(opened.values(), default=0) + run.record.not_kept


def _opens(event: FileEvent) -> bool:
    return event.outcome == "allowed" and event.access in {"list", "read", "write", "create"}


def _made(run: Run) -> int:
    made = sum(
        event.count
        for event in run.record.events
        if isinstance(event, FileEvent) and event.access in {"create", "link"}
    )
    return made + len(run.result.files) + run.record.not_kept


def _removes(runs: Sequence[Run]) -> bool:
    """Tell whether anything of the guest's own was taken away, or may have been unseen."""
    return any(
        run.record.not_kept or any(_is_removal(event) for event in run.record.events)
        for run in runs
    )


def _is_removal(event: object) -> bool:
    return (
        isinstance(event, FileEvent)
        and event.outcome == "allowed"
        and (event.access in {"remove", "rename"} or event.access == "write")
        and event.path.startswith(_PRIVATE)
    )
