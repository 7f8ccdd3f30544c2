"""Which of the host's processors a guest is given."""

import ctypes
import os
from collections.abc import Sequence
from typing import Final, TypeAlias

__all__ = ["Processors", "Shares", "here"]

Processors: TypeAlias = tuple[int, ...]
"""Their numbers, as sched_setaffinity(2) has them."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


def here() -> int:
    """Give the number of the processor that runs this now, sched_getcpu(3); -1 if nobody knows."""
    number: int = _libc.sched_getcpu()
    return number


class Shares:
    """Shares out the processors that this program may use, so many to each guest."""

    def __init__(self, each: int) -> None:
        """each: how many a guest is given, and not more than there are."""
        there = sorted(os.sched_getaffinity(0))
        ring = there * 2
        starts = range(0, len(there) * each, each)
        self._shares = [tuple(ring[start % len(there) :][:each]) for start in starts]
        self._turn = 0

    def next(self, waiting: Sequence[Processors]) -> Processors:
        """Give the next in turn of those that fewest of the waiting guests have."""
        turns = self._shares[self._turn :] + self._shares[: self._turn]
        share = min(turns, key=waiting.count)
        self._turn = (self._turn + 1) % len(self._shares)
        return share
