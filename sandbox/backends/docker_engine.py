"""The container engine, found as the docker library finds it, and the few calls that we make of it.

Everything here blocks: it belongs into worker threads. What goes wrong becomes an EngineFault or
CannotEnforce that says what to do.
"""

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import docker.errors
import requests.exceptions

from sandbox.backends.docker_connection import connect, find_address
from sandbox.backends.processes import boot_id, owner_name
from sandbox.errors import CannotEnforce, EngineFault

__all__ = ["LABEL", "LABEL_BOOT", "DockerEngine", "EngineInfo", "owner_labels"]

LABEL: Final = "sandbox-engine.owner"
"""On every container of ours: who made it, as processes.owner_name() says."""
LABEL_BOOT: Final = "sandbox-engine.boot"
"""Beside it: in which run of which host's kernel, since an engine may serve several."""
API_SECONDS: Final = 60
NEWS_SECONDS: Final = 2.0
"""How long the news of a container's end may take."""
LATE_NEWS_SECONDS: Final = 0.2
"""How long after it the news that the kernel killed for memory may come."""
IN_USE_SECONDS: Final = 5.0
"""How long an image that is to go may still be in use."""
PAUSE_SECONDS: Final = 0.05
MOST_NEWS: Final = 1000
"""Containers whose ends are remembered."""
NOT_FOUND, CONFLICT = 404, 409
_NO_SUCH_RUNTIME: Final = re.compile(r"unknown (or invalid )?runtime", re.IGNORECASE)

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class EngineInfo:
    """What an engine says of itself."""

    version: str
    runtimes: tuple[str, ...]
    cgroup_version: str
    counts_memory: bool
    counts_swap: bool
    counts_processes: bool
    is_rootless: bool
    runc_version: str
    root_folder: str
    processors: int


def owner_labels() -> dict[str, str]:
    """Give the labels that say whose a container is."""
    return {LABEL: owner_name(), LABEL_BOOT: boot_id()}


