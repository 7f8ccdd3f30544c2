"""What a watched call does besides files; that watching changes nothing, and ends with the call."""

import pytest

from sandbox import Sandbox
from sandbox.record import (
    EnvironmentEvent,
    FileEvent,
    NetworkEvent,
    ProgramEvent,
    PythonEvent,
    SignalEvent,
    SystemCallEvent,
)
from tests.contract.watching.conftest import Watch
from tests.contract.watching.seen import addresses, all_of, programs


def test_programs_are_seen_with_their_arguments(watch: Watch) -> None:
    _, record = watch(["sh", "-c", "ls /box | head -n 1; true"])

    assert ("ls", "/box") in programs(record)
    assert ("head", "-n", "1") in programs(record)


def test_processes_are_seen_with_their_parents(watch: Watch) -> None:
    _, record = watch(["sh", "-c", "sh -c 'ls /; :'; :"])

    by_name = {process.name: process for process in record.processes}
    first, second = by_name["sh -c sh -c 'ls /; :'; :"], by_name["sh -c ls /; :"]
    assert (first.number, first.parent, second.parent) == (1, None, 1)
    assert by_name["ls /"].parent == second.number


def test_a_fork_that_becomes_no_program_is_seen_when_it_does_something(watch: Watch) -> None:
    _, record = watch(
        "import os\nif os.fork() == 0: open('a', 'w').close(); os._exit(0)\nos.wait()"
    )

    (event,) = all_of(record, FileEvent, path="/box/a")
    assert record.processes[event.process - 1].parent == 1


def test_a_child_of_a_fork_that_does_nothing_itself_has_its_parents(watch: Watch) -> None:
    code = "import os\nif os.fork() == 0:\n    if os.fork() == 0: os.stat('/box'); os._exit(0)\n"
    code += "    os.wait(); os._exit(0)\nos.wait()"

    _, record = watch(code)

    parents = {process.number: process.parent for process in record.processes}
    (event,) = all_of(record, FileEvent, path="/box")
    middle = parents[event.process]
    assert middle is not None
    assert parents[middle] == 1


def test_arguments_beyond_reason_are_cut_and_said_to_be(watch: Watch) -> None:
    _, record = watch("import subprocess\nsubprocess.run(['true', 'x' * 100_000])")

    (event,) = all_of(record, ProgramEvent, outcome="allowed")
    assert event.is_cut
    assert len(event.argv[1]) < 10_000


@pytest.mark.differs("watchdog", reason="files in memory are refused where nothing counts them")
def test_a_program_in_memory_is_named_as_that(watch: Watch) -> None:
    code = "import os, subprocess\nfd = os.memfd_create('m')\n"
    code += "os.write(fd, open('/usr/bin/true', 'rb').read())\n"
    code += "subprocess.run([f'/proc/self/fd/{fd}'], pass_fds=[fd])\nNone"

    _, record = watch(code)

    (event,) = all_of(record, ProgramEvent)
    assert event.path.startswith("/memfd:m")


@pytest.mark.parametrize(
    ("address", "port", "outcome"),
    [("127.0.0.1", 9, "allowed"), ("169.254.169.254", 80, "refused"), ("10.1.2.3", 443, "refused")],
)
def test_addresses_are_seen(watch: Watch, address: str, port: int, outcome: str) -> None:
    code = f"import socket\nsocket.socket().connect_ex(({address!r}, {port}))\nNone"

    _, record = watch(code)

    assert addresses(record, "connect") == [(address, port, outcome)]


def test_an_address_of_version_6_is_seen_and_one_of_4_in_it_as_that(watch: Watch) -> None:
    code = "import socket\nfor a in 'fd00:ec2::254', '::ffff:169.254.169.254':\n"
    code += "    socket.socket(socket.AF_INET6).connect_ex((a, 80))\nNone"

    _, record = watch(code)

    expected = [("fd00:ec2::254", 80, "refused"), ("169.254.169.254", 80, "refused")]
    assert addresses(record, "connect") == expected


def test_names_are_seen_in_the_questions_that_ask_for_them(watch: Watch) -> None:
    _, record = watch(["getent", "hosts", "secret.example.org"])

    names = {event.name for event in all_of(record, NetworkEvent, action="resolve")}
    assert "secret.example.org" in names


def test_listening_is_seen_with_its_port(watch: Watch) -> None:
    code = "import socket\ns = socket.socket()\ns.bind(('0.0.0.0', 8123))\ns.listen()"

    _, record = watch(code)

    assert addresses(record, "listen") == [("0.0.0.0", 8123, "allowed")]  # noqa: S104 - the guest's


