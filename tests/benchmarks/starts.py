"""How long it takes to import sandbox and to ask its command for help."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.rows import Row

__all__ = ["GROUP", "measure_starts"]

GROUP: Final = "starts"
COMMAND: Final = Path(sys.executable).with_name("sandbox")
PROGRAMS: Final = {
    "python -c pass": (sys.executable, "-c", "pass"),
    "python -c 'import sandbox'": (sys.executable, "-c", "import sandbox"),
    "python -c 'from sandbox import Sandbox'": (
        sys.executable,
        "-c",
        "from sandbox import Sandbox",
    ),
    "sandbox --help": (str(COMMAND), "--help"),
}


async def measure_starts(count: int) -> list[Row]:
    """Measure each `count` times, all in turn; what does not work here says so."""
    working = {name: argv for name, argv in PROGRAMS.items() if _works(argv)}
    times: dict[str, list[float]] = {name: [] for name in working}
    for _ in range(count):
        for name, argv in working.items():
            times[name].append(_run_seconds(argv))
    missing = [
        Row(name=name, group=GROUP, missing="does not work here")
        for name in PROGRAMS.keys() - working
    ]
    return [Row(name=name, group=GROUP, seconds=tuple(times[name])) for name in working] + missing


def _works(argv: Sequence[str]) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run_seconds(argv: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(argv, capture_output=True, check=True)
    return time.perf_counter() - started
