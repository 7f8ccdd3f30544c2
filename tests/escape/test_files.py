"""F1 to F15: what a guest leaves in its work folder, and how the host copies it out."""

import stat
from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.collect import write_files
from sandbox.errors import BadCall
from sandbox.result import Result
from tests.conftest import SandboxFor
from tests.escape.syscalls import ATTEMPT, said, unconfined

MARKER = "planted-5b1f0c9e7a"
MIB = 1 << 20


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Plant a file of the host's that everybody may read, were it in reach."""
    tmp_path.chmod(0o755)
    planted = tmp_path / "secret"
    planted.write_text(MARKER)
    return planted


def left_out(result: Result) -> dict[str, str]:
    return {entry.path: entry.reason for entry in result.left_out}


LINK = "import os\nos.symlink({target!r}, 'out')\nprint('planted')"


def test_a_symbolic_link_in_the_work_folder_is_not_followed(box: Sandbox, secret: Path) -> None:
    """F1: the output is a link to a file of the host."""
    result = box.run(LINK.format(target=str(secret)))

    assert (said(result), left_out(result)) == ("planted", {"out": "it is a symbolic link"})


def test_a_symbolic_link_that_is_followed_shows_the_secret(secret: Path, tmp_path: Path) -> None:
    """F1: the control; a host that opened the name would read it."""
    unconfined(LINK.format(target=str(secret)), cwd=str(tmp_path))

    assert (tmp_path / "out").read_text() == MARKER


def test_a_plain_file_in_the_work_folder_comes_back(box: Sandbox) -> None:
    """F1: the permitted neighbour."""
    assert box.run("open('out', 'w').write('mine')").files == {"out": b"mine"}


def test_a_link_in_the_middle_of_a_path_is_not_followed(box: Sandbox, secret: Path) -> None:
    """F2: a folder of the work folder is a link to a folder of the host."""
    result = box.run(LINK.format(target=str(secret.parent)))

    assert (result.files, left_out(result)) == ({}, {"out": "it is a symbolic link"})


@pytest.mark.parametrize("target", ["/etc/passwd", "/usr/bin/env", "/proc/self/exe"])
def test_a_file_of_the_system_cannot_be_hard_linked(box: Sandbox, target: str) -> None:
    """F3: a hard link in the work folder to a file of the host."""
    program = f"{ATTEMPT}print(attempt(os.link, {target!r}, '/box/out'))"

    assert said(box.run(program)) == "refused: EXDEV"


def test_a_file_of_its_own_can_be_hard_linked(box: Sandbox) -> None:
    """F3: the permitted neighbour."""
    result = box.run("import os\nopen('a', 'w').write('x')\nos.link('a', 'b')")

    assert result.files == {"a": b"x", "b": b"x"}


SWAPPER = """
import os
os.symlink({target!r}, "link")
open("file", "w").write("mine")
ready, started = os.pipe()
if os.fork() == 0:
    os.setsid()
    for turn in range(10**9):
        os.symlink({target!r}, "new") if turn % 2 else open("new", "w").write("mine")
        os.rename("new", "out")
        turn or os.write(started, b"!")
os.read(ready, 1)
print("swapping")
"""


def test_a_file_that_turns_into_a_link_while_it_is_copied_never_leaks(
    box: Sandbox, secret: Path
) -> None:
    """F4: a child that outlives its parent swaps file and link without end."""
    result = box.run(SWAPPER.format(target=str(secret)))

    assert (
        said(result),
        MARKER in result.to_json(),
        set(result.files) - {"out", "file", "new"},
    ) == ("swapping", False, set())


SPECIAL = {
    "a fifo": "import os\nos.mkfifo('out')",
    "a socket": "import socket\nsocket.socket(socket.AF_UNIX).bind('out')",
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_left_out(box: Sandbox, kind: str) -> None:
    """F5, F6: a fifo would block its reader, a socket is a door."""
    assert left_out(box.run(SPECIAL[kind])) == {"out": f"it is {kind}"}


DEVICE = ATTEMPT + "print(attempt(os.mknod, 'out', {kind} | 0o666, os.makedev(1, 1)))"


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK], ids=["character", "block"])
def test_no_device_node_can_be_made(box: Sandbox, kind: int) -> None:
    """F6, F22: /dev/mem under another name."""
    assert said(box.run(DEVICE.format(kind=kind))) == "refused: EPERM"


def test_a_sparse_file_of_a_tebibyte_cannot_be_made(box: Sandbox) -> None:
    """F7: a file that is much larger than what it takes."""
    program = f"{ATTEMPT}open('out', 'w')\nprint(attempt(os.truncate, 'out', 1 << 40))"

    assert said(box.run(program)) == "refused: EFBIG"


def test_a_sparse_file_over_the_quota_is_left_out_unread(box: Sandbox) -> None:
    """F7: as large as a file may be, and larger than what is handed back."""
    result = box.run(f"open('out', 'w').truncate({64 * MIB})")

    assert "may still be copied" in left_out(result)["out"]


def test_a_sparse_file_within_the_quota_comes_back_whole(box: Sandbox) -> None:
    """F7: the permitted neighbour."""
    assert box.run(f"open('out', 'w').truncate({MIB})").files == {"out": bytes(MIB)}


