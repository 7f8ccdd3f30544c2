"""What the container engine offers, if there is one, and how to get what is missing.

Nothing here waits long: an engine that hangs is given up after five seconds. Where none can be,
the docker library is not even imported.
"""

import json
import os
import re
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from sandbox.backends.probe import Finding
from sandbox.errors import EngineFault, SandboxError

if TYPE_CHECKING:
    from sandbox.backends.docker_engine import DockerEngine, EngineInfo
    from sandbox.backends.images import ImageRow

__all__ = [
    "EngineReport",
    "ask_engine",
    "engine_is_named",
    "is_runc_mended",
    "probe_engine",
    "runc_finding",
]

PATIENCE_SECONDS: Final = 5.0
RELEASED: Final = 1_000_000
"""The number of a version that is no candidate any more: it comes after all of them."""
MENDED: Final = ((1, 2, 8, RELEASED), (1, 3, 3, RELEASED), (1, 4, 0, 3))
"""The first runc of each line without CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881."""
_RUNC: Final = re.compile(
    r"v?([0-9]{1,6})\.([0-9]{1,6})(?:\.([0-9]{1,6}))?(?:[-~](?:rc|dev)\.?([0-9]{0,4}))?", re.ASCII
)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class EngineReport:
    """What was found of the container engine. answers: whether it said anything.

    detail: its version and address; why it does not answer, where it does not.
    """

    answers: bool
    detail: str
    findings: tuple[Finding, ...] = ()


def engine_is_named() -> bool:
    """Say whether DOCKER_HOST, a docker context, or a socket that we may use names an engine."""
    return bool(os.environ.get("DOCKER_HOST")) or _has_context() or any(map(_is_ours, _sockets()))


def _has_context() -> bool:
    """Look into the file that `docker context use` writes; what cannot be read names nothing."""
    folder = os.environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser()
    try:
        written = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(written, dict) and "currentContext" in written


def _sockets() -> tuple[Path, ...]:
    """Give the places where docker_connection.find_address() looks too."""
    run = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    places = ("/var/run/docker.sock", f"{run}/docker.sock")
    return tuple(map(Path, (*places, "/run/podman/podman.sock", f"{run}/podman/podman.sock")))


def _is_ours(socket: Path) -> bool:
    return os.access(socket, os.R_OK | os.W_OK)


def ask_engine(question: Callable[["DockerEngine"], T]) -> T:
    """Ask the engine something short. Raises EngineFault, after five seconds of silence too.

    The thread that still waits then dies with this process; nothing may be asked that changes
    anything.
    """
    answers: list[T] = []
    faults: list[Exception] = []

    def ask() -> None:
        from sandbox.backends.docker_engine import DockerEngine  # noqa: PLC0415 - slow to import

        try:
            with closing(DockerEngine()) as engine:
                answers.append(question(engine))
        except Exception as fault:  # noqa: BLE001 - raised again in the thread that asked
            faults.append(fault)

    asking = threading.Thread(target=ask, name="sandbox-worker", daemon=True)
    asking.start()
    asking.join(PATIENCE_SECONDS)
    if faults:
        raise faults[0]
    if not answers:
        message = f"the container engine did not answer within {PATIENCE_SECONDS:.0f} s: restart it"
        raise EngineFault(message)
    return answers[0]


def probe_engine() -> EngineReport:
    """Ask the engine what it is and what it can hold; at most five seconds; changes nothing."""
    if not engine_is_named():
        detail = "none here: DOCKER_HOST, the docker context and the usual sockets name none"
        return EngineReport(answers=False, detail=detail)
    try:
        return ask_engine(_report)
    except SandboxError as fault:
        return EngineReport(answers=False, detail=str(fault))


def _report(engine: "DockerEngine") -> EngineReport:
    info = engine.info()
    return EngineReport(
        answers=True,
        detail=f"version {info.version or 'unknown'} at {engine.address}",
        findings=(
            *_runtimes(info),
            runc_finding(info.runc_version),
            Finding(name="cgroups", ok=True, detail=f"version {info.cgroup_version}"),
            *_limits(info),
            _rights(info),
            *_images(engine),
        ),
    )


