"""Measure what a call costs, beside its peers, and print one table: ``python -m tests.benchmarks``.

Nothing here passes or fails: a time says something of a machine. The ratios are against a bare
fork and wait of the same interpreter, measured in turn with what they belong to.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

import anyio

from tests.benchmarks import (
    bulk,
    calls,
    containers,
    deadlines,
    endurance,
    human_eval,
    memory,
    names,
    sessions,
    starts,
    throughput,
)
from tests.benchmarks.install import install_peers
from tests.benchmarks.peer_server import peers_python
from tests.benchmarks.peers import LIGHT, as_source
from tests.benchmarks.rows import NotThere, Row
from tests.benchmarks.subjects import Choice, Rounds, Source, measure_in_turn, reason
from tests.benchmarks.table import print_table, write_json
from tests.benchmarks.targets import judge

ROUNDS: Final = 60
QUICK_ROUNDS: Final = 10
BATCH: Final = 100
ENDURANCE, HEAVY_ENDURANCE = 2_000, 100_000
IDLE_CONTAINERS, HEAVY_IDLE_CONTAINERS = 4, 50
DRAW: Final = Path(__file__).with_name("draw_chart.py")

Measure: TypeAlias = Callable[[], Awaitable[list[Row]]]
Part: TypeAlias = tuple[str, str, Measure]
"""A group, the row that says why if it cannot be measured, and how it is."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was asked for. rounds: of the cheapest group; the dearer ones have a part of them."""

    rounds: int
    choice: Choice
    peers: Path | None
    endurance: int
    idle_containers: int
    is_heavy: bool

    def part(self, share: int) -> int:
        """Give one in so many of the rounds; one at least."""
        return max(1, self.rounds // share)


def groups(plan: Plan, folder: Path) -> Iterator[Part]:
    """Give what is measured, in order."""
    python, choice = peers_python(plan.peers), plan.choice
    light = [as_source(peer, python) for peer in LIGHT]
    light += [*calls.call_sources(plan.peers), *sessions.session_sources()]
    yield _in_turn(plan, "one call", light, Rounds(count=plan.rounds, warm_up=5))
    yield (
        containers.GROUP,
        containers.GROUP,
        partial(containers.measure_containers, choice, python, plan.part(15)),
    )
    once = Rounds(count=plan.part(15), warm_up=1, beside_fork=False)
    all_problems = Rounds(count=plan.part(30), beside_fork=False)
    sustained = Rounds(count=plan.part(6), warm_up=1)
    measure_rates = partial(throughput.measure_throughput, choice, sustained, BATCH)
    yield throughput.GROUP, throughput.GROUP, measure_rates
    yield _in_turn(plan, "bulk", list(bulk.bulk_sources()), once)
    problems = list(human_eval.human_eval_sources(folder))
    yield _in_turn(plan, "HumanEval", problems, all_problems)
    yield from _alone(plan)


def _in_turn(plan: Plan, group: str, sources: list[Source], rounds: Rounds) -> Part:
    chosen = plan.choice.of(group, sources)
    return group, group, partial(measure_in_turn, group, chosen, rounds)


def _alone(plan: Plan) -> Iterator[Part]:
    """Give what has nothing to take turns with."""
    many = sessions.measure_many_sessions if plan.is_heavy else _only_when_heavy
    idle = partial(containers.measure_idle_containers, plan.idle_containers)
    wanted: list[Part] = [
        (memory.GROUP, names.PSS_PARKED, memory.measure_memory),
        (memory.GROUP, names.PSS_SESSION, sessions.measure_idle_sessions),
        (memory.GROUP, names.THOUSAND_SESSIONS, many),
        (memory.GROUP, names.IDLE_CONTAINER, idle),
        (endurance.GROUP, names.LAST_TENTH, partial(endurance.measure_endurance, plan.endurance)),
        (deadlines.GROUP, deadlines.GROUP, partial(deadlines.measure_deadlines, plan.part(30))),
        (starts.GROUP, starts.GROUP, partial(starts.measure_starts, plan.part(6))),
    ]
    yield from (each for each in wanted if plan.choice.has(each[0], each[1]))


async def _only_when_heavy() -> list[Row]:
    message = "measured with --heavy only"
    raise NotThere(message)


async def measure(plan: Plan) -> list[Row]:
    """Measure everything, one group after the other; one that cannot be says why."""
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        for group, name, measure_group in groups(plan, Path(folder)):
            started, count = time.perf_counter(), len(rows)
            try:
                rows += await measure_group()
            except Exception as error:  # noqa: BLE001 - the row says it
                rows.append(Row(name=name, group=group, missing=reason(error)))
            if len(rows) > count:
                sys.stderr.write(f"{name}: {time.perf_counter() - started:.0f} s\n")
    return judge(rows)


def draw(source: Path, target: Path, peers: Path | None) -> None:
    """Draw the chart with the first interpreter that has matplotlib, or say that none has."""
    for python in dict.fromkeys((peers_python(peers), Path(sys.executable))):
        argv = [str(python), str(DRAW), str(source), str(target)]
        if subprocess.run(argv, check=False, stderr=subprocess.DEVNULL).returncode == 0:
            return
    sys.stderr.write("no chart: matplotlib is not there: use --install and --peers\n")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    add = parser.add_argument
    add("--install", type=Path, metavar="FOLDER", help="install the peers there, and only that")
    add("--peers", type=Path, metavar="FOLDER", help="where they were installed")
    add("--rounds", type=int, default=ROUNDS, metavar="N", help=f"turns of each; {ROUNDS}")
    add("--quick", action="store_true", help="about a minute, with coarser numbers")
    add("--heavy", action="store_true", help="100,000 calls in a row, 1,000 sessions")
    add("--only", nargs="+", default=[], metavar="NAME", help="a word of a group or a row")
    add("--endurance", type=int, metavar="N", help=f"calls in a row; {ENDURANCE:,}")
    add("--json", type=Path, metavar="FILE", help="write the numbers there too")
    add("--png", type=Path, metavar="FILE", help="draw a chart of them there")
    return parser.parse_args(arguments)


def plan_of(arguments: argparse.Namespace) -> Plan:
    """Give the plan that a command line asks for."""
    usual = HEAVY_ENDURANCE if arguments.heavy else ENDURANCE
    return Plan(
        rounds=QUICK_ROUNDS if arguments.quick else arguments.rounds,
        choice=Choice(tuple(arguments.only)),
        peers=arguments.peers,
        endurance=usual if arguments.endurance is None else arguments.endurance,
        idle_containers=HEAVY_IDLE_CONTAINERS if arguments.heavy else IDLE_CONTAINERS,
        is_heavy=arguments.heavy,
    )


def main() -> int:
    """Read the arguments, then install, or measure and show."""
    arguments = parse()
    if arguments.install:
        return install_peers(arguments.install)
    rows = anyio.run(measure, plan_of(arguments))
    print_table(rows)
    with TemporaryDirectory() as folder:
        document = arguments.json or Path(folder) / "rows.json"
        write_json(rows, document)
        if arguments.png:
            draw(document, arguments.png, arguments.peers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