class DockerEngine:
    """One engine. Safe to use from several threads."""

    def __init__(self, address: str = "") -> None:
        """Find it. Nothing is asked yet. Raises EngineFault for an address that is none."""
        self.address = address or find_address()
        try:
            self._api = connect(self.address, API_SECONDS)
        except (
            OSError,
            docker.errors.DockerException,
            requests.exceptions.RequestException,
        ) as fault:
            message = (
                f"no container engine answers at {self.address}: start one, or set DOCKER_HOST"
                f" ({_short(fault)})"
            )
            raise EngineFault(message) from fault

    @property
    def socket_path(self) -> Path | None:
        """The engine's own socket on this host, which no guest may ever see."""
        path = self.address.removeprefix("unix://")
        return Path(path).resolve() if path != self.address else None

    def info(self) -> EngineInfo:
        """Ask it what it is."""
        with _faults("the engine's description"):
            info: Json = self._api.info()
            version: Json = self._api.version()
        components = {each["Name"]: each["Version"] for each in version.get("Components") or ()}
        return EngineInfo(
            version=version.get("Version", ""),
            runtimes=tuple(sorted(map(str, info.get("Runtimes") or ["runc"]))),
            cgroup_version=str(info.get("CgroupVersion") or "1"),
            counts_memory=bool(info.get("MemoryLimit", True)),
            counts_swap=bool(info.get("SwapLimit", True)),
            counts_processes=bool(info.get("PidsLimit", True)),
            is_rootless=any("rootless" in each for each in info.get("SecurityOptions") or ()),
            runc_version=components.get("runc", ""),
            root_folder=info.get("DockerRootDir", ""),
            processors=int(info.get("NCPU") or 1),
        )

    # Containers

    def create(self, configuration: Json) -> str:
        """Make a container and give its id."""
        with _faults("a container"):
            made = self._api.create_container_from_config(configuration, None)
        return str(made["Id"])

    def attach(self, container: str) -> "Attached":
        """Give the container's stdin, stdout and stderr as one stream, before it starts."""
        wanted = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        with _faults("a container's streams"):
            return Attached(self._api.attach_socket(container, params=wanted))

    def start(self, container: str) -> None:
        """Start it."""
        with _faults("the start of a container"):
            self._api.start(container)

    def kill(self, container: str) -> None:
        """Kill it; it may be gone already."""
        with _faults("the end of a container", gone_is_fine=True):
            self._api.kill(container)

    def remove(self, container: str) -> None:
        """Kill and remove it, with its volumes; it may be gone, or about to go, already."""
        with _faults("the removal of a container", gone_is_fine=True):
            self._api.remove_container(container, force=True, v=True)

    def inspect(self, container: str) -> Json:
        """Read back what the engine knows of a container; {} if it is gone."""
        with _faults("a container", gone_is_fine=True):
            return dict(self._api.inspect_container(container))
        return {}

    def owned(self) -> list[Json]:
        """List every container that carries our label, dead or alive."""
        with _faults("the list of containers"):
            found: list[Json] = self._api.containers(all=True, filters={"label": [LABEL]})
        return found

    # Images

    def image(self, name: str) -> Json:
        """Describe an image. EngineFault: it is not there."""
        try:
            with _faults(f"the image {name}"):
                description: Json = self._api.inspect_image(name)
        except EngineFault as fault:
            if isinstance(fault.__cause__, docker.errors.NotFound):
                message = (
                    f"there is no image {name} in the engine: run 'sandbox images build', "
                    "or name one of 'sandbox images list'"
                )
                raise EngineFault(message) from fault
            raise
        return description

    def images(self, label: str) -> list[Json]:
        """List the images with a label."""
        with _faults("the list of images"):
            found: list[Json] = self._api.images(filters={"label": [label]})
        return found

    def import_image(self, archive: Path, name: str, changes: Sequence[str]) -> str:
        """Make an image of a tar archive of a root file system; give its id."""
        repository, _, tag = name.rpartition(":")
        with _faults(f"the image {name}"):
            answer = self._api.import_image_from_file(
                str(archive), repository=repository, tag=tag, changes=list(changes)
            )
        return _imported_id(answer, name)

    def add_to_image(
        self,
        image: str,
        archive: Path,
        name: str,
        changes: Sequence[str],
        labels: Mapping[str, str],
    ) -> None:
        """Make another image of one and a tar archive on top. No program of the image runs."""
        repository, _, tag = name.rpartition(":")
        labels = {**labels, LABEL: "images"}  # who runs it by himself is no owner of ours
        configuration = {"Image": image, "Cmd": ["-"], "Labels": owner_labels(), **_INERT}
        container = self.create(configuration)
        try:
            with _faults(f"the image {name}"):
                self._api.put_archive(container, "/", archive.read_bytes())
                lines = [*changes, *(f"LABEL {key}={json.dumps(labels[key])}" for key in labels)]
                self._api.commit(container, repository=repository, tag=tag, changes=lines)
        finally:
            self.remove(container)

    def remove_image(self, name: str) -> None:
        """Remove an image, or one name of it; it may be gone or in use. Blocks."""
        deadline = time.monotonic() + IN_USE_SECONDS
        with _faults(f"the image {name}", gone_is_fine=True):
            while True:
                try:
                    self._api.remove_image(name, noprune=True)
                    break
                except docker.errors.APIError as fault:
                    # A container of it may just be going.
                    if fault.status_code != CONFLICT or time.monotonic() > deadline:
                        raise
                    time.sleep(PAUSE_SECONDS)

    def events(self, label: str, kinds: Sequence[str]) -> Any:
        """Listen to what happens to containers with a label; close() of what is given ends it."""
        filters = {"type": ["container"], "label": [label], "event": list(kinds)}
        with _faults("the engine's events"):
            return self._api.events(decode=True, filters=filters)

    def close(self) -> None:
        """Close the connections to it."""
        self._api.close()


