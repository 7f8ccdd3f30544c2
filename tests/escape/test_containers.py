"""D1 to D10 and the posture of a container: what an engine adds to walls and dangers."""

import os
import secrets
import select
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest

from sandbox import Policy, Sandbox
from sandbox.backends.docker import DockerBackend
from sandbox.backends.docker_engine import LABEL, DockerEngine
from sandbox.backends.image_build import ImageSpec, root_archive
from sandbox.backends.images import LABEL_BASE, OWN_PYTHON
from sandbox.errors import BadCall, CannotEnforce
from sandbox.policy import FileGrant, FullNetwork
from tests.conftest import SandboxFor, Warm
from tests.contract.engines import skip_or_fail
from tests.escape.posture import (
    UNSEEN,
    Line,
    children,
    descriptors,
    environment,
    held_guest,
    limits,
    mounts,
    name_of,
    namespaces,
    status_rows,
)
from tests.escape.syscalls import ATTEMPT, NOBODY, said

pytestmark = pytest.mark.differs("cgroup", "watchdog", reason="about containers")
seen = pytest.mark.differs("gvisor", reason=UNSEEN)
GONE_SECONDS = 10


# The posture, seen from the host's kernel.


@pytest.fixture
def line(box: Sandbox) -> Iterator[Line]:
    """Hold a guest under "strict" while a test looks at it."""
    with held_guest(box) as found:
        yield found


@seen
def test_every_thread_has_both_filters_and_no_privilege(line: Line) -> None:
    """The engine's profile and the exact one of ours; PID 1 is held as its guest is."""
    rows = [row for pid in (line.init, line.main) for row in status_rows(pid)]
    names = ("Seccomp", "Seccomp_filters", "NoNewPrivs", "CapEff", "CapBnd", "CapPrm", "Groups")

    assert {tuple(row[name] for name in names) for row in rows} == {
        ("2", "2", "1", "0" * 16, "0" * 16, "0" * 16, str(NOBODY))
    }


@seen
def test_every_namespace_is_the_containers_own_but_that_of_users_and_time(line: Line) -> None:
    """No user namespace: its user 65534 is the host's. The others are new, for PID 1 as well."""
    own, found = namespaces("self"), namespaces(line.main)
    shared = {name for name, value in found.items() if own[name] == value}

    assert shared == {"user", "time", "time_for_children"}
    assert namespaces(line.init) == found


@seen
def test_nothing_of_the_host_is_open_in_pid_1(line: Line) -> None:
    """D1: pipes, /dev/null and what it waits with; CVE-2024-21626 left a folder of the host's."""
    found = {link.partition(":")[0] for link in descriptors(line.init).values()}
    places = {str(Path(f"/proc/{line.init}/{name}").readlink()) for name in ("cwd", "root")}

    assert (found, places) == ({"pipe", "/dev/null", "anon_inode"}, {"/box", "/"})


WRITABLE = {"/box", "/tmp", "/dev/shm"}


@seen
def test_nothing_but_the_private_folders_can_be_written_by_the_guest(line: Line) -> None:
    """The others are read-only, or the kernel's own: /proc, /dev and its parts, the masks."""
    writable = {row.point for row in mounts(line.main) if "ro" not in row.flags}
    kinds = {row.point: row.kind for row in mounts(line.main)}
    rest = {point for point in writable - WRITABLE if not point.startswith(("/proc", "/dev"))}

    assert writable >= WRITABLE
    # A folder that is root's, whose parts are read-only; and /dev/null over what is hidden.
    assert rest <= {"/sys/fs/cgroup", "/etc/resolv.conf"}
    assert {kinds[point] for point in WRITABLE} == {"tmpfs"}


@seen
def test_the_private_folders_are_sized(line: Line) -> None:
    """Each by the whole quota; PID 1 watches over the sum."""
    rows = Path(f"/proc/{line.main}/mountinfo").read_text().splitlines()
    sizes = {row.split()[4] for row in rows if "size=65536k" in row}

    assert sizes >= WRITABLE


@seen
def test_no_mount_of_a_container_reaches_the_host(line: Line) -> None:
    """F27: none is shared; the root is a slave of the host's, so that only the host could mount."""
    rows = Path(f"/proc/{line.main}/mountinfo").read_text().splitlines()

    assert [row for row in rows if "shared:" in row] == []


@seen
def test_the_limits_of_a_container_are_those_of_the_policy(line: Line) -> None:
    """Processes are counted by group: without a user namespace all containers share one count."""
    found = limits(line.main)
    names = ("Max open files", "Max file size", "Max cpu time", "Max core file size")

    assert [found[name][1] for name in names] == ["256", str(64 << 20), "7", "0"]


@seen
def test_the_environment_of_pid_1_is_the_engines(line: Line) -> None:
    """Nothing of the host's; what would change the loader is there and empty."""
    found = environment(line.init)

    assert {name for name, value in found.items() if value} <= {"PATH", "HOSTNAME", "HOME"}


# D2 and D3: what the engine hides and refuses.

