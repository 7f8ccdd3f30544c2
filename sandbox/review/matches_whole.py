"""What a rule may look for in a run as a whole: amounts, limits, planted secrets."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sandbox.record import EnvironmentEvent, FileAccess, FileEvent, SeenProcess
from sandbox.review.globs import NO_PATHS, PathGlobs
from sandbox.review.matches import Match, Several
from sandbox.review.model import Change, LeftFile
from sandbox.review.traces import Place, leaks
from sandbox.review.view import Hit, RunView

__all__ = [
    "IdleMatch",
    "LeakMatch",
    "LeftMatch",
    "LimitMatch",
    "NotKeptMatch",
    "PlantedFileMatch",
    "PlantedVariableMatch",
    "ProcessesMatch",
]

Limit = Literal["wall", "cpu", "memory", "processes", "output", "disk"]
AtLeast = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]

_STATUS_OF: dict[Limit, str] = {
    "wall": "timeout",
    "cpu": "cpu_limit",
    "memory": "memory_limit",
    "processes": "process_limit",
    "output": "output_limit",
    "disk": "disk_limit",
}
_SCRAMBLED_BITS = 7.2
"""Of information in a byte: text has 4 to 5, programs 6, what is encrypted nearly 8."""
_SCRAMBLED_BYTES = 512
_LOOKED_AT_BYTES = 65_536
# fmt: off
_COMPRESSED = (
    b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z",
    b"\x89PNG", b"\xff\xd8", b"GIF8", b"RIFF", b"OggS", b"%PDF", b"wOF2", b"\0\0\0",
)
# fmt: on
"""How files that are compressed begin: archives, pictures, sound, documents, films."""


class LimitMatch(Match):
    """A limit of the policy that was reached, whatever the program made of it."""

    kind: Literal["limit"]
    limits: Several[Limit]

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Give the limits that were reached."""
        result = view.run.result
        for limit in self.limits:
            if limit in result.limits_hit or result.status == _STATUS_OF[limit]:
                yield Hit(None, f"the {limit} limit was reached")


class ProcessesMatch(Match):
    """Many processes: at the same time, or started in a short time."""

    kind: Literal["processes"]
    at_once: AtLeast | None = None
    started: AtLeast | None = None
    within_seconds: Seconds = 1.0

    @model_validator(mode="after")
    def _counts_one_thing(self) -> Self:
        if (self.at_once is None) == (self.started is None):
            message = "counts one thing: give at_once or started"
            raise ValueError(message)
        return self

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Say the largest number, if it is large enough."""
        processes = view.run.record.processes
        if self.at_once is not None and (most := self._most(view)) >= self.at_once:
            yield Hit(None, f"{most} processes at the same time")
        if self.started is not None:
            most = _most_started(processes, self.within_seconds)
            if most >= self.started:
                yield Hit(None, f"{most} processes started within {self.within_seconds:g} seconds")

    @staticmethod
    def _most(view: RunView) -> int:
        """Count those, too, that did nothing to be seen by: whoever counts them counts threads."""
        record = view.run.record
        counted = [view.run.result.usage.peak_processes]
        counted += [sample.processes for sample in record.samples]
        return max(_most_at_once(record.processes), max(counted) - record.threads)


class LeftMatch(Match):
    """Many files that were there before the run, and are changed or gone after it."""

    kind: Literal["left"]
    changes: Several[Change]
    at_least: AtLeast
    is_scrambled: bool = False
    """Only files whose content has no order any more, as after encryption."""
    is_renamed: bool = False
    """Only files in whose place there is one with the same name and more behind it."""
    except_paths: PathGlobs = NO_PATHS

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Name the files, if there are enough of them."""
        created = {each.path for each in view.run.left if each.change == "created"}
        found = [each for each in view.run.left if self._fits(each, view, created)]
        if len(found) >= self.at_least:
            yield from (Hit(None, f"{each.change} {each.path}") for each in found)

    def _fits(self, left: LeftFile, view: RunView, created: set[str]) -> bool:
        if left.change not in self.changes or self.except_paths.fits(f"/box/{left.path}"):
            return False
        now = left.path
        if self.is_renamed:
            heirs = sorted(path for path in created if path.startswith(f"{left.path}."))
            if not heirs:
                return False
            now = heirs[0]
        return not self.is_scrambled or is_scrambled(view.run.result.files.get(now, b""))


