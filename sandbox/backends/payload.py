"""How a call is written for a guest; runners/guest.py reads it. Host to guest only."""

import json
import struct
from typing import Any

from sandbox.call import Call, Command, Function, Handler, Source
from sandbox.policy import Quota

__all__ = ["encode_call", "encode_fork", "encode_session", "encode_turn", "encode_watched_call"]


def encode_call(call: Call, quota: Quota) -> bytes:
    """Write a call: the length of its JSON in 4 bytes, the JSON, the files one after the other."""
    document = _document(call, quota)
    return _with_length(document) + b"".join(call.files.values())


def encode_watched_call(call: Call, quota: Quota) -> bytes:
    """Write a call whose guest tells where its own code begins, and what its Python does."""
    document = {**_document(call, quota), "is_watched": True}
    return _with_length(document) + b"".join(call.files.values())


def encode_session() -> bytes:
    """Write what makes a guest a session's: turns follow it."""
    return _with_length({"kind": "session", "files": []})


def encode_fork(folder: str, gone: list[str], token: str) -> bytes:
    """Write the turn that has a session fork itself, with a folder of this name for the copy.

    gone: the folders of branches that are closed, for it to remove. token: begins the answer.
    """
    document = {"kind": "fork", "files": [], "folder": folder, "gone": gone, "token": token}
    return _with_length(document)


def encode_turn(call: Call, quota: Quota, token: str) -> bytes:
    """Write a turn of a session: a call, with the standard input of its own program beside it.

    token: ASCII; the answer begins with it.
    """
    document = {**_document(call, quota), "stdin": call.stdin.decode("latin-1"), "token": token}
    return _with_length(document) + b"".join(call.files.values())


def _with_length(document: dict[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    return struct.pack(">I", len(body)) + body


def _document(call: Call, quota: Quota) -> dict[str, Any]:
    return {
        "files": [[name, len(content)] for name, content in call.files.items()],
        "result_bytes": quota.result_bytes,
        "result_depth": quota.result_depth,
        **_describe(call, quota),
    }


def _describe(call: Call, quota: Quota) -> dict[str, Any]:
    match call:
        case Source():
            return {
                "kind": "python",
                "name": call.name,
                "arguments": list(call.arguments),
                "source": call.source,
                "inputs": dict(call.inputs),
                "expect_value": call.expect_value,
            }
        case Function():
            return {
                "kind": "function",
                "name": call.name,
                "arguments": list(call.arguments),
                "keywords": dict(call.keywords),
                "pickled": call.pickled.hex(),
            }
        case Handler():
            return {
                "kind": "handler",
                "name": call.name,
                "arguments": [],
                "injected": dict(call.injected),
                "context": dict(call.context),
                "wall_seconds": quota.wall_seconds,
                "grace_seconds": quota.grace_seconds,
                "pickled": call.pickled.hex(),
            }
        case Command():
            return {"kind": "command", "argv": list(call.argv)}
