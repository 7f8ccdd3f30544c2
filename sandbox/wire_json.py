"""Reads a guest's JSON: one document, bounded, exact, and nothing that JSON does not say."""

import json
import math
import re
from itertools import accumulate, chain
from typing import Final, Never, TypeAlias

__all__ = ["Body", "Json", "Malformed", "decode_json", "refuse"]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A value that JSON can carry. Numbers are finite, strings are valid Unicode."""

Body: TypeAlias = bytes | bytearray

_DIGITS: Final = 4300
_LONG_RUN: Final = b"0" * (_DIGITS + 1)
_ZEROES: Final = bytes.maketrans(b"123456789", b"000000000")
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_MARKS: Final = bytes(set(range(256)) - set(b'[]{}:"'))
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_NOTABLE: Final = frozenset({dict, list, float})


class Malformed(ValueError):
    """Guest bytes that are not what they must be; the reason quotes nothing of the guest's."""


def refuse(reason: str) -> Never:
    """Raise Malformed."""
    raise Malformed(reason)


_DECODER: Final = json.JSONDecoder(parse_constant=lambda name: refuse(f"{name} is not JSON"))


def decode_json(body: Body, *, depth: int) -> Json:
    """Read one JSON document of at most `depth` nested lists and objects.

    Malformed: not UTF-8, a lone surrogate, NaN or infinity in any spelling, a key given twice,
    nested too deep, a number over 4300 digits, anything before or after the document.
    """
    marks = _marks(body)
    # Before the parser, which recurses over lists and takes quadratic time over long integers.
    if marks.count(b"[") + marks.count(b"{") > depth and _deepest(marks) > depth:
        refuse(f"it is nested more than {depth} deep")
    if len(body) > _DIGITS and _has_long_number(body):
        refuse(f"a number has more than {_DIGITS} digits")
    value = _load(body)
    _check(value, members=marks.count(b":"))
    if b"\\" in body and _SURROGATE_ESCAPE.search(body) and not _is_unicode(value):
        refuse("a string has a lone surrogate")
    return value


def _marks(body: Body) -> Body:
    """Leave but brackets and colons outside of strings: of these, each object has one per member.

    Right up to the first fault at least, which is where the parser stops.
    """
    marks = _without_escapes(body).translate(None, _NO_MARKS)
    return _outside_strings(marks.replace(b'""', b""))  # most strings have no marks in them


def _without_escapes(body: Body) -> Body:
    return body.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in body else body


def _outside_strings(plain: Body) -> Body:
    """Leave strings away: without escapes, every other piece between quotes is outside."""
    return b" ".join(plain.split(b'"')[::2]) if b'"' in plain else plain


def _has_long_number(body: Body) -> bool:
    """Look at all that is there first, strings too: seldom is there such a run of digits."""
    return _LONG_RUN in body.translate(_ZEROES) and _LONG_RUN in _outside_strings(
        _without_escapes(body)
    ).translate(_ZEROES)


def _deepest(marks: Body) -> int:
    steps = marks.translate(_STEPS, b": ")
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def _check(value: Json, *, members: int) -> None:
    """Refuse a key given twice, by the number of members that are left, and infinite numbers.

    Looks at a level as a whole, for a large value has many small objects.
    """
    level: list[Json] = [value]
    while level:
        notable = [each for each in level if type(each) in _NOTABLE]
        if not all(math.isfinite(each) for each in notable if isinstance(each, float)):
            refuse("a number is too large")
        objects = [each for each in notable if isinstance(each, dict)]
        members -= sum(map(len, objects))
        inner = [each.values() for each in objects]
        lists = [each for each in notable if isinstance(each, list)]
        level = [*chain.from_iterable(inner), *chain.from_iterable(lists)]
    if members:
        refuse("an object has a key twice")


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
