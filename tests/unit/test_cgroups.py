"""Where groups can be made, judged from what the kernel says: on hosts that are only text here."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.backends.cgroups import (
    CallGroup,
    CgroupMount,
    Hierarchy,
    ZygoteGroup,
    choose_hierarchies,
    parse_mounts,
)
from sandbox.policy import Policy

MOUNTINFO = r"""
22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
23 22 0:21 / /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate
24 22 0:22 /part /mnt/cpu\040time ro - cgroup cgroup rw,cpu,cpuacct
25 22 0:23 / /run rw - tmpfs  rw,size=4k
"""

SESSION = "0::/user.slice/session-1.scope\n"
FIRST_OWN = "3:memory:/here\n2:cpu,cpuacct:/here\n1:pids:/here\n"

Deny = Callable[[Path], None]


@pytest.fixture
def deny(monkeypatch: pytest.MonkeyPatch) -> Deny:
    """Let a folder be somebody else's: root itself may write everywhere."""
    allowed = os.access
    others: list[Path] = []

    def access(path: Path, mode: int) -> bool:
        return not {path, path.parent} & {*others} and allowed(path, mode)

    monkeypatch.setattr(os, "access", access)
    return others.append


def make_group(
    folder: Path,
    *,
    gives: str = "",
    has: str = "cpu memory pids",
    processes: str = "",
    is_top: bool = False,
) -> None:
    """Make the files of one group of the second version."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {
        "cgroup.subtree_control": gives,
        "cgroup.controllers": has,
        "cgroup.procs": processes,
    }.items():
        (folder / name).write_text(text)
    if not is_top:
        (folder / "cgroup.type").write_text("domain\n")


def make_session(top: Path, *, slice_gives: str = "memory pids") -> Path:
    """Make a session as systemd does: its processes are in a scope, the slice above has none."""
    make_group(top, gives="memory pids", processes="1\n", is_top=True)
    make_group(top / "user.slice", gives=slice_gives)
    make_group(top / "user.slice/session-1.scope", processes="700\n701\n")
    return top / "user.slice"


def second(point: Path, root: str = "/") -> CgroupMount:
    return CgroupMount(version=2, point=point, root=root, options=frozenset({"rw"}))


def first(point: Path, controllers: str) -> CgroupMount:
    """Mount controllers of the first version, with this process's group "/here" in it."""
    (point / "here").mkdir(parents=True, exist_ok=True)
    (point / "here/cgroup.procs").touch()
    return CgroupMount(version=1, point=point, root="/", options=frozenset(controllers.split(",")))


def folders(found: tuple[Hierarchy, ...]) -> list[Path]:
    return [hierarchy.folder for hierarchy in found]


# What is mounted


def test_only_mounts_of_control_groups_are_read() -> None:
    assert [mount.version for mount in parse_mounts(MOUNTINFO.strip())] == [2, 1]


def test_a_mount_is_read_whatever_stands_before_it() -> None:
    mount = parse_mounts(MOUNTINFO.strip())[0]

    assert (mount.point, mount.root) == (Path("/sys/fs/cgroup"), "/")


def test_the_controllers_of_a_mount_are_read() -> None:
    assert parse_mounts(MOUNTINFO.strip())[1].options == {"rw", "cpu", "cpuacct"}


@pytest.mark.parametrize(
    ("root", "group", "place"),
    [
        pytest.param("/", "/", Path("/cg"), id="top"),
        pytest.param("/", "/a/b", Path("/cg/a/b"), id="below"),
        pytest.param("/docker/1", "/docker/1", Path("/cg"), id="top of a part"),
        pytest.param("/docker/1", "/docker/1/a", Path("/cg/a"), id="below a part"),
        pytest.param("/docker/1", "/docker/2", None, id="in another part"),
        pytest.param("/../2", "/", None, id="mounted from outside of this namespace"),
        pytest.param("/", "/../2", None, id="outside of this namespace"),
    ],
)
def test_a_group_is_found_where_its_mount_shows_it(
    root: str, group: str, place: Path | None
) -> None:
    assert second(Path("/cg"), root).place(group) == place


# The second version


def test_a_session_has_its_groups_beside_it(tmp_path: Path) -> None:
    slice_folder = make_session(tmp_path)

    assert folders(choose_hierarchies((second(tmp_path),), SESSION)) == [slice_folder]


def test_somebody_elses_slice_is_not_used(tmp_path: Path, deny: Deny) -> None:
    deny(make_session(tmp_path))
    deny(tmp_path)

    assert choose_hierarchies((second(tmp_path),), SESSION) == ()


def test_a_slice_whose_processes_are_not_ours_to_move_is_not_used(
    tmp_path: Path, deny: Deny
) -> None:
    deny(make_session(tmp_path) / "cgroup.procs")
    deny(tmp_path)

    assert choose_hierarchies((second(tmp_path),), SESSION) == ()


def test_the_top_group_is_used_though_it_has_processes(tmp_path: Path) -> None:
    make_group(tmp_path, processes="1\n", is_top=True)

    assert folders(choose_hierarchies((second(tmp_path),), "0::/\n")) == [tmp_path]


def test_the_top_of_a_container_is_not_used_if_it_has_processes(tmp_path: Path) -> None:
    make_group(tmp_path, processes="1\n")

    assert choose_hierarchies((second(tmp_path),), "0::/\n") == ()