def test_what_is_sent_without_a_connection_is_seen(watch: Watch) -> None:
    code = "import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\n"
    code += "s.sendto(b'hello', ('127.0.0.1', 5000))"

    _, record = watch(code)

    (event,) = all_of(record, NetworkEvent, action="send")
    assert (event.address, event.port, event.sent) == ("127.0.0.1", 5000, "hello")


def test_signals_are_seen(watch: Watch) -> None:
    _, record = watch(["sh", "-c", "sleep 60 & kill -15 $!; wait; kill -USR1 0"])

    sent = [(event.signal, event.target) for event in all_of(record, SignalEvent)]
    assert sent[0][0] == "SIGTERM"
    assert sent[1] == ("SIGUSR1", "its own group")


def test_refused_system_calls_are_seen_with_their_reason(watch: Watch) -> None:
    code = "import ctypes\nlibc = ctypes.CDLL(None)\n"
    code += "(libc.ptrace(16, 1, 0, 0), libc.unshare(0x10000000))"

    result, record = watch(code)

    seen = {event.name: event for event in all_of(record, SystemCallEvent)}
    assert result.value == [-1, -1]
    assert (seen["ptrace"].error, seen["unshare"].error) == ("EPERM", "EPERM")
    assert "another process" in seen["ptrace"].why


def test_system_calls_are_counted(watch: Watch) -> None:
    _, record = watch("import os\nfor n in range(7): os.mkdir(str(n))")

    counts = {each.name: each.count for each in record.system_calls}
    assert counts["mkdir"] == 7
    assert "read" in record.unwatched


def test_variables_that_python_reads_are_seen(watch: Watch) -> None:
    _, record = watch("import os\nos.environ.get('AWS_SECRET'), os.getenv('HOME')\nNone")

    assert {event.name for event in all_of(record, EnvironmentEvent)} == {"AWS_SECRET", "HOME"}


COPIES = ["dict(os.environ)", "os.environ.copy()", "{**os.environ}", "list(os.environ.items())"]


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_of_all_variables_is_no_interest_in_each(watch: Watch, copy: str) -> None:
    _, record = watch(f"import os\n{copy}\nNone")

    assert [event.name for event in all_of(record, EnvironmentEvent)] == ["*"]


def test_whoever_goes_through_the_names_and_reads_some_is_seen_reading_these(watch: Watch) -> None:
    _, record = watch("import os\n[os.environ[n] for n in os.environ if n == 'HOME']\nNone")

    assert [event.name for event in all_of(record, EnvironmentEvent)] == ["HOME"]


def test_code_that_was_decoded_before_it_ran_is_seen(watch: Watch) -> None:
    code = "import base64\nexec(base64.b64decode(b'cHJpbnQoImhpZGRlbiBjb2RlIHJ1bnMiKQ=='))"

    _, record = watch(code)

    decoded = all_of(record, PythonEvent, action="decode")
    assert [event.detail for event in decoded] == ['print("hidden code runs")']
    assert decoded[0].where == "program.py:2"


def test_unpickling_is_seen(watch: Watch) -> None:
    _, record = watch("import pickle\npickle.loads(b'cbuiltins\\nlen\\n.')\nNone")

    assert [event.detail for event in all_of(record, PythonEvent, action="unpickle")] == [
        "builtins.len"
    ]


FORGED = """
import json, os, struct
def frame(kind, said):
    body = json.dumps(said).encode()
    os.write(4, struct.pack('>IB', len(body), kind) + body)
"""


@pytest.mark.parametrize(
    "said",
    ["{}", "[1]", "{'at': 'x', 'action': 'import', 'detail': '', 'where': ''}", "{'at': 1e308}"],
)
def test_evidence_that_is_none_is_left_out(watch: Watch, said: str) -> None:
    result, record = watch(FORGED + f"frame(4, {said})\n7")

    assert result.value == 7
    assert all_of(record, PythonEvent, action="other") == []


def test_evidence_of_later_than_the_end_is_of_the_end(watch: Watch) -> None:
    said = "{'at': 1e9, 'action': 'other', 'detail': 'x', 'where': ''}"

    _, record = watch(FORGED + f"frame(4, {said})\nNone")

    (event,) = all_of(record, PythonEvent, action="other")
    assert event.at < 60


def test_a_guest_that_nobody_watches_has_no_evidence_to_give(reviewer: Sandbox) -> None:
    result = reviewer.run(FORGED + "frame(4, {})\n7")

    assert result.status == "error"
