"""F16 to F31: the file system that a guest sees, and what it cannot do to it."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.policy import FileGrant
from tests.conftest import SandboxFor
from tests.escape.syscalls import ATTEMPT, IS_ROOT, said, unconfined

OPEN = ATTEMPT + "print(attempt(lambda: os.close(os.open({path!r}, {flags}))))"
READ, WRITE, CREATE = os.O_RDONLY, os.O_WRONLY, os.O_WRONLY | os.O_CREAT


def opening(box: Sandbox, path: str, flags: int) -> str:
    return said(box.run(OPEN.format(path=path, flags=flags)))


CLIMB = """
import os
def inode(path):
    found = os.stat(path)
    return found.st_dev, found.st_ino
os.chdir("/")
for _ in range(50):
    os.chdir("..")
held = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
folders = [path for path in held if os.path.exists(path) and os.path.isdir(path)]
print(inode(".") == inode("/") == inode("/proc/self/root"), folders)
"""


def test_no_way_up_leads_out_of_the_root(box: Sandbox) -> None:
    """F16, F17, F28: "..", /proc/self/root, and no descriptor of a folder to climb from."""
    assert said(box.run(CLIMB)) == "True []"


INNARDS = ["environ", "mem", "maps", "root", "cwd", "exe", "fd/5", "auxv", "pagemap", "ns/mnt"]


@pytest.mark.parametrize("entry", INNARDS)
@pytest.mark.differs("gvisor", reason="gVisor shows maps and environ: test_container_pid_1.py")
def test_the_supervisor_in_the_guest_cannot_be_looked_into(box: Sandbox, entry: str) -> None:
    """F17, F18: PID 1 is of the same user, and not dumpable."""
    assert opening(box, f"/proc/1/{entry}", READ) == "refused: EACCES"


@pytest.mark.parametrize("entry", ["environ", "mem", "maps", "root", "cwd", "exe", "pagemap"])
@pytest.mark.differs("gvisor", reason="gVisor shows maps and environ: test_container_pid_1.py")
def test_a_guest_can_look_into_itself(box: Sandbox, entry: str) -> None:
    """F18: the permitted neighbour."""
    assert opening(box, f"/proc/self/{entry}", READ) == "done"


KNOBS = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/pid_max",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/fs/file-max",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/net/ipv4/ip_unprivileged_port_start",
    "/proc/irq/default_smp_affinity",
]


@pytest.mark.parametrize("path", KNOBS)
@pytest.mark.differs("gvisor", reason="its kernel has no such knobs")
def test_no_knob_of_the_kernel_can_be_turned(box: Sandbox, path: str) -> None:
    """F19: /proc/sys and its like belong to the host's root."""
    assert opening(box, path, WRITE) == "refused: EACCES"


COUNTERS = pytest.param(
    "/sys/fs/cgroup",
    marks=pytest.mark.differs(
        "docker", "gvisor", reason="its own, read-only: our PID 1 counts by them"
    ),
)
HIDDEN = ["/proc/sysrq-trigger", "/sys/kernel/uevent_helper", COUNTERS, "/sys/kernel/debug"]


@pytest.mark.parametrize("path", HIDDEN)
def test_what_would_run_code_on_the_host_is_not_there(box: Sandbox, path: str) -> None:
    """F19, F20: no release_agent, no uevent_helper, no control group files."""
    assert opening(box, path, READ) in {"refused: ENOENT", "refused: EACCES"}


@pytest.mark.differs("docker", "gvisor", reason="four more, of the engine: test_containers.py")
def test_the_folder_of_devices_holds_these_and_no_other(box: Sandbox) -> None:
    """F21: no memory, disk, terminal, kernel log, fuse, kvm, tun or vsock."""
    expected = [
        "fd",
        "full",
        "null",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "urandom",
        "zero",
    ]

    assert box.run("import os\nsorted(os.listdir('/dev'))").value == expected


