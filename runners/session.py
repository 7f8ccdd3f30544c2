"""PID 2 of a session: one turn after the other in the same main module, each answered in JSON.

A turn is written like a call (see guest.py), but its pipe stays open. The session ends with that
pipe. An interrupt, SIGINT, ends the turn that runs and no other.
"""

import base64
import io
import os
import signal
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any, cast

import answer
import branch
import files
import python

Turn = dict[str, Any]
DATA = (bool, int, float, str, list, tuple, dict, type(None))
"""What JSON can say, if all within it is such too."""
TEXT = "text/plain"
MOST_TEXT_CHARACTERS = 100_000
MOST_DISPLAY_BYTES = 8 << 20
NOTHING = None
"""What a new branch answers: its session answers for it."""
REPRESENTATIONS = (
    ("_repr_html_", "text/html"),
    ("_repr_markdown_", "text/markdown"),
    ("_repr_latex_", "text/latex"),
    ("_repr_svg_", "image/svg+xml"),
    ("_repr_json_", "application/json"),
    ("_repr_png_", "image/png"),
    ("_repr_jpeg_", "image/jpeg"),
)
"""What IPython asks of a value, and what each gives."""


def serve(read_turn: Callable[[], Turn], descriptor: int) -> None:
    """Take turns until their pipe ends, and answer each on a descriptor."""
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=__builtins__)
    sys.modules["__main__"] = main
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        turn = read_turn()
        signal.signal(signal.SIGINT, interrupt)
        own_pid = os.getpid()
        body: bytes | None = b""
        try:
            body = _fork(turn) if turn["kind"] == "fork" else _perform(turn, main)
        except KeyboardInterrupt as error:  # it came while we told of the turn
            body = body or python.raised(error)
        finally:
            interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        python.flush()
        if turn["kind"] != "fork" and os.getpid() != own_pid:
            os._exit(0)  # a fork of the program that ends here is not the session
        if body is not NOTHING:
            token = turn["token"].encode()
            answer.send_bytes(descriptor, token + (body or python.raised(KeyboardInterrupt())))


def _fork(turn: Turn) -> bytes | None:
    """Fork; answer in the session, and nothing in the branch, which has told the host itself."""
    try:
        is_branch = branch.fork(turn)
    except Exception as error:  # noqa: BLE001 - too many processes, threads: the host is told
        return python.raised(error)
    return NOTHING if is_branch else answer.encode({"value": None}, depth=2, limit_bytes=100)


def _perform(turn: Turn, main: types.ModuleType) -> bytes:
    """Run one turn and give its answer; whatever it raises is its answer too."""
    limits = {"depth": turn["result_depth"], "limit_bytes": turn["result_bytes"]}
    try:
        value = _act(turn, main)
        if turn["kind"] == "python" and turn["expect_value"]:
            return _show_value(value, limits)
        return answer.encode({"value": value}, **limits)
    except BaseException as error:  # noqa: BLE001 - whatever the code raised goes to the host
        return python.raised(error)


def _act(turn: Turn, main: types.ModuleType) -> Any:
    for name, content in turn["files"]:
        files.write(name, content)
    sys.argv[:] = [turn.get("name", ""), *turn.get("arguments", ())]
    match turn["kind"]:
        case "command":
            return _run_command(turn)
        case "function":
            return python.call_function(turn)
        case _:
            return python.run_in(main, turn)


def _run_command(turn: Turn) -> int:
    """Run a program to its end; give its exit code, or the negative number of its signal."""
    import subprocess  # with threading, whose work after each fork only this case needs

    stdin = turn["stdin"].encode("latin-1")
    return subprocess.run(turn["argv"], input=stdin, check=False).returncode


def _show_value(value: Any, limits: dict[str, int]) -> bytes:
    """Give the value as JSON, if it is data, and in every form in which it shows itself.

    What is not data has no value, and shows itself alone. Forms that are too large are left out.
    """
    display = _figures() | _bundle(value)
    is_data = isinstance(value, DATA)
    kept = cast("object", value) if is_data else None
    whole = answer.encode({"value": kept, "display": display}, **limits)
    if not answer.is_unfit(whole):
        return whole
    text = {kind: form for kind, form in display.items() if kind == TEXT}
    shown = {} if is_data else text
    return answer.encode({"value": kept, "display": shown}, **limits)


def _bundle(value: Any) -> dict[str, str]:
    """Ask a value for its MIME bundle; what fails or is too large is left out."""
    if value is None:
        return {}
    shown: dict[str, str] = {}
    for method, kind in REPRESENTATIONS:
        if hasattr(cast("object", type(value)), method):  # a class shows itself by repr() alone
            _add(shown, kind, getattr(value, method))
    _add(shown, TEXT, lambda: repr(value)[:MOST_TEXT_CHARACTERS])
    return shown


def _add(shown: dict[str, str], kind: str, make: Callable[[], Any]) -> None:
    try:
        content = make()
        if isinstance(content, bytes):
            content = base64.b64encode(content).decode()
        elif content is not None and not isinstance(content, str):
            content = answer.encode_value(content, depth=64).decode()
    except Exception:  # noqa: BLE001 - a value's own code may raise anything
        traceback.print_exc()
        return
    if content is not None and len(content) <= MOST_DISPLAY_BYTES:
        shown[kind] = content.encode(errors="replace").decode()


def _figures() -> dict[str, str]:
    """Draw what a program left open in matplotlib, the newest, as a notebook does; close all."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if not pyplot or not pyplot.get_fignums():
        return {}
    shown: dict[str, str] = {}

    def draw() -> bytes:
        drawn = io.BytesIO()
        pyplot.gcf().savefig(drawn, format="png", bbox_inches="tight")
        return drawn.getvalue()

    _add(shown, "image/png", draw)
    pyplot.close("all")
    return shown
