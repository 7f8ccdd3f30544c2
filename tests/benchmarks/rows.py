"""What a benchmark measured, and what was to be reached."""

import statistics
from dataclasses import dataclass

__all__ = ["NotThere", "Row", "Target"]


class NotThere(Exception):
    """Something cannot be measured here; the text is for its row."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One thing that a row is to reach. unit: what follows the number."""

    what: str
    measured: float
    limit: float
    at_least: bool = False
    unit: str = "x"

    @property
    def is_reached(self) -> bool:
        """Whether what was measured is on the right side of the limit; the limit itself is."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def __str__(self) -> str:
        """Say it on one line."""
        sign = "≥" if self.at_least else "≤"
        verdict = "yes" if self.is_reached else "NO"
        measured = f"{self.measured:,.0f}" if self.measured >= 100 else f"{self.measured:.2f}"
        return f"{verdict}: {measured}{self.unit} {self.what}, wanted {sign} {self.limit:g}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing that was measured. seconds: each time it was.

    group: what it was measured in turn with. bare_fork_seconds: median of a bare fork and wait,
    measured in the same turns; 0.0 where that says nothing. amount, unit: for what is no time.
    leaves_out: what its isolation does not do. missing: why there is nothing. note: what the
    numbers do not say.
    """

    name: str
    group: str = ""
    seconds: tuple[float, ...] = ()
    bare_fork_seconds: float = 0.0
    amount: float | None = None
    unit: str = ""
    leaves_out: str = ""
    missing: str = ""
    note: str = ""
    targets: tuple[Target, ...] = ()

    @property
    def is_measured(self) -> bool:
        """Whether there is any number."""
        return bool(self.seconds) or self.amount is not None

    @property
    def median_seconds(self) -> float:
        """The middle one; 0.0 of none."""
        return statistics.median(self.seconds) if self.seconds else 0.0

    @property
    def ratio(self) -> float:
        """The median in bare forks; 0.0 where that says nothing."""
        return self.in_bare_forks(self.median_seconds)

    def in_bare_forks(self, seconds: float) -> float:
        """Give a time in bare forks; 0.0 where that says nothing."""
        return seconds / self.bare_fork_seconds if self.bare_fork_seconds else 0.0

    def percentile_seconds(self, percent: int) -> float:
        """Give the least value that so many percent are not over; 0.0 of none."""
        ordered = sorted(self.seconds)
        rank = -(-len(ordered) * percent // 100)  # rounded up: the nearest rank
        return ordered[max(0, rank - 1)] if ordered else 0.0