def test_the_harmless_devices_work(box: Sandbox) -> None:
    """F21: the permitted neighbour."""
    program = "open('/dev/null', 'wb').write(b'x')\nopen('/dev/urandom', 'rb').read(8) != bytes(8)"

    assert box.run(program).value is True


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_program_can_open_its_output_by_name(box: Sandbox, name: str) -> None:
    """F21: the permitted neighbour; shell scripts do it."""
    result = box.exec(["sh", "-c", f"echo heard > /dev/{name}"])

    assert getattr(result, name) == "heard\n"


@pytest.fixture
def set_user_id_program() -> Iterator[Path]:
    """Make a program in reach of everybody that runs as its owner: root where the tests do."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        program = Path(folder) / "who"
        shutil.copy("/usr/bin/id", program)
        program.chmod(0o4755)
        yield program


@pytest.mark.slow
def test_a_set_user_id_program_gives_no_identity(
    sandbox_for: SandboxFor, set_user_id_program: Path, mechanism: str
) -> None:
    """F23: granted, executable, owned by root, and still run as the guest."""
    grant = FileGrant(path=str(set_user_id_program), at="/who", reason="a test")
    box = sandbox_for(files=(grant,))

    assert said(box.exec(["/who", "-u"])) == (
        "65534" if mechanism in {"docker", "gvisor"} else "1000"
    )


@pytest.mark.skipif(not IS_ROOT, reason="only root can own a program that gives root")
def test_a_set_user_id_program_gives_an_identity_outside(set_user_id_program: Path) -> None:
    """F23: the control."""
    program = f"import subprocess\nsubprocess.run([{str(set_user_id_program)!r}, '-u'])"

    assert unconfined(program, as_nobody=True) == "0"


OF_ROOT = pytest.mark.differs("docker", "gvisor", reason="a container's /dev is root's")
READ_ONLY = [
    *("/new", "/etc/new", "/usr/new", "/usr/lib/new", "/run/new", "/sys/new"),
    pytest.param("/dev/new", marks=OF_ROOT),
    *(
        f"{home}/{name}"
        for home in ("/run/sandbox", "/opt/sandbox")
        for name in ("new", "runners/new.py", "library/cloudpickle/new.py")
    ),
]


@pytest.mark.parametrize("path", READ_ONLY)
def test_nothing_can_be_added_outside_of_the_private_folders(
    box: Sandbox, mechanism: str, path: str
) -> None:
    """F24: the system is mounted read-only; one of the two homes of ours is there."""
    refusals = {"refused: EROFS", "refused: ENOENT"}
    if mechanism == "gvisor":  # it asks for the folder's permission first
        refusals.add("refused: EACCES")
    assert opening(box, path, CREATE) in refusals


NULL = pytest.mark.differs("docker", "gvisor", reason="covered by /dev/null, which takes all")
ELSEWHERE = pytest.mark.differs("docker", "gvisor", reason="not there in a container")
CHANGED = [
    *("/etc/passwd", "/usr/bin/env", "/proc/cpuinfo"),
    *(
        pytest.param(f"/run/sandbox/{name}", marks=ELSEWHERE)
        for name in ("runners/guest.py", "empty")
    ),
    pytest.param("/proc/keys", marks=NULL),
]


@pytest.mark.parametrize("path", CHANGED)
def test_nothing_of_the_system_can_be_changed(box: Sandbox, path: str) -> None:
    """F24: neither its programs nor what runs the guest itself."""
    assert opening(box, path, WRITE) in {"refused: EROFS", "refused: EACCES"}


def test_the_libraries_of_the_interpreter_cannot_be_changed(box: Sandbox) -> None:
    """F24: what the next guest of the same zygote would import."""
    program = f"{ATTEMPT}import json.decoder\nprint(attempt(open, json.decoder.__file__, 'ab'))"

    assert said(box.run(program)) in {"refused: EROFS", "refused: EACCES"}


@pytest.mark.parametrize("path", ["/proc/self/exe", "/usr/bin/env"])
def test_a_running_program_cannot_be_overwritten(box: Sandbox, path: str) -> None:
    """F30: CVE-2019-5736 wrote to /proc/self/exe of the container's own runtime."""
    assert opening(box, path, WRITE) == "refused: EACCES"


