"""The posture of a guest, read from outside while it runs: nothing more, nothing less."""

import os
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.backends.view import Interpreter
from tests.conftest import Warm
from tests.escape.posture import (
    UNSEEN,
    Line,
    Mount,
    children,
    descriptors,
    environment,
    held_guest,
    limits,
    mounts,
    namespaces,
    status_rows,
)
from tests.escape.syscalls import IS_ROOT, NOBODY

pytestmark = pytest.mark.differs("gvisor", reason=UNSEEN)

PREPARE = """
import subprocess, threading
for _ in range(3):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
child = subprocess.Popen(["sh", "-c", "kill -STOP $$"])
os = __import__("os")
os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
"""
"""Three threads, and a program that was started by exec and stopped itself."""

NO_USER_NAMESPACE = "a container has no user namespace of its own: test_containers.py"
OF_THE_ENGINE = "the engine mounts and starts it: test_containers.py"
GUEST_USER = NOBODY if IS_ROOT else os.geteuid()
GUEST_GROUP = NOBODY if IS_ROOT else os.getegid()
INFINITY = "unlimited"
MIB = 1 << 20


@pytest.fixture(scope="module")
def box_of_posture(warm: Warm) -> Sandbox:
    return warm.sandbox()


@pytest.fixture(scope="module")
def line(box_of_posture: Sandbox) -> Iterator[Line]:
    """Hold a guest with threads and a child, under "strict", while these tests look at it."""
    with held_guest(box_of_posture, PREPARE) as found:
        yield found


@pytest.fixture
def program(line: Line) -> int:
    """Find the program that the guest started."""
    (pid,) = children(line.main)
    return pid


@pytest.fixture
def threads(line: Line, program: int) -> list[dict[str, str]]:
    """Read what the kernel says of every thread of the guest's processes, our PID 1 included."""
    return [rows for pid in (line.init, line.main, program) for rows in status_rows(pid)]


def test_every_thread_is_looked_at(threads: list[dict[str, str]]) -> None:
    """One of PID 1, four of PID 2, one of its child: the tests below look at all of them."""
    assert [rows["NSpid"].split()[-1] for rows in threads].count("1") == 1
    assert len(threads) == 6


def test_no_thread_has_a_capability(threads: list[dict[str, str]]) -> None:
    """Neither inheritable, permitted, effective, bounding nor ambient."""
    sets = {rows[f"Cap{name}"] for rows in threads for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}

    assert sets == {"0" * 16}


CONFINEMENT = {"Seccomp": "2", "Seccomp_filters": "1", "NoNewPrivs": "1", "TracerPid": "0"}


@pytest.mark.parametrize("name", CONFINEMENT)
@pytest.mark.differs("docker", reason="two filters: the engine's and ours")
def test_every_thread_is_filtered_once_and_gains_no_privilege(
    threads: list[dict[str, str]], name: str
) -> None:
    """Exactly one filter: a second one would be somebody's mistake."""
    assert {rows[name] for rows in threads} == {CONFINEMENT[name]}


def test_every_thread_is_an_ordinary_user(threads: list[dict[str, str]]) -> None:
    """Real, effective, saved and file system ids alike: nobody's, or the user's own."""
    ids = {(rows["Uid"], rows["Gid"]) for rows in threads}

    assert ids == {("\t".join([str(GUEST_USER)] * 4), "\t".join([str(GUEST_GROUP)] * 4))}


@pytest.mark.differs("docker", reason=NO_USER_NAMESPACE)
def test_every_thread_has_no_other_groups(threads: list[dict[str, str]]) -> None:
    """As root: none. An ordinary user's own groups stay: no kernel lets such a user drop them."""
    expected = [] if IS_ROOT else sorted(os.getgroups())

    assert all(sorted(map(int, rows["Groups"].split())) == expected for rows in threads)


