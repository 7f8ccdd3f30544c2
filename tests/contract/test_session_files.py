"""The work folder of a session: written by the guest, read by the host while the guest lives."""

import errno
from collections.abc import Generator

import pytest

from sandbox import BadCall, CallFailed, Sandbox, SessionLost
from sandbox.policy import MIB
from sandbox.session import Session
from tests.conftest import SandboxFor


@pytest.fixture
def turns(box: Sandbox) -> Generator[Session]:
    """A session of the policy "strict"."""
    with box.session() as session:
        yield session


def got(session: Session, name: str) -> bytes | str:
    """Read a file; give the name of the error if it cannot be."""
    try:
        return session.get(name)
    except OSError as fault:
        return errno.errorcode[fault.errno or 0]


NAMES = ["note", "folder/note", "a/b/c/d/note", "spaces and \u00e4"]


@pytest.mark.parametrize("name", NAMES)
def test_what_was_put_is_got(turns: Session, name: str) -> None:
    turns.put(name, b"\x00\xff" * 1000)

    assert turns.get(name) == b"\x00\xff" * 1000


def test_what_was_put_is_there_for_the_guest(turns: Session) -> None:
    turns.put("note", "\u00e4")

    assert turns.run("open('note', encoding='utf-8').read()").value == "\u00e4"


def test_a_second_put_takes_the_place_of_the_first(turns: Session) -> None:
    turns.put("note", "a long first text")
    turns.put("note", "second")

    assert turns.get("note") == b"second"


def test_put_leaves_the_names_of_the_session_alone(turns: Session) -> None:
    turns.run("x = 42")
    turns.put("note", "text")

    assert turns.run("x").value == 42


def test_files_of_a_turn_are_there_before_its_code(turns: Session) -> None:
    result = turns.run("open('folder/note').read()", files={"folder/note": "text"})

    assert result.value == "text"


def test_files_gives_all_that_is_there_now(turns: Session) -> None:
    turns.put("a", "1")
    turns.run("import os\nos.makedirs('d')\nopen('d/b', 'w').write('2')\nos.remove('a')")

    assert dict(turns.files) == {"d/b": b"2"}


def test_what_one_turn_left_is_not_handed_back_with_it(turns: Session) -> None:
    assert dict(turns.run("open('left', 'w').write('x')").files) == {}


OUTSIDE = ["../note", "/etc/passwd", "a/../../note", ""]


@pytest.mark.parametrize("name", OUTSIDE, ids=["up", "absolute", "down and up", "empty"])
def test_put_goes_nowhere_else(turns: Session, name: str) -> None:
    with pytest.raises(BadCall):
        turns.put(name, "x")


@pytest.mark.parametrize("name", OUTSIDE, ids=["up", "absolute", "down and up", "empty"])
def test_get_goes_nowhere_else(turns: Session, name: str) -> None:
    assert got(turns, name) in {"ENOENT", "EXDEV"}


def test_a_file_that_is_not_there_is_told(turns: Session) -> None:
    with pytest.raises(FileNotFoundError):
        turns.get("missing")


STRANGE = {
    "a link to a file outside": ("os.symlink('/etc/passwd', 'it')", "it"),
    "a link to a file within": ("os.symlink('note', 'it')", "it"),
    "a file behind a link": ("os.symlink('/etc', 'it')", "it/passwd"),
    "a file behind a link to itself": ("os.symlink('.', 'it')", "it/note"),
    "a file through its descriptor": ("os.symlink('/proc/self/fd', 'it')", "it/0"),
    "a fifo": ("os.mkfifo('it')", "it"),
    "a socket": ("import socket\nsocket.socket(socket.AF_UNIX).bind('it')", "it"),
    "a folder": ("os.mkdir('it')", "it"),
}


@pytest.mark.parametrize(("make", "name"), STRANGE.values(), ids=STRANGE.keys())
def test_what_is_no_regular_file_is_not_read(turns: Session, make: str, name: str) -> None:
    turns.put("note", "x")
    turns.run(f"import os\n{make}").unwrap()

    assert got(turns, name) in {"EINVAL", "ELOOP", "ENOTDIR", "ENXIO"}


@pytest.mark.parametrize("make", [make for make, _ in STRANGE.values()], ids=STRANGE.keys())
def test_files_leaves_it_out(turns: Session, make: str) -> None:
    turns.put("note", "x")
    turns.run(f"import os\n{make}").unwrap()

    assert dict(turns.files) == {"note": b"x"}


def test_reading_does_not_wait_for_the_writer_of_a_fifo(turns: Session) -> None:
    turns.run("import os\nos.mkfifo('it')")
    with pytest.raises(OSError, match="cannot be copied"):
        turns.get("it")

    assert turns.run("42").value == 42


def test_a_sparse_file_counts_by_its_length(sandbox_for: SandboxFor) -> None:
    small = sandbox_for(returned_bytes=MIB, disk_bytes=8 * MIB, file_bytes=8 * MIB)
    with small.session() as session:
        session.run(f"open('sparse', 'wb').truncate({2 * MIB})\nopen('small', 'w').write('x')")

        assert dict(session.files) == {"small": b"x"}


def test_a_file_over_the_disk_quota_is_not_got(sandbox_for: SandboxFor) -> None:
    with sandbox_for(disk_bytes=MIB, file_bytes=8 * MIB).session() as session:
        session.run(f"open('sparse', 'wb').truncate({2 * MIB})")

        assert got(session, "sparse") in {"EINVAL", b""}


def test_no_more_files_are_given_than_the_quota_has(sandbox_for: SandboxFor) -> None:
    with sandbox_for(returned_files=3).session() as session:
        session.run("for n in range(9): open(str(n), 'w').write('x')")

        assert len(session.files) == 3


def test_a_file_over_its_quota_is_refused_before_the_turn(sandbox_for: SandboxFor) -> None:
    with sandbox_for(file_bytes=1000).session() as session:
        with pytest.raises(BadCall, match="file_bytes"):
            session.put("large", bytes(1001))

        assert session.run("42").value == 42


def test_a_put_that_finds_the_disk_full_says_so(sandbox_for: SandboxFor) -> None:
    with sandbox_for(disk_bytes=MIB).session() as session:
        session.put("first", bytes(MIB * 6 // 10))
        with pytest.raises(CallFailed, match="disk_limit"):
            session.put("second", bytes(MIB * 6 // 10))


def test_a_session_outlives_a_put_that_failed(sandbox_for: SandboxFor) -> None:
    with sandbox_for(disk_bytes=MIB).session() as session:
        session.put("first", bytes(MIB * 6 // 10))
        with pytest.raises(CallFailed):
            session.put("second", bytes(MIB * 6 // 10))

        assert session.run("42").value == 42


def test_a_put_over_a_folder_fails_alone(turns: Session) -> None:
    turns.put("it/note", "x")
    with pytest.raises(CallFailed, match="IsADirectoryError"):
        turns.put("it", "x")

    assert turns.get("it/note") == b"x"


def test_a_put_does_not_write_through_a_link(turns: Session) -> None:
    turns.run("import os\nopen('/tmp/real', 'w').write('old')\nos.symlink('/tmp/real', 'it')")
    with pytest.raises(CallFailed):
        turns.put("it", "new")

    assert turns.run("open('/tmp/real').read()").value == "old"


def test_a_session_that_is_closed_has_no_files(box: Sandbox) -> None:
    with box.session() as session:
        session.put("note", "x")

    with pytest.raises(SessionLost):
        session.get("note")
