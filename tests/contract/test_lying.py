"""A guest that lies on the channel of its answer: never a wrong ok, a hang, or a fault of ours."""

import pytest

from sandbox import Sandbox
from tests.conftest import SandboxFor

FORGE = """
import json, os, signal, struct, sys, time

def frame(body, kind=1):
    return struct.pack(">IB", len(body), kind) + body

def send(content):
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(4, rest):]

def value(what):
    return frame(json.dumps({"value": what}).encode())
"""

NO_ANSWERS = {
    "nothing": "",
    "closed": "os.close(4)",
    "garbage": "send(os.urandom(1000))",
    "text": "send(b'HTTP/1.1 200 OK\\r\\n\\r\\n')",
    "zeros": "send(bytes(100_000))",
    "half a header": "send(b'\\0\\0\\0')",
    "half a frame": "send(value(42)[:-3])",
    "two answers": "send(value(42) + value(42))",
    "two different answers": "send(value(1) + value(42))",
    "bytes after the answer": "send(value(42) + b'x')",
    "a huge length": "send(struct.pack('>IB', 0xFFFFFFFF, 1) + b'{\"value\": 42}')",
    "a length of two gigabytes": "send(struct.pack('>IB', 1 << 31, 1) + b'{\"value\": 42}')",
    "an empty body": "send(frame(b''))",
    "an unknown kind": "send(frame(b'{\"value\": 42}', 99))",
    "kind zero": "send(frame(b'{\"value\": 42}', 0))",
    "NaN": "send(frame(b'{\"value\": NaN}'))",
    "infinity": "send(frame(b'{\"value\": -Infinity}'))",
    "a float over all floats": "send(frame(b'{\"value\": 1e999}'))",
    "duplicate keys": 'send(frame(b\'{"value": 1, "value": 42}\'))',
    "duplicate keys within": 'send(frame(b\'{"value": {"a": 1, "a": 42}}\'))',
    "a lone surrogate": 'send(frame(b\'{"value": "\\\\ud800"}\'))',
    "not UTF-8": 'send(frame(b\'{"value": "\\xff"}\'))',
    "UTF-16": "send(frame('{\"value\": 42}'.encode('utf-16')))",
    "ten thousand levels": "send(frame(b'{\"value\": ' + b'[' * 10_000 + b']' * 10_000 + b'}'))",
    "unclosed levels": "send(frame(b'{\"value\": ' + b'[' * 100_000))",
    "a number of a million digits": "send(frame(b'{\"value\": ' + b'9' * 1_000_000 + b'}'))",
    "a list": "send(frame(b'[42]'))",
    "a bare value": "send(frame(b'42'))",
    "no object": "send(frame(b'{}'))",
    "two claims": 'send(frame(b\'{"value": 42, "unfit": "x"}\'))',
    "something beside the value": 'send(frame(b\'{"value": 42, "status": "ok"}\'))',
    "a raised of the wrong shape": 'send(frame(b\'{"raised": {"type": 1}}\'))',
    "trailing JSON": 'send(frame(b\'{"value": 42} {"value": 43}\'))',
    "ten thousand and one partials": "send(frame(b'1', 2) * 10_001 + value(42))",
    "a flood of partials": "send(frame(b'\"' + b'x' * 60_000 + b'\"', 2) * 100 + value(42))",
    "half a frame, then a child's answer": """
send(value(42)[:9])
if os.fork() == 0:
    send(value(42))
    os._exit(0)
os.wait()
""",
}

OVERRULED = {
    "exit 3": ("os._exit(3)", "exit"),
    "exit 70": ("os._exit(70)", "exit"),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", "signal"),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", "signal"),
    "SIGSEGV": (
        "signal.signal(signal.SIGSEGV, signal.SIG_DFL)\nos.kill(os.getpid(), signal.SIGSEGV)",
        "signal",
    ),
    "a hang": ("os.close(4)\ntime.sleep(60)", "timeout"),
    "a flood of output": ("while True: os.write(1, bytes(1 << 16))", "output_limit"),
    "burning on": ("while True: pass", "cpu_limit"),
}


GOES_ON = {
    "itself": "answer()\nlate()\nos._exit(0)",
    "a child": "if os.fork(): answer(); os._exit(0)\nlate()",
    "a grandchild": "if os.fork(): os._exit(0)\nif os.fork(): answer(); os._exit(0)\nlate()",
    "a thread": "import _thread\n_thread.start_new_thread(late, ())\nanswer()\nend_this_thread()",
    "a child, under its name": "if os.fork(): answer(); name(); os._exit(0)\nname()\nlate()",
}
"""Who does something after the answer, within the time that what is left behind has."""

LATE = """
import ctypes

def answer():
    send(value(42))

def late():
    time.sleep(0.06)
    os.write(1, b"late")

def name():
    ctypes.CDLL(None).prctl(15, b"x) Z 0 4 4 4 4 4", 0, 0, 0)

def end_this_thread():
    ctypes.CDLL(None).syscall(93 if os.uname().machine == "aarch64" else 60, 0)
"""


