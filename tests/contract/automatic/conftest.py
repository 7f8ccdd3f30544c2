"""Each provider, whole and streamed, and tools that need no guest."""

from collections.abc import Iterator

import pytest

from sandbox import Toolset
from tests.servers.clients import PROVIDERS, ServedProvider


@pytest.fixture(params=PROVIDERS.values(), ids=list(PROVIDERS))
def provider(request: pytest.FixtureRequest) -> ServedProvider:
    """Each provider in turn."""
    chosen: ServedProvider = request.param
    return chosen


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def stream(request: pytest.FixtureRequest) -> bool:
    """Whether the client asks for events."""
    return bool(request.param)


@pytest.fixture
def ran() -> list[str]:
    """What ran in the host, in order."""
    return []


@pytest.fixture
def tools(ran: list[str]) -> Iterator[Toolset]:
    """Tools that run in the host, so that a test needs no guest."""

    async def add(a: int, b: int) -> int:
        """Add two numbers."""
        ran.append(f"{a} + {b}")
        return a + b

    async def pay(amount: int) -> str:
        """Pay."""
        ran.append(f"pay {amount}")
        return "paid"

    async def fail() -> None:
        """Fail."""
        message = "no such city"
        raise LookupError(message)

    with Toolset(parallel=1) as toolset:
        toolset.add(add, fail, where="host")
        toolset.add(pay, where="host", needs_approval=True)
        yield toolset