MASKS = """
import os
shown = []
for path in {paths!r}:
    if os.path.isdir(path):
        shown += [path] * bool(os.listdir(path))
    elif os.path.exists(path):
        shown += [path] * bool(open(path, "rb").read(1))
print("looked", shown)
"""
MASKED = (
    *("/proc/cmdline", "/proc/keys", "/proc/kallsyms", "/proc/timer_list", "/proc/acpi"),
    *("/proc/scsi", "/proc/interrupts", "/proc/stat", "/proc/diskstats", "/proc/partitions"),
    *("/sys/firmware", "/sys/block", "/sys/bus", "/sys/class", "/sys/devices", "/sys/dev"),
    *("/sys/kernel", "/sys/module", "/sys/power", "/sys/fs/ext4", "/etc/resolv.conf"),
)
OWN_KERNEL = "gVisor ignores masks: what stands there is its own and tells nothing of the host"


@pytest.mark.differs("gvisor", reason=OWN_KERNEL)
def test_what_tells_of_the_host_is_masked(box: Sandbox) -> None:
    """D2: files are empty, folders have nothing in them; the host's hardware is in /sys."""
    assert said(box.run(MASKS.format(paths=MASKED))) == "looked []"


def test_an_ordinary_file_is_seen_by_the_same_look(box: Sandbox) -> None:
    """D2: the control."""
    paths = ("/proc/version", "/proc/self", "/etc/passwd")

    assert said(box.run(MASKS.format(paths=paths))) == f"looked {[*paths]}"


def test_no_name_server_of_the_host_is_named(box: Sandbox) -> None:
    """N5: the engine copies the host's into the container, with the names of its network."""
    found = box.run("open('/etc/resolv.conf').read().split()").value

    assert {word for word in found if not word.startswith("#")} <= {"nameserver", "127.0.0.1"}


KNOBS = ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger"]
OPEN = ATTEMPT + "print(attempt(os.open, {path!r}, os.O_WRONLY))"


@pytest.mark.parametrize("path", KNOBS)
def test_no_knob_can_be_turned_from_a_container(box: Sandbox, path: str) -> None:
    """D2: read-only, and root's."""
    assert said(box.run(OPEN.format(path=path))).startswith("refused: E")


@pytest.mark.parametrize("image", ["--privileged", "-v/:/host", "a b", "", "x;y", "../x"])
def test_an_option_cannot_be_smuggled_in_as_an_image(image: str, mechanism: str) -> None:
    """D3."""
    with pytest.raises(BadCall, match="image"):
        DockerBackend(image=image, runtime="runsc" if mechanism == "gvisor" else "runc")


def test_the_socket_of_the_engine_cannot_be_granted(sandbox_for: SandboxFor) -> None:
    """D3: who has it is root on the host. Nor can the folder that it lies in."""
    with closing(DockerEngine()) as engine:
        socket_path = engine.socket_path
    if not socket_path:
        skip_or_fail("this engine is reached by TCP")
    for path in (socket_path, socket_path.parent):
        grant = FileGrant(path=str(path), at="/granted", reason="a test")
        with pytest.raises(CannotEnforce, match=r"socket|leads to"):
            sandbox_for(files=(grant,)).run("0")


# D6 to D9: what is left.

HOST = """
import sys
from sandbox import Sandbox
from sandbox.backends.docker import DockerBackend
box = Sandbox("strict", backend=DockerBackend(runtime=sys.argv[1], warm=0))
box.run("import time\\nprint('ready', flush=True)\\ntime.sleep(60)",
        on_output=lambda *_: print("ready", flush=True))
"""


@seen
@pytest.mark.slow
@pytest.mark.usefixtures("mechanism")
def test_a_container_ends_with_its_host() -> None:
    """D6: its stdin ends when the host is killed, long before its deadline."""
    with subprocess.Popen([sys.executable, "-c", HOST, "runc"], stdout=subprocess.PIPE) as host:
        assert host.stdout
        assert host.stdout.readline() == b"ready\n"
        with closing(DockerEngine()) as engine:
            found = [each for each in engine.owned() if _owner_pid(each) == host.pid]
            init = engine.inspect(found[0]["Id"])["State"]["Pid"]
        handle = os.pidfd_open(init)
        host.kill()
        readable, _, _ = select.select([handle], [], [], GONE_SECONDS / 4)
        os.close(handle)

    assert readable == [handle]


def _owner_pid(container: dict[str, dict[str, str]]) -> int:
    owner = container["Labels"][LABEL].partition("-")[0]
    return int(owner) if owner.isdigit() else 0


DAEMON = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            open("/proc/self/comm", "w").write({name!r})
            print("started", flush=True)
            time.sleep(3600)
        os._exit(0)