@dataclass(frozen=True, kw_only=True)
class Death:
    """How a container ended, as the engine saw it. is_seen: whether it saw it at all."""

    is_seen: bool
    was_out_of_memory: bool
    was_asked_for: bool
    """Whether somebody had the engine kill it."""


class DeathWatch:
    """Listens, in one thread, to what the engine says of the ends of this process's containers."""

    def __init__(self, address: str) -> None:
        """Start to listen. Raises EngineFault."""
        self._engine = DockerEngine(address)
        self._news = threading.Condition()
        self._told: dict[str, set[str]] = {}
        self._opening = threading.Lock()
        self._open()

    def _open(self) -> None:
        self._events = self._engine.events(f"{LABEL}={owner_name()}", ("oom", "kill", "die"))
        self._thread = threading.Thread(target=self._listen, name="sandbox-worker", daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """Listen again if the engine went away meanwhile. Raises EngineFault. Blocks."""
        with self._opening:
            if not self._thread.is_alive():
                self._open()

    def _listen(self) -> None:
        with contextlib.suppress(Exception):  # the stream ends with the engine, or by close()
            for event in self._events:
                with self._news:
                    self._told.setdefault(str(event.get("id")), set()).add(str(event.get("status")))
                    if len(self._told) > MOST_NEWS:
                        self._told.pop(next(iter(self._told)))
                    self._news.notify_all()

    def wait_for(self, container: str) -> Death:
        """Wait a moment for the news of a container's end. Blocks."""
        with self._news:
            is_seen = self._wait_for_word(container, "die", NEWS_SECONDS)
            # The two come by different ways, and either may be the first.
            is_full = self._wait_for_word(container, "oom", LATE_NEWS_SECONDS)
            is_killed = "kill" in self._told.get(container, ())
            return Death(is_seen=is_seen, was_out_of_memory=is_full, was_asked_for=is_killed)

    def _wait_for_word(self, container: str, word: str, seconds: float) -> bool:
        return self._news.wait_for(lambda: word in self._told.get(container, ()), seconds)

    def close(self) -> None:
        """Stop to listen."""
        self._events.close()
        self._engine.close()
        self._thread.join(NEWS_SECONDS)


_INERT: Final[Json] = {"Entrypoint": [], "Healthcheck": {"Test": ["NONE"]}}


class Attached:
    """The attached stream: a socket of our own with the library's objects that keep it open."""

    def __init__(self, opened: Any) -> None:
        """Take over what the library opened."""
        self._opened = opened
        self.socket: socket.socket = getattr(opened, "_sock", opened)

    def close(self) -> None:
        """Close it; a container that still waits for its call then ends by itself."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        if response := getattr(self._opened, "_response", None):
            response.close()
        self._opened.close()
        self.socket.close()


@contextlib.contextmanager
def _faults(what: str, *, gone_is_fine: bool = False) -> Generator[None]:
    """Turn the library's errors into ours."""
    try:
        yield
    except docker.errors.APIError as fault:
        status: Any = fault.status_code
        if gone_is_fine and status in {NOT_FOUND, CONFLICT}:
            return
        message = f"the container engine refuses {what}: {_short(fault)}"
        if _NO_SUCH_RUNTIME.search(message):
            raise CannotEnforce(message) from fault
        raise EngineFault(message) from fault
    except requests.exceptions.ReadTimeout as fault:
        message = f"the container engine did not answer within {API_SECONDS} s: {what}"
        raise EngineFault(message, started="unknown") from fault
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as fault:
        message = f"the container engine is gone: {what}: {_short(fault)}: is it still running?"
        raise EngineFault(message) from fault


def _short(fault: BaseException) -> str:
    explanation: Any = getattr(fault, "explanation", None)
    return str(explanation or fault).strip().splitlines()[0][:500]


def _imported_id(answer: str, name: str) -> str:
    """Read the last line of what the engine says while it imports."""
    last: Json = json.loads(answer.strip().splitlines()[-1])
    if "status" not in last:
        message = f"the image {name} cannot be made: {last.get('error', last)}"
        raise EngineFault(message)
    return str(last["status"])
