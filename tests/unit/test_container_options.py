"""What a container is made with, as one value: nothing is started here, test_docker.py does."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sandbox import CannotEnforce, Policy
from sandbox.backends.container_options import (
    SENTRY_BYTES,
    SENTRY_PROCESSES,
    ContainerPlan,
    Runtime,
    container_configuration,
)
from sandbox.backends.docker_engine import LABEL
from sandbox.backends.processes import owner_name
from sandbox.policy import FileGrant, FullNetwork, Quota

MIB = 1 << 20
PROCESSORS = 4
WIDE = Policy.load("strict").widen(
    "a test",
    network=FullNetwork(reason="a test"),
    files=(FileGrant(path="/srv/data", at="/data", access="write", reason="a test"),),
    cpus=64,
)
POLICIES = {"strict": Policy.load("strict"), "wide": WIDE}
NEVER_ASKED_FOR = (
    *("Binds", "VolumesFrom", "Devices", "DeviceRequests", "DeviceCgroupRules"),
    *("GroupAdd", "PidMode", "UTSMode", "UsernsMode", "CgroupParent", "VolumeDriver", "Links"),
    *("PortBindings", "PublishAllPorts", "ExtraHosts", "OomScoreAdj", "StorageOpt"),
)


def configuration(
    policy: Policy | None = None, *, runtime: Runtime = "runc", **plan: Any
) -> dict[str, Any]:
    """Give what the engine is asked to make."""
    given = ContainerPlan(
        policy=policy or Policy.load("strict"),
        image="sha256:0",
        command=("/usr/bin/python3", "-I", "-S"),
        runtime=runtime,
        processors=PROCESSORS,
        **plan,
    )
    return container_configuration(given)


def host_part(policy: Policy | None = None, **plan: Any) -> dict[str, Any]:
    found: dict[str, Any] = configuration(policy, **plan)["HostConfig"]
    return found


def granting(path: Path, access: str = "read") -> Policy:
    """Give a policy with one grant."""
    grant = {"path": str(path), "at": "/data", "access": access, "reason": "a test"}
    return Policy.load("strict").widen("a test", files=[grant])


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
@pytest.mark.parametrize("key", NEVER_ASKED_FOR)
def test_what_opens_a_container_is_never_asked_for(policy: Policy, key: str) -> None:
    assert key not in host_part(policy)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Privileged", False),
        ("ReadonlyRootfs", True),
        ("CapDrop", ["ALL"]),
        ("IpcMode", "private"),
        ("CgroupnsMode", "private"),
        ("OomKillDisable", False),
        ("MemorySwappiness", 0),
        ("AutoRemove", True),
        ("LogConfig", {"Type": "none", "Config": {}}),
        ("RestartPolicy", {"Name": "no"}),
        ("Ulimits", [{"Name": "core", "Soft": 0, "Hard": 0}]),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_every_wall_is_up_under_every_policy(policy: Policy, key: str, value: object) -> None:
    assert host_part(policy)[key] == value


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
def test_on_the_hosts_kernel_nobody_has_a_capability(policy: Policy) -> None:
    assert not host_part(policy).get("CapAdd")


def test_within_gvisor_only_our_pid_1_has_any_and_never_one_over_the_machine() -> None:
    wide = {"SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "SYS_RAWIO", "NET_ADMIN", "NET_RAW", "MKNOD"}

    assert not wide & {*host_part(runtime="runsc")["CapAdd"]}


@pytest.mark.parametrize(
    ("policy", "mode"), [(POLICIES["strict"], "none"), (WIDE, "bridge")], ids=["none", "full"]
)
def test_the_network_is_what_the_policy_says(policy: Policy, mode: str) -> None:
    assert host_part(policy)["NetworkMode"] == mode


def test_the_system_calls_are_filtered() -> None:
    options = host_part()["SecurityOpt"]

    assert [option.partition("=")[0] for option in options] == ["no-new-privileges", "seccomp"]


@pytest.mark.parametrize("runtime", ["runc", "runsc"])
def test_there_is_no_swap(runtime: Runtime) -> None:
    made = host_part(runtime=runtime)

    assert made["MemorySwap"] == made["Memory"]


def test_memory_and_processes_are_those_of_the_quota_and_our_pid_1() -> None:
    quota = Policy.load("strict").quota
    made = host_part()

    assert (made["Memory"], made["PidsLimit"]) == (quota.memory_bytes, quota.processes + 1)


def test_the_kernel_of_gvisor_has_its_share_beside_the_quota() -> None:
    quota = Policy.load("strict").quota
    made = host_part(runtime="runsc")

    assert made["Memory"] - quota.memory_bytes == SENTRY_BYTES
    assert made["PidsLimit"] - quota.processes - 1 == SENTRY_PROCESSES


@pytest.mark.parametrize(("cpus", "given"), [(1, 1), (4, 4), (64, 4)])
def test_there_are_never_more_processors_than_the_engine_has(cpus: int, given: int) -> None:
    policy = Policy.load("strict").widen("a test", cpus=cpus)

    assert host_part(policy)["NanoCpus"] == given * 10**9


@pytest.mark.parametrize("folder", ["/box", "/tmp"])
@pytest.mark.parametrize("option", ["nosuid", "nodev", "size=1048576", "nr_inodes=101", "mode=700"])
def test_each_scratch_folder_is_bounded_by_the_quota(folder: str, option: str) -> None:
    quota = Quota(disk_bytes=MIB, disk_files=100)
    policy = Policy.load("strict").widen("a test", **quota.model_dump())

    assert option in host_part(policy)["Tmpfs"][folder].split(",")


def test_shared_memory_is_bounded_by_the_quota() -> None:
    policy = Policy.load("strict").widen("a test", disk_bytes=MIB)

    assert host_part(policy)["ShmSize"] == MIB


@pytest.mark.parametrize(
    ("access", "is_read_only"), [("read", True), ("write", False)], ids=["read", "write"]
)
def test_a_grant_is_read_only_unless_it_says_write(
    tmp_path: Path, access: str, *, is_read_only: bool
) -> None:
    (mount,) = host_part(granting(tmp_path, access))["Mounts"]

    assert (mount["Source"], mount["Target"]) == (str(tmp_path.resolve()), "/data")
    assert mount["ReadOnly"] is is_read_only


def test_a_grant_brings_no_later_mount_of_the_host_with_it(tmp_path: Path) -> None:
    (mount,) = host_part(granting(tmp_path))["Mounts"]

    assert mount["BindOptions"] == {"Propagation": "rprivate"}


@pytest.fixture
def engine_socket(tmp_path: Path) -> Iterator[Path]:
    """A socket where an engine would listen, with ways to it beside it."""
    folder = tmp_path / "engine"
    folder.mkdir()
    path = folder / "docker.sock"
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(path))
        (tmp_path / "to-socket").symlink_to(path)
        (tmp_path / "to-folder").symlink_to(folder)
        (tmp_path / "hard").hardlink_to(path)
        yield path


@pytest.mark.parametrize("access", ["read", "write"])
@pytest.mark.parametrize(
    "name",
    [
        *("engine/docker.sock", "engine", ".", ".."),
        *("to-socket", "to-folder", "to-folder/docker.sock", "hard"),
    ],
)
def test_the_engines_own_socket_is_never_granted(
    engine_socket: Path, tmp_path: Path, name: str, access: str
) -> None:
    policy = granting(Path(os.path.normpath(tmp_path / name)), access)

    with pytest.raises(CannotEnforce, match="engine's socket"):
        configuration(policy, engine_socket=engine_socket.resolve())


def test_a_folder_beside_the_engines_socket_can_be_granted(
    engine_socket: Path, tmp_path: Path
) -> None:
    beside = tmp_path / "engineer"
    beside.mkdir()

    assert len(host_part(granting(beside), engine_socket=engine_socket.resolve())["Mounts"]) == 1


@pytest.mark.parametrize("folder", ["/run", "/proc", "/sys/kernel", "/dev", "/"])
def test_a_link_is_no_way_around_what_a_policy_may_not_name(tmp_path: Path, folder: str) -> None:
    (tmp_path / "link").symlink_to(folder)

    with pytest.raises(CannotEnforce, match="leads to"):
        configuration(granting(tmp_path / "link"))


@pytest.mark.parametrize("written", ["/data", "/data/", "/srv/../data"])
def test_where_an_image_wants_a_volume_there_is_an_empty_folder(written: str) -> None:
    (mount,) = host_part(volumes=(written,))["Mounts"]

    assert (mount["Type"], mount["Target"], mount["ReadOnly"]) == ("tmpfs", "/data", True)


@pytest.mark.parametrize("folder", ["/box", "/tmp/"])
def test_an_image_that_wants_a_volume_for_a_scratch_folder_gets_ours(folder: str) -> None:
    assert host_part(volumes=(folder,))["Mounts"] == []


def test_nothing_of_the_image_starts_in_the_place_of_our_pid_1() -> None:
    made = configuration()

    assert made["Entrypoint"][:3] == ["/usr/bin/python3", "-I", "-S"]
    assert (made["Cmd"], made["Healthcheck"]) == ([], {"Test": ["NONE"]})


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GLIBC_TUNABLES"])
def test_a_variable_of_the_image_cannot_change_our_pid_1(name: str) -> None:
    assert f"{name}=" in configuration()["Env"]


def test_only_settings_of_the_containers_own_network_are_made() -> None:
    assert all(name.startswith("net.") for name in host_part()["Sysctls"])


def test_the_guest_is_nobody() -> None:
    assert configuration()["User"] == "65534:65534"


def test_the_end_of_the_hosts_stream_is_the_end_of_the_containers_stdin() -> None:
    made = configuration()

    assert (made["OpenStdin"], made["StdinOnce"], made["Tty"]) == (True, True, False)


def test_a_container_says_whose_it_is() -> None:
    assert configuration()["Labels"][LABEL] == owner_name()


def test_folders_of_packages_that_are_not_let_in_are_hidden() -> None:
    assert "/opt/packages" in host_part(hidden=("/opt/packages",))["MaskedPaths"]


@pytest.mark.parametrize(
    "path", ["/proc/keys", "/proc/kcore", "/proc/timer_list", "/sys/firmware", "/proc/acpi"]
)
def test_what_the_kernel_tells_of_the_host_is_hidden(path: str) -> None:
    assert path in host_part()["MaskedPaths"]


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
def test_it_can_be_sent_to_an_engine(policy: Policy) -> None:
    made = configuration(policy, engine_socket=Path("/srv/engine.sock"))

    assert json.loads(json.dumps(made)) == made