class IdleMatch(Match):
    """A run that did next to nothing for most of its time."""

    kind: Literal["idle"]
    wall_seconds: Seconds
    """How long it ran, at least."""
    processor_share: Annotated[float, Field(gt=0, le=1)]
    """How much of the time it computed, at most."""

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Say how long it waited."""
        usage = view.run.result.usage
        is_long = usage.wall_seconds >= self.wall_seconds
        if is_long and usage.cpu_seconds <= usage.wall_seconds * self.processor_share:
            spent = f"{usage.cpu_seconds:.1f} of {usage.wall_seconds:.1f} seconds"
            yield Hit(None, f"computed for {spent}")


class NotKeptMatch(Match):
    """More happened than a record keeps."""

    kind: Literal["not_kept"]
    at_least: AtLeast

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Say how much is missing."""
        missing = view.run.record.not_kept
        if missing >= self.at_least:
            yield Hit(None, f"{missing} events are counted and not kept")


class PlantedFileMatch(Match):
    """A file with a planted secret that was opened."""

    kind: Literal["planted_file"]
    accesses: Several[FileAccess]
    paths: PathGlobs
    except_paths: PathGlobs = NO_PATHS

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Give the events that opened one, under whatever name it had by then."""
        planted = {path: path for path in view.canaries.paths} if view.canaries else {}
        for place, event in view.each(FileEvent):
            if event.outcome != "allowed":
                continue
            known = planted.get(event.path) or _linked_to(event, planted)
            if known and event.access in self.accesses and self._wants(known):
                yield Hit(place)
            planted |= _new_names(event, planted)

    def _wants(self, path: str) -> bool:
        return self.paths.fits(path) and not self.except_paths.fits(path)


class PlantedVariableMatch(Match):
    """A variable with a planted secret that was read by its name."""

    kind: Literal["planted_variable"]

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Give the events that read one."""
        planted = view.canaries.environment if view.canaries else dict[str, str]()
        for place, event in view.each(EnvironmentEvent):
            if event.name in planted:
                yield Hit(place)


class LeakMatch(Match):
    """A planted secret, or a long part of it, somewhere but where it was planted."""

    kind: Literal["leak"]
    places: Several[Place]

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Say which secret is where."""
        if view.canaries:
            yield from leaks(view.run, view.canaries, frozenset(self.places))


def _linked_to(event: FileEvent, planted: Mapping[str, str]) -> str:
    """Give which file another name was made for, link(2); "" where it is none of those."""
    return planted.get(event.to, "") if event.access == "link" else ""


def _new_names(event: FileEvent, planted: Mapping[str, str]) -> dict[str, str]:
    """Give the names that files have from now on: theirs or their folder's was changed or added."""
    if event.access not in {"rename", "link"}:
        return {}
    is_renamed = event.access == "rename"
    before, after = (event.path, event.to) if is_renamed else (event.to, event.path)
    inside = f"{before}/"
    return {
        after + path[len(before) :]: known
        for path, known in planted.items()
        if path == before or path.startswith(inside)
    }


def _most_at_once(processes: tuple[SeenProcess, ...]) -> int:
    starts = [(seen.started_at, 1) for seen in processes]
    ends = [(seen.ended_at, -1) for seen in processes if seen.ended_at is not None]
    most = now = 0
    for _, change in sorted([*starts, *ends]):
        now += change
        most = max(most, now)
    return most


def _most_started(processes: tuple[SeenProcess, ...], seconds: float) -> int:
    times = sorted(seen.started_at for seen in processes)
    most = first = 0
    for last, time in enumerate(times):
        while time - times[first] > seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def is_scrambled(content: bytes) -> bool:
    """Whether a content has no order, and does not begin as compressed files do."""
    looked_at = content[:_LOOKED_AT_BYTES]
    if len(looked_at) < _SCRAMBLED_BYTES or looked_at.startswith(_COMPRESSED):
        return False
    shares = [count / len(looked_at) for count in Counter(looked_at).values()]
    return -sum(share * math.log2(share) for share in shares) >= _SCRAMBLED_BITS
