"""What a guest that waits takes of the host's memory, pages that are shared counted in parts."""

import statistics
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
import psutil

from sandbox import AsyncSandbox
from tests.benchmarks.calls import call
from tests.benchmarks.names import PSS_PARKED
from tests.benchmarks.rows import Row

__all__ = ["GROUP", "guest_memory_bytes", "measure_memory", "memory_row"]

GROUP: Final = "memory"
SETTLED_SECONDS: Final = 0.5
AT_ONCE: Final = 4


async def measure_memory() -> list[Row]:
    """Let some guests wait, and weigh each with all its processes."""
    async with AsyncSandbox() as box:
        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(call, box)
        await anyio.sleep(SETTLED_SECONDS)
        return [memory_row(PSS_PARKED, guest_memory_bytes())]


def memory_row(name: str, guests: list[int]) -> Row:
    """Give the middle one of the weights of some guests."""
    if not guests:
        return Row(name=name, group=GROUP, missing="no guest was seen to wait")
    amount = statistics.median(guests) / 1e6
    note = f"PSS, all its processes; the middle one of {len(guests)}"
    return Row(name=name, group=GROUP, amount=amount, unit="MB", note=note)


def guest_memory_bytes() -> list[int]:
    """Weigh each guest of this program: the processes of one innermost process namespace."""
    guests: defaultdict[str, int] = defaultdict(int)
    depths: dict[str, int] = {}
    for pid in _descendants():
        with suppress(OSError):  # it has ended meanwhile
            space = str(Path(f"/proc/{pid}/ns/pid").readlink())
            depths[space] = _depth(pid)
            guests[space] += _pss_bytes(pid)
    deepest = max(depths.values(), default=0)
    return [weight for space, weight in guests.items() if depths[space] == deepest]


def _descendants() -> Iterator[int]:
    yield from (process.pid for process in psutil.Process().children(recursive=True))


def _depth(pid: int) -> int:
    """Give how many process namespaces a process is in, one within the other."""
    return len(_field(Path(f"/proc/{pid}/status"), "NSpid:"))


def _pss_bytes(pid: int) -> int:
    return int(_field(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")[0]) * 1024


def _field(file: Path, key: str) -> list[str]:
    lines = file.read_text(encoding="ascii", errors="replace").splitlines()
    return next((line.split()[1:] for line in lines if line.startswith(key)), ["0"])
