"""What ordinary programs do every day is nothing above "info".

The records are what strace(1) showed of the real programs in an empty network namespace, with the
guest's folders in place of the machine's, and the refusals of the box.
"""

from collections.abc import Mapping

import pytest

from sandbox.record import Event
from sandbox.review.canaries import Canaries
from sandbox.review.model import Run
from tests.unit.review.records import (
    asked,
    denied,
    missing,
    process,
    refused,
    run,
    severities,
    signalled,
    started,
    told,
    touched,
    tried,
    variable,
)

PYTHON = "/opt/python/lib/python3.11"
PACKAGES = "/opt/packages/0"
NSCD = tried("connect", "/var/run/nscd/socket", family="unix", outcome="missing")
RESOLVER: tuple[Event, ...] = (
    touched("/etc/resolv.conf"),
    touched("/etc/nsswitch.conf"),
    touched("/etc/host.conf"),
    touched("/etc/hosts"),
    NSCD,
    tried("connect", "127.0.0.1", 53, outcome="allowed"),
    tried("send", "127.0.0.1", 53, sent=r"\xc4\x07\x01example\x03com"),
)

LOADER: tuple[Event, ...] = (
    missing("/etc/ld.so.preload", "look"),
    touched("/etc/ld.so.cache"),
    touched("/lib/x86_64-linux-gnu/libc.so.6"),
    missing("/usr/lib/locale/locale-archive"),
    touched("/usr/lib/locale/C.utf8/LC_CTYPE"),
    touched("/usr/share/locale/locale.alias"),
    denied("clone3", "ENOSYS"),
    denied("rseq", "ENOSYS"),
    touched("/dev/null", "write"),
    touched("/dev/urandom"),
    missing("/sys/fs/selinux", "look"),
    missing("/selinux", "look"),
    touched("/proc/filesystems"),
    missing("/etc/selinux/config", "look"),
)

INTERPRETER: tuple[Event, ...] = (
    *LOADER,
    missing("/opt/python/bin/python3.11._pth"),
    missing("/opt/python/bin/pybuilddir.txt"),
    missing("/opt/python/bin/pyvenv.cfg", "look"),
    missing("/opt/python/lib/python311.zip", "look"),
    touched(PYTHON, "list"),
    touched(f"{PYTHON}/os.py"),
    refused(f"{PYTHON}/__pycache__", "create"),
    refused(f"{PYTHON}/__pycache__/os.cpython-311.pyc.139823061034544"),
    touched(f"{PYTHON}/__pycache__/os.cpython-311.pyc"),
    touched(f"{PACKAGES}/distutils-precedence.pth"),
    missing(f"{PYTHON}/site-packages/sitecustomize.py", "look"),
    touched("/etc/localtime"),
    touched("/run/sandbox/guest.py"),
    touched("/proc/self/fd", "list"),
    touched("/proc/self/maps", named="/proc/self/maps"),
    touched("/proc/self/stat"),
    touched("/etc/passwd"),
    touched("/usr/lib/ssl/openssl.cnf"),
    told("import", "json"),
    told("compile", "<string>", "collections/__init__.py:430"),
    told("exec", "<string>", "dataclasses.py:433"),
    told("exec", f"{PYTHON}/os.py", "<frozen importlib._bootstrap>:241"),
    told("other", "marshal.loads", "<frozen importlib._bootstrap_external>:729"),
    variable("HOME"),
    variable("PATH"),
    variable("PYTHONPATH"),
)

PIP: tuple[Event, ...] = (
    started("pip", "list", process=1, path="/opt/python/bin/pip"),
    *INTERPRETER,
    tried("bind", "::1", 0),
    missing("/etc/xdg/pip/pip.conf", "look"),
    missing("/box/.pip/pip.conf", "look"),
    missing("/box/.config/pip/pip.conf", "look"),
    touched("/box/.cache"),
    touched(f"{PACKAGES}/requests-2.32.3.dist-info/METADATA"),
    started("lsb_release", "-a"),
    started("uname", "-rs"),
    missing("/etc/machine-id", "look"),
    missing("/etc/shadow", "look"),
    variable("PIP_CONFIG_FILE"),
)

REQUESTS: tuple[Event, ...] = (
    *INTERPRETER,
    tried("bind", "::1", 0),
    touched(f"{PACKAGES}/certifi/cacert.pem"),
    missing("/box/_netrc", "look"),
    missing("/box/.netrc", "look"),
    missing("/box/.netrc"),
    *RESOLVER,
    asked("example.com"),
    asked("example.com"),
    told("url", "http://example.com/", "api.py:59"),
    told("resolve", "example.com", "connection.py:60"),
    variable("HTTP_PROXY"),
    variable("NETRC"),
    variable("REQUESTS_CA_BUNDLE"),
)

BLACK: tuple[Event, ...] = (
    started("black", "-q", "a.py", process=1, path="/opt/python/bin/black"),
    *INTERPRETER,
    missing("/box/pyproject.toml", "look"),
    missing("/box/.config/black", "look"),
    touched("/box/.cache/black/26.1.0", "create"),
    touched("/box/.cache/black/26.1.0/tmpr1odzji7", "create"),
    touched(
        "/box/.cache/black/26.1.0/tmpr1odzji7",
        "rename",
        to="/box/.cache/black/26.1.0/Grammar3.11.2.final.0.pickle",
    ),
    touched("/box/a.py", "write"),
    told("unpickle", "blib2to3.pgen2.grammar.Grammar", "grammar.py:113"),
    started("uname", "-p"),
)

