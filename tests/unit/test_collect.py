"""What a guest leaves behind cannot make the host read, block on or fill up with anything else."""

import errno
import os
import socket
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest

from sandbox.collect import Collected, collect_files, usage, write_files
from sandbox.errors import EngineFault

SECRET = b"root:x:0:0"


@pytest.fixture(
    autouse=True, params=[pytest.param(True, id="openat2"), pytest.param(False, id="older kernel")]
)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run everything also the way that a kernel without openat2(2) has to."""
    if not request.param:
        monkeypatch.setattr("sandbox.collect._has_openat2", lambda: False)


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """Give a work folder beside which a secret lies."""
    (tmp_path / "secret").write_bytes(SECRET)
    folder = tmp_path / "box"
    folder.mkdir()
    return folder


@contextmanager
def ordinary_user() -> Generator[None]:
    """Let permissions hold for root as they do for anybody else."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def collect(
    folder: Path, *, count: int = 100, total_bytes: int = 1000, depth: int = 32
) -> Collected:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return collect_files(fd, count=count, total_bytes=total_bytes, depth=depth)
    finally:
        os.close(fd)


def reasons(collected: Collected) -> Mapping[str, str]:
    return {entry.path: entry.reason for entry in collected.left_out}


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def make_deep(folder: Path, levels: int) -> None:
    """Make directories below each other, deeper than a path can say, with a file at the end."""
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=fd)
        inner_fd = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner_fd
    os.close(os.open("end", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


def remove_deep(folder: Path) -> None:
    """Lift each directory out of its parent: what removes by path cannot go so deep."""
    while (folder / "d").exists():
        (folder / "d").rename(folder / "outer")
        if (folder / "outer" / "d").exists():
            (folder / "outer" / "d").rename(folder / "d")
        (folder / "outer" / "end").unlink(missing_ok=True)
        (folder / "outer").rmdir()


def test_regular_files_come_out_with_their_content_in_order(box: Path) -> None:
    (box / "b").mkdir()
    (box / "b" / "two.txt").write_bytes(b"2")
    (box / "a é.txt").write_bytes(b"1")
    (box / "c").write_bytes(b"")
    collected = collect(box)
    files = [("a é.txt", b"1"), ("b/two.txt", b"2"), ("c", b"")]
    assert (list(collected.files.items()), collected.left_out) == (files, ())


TARGETS = ["/etc/passwd", "../secret", "/proc/self/environ", "real", "nowhere", "link"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_symbolic_link_is_not_followed(box: Path, target: str) -> None:
    (box / "real").write_bytes(b"1")
    (box / "link").symlink_to(target)
    collected = collect(box)
    assert (dict(collected.files), reasons(collected)) == (
        {"real": b"1"},
        {"link": "it is a symbolic link"},
    )


@pytest.mark.parametrize("target", [pytest.param("..", id=".."), pytest.param("/etc", id="/etc")])
def test_a_directory_that_is_a_link_is_not_entered(box: Path, target: str) -> None:
    (box / "a").mkdir()
    (box / "a" / "middle").symlink_to(target)
    assert reasons(collect(box)) == {"a/middle": "it is a symbolic link"}


def test_a_file_that_becomes_a_link_after_it_was_looked_at_is_not_followed(
    box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (box / "link").symlink_to("../secret")
    regular = (box.parent / "secret").stat()
    monkeypatch.setattr("sandbox.collect.os.stat", Mock(return_value=regular))
    assert dict(collect(box).files) == {}


def test_a_file_that_becomes_a_fifo_after_it_was_looked_at_does_not_block(
    box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(box / "pipe")
    regular = (box.parent / "secret").stat()
    monkeypatch.setattr("sandbox.collect.os.stat", Mock(return_value=regular))
    assert reasons(collect(box)) == {"pipe": "it was a regular file and is none any more"}


def test_a_file_that_grows_after_it_was_looked_at_is_left_out(
    box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (box / "grown").write_bytes(bytes(1001))
    small = (box.parent / "secret").stat()
    monkeypatch.setattr("sandbox.collect.os.stat", Mock(return_value=small))
    assert reasons(collect(box)) == {"grown": "it grew while it was read"}


def test_a_fifo_is_left_out_without_waiting_for_a_writer(box: Path) -> None:
    os.mkfifo(box / "pipe")
    assert reasons(collect(box)) == {"pipe": "it is a fifo"}


def test_a_socket_is_left_out(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(box)  # its whole path may be too long for an address
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    assert reasons(collect(box)) == {"socket": "it is a socket"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device node")
def test_a_device_is_left_out(box: Path) -> None:
    os.mknod(box / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    assert reasons(collect(box)) == {"zero": "it is a character device"}


def test_a_sparse_file_of_one_tebibyte_is_left_out_unread(box: Path) -> None:
    (box / "huge").touch()
    os.truncate(box / "huge", 1 << 40)
    assert reasons(collect(box)) == {
        "huge": "it has 1099511627776 bytes, and 1000 may still be copied"
    }


def test_files_of_just_the_total_are_copied(box: Path) -> None:
    for name in "ab":
        (box / name).write_bytes(bytes(500))
    assert list(collect(box).files) == ["a", "b"]


def test_a_file_one_byte_over_the_total_is_left_out_and_a_later_one_that_fits_is_not(
    box: Path,
) -> None:
    for name, size in {"a": 500, "b": 501, "c": 500}.items():
        (box / name).write_bytes(bytes(size))
    collected = collect(box)
    assert (list(collected.files), reasons(collected)) == (
        ["a", "c"],
        {"b": "it has 501 bytes, and 500 may still be copied"},
    )


def test_a_hard_link_counts_like_a_file_of_its_own(box: Path) -> None:
    (box / "a").write_bytes(bytes(600))
    (box / "b").hardlink_to(box / "a")
    assert list(collect(box).files) == ["a"]


def test_no_more_files_come_out_than_asked_for(box: Path) -> None:
    for name in "abc":
        (box / name).touch()
    collected = collect(box, count=2)
    assert (list(collected.files), reasons(collected)) == (
        ["a", "b"],
        {"c": "there are more than 2 files"},
    )


def test_a_path_of_just_the_depth_is_copied(box: Path) -> None:
    make_deep(box, 2)
    assert list(collect(box, depth=3).files) == ["d/d/end"]


def test_a_path_one_over_the_depth_is_left_out(box: Path) -> None:
    make_deep(box, 3)
    assert reasons(collect(box, depth=3)) == {"d/d/d": "it lies more than 3 directories deep"}


@pytest.fixture
def bottomless(box: Path) -> Generator[Path]:
    make_deep(box, 1000)
    yield box
    remove_deep(box)


@pytest.mark.slow
def test_a_tree_of_a_thousand_levels_is_left_at_the_depth(bottomless: Path) -> None:
    path = "/".join(["d"] * 32)
    assert reasons(collect(bottomless)) == {path: "it lies more than 32 directories deep"}


@pytest.mark.slow
def test_a_walk_leaves_no_descriptor_open(bottomless: Path) -> None:
    before = open_descriptors()
    collect(bottomless)
    assert open_descriptors() == before


UNSHOWN = "its name has characters that cannot be shown"
STRANGE_NAMES = {
    "not UTF-8": (b"\xff", r"\xff", "its name is not UTF-8"),
    "surrogate": (b"\xed\xa0\x80", r"\xed\xa0\x80", "its name is not UTF-8"),
    "line feed": (b"a\nb", r"a\nb", UNSHOWN),
    "escape": (b"\x1b[2J", r"\x1b[2J", UNSHOWN),
    "right to left": ("\u202egpj.exe".encode(), r"\u202egpj.exe", UNSHOWN),
}


@pytest.mark.parametrize(("name", "shown", "reason"), STRANGE_NAMES.values(), ids=STRANGE_NAMES)
def test_a_strange_name_is_left_out_and_shown_escaped(
    box: Path, name: bytes, shown: str, reason: str
) -> None:
    Path(os.fsdecode(os.fsencode(box) + b"/" + name)).touch()
    assert reasons(collect(box)) == {shown: reason}


@pytest.mark.parametrize(
    "name",
    [pytest.param("-rf", id="-rf"), pytest.param("..a", id="..a"), pytest.param("$(x)", id="$")],
)
def test_a_name_that_only_a_shell_would_mind_is_copied(box: Path, name: str) -> None:
    (box / name).touch()
    assert list(collect(box).files) == [name]


def test_what_may_not_be_read_is_left_out(box: Path) -> None:
    (box / "file").touch(mode=0)
    (box / "folder").mkdir(mode=0)
    fd = os.open(box, os.O_RDONLY)
    with ordinary_user():
        collected = collect_files(fd, count=9, total_bytes=9)
    os.close(fd)
    assert reasons(collected) == dict.fromkeys(
        ["file", "folder"], "it cannot be read: Permission denied"
    )


def test_a_work_folder_that_the_guest_closed_is_left_out_whole(box: Path) -> None:
    fd = os.open(box, os.O_PATH)
    box.chmod(0)
    with ordinary_user():
        collected = collect_files(fd, count=9, total_bytes=9)
    os.close(fd)
    box.chmod(0o700)
    assert reasons(collected) == {".": "it cannot be read: Permission denied"}


@pytest.mark.slow
def test_of_eleven_thousand_files_ten_thousand_are_looked_at(box: Path) -> None:
    for number in range(11_000):
        (box / str(number)).touch()
    collected = collect(box, count=20_000)
    assert (len(collected.files), reasons(collected)) == (
        10_000,
        {".": "over 10000 entries in all: the others were not looked at"},
    )


def test_the_list_of_what_was_left_out_is_bounded(box: Path) -> None:
    for number in range(150):
        (box / str(number)).symlink_to("x")
    left_out = collect(box).left_out
    assert (len(left_out), left_out[-1].reason) == (101, "and 50 more")


def test_a_host_without_descriptors_is_an_engine_fault(
    box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (box / "a").touch()
    exhausted = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    monkeypatch.setattr("sandbox.collect.os.stat", Mock(side_effect=exhausted))
    with pytest.raises(EngineFault, match="Too many open files"):
        collect(box)


def test_a_folder_that_is_not_open_is_an_engine_fault() -> None:
    with pytest.raises(EngineFault, match="Bad file descriptor"):
        collect_files(-1, count=1, total_bytes=1)


def test_usage_grows_with_what_is_written(box: Path) -> None:
    fd = os.open(box, os.O_RDONLY)
    before = usage(fd)
    (box / "a").write_bytes(os.urandom(1 << 20))
    os.fsync(fd)
    after = usage(fd)
    os.close(fd)
    assert after.bytes > before.bytes


@pytest.mark.parametrize(
    ("changes", "is_full"),
    [
        pytest.param({}, False, id="room for both"),
        pytest.param({"f_bavail": 0}, True, id="no block left"),
        pytest.param({"f_favail": 0}, True, id="no inode left"),
        pytest.param({"f_bavail": 0, "f_blocks": 0}, False, id="blocks not counted"),
        pytest.param({"f_favail": 0, "f_files": 0}, False, id="inodes not counted"),
    ],
)
def test_a_file_system_is_full_when_bytes_or_inodes_are_gone(
    changes: dict[str, int], *, is_full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {name: 7 for name in dir(os.statvfs_result) if name.startswith("f_")} | changes
    status = Mock(**fields)
    monkeypatch.setattr("sandbox.collect.os.fstatvfs", Mock(return_value=status))
    assert usage(0).is_full == is_full


def test_collected_files_are_written_under_their_names(tmp_path: Path) -> None:
    write_files(tmp_path / "new" / "out", {"a.txt": b"1", "b/c/d": b"2"})
    assert (tmp_path / "new" / "out" / "b" / "c" / "d").read_bytes() == b"2"


BAD_PATHS = ["../x", "a/../../x", "/etc/x", "", "a//b", "./a", "a\0b", "a\nb", "\udcff", "a" * 256]


@pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
def test_nothing_is_written_when_one_name_is_bad(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        write_files(tmp_path / "out", {"good": b"1", path: b"2"})
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_when_one_name_is_taken(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"b is already in .*: choose an empty folder"):
        write_files(tmp_path, {"a": b"1", "b": b"2"})
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_link_that_appears_after_the_check_is_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.collect.os.path.lexists", Mock(return_value=False))
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").symlink_to(tmp_path / "planted")
    with pytest.raises(FileExistsError):
        write_files(out, {"a": b"1"})
    assert not (tmp_path / "planted").exists()


def test_a_link_to_a_directory_in_the_folder_is_not_entered(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "a").symlink_to(elsewhere)
    with pytest.raises(NotADirectoryError):
        write_files(out, {"a/x": b"1"})
    assert not list(elsewhere.iterdir())


def test_a_setuid_program_comes_back_without_its_bits(box: Path, tmp_path: Path) -> None:
    (box / "program").write_bytes(b"#!")
    (box / "program").chmod(0o6777)
    write_files(tmp_path / "out", collect(box).files)
    assert stat.S_IMODE((tmp_path / "out" / "program").stat().st_mode) & 0o7111 == 0
