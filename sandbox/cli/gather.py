"""Turns what stands on a command line into a policy, source, inputs and files."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sandbox.cli.options import Options
from sandbox.cli.streams import read_to_end
from sandbox.errors import BadCall
from sandbox.policy import Policy
from sandbox.wire import Json

__all__ = ["gather_files", "gather_input", "gather_policy", "gather_source", "split_words"]

MOST_SOURCE_BYTES: Final = 16 << 20
_FLAGS: Final = {
    "wall_seconds": "--timeout",
    "cpu_seconds": "--cpu-seconds",
    "memory_bytes": "--memory",
    "processes": "--processes",
    "disk_bytes": "--disk",
    "output_bytes": "--output",
    "network": "--network",
}


def gather_policy(options: Options) -> Policy:
    """Load the policy and change it as the options say; they may widen it, and its name says so."""
    policy = Policy.load(options.policy)
    given = {key: getattr(options, key) for key in _FLAGS}
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if not changes:
        return policy
    flags = ", ".join(_FLAGS[key] for key in changes)
    if "network" in changes:
        changes["network"] = _network(options)
    if "disk_bytes" in changes:
        changes["file_bytes"] = changes["disk_bytes"]
    reason = options.reason.strip() or f"{flags} on the command line"
    return policy.widen(reason, name=f"{policy.name} with {flags}", **changes)


def _network(options: Options) -> dict[str, str]:
    if options.network == "none":
        return {"kind": "none"}
    if not options.reason.strip():
        message = "--network full opens all of the host's network: say why in --reason TEXT"
        raise BadCall(message)
    return {"kind": "full", "reason": options.reason}


def split_words(words: Sequence[str], code: str | None) -> tuple[str, Sequence[str]]:
    """Tell the program, "" for code, from its arguments. Raises BadCall when there is neither."""
    if code is not None:
        return "", words
    if words:
        return words[0], words[1:]
    message = "there is nothing to run: give a FILE, - for standard input, or -c CODE"
    raise BadCall(message)


def gather_source(program: str) -> str:
    """Read Python source from a file, or from standard input for "-", as an interpreter would."""
    if program == "-":
        content = read_to_end(0, silence_seconds=None)
    else:
        content = _content(Path(program), MOST_SOURCE_BYTES)
    try:
        return importlib.util.decode_source(content)
    except (SyntaxError, UnicodeDecodeError) as fault:
        message = f"{program}: is no Python source: {fault}: save it as UTF-8"
        raise BadCall(message) from None


def gather_input(text: str) -> tuple[str, Json]:
    """Read NAME=JSON. Raises BadCall."""
    name, equals, document = text.partition("=")
    try:
        if equals:
            return name, json.loads(document)
    except (ValueError, RecursionError):
        pass
    message = f"--input {text!r} is not NAME=JSON: write --input 'xs=[1, 2]' or 'name=\"text\"'"
    raise BadCall(message)


def gather_files(texts: Sequence[str], policy: Policy) -> dict[str, bytes]:
    """Read the files of --file; together they must fit the guest's disk. Raises BadCall."""
    left_bytes = policy.quota.disk_bytes
    contents: dict[str, bytes] = {}
    for text in texts:
        path, name = _local_and_name(text)
        if name in contents:
            message = f"--file {text}: {name} is given twice: name one of them LOCAL:NAME"
            raise BadCall(message)
        contents[name] = _content(path, left_bytes)
        left_bytes -= len(contents[name])
    return contents


def _local_and_name(text: str) -> tuple[Path, str]:
    """Split LOCAL[:NAME]; a file whose own name has a colon is meant as it is."""
    local, colon, name = text.rpartition(":")
    if not colon or Path(text).exists():
        return Path(text), Path(text).name
    return Path(local), name


def _content(path: Path, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except (OSError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else str(fault)
        message = f"{path}: cannot be read: {reason}: check the path"
        raise BadCall(message) from None
    if len(content) > most_bytes:
        message = f"{path}: is over the {most_bytes} bytes that are left for it: see --disk"
        raise BadCall(message)
    return content
