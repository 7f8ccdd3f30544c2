"""Containers whose owner is dead: found by their label, and removed."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sandbox.backends.docker_engine import LABEL, LABEL_BOOT, DockerEngine
from sandbox.backends.processes import boot_id, is_alive
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
    is_local = engine.socket_path is not None
    return tuple(_describe(each, is_local=is_local) for each in engine.owned())


def _describe(found: dict[str, Any], *, is_local: bool) -> RunningContainer:
    labels: dict[str, str] = found["Labels"]
    owner = labels[LABEL]
    pid = owner.partition("-")[0]
    is_judged = pid.isdecimal()  # or somebody runs a container of an image of ours by himself
    is_of_this_boot = labels.get(LABEL_BOOT, boot_id()) == boot_id()
    return RunningContainer(
        id=found["Id"][:12],
        owner=owner,
        owner_pid=int(pid) if is_judged else 0,
        policy=labels.get("sandbox-engine.policy", ""),
        state=str(found.get("State", "")),
        age_seconds=max(0.0, time.time() - float(found.get("Created", 0))),
        # On an engine elsewhere another boot is another host, of which nothing can be told here.
        is_left_over=is_judged and (not is_alive(owner) if is_of_this_boot else is_local),
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
