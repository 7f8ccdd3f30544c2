"""How long after its deadline a call that does not want to end is answered, everything dead."""

import time
from typing import Final

from sandbox import AsyncSandbox, Policy
from sandbox.backends.subprocess import SubprocessBackend
from tests.benchmarks.calls import mechanisms
from tests.benchmarks.rows import Row

__all__ = ["GROUP", "measure_deadlines"]

GROUP: Final = "deadlines"
WALL_SECONDS: Final = 0.3
GUESTS: Final = {
    "sleeps": "import time\ntime.sleep(60)",
    "ignores SIGTERM": """\
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    signal.pause()
""",
    "stops itself": """\
import os, signal
os.kill(os.getpid(), signal.SIGSTOP)
""",
    "forks without end": """\
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
""",
    "leaves by setsid": """\
import os, time
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
time.sleep(60)
""",
    "child holds the pipe": """\
import subprocess
subprocess.run(["sh", "-c", "echo held; sleep 60 & wait"])
""",
}


async def measure_deadlines(count: int) -> list[Row]:
    """Measure each guest `count` times on each mechanism."""
    rows: list[Row] = []
    for mechanism in mechanisms():
        backend = SubprocessBackend(use_control_groups=mechanism != "watchdog")
        policy = Policy.load("strict").narrow(wall_seconds=WALL_SECONDS)
        async with AsyncSandbox(policy, backend=backend) as box:
            (await box.run("'warm'")).unwrap()
            for name, source in GUESTS.items():
                late = [await _late_seconds(box, source) for _ in range(count)]
                title = f"{name}, {mechanism}"
                rows.append(Row(name=title, group=GROUP, seconds=tuple(late)))
    return rows


async def _late_seconds(box: AsyncSandbox, source: str) -> float:
    """Give the time from the deadline to the answer in this program's hands."""
    started = time.perf_counter()
    result = await box.run(source)
    elapsed = time.perf_counter() - started
    if "wall" not in result.limits_hit:
        message = f"a guest that was to run into its deadline did not: {result.status}"
        raise RuntimeError(message)
    return elapsed - result.phases.queued - result.phases.prepared - WALL_SECONDS
