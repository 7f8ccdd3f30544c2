"""N1 to N10: nobody can be reached from a guest, and no guest can be reached."""

import secrets
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sandbox import Sandbox
from sandbox.backends.probe import landlock_abi
from sandbox.errors import CannotEnforce
from sandbox.policy import FullNetwork, Hosts
from tests.conftest import COUNTING, SandboxFor
from tests.escape.posture import UNSEEN, held_guest, start_held
from tests.escape.syscalls import ATTEMPT, said, unconfined

CONNECT = (
    ATTEMPT
    + """
import socket
found = socket.socket({family}, socket.SOCK_STREAM)
found.settimeout(2)
print(attempt(found.connect, {address!r}))
"""
)
BRIDGE = "a container's full network is the engine's bridge, never the host's own"
LANDLOCK_WITH_SCOPES = 6
NO_ROUTE = {"refused: ENETUNREACH", "refused: EHOSTUNREACH"}
"""As Linux says it, and as gVisor does."""


def connecting(family: str, address: object) -> str:
    return CONNECT.format(family=f"socket.{family}", address=address)


def listener(family: socket.AddressFamily, address: str | tuple[str, int]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.bind(address)
    listening.listen()
    return listening


LOOPBACKS = {"AF_INET": "127.0.0.1", "AF_INET6": "::1"}


@pytest.fixture(params=LOOPBACKS)
def loopback(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a program that connects to a service on the host's loopback, which listens."""
    family = socket.AddressFamily[request.param]
    try:
        listening = listener(family, (LOOPBACKS[request.param], 0))
    except OSError:
        pytest.skip(f"this host has no loopback of {request.param}")
    with listening:
        yield connecting(request.param, listening.getsockname()[:2])


def test_a_service_on_the_hosts_loopback_cannot_be_reached(box: Sandbox, loopback: str) -> None:
    """N1: the guest has a loopback of its own, where nobody listens."""
    assert said(box.run(loopback)) in {"refused: ECONNREFUSED", "refused: EADDRNOTAVAIL"}


def test_the_same_service_can_be_reached_without_a_sandbox(loopback: str) -> None:
    """N1: the control."""
    assert unconfined(loopback) == "done"


OWN_SERVICE = """
import socket, threading
listening = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: listening.accept()[0].sendall(b"mine")).start()
print(socket.create_connection(listening.getsockname()).recv(4).decode())
"""


def test_a_service_of_its_own_can_be_reached(box: Sandbox) -> None:
    """N1: the permitted neighbour."""
    assert said(box.run(OWN_SERVICE)) == "mine"


ADDRESSES = {
    "N1-bridge": ("172.17.0.1", 80),
    "N1-private": ("10.0.0.1", 22),
    "N4-metadata": ("169.254.169.254", 80),
    "N5-resolver": ("8.8.8.8", 53),
    "N6-direct": ("93.184.216.34", 443),
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_no_address_outside_has_a_route(box: Sandbox, name: str) -> None:
    """N1, N4, N5, N6: neither neighbours nor the cloud's metadata nor a proxy's way around."""
    assert said(box.run(connecting("AF_INET", ADDRESSES[name]))) in NO_ROUTE


DATAGRAM = (
    ATTEMPT
    + """
import socket
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print(attempt(out.sendto, b"secret", ("8.8.8.8", 53)))
"""
)


def test_no_datagram_leaves(box: Sandbox) -> None:
    """N5: a question to a name server carries data out."""
    assert said(box.run(DATAGRAM)) in NO_ROUTE


RESOLVE = """
import os, socket
try:
    print(socket.getaddrinfo("marker.example.org", 80))
except socket.gaierror:
    print("refused")
paths = ("/etc/resolv.conf", "/run/nscd/socket")
print([path for path in paths if os.path.exists(path) and open(path).read()])
"""


@pytest.mark.differs("gvisor", reason="it ignores masks: test_containers.py")
def test_no_name_resolves(box: Sandbox) -> None:
    """N5: there is no resolver, and no daemon that asks on a guest's behalf."""
    assert said(box.run(RESOLVE)).split("\n") == ["refused", "[]"]


def test_the_name_of_its_own_loopback_resolves(box: Sandbox) -> None:
    """N5: the permitted neighbour."""
    assert box.run("import socket\nsocket.gethostbyname('localhost')").value == "127.0.0.1"


def test_a_list_of_hosts_is_refused_until_there_is_a_proxy(sandbox_for: SandboxFor) -> None:
    """N6, N7: what would need a proxy is refused by name, never run without one."""
    box = sandbox_for(network=Hosts(allow=("example.org",)))

    with pytest.raises(CannotEnforce, match="network"):
        box.run("0")


@pytest.fixture
def abstract() -> Iterator[str]:
    """Give a program that connects to an abstract socket of the host, which listens."""
    name = f"\0sandbox-engine-test-{secrets.token_hex(8)}"
    with listener(socket.AF_UNIX, name):
        yield connecting("AF_UNIX", name)


def test_an_abstract_socket_of_the_host_cannot_be_reached(box: Sandbox, abstract: str) -> None:
    """N2: their names belong to the network namespace."""
    assert said(box.run(abstract)) == "refused: ECONNREFUSED"


def test_the_same_abstract_socket_can_be_reached_without_a_sandbox(abstract: str) -> None:
    """N2: the control."""
    assert unconfined(abstract) == "done"


@pytest.mark.slow
@pytest.mark.skipif(landlock_abi() < LANDLOCK_WITH_SCOPES, reason="needs scopes of Landlock")
@pytest.mark.differs("docker", "gvisor", reason=BRIDGE)
def test_an_abstract_socket_stays_shut_where_the_network_is_the_hosts(
    sandbox_for: SandboxFor, abstract: str
) -> None:
    """N2: the desktop's and containerd's sockets, under the widest network that can be granted."""
    box = sandbox_for(network=FullNetwork(reason="a test"))

    assert said(box.run(abstract)) == "refused: EPERM"


@pytest.mark.slow
@pytest.mark.differs("docker", "gvisor", reason=BRIDGE)
def test_a_granted_network_reaches_the_hosts_loopback(
    sandbox_for: SandboxFor, loopback: str
) -> None:
    """N1: the permitted neighbour, and what the word "full" means."""
    assert said(sandbox_for(network=FullNetwork(reason="a test")).run(loopback)) == "done"


OWN_ABSTRACT = """
import socket
listening = socket.socket(socket.AF_UNIX)
listening.bind("\\0mine")
listening.listen()
socket.socket(socket.AF_UNIX).connect("\\0mine")
print("connected")
"""


def test_an_abstract_socket_of_its_own_can_be_reached(box: Sandbox) -> None:
    """N2: the permitted neighbour."""
    assert said(box.run(OWN_ABSTRACT)) == "connected"


@pytest.fixture
def service() -> Iterator[str]:
    """Give a program that connects to a socket in the host's file system, open to everybody."""
    with TemporaryDirectory() as folder:
        path = f"{folder}/docker.sock"
        with listener(socket.AF_UNIX, path):
            Path(folder).chmod(0o755)
            Path(path).chmod(0o666)
            yield connecting("AF_UNIX", path)


def test_a_socket_in_the_hosts_file_system_is_not_there(box: Sandbox, service: str) -> None:
    """N3: whoever reaches the Docker daemon's is root on the host."""
    assert said(box.run(service)) == "refused: ENOENT"


def test_the_same_socket_can_be_reached_without_a_sandbox(service: str) -> None:
    """N3: the control."""
    assert unconfined(service, as_nobody=True) == "done"


DAEMONS = """
import os, stat
found = []
for folder, _, files in os.walk("/run"):
    found += [f for f in files if stat.S_ISSOCK(os.lstat(os.path.join(folder, f)).st_mode)]
print(found, os.path.exists("/var"))
"""


def test_no_daemon_has_a_socket_in_the_guest(box: Sandbox) -> None:
    """N3: docker, containerd, systemd, dbus: /run and /var are not the host's."""
    assert said(box.run(DAEMONS)) == "[] False"


SOCKETS = """
import os
paths = [f"/proc/self/fd/{fd}" for fd in range(100)]
links = [os.readlink(path) for path in paths if os.path.lexists(path)]
print(*(sum(link.startswith(kind) for link in links) for kind in ("socket:", "pipe:")))
"""


def test_no_socket_leads_out_of_the_guest(box: Sandbox) -> None:
    """N8: a descriptor is passed on over a socket; the guest's four are pipes."""
    assert said(box.run(SOCKETS)) == "0 4"


LISTEN = """
import socket
listening = socket.create_server(("0.0.0.0", {port}))
"""


@pytest.mark.differs("gvisor", reason=UNSEEN)
def test_a_listening_guest_cannot_be_reached(box: Sandbox) -> None:
    """N9: it waits for the host to connect, on a port that is free there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with held_guest(box, LISTEN.format(port=port)), socket.socket() as caller:
        answer = caller.connect_ex(("127.0.0.1", port))

    assert answer != 0


MEET = """
import socket
a = socket.create_server(("127.0.0.1", 47113))
b = socket.socket(socket.AF_UNIX)
b.bind("\\0meeting")
b.listen()
for folder in ("/tmp", "/dev/shm", "/box"):
    open(folder + "/meeting", "w").write("hello")
"""
LOOK = (
    ATTEMPT
    + """
import os, socket
print(attempt(socket.socket().connect, ("127.0.0.1", 47113)))
print(attempt(socket.socket(socket.AF_UNIX).connect, "\\0meeting"))
print([f for f in ("/tmp", "/dev/shm", "/box") if os.path.exists(f + "/meeting")])
print({int(name) for name in os.listdir("/proc") if name.isdigit()} == {1, os.getpid()})
"""
)


@pytest.mark.differs("gvisor", reason=UNSEEN)
def test_two_guests_at_once_cannot_meet(box: Sandbox) -> None:
    """N10: not on a port, an abstract name, a folder or by process number."""
    with held_guest(box, MEET):
        seen = said(box.run(LOOK))

    assert seen.split("\n") == ["refused: ECONNREFUSED"] * 2 + ["[]", "True"]


SEGMENT = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.shmget(0x5EC7, 4096, {flags}) >= 0)
"""
CREATE_SEGMENT = 0o1666


@pytest.mark.differs("gvisor", reason=UNSEEN)
def test_two_guests_at_once_share_no_segment(box: Sandbox, mechanism: str) -> None:
    """N10, R10: System V memory with a key; where nothing counts it there is none at all."""
    with ThreadPoolExecutor(1) as pool:
        held = start_held(box, SEGMENT.format(flags=CREATE_SEGMENT), pool)
        seen = said(box.run(SEGMENT.format(flags=0)))
        made = held.let_go().stdout.startswith("True")

    assert (made, seen) == (mechanism in COUNTING, "False")