@pytest.mark.differs("docker", reason=NO_USER_NAMESPACE)
def test_one_user_and_one_group_have_a_name_in_the_guest(line: Line) -> None:
    """And the others never will: setgroups is denied for good."""
    read = {
        name: Path(f"/proc/{pid}/{name}").read_text().split()
        for pid in (line.init, line.main)
        for name in ("uid_map", "gid_map", "setgroups")
    }

    assert read == {
        "uid_map": ["1000", str(GUEST_USER), "1"],
        "gid_map": ["1000", str(GUEST_GROUP), "1"],
        "setgroups": ["deny"],
    }


OWN_NAMESPACES = {"user", "pid", "pid_for_children", "mnt", "net", "ipc", "uts", "cgroup"}


@pytest.mark.parametrize("other", ["host", "zygote"])
@pytest.mark.differs("docker", reason=NO_USER_NAMESPACE)
def test_every_namespace_but_that_of_time_is_the_guests_own(line: Line, other: str) -> None:
    """Not the host's, and not its zygote's, which all guests of a policy have in common."""
    theirs = namespaces("self" if other == "host" else line.zygote)
    differing = {name for name, value in namespaces(line.main).items() if theirs[name] != value}

    assert differing == OWN_NAMESPACES


def test_the_namespaces_of_the_whole_guest_are_the_same(line: Line, program: int) -> None:
    """PID 1, PID 2 and what it starts."""
    assert namespaces(line.init) == namespaces(line.main) == namespaces(program)


@pytest.mark.differs("docker", reason="neither zygote nor keeper")
def test_the_zygote_is_outside_of_the_hosts_namespaces_too(line: Line) -> None:
    """Its host name and its view of control groups are the host's: no guest sees them."""
    own = namespaces("self")
    shared = {name for name, value in namespaces(line.zygote).items() if own[name] == value}

    assert shared - {"uts"} == {"cgroup", "time", "time_for_children"}


def test_only_pipes_of_its_own_are_open_in_the_guest(line: Line) -> None:
    """Standard input, output and errors, and the answer; the call itself has been read."""
    assert descriptors(line.main) == {0: "pipe", 1: "pipe", 2: "pipe", 4: "pipe"}


def test_a_program_that_the_guest_starts_has_three_descriptors(program: int) -> None:
    """The answer's pipe is not passed on."""
    assert descriptors(program) == {0: "pipe", 1: "pipe", 2: "pipe"}


@pytest.mark.differs("docker", reason="its PID 1 holds every pipe")
def test_the_supervisor_holds_its_socket_and_nothing_else(line: Line) -> None:
    """By it the supervisor tells the host how the program ended."""
    assert descriptors(line.init) == {5: "socket"}


SYSTEM_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = (
    *("/etc/ld.so.cache", "/etc/alternatives", "/etc/mime.types", "/etc/protocols"),
    *("/etc/services", "/etc/ssl/certs", "/etc/ssl/openssl.cnf"),
)
MASKED = (
    *("cmdline", "cpuinfo", "diskstats", "interrupts", "kallsyms", "kcore", "key-users", "keys"),
    *("latency_stats", "meminfo", "partitions", "sched_debug", "stat", "swaps", "timer_list"),
    "sys/kernel/random/boot_id",
)
READ_ONLY = frozenset({"ro", "nosuid", "nodev"})
DEVICE = frozenset({"rw", "nosuid", "noexec"})
PRIVATE = frozenset({"rw", "nosuid", "nodev"})
PROC = PRIVATE | {"noexec"}
IS_SYSTEM_PYTHON = sys.base_prefix == "/usr" or sys.base_prefix.startswith("/usr/")


