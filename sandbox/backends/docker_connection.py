"""Where the container engine is, as the docker library finds it, and a connection to it. Blocks."""

import os
import socket
from typing import Any, Final

import docker
import docker.context
import docker.tls
from docker.transport import UnixHTTPAdapter

__all__ = ["connect", "find_address"]

MOST_CONNECTIONS: Final = 40
"""As many as anyio has worker threads: more would be opened for one request each."""


def find_address() -> str:
    """Say where the engine is: DOCKER_HOST, the current context, or a socket of this user's."""
    if address := os.environ.get("DOCKER_HOST"):
        return address
    context = docker.context.ContextAPI.get_current_context()
    address = context.Host if context and context.name != "default" else ""
    return address or next(filter(_is_there, _usual_places()), _usual_places()[0])


def _usual_places() -> list[str]:
    run = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    docker_places = ("/var/run/docker.sock", f"{run}/docker.sock")
    podman_places = ("/run/podman/podman.sock", f"{run}/podman/podman.sock")
    return [f"unix://{place}" for place in (*docker_places, *podman_places)]


def _is_there(address: str) -> bool:
    return os.access(address.removeprefix("unix://"), os.R_OK | os.W_OK)


def connect(address: str, answer_seconds: int) -> Any:
    """Give the docker library's client. Raises what it raises, and OSError.

    answer_seconds: how long each request waits for what comes next of its answer.
    """
    _knock(address, answer_seconds)
    client: Any = docker.APIClient(
        base_url=address,
        version="auto",
        timeout=answer_seconds,
        tls=_tls(),
        max_pool_size=MOST_CONNECTIONS,
    )
    _share_one_pool(client)
    return client


def _share_one_pool(client: Any) -> None:
    """Have all requests share their connections.

    For a socket of this host the library keeps a pool for each address that was asked for, and
    closes the oldest of 25 though somebody uses it.
    """
    adapter = client.get_adapter(client.base_url)
    if isinstance(adapter, UnixHTTPAdapter):
        pool: Any = adapter.get_connection(client.base_url)

        def the_pool(*_: object) -> Any:
            return pool

        setattr(adapter, "get_connection", the_pool)  # noqa: B010 - it is a method


def _knock(address: str, seconds: float) -> None:
    """Raise OSError if nobody is behind a socket: the library would leave its own open."""
    path = address.removeprefix("unix://")
    if path != address:
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(seconds)
            knocking.connect(path)


def _tls() -> Any:
    folder = os.environ.get("DOCKER_CERT_PATH")
    if not folder or not os.environ.get("DOCKER_TLS_VERIFY"):
        return False
    certificate = (f"{folder}/cert.pem", f"{folder}/key.pem")
    return docker.tls.TLSConfig(client_cert=certificate, ca_cert=f"{folder}/ca.pem", verify=True)
