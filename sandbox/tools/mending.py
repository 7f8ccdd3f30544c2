"""Mends in a model's arguments what can only be meant one way, by what the schema says there."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sandbox.wire import Json, Malformed, decode_json

__all__ = ["Path", "has_member", "member_of", "mend"]

Path: TypeAlias = tuple[str | int, ...]
"""Keys and places that lead to a value in the arguments."""

_KINDS: Final[Mapping[type, frozenset[str]]] = {
    type(None): frozenset({"null"}),
    bool: frozenset({"boolean"}),
    int: frozenset({"integer", "number"}),
    float: frozenset({"number"}),
    str: frozenset({"string"}),
    list: frozenset({"array"}),
    dict: frozenset({"object"}),
}
"""Types of JSON values as Python has them, and the types of a schema that take them."""
_REMARKS: Final = frozenset({"title", "description", "default", "examples", "deprecated"})


def mend(schema: Mapping[str, Json], given: dict[str, Json], path: Path, depth: int) -> bool:
    """Change the value at a path, which did not fit, if it can only be meant otherwise; say if so.

    JSON in a string where no string may stand is read; 2.0 for an integer is 2; null for what may
    be left out and cannot be null is left out, since strict schemas of some providers ask for it.
    depth: how deep the arguments may be nested.
    """
    owner: Any = given
    for step in path[:-1]:
        owner = member_of(owner, step) if has_member(owner, step) else None
    if not path or not has_member(owner, path[-1]):
        return False
    value, place = member_of(owner, path[-1]), _Place.at(schema, path)
    if place.takes(value):
        return False
    if value is None and place.may_be_left_out:
        del owner[path[-1]]
        return True
    meant = _meant(value, depth - len(path))
    if meant is None or not place.takes(meant.value):
        return False
    owner[path[-1]] = meant.value
    return True


def has_member(value: Json, step: str | int) -> bool:
    """Say whether a value has a member under a key or at a place."""
    if isinstance(value, dict):
        return isinstance(step, str) and step in value
    return isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value)


def member_of(value: Any, step: str | int) -> Json:
    """Give that member."""
    member: Json = value[step]
    return member


@dataclass(frozen=True)
class _Meant:
    """What a value stands for."""

    value: Json


def _meant(value: Json, depth: int) -> _Meant | None:
    if isinstance(value, float) and value.is_integer():
        return _Meant(int(value))
    if not isinstance(value, str):
        return None
    try:
        return _Meant(decode_json(value.encode(), depth=depth))
    except Malformed:
        return None


@dataclass(frozen=True)
class _Place:
    """What the schema says of one place in the arguments."""

    nodes: list[Mapping[str, Json]]
    may_be_left_out: bool

    @classmethod
    def at(cls, root: Mapping[str, Json], path: Path) -> "_Place":
        nodes, may_be_left_out = _expanded([root], root), False
        for step in path:
            owners = nodes
            nodes = _expanded(_inner(owners, step), root)
            may_be_left_out = any(
                step in _object(owner.get("properties"))
                and step not in _list(owner.get("required"))
                for owner in owners
            )
        return cls(nodes, may_be_left_out)

    def takes(self, value: Json) -> bool:
        """Say whether the schema takes a value of that type here, whatever its limits are."""
        kinds = _KINDS[type(value)]
        for node in self.nodes:
            if "enum" in node or "const" in node:
                values = [*_list(node.get("enum")), node.get("const", 0)]
                if any(type(each) is type(value) for each in values):
                    return True
            elif not node.keys() - _REMARKS or kinds & {str(node.get("type"))}:
                return True
        return False


def _expanded(nodes: Iterable[Any], root: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """Give the schemas themselves instead of references to them and unions of them."""
    found: list[Mapping[str, Json]] = []
    definitions, seen = _object(root.get("$defs")), set[int]()
    left: list[Json] = list(nodes)
    while left:
        node = left.pop()
        if not isinstance(node, dict) or id(node) in seen:
            continue
        seen.add(id(node))
        reference = str(node.get("$ref", "")).removeprefix("#/$defs/")
        unions = [*_list(node.get("anyOf")), *_list(node.get("oneOf")), *_list(node.get("allOf"))]
        if reference:
            left.append(definitions.get(reference))
        elif unions:
            left += unions
        else:
            found.append(node)
    return found


def _inner(owners: Iterable[Mapping[str, Json]], step: str | int) -> Iterator[Json]:
    """Give the schemas of a member of what several schemas describe."""
    for owner in owners:
        if isinstance(step, str):
            properties = _object(owner.get("properties"))
            yield properties.get(step, owner.get("additionalProperties"))
        else:
            places = _list(owner.get("prefixItems"))
            yield places[step] if step < len(places) else owner.get("items")


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
