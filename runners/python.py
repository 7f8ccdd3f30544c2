"""Runs Python of the call: source with a value at its end, or a function by name or by value."""

import _ast  # without what ast puts around it, half a megabyte that every guest would copy
import contextlib
import importlib
import linecache
import os
import sys
import traceback
import types
from collections.abc import Iterable
from types import CoroutineType
from typing import Any, cast

import answer

Call = dict[str, Any]
MOST_TRACEBACK_CHARACTERS = 20_000
MOST_MESSAGE_CHARACTERS = 10_000
MOST_ERROR_BYTES = 1 << 18
FOLDER = os.path.dirname(__file__)
AROUND = (FOLDER, "/asyncio")
"""Folders of the code that runs the call, which explains nothing of its errors."""


def perform(call: Call) -> tuple[int, bytes]:
    """Run it; give the exit code and the body of the answer."""
    if call["kind"] == "handler":
        return _perform_handler(call)
    limits = {"depth": call["result_depth"], "limit_bytes": call["result_bytes"]}
    try:
        value = call_function(call) if call["kind"] == "function" else _run_source(call)
        return 0, answer.encode({"value": value}, **limits)
    except SystemExit as request:
        return _exit_code(request), answer.encode({"value": None}, **limits)
    except BaseException as error:  # noqa: BLE001 - whatever the code raised goes to the host
        return 1, raised(error)


def _perform_handler(call: Call) -> tuple[int, bytes]:
    """Run a handler: it is a function, so even sys.exit() in it is an error."""
    try:
        return 0, load("tool").run(call)
    except BaseException as error:  # noqa: BLE001 - ditto
        return 1, raised(error)


_loaded: dict[str, Any] = {}


def load(name: str) -> Any:
    """Give a module of ours that not every call needs; import it if the zygote did not."""
    if name not in _loaded:
        load_all((name,))
    return _loaded[name]


def load_all(names: Iterable[str]) -> None:
    """Import modules of ours."""
    sys.path.insert(0, FOLDER)
    try:
        for name in names:
            _loaded[name] = importlib.import_module(name)
    finally:
        sys.path.remove(FOLDER)
    forget_names()


def forget_names() -> None:
    """Take our modules off the list of modules: a program may have some of these names."""
    for name, module in [*sys.modules.items()]:
        is_ours = os.path.dirname(getattr(module, "__file__", None) or "") == FOLDER
        if is_ours and name != "__main__":
            del sys.modules[name]


def raised(error: BaseException) -> bytes:
    """Show what was raised as an interpreter does, and give the answer that tells it."""
    described = _describe(error)
    _show(described["traceback"])
    return answer.encode({"raised": described}, depth=2, limit_bytes=MOST_ERROR_BYTES)


def compile_program(
    source: str, name: str, *, split: bool
) -> tuple[types.CodeType, types.CodeType | None]:
    """Compile source; split off the expression that it ends with, if it does."""
    tree = cast("_ast.Module", compile(source, name, "exec", _ast.PyCF_ONLY_AST))
    if not split or not tree.body or not isinstance(last := tree.body[-1], _ast.Expr):
        return compile(tree, name, "exec"), None
    tree.body.pop()
    return compile(tree, name, "exec"), compile(_ast.Expression(last.value), name, "eval")


def _run_source(call: Call) -> Any:
    """Run source as a main module of its own."""
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=call["name"], __builtins__=__builtins__)
    sys.modules["__main__"] = main
    return run_in(main, call)


def run_in(main: types.ModuleType, call: Call) -> Any:
    """Run source in a module, its inputs as names in it; give the value of its last expression."""
    name, source = call["name"], call["source"]
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    main.__dict__.update(call["inputs"])
    try:
        statements, last = compile_program(source, name, split=call["expect_value"])
    except SyntaxError as error:
        raise error.with_traceback(None) from None  # the compiler's own frames explain nothing
    exec(statements, main.__dict__)  # noqa: S102 - the point of a runner
    return eval(last, main.__dict__) if last else None  # noqa: S307 - ditto


def call_function(call: Call) -> Any:
    """Call a function that was named, or that the host sent by value; await what is awaitable."""
    function = _unpickle(call["pickled"]) if call["pickled"] else _find(call["name"])
    value = function(*call["arguments"], **call["keywords"])
    if type(value) is CoroutineType:
        import asyncio  # 20 ms that only this case needs

        return asyncio.run(cast("CoroutineType[Any, Any, Any]", value))
    return value


def _find(name: str) -> Any:
    """Import a function by its name, "module:name"."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _unpickle(pickled: str) -> Any:
    """Make a function from what the host, which this side trusts, pickled."""
    import pickle  # only this case needs it

    return pickle.loads(bytes.fromhex(pickled))  # noqa: S301 - from the host, to the guest


def _exit_code(request: SystemExit) -> int:
    """Give the exit code that an interpreter gives, sys.exit()."""
    if request.code is None:
        return 0
    if isinstance(request.code, int):
        return request.code & 0xFF
    _show(f"{request.code}\n")
    return 1


def _describe(error: BaseException) -> dict[str, str]:
    """Say what was raised, without our own frames around it."""
    trace = error.__traceback__
    while trace and os.path.dirname(trace.tb_frame.f_code.co_filename).endswith(AROUND):
        trace = trace.tb_next
    try:
        lines = traceback.format_exception(type(error), error, trace)
    except Exception:  # noqa: BLE001 - a guest's own exception may fail to show itself
        lines = [f"{type(error).__name__}\n"]
    text = "".join(lines)[-MOST_TRACEBACK_CHARACTERS:]
    message = answer.text_of(error)[:MOST_MESSAGE_CHARACTERS]
    said = {"type": type(error).__name__[:1000], "message": message, "traceback": text}
    # Half a surrogate pair can be in any of them, and in no JSON.
    return {key: words.encode(errors="backslashreplace").decode() for key, words in said.items()}


def flush() -> None:
    """Write out what the program printed, whatever it did to its streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue


def _show(text: str) -> None:
    """Write to stderr, whatever the program did to it."""
    with contextlib.suppress(Exception):
        sys.stderr.write(text)
