"""Sessions that lie, and what one session sees of another: what answers has run untrusted code."""

import secrets
from collections.abc import Generator

import psutil
import pytest

from sandbox import Sandbox, SessionLost
from sandbox.session import Session
from tests.conftest import COUNTING, SandboxFor
from tests.contract.engines import wait_until
from tests.escape.posture import descriptors, limits, namespaces, status_rows
from tests.escape.syscalls import said
from tests.escape.test_warm import FIND_FILES, LEAVE_FILES, POISON, PRISTINE, QUEUE, SEGMENT

unseen = pytest.mark.differs("gvisor", reason="no process in it is one of the host's")

FORGE = """
import json, os, struct, sys, threading, time

def token():
    at = sys._getframe()
    while "token" not in at.f_locals.get("turn", ()):
        at = at.f_back
    return at.f_locals["turn"]["token"].encode()

def frame(body, kind=1):
    body = token() + body if kind == 1 else body
    return struct.pack(">IB", len(body), kind) + body

def value(what):
    return frame(json.dumps({"value": what}).encode())

def send(content):
    while content:
        content = content[os.write(4, content):]
"""


@pytest.fixture
def turns(sandbox_for: SandboxFor) -> Generator[Session]:
    """A session that can lie, with half a second for a turn."""
    with sandbox_for(wall_seconds=0.5).session() as session:
        session.run(FORGE).unwrap()
        yield session


def answer_or_lost(session: Session, source: str) -> object:
    """Give the value of a turn, or "lost" where there is no session for it any more."""
    try:
        result = session.run(source)
    except SessionLost:
        return "lost"
    return "lost" if result.session_lost else result.value


# A turn whose answer is none

BROKEN = {
    "half a frame": "send(value(42)[:-3])",
    "half a header": "send(b'\\0\\0')",
    "a huge length": "send(struct.pack('>IB', 0xFFFFFFFF, 1))",
    "an unknown kind": "send(frame(b'{\"value\": 42}', 99))",
    "text": "send(b'HTTP/1.1 200 OK\\r\\n\\r\\n')",
    "zeros": "send(bytes(10_000))",
    "two answers": "send(value(1) + value(42))",
    "a closed channel": "os.close(4)",
    "all channels closed": "os.closerange(0, 9)",
    "no more turns": "os.close(3)",
    "another's descriptors": "os.dup2(3, 4)",
}
each_break = pytest.mark.parametrize("lie", BROKEN.values(), ids=BROKEN.keys())


@pytest.mark.slow
@each_break
def test_a_turn_that_breaks_its_channel_is_not_ok_or_says_its_own_value(
    turns: Session, lie: str
) -> None:
    result = turns.run(f"{lie}\n'true'")

    assert (result.ok, result.value) in {(False, None), (True, "true")}


@pytest.mark.slow
@each_break
def test_after_a_broken_channel_no_turn_has_a_wrong_value(turns: Session, lie: str) -> None:
    turns.run(f"{lie}\n'true'")

    assert answer_or_lost(turns, "'mine'") in {"mine", "lost"}


@pytest.mark.slow
@each_break
def test_a_session_that_breaks_its_channel_spoils_no_other(
    turns: Session, box: Sandbox, lie: str
) -> None:
    turns.run(f"{lie}\n'true'")

    with box.session() as other:
        assert other.run("6 * 7").value == 42


NO_ANSWERS = {
    "no JSON": "b'{'",
    "not a number": "b'{\"value\": NaN}'",
    "two keys": 'b\'{"value": 1, "value": 42}\'',
    "a list": "b'[42]'",
    "something beside the value": 'b\'{"value": 42, "status": "ok"}\'',
    "a display that is no object": 'b\'{"value": 42, "display": []}\'',
    "a display of numbers": 'b\'{"value": 42, "display": {"text/html": 1}}\'',
    "a display of no media type": 'b\'{"value": 42, "display": {"html": "x"}}\'',
    "a media type with a line in it": 'b\'{"value": 42, "display": {"text/x\\\\ny": "x"}}\'',
    "a media type of an escape": 'b\'{"value": 42, "display": {"text/\\\\u001b[2J": "x"}}\'',
    "a picture that is no base64": 'b\'{"value": 42, "display": {"image/png": "***"}}\'',
    "a picture of half base64": 'b\'{"value": 42, "display": {"image/png": "eA="}}\'',
    "a picture of other characters": 'b\'{"value": 42, "display": {"image/png": "\\\\u00e4"}}\'',
    "a display of 21 forms": (
        'json.dumps({"value": 42, "display": {f"text/x{n}": "x" for n in range(21)}}).encode()'
    ),
    "parts of a handler": 'b\'{"parts": [{"type": "text", "text": "x"}]}\'',
}


