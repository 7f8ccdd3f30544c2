"""Turns what a call gave into one JSON frame. Exact JSON or a reason why not; never a guess."""

import json
import os
import struct
from itertools import chain
from typing import Any, cast

ANSWER, PARTIAL, NOTE = 1, 2, 3
PLAIN = {list, tuple, str, int, float, bool, type(None)}
NESTED = (dict, list, tuple)
HEADER = struct.Struct(">IB")


class NotJson(ValueError):
    """A value that JSON cannot say, or that is larger or deeper than the policy allows."""


def encode(document: dict[str, Any], *, depth: int, limit_bytes: int) -> bytes:
    """Encode an answer, or give the answer that says why it cannot be one."""
    try:
        body = _encode(document, depth)
    except NotJson as reason:
        return unfit(str(reason))
    except RecursionError:
        return unfit(f"the value is nested deeper than {depth} levels")
    except Exception as fault:  # noqa: BLE001 - a guest's own class may raise anything here
        return unfit(f"the value is not JSON: {type(fault).__name__}: {text_of(fault)}")
    if len(body) > limit_bytes:
        return unfit(
            f"the value is {len(body)} bytes of JSON, over {limit_bytes}: quota.result_bytes"
        )
    return body


def encode_value(value: Any, *, depth: int) -> bytes:
    """Encode a value that goes before the answer. Raises ValueError for what is not JSON."""
    return _encode({"": value}, depth)[len(b'{"":') : -1]


def unfit(reason: str) -> bytes:
    """Give the answer that says why there is none."""
    return json.dumps({"unfit": reason[:1000]}).encode(errors="backslashreplace")


def is_unfit(body: bytes) -> bool:
    """Tell an answer that says why there is none."""
    return body.startswith(b'{"unfit"')


def _encode(document: dict[str, Any], depth: int) -> bytes:
    text = json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    if not _is_plain(document, depth):
        json.loads(text, object_pairs_hook=_unique)
    return text.encode()  # a lone surrogate is refused here


def _is_plain(document: dict[str, Any], depth: int) -> bool:
    """Say whether all keys are strings, which then differ in JSON too.

    Refuses what is nested too deep, level by level: no recursion of our own. Looks at a level as a
    whole, for a large value has many small objects.
    """
    level: list[Any] = list(document.values())
    is_plain = True
    for _ in range(depth):
        objects: list[dict[Any, Any]] = [value for value in level if type(value) is dict]
        others = [value for value in level if type(value) is not dict]
        is_plain = is_plain and {*map(type, others)} <= PLAIN
        is_plain = is_plain and {*map(type, chain.from_iterable(objects))} <= {str}
        members = (value.values() for value in objects)
        inner = chain(chain.from_iterable(members), chain.from_iterable(map(_items, others)))
        level = [value for value in inner if isinstance(value, NESTED)]
        if not level:
            return is_plain
    reason = f"the value is nested deeper than {depth} levels: quota.result_depth"
    raise NotJson(reason)


def _items(value: Any) -> list[Any]:
    """Give what is within a value that is no plain dict."""
    if isinstance(value, dict):
        return list(cast("dict[Any, Any]", value).values())
    return list(cast("list[Any]", value)) if isinstance(value, list | tuple) else []


def _unique(pairs: list[tuple[str, Any]]) -> None:
    """Refuse keys that differ in Python and are the same in JSON, such as 1 and "1"."""
    if len({key for key, _ in pairs}) < len(pairs):
        reason = "the value has two keys that are the same in JSON"
        raise NotJson(reason)


def text_of(fault: BaseException) -> str:
    """Give the message of an exception whose own code may fail."""
    try:
        return str(fault)
    except Exception:  # noqa: BLE001 - ditto
        return "(its message cannot be shown)"


def send(descriptor: int, document: dict[str, Any]) -> None:
    """Send an answer of our own making."""
    send_bytes(descriptor, json.dumps(document).encode())


def send_bytes(descriptor: int, body: bytes, kind: int = ANSWER) -> None:
    """Write one frame; a host that has gone is not our concern."""
    rest = memoryview(HEADER.pack(len(body), kind) + body)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        return