def _finding(name: str, *, ok: bool, detail: str, fix: str) -> Finding:
    return Finding(name=name, ok=ok, detail=detail, fix="" if ok else fix)


def _runtimes(info: "EngineInfo") -> tuple[Finding, Finding]:
    return (
        _finding(
            "runtime runc",
            ok="runc" in info.runtimes,
            detail=f"there are {', '.join(info.runtimes)}",
            fix="install runc, and register it as a runtime of the engine",
        ),
        _finding(
            "runtime runsc",
            ok="runsc" in info.runtimes,
            detail="gVisor, for isolation = 'gvisor'",
            fix="install gVisor's runsc, and register it as a runtime of the engine with the "
            "argument --network=none; without it no policy with isolation = 'gvisor' runs",
        ),
    )


def runc_finding(version: str) -> Finding:
    """Judge a version of runc as the engine tells it; "" where the engine tells none."""
    is_mended = is_runc_mended(version)
    if is_mended is None:
        detail = f"version {version or 'not told'}: see that it is 1.2.8, 1.3.3 or later"
        return Finding(name="version of runc", ok=True, detail=detail)
    return _finding(
        "version of runc",
        ok=is_mended,
        detail=f"version {version}" + ("" if is_mended else ", out of which programs have escaped"),
        fix="upgrade runc to 1.2.8, 1.3.3 or later, or to a package of your distribution's that "
        "mends CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881; or use runtime runsc",
    )


def is_runc_mended(version: str) -> bool | None:
    """Say whether a runc is without the escapes of November 2025; None for what is no version.

    What a distribution mended under an old number counts as not mended.
    """
    found = _RUNC.match(version)
    if not found:
        return None
    major, minor, patch, candidate = found.groups()
    number = RELEASED if candidate is None else int(candidate or 0)
    seen = (int(major), int(minor), int(patch or 0), number)
    same_line = [least for least in MENDED if least[:2] == seen[:2]]
    return seen >= (same_line or MENDED)[-1]


def _limits(info: "EngineInfo") -> tuple[Finding, ...]:
    fix = (
        "switch the {} controller on in the kernel, and for a rootless engine have systemd "
        "delegate it: Delegate=cpu memory pids in user@.service; until then nothing runs there"
    )
    return (
        _limit("memory limit", works=info.counts_memory, fix=fix.format("memory")),
        _limit(
            "swap limit",
            works=info.counts_swap,
            fix="swapoff -a, or add swapaccount=1 to the kernel's parameters; until then a guest "
            "may swap out what is over its memory",
        ),
        _limit("process limit", works=info.counts_processes, fix=fix.format("pids")),
    )


def _limit(name: str, *, works: bool, fix: str) -> Finding:
    detail = "the engine can set it" if works else "the engine cannot set it"
    return _finding(name, ok=works, detail=detail, fix=fix)


def _rights(info: "EngineInfo") -> Finding:
    detail = "yes: it has its user's rights" if info.is_rootless else "no: the engine runs as root"
    return Finding(name="rootless", ok=True, detail=detail)


def _images(engine: "DockerEngine") -> tuple[Finding, ...]:
    """Judge each image of ours; only the one that is used by default must be there."""
    from sandbox.backends.image_build import image_names  # noqa: PLC0415 - ditto
    from sandbox.backends.images import list_images, tag_of  # noqa: PLC0415 - ditto

    # podman says where an image of its own comes from
    found = {row.name.removeprefix("localhost/"): row for row in list_images(engine)}
    return tuple(_image(name, found.get(tag_of(name))) for name in image_names())


def _image(name: str, row: "ImageRow | None") -> Finding:
    build = f"sandbox images build {name}"
    if row and not row.is_current:
        detail = f"{row.name} is older than this engine: its first call takes longer"
    elif row:
        detail = f"{row.name} is current"
    else:
        detail = "not made yet"
    is_good = row.is_current if row else name != "python"
    return _finding(f"image {name}", ok=is_good, detail=detail, fix=build)