@pytest.mark.slow
@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_what_is_no_answer_is_an_error_without_a_value(turns: Session, body: str) -> None:
    result = turns.run(f"send(frame({body}))\ntime.sleep(60)")

    assert (result.status, result.value, dict(result.display)) == ("error", None, {})


def test_a_display_that_keeps_the_rules_is_taken(turns: Session) -> None:
    """The control: forged by the guest in the same way."""
    body = '{"value": 42, "display": {"text/html": "<b>", "image/png": "eA=="}}'
    result = turns.run(f"send(frame({body!r}.encode()))\ntime.sleep(60)")

    assert (result.value, dict(result.display)) == (42, {"text/html": "<b>", "image/png": b"x"})


# An answer to nobody


@pytest.mark.slow
def test_a_session_that_answers_while_it_waits_is_lost(turns: Session) -> None:
    turns.run("threading.Timer(0.05, send, [value('forged')]).start()")

    assert wait_until(lambda: has_no_files(turns))


@pytest.mark.slow
def test_an_answer_to_nobody_is_not_that_to_the_next_turn(turns: Session) -> None:
    """W5: the answer came before the turn was asked."""
    turns.run("threading.Timer(0.05, send, [value('forged')]).start()")
    wait_until(lambda: has_no_files(turns))

    assert answer_or_lost(turns, "'mine'") == "lost"


def has_no_files(session: Session) -> bool:
    """Look at the work folder; say whether the session is lost."""
    try:
        return bool(session.files)
    except SessionLost:
        return True


@pytest.mark.slow
def test_a_turn_that_answers_and_goes_on_gives_the_next_no_value(turns: Session) -> None:
    turns.run("send(value('early'))\nwhile True: n = 1")

    assert answer_or_lost(turns, "'mine'") in {None, "lost"}


@unseen
@pytest.mark.slow
def test_what_answers_and_goes_on_is_dead_with_its_session(sandbox_for: SandboxFor) -> None:
    name = f"left-{secrets.token_hex(4)}"
    with sandbox_for(wall_seconds=0.5).session() as session:
        session.run(f"{FORGE}\nopen('/proc/self/comm', 'w').write({name!r})").unwrap()
        session.run("send(value('early'))\nwhile True: n = 1")

    assert processes_named(name) == []


CODES = {
    "text": "'0'",
    "a fraction": "0.0",
    "none": "None",
    "larger than any": "10**6",
    "no signal": "-65",
}


@pytest.mark.parametrize("code", CODES.values(), ids=CODES.keys())
def test_a_command_whose_end_is_no_exit_code_is_an_error(turns: Session, code: str) -> None:
    turns.run(
        "import subprocess, types\n"
        f"subprocess.run = lambda *_, **__: types.SimpleNamespace(returncode={code})"
    ).unwrap()

    assert turns.exec(["false"]).status == "error"


LATE = """
def say():
    while True:
        print('late', flush=True)
        time.sleep(0.001)
threading.Thread(target=say, daemon=True).start()
"""


def test_a_thread_that_prints_between_turns_gives_no_value(turns: Session) -> None:
    turns.run(LATE).unwrap()

    assert [turns.run(f"{number}").value for number in range(5)] == [0, 1, 2, 3, 4]


# What one sees of another


def test_a_session_sees_no_files_of_another(box: Sandbox) -> None:
    """W1: while both live."""
    with box.session() as one, box.session() as other:
        left = said(one.run(LEAVE_FILES))

        assert (left, said(other.run(FIND_FILES))) == ("left", "[]")


def test_a_session_sees_no_files_of_one_before(box: Sandbox) -> None:
    with box.session() as one:
        one.run(LEAVE_FILES).unwrap()
    with box.session() as other:
        assert said(other.run(FIND_FILES)) == "[]"


