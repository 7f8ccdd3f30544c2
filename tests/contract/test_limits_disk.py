"""Files: their size, their number, all of them together, and what of them is handed back."""

import pytest

from sandbox import BadCall, Sandbox
from sandbox.policy import KIB, MIB
from tests.conftest import SandboxFor
from tests.contract.conftest import error_of

PLACES = ["/box", "/tmp", "/dev/shm"]

WRITE = """
with open({path!r}, "wb", buffering=0) as file:
    left = {size}
    while left:
        left -= file.write(bytes(left))
"""

MAKE = """
import os
for number in range({count}):
    {how}
"""

INODES = {
    "files": "open(f'/tmp/{number}', 'w').close()",
    "folders": "os.mkdir(f'/dev/shm/{number}')",
    "links": "os.symlink('x', f'/box/{number}')",
    "fifos": "os.mkfifo(f'/tmp/{number}')",
}


def test_a_file_of_just_the_largest_size_is_ok(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(file_bytes=MIB)

    assert box.run(WRITE.format(path="/tmp/x", size=MIB)).ok


def test_a_file_of_one_byte_more_is_a_disk_limit(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(file_bytes=MIB)

    assert box.run(WRITE.format(path="/tmp/x", size=MIB + 1)).status == "disk_limit"


def test_a_command_that_writes_one_byte_more_is_a_disk_limit(sandbox_for: SandboxFor) -> None:
    argv = ["dd", "if=/dev/zero", "of=/tmp/x", f"bs={MIB + 1}", "count=1"]

    assert sandbox_for(file_bytes=MIB).exec(argv).status == "disk_limit"


def test_a_shell_whose_child_writes_one_byte_more_is_a_disk_limit(
    sandbox_for: SandboxFor,
) -> None:
    argv = ["sh", "-c", f"head -c {MIB + 1} /dev/zero > /tmp/x"]

    assert sandbox_for(file_bytes=MIB).exec(argv).status == "disk_limit"


def test_no_hole_makes_a_file_larger(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(file_bytes=MIB)

    assert not box.run(f"open('/tmp/x', 'wb').truncate({MIB + 1})").ok


def test_an_input_file_over_the_largest_size_is_refused(sandbox_for: SandboxFor) -> None:
    with pytest.raises(BadCall, match=r"'large' is over quota.file_bytes = 1048576"):
        sandbox_for(file_bytes=MIB).run("1", files={"large": bytes(MIB + 1)})


@pytest.mark.parametrize("place", PLACES)
def test_bytes_just_under_the_quota_are_ok(sandbox_for: SandboxFor, place: str) -> None:
    box = sandbox_for(disk_bytes=2 * MIB)

    assert box.run(WRITE.format(path=f"{place}/x", size=2 * MIB - 64 * KIB)).ok


@pytest.mark.parametrize("place", PLACES)
def test_bytes_over_the_quota_are_a_disk_limit(sandbox_for: SandboxFor, place: str) -> None:
    box = sandbox_for(disk_bytes=2 * MIB)

    assert box.run(WRITE.format(path=f"{place}/x", size=3 * MIB)).status == "disk_limit"


def test_the_quota_is_of_all_places_together(sandbox_for: SandboxFor) -> None:
    program = "\n".join(WRITE.format(path=f"{place}/x", size=MIB) for place in PLACES)

    assert sandbox_for(disk_bytes=2 * MIB).run(program).status == "disk_limit"


def test_a_disk_limit_names_its_quota(sandbox_for: SandboxFor) -> None:
    result = sandbox_for(disk_bytes=2 * MIB).run(WRITE.format(path="/tmp/x", size=3 * MIB))

    assert f"quota.disk_bytes = {2 * MIB}" in error_of(result).message


def test_a_command_over_the_quota_is_a_disk_limit(sandbox_for: SandboxFor) -> None:
    argv = ["dd", "if=/dev/zero", "of=/tmp/x", "bs=1M", "count=3"]

    assert sandbox_for(disk_bytes=2 * MIB).exec(argv).status == "disk_limit"


def test_a_program_that_copes_with_a_full_disk_is_ok(sandbox_for: SandboxFor) -> None:
    program = """
import os
try:
    with open("/tmp/x", "wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
except OSError as error:
    os.unlink("/tmp/x")
    seen = error.strerror
seen
"""
    assert sandbox_for(disk_bytes=2 * MIB).run(program).value == "No space left on device"


@pytest.mark.parametrize("how", INODES.values(), ids=INODES.keys())
def test_as_many_files_as_the_quota_are_ok(sandbox_for: SandboxFor, how: str) -> None:
    assert sandbox_for(disk_files=64).run(MAKE.format(count=64, how=how)).ok


@pytest.mark.parametrize("how", INODES.values(), ids=INODES.keys())
def test_one_file_more_than_the_quota_is_a_disk_limit(sandbox_for: SandboxFor, how: str) -> None:
    result = sandbox_for(disk_files=64).run(MAKE.format(count=65, how=how))

    assert result.status == "disk_limit"


@pytest.mark.slow
def test_more_input_than_the_disk_holds_is_refused(sandbox_for: SandboxFor) -> None:
    with pytest.raises(BadCall, match=r"over quota.disk_bytes"):
        sandbox_for(disk_bytes=2 * MIB).run("1", files={"x": bytes(MIB), "y": bytes(2 * MIB)})


def test_the_disk_of_one_call_is_empty_for_the_next(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(disk_bytes=2 * MIB)
    box.run(WRITE.format(path="/dev/shm/x", size=3 * MIB))

    assert box.run("import os\nos.listdir('/box') + os.listdir('/dev/shm')").value == []


def test_the_disk_in_use_is_told(box: Sandbox) -> None:
    result = box.run(WRITE.format(path="/tmp/x", size=2 * MIB))

    assert 2 * MIB <= result.usage.disk_bytes < 3 * MIB


def test_as_many_files_as_may_be_handed_back_are(sandbox_for: SandboxFor) -> None:
    how = "open(f'/box/{number}', 'w').close()"

    assert len(sandbox_for(returned_files=8).run(MAKE.format(count=8, how=how)).files) == 8


def test_files_over_their_number_are_left_out_and_said(sandbox_for: SandboxFor) -> None:
    how = "open(f'/box/{number}', 'w').close()"
    result = sandbox_for(returned_files=8).run(MAKE.format(count=9, how=how))

    assert (result.status, len(result.files), len(result.left_out)) == ("ok", 8, 1)


def test_bytes_just_under_their_sum_are_handed_back(sandbox_for: SandboxFor) -> None:
    result = sandbox_for(returned_bytes=1000).run("open('x', 'wb').write(b'x' * 1000)")

    assert result.files == {"x": b"x" * 1000}


def test_bytes_over_their_sum_are_left_out_and_said(sandbox_for: SandboxFor) -> None:
    result = sandbox_for(returned_bytes=1000).run("open('x', 'wb').write(b'x' * 1001)")

    assert (result.status, dict(result.files), result.left_out[0].path) == ("ok", {}, "x")


@pytest.mark.slow
def test_a_sparse_file_of_a_gigabyte_is_not_read(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(file_bytes=1 << 30)
    result = box.run("open('x', 'wb').truncate(1 << 30)")

    assert (result.status, [each.path for each in result.left_out]) == ("ok", ["x"])
