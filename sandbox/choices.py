"""What a user may say for a policy and for a backend, and what it means."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from sandbox.backends.base import Backend
from sandbox.errors import BadCall
from sandbox.policy import Policy

__all__ = [
    "BackendLike",
    "BackendName",
    "PolicyLike",
    "RuntimeName",
    "as_backend",
    "as_policy",
    "backend_for",
]

PolicyLike: TypeAlias = Policy | str | Path
"""A policy, the name of a preset, or the path of a document."""

BackendName: TypeAlias = Literal["subprocess", "docker"]
BackendLike: TypeAlias = BackendName | Backend
"""Where guests come from: by name, or one of your own."""

RuntimeName: TypeAlias = Literal["runc", "runsc"]
"""What runs a container: runc on the host's kernel, runsc (gVisor) on a kernel of its own."""


def as_policy(policy: PolicyLike) -> Policy:
    """Give a policy from itself, a preset's name or a document's path. Raises BadPolicy."""
    return policy if isinstance(policy, Policy) else Policy.load(policy)


def backend_for(policy: Policy) -> BackendName:
    """Name the backend that gives the isolation which a policy asks for."""
    return "subprocess" if policy.isolation == "process" else "docker"


def as_backend(
    backend: BackendLike,
    preload: Sequence[str],
    *,
    image: str | None = None,
    runtime: RuntimeName | None = None,
) -> Backend:
    """Give a backend from itself or its name.

    Raises BadCall for a name that is none, and for an image or a runtime without "docker".
    """
    if isinstance(backend, str) and backend not in get_args(BackendName):
        message = f"there is no backend {backend!r}: use 'subprocess' or 'docker'"
        raise BadCall(message)
    if backend == "docker":
        from sandbox.backends.docker import DockerBackend  # noqa: PLC0415 - slow to import

        chosen = "python" if image is None else image
        return DockerBackend(image=chosen, runtime=runtime, preload=tuple(preload))
    if image is not None or runtime is not None:
        message = "image and runtime say how containers are made: use backend='docker' with them"
        raise BadCall(message)
    if not isinstance(backend, str):
        return backend
    from sandbox.backends.subprocess import SubprocessBackend  # noqa: PLC0415 - slow to import

    return SubprocessBackend(preload=tuple(preload))
