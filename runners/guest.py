"""PID 2 of a guest: reads one call from the host, becomes it, and answers in JSON.

The call comes on PAYLOAD as a 4-byte length, JSON, and the bytes of the files one after the other.
The answer goes to ANSWER as one frame. Whoever runs here owns this process from the first line of
its code on: nothing after that is trusted, and the host does not.
"""

import atexit
import io
import json
import linecache
import os
import select
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import answer
import files
import python

PAYLOAD, ANSWER = 3, 4  # the same numbers as in init.py, which a fresh interpreter has not loaded
NOT_FOUND, NOT_EXECUTABLE = 127, 126
BEGIN = "/run/sandbox/begin"  # ditto, in watcher.py

REHEARSAL_BYTES = 1000
REHEARSAL = json.dumps(
    {
        "kind": "python",
        "source": "def f(x):\n    return {'a': [x, 1.5, 'b']}\nf(a)",
        "name": "rehearsal.py",
        "arguments": [],
        "inputs": {"a": 1},
        "expect_value": True,
        "result_depth": 8,
        "result_bytes": REHEARSAL_BYTES,
        "files": [],
    }
).encode()

HASTE_SECONDS = 0.002
"""A call that is there so soon had nothing parked for it: it is not kept waiting any longer."""
UNTIL_SETTLED = 20  # as in init.py

Call = dict[str, Any]


def warm_up(*, preload: tuple[str, ...] = ()) -> None:
    """Do once in the zygote what every guest would do again: what is done is shared.

    preload: modules of ours that a fresh interpreter loads only if its call needs them.
    """
    python.load_all(preload)
    _rehearse(UNTIL_SETTLED)
    sys.path.insert(0, files.WORK_FOLDER)
    # Unbuffered, as python -u has it: what was printed before a limit struck is not lost.
    for name, descriptor, errors in (("stdout", 1, "strict"), ("stderr", 2, "backslashreplace")):
        stream = _unbuffered(descriptor, errors)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _unbuffered(descriptor: int, errors: str) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    raw.name = "<stdout>" if descriptor == 1 else "<stderr>"
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, write_through=True)


def main(python_path: list[str]) -> None:
    """Take a call in a fresh interpreter."""
    sys.path.pop(0)  # the folder of the runners
    sys.path.extend(python_path)
    warm_up()
    run()


def run() -> NoReturn:
    """Read the call and become it. Never returns."""
    _get_ready()
    call = _read_call()
    if call["kind"] == "session":
        python.load("session").serve(_read_call, ANSWER)
    os.close(PAYLOAD)
    for name, content in call["files"]:
        files.write_new(name, content)
    if call["kind"] == "command":
        _begin(call)
        _become_command(call)
    _become_python(call)


def _begin(call: Call) -> None:
    """Tell a watcher, if there is one, that what it sees from now on is the call's."""
    if call.get("is_watched"):
        os.access(BEGIN, os.F_OK)


def _get_ready() -> None:
    """Do what every call needs and, if there is time, a call of no effect.

    Each first write to a page that is shared with the zygote costs a fault, and a call comes upon
    hundreds. What this one wrote to is this process's own when the real one comes.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if numpy_random := sys.modules.get("numpy.random"):
        numpy_random.seed()  # preloaded: unlike random it does not do so after a fork
    if not select.select([PAYLOAD], [], [], HASTE_SECONDS)[0]:
        _rehearse(1)


def _rehearse(times: int) -> None:
    """Perform calls of no effect, and leave nothing of them."""
    main, arguments = sys.modules["__main__"], sys.argv[:]
    reads, writes = os.pipe()
    for _ in range(times):
        os.write(writes, struct.pack(">I", len(REHEARSAL)) + REHEARSAL)
        _, body = _perform(_read_call(reads))
        _sum_up()
        answer.send_bytes(writes, body)
        os.read(reads, REHEARSAL_BYTES)
    os.close(reads)
    os.close(writes)
    linecache.clearcache()
    sys.modules["__main__"], sys.argv[:] = main, arguments


def _read_call(source: int = PAYLOAD) -> Call:
    """Read one call, with the contents of its files."""
    (size,) = struct.unpack(">I", _read(source, 4))
    call: Call = json.loads(_read(source, size))
    call["files"] = [(name, _read(source, size_bytes)) for name, size_bytes in call["files"]]
    return call


def _read(source: int, size: int) -> bytes:
    """Read exactly so many bytes of the call; a host that ends before that ends this."""
    content = bytearray()
    while len(content) < size:
        more = os.read(source, min(size - len(content), 1 << 18))
        if not more:
            os._exit(1)
        content += more
    return bytes(content)


def _become_command(call: Call) -> NoReturn:
    """Replace this process by the program; if there is none, say so and exit as a shell would."""
    program, *_ = argv = call["argv"]
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, programs expect them
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(program, argv, dict(os.environ))
    except OSError as fault:
        message = f"cannot run {program!r}: {fault.strerror}"
        answer.send(ANSWER, {"raised": _raised(type(fault).__name__, message)})
        is_missing = isinstance(fault, FileNotFoundError)
        os._exit(NOT_FOUND if is_missing else NOT_EXECUTABLE)


def _raised(kind: str, message: str) -> dict[str, str]:
    return {"type": kind, "message": message, "traceback": ""}


def _become_python(call: Call) -> NoReturn:
    """Run source or a function to its end, threads and exit handlers included, then answer."""
    own_pid = os.getpid()
    stop = _gather_evidence(call)
    _begin(call)
    exit_code, body = _perform(call)
    if call["kind"] != "handler":  # what a handler leaves behind is counted, not waited for
        _finish_threads()
    _sum_up()
    stop()
    if os.getpid() == own_pid:  # a fork of the program that ends here is not the call
        answer.send_bytes(ANSWER, body)
    os._exit(exit_code)


def _sum_up() -> None:
    """Write out what was printed; have the kernel count up to here, where the host may look."""
    python.flush()
    os.times()


def _gather_evidence(call: Call) -> Callable[[], None]:
    """Have the program's own Python tell a reviewer what only it knows; give what ends that.

    Not of a handler, whose threads may be in the midst of a frame of their own.
    """
    if not call.get("is_watched") or call["kind"] == "handler":
        return lambda: None
    gathering = python.load("evidence").Evidence(ANSWER)
    gathering.start()
    stop: Callable[[], None] = gathering.stop
    return stop


def _perform(call: Call) -> tuple[int, bytes]:
    sys.argv[:] = [call["name"], *call["arguments"]]
    return python.perform(call)


def _finish_threads() -> None:
    """Wait for threads and run exit handlers, as an interpreter does at its end."""
    try:
        # Not imported before: its work after each fork costs more than all else here.
        if threading := sys.modules.get("threading"):
            threading._shutdown()
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage] - has no public name
    except BaseException as error:  # noqa: BLE001 - the guest's own, shown as Python shows it
        sys.excepthook(type(error), error, error.__traceback__)
