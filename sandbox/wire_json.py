"""Reads a guest's JSON: one document, bounded, exact, and nothing that JSON does not say."""

import json
import math
import re
from itertools import accumulate
from typing import Final, Never, TypeAlias

__all__ = ["Body", "Json", "Malformed", "decode_json", "refuse"]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A value that JSON can carry. Numbers are finite, strings are valid Unicode."""

Body: TypeAlias = bytes | bytearray

_DIGITS: Final = 4300
_LONG_RUN: Final = b"0" * (_DIGITS + 1)
_ZEROES: Final = bytes.maketrans(b"123456789", b"000000000")
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class Malformed(ValueError):
    """Guest bytes that are not what they must be; the reason quotes nothing of the guest's."""


def refuse(reason: str) -> Never:
    """Raise Malformed."""
    raise Malformed(reason)


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else refuse("a number is too large")


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else refuse("an object has a key twice")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=lambda name: refuse(f"{name} is not JSON"),
    parse_float=_finite,
)


def decode_json(body: Body, *, depth: int) -> Json:
    """Read one JSON document of at most `depth` nested lists and objects.

    Malformed: not UTF-8, a lone surrogate, NaN or infinity in any spelling, a key given twice,
    nested too deep, a number over 4300 digits, anything before or after the document.
    """
    # Before the parser, which recurses over lists and takes quadratic time over long integers.
    if body.count(b"[") + body.count(b"{") > depth and _deepest(body) > depth:
        refuse(f"it is nested more than {depth} deep")
    if len(body) > _DIGITS and _LONG_RUN in _outside_strings(body).translate(_ZEROES):
        refuse(f"a number has more than {_DIGITS} digits")
    value = _load(body)
    if _SURROGATE_ESCAPE.search(body) and not _is_unicode(value):
        refuse("a string has a lone surrogate")
    return value


def _outside_strings(body: Body) -> Body:
    """Leave strings away. Right up to the first fault at least, which is where the parser stops.

    Without escaped backslashes and escaped quotes, every other piece between quotes is outside.
    """
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")
    return b" ".join(plain.split(b'"')[::2])


def _deepest(body: Body) -> int:
    brackets = _outside_strings(body).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(memoryview(brackets).cast("b")), default=0)


def _load(body: Body) -> Json:
    try:
        value: Json = _DECODER.decode(body.decode())
    except UnicodeDecodeError:
        return refuse("it is not UTF-8")
    except json.JSONDecodeError as error:
        return refuse(f"it is not JSON at character {error.pos}")
    except RecursionError:
        return refuse("it is nested too deep")
    return value


def _is_unicode(value: Json) -> bool:
    """Say whether UTF-8 can carry all strings: half a surrogate pair may come as an escape."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
