"""Rewrites a JSON Schema into what a provider takes in strict mode, and says what is lost."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from sandbox.providers.envelope import Provider
from sandbox.wire import Json

__all__ = ["Rewritten", "strict_schema"]

Schema: TypeAlias = dict[str, Json]

_REF: Final = "#/$defs/"
_NULL: Final[Schema] = {"type": "null"}
_NAMES: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
}
_SAID_ONCE: Final = frozenset({"title", "$defs", "description", "discriminator", "$schema"})
"""Keywords that limit nothing and need no words: a discriminator repeats its members' const."""
_REMARKS: Final = frozenset(
    {"default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"}
)
"""Keywords that limit nothing: they are said in words, and nothing is lost."""
_COMMON_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
_NUMBERS: Final = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
)


@dataclass(frozen=True, kw_only=True)
class Rewritten:
    """A schema for strict mode.

    losses: one text for each thing that strict mode cannot say; limits among them stand in the
    descriptions. possible: whether it can be sent as strict at all; if not, schema is the given one
    as it was, to be sent without strict, and losses say why.
    """

    schema: Schema
    losses: tuple[str, ...]
    possible: bool


@dataclass(frozen=True, kw_only=True)
class _Rules:
    """What one provider takes in strict mode."""

    are_all_required: bool
    """Whether each property must be required: an optional one may then be null."""
    may_recurse: bool
    formats: frozenset[str]
    limits: frozenset[str]
    """Keywords of limits that it takes."""
    most_properties: int | None = None
    most_depth: int | None = None
    most_values: int | None = None
    most_characters: int | None = None


_OPENAI: Final = _Rules(
    are_all_required=True,
    may_recurse=True,
    formats=_COMMON_FORMATS,
    limits=_NUMBERS | {"pattern", "minItems", "maxItems"},
    most_properties=5000,
    most_depth=10,
    most_values=1000,
    most_characters=120_000,
)
_ANTHROPIC: Final = _Rules(
    are_all_required=False,
    may_recurse=False,
    formats=_COMMON_FORMATS | {"uri"},
    limits=frozenset(),
)
_RULES: Final[Mapping[Provider, _Rules]] = {
    "openai": _OPENAI,
    "openai-chat": _OPENAI,
    "anthropic": _ANTHROPIC,
}
"""The others take the schema as it is."""


def strict_schema(schema: Mapping[str, Json], provider: Provider) -> Rewritten:
    """Rewrite the schema of a tool's arguments for one provider's strict mode.

    Gemini, its Interactions and MCP have none: the schema is given back as it is.
    """
    rules = _RULES.get(provider)
    if rules is None:
        return Rewritten(schema=dict(schema), losses=(), possible=True)
    writer = _Writer(rules, dict(schema))
    written = writer.write_root()
    if writer.obstacles:
        return Rewritten(schema=dict(schema), losses=tuple(writer.obstacles), possible=False)
    return Rewritten(schema=written, losses=tuple(writer.losses), possible=True)


