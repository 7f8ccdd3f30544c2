"""Measure what a call costs and print one table: ``python -m tests.benchmarks``.

Nothing here passes or fails: a time says something of a machine. The ratios are against a bare
fork and wait of the same interpreter, measured in turn with what they belong to.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import anyio

from tests.benchmarks.calls import measure_calls, measure_throughput
from tests.benchmarks.containers import measure_containers
from tests.benchmarks.deadlines import measure_deadlines
from tests.benchmarks.endurance import measure_endurance
from tests.benchmarks.rows import Row, print_table, write_json
from tests.benchmarks.starts import measure_starts


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How often each thing is measured."""

    calls: int
    throughput: int
    deadlines: int
    starts: int
    endurance: int


FULL = Counts(
    calls=500, throughput=2000, deadlines=10, starts=20, endurance=10_000
)  # about five minutes
QUICK = Counts(calls=100, throughput=400, deadlines=2, starts=5, endurance=500)


async def measure(counts: Counts, endurance: int) -> list[Row]:
    """Measure everything, one thing after the other."""
    return [
        *await measure_calls(counts.calls),
        *await measure_throughput(counts.throughput),
        *await measure_deadlines(counts.deadlines),
        *(await measure_endurance(endurance) if endurance else []),
        *measure_starts(counts.starts),
        *await measure_containers(counts.starts),
    ]


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute, with coarser numbers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    parser.add_argument("--endurance", type=int, metavar="N", help="calls in a row; 0 for none")
    arguments = parser.parse_args()
    counts = QUICK if arguments.quick else FULL
    endurance = counts.endurance if arguments.endurance is None else arguments.endurance
    rows = anyio.run(measure, counts, endurance)
    print_table(rows)
    if arguments.json:
        write_json(rows, arguments.json)


if __name__ == "__main__":
    main()