def expected_mounts() -> dict[str, frozenset[str]]:
    """Give every mount point that a guest may have on this host, with its flags."""
    ours = ("/run/sandbox/runners", "/run/sandbox/library/cloudpickle")
    exact: dict[str, frozenset[str]] = dict.fromkeys(("/", "/usr", *ours), READ_ONLY)
    folders = [path for path in SYSTEM_FOLDERS if Path(path).is_dir()]
    exact |= {path: READ_ONLY for path in folders if not Path(path).is_symlink()}
    exact |= {path: READ_ONLY for path in SYSTEM_FILES if Path(path).exists()}
    exact |= dict.fromkeys(package_folders(), READ_ONLY)
    exact |= {} if IS_SYSTEM_PYTHON else {"/opt/python": READ_ONLY}
    exact |= {f"/dev/{name}": DEVICE for name in ("null", "zero", "full", "random", "urandom")}
    exact |= dict.fromkeys(("/box", "/tmp", "/dev/shm"), PRIVATE)
    exact |= {f"/proc/{name}": READ_ONLY for name in MASKED if Path(f"/proc/{name}").exists()}
    return exact | {"/proc": PROC}


def package_folders() -> Iterator[str]:
    """Give where installed packages lie below the system and the interpreter: covered, each."""
    for root in {"/usr", "/usr/local", sys.base_prefix}:
        for name in ("site-packages", "dist-packages"):
            for found in Path(root).glob(f"lib/python3*/{name}"):
                path = str(found.resolve())
                yield path if IS_SYSTEM_PYTHON else path.replace(sys.base_prefix, "/opt/python")


def inherited(mount: Mount) -> bool:
    """Say whether a mount came along with a folder of the host's: a mount below its /usr."""
    on_host = {row.point for row in mounts("self")}
    return mount.point in on_host and mount.point.startswith("/usr/")


@pytest.mark.differs("docker", reason=OF_THE_ENGINE)
def test_the_guest_has_these_mounts_with_these_flags(line: Line) -> None:
    """The system read-only, a few devices, three private folders, /proc and what covers it."""
    found = {row.point: row.flags for row in mounts(line.main) if not inherited(row)}

    assert found == expected_mounts()


def test_what_came_along_with_the_system_is_read_only_too(line: Line) -> None:
    """A file system mounted below the host's /usr."""
    assert {row.flags for row in mounts(line.main) if inherited(row)} <= {READ_ONLY}


@pytest.mark.differs("docker", reason=OF_THE_ENGINE)
def test_the_private_folders_are_one_sized_file_system(line: Line) -> None:
    """/box, /tmp and /dev/shm share quota.disk_bytes and quota.disk_files."""
    rows = Path(f"/proc/{line.main}/mountinfo").read_text().splitlines()
    sizes = {row.split()[4]: re.findall(r"(?:size|nr_inodes)=\w+", row) for row in rows}

    assert [sizes[point] for point in ("/box", "/tmp", "/dev/shm")] == [
        ["size=65536k", "nr_inodes=4100"]
    ] * 3


def test_the_supervisor_sees_the_same_mounts(line: Line) -> None:
    """PID 1 keeps no way out that PID 2 lost."""
    assert mounts(line.init) == mounts(line.main)


GROUP = re.compile(r"/sandbox-engine-[\w-]+/\d+$")


def test_the_guest_is_in_its_own_control_groups(line: Line, mechanism: str) -> None:
    """Those that count memory and processes, where there are any; else in its host's."""
    held = {
        name
        for row in Path(f"/proc/{line.main}/cgroup").read_text().splitlines()
        for name in row.split(":", 2)[1].split(",")
        if GROUP.search(row)
    }

    assert held in ({"memory", "pids", "cpuacct"}, {""}) if mechanism == "cgroup" else not held


def test_the_whole_guest_is_in_the_same_control_groups(line: Line, program: int) -> None:
    """PID 1, PID 2 and what it starts."""
    texts = {Path(f"/proc/{pid}/cgroup").read_text() for pid in (line.init, line.main, program)}

    assert len(texts) == 1


def within(limit: int, value: int) -> str:
    """Give a limit as the guest must have it: never over this process's own."""
    hard = resource.getrlimit(limit)[1]
    return str(value if hard == resource.RLIM_INFINITY else min(value, hard))


