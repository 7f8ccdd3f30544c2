"""Containers whose owner is dead: found by their label, and removed."""

import time
from contextlib import suppress
from dataclasses import dataclass

from sandbox.backends.docker_engine import LABEL, DockerEngine
from sandbox.backends.processes import is_alive
from sandbox.errors import SandboxError

__all__ = ["RunningContainer", "find_containers", "remove_orphans"]


@dataclass(frozen=True, kw_only=True)
class RunningContainer:
    """One container of ours. age_seconds: since it was made."""

    id: str
    owner: str
    owner_pid: int
    policy: str
    state: str
    age_seconds: float
    is_left_over: bool
    """Whether its owner is dead."""


def find_containers(engine: DockerEngine) -> tuple[RunningContainer, ...]:
    """List the containers that carry our label. Raises EngineFault."""
    return tuple(
        RunningContainer(
            id=each["Id"][:12],
            owner=(owner := str(each["Labels"][LABEL])),
            owner_pid=int(owner.partition("-")[0]) if owner[:1].isdigit() else 0,
            policy=str(each["Labels"].get("sandbox-engine.policy", "")),
            state=str(each.get("State", "")),
            age_seconds=max(0.0, time.time() - float(each.get("Created", 0))),
            is_left_over=not is_alive(owner),
        )
        for each in engine.owned()
    )


def remove_orphans(engine: DockerEngine) -> tuple[str, ...]:
    """Kill and remove every container whose owner is dead; give their ids. Raises EngineFault.

    One that cannot be removed is left to the next who tries.
    """
    removed: list[str] = []
    for container in find_containers(engine):
        if container.is_left_over:
            with suppress(SandboxError):
                engine.remove(container.id)
                removed.append(container.id)
    return tuple(removed)
