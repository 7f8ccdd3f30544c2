"""The channel of the answer: what a guest says of itself is a claim, and never runs on the host.

Rows M1 to M16 of the catalogue of attacks.
"""

import os
import time
from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.policy import MIB
from sandbox.wire import printable
from tests.conftest import SandboxFor
from tests.escape.host_state import attack

pytestmark = pytest.mark.slow

SHORT = {"memory_bytes": 128 * MIB, "wall_seconds": 1.0}

FORGE = """
import json, os, signal, struct, time

def send(body, length=None):
    head = struct.pack(">IB", len(body) if length is None else length, 1)
    rest = memoryview(head + body)
    while rest:
        rest = rest[os.write(4, rest):]

"""


def test_a_forged_answer_is_the_guests_own_claim(box: Sandbox) -> None:
    """M1: it may name its value itself, and nothing else."""
    result = attack(box, f'{FORGE}send(b\'{{"value": "mine"}}\')\nos._exit(0)')

    assert (result.status, result.value) == ("ok", "mine")


@pytest.mark.parametrize(
    "claim", ['"status": "ok"', '"exit_code": 0', '"usage": {}', '"files": {}']
)
def test_no_claim_reaches_what_the_host_decides(box: Sandbox, claim: str) -> None:
    """M1: a frame with anything but a value is no answer."""
    body = f'{{"value": 1, {claim}}}'.encode()
    result = attack(box, f"{FORGE}send({body!r})\nos._exit(0)")

    assert (result.status, result.value) == ("error", None)


@pytest.mark.parametrize(
    "deed",
    ["os.close(4)", "os.dup2(1, 4)", "os.closerange(0, 100)", "os.dup2(os.open('/tmp/x', 66), 4)"],
    ids=["closed", "turned to stdout", "all closed", "turned to a file"],
)
def test_a_missing_answer_is_an_error(box: Sandbox, deed: str) -> None:
    """M2."""
    result = attack(box, f"import os\n{deed}\n42")

    assert (result.status, result.value) == ("error", None)


ENDS = {
    "an exit code": ("os._exit(3)", "exit"),
    "a signal": ("os.kill(os.getpid(), signal.SIGKILL)", "signal"),
    "a system call that kills": ("__import__('ctypes').string_at(0)", "signal"),
    "a hang": ("time.sleep(60)", "timeout"),
}


@pytest.mark.parametrize(("end", "status"), ENDS.values(), ids=ENDS.keys())
def test_no_answer_makes_a_bad_end_good(sandbox_for: SandboxFor, end: str, status: str) -> None:
    """M3: the answer is right, and what the host saw wins."""
    result = attack(sandbox_for(**SHORT), f"{FORGE}send(b'{{\"value\": 42}}')\n{end}")

    assert (result.status, result.value) == (status, None)


def test_a_grandchild_cannot_answer_after_the_end(sandbox_for: SandboxFor) -> None:
    """M4: what it writes after the true answer makes that no answer, never another one."""
    program = f"""{FORGE}
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while os.getppid() != 1:
            pass
        time.sleep(0.02)
        send(b'{{"value": "from the grave"}}')
    os._exit(0)
"true"
"""
    result = attack(sandbox_for(**SHORT), program)

    assert (result.status, result.value) in {("ok", "true"), ("error", None)}


def test_the_protocol_on_stdout_is_text(box: Sandbox) -> None:
    """M5: nothing is looked for in the output."""
    program = "import os\nos.write(1, b'\\0\\0\\0\\x0d\\x01{\"value\": 1}\\n' * 3)\nNone"
    result = attack(box, program)

    assert (result.status, result.value, result.stdout.count('{"value": 1}')) == ("ok", None, 3)


@pytest.mark.parametrize("length", [1 << 24, 1 << 31, (1 << 32) - 1])
def test_a_huge_length_is_refused_before_it_is_kept(box: Sandbox, length: int) -> None:
    """M6: attack() looks at the host's memory."""
    result = attack(box, f"{FORGE}send(b'x' * (1 << 22), {length})\nos._exit(0)")

    assert (result.status, result.value) == ("error", None)