GIT: tuple[Event, ...] = (
    started("git", "commit", "-qm", "x", process=1),
    *LOADER,
    touched("/etc/gitconfig"),
    missing("/box/.gitconfig", "look"),
    missing("/box/.config/git/config", "look"),
    missing("/box/.config/git/ignore", "look"),
    missing("/box/.config/git/attributes"),
    touched("/box/.git/config"),
    touched("/box/.git/HEAD"),
    touched("/box/.git/index.lock", "create"),
    touched("/box/.git/index.lock", "rename", to="/box/.git/index"),
    touched("/box/.git/objects/fb/tmp_obj_7Hxkq1", "create"),
    touched("/box/.git/objects/fb/c507c5", "link", to="/box/.git/objects/fb/tmp_obj_7Hxkq1"),
    missing("/box/.git/hooks/pre-commit", "look"),
    NSCD,
    started("git", "maintenance", "run", "--auto", "--quiet"),
)

GIT_CLONE: tuple[Event, ...] = (
    started("git", "clone", "git@example.com:x.git", process=1),
    *LOADER,
    touched("/box/x/.git/hooks/", "create"),
    touched("/box/x/.git/hooks/pre-push.sample", "create"),
    touched("/box/x/.git/hooks/pre-push.sample", "change"),
    started("ssh", "-o", "SendEnv=GIT_PROTOCOL", "git@example.com", "git-upload-pack 'x.git'"),
    missing("/box/.ssh/config", process=2),
    missing("/box/.ssh/id_ed25519", process=2),
    touched("/etc/ssh/ssh_config", process=2),
    *RESOLVER,
    asked("example.com", process=2),
)

SHELL: tuple[Event, ...] = (
    started("bash", "build.sh", process=1),
    *LOADER,
    refused("/dev/tty", "write"),
    touched("/box/build.sh"),
    started("ls", "-la"),
    started("sort", process=3),
    started("grep", "-r", "py", ".", process=4),
    started("sed", "-i", "s/1/2/", "b.py"),
    touched("/box/sedWx3k2q", "create"),
    touched("/box/sedWx3k2q", "change"),
    touched("/box/sedWx3k2q", "rename", to="/box/b.py"),
    started("sh", "other.sh", process=5),
    started("rm", "-rf", "build", process=6),
    touched("/box/build/a", "remove"),
    started("id", "-u"),
    started("date"),
    started("tar", "cf", "/tmp/x.tar", "a.py"),
    touched("/tmp/x.tar", "create"),
    signalled("process 2"),
    signalled("group 1", "SIGCONT"),
)

SQLITE: tuple[Event, ...] = (
    started("sqlite3", "t.db", "select 1", process=1),
    *LOADER,
    missing("/box/.sqliterc"),
    touched("/box/t.db", "create"),
    touched("/box/t.db-journal", "create"),
    touched("/box/t.db-journal", "remove"),
    touched("/var/tmp", "look"),
    refused("/var/tmp/etilqs_9d8f"),
)

POOL: tuple[Event, ...] = (
    *INTERPRETER,
    touched("/dev/shm/sem.zF1UAm", "create"),
    touched("/dev/shm/sem.mp-y56shr03", "link", to="/dev/shm/sem.zF1UAm"),
    touched("/dev/shm/sem.mp-y56shr03", "remove"),
    started("python3", "-c", "from multiprocessing.resource_tracker import main;main(7)"),
    tried("listen", "/tmp/pymp-x/listener-y", family="unix", outcome="allowed"),
    denied("sched_setaffinity"),
    denied("get_mempolicy"),
    signalled("process 2"),
    signalled("itself", "SIGINT"),
    told("unpickle", "builtins.getattr", "pool.py:114"),
)

UUID: tuple[Event, ...] = (
    *INTERPRETER,
    tried("connect", "/run/uuidd/request", family="unix", outcome="missing"),
    refused("/var/lib/libuuid/clock.txt", "create"),
    tried("bind", family="AF_16", outcome="allowed"),
    tried("connect", "::", 8123),
    tried("connect", "0.0.0.0", 8123),  # noqa: S104 - what getaddrinfo(3) does to sort addresses
    touched("/proc/self/status"),
    touched("/proc/self/cgroup"),
)

PROCESSES = (process(1, None), *(process(number) for number in range(2, 7)))
PROGRAMS: Mapping[str, tuple[Event, ...]] = {
    "an interpreter": INTERPRETER,
    "pip list": PIP,
    "requests": REQUESTS,
    "black": BLACK,
    "git commit": GIT,
    "git clone by ssh": GIT_CLONE,
    "a shell script": SHELL,
    "sqlite3": SQLITE,
    "multiprocessing": POOL,
    "uuid and getaddrinfo": UUID,
}


def ran(events: tuple[Event, ...]) -> Run:
    return run(*events, processes=PROCESSES)


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_ordinary_program_gives_nothing_above_info(name: str) -> None:
    found = severities(ran(PROGRAMS[name]), canaries=Canaries.new())

    assert {rule: worst for rule, worst in found.items() if worst != "info"} == {}


def test_a_web_server_gives_one_finding_above_info_for_its_socket() -> None:
    server = (*INTERPRETER, tried("bind", "::", 8000), tried("listen", "::", 8000))
    found = severities(ran(server))

    above = {rule: worst for rule, worst in found.items() if worst != "info"}
    assert above == {"listens-for-others": "low"}


def test_requests_that_reads_a_planted_netrc_gives_nothing_above_info() -> None:
    found = severities(ran((*REQUESTS, touched("/box/.netrc"))), canaries=Canaries.new())

    assert found["reads-planted-netrc"] == "info"
    assert set(found.values()) == {"info"}