def test_an_empty_group_that_could_give_controllers_is_used(tmp_path: Path) -> None:
    make_group(tmp_path)
    make_group(tmp_path / "main", processes="1\n", has="")
    found = choose_hierarchies((second(tmp_path),), "0::/main\n")

    assert folders(found) == [tmp_path]


def test_an_empty_group_whose_controllers_are_not_ours_to_give_is_not_used(
    tmp_path: Path, deny: Deny
) -> None:
    make_group(tmp_path)
    deny(tmp_path / "cgroup.subtree_control")

    assert choose_hierarchies((second(tmp_path),), "0::/\n") == ()


@pytest.mark.parametrize("has", ["", "cpu memory", "cpu pids"], ids=["none", "memory", "pids"])
def test_a_group_without_both_controllers_is_not_used(tmp_path: Path, has: str) -> None:
    make_group(tmp_path, has=has, gives=has, is_top=True)

    assert choose_hierarchies((second(tmp_path),), "0::/\n") == ()


def test_nothing_above_the_mount_is_used(tmp_path: Path) -> None:
    make_group(tmp_path, gives="memory pids")
    make_group(tmp_path / "mounted", processes="1\n")

    assert choose_hierarchies((second(tmp_path / "mounted"),), "0::/\n") == ()


@pytest.mark.parametrize(
    ("gives", "expected"),
    [
        pytest.param("memory pids", {"memory", "pids"}, id="without cpu"),
        pytest.param("cpu io memory pids", {"cpu", "memory", "pids"}, id="with cpu"),
        pytest.param("", {"memory", "pids"}, id="not yet"),
    ],
)
def test_only_controllers_that_groups_below_can_have_are_named(
    tmp_path: Path, gives: str, expected: set[str]
) -> None:
    make_session(tmp_path, slice_gives=gives)

    assert choose_hierarchies((second(tmp_path),), SESSION)[0].controllers == expected


def test_a_process_in_no_group_of_the_mount_has_none(tmp_path: Path) -> None:
    make_group(tmp_path, is_top=True)

    assert choose_hierarchies((second(tmp_path),), "1:memory:/\n") == ()


# The first version


def test_the_first_version_is_used_with_all_its_controllers(tmp_path: Path) -> None:
    mounts = tuple(first(tmp_path / name, name) for name in ("memory", "pids", "cpu,cpuacct"))

    assert folders(choose_hierarchies(mounts, FIRST_OWN)) == [
        tmp_path / name / "here" for name in ("memory", "pids", "cpu,cpuacct")
    ]


def test_the_first_version_is_not_used_with_a_controller_missing(tmp_path: Path) -> None:
    mounts = tuple(first(tmp_path / name, name) for name in ("memory", "cpuacct"))

    assert choose_hierarchies(mounts, FIRST_OWN) == ()


def test_a_hierarchy_that_is_mounted_twice_is_used_once(tmp_path: Path) -> None:
    mounts = tuple(
        first(tmp_path / place / name, name)
        for place in ("once", "twice")
        for name in ("memory", "pids", "cpuacct")
    )
    assert len(choose_hierarchies(mounts, FIRST_OWN)) == 3


def test_the_first_version_is_used_where_the_second_holds_nothing(tmp_path: Path) -> None:
    make_group(tmp_path / "unified", has="", processes="1\n", is_top=True)
    old = tuple(first(tmp_path / name, name) for name in ("memory", "pids", "cpuacct"))
    mounts = (second(tmp_path / "unified"), *old)

    assert [each.version for each in choose_hierarchies(mounts, f"{FIRST_OWN}0::/\n")] == [1, 1, 1]


def test_the_second_version_goes_first(tmp_path: Path) -> None:
    make_group(tmp_path / "unified", is_top=True)
    old = tuple(first(tmp_path / name, name) for name in ("memory", "pids", "cpuacct"))
    mounts = (*old, second(tmp_path / "unified"))

    assert [each.version for each in choose_hierarchies(mounts, f"{FIRST_OWN}0::/\n")] == [2]


# Making groups


@pytest.mark.parametrize(
    ("gives", "written"),
    [
        pytest.param("", "+memory +pids", id="where it did not"),
        pytest.param("memory pids", "memory pids", id="not where it did"),
    ],
)
def test_a_group_is_told_to_share_its_controllers_out(
    tmp_path: Path, gives: str, written: str
) -> None:
    make_group(tmp_path, gives=gives)
    group = ZygoteGroup(choose_hierarchies((second(tmp_path),), "0::/\n"), "1-1", 1)
    with suppress(FileNotFoundError):  # a new folder here has no files of the kernel's
        group.create()

    assert (tmp_path / "cgroup.subtree_control").read_text() == written


@pytest.mark.parametrize("version", [1, 2])
def test_a_call_whose_limits_cannot_be_set_leaves_no_group(tmp_path: Path, version: int) -> None:
    folders = {name: tmp_path / name for name in ("memory", "pids", "cpuacct")}
    with suppress(FileNotFoundError):  # a new folder here has no files of the kernel's
        CallGroup(2 if version == 2 else 1, folders, Policy.load("strict").quota, [])

    assert [*tmp_path.iterdir()] == []