def test_a_call_sees_no_files_of_a_session(box: Sandbox) -> None:
    with box.session() as session:
        session.run(LEAVE_FILES).unwrap()

        assert said(box.run(FIND_FILES)) == "[]"


def test_sessions_of_two_tenants_share_no_names(box: Sandbox) -> None:
    with box.tenant("a").session() as one, box.tenant("b").session() as other:
        one.run("secret = 42").unwrap()

        assert other.run("'secret' in globals()").value is False


PROCESSES = "import os\nsum(name.isdigit() for name in os.listdir('/proc'))"


def test_a_session_sees_no_process_of_another(box: Sandbox) -> None:
    """W2: each has a pid namespace of its own."""
    with box.session() as one, box.session() as other:
        one.run("import os, time\nif os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)").unwrap()

        assert (one.run(PROCESSES).value, other.run(PROCESSES).value) == (3, 2)


def test_a_session_that_kills_all_it_can_leaves_another_alive(box: Sandbox) -> None:
    with box.session() as one, box.session() as other:
        one.run("import os\nos.kill(-1, 9)\nos.kill(1, 9)\nos.kill(os.getpid(), 9)")

        assert other.run("42").value == 42


def test_what_one_session_patched_is_whole_in_another(box: Sandbox) -> None:
    """W3: an interpreter of its own."""
    with box.session() as one, box.session() as other:
        one.run(POISON)
        found = other.run(PRISTINE).value

    assert found == [3, "[1]", "math", False, False, "/box", 0o22, True, 256, 1000]


@pytest.mark.parametrize("program", [SEGMENT, QUEUE], ids=["memory", "queue"])
def test_no_system_v_object_is_shared(box: Sandbox, mechanism: str, program: str) -> None:
    """W4: while both live."""
    with box.session() as one, box.session() as other:
        made = said(one.run(program.format(flags=0o1666)))

        assert (made, said(other.run(program.format(flags=0)))) == (
            str(mechanism in COUNTING),
            "False",
        )


@pytest.mark.slow
def test_a_session_that_is_full_takes_nothing_from_another(sandbox_for: SandboxFor) -> None:
    """W7: quotas are each one's own."""
    fill = "open('full', 'wb').write(bytes(700_000))"
    with sandbox_for(disk_bytes=1 << 20).session() as one:
        one.run(fill).unwrap()
        with sandbox_for(disk_bytes=1 << 20).session() as other:
            assert other.run(fill).status == "ok"


def processes_named(name: str) -> list[int]:
    """Find the processes of a name, as the host numbers them."""
    return [each.pid for each in psutil.process_iter(["name"]) if each.info["name"] == name]


def named(session: Session) -> int:
    """Give the number of a session's process on the host."""
    name = f"turns-{secrets.token_hex(4)}"
    session.run(f"open('/proc/self/comm', 'w').write({name!r})").unwrap()
    (pid,) = processes_named(name)
    return pid


@unseen
def test_two_sessions_share_no_namespace_but_that_of_users_and_time(box: Sandbox) -> None:
    with box.session() as one, box.session() as other:
        mine, theirs = namespaces(named(one)), namespaces(named(other))
    shared = {kind for kind in mine if mine[kind] == theirs[kind]}

    assert shared <= {"user", "time", "time_for_children"}


@unseen
def test_a_session_has_no_descriptor_but_its_five(box: Sandbox) -> None:
    """L2: none of a sibling's that waited, either."""
    with box.session(), box.session() as session:
        assert sorted(descriptors(named(session))) == [0, 1, 2, 3, 4]


CONFINED = ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb", "NoNewPrivs", "Seccomp")


@unseen
def test_a_session_after_its_turns_is_confined_as_before(box: Sandbox) -> None:
    with box.session() as session:
        rows = [*status_rows(named(session))]

    assert [[row[key] for key in CONFINED] for row in rows] == [[f"{0:016x}"] * 5 + ["1", "2"]]


@unseen
def test_a_session_cannot_raise_its_limits(box: Sandbox) -> None:
    raise_it = (
        "import resource\nsoft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (hard + 1, hard + 1))"
    )
    with box.session() as session:
        before = limits(named(session))
        refused = session.run(raise_it)

        assert (refused.status, limits(named(session))) == ("error", before)
