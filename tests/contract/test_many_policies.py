"""A backend that meets many policies keeps few of them warm."""

import psutil
import pytest

from sandbox import Policy
from sandbox.backends.subprocess import MOST_ZYGOTES, SubprocessBackend
from sandbox.box import AsyncSandbox


@pytest.mark.slow
@pytest.mark.anyio
async def test_the_policies_used_longest_ago_make_room(anyio_backend: str) -> None:
    del anyio_backend
    backend, strict = SubprocessBackend(), Policy.load("strict")
    for number in range(MOST_ZYGOTES + 3):
        policy = strict.narrow(wall_seconds=1.0 + number / 10)
        await AsyncSandbox(policy, backend=backend).run("1")

    keepers = [child for child in psutil.Process().children() if "keeper" in child.cmdline()]
    await backend.aclose()

    assert len(keepers) <= MOST_ZYGOTES + _others(keepers)


def _others(keepers: list[psutil.Process]) -> int:
    """Count those that other tests of this process keep warm: they are still alive now."""
    return sum(keeper.is_running() for keeper in keepers)
