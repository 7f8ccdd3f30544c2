"""L1 to L8: what a guest can learn of the host."""

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import Policy, Sandbox
from tests.conftest import SandboxFor, backend_of
from tests.escape.syscalls import ATTEMPT, NUMBER, said, unconfined

Fresh = Callable[..., Sandbox]

# A marker goes to the guest in two halves, so that the question is not found for the answer.
ASK_FOR = """
import os
MARKER = {head!r} + {tail!r}
"""


@pytest.fixture
def fresh(mechanism: str) -> Iterator[Fresh]:
    """Sandboxes that are started after what a test planted in this process."""
    made: list[Sandbox] = []

    def make(**changes: object) -> Sandbox:
        policy = (
            Policy.load("strict").widen("a test", **changes) if changes else Policy.load("strict")
        )
        made.append(Sandbox(policy, backend=backend_of(mechanism)))
        return made[-1]

    yield make
    for box in made:
        box.close()


@pytest.fixture
def marker() -> str:
    return secrets.token_hex(16)


def looking_for(marker: str, program: str) -> str:
    return ASK_FOR.format(head=marker[:16], tail=marker[16:]) + program


ENVIRONMENTS = """
import glob
found = [name for name, value in os.environ.items() if MARKER in value]
for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        found += [path] * (MARKER.encode() in open(path, "rb").read())
    except OSError:
        continue
print("found", found)
"""