def expected_limits(mechanism: str) -> dict[str, str]:
    """Give the limits of "strict" by the kernel's names; the others are the host's own."""
    space = 4 * 256 * MIB + 4096 * MIB
    processes = 33 if mechanism == "watchdog" else 49
    return {
        "Max cpu time": within(resource.RLIMIT_CPU, 7),
        "Max file size": within(resource.RLIMIT_FSIZE, 64 * MIB),
        "Max stack size": within(resource.RLIMIT_STACK, 8 * MIB),
        "Max core file size": "0",
        "Max processes": within(resource.RLIMIT_NPROC, processes),
        "Max open files": within(resource.RLIMIT_NOFILE, 256),
        "Max locked memory": "0",
        "Max pending signals": within(resource.RLIMIT_SIGPENDING, 256),
        "Max msgqueue size": "0",
        "Max nice priority": "0",
        "Max realtime priority": "0",
    } | (
        {"Max address space": within(resource.RLIMIT_AS, space)} if mechanism == "watchdog" else {}
    )


@pytest.mark.parametrize("process", ["init", "main"])
@pytest.mark.differs("docker", reason="no RLIMIT_NPROC: counted by group")
def test_the_limits_of_each_process_are_those_of_the_policy(
    line: Line, mechanism: str, process: str
) -> None:
    """Soft and hard alike."""
    expected = {name: (value, value) for name, value in expected_limits(mechanism).items()}
    found = limits(getattr(line, process))

    assert {name: found[name] for name in expected} == expected


def test_the_other_limits_are_the_hosts(line: Line, mechanism: str) -> None:
    """None is wider than this process's own."""
    own, found = limits(os.getpid()), limits(line.main)
    others = found.keys() - expected_limits(mechanism).keys()

    assert {name: found[name] for name in others} == {name: own[name] for name in others}


VARIABLES = {
    "PATH": None,
    "HOME": "/box",
    "USER": "sandbox",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "MPLBACKEND": "Agg",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHON_CPU_COUNT": "1",
}


@pytest.mark.differs("docker", reason=OF_THE_ENGINE)
def test_the_environment_is_the_policys(line: Line) -> None:
    """Of the host's variables none; of ours these, with these values."""
    found = environment(line.main)

    moved = Interpreter.current().loader_variables()
    assert dict(found) == VARIABLES | {"PATH": found["PATH"]} | moved


@pytest.mark.differs("docker", reason=OF_THE_ENGINE)
def test_the_path_leads_to_the_system_and_the_interpreter(line: Line) -> None:
    """No folder of the host's user."""
    folders = set(environment(line.main)["PATH"].split(":"))

    ours = "/run/sandbox/bin"
    assert folders <= {"/usr/local/bin", "/usr/bin", "/bin", "/opt/python/bin", ours}


@pytest.mark.differs("docker", reason="neither zygote nor keeper")
def test_the_keeper_has_no_environment(line: Line) -> None:
    """So no secret of the host's is in any process that is nearer to the guest than the host."""
    assert environment(line.keeper) == {}


FACTS = {"cwd": "/box", "root": "/"}


@pytest.mark.parametrize("name", FACTS)
def test_the_guest_stands_in_its_work_folder_under_its_own_root(line: Line, name: str) -> None:
    """As /proc tells it: paths within the guest's mounts."""
    assert str(Path(f"/proc/{line.main}/{name}").readlink()) == FACTS[name]


def test_the_guest_has_a_session_of_its_own_and_no_terminal(line: Line) -> None:
    """The session's number is its own; tty_nr is 0, proc_pid_stat(5)."""
    fields = Path(f"/proc/{line.main}/stat").read_text().rpartition(")")[2].split()

    assert (int(fields[3]), int(fields[4])) == (line.main, 0)


def test_the_guest_is_as_killable_as_its_host(line: Line) -> None:
    """Never protected from the out-of-memory killer."""
    own = int(Path("/proc/self/oom_score_adj").read_text())

    assert int(Path(f"/proc/{line.main}/oom_score_adj").read_text()) >= own


def test_the_guest_runs_on_one_processor(threads: list[dict[str, str]]) -> None:
    """quota.cpus of "strict"."""
    assert {rows["Cpus_allowed_list"].isdigit() for rows in threads} == {True}
