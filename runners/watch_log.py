"""The record of a watched call, written as it comes, within bounds.

One JSON document a line. "ready"; {"begun": when, on the monotonic clock}; then, mixed,
{"process", "parent", "pid", "at"} for each new process, {"ended", "at"} for one that ends itself
and {"event", "process", "at"} for what was done for the first time; last {"repeats": [[place of the
event, times, last at], ...]}, {"calls": [[number, times, refused], ...]}, {"threads": n} and
{"not_kept": n}; and "end", without which the record was cut short. Times are in seconds since the
call began.
"""

import json
import os
from json.encoder import encode_basestring_ascii as quote
from typing import cast

from watch_memory import shown
from watch_room import Event, Room

FLUSH_BYTES = 1 << 15
REPEATS_IN_A_LINE = 1000


class _Seen:
    """What was seen once or more."""

    __slots__ = ("last_at", "place", "times")

    def __init__(self, place: int) -> None:
        self.place, self.times, self.last_at = place, 1, 0.0


class Log:
    """Writes each thing once, and how often it came at the end: a loop does not flood the host."""

    def __init__(self, descriptor: int) -> None:
        """Write to a descriptor, which waits for its reader."""
        self._descriptor = descriptor
        self._buffer = bytearray()
        self.room = Room()
        self._seen: dict[tuple[object, ...], _Seen] = {}
        self._calls: dict[int, list[int]] = {}
        self._not_kept = 0

    def say(self, document: object) -> None:
        """Write a line at once."""
        self._append(document)
        self._flush()

    def process(self, serial: int, parent: int | None, pid: int, at: float) -> None:
        """Write down a process that was not seen before."""
        said = {"process": serial, "parent": parent, "pid": pid, "at": round(at, 6)}
        self._append_bounded(said)

    def ended(self, serial: int, at: float) -> None:
        """Write down that a process ends itself."""
        self._append_bounded({"ended": serial, "at": round(at, 6)})

    def event(self, serial: int, at: float, event: Event) -> None:
        """Write down what a process did, or that it did it again."""
        is_plain = event["kind"] != "program"  # that alone has a list
        key = (serial, *(event.values() if is_plain else map(_hashable, event.values())))
        if seen := self._seen.get(key):
            seen.times += 1
            seen.last_at = round(at, 6)
            return
        if not self.room.has_for(event):
            self._not_kept += 1
            return
        line = f'{{"event":{_written(event)},"process":{serial},"at":{at:.6f}}}\n'
        self.room.take(self._append_line(line), events=1)
        self._seen[key] = _Seen(len(self._seen))

    def call(self, number: int, *, is_refused: bool) -> None:
        """Count a system call."""
        counts = self._calls.setdefault(number, [0, 0])
        counts[0] += 1
        counts[1] += is_refused

    def end(self, threads: int) -> None:
        """Write what was counted. threads: of all processes, besides their first ones."""
        again = [
            [seen.place, seen.times, seen.last_at] for seen in self._seen.values() if seen.times > 1
        ]
        for start in range(0, len(again), REPEATS_IN_A_LINE):
            self._append({"repeats": again[start : start + REPEATS_IN_A_LINE]})
        self._append({"calls": [[number, *counts] for number, counts in self._calls.items()]})
        self._append({"threads": threads})
        self._append({"not_kept": self._not_kept})
        self.say("end")

    def _append_bounded(self, document: Event) -> None:
        """Write a line about a process if there is ample room for it."""
        if self.room.is_ample:
            self.room.take(self._append(document))

    def _append(self, document: object) -> int:
        return self._append_line(json.dumps(document) + "\n")

    def _append_line(self, line: str) -> int:
        self._buffer += line.encode()
        if len(self._buffer) > FLUSH_BYTES:
            self._flush()
        return len(line)

    def _flush(self) -> None:
        while self._buffer:
            del self._buffer[: os.write(self._descriptor, self._buffer)]


def _written(event: Event) -> str:
    """Write an event as JSON, by hand: it is half the time that the encoder's own loop takes."""
    members = [f'"{key}":{_written_value(value)}' for key, value in event.items()]
    return f"{{{','.join(members)}}}"


def _written_value(value: object) -> str:
    if isinstance(value, str):
        return quote(shown(value))
    if isinstance(value, list):
        return f"[{','.join([quote(shown(each)) for each in _words(cast('object', value))])}]"
    return json.dumps(value)


def _hashable(value: object) -> object:
    return tuple(_words(cast("object", value))) if isinstance(value, list) else value


def _words(value: object) -> list[str]:
    return cast("list[str]", value)