BODIES = {
    "M7: a hundred thousand levels": "b'{\"value\": ' + b'[' * 100_000 + b']' * 100_000 + b'}'",
    "M7: as many objects": "b'{\"value\": ' + b'{\"a\":' * 50_000 + b'1' + b'}' * 50_001",
    "M8: NaN": "b'{\"value\": NaN}'",
    "M8: infinity": "b'{\"value\": [-Infinity]}'",
    "M8: over all floats": "b'{\"value\": 1e99999}'",
    "M9: a key twice": 'b\'{"value": {"a": 1, "a": 2}}\'',
    "M9: the value twice": 'b\'{"value": 1, "value": 2}\'',
    "M10: not UTF-8": 'b\'{"value": "\\xff\\xfe"}\'',
    "M10: a lone surrogate": 'b\'{"value": "\\\\udc80"}\'',
    "M10: a surrogate in UTF-8": 'b\'{"value": "\\xed\\xa0\\x80"}\'',
    "M10: an overlong slash": 'b\'{"value": "\\xc0\\xaf"}\'',
    "M12: ten thousand digits": "b'{\"value\": ' + b'9' * 10_000 + b'}'",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_what_is_no_plain_json_is_no_answer(box: Sandbox, body: str) -> None:
    """M7 to M10, M12: forged in raw bytes, past the guest's own encoder."""
    result = attack(box, f"{FORGE}send({body})\nos._exit(0)")

    assert (result.status, result.value) == ("error", None)


VALUES = {
    "M7": "value = []\nfor _ in range(100_000):\n    value = [value]\nvalue",
    "M8": "float('nan')",
    "M10": "'\\udc80'",
    "M11": "__import__('pathlib').PurePath('x')",
    "M12: a number": "10 ** 10_000",
    "M12: a set": "{1}",
    "M12: itself": "value = []\nvalue.append(value)\nvalue",
    "M12: __str__": "class Value:\n    def __str__(self):\n        raise SystemExit\nValue()",
}


@pytest.mark.parametrize("program", VALUES.values(), ids=VALUES.keys())
def test_a_value_that_json_cannot_say_is_invalid(box: Sandbox, program: str) -> None:
    """M7 to M12: the guest's own encoder says so, in words."""
    result = attack(box, program)

    assert (result.status, result.value) == ("invalid", None)


def test_a_dict_that_lies_is_what_the_encoder_made_of_it(box: Sandbox) -> None:
    """M12: a subclass with methods of its own: a plain dict, or a reason why not."""
    program = """
class Value(dict):
    def items(self):
        raise RuntimeError("not telling")
Value(a=1)
"""
    result = attack(box, program)

    assert (result.status, result.value) in [("ok", {"a": 1}), ("invalid", None)]


def test_every_kind_of_json_comes_through(box: Sandbox) -> None:
    """M7 to M12, the may."""
    value = {"a": [1, -2.5, None, True, {"b": "\u00e9\U0001f600\x00"}], "big": 10**300}

    assert box.run(f"{value!r}").value == value


PICKLES = {
    "a pickle": "__import__('pickle').dumps({'value': 42})",
    "a pickle that runs": "b'cos\\nsystem\\n(S\"touch /tmp/{0}\"\\ntR.'",
    "a cloudpickle": "__import__('cloudpickle').dumps(lambda: 42)",
    "marshal": "__import__('marshal').dumps({'value': 42})",
}


@pytest.mark.parametrize("body", PICKLES.values(), ids=PICKLES.keys())
def test_nothing_but_json_is_read(box: Sandbox, body: str) -> None:
    """M11: the mark that the second would leave on the host is looked for."""
    mark = f"sandbox-escape-{os.getpid()}"
    result = attack(box, f"{FORGE}send({body.replace('{0}', mark)})\nos._exit(0)")

    assert (result.status, Path(f"/tmp/{mark}").exists()) == ("error", False)


OBJECTS = (
    {"py/object": "os.system", "py/reduce": [{"py/type": "os.system"}, ["true"]]},
    {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "true"}},
    {"__reduce__": ["os.system", ["true"]]},
    {"__class__": "subprocess.Popen", "$ref": "file:///etc/passwd", "!!python/object": "os"},
)


