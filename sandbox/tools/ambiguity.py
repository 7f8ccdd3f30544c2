"""Bounds the work of checking: how deep and how long arguments may be for one schema."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sandbox.wire import Json

__all__ = ["Limits", "limits_of"]

_MOST_TRIED: Final = 256
_REF: Final = "#/$defs/"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of the arguments of one call. depth: nested lists and objects. characters: as JSON."""

    depth: int = 40
    characters: int = 1 << 20


def limits_of(schema: Mapping[str, Json]) -> Limits:
    """Give the limits for a schema: narrow ones for recursive unions without a discriminator.

    Each level of `A | B`, where both contain `A | B` again, is tried as the one and as the other,
    so that the time doubles with each level: a model could stop the host with a short text.
    """
    definitions = schema.get("$defs")
    if not isinstance(definitions, dict):
        return Limits()
    reached = {name: _reached(name, definitions) for name in definitions}
    recursive = {name for name, names in reached.items() if name in names}
    unions = [node.get("anyOf") for each in definitions.values() for node in _nodes(each)]
    tried = max((_alike(union, definitions, recursive) for union in unions), default=1)
    if tried < 2:
        return Limits()
    return Limits(depth=int(math.log(_MOST_TRIED, tried) + 0.001), characters=1 << 16)


def _reached(start: str, definitions: Mapping[str, Json]) -> set[str]:
    """Give the definitions that one contains, also by way of others."""
    found: set[str] = set()
    left = list(_references(definitions[start]))
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += _references(definitions.get(name))
    return found


def _alike(union: Json, definitions: Mapping[str, Json], recursive: set[str]) -> int:
    """Count the members of a union that contain themselves and look alike: objects, or lists."""
    kinds: Counter[Json] = Counter()
    for member in union if isinstance(union, list) else ():
        if isinstance(member, dict) and recursive.intersection(_references(member)):
            name = str(member.get("$ref", "")).removeprefix(_REF)
            target = definitions.get(name, member)
            kinds[target.get("type") if isinstance(target, dict) else None] += 1
    return max(kinds.values(), default=0)


def _references(schema: Json) -> Iterator[str]:
    for node in _nodes(schema):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_REF)


def _nodes(value: Json) -> Iterator[dict[str, Json]]:
    left = [value]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield node
            left += node.values()
        elif isinstance(node, list):
            left += node