GROWER = """
import os
ready, started = os.pipe()
if os.fork() == 0:
    os.setsid()
    with open("out", "wb", buffering=0) as file:
        for turn in range(10**9):
            file.write(b"x" * 4096)
            turn or os.write(started, b"!")
os.read(ready, 1)
print("growing")
"""


def test_a_file_that_grows_without_end_is_bounded(box: Sandbox) -> None:
    """F8: its writer is dead before it is read, and what was written is under the quotas."""
    result = box.run(GROWER)
    most_bytes = box.policy.quota.returned_bytes

    assert (said(result), len(result.files.get("out", b"")) <= most_bytes) == ("growing", True)


NAMES = r"""
import os
for name in (b"a\nb", b"\xff\xfe", b"\x1b[2J", "\u202etxt.exe".encode(), b"-rf", b"plain"):
    open(name, "w").close()
"""


def test_names_that_mislead_are_left_out(box: Sandbox) -> None:
    """F9: line ends, bytes that are no text, commands to a terminal, text that runs backwards."""
    assert set(box.run(NAMES).files) == {"-rf", "plain"}


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\0b", "", ".", "a//b"])
def test_an_input_file_cannot_be_named_out_of_the_work_folder(box: Sandbox, name: str) -> None:
    """F9: the same on the way in."""
    with pytest.raises(BadCall):
        box.run("0", files={name: b""})


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\0b", "a\nb"])
def test_a_returned_name_cannot_be_written_out_of_its_folder(tmp_path: Path, name: str) -> None:
    """F9: and on the way from the result to the disk, were such a name ever in a result."""
    with pytest.raises(ValueError, match="cannot be written"):
        write_files(tmp_path / "out", {name: b""})


COLLIDING = "for name in ('A', 'a', '\\u00e9', 'e\\u0301'):\n    open(name, 'w').write(ascii(name))"


def test_names_that_differ_by_case_or_form_stay_apart(box: Sandbox, tmp_path: Path) -> None:
    """F10: nothing is folded, so nothing overwrites another."""
    write_files(tmp_path / "out", box.run(COLLIDING).files)

    written = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert written == {name: ascii(name) for name in ("A", "a", "\u00e9", "e\u0301")}


def test_a_file_that_is_there_is_not_overwritten(box: Sandbox, tmp_path: Path) -> None:
    """F10: a collision with a file of the host's user."""
    (tmp_path / "out").write_text("of the user")
    with pytest.raises(FileExistsError):
        write_files(tmp_path, box.run("open('out', 'w').write('evil')").files)

    assert (tmp_path / "out").read_text() == "of the user"


FLOOD = """
import os
made = 0
try:
    for made in range(100_000):
        os.close(os.open(f"{made:06}", os.O_CREAT | os.O_WRONLY))
except OSError as fault:
    print("refused:", fault.errno == 28)
"""


@pytest.mark.differs("gvisor", reason="gVisor makes files too slowly for a flood")
def test_a_flood_of_files_is_bounded(box: Sandbox) -> None:
    """F11: a hundred thousand names."""
    result = box.run(FLOOD)
    quota = box.policy.quota

    assert (said(result), len(result.files), len(result.left_out) <= 101) == (
        "refused: True",
        quota.returned_files,
        True,
    )


DEEP = """
import os
for depth in range(1000):
    os.mkdir("d")
    os.chdir("d")
open("bottom", "w").close()
print("dug")
"""


def test_a_tree_of_a_thousand_levels_is_left_out(box: Sandbox) -> None:
    """F11: deeper than a walk goes."""
    result = box.run(DEEP)

    assert (said(result), result.files, [entry.reason for entry in result.left_out]) == (
        "dug",
        {},
        ["it lies more than 32 directories deep"],
    )


def test_a_set_user_id_bit_is_not_handed_back(box: Sandbox, tmp_path: Path) -> None:
    """F12: contents come back, modes do not."""
    result = box.run("import os\nopen('out', 'w').write('#!/bin/sh')\nos.chmod('out', 0o6777)")
    write_files(tmp_path / "made", result.files)

    assert stat.S_IMODE((tmp_path / "made/out").stat().st_mode) & 0o7111 == 0


def test_an_input_file_does_not_follow_a_link_of_the_call_before(box: Sandbox) -> None:
    """F14: the hole of Judge0; here each call has a new work folder, and O_EXCL besides."""
    box.run("import os\nos.symlink('/tmp/elsewhere', 'a.txt')")
    result = box.run("import os\nos.path.islink('a.txt')", files={"a.txt": b"x"})

    assert result.value is False


def test_nothing_is_done_to_the_target_of_a_link(box: Sandbox, secret: Path) -> None:
    """F15: the host changes no mode, owner or time of what the guest points at, nor reads it."""
    before = secret.parent.stat()
    box.run(LINK.format(target=str(secret.parent)))

    assert secret.parent.stat() == before


def test_many_results_do_not_add_up(sandbox_for: SandboxFor) -> None:
    """F11: what a policy hands back is bounded over all files together."""
    box = sandbox_for(returned_bytes=10)
    result = box.run("for name in 'abc':\n    open(name, 'w').write('123456')")

    assert sum(map(len, result.files.values())) <= 10
