"""What it costs a program to be watched: ``python -m tests.benchmarks.review_cost [ROUNDS]``.

Each program runs watched and not watched in turn, in a guest of the same policy; what is compared
is the median of the time from its first line to its end, without the start of a guest.
"""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from sandbox import Policy, Sandbox, Source
from sandbox.result import Result
from tests.benchmarks.rows import Target

ROUNDS: Final = 7
TIMED: Final = "import time\nstarted = time.perf_counter()\n{body}\ntime.perf_counter() - started"
FILES: Final = """
import os
for n in range(2000):
    with open(f"a{n}", "w") as file: file.write("x" * 100)
    with open(f"a{n}") as file: file.read()
    os.stat(f"a{n}")
    os.rename(f"a{n}", f"b{n}")
    os.remove(f"b{n}")
"""
WALK: Final = """
import os
for _, folders, files in os.walk("/usr/lib/python3.11"): pass
for folder, _, files in os.walk("/usr/lib/python3.11"):
    for name in files: os.lstat(os.path.join(folder, name))
"""
COMPUTE: Final = "sum(n * n % 7 for n in range(3_000_000))"
PIPELINE: Final = """
import subprocess
for _ in range(10):
    subprocess.run(["sh", "-c", "seq 20000 | sort -r | uniq | wc -l"], stdout=-3, check=True)
"""


@dataclass(frozen=True)
class Program:
    """A program that is measured. most: how many times as long it may take watched, if said."""

    name: str
    source: str
    most: float | None = None


PROGRAMS: Final = (
    Program("files: 2,000 made, written, read, stat, renamed, removed", FILES, 5.0),
    Program("walk: the standard library, with an lstat of each file", WALK),
    Program("computing", COMPUTE, 1.2),
    Program("pipeline: 10 times sh, seq, sort, uniq, wc", PIPELINE),
)


@dataclass(frozen=True)
class Cost:
    """The medians of one program, in seconds."""

    program: Program
    plain_seconds: float
    watched_seconds: float

    @property
    def times(self) -> float:
        """How many times as long it took."""
        return self.watched_seconds / self.plain_seconds

    @property
    def verdict(self) -> str:
        """Whether its target is reached."""
        limit = self.program.most
        if limit is None:
            return ""
        return str(Target(what="as long as not watched", measured=self.times, limit=limit))


def measure(box: Sandbox, program: Program, rounds: int) -> Cost:
    """Run it watched and not watched in turn; the first round is not counted."""
    call = Source(source=TIMED.format(body=program.source))
    plain: list[float] = []
    watched: list[float] = []
    for _ in range(rounds + 1):
        plain.append(_seconds(box.execute(call)))
        watched.append(_seconds(box.watch(call)[0]))
    return Cost(program, statistics.median(plain[1:]), statistics.median(watched[1:]))


def _seconds(result: Result) -> float:
    if not isinstance(result.value, float):
        message = f"the program did not come to its end: {result.status}: {result.stderr}"
        raise TypeError(message)
    return result.value


def print_costs(costs: Sequence[Cost]) -> None:
    """Print them as a table."""
    table = Table("program", "plain ms", "watched ms", "times", "target")
    for cost in costs:
        plain, watched = cost.plain_seconds * 1000, cost.watched_seconds * 1000
        figures = (f"{plain:.1f}", f"{watched:.1f}", f"{cost.times:.2f}")
        table.add_row(cost.program.name, *figures, cost.verdict)
    Console(width=140).print(table)


def main() -> int:
    """Measure all; 1 where a target is not reached."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with Sandbox(Policy.load("review")) as box:
        costs = [measure(box, program, rounds) for program in PROGRAMS]
    print_costs(costs)
    return int(any(cost.verdict.startswith("NO") for cost in costs))


if __name__ == "__main__":
    sys.exit(main())