class _Writer:
    """Rewrites one schema."""

    def __init__(self, rules: _Rules, root: Schema) -> None:
        self.losses: dict[str, None] = {}
        self.obstacles: dict[str, None] = {}
        self._rules = rules
        self._root = root
        self._definitions = _object(root.get("$defs"))
        self._used: dict[str, Schema] = {}
        self._recursive = {name for name in self._definitions if self._reaches(name)}

    def write_root(self) -> Schema:
        """Rewrite all of it."""
        root = {key: value for key, value in self._root.items() if key != "$defs"}
        if self._recursive and not self._rules.may_recurse:
            self._stop("", f"{min(self._recursive)} contains itself")
            return {}
        written = self._write(self._inlined(root), "")
        if written.get("type") != "object":
            self._stop("", "the arguments are no object")
        if self._used:
            written["$defs"] = dict(self._used)
        self._measure(written)
        return written

    def _stop(self, path: str, reason: str) -> None:
        """Note what makes strict mode impossible."""
        self.obstacles[f"{path}: {reason}" if path else reason] = None

    def _lose(self, path: str, reason: str) -> None:
        self.losses[f"{path}: {reason}" if path else reason] = None

    def _reaches(self, start: str) -> bool:
        """Say whether a definition contains itself."""
        seen: set[str] = set()
        left = list(_references(self._definitions[start]))
        while left:
            name = left.pop()
            if name not in seen:
                seen.add(name)
                left += _references(self._definitions.get(name))
        return start in seen

    def _write(self, schema: Json, path: str) -> Schema:
        """Rewrite one schema; what cannot be said is noted, and something is given all the same."""
        if not isinstance(schema, dict) or not schema.keys() - _SAID_ONCE - _REMARKS:
            self._stop(path, "it may be anything")
            return {}
        if "$ref" in schema:
            return self._write_reference(schema, path)
        left = dict(schema)
        core = self._core(left, path)
        return self._described(core, schema, left, path)

    def _write_reference(self, schema: Schema, path: str) -> Schema:
        """Keep a bare reference; one with anything beside it is replaced by what it names."""
        name = str(schema["$ref"]).removeprefix(_REF)
        if not schema.keys() - {"$ref", "title"}:
            self._define(name)
            return {"$ref": schema["$ref"]}
        if name not in self._recursive:
            return self._write(self._inlined(schema), path)
        self._define(name)
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return self._described({"anyOf": [{"$ref": schema["$ref"]}]}, schema, beside, path)

    def _inlined(self, schema: Schema) -> Schema:
        """Put a definition in the place of the reference to it; what stands beside wins."""
        if "$ref" not in schema:
            return schema
        name = str(schema["$ref"]).removeprefix(_REF)
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return {**_object(self._definitions.get(name)), **beside}

    def _define(self, name: str) -> None:
        if name not in self._used:
            self._used[name] = {}
            self._used[name] = self._write(self._definitions.get(name), name)

    def _core(self, left: Schema, path: str) -> Schema:
        """Take the keywords that say what kind of value it is, and rewrite them."""
        for union in ("anyOf", "oneOf"):
            if union in left:
                left.pop("type", None)
                return self._union(left, union, path)
        if "allOf" in left:
            return self._all_of(left, path)
        if "const" in left:
            left["enum"] = [left.pop("const")]
        return self._enum(left, path) if "enum" in left else self._typed(left, path)

    def _typed(self, left: Schema, path: str) -> Schema:
        kind = left.pop("type", None)
        if isinstance(kind, list):
            members: list[Json] = [{**left, "type": each} for each in kind]
            left.clear()
            return {"anyOf": [self._write(each, path) for each in members]}
        if kind == "object":
            return self._write_object(left, path)
        if kind == "array":
            return self._write_array(left, path)
        if not isinstance(kind, str):
            self._stop(path, "it has no type")
        return {"type": kind}

    def _union(self, left: Schema, union: str, path: str) -> Schema:
        if union == "oneOf" and "discriminator" not in left:
            self._lose(path, "exactly one of several is said as one or more of them")
        return {"anyOf": [self._write(each, path) for each in _list(left.pop(union))]}

    def _all_of(self, left: Schema, path: str) -> Schema:
        members = _list(left.pop("allOf"))
        if len(members) > 1:
            self._stop(path, "it must fit several schemas at once")
        merged = {**self._inlined(_object(members[0])), **left}
        left.clear()
        return self._write(merged, path)

    def _enum(self, left: Schema, path: str) -> Schema:
        values = _list(left.pop("enum"))
        left.pop("type", None)
        if any(isinstance(value, dict | list) for value in values):
            self._stop(path, "a constant is an object or a list")
        kinds = {_NAMES.get(type(value), "") for value in values}
        named: list[Json] = [*sorted(kinds)]
        if len(named) == 1:
            return {"type": named[0], "enum": values}
        # A list of types is OpenAI's; without any type a constant is of its own.
        return {"type": named, "enum": values} if self._rules.are_all_required else {"enum": values}

    def _write_object(self, left: Schema, path: str) -> Schema:
        more = left.pop("additionalProperties", None)
        properties = left.pop("properties", None)
        required = _list(left.pop("required", []))
        if (more is not None and more is not False) or "patternProperties" in left:
            self._stop(path, "its names are not fixed")
        if properties is None and more is None:
            self._stop(path, "it is an object of any names")
        written: Schema = {}
        for name, schema in _object(properties).items():
            inner = f"{path}.{name}" if path else name
            written[name] = self._write(schema, inner)
            if self._rules.are_all_required and name not in required:
                written[name] = self._nullable(written[name], _object(schema), inner)
        needed: list[Json] = [*written] if self._rules.are_all_required else required
        return {
            "type": "object",
            "properties": written,
            "required": needed,
            "additionalProperties": False,
        }

    def _nullable(self, written: Json, schema: Schema, path: str) -> Schema:
        """Let a property be null that could be left out. check_arguments() takes it as left out."""
        outer = _object(written)
        if self._takes_null(outer):
            if schema.get("default", ...) is not None:
                self._lose(path, "it cannot be left out: null is null, not the default")
            return outer
        description = outer.pop("description", None)
        members = _list(outer["anyOf"]) if "anyOf" in outer else [outer]
        nullable: Schema = {"anyOf": [*members, dict(_NULL)]}
        return nullable if description is None else {**nullable, "description": description}

    def _takes_null(self, written: Schema) -> bool:
        name = str(written.get("$ref", "")).removeprefix(_REF)
        if name:
            return self._takes_null(self._used.get(name, {}))
        members = _list(written.get("anyOf", []))
        return (
            written.get("type") == "null"
            or None in _list(written.get("enum", []))
            or any(self._takes_null(_object(each)) for each in members)
        )

    def _write_array(self, left: Schema, path: str) -> Schema:
        places = _list(left.pop("prefixItems", []))
        items = left.pop("items", None)
        if not places:
            return {"type": "array", "items": self._write(items, f"{path}[]")}
        is_fixed = left.get("minItems") == left.get("maxItems") == len(places)
        if not is_fixed or any(each != places[0] for each in places):
            self._stop(path, "each place of the list has a type of its own")
        return {"type": "array", "items": self._write(places[0], f"{path}[]")}

    def _described(self, core: Schema, schema: Schema, left: Schema, path: str) -> Schema:
        """Add the limits that can be said to a schema, and words for the others."""
        words: list[str] = []
        for key, value in left.items():
            if key in _SAID_ONCE:
                continue
            if self._takes(key, value):
                core[key] = value
                continue
            if key == "default" and value is None:
                continue
            words.append(f"{key}: {json.dumps(value, ensure_ascii=False)}")
            if key not in _REMARKS:
                self._lose(path, f"{key} is said in words only")
        texts = [str(schema["description"])] if "description" in schema else []
        texts += ["{" + ", ".join(words) + "}"] if words else []
        if texts:
            core["description"] = "\n\n".join(texts)
        return core

    def _takes(self, key: str, value: Json) -> bool:
        if key == "format":
            return value in self._rules.formats
        if key == "pattern":
            # Grammars of constrained decoding know neither looking around nor back.
            return key in self._rules.limits and "(?" not in str(value)
        if key == "minItems" and not self._rules.limits:
            return value in {0, 1}
        return key in self._rules.limits

    def _measure(self, written: Schema) -> None:
        """Compare the size with the provider's ceilings."""
        rules, nodes = self._rules, list(_nodes(written))
        counts = {
            "properties": (
                sum(len(_object(n.get("properties"))) for n in nodes),
                rules.most_properties,
            ),
            "constants": (sum(len(_list(n.get("enum", []))) for n in nodes), rules.most_values),
            "characters": (len(json.dumps(written)), rules.most_characters),
            "levels": (_depth(written), rules.most_depth),
        }
        for what, (count, most) in counts.items():
            if most is not None and count > most:
                self._stop("", f"it has {count} {what}, and strict mode takes {most}")


def _object(value: Json) -> Schema:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _nodes(value: Json) -> Iterator[Schema]:
    """Give every object in a schema."""
    left = [value]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield node
            left += node.values()
        elif isinstance(node, list):
            left += node


def _references(schema: Json) -> Iterator[str]:
    """Give the names of the definitions that a schema refers to."""
    for node in _nodes(schema):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_REF)


def _depth(schema: Json) -> int:
    """Count the levels of objects in one another."""
    if isinstance(schema, list):
        return max(map(_depth, schema), default=0)
    if not isinstance(schema, dict):
        return 0
    return (schema.get("type") == "object") + max(map(_depth, schema.values()), default=0)
