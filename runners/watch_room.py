"""Which events a record has room for: a flood of one kind must not hide one of another.

The first events are all kept. Of the last part of the room each class of events has a share of its
own: what was done, and what became of it. Files that the call was given are never crowded out:
they are few, and a guest cannot make more of them.
"""

import os
from typing import Any

Event = dict[str, Any]

MOST_EVENTS = 50_000
MOST_BYTES = 24 << 20
"""Of all lines of events together."""
AMPLE_EVENTS, RESERVED_BYTES = 40_000, 8 << 20
CLASS_EVENTS, CLASS_BYTES = 200, 100_000
MOST_GIVEN = 10_000


class Room:
    """The room of one record."""

    def __init__(self) -> None:
        """Have all of it free."""
        self._events = 0
        self._left_bytes = MOST_BYTES
        self._given: set[str] = set()
        self._shares: dict[tuple[object, ...], list[int]] = {}
        self._crowded: set[tuple[object, ...]] = set()

    def give(self, paths: list[str]) -> None:
        """Note files that the call was given, by their paths in the guest."""
        self._given.update(paths[: MOST_GIVEN - len(self._given)])

    @property
    def is_ample(self) -> bool:
        """Whether there is more than what is reserved."""
        return self._events < AMPLE_EVENTS and self._left_bytes > RESERVED_BYTES

    def take(self, size: int, events: int = 0) -> None:
        """Note that so many bytes were written."""
        self._left_bytes -= size
        self._events += events

    def has_for(self, event: Event) -> bool:
        """Say whether an event that was not seen before has room."""
        if event.get("access") in {"rename", "link"}:
            self._follow(event)
        return self.is_ample or (self._left_bytes > 0 and self._is_reserved(event))

    def _is_reserved(self, event: Event) -> bool:
        """Say whether it is new whoever did it, and its class has a share left."""
        told = (*self._class(event), event.get("path"), str(event))
        if told in self._crowded or self._events >= MOST_EVENTS:
            return False
        if event.get("path") not in self._given and not self._takes_share(event):
            return False
        self._crowded.add(told)
        return True

    def _takes_share(self, event: Event) -> bool:
        share = self._shares.setdefault(self._class(event), [CLASS_EVENTS, CLASS_BYTES])
        share[0] -= 1
        share[1] -= len(str(event))
        return min(share) >= 0

    @staticmethod
    def _class(event: Event) -> tuple[object, ...]:
        return event["kind"], event.get("access", event.get("action")), event["outcome"]

    def _follow(self, event: Event) -> None:
        """Note the new names of given files, whose own or folder's name is changed or added."""
        named, to = event["path"], event.get("to", "")
        before, after = (named, to) if event["access"] == "rename" else (to, named)
        inside = f"{before}/"
        moved = [each for each in self._given if each == before or each.startswith(inside)]
        self.give([after + each[len(before) :] for each in moved])


def names_below(folder: str, root: str) -> list[str]:
    """Give all names below a folder, as paths in the guest. root: the guest's, on the host."""
    found: list[str] = []
    for place, folders, files in os.walk(root + folder):
        inside = place.removeprefix(root)
        found += [f"{inside}/{name}" for name in (*folders, *files)]
        if len(found) >= MOST_GIVEN:
            break
    return found