@pytest.mark.slow
def test_no_variable_of_the_host_is_in_any_environment(
    fresh: Fresh, marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L1: neither in the guest's, nor in that of its PID 1."""
    monkeypatch.setenv("TEST_API_KEY", marker)

    assert said(fresh().run(looking_for(marker, ENVIRONMENTS))) == "found []"


def test_a_variable_of_the_host_is_found_without_a_sandbox(
    marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L1: the control."""
    monkeypatch.setenv("TEST_API_KEY", marker)

    assert "TEST_API_KEY" in unconfined(looking_for(marker, ENVIRONMENTS))


@pytest.mark.slow
def test_a_variable_that_the_policy_names_is_there(
    fresh: Fresh, marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L1: the permitted neighbour."""
    monkeypatch.setenv("TEST_API_KEY", marker)
    box = fresh(environment={"inherit": ("TEST_API_KEY",)})

    assert said(box.run("import os\nprint(os.environ['TEST_API_KEY'])")) == marker


DESCRIPTORS = """
found = []
for number in range(3, 4096):
    try:
        os.fstat(number)
    except OSError:
        continue
    link = os.readlink(f"/proc/self/fd/{number}")
    found.append(link.partition(":[")[0])
print("found", found)
"""


@pytest.mark.slow
def test_no_descriptor_of_the_host_is_inherited(fresh: Fresh, marker: str, tmp_path: Path) -> None:
    """L2, F16: a file and a folder of the host's, open and inheritable; its own is a pipe."""
    secret = tmp_path / "secret"
    secret.write_text(marker)
    opened = [os.open(path, os.O_RDONLY) for path in (secret, "/")]
    try:
        for descriptor in opened:
            os.set_inheritable(descriptor, True)
        said_so = said(fresh().run(looking_for(marker, DESCRIPTORS)))
    finally:
        for descriptor in opened:
            os.close(descriptor)

    assert said_so == "found ['pipe']"


@pytest.mark.slow
@pytest.mark.differs("gvisor", reason="ls cannot list /proc/self/fd there")
def test_a_program_started_by_the_guest_inherits_no_descriptor_of_the_host(fresh: Fresh) -> None:
    """L2: after an exec too: 0, 1, 2, and the one that ls opens."""
    box = fresh()
    result = box.exec(["ls", "/proc/self/fd"])

    assert said(result).split() == ["0", "1", "2", "3"]


def test_only_its_own_processes_are_there(box: Sandbox) -> None:
    """L3: our PID 1 and itself."""
    program = "import os\nfound = {int(name) for name in os.listdir('/proc') if name.isdigit()}\n"

    assert box.run(f"{program}found == {{1, os.getpid()}}").value is True


def test_no_command_line_names_anything_of_the_host(box: Sandbox) -> None:
    """L3: nor does a path in one lead to the checkout or the user."""
    program = "[open(f'/proc/{pid}/cmdline').read().split('\\0') for pid in (1, 'self')]"
    words = {word for line in box.run(program).value for word in line if word.startswith("/")}

    assert {word for word in words if not word.startswith(("/usr/", "/opt/python/"))} <= {
        "/run/sandbox/runners",
        "/opt/sandbox/runners",
    }


MASKED = [
    *("cmdline", "diskstats", "interrupts", "kallsyms", "keys", "key-users", "partitions"),
    *("swaps", "timer_list", "sys/kernel/random/boot_id"),
]


@pytest.mark.parametrize("name", MASKED)
@pytest.mark.differs("gvisor", reason="its /proc is of its own kernel")
def test_what_proc_tells_of_the_host_is_shown_empty(box: Sandbox, name: str) -> None:
    """L3: identities and tables of the whole machine."""
    if not Path(f"/proc/{name}").exists():
        pytest.skip("this kernel has no such file")
    program = f"open('/proc/{name}').read()"

    assert box.run(program).value == ""


@pytest.mark.parametrize("path", ["/proc/kmsg", "/proc/kcore", "/dev/kmsg", "/proc/slabinfo"])
def test_the_log_and_the_memory_of_the_kernel_are_shut(box: Sandbox, path: str) -> None:
    """L3: dmesg, addresses, memory."""
    program = f"{ATTEMPT}print(attempt(open, {path!r}))"

    assert said(box.run(program)) in {"refused: EACCES", "refused: EPERM", "refused: ENOENT"}


def test_connections_of_the_host_are_not_listed(box: Sandbox) -> None:
    """L3: /proc/net is that of the guest's own network namespace."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = f"{listening.getsockname()[1]:04X}"
        on_host = Path("/proc/net/tcp").read_text()
        in_guest = box.run("open('/proc/net/tcp').read()").value

    assert (f":{port}" in on_host, f":{port}" in in_guest) == (True, False)


def test_only_a_loopback_device_is_there(box: Sandbox) -> None:
    """L3: no address or name of the host's interfaces."""
    assert box.run("import socket\n[name for _, name in socket.if_nameindex()]").value == ["lo"]


NAMES = """
import os, platform, socket
[socket.gethostname(), platform.node(), open("/etc/hostname").read().strip(),
 open("/proc/sys/kernel/hostname").read().strip()]
"""


def test_the_host_has_a_synthetic_name(box: Sandbox) -> None:
    """L4: in every place where a program looks."""
    assert set(box.run(NAMES).value) == {"sandbox"}


IDENTITIES = [
    *("/etc/machine-id", "/var/lib/dbus/machine-id", "/sys/class/dmi/id/product_uuid"),
    *("/var/run/utmp", "/etc/shadow", "/etc/ssh", "/root", "/home", "/var", "/srv", "/mnt"),
]


@pytest.mark.parametrize("path", IDENTITIES)
def test_what_identifies_the_machine_or_its_users_is_not_there(box: Sandbox, path: str) -> None:
    """L4: no machine id, no hardware, no logins, no homes."""
    assert box.run(f"import os\nos.path.lexists({path!r})").value is False


def test_the_users_of_the_host_are_not_named(box: Sandbox) -> None:
    """L4: its /etc/passwd has three entries of ours."""
    program = "import pwd\nsorted(entry.pw_name for entry in pwd.getpwall())"

    assert box.run(program).value == ["nobody", "root", "sandbox"]


@pytest.mark.differs("docker", "gvisor", reason="the engine's own folders are named: SECURITY.md")
def test_the_mount_table_names_few_paths_of_the_host(box: Sandbox) -> None:
    """L5: where the runners, one library and the interpreter lie, which SECURITY.md says."""
    rows = box.run("open('/proc/self/mountinfo').read().splitlines()").value
    roots = {row.split()[4]: row.split()[3] for row in rows if row.split(" - ")[1][:5] != "tmpfs"}
    elsewhere = {point for point, root in roots.items() if not point.endswith(root.rstrip("/"))}

    documented = {"/run/sandbox/runners", "/run/sandbox/library/cloudpickle", "/opt/python"}
    assert {point for point in elsewhere if not point.startswith("/dev/")} <= documented


WALK = """
found, seen = [], 0
def look(path):
    global seen
    try:
        if os.path.islink(path) or not os.path.isfile(path):
            return MARKER in path
        with open(path, "rb") as file:
            seen += 1
            return MARKER in path or MARKER.encode() in file.read(65536)
    except OSError:
        return False
for folder, folders, files in os.walk({top!r}):
    if folder.startswith(("/usr", "/lib", "/opt/python", "/proc/sys")):
        found += [name for name in (*folders, *files) if MARKER in name]
        continue
    found += [name for name in files if look(os.path.join(folder, name))]
print("found", found, seen > 3)
"""


@pytest.fixture
def planted(marker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Plant a secret in a temporary folder, and another in what this process calls its home."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for place in (home / ".netrc", tmp_path / f"{marker}.txt", tmp_path / "a", tmp_path / "b"):
        place.write_text(marker)
        place.chmod(0o644)
    return tmp_path


@pytest.mark.slow
def test_a_guest_that_reads_all_it_can_finds_no_secret(
    fresh: Fresh, marker: str, planted: Path
) -> None:
    """L1 to L4, F16: every name in its file system, every content outside of the system's own."""
    box = fresh(wall_seconds=50, cpu_seconds=50)
    program = looking_for(marker, WALK.format(top="/"))

    assert (said(box.run(program)), planted.exists()) == ("found [] True", True)


def test_the_same_search_finds_the_secrets_without_a_sandbox(marker: str, planted: Path) -> None:
    """L1 to L4: the control."""
    found = unconfined(looking_for(marker, WALK.format(top=str(planted))))

    assert (found.count("'"), found.endswith("True")) == (8, True)


RANDOM = "import os, random, uuid\n[random.random(), os.urandom(8).hex(), uuid.uuid4().hex]"


def test_no_two_guests_draw_the_same_numbers(box: Sandbox) -> None:
    """L6: the generator of the warm interpreter is seeded anew in each guest."""
    draws = [tuple(box.run(RANDOM).value) for _ in range(5)]

    assert [len(set(column)) for column in zip(*draws, strict=True)] == [5, 5, 5]


SEED = "hash('a string')"


@pytest.mark.slow
def test_a_fresh_interpreter_has_a_hash_seed_of_its_own(sandbox_for: SandboxFor) -> None:
    """L6: what guests of one zygote have in common, and how a policy has it otherwise."""
    box = sandbox_for(fresh_interpreter=True)

    assert len({box.run(SEED).value for _ in range(3)}) == 3


STACK = "open('/proc/self/maps').read().split('[stack]')[0].splitlines()[-1].split('-')[0]"


@pytest.mark.slow
def test_a_fresh_interpreter_has_an_address_layout_of_its_own(sandbox_for: SandboxFor) -> None:
    """L6: likewise where its stack lies."""
    box = sandbox_for(fresh_interpreter=True)

    assert len({box.run(STACK).value for _ in range(3)}) == 3


MEMORY = """
import mmap, re
own = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
own.write(("own-" + "marker").encode())
needles = {"host": MARKER.encode(), "own": ("own-" + "mark" + "er").encode()}
del MARKER
found = set()
with open("/proc/self/mem", "rb", buffering=0) as memory:
    for line in open("/proc/self/maps"):
        first, last, rights = re.match(r"(\\w+)-(\\w+) (\\S+)", line).groups()
        if not rights.startswith("r") or line.rstrip().endswith(("[vvar]", "[vsyscall]")):
            continue
        try:
            memory.seek(int(first, 16))
            content = memory.read(int(last, 16) - int(first, 16))
        except (OSError, OverflowError):
            continue
        found |= {name for name, needle in needles.items() if needle * 3 in content}
        found |= {"own"} if needles["own"] + bytes(100) in content else set()
print(sorted(found))
"""


@pytest.mark.slow
def test_nothing_of_the_hosts_heap_is_in_a_guest(fresh: Fresh, marker: str) -> None:
    """L7: the host's secret, thrice in a row in its memory; the guest's own is the control."""
    held = bytearray((marker * 3).encode())
    result = said(fresh().run(looking_for(marker, MEMORY)))

    assert (result, len(held)) == ("['own']", 96)


def test_no_object_of_the_warm_interpreter_knows_a_path_of_the_host(box: Sandbox) -> None:
    """L7: the checkout's path, in whatever object of the zygote that a guest can get hold of."""
    program = """
import gc
head, tail = {halves!r}
hits = [type(o) for o in gc.get_objects() if isinstance(o, (dict, list, tuple))
        and any(isinstance(x, str) and head + tail in x
                for x in (o.values() if isinstance(o, dict) else o))]
print(len(hits))
"""
    path = str(Path(__file__).resolve().parents[2])
    half = len(path) // 2

    assert said(box.run(program.format(halves=(path[:half], path[half:])))) == "0"


def test_the_kernel_log_cannot_be_asked(box: Sandbox) -> None:
    """L3: syslog(2), which dmesg falls back to."""
    program = f"{ATTEMPT}import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    program += f"print(libc.syscall({NUMBER['syslog']}, 10, 0, 0), ctypes.get_errno())"

    assert said(box.run(program)) == "-1 1"


@pytest.mark.differs("docker", "gvisor", reason="/proc/meminfo is the host's: SECURITY.md")
def test_the_sizes_of_the_machine_are_those_of_the_policy(box: Sandbox) -> None:
    """L8: processors and memory; sysinfo(2) and load averages are the host's, and said to be."""
    program = "import os\n[os.cpu_count(), open('/proc/meminfo').readline().split()[1]]"

    quota = box.policy.quota
    assert box.run(program).value == [quota.cpus, str(quota.memory_bytes // 1024)]