@pytest.mark.parametrize("lie", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_what_is_no_answer_is_an_error(box: Sandbox, lie: str) -> None:
    assert box.run(f"{FORGE}\n{lie}\nos._exit(0)").status == "error"


@pytest.mark.parametrize("lie", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_what_is_no_answer_has_no_value(box: Sandbox, lie: str) -> None:
    assert box.run(f"{FORGE}\n{lie}\nos._exit(0)").value is None


@pytest.mark.parametrize("lie", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_a_lie_before_the_true_answer_spoils_it_or_changes_nothing(box: Sandbox, lie: str) -> None:
    result = box.run(f"{FORGE}\n{lie}\n'true'")

    assert (result.status, result.value) in {("ok", "true"), ("error", None)}


@pytest.mark.slow
@pytest.mark.parametrize(("end", "status"), OVERRULED.values(), ids=OVERRULED.keys())
def test_how_it_ended_overrules_what_it_said(
    sandbox_for: SandboxFor, end: str, status: str
) -> None:
    box = sandbox_for(wall_seconds=3.0, cpu_seconds=0.3)

    assert box.run(f"{FORGE}\nsend(value(42))\n{end}").status == status


@pytest.mark.slow
@pytest.mark.parametrize(("end", "status"), OVERRULED.values(), ids=OVERRULED.keys())
def test_a_bad_end_has_no_value(sandbox_for: SandboxFor, end: str, status: str) -> None:
    box = sandbox_for(wall_seconds=3.0, cpu_seconds=0.3)

    assert (box.run(f"{FORGE}\nsend(value(42))\n{end}").value, status) == (None, status)


def test_a_forged_answer_is_the_guests_own_word(box: Sandbox) -> None:
    result = box.run(f"{FORGE}\nsend(value('mine'))\nos._exit(0)")

    assert (result.status, result.value) == ("ok", "mine")


@pytest.mark.parametrize("who", GOES_ON.values(), ids=GOES_ON.keys())
def test_an_answer_is_not_the_end_of_a_call(box: Sandbox, who: str) -> None:
    result = box.run(f"{FORGE}{LATE}\n{who}")

    assert (result.status, result.stdout) == ("ok", "late")


def test_a_forged_value_over_the_quota_is_not_ok(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(result_bytes=1000)

    assert not box.run(f"{FORGE}\nsend(value('x' * 2000))\nos._exit(0)").ok


def test_a_forged_value_over_the_depth_is_not_ok(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(result_depth=4)

    assert not box.run(f"{FORGE}\nsend(value([[[[[1]]]]]))\nos._exit(0)").ok


def test_a_forged_error_is_an_error(box: Sandbox) -> None:
    lie = '{"raised": {"type": "T", "message": "m", "traceback": "t"}}'
    result = box.run(f"{FORGE}\nsend(frame({lie!r}.encode()))\nos._exit(0)")

    assert (result.status, result.error and result.error.type) == ("error", "T")


@pytest.mark.slow
def test_half_a_frame_and_then_a_hang_is_a_timeout(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(wall_seconds=0.5)

    assert box.run(f"{FORGE}\nsend(value(42)[:9])\ntime.sleep(60)").status == "timeout"


@pytest.mark.differs("gvisor", reason="its pipes take longer for a gigabyte than this call has")
@pytest.mark.slow
@pytest.mark.parametrize("kind", [1, 2, 77])
def test_a_gigabyte_on_the_answer_is_an_error(sandbox_for: SandboxFor, kind: int) -> None:
    box = sandbox_for(wall_seconds=30.0, cpu_seconds=30.0)
    flood = f"block = frame(b'1', {kind}) * 200_000\nfor _ in range(1100): send(block)"

    assert box.run(f"{FORGE}\n{flood}\nos._exit(0)").status == "error"


@pytest.mark.slow
def test_an_endless_flood_on_the_answer_ends_at_a_limit(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(wall_seconds=0.5)

    assert box.run(f"{FORGE}\nwhile True: send(bytes(1 << 16))").status == "timeout"


def test_a_command_answers_nothing_whatever_it_writes(box: Sandbox) -> None:
    result = box.exec(["python3", "-c", f"{FORGE}\nsend(value(42))"])

    assert result.value is None


def test_the_payload_pipe_cannot_be_answered_on(box: Sandbox) -> None:
    assert box.run("import os\nos.write(3, b'x')").status == "error"


def test_only_its_own_descriptors_are_open(box: Sandbox) -> None:
    program = """
import os

def is_open(number):  # the one that lists the folder is closed again
    try:
        return bool(os.fstat(number))
    except OSError:
        return False

[number for number in map(int, os.listdir("/proc/self/fd")) if is_open(number)]
"""
    assert sorted(box.run(program).value) == [0, 1, 2, 4]


SIGNAL = """
import os, time
try:
    os.kill(1, {number})
except PermissionError:  # from gVisor, where PID 1 is another user's
    pass
time.sleep(0.05)
42
"""


@pytest.mark.parametrize("number", [1, 2, 3, 10, 12, 14, 15, 17, 18, 30])
def test_no_signal_to_pid_1_changes_the_call(box: Sandbox, number: int) -> None:
    assert box.run(SIGNAL.format(number=number)).value == 42


@pytest.mark.parametrize("number", [9, 15, 19])
def test_the_guest_cannot_kill_or_stop_pid_1(box: Sandbox, number: int) -> None:
    assert box.run(SIGNAL.format(number=number)).value == 42


def test_a_partial_value_of_the_guest_stays_when_it_fails(box: Sandbox) -> None:
    result = box.run(f"{FORGE}\nsend(frame(b'7', 2))\n1 / 0")

    assert (result.status, result.partial) == ("error", (7,))


def test_a_guest_never_has_a_negative_time(box: Sandbox) -> None:
    result = box.run("import os\nos.kill(1, 2)\nimport time\ntime.sleep(0.05)")

    assert min(result.usage.wall_seconds, result.phases.ran, result.phases.torn_down) >= 0
