"""A program in a small box must not believe that it has the whole machine."""

import os

import pytest
from _pytest.mark import ParameterSet

from sandbox import Sandbox
from sandbox.backends.view import Interpreter
from sandbox.policy import MIB, Environment
from tests.conftest import SandboxFor

HOST_CPUS = len(os.sched_getaffinity(0))

COUNTS = {
    "affinity": "import os\nlen(os.sched_getaffinity(0))",
    "os.cpu_count": "import os\nos.cpu_count()",
    "multiprocessing.cpu_count": "import multiprocessing\nmultiprocessing.cpu_count()",
    "sysconf": "import os\nos.sysconf('SC_NPROCESSORS_ONLN')",
    "configured": "import os\nos.sysconf('SC_NPROCESSORS_CONF')",
    "OMP_NUM_THREADS": "import os\nint(os.environ['OMP_NUM_THREADS'])",
    "OPENBLAS_NUM_THREADS": "import os\nint(os.environ['OPENBLAS_NUM_THREADS'])",
    "MKL_NUM_THREADS": "import os\nint(os.environ['MKL_NUM_THREADS'])",
    "PYTHON_CPU_COUNT": "import os\nint(os.environ['PYTHON_CPU_COUNT'])",
    "/proc/cpuinfo": "open('/proc/cpuinfo').read().count('processor\\t')",
    "/proc/stat": "sum(line[:4] != 'cpu ' for line in open('/proc/stat') if line[:3] == 'cpu')",
    "/sys": "len(open('/sys/devices/system/cpu/online').read().replace('-', '').strip())",
    "nproc": "import subprocess\nint(subprocess.check_output(['nproc']))",
    "a thread pool": """
from concurrent.futures import ThreadPoolExecutor
ThreadPoolExecutor()._max_workers - 4  # it adds four to the processors
""",
}

# Not claimed: sysinfo(2), which SC_PHYS_PAGES asks, knows of no limit but the machine's own.
MEMORY = {
    "/proc/meminfo": "int(open('/proc/meminfo').readline().split()[1]) * 1024",
    "free": """
import subprocess
int(subprocess.check_output(["free", "-b"]).split(b"Mem:")[1].split()[0])
""",
}


HOSTS_OWN = "an engine shows the host's /proc, where no mount of ours can lie over it"
GVISORS_OWN = "gVisor tells how many processors its host has; it runs on those of the quota"
ONLINE = frozenset(
    {"os.cpu_count", "multiprocessing.cpu_count", "sysconf", "configured", "a thread pool"}
)
EMPTY_IN_A_CONTAINER = frozenset({"/proc/stat", "/sys", "/proc/cpuinfo"})


def readers() -> list[ParameterSet]:
    empty = pytest.mark.differs("docker", "gvisor", reason=HOSTS_OWN)
    online = pytest.mark.differs("gvisor", reason=GVISORS_OWN)
    return [
        pytest.param(
            reader,
            id=name,
            marks=[
                *([empty] if name in EMPTY_IN_A_CONTAINER else []),
                *([online] if name in ONLINE else []),
            ],
        )
        for name, reader in COUNTS.items()
    ]


@pytest.mark.parametrize("reader", readers())
def test_one_processor_is_what_a_program_sees(box: Sandbox, reader: str) -> None:
    assert box.run(reader).unwrap() == 1


@pytest.mark.skipif(HOST_CPUS < 2, reason="needs a host with two processors")
@pytest.mark.parametrize("name", ["affinity", "OMP_NUM_THREADS", "/proc/cpuinfo", "nproc"])
def test_two_processors_are_what_a_program_sees(sandbox_for: SandboxFor, name: str) -> None:
    assert sandbox_for(cpus=2).run(COUNTS[name]).unwrap() == 2


@pytest.mark.parametrize("name", ["affinity", "OMP_NUM_THREADS"])
def test_no_more_processors_than_the_host_has(sandbox_for: SandboxFor, name: str) -> None:
    assert sandbox_for(cpus=1000).run(COUNTS[name]).unwrap() == HOST_CPUS


@pytest.mark.differs("docker", "gvisor", reason=HOSTS_OWN)
@pytest.mark.parametrize("reader", MEMORY.values(), ids=MEMORY.keys())
def test_the_quota_of_memory_is_what_a_program_sees(box: Sandbox, reader: str) -> None:
    assert box.run(reader).unwrap() == 256 * MIB


def test_the_size_of_the_disk_is_what_a_program_sees(box: Sandbox) -> None:
    assert box.run("import shutil\nshutil.disk_usage('/box').total").unwrap() == 64 * MIB


def test_the_quota_of_descriptors_is_what_a_program_sees(box: Sandbox) -> None:
    program = "import resource\nresource.getrlimit(resource.RLIMIT_NOFILE)"

    assert box.run(program).unwrap() == [256, 256]


def test_the_environment_is_only_what_the_policy_names(box: Sandbox) -> None:
    expected = {"PATH", "HOME", "USER", "TMPDIR", "LANG", "MPLBACKEND", "PYTHON_CPU_COUNT"}
    expected |= {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}

    expected |= set(Interpreter.current().loader_variables())
    assert set(box.run("import os\nlist(os.environ)").unwrap()) - expected == set()


def test_a_variable_of_the_policy_is_there(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(environment=Environment(values={"GREETING": "hi"}))

    assert box.run("import os\nos.environ['GREETING']").unwrap() == "hi"


def test_the_program_is_an_ordinary_user_at_home(box: Sandbox) -> None:
    program = """
import getpass, os, pwd
is_root = 0 in (os.getuid(), os.geteuid())
[is_root, pwd.getpwuid(os.getuid()).pw_name, os.path.expanduser("~"), os.getcwd()]
"""
    assert box.run(program).unwrap() == [False, "sandbox", "/box", "/box"]