PRIVATE = ["/tmp", "/box", "/dev/shm"]


@pytest.mark.parametrize("folder", PRIVATE)
def test_what_is_written_to_a_shared_place_is_not_there_on_the_host(
    box: Sandbox, folder: str
) -> None:
    """F25: /tmp, the home and shared memory are the guest's own."""
    path = f"{folder}/of-a-guest-71c2"
    written = opening(box, path, CREATE)

    assert (written, Path(path).exists()) == ("done", False)


MOUNTS = {
    "umount2": 'libc.umount2(b"/proc/keys", 2)',
    "remount": 'libc.mount(b"", b"/usr", b"", 32 | 4096, b"")',
    "bind": 'libc.mount(b"/usr", b"/tmp", b"", 4096, b"")',
    "tmpfs": 'libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, b"")',
    "chroot": 'libc.chroot(b"/tmp")',
}


@pytest.mark.parametrize("call", MOUNTS)
def test_the_mounts_cannot_be_changed(box: Sandbox, call: str) -> None:
    """F26, F28: neither taken away nor made writable nor covered."""
    program = "import ctypes, errno\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    program += f"print({MOUNTS[call]}, errno.errorcode[ctypes.get_errno()])"

    assert said(box.run(program)) == "-1 EPERM"


@pytest.mark.slow
def test_a_file_that_was_granted_cannot_be_leased(sandbox_for: SandboxFor, tmp_path: Path) -> None:
    """F15, L8: a lease would hold up the host's own opening of it, fcntl(2) F_SETLEASE."""
    granted = tmp_path / "granted"
    granted.write_text("x")
    granted.chmod(0o644)
    box = sandbox_for(files=(FileGrant(path=str(granted), at="/granted", reason="a test"),))
    program = f"{ATTEMPT}import fcntl\nfile = open('/granted')\n"
    program += "print(attempt(fcntl.fcntl, file, fcntl.F_SETLEASE, fcntl.F_RDLCK))"

    assert said(box.run(program)).startswith("refused: ")


@pytest.mark.slow
def test_a_file_that_was_granted_can_be_read_and_locked(
    sandbox_for: SandboxFor, tmp_path: Path
) -> None:
    """F15: the permitted neighbour."""
    granted = tmp_path / "granted"
    granted.write_text("mine to read")
    granted.chmod(0o644)
    box = sandbox_for(files=(FileGrant(path=str(granted), at="/granted", reason="a test"),))
    program = "import fcntl\nfile = open('/granted')\nfcntl.flock(file, fcntl.LOCK_SH)\n"

    assert said(box.run(program + "print(file.read())")) == "mine to read"


def own_mounts() -> list[str]:
    rows = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [row.split(" - ")[0] for row in rows]


@pytest.mark.differs("docker", "gvisor", reason="the engine mounts images on the host")
def test_the_mounts_of_a_guest_do_not_reach_the_host(box: Sandbox) -> None:
    """F27: nothing is propagated out."""
    before = own_mounts()
    box.run("0")

    assert own_mounts() == before


@pytest.mark.differs(
    "docker", "gvisor", reason="its root is the engine's, as a slave: test_containers.py"
)
def test_no_mount_of_a_guest_has_a_peer(box: Sandbox) -> None:
    """F27: nothing is propagated in either: no mount is shared, none is a slave."""
    rows = box.run("open('/proc/self/mountinfo').read().splitlines()").value

    assert [row for row in rows if "shared:" in row or "master:" in row] == []


@pytest.mark.parametrize("family", ["AF_ALG", "AF_VSOCK"])
def test_the_sockets_that_write_read_only_pages_cannot_be_made(box: Sandbox, family: str) -> None:
    """F31: CVE-2026-31431 went from AF_ALG by splice into the page cache of read-only files."""
    number = int(getattr(socket, family))
    program = f"{ATTEMPT}import socket\nprint(attempt(socket.socket, {number}, 5))"

    assert said(box.run(program)) == "refused: EPERM"