@pytest.mark.parametrize("value", OBJECTS, ids=["jsonpickle", "langchain", "reduce", "others"])
def test_an_object_by_another_name_is_a_dict(box: Sandbox, value: dict[str, object]) -> None:
    """M11: what other decoders would build stays what it is."""
    result = attack(box, repr(value))

    assert (type(result.value), result.value) == (dict, value)


PATCHES = {
    "json": 'import json\njson.dumps = lambda *a, **k: \'{"value": "patched"}\'\n42',
    "exit": "import os\nos._exit = lambda code: None\n42",
    "write": "import os\nos.write = lambda *a: 0 / 0\n42",
    "stdout": "import sys\nsys.stdout = sys.stderr = None\n42",
    "everything": "import sys\nfor module in [*sys.modules]:\n    sys.modules[module] = None\n42",
    "builtins": "import builtins\nfor name in dir(builtins):\n    delattr(builtins, name)\n42",
}


@pytest.mark.parametrize("program", PATCHES.values(), ids=PATCHES.keys())
def test_a_patched_guest_spoils_its_own_answer_only(sandbox_for: SandboxFor, program: str) -> None:
    """M13: whatever came of it, the next call of the same zygote is as ever."""
    box = sandbox_for(**SHORT)
    result = attack(box, program)

    known = result.status in {"ok", "error", "exit", "signal", "timeout", "invalid"}
    assert (known, box.run("import json\njson.dumps(42)").value) == (True, "42")


ESCAPES = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b[31m\u202e\u2066\r\x9b31m\x08"


def test_nothing_that_moves_a_terminal_is_shown(box: Sandbox) -> None:
    """M14: what is shown to a person goes through printable(); the record has the very bytes."""
    result = attack(box, f"print({ESCAPES!r}, end='')")
    shown = printable(result.stdout)

    assert (result.stdout_bytes, {*shown} & {*ESCAPES[:1], *"\x07\r\x9b\x08\u202e\u2066"}) == (
        ESCAPES.encode(),
        set(),
    )


def test_a_file_name_that_moves_a_terminal_is_escaped(box: Sandbox) -> None:
    """M14: where the host says what it left out."""
    program = "import os\nos.symlink('/etc/passwd', '\\x1b[2J\\n\\u202e')"
    result = attack(box, program)
    shown = "".join(f"{left.path}{left.reason}" for left in result.left_out)

    assert (shown != "", {*shown} & {*"\x1b\n\u202e"}) == (True, set())


def test_a_fake_traceback_of_ours_is_the_guests_output(box: Sandbox) -> None:
    """M15: it is on its stderr, and nowhere else."""
    fake = "sandbox.errors.EngineFault: the zygote has ended"
    result = attack(box, f"import sys\nprint({fake!r}, file=sys.stderr)\n42")

    assert (result.status, result.stderr, result.error) == ("ok", f"{fake}\n", None)


def test_an_error_named_after_ours_is_the_guests_error(box: Sandbox) -> None:
    """M15: nothing is raised on the host."""
    program = "class EngineFault(Exception):\n    pass\nraise EngineFault('policy widened')"
    result = attack(box, program)

    assert (result.status, result.error and result.error.type) == ("error", "EngineFault")


@pytest.mark.parametrize("part", ["b'\\0\\0'", "b'\\0\\0\\0\\x20\\x01{\"value\"'"])
def test_half_a_frame_and_a_hang_end_at_the_deadline(sandbox_for: SandboxFor, part: str) -> None:
    """M16."""
    started = time.monotonic()
    result = attack(sandbox_for(**SHORT), f"import os, time\nos.write(4, {part})\ntime.sleep(60)")

    assert (result.status, time.monotonic() - started < 10) == ("timeout", True)