time.sleep(3600)
"""


def test_a_timeout_leaves_nobody_behind(sandbox_for: SandboxFor) -> None:
    """D7: not the client dies but the container; control: test_a_daemon_is_seen_... of W2."""
    name = f"d7-{secrets.token_hex(4)}"
    result = sandbox_for(wall_seconds=1.0).run(DAEMON.format(name=name))
    names = {name_of(int(path.name)) for path in Path("/proc").glob("[0-9]*")}

    started = result.stdout.count("started")  # their lines may mingle
    assert (result.status, started, name in names) == ("timeout", 3, False)


@seen
def test_the_engine_keeps_no_log_of_a_container(line: Line) -> None:
    """D8: a flood of output would fill the host's disk."""
    with closing(DockerEngine()) as engine:
        found = [engine.inspect(each["Id"]) for each in engine.owned()]  # {} for one that is gone
    (held,) = [each for each in found if each and each["State"]["Pid"] == line.init]

    assert (held["HostConfig"]["LogConfig"]["Type"], held["LogPath"]) == ("none", "")


# D9 and D10: an image that does not mean well.

PLANTED = {
    "usr/local/bin/python3": "#!/bin/sh\necho planted >&2\nexit 0\n",
    "usr/local/bin/timeout": "#!/bin/sh\nexit 0\n",
    "evil.so": "no library\n",
}
CHANGES = [
    'ENTRYPOINT ["/bin/sh", "-c", "exit 0"]',
    'CMD ["planted"]',
    "HEALTHCHECK --interval=1s CMD touch /tmp/planted",
    "ENV LD_PRELOAD=/evil.so PYTHONSTARTUP=/evil.py PYTHONPATH=/evil",
    "ENV PATH=/usr/local/bin:/usr/bin:/bin",
    "USER 0:0",
    "WORKDIR /proc",
    "VOLUME /data",
]


@pytest.fixture(scope="module")
def hostile_box(warm: Warm) -> Iterator[Sandbox]:
    """Make an image with everything in it that an image can change, and a sandbox of it."""
    assert warm.mechanism == "docker"
    name = f"sandbox-engine-test/hostile:{secrets.token_hex(4)}"
    with closing(DockerEngine()) as engine, root_archive(ImageSpec.load("python")) as archive:
        _plant(archive)
        engine.import_image(archive, name, CHANGES)
        try:
            with Sandbox(Policy.load("strict"), backend=DockerBackend(image=name)) as box:
                yield box
        finally:
            for tag in (name, *_made_of(engine, name)):
                engine.remove_image(tag)


def _made_of(engine: DockerEngine, name: str) -> list[str]:
    """Give the images with our runner on top of it."""
    found = [each for each in engine.images(LABEL_BASE) if each["Labels"][LABEL_BASE] == name]
    return [tag for each in found for tag in each["RepoTags"] or ()]


def _plant(archive: Path) -> None:
    with tarfile.open(archive, "a") as tar:
        for name, text in PLANTED.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o755
            tar.addfile(entry, BytesIO(text.encode()))


LOOK = """
import os, sys
print(sys.executable, os.getuid(), os.getcwd(), os.path.exists("/tmp/planted"))
print({name: value for name, value in os.environ.items() if name.startswith(("LD_", "PYTHON"))})
print(os.path.exists("/evil.so"))
"""


@seen
@pytest.mark.slow
def test_nothing_that_an_image_plants_is_used(hostile_box: Sandbox) -> None:
    """D10: its entry point, health check, user, folder, Python and preloads; they are there."""
    expected = [f"{OWN_PYTHON[-1]} {NOBODY} /box False", "{'PYTHON_CPU_COUNT': '1'}", "True"]

    assert said(hostile_box.run(LOOK)).splitlines() == expected


@seen
@pytest.mark.slow
def test_what_an_image_preloads_is_not_in_pid_1(hostile_box: Sandbox) -> None:
    """D10: the guest gets our variables; PID 1 itself is started with the image's."""
    with held_guest(hostile_box) as line:
        found = environment(line.init)

    assert found["LD_PRELOAD"] == ""


@seen
@pytest.mark.slow
def test_a_volume_of_an_image_is_no_way_to_the_hosts_disk(hostile_box: Sandbox) -> None:
    """D9: it would be writable, of any size, and stay."""
    with closing(DockerEngine()) as engine:
        with held_guest(hostile_box) as line:
            found = {row.point: (row.kind, "ro" in row.flags) for row in mounts(line.main)}
            held = [engine.inspect(each["Id"]) for each in engine.owned()]
        kinds = {mount["Type"] for each in held for mount in each.get("Mounts", [])}

    assert (found["/data"], "volume" in kinds) == (("tmpfs", True), False)


# The engine's bridge, where a policy grants the full network.

CONNECT = ATTEMPT + "import socket\nprint(attempt(socket.socket({family}).connect, {address!r}))"


def test_the_bridge_does_not_lead_to_the_hosts_loopback(sandbox_for: SandboxFor) -> None:
    """N1: what "full" means for a container: a network of its own, with a way out."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        program = CONNECT.format(family="socket.AF_INET", address=listening.getsockname())
        box = sandbox_for(network=FullNetwork(reason="a test"))
        assert said(box.run(program)) == "refused: ECONNREFUSED"


@seen
def test_a_guest_is_a_child_of_its_own_pid_1(line: Line) -> None:
    """The control of this file: what is looked at above is really the held guest."""
    assert line.main in children(line.init)
