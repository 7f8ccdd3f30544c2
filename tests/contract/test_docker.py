"""What stands around a container, read back from the engine and seen from inside."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import BadCall, CannotEnforce, Sandbox, SandboxError
from sandbox.backends.container_options import (
    GUEST_USER,
    OF_GVISORS_PID_1,
    SENTRY_BYTES,
    SENTRY_PROCESSES,
    Runtime,
)
from sandbox.backends.docker import DockerBackend
from sandbox.backends.docker_engine import DockerEngine
from sandbox.backends.seccomp_profile import engine_profile
from sandbox.policy import FileGrant
from tests.contract.engines import (
    BUSYBOX,
    Yard,
    import_tree,
    needs_engine,
    remove_images_of,
    skip_or_fail,
    volumes_and_networks,
    wait_until,
)

pytestmark = needs_engine

MIB = 1 << 20
QUOTA: dict[str, Any] = {
    "memory_bytes": 200 * MIB,
    "processes": 20,
    "disk_bytes": 8 * MIB,
    "disk_files": 500,
}
EMPTY: tuple[object, ...] = (None, "", [], {}, 0, False)


@pytest.fixture(scope="module")
def parked(engine: DockerEngine, runtime: Runtime) -> Iterator[dict[str, Any]]:
    """What the engine knows of a container that waits for its call."""
    yard = Yard(engine)
    with Sandbox(yard.policy(**QUOTA), backend=DockerBackend(runtime=runtime, warm=1)) as box:
        box.run("1")
        (waiting,) = yard.wait_for(1)
        yield engine.inspect(waiting)


HARDENING: dict[str, object] = {
    "Privileged": False,
    "NetworkMode": "none",
    "ReadonlyRootfs": True,
    "CapDrop": ["ALL"],
    "IpcMode": "private",
    "CgroupnsMode": "private",
    "AutoRemove": True,
    "LogConfig": {"Type": "none", "Config": {}},
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "NanoCpus": 10**9,
    "MemorySwappiness": 0,
    "OomKillDisable": False,
    "ShmSize": QUOTA["disk_bytes"],
    "Ulimits": [{"Name": "core", "Hard": 0, "Soft": 0}],
}
NOT_ASKED_FOR = (
    *("Binds", "VolumesFrom", "Devices", "DeviceRequests", "DeviceCgroupRules"),
    *("PidMode", "UTSMode", "UsernsMode", "GroupAdd", "PortBindings", "PublishAllPorts"),
    *("CgroupParent", "OomScoreAdj", "Links", "ExtraHosts"),
)


@pytest.mark.slow
@pytest.mark.parametrize("key", HARDENING)
def test_the_engine_holds_a_waiting_container_as_told(parked: dict[str, Any], key: str) -> None:
    assert parked["HostConfig"][key] == HARDENING[key]


@pytest.mark.slow
@pytest.mark.parametrize("key", NOT_ASKED_FOR)
def test_the_engine_gave_a_waiting_container_nothing_of_the_hosts(
    parked: dict[str, Any], key: str
) -> None:
    assert parked["HostConfig"].get(key) in EMPTY


@pytest.mark.slow
def test_a_waiting_container_has_no_mounts_of_the_hosts(parked: dict[str, Any]) -> None:
    assert parked["Mounts"] == []


@pytest.mark.slow
def test_a_waiting_container_is_in_no_network_but_none(parked: dict[str, Any]) -> None:
    assert list(parked["NetworkSettings"]["Networks"]) == ["none"]


@pytest.mark.slow
@pytest.mark.parametrize("option", ["rw", "nosuid", "nodev", "size=8388608", "nr_inodes=501"])
@pytest.mark.parametrize("folder", ["/box", "/tmp"])
def test_the_scratch_folders_have_the_size_of_the_quota(
    parked: dict[str, Any], folder: str, option: str
) -> None:
    assert option in parked["HostConfig"]["Tmpfs"][folder].split(",")


@pytest.mark.slow
def test_the_engine_filters_system_calls_by_our_list(parked: dict[str, Any]) -> None:
    profile = json.loads(engine_profile(("guest",)))
    rest, given = parked["HostConfig"]["SecurityOpt"]

    assert rest == "no-new-privileges"
    assert json.loads(given.removeprefix("seccomp=")) == profile


@pytest.mark.slow
def test_memory_is_the_quotas_and_there_is_no_swap(
    parked: dict[str, Any], runtime: Runtime
) -> None:
    wanted = QUOTA["memory_bytes"] + (SENTRY_BYTES if runtime == "runsc" else 0)
    host = parked["HostConfig"]

    assert (host["Memory"], host["MemorySwap"]) == (wanted, wanted)


@pytest.mark.slow
def test_processes_are_the_quotas_and_our_pid_1(parked: dict[str, Any], runtime: Runtime) -> None:
    spare = SENTRY_PROCESSES if runtime == "runsc" else 0

    assert parked["HostConfig"]["PidsLimit"] == QUOTA["processes"] + 1 + spare


@pytest.mark.slow
def test_pid_1_is_nobody_without_capabilities_but_in_the_kernel_of_gvisor(
    parked: dict[str, Any], runtime: Runtime
) -> None:
    added: list[str] = parked["HostConfig"]["CapAdd"] or []
    wanted: tuple[str, list[str]] = (
        (GUEST_USER, []) if runtime == "runc" else ("0:0", [*OF_GVISORS_PID_1])
    )

    assert (parked["Config"]["User"], added) == wanted


@pytest.mark.slow
def test_nothing_of_the_image_decides_what_runs(parked: dict[str, Any]) -> None:
    configuration = parked["Config"]

    assert configuration["Healthcheck"] == {"Test": ["NONE"]}
    assert configuration["Entrypoint"][-3:] == ["/opt/sandbox/runners", "container", "-"]
    assert not configuration["Cmd"]
    assert not configuration["Volumes"]


@pytest.mark.slow
def test_a_container_ends_with_the_stream_of_its_host(parked: dict[str, Any]) -> None:
    configuration = parked["Config"]

    assert (configuration["OpenStdin"], configuration["StdinOnce"]) == (True, True)
    assert configuration["Tty"] is False


# From inside

STATUS = """
rows = (row.split(":", 1) for row in open("/proc/self/status"))
{name: text.strip() for name, text in rows}
"""


CAPABILITY = {"DAC_READ_SEARCH": 2, "KILL": 5, "SETGID": 6, "SETUID": 7}
"""Bits of a set, capabilities(7) and linux/capability.h."""


@pytest.fixture(scope="module")
def status(engine: DockerEngine, runtime: Runtime) -> Iterator[dict[str, str]]:
    """What the kernel says of a guest, proc_pid_status(5)."""
    backend = DockerBackend(runtime=runtime, warm=0)
    with Sandbox(Yard(engine).policy(), backend=backend) as box:
        seen: Any = box.run(STATUS).value
        yield seen


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CapInh", "CapPrm", "CapEff", "CapAmb"])
def test_the_kernel_gives_a_guest_no_capability(status: dict[str, str], name: str) -> None:
    assert int(status.get(name, "0"), 16) == 0  # gVisor tells of fewer sets


@pytest.mark.slow
def test_a_guest_is_bounded_by_what_its_pid_1_may(status: dict[str, str], runtime: Runtime) -> None:
    bound = sum(1 << CAPABILITY[name] for name in OF_GVISORS_PID_1) if runtime == "runsc" else 0

    assert int(status["CapBnd"], 16) == bound  # no-new-privileges keeps a guest from any of it


@pytest.mark.slow
def test_two_filters_stand_between_a_guest_and_the_kernel(
    status: dict[str, str], runtime: Runtime
) -> None:
    if runtime == "runsc":  # which tells neither of the second nor of the flag
        assert status["Seccomp"] == "2"
        return
    assert (status["Seccomp"], status["Seccomp_filters"], status["NoNewPrivs"]) == ("2", "2", "1")


@pytest.mark.slow
def test_a_guest_is_nobody_in_no_group(status: dict[str, str]) -> None:
    assert {*status["Uid"].split(), *status["Gid"].split()} == {"65534"}
    assert status.get("Groups", "") in {"", "65534"}


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/x", "/etc/x", "/usr/x", "/opt/sandbox/x", "/dev/x", "/sys/x"])
def test_the_root_is_read_only(yard: Yard, runtime: Runtime, path: str) -> None:
    backend = DockerBackend(runtime=runtime, warm=0)
    with Sandbox(yard.policy(), backend=backend) as box:
        result = box.run(f"open({path!r}, 'w')")

    assert result.error
    assert result.error.type in {"OSError", "PermissionError"}


# Grants


def granted(path: Path, access: str = "read") -> dict[str, Any]:
    """Give what a policy says to grant a path as /data."""
    grant = {"path": str(path), "at": "/data", "access": access, "reason": "a test"}
    return {"files": [FileGrant.model_validate(grant)]}


@pytest.mark.slow
def test_a_grant_is_seen_inside(yard: Yard, tmp_path: Path, runtime: Runtime) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "x").write_text("42")
    backend = DockerBackend(runtime=runtime, warm=0)
    with Sandbox(yard.policy(**granted(tmp_path)), backend=backend) as box:
        assert box.run("open('/data/x').read()").value == "42"


@pytest.mark.slow
def test_a_grant_to_read_cannot_be_written(yard: Yard, tmp_path: Path, runtime: Runtime) -> None:
    tmp_path.chmod(0o777)
    backend = DockerBackend(runtime=runtime, warm=0)
    with Sandbox(yard.policy(**granted(tmp_path)), backend=backend) as box:
        box.run("open('/data/y', 'w').write('1')")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_grant_to_write_is_written_on_the_host(
    yard: Yard, tmp_path: Path, runtime: Runtime
) -> None:
    tmp_path.chmod(0o777)
    backend = DockerBackend(runtime=runtime, warm=0)
    with Sandbox(yard.policy(**granted(tmp_path, "write")), backend=backend) as box:
        box.run("open('/data/y', 'w').write('1')")

    assert (tmp_path / "y").read_text() == "1"


@pytest.mark.parametrize("way", ["itself", "its folder", "a link to it", "a link to its folder"])
@pytest.mark.parametrize("access", ["read", "write"])
def test_nobody_is_given_the_socket_of_the_engine(
    yard: Yard, tmp_path: Path, way: str, access: str
) -> None:
    path = yard.engine.socket_path
    if not path:
        skip_or_fail("the engine has no socket on this host")
        return
    (tmp_path / "socket").symlink_to(path)
    (tmp_path / "folder").symlink_to(path.parent)
    ways = {
        "itself": path,
        "its folder": path.parent,
        "a link to it": tmp_path / "socket",
        "a link to its folder": tmp_path / "folder",
    }

    with (
        pytest.raises(SandboxError, match=r"socket|leads to|not be granted|host's own"),
        Sandbox(yard.policy(**granted(ways[way], access)), backend=DockerBackend()) as box,
    ):
        box.run("1")


@pytest.mark.slow
def test_a_grant_of_what_is_not_there_is_refused_before_anything_runs(
    yard: Yard, tmp_path: Path
) -> None:
    with (
        Sandbox(yard.policy(**granted(tmp_path / "none")), backend=DockerBackend()) as box,
        pytest.raises((CannotEnforce, BadCall, SandboxError)) as caught,
    ):
        box.run("1")

    assert caught.value.started == "no"


# What an image or its name may not do


@pytest.mark.parametrize(
    "image",
    [
        *("", " ", "-v", "--privileged", "python --privileged", "python -v /:/host"),
        *(" python", "python\n", "a\nb", "$(id)", "python;id", "a" * 300, "../../etc"),
    ],
)
def test_an_option_of_the_engine_is_no_name_of_an_image(image: str) -> None:
    with pytest.raises(BadCall, match="no name of an image"):
        DockerBackend(image=image)


def test_a_runtime_of_somebody_elses_is_refused() -> None:
    name: Any = "kata"

    with pytest.raises(BadCall, match="runtime"):
        DockerBackend(runtime=name)


@pytest.fixture
def with_volume(engine: DockerEngine, tmp_path: Path) -> Iterator[str]:
    """An image that asks for volumes, an entry point and a health check of its own."""
    if not BUSYBOX.exists():
        skip_or_fail("needs busybox: install busybox-static")
    name = "sandbox-engine-test/volume:1"
    changes = (
        *("VOLUME /data", "VOLUME /box", 'ENTRYPOINT ["/bin/busybox", "sleep", "60"]'),
        *("HEALTHCHECK CMD /bin/busybox true", "ENV PYTHONPATH=/data LD_PRELOAD=/data/x.so"),
    )
    yield import_tree(engine, tmp_path, name, {"bin/busybox": BUSYBOX, "data": ""}, changes)
    remove_images_of(engine, name)


@pytest.mark.slow
def test_a_volume_that_an_image_asks_for_is_not_made(
    yard: Yard, engine: DockerEngine, with_volume: str
) -> None:
    before = volumes_and_networks(engine)
    with Sandbox(yard.policy(), backend=DockerBackend(image=with_volume, warm=1)) as box:
        result = box.run("open('/data/x', 'w')")
        (waiting,) = yard.wait_for(1)
        mounts = engine.inspect(waiting)["Mounts"]

    assert result.error
    assert [each["Type"] for each in mounts] == ["tmpfs"]
    assert wait_until(lambda: volumes_and_networks(engine) == before)
