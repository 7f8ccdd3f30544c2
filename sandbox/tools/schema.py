"""Writes JSON Schema of pydantic's models: all that can be called, and no more than that."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import core_schema

from sandbox.wire import Json

__all__ = ["SchemaWriter", "require_tags", "schema_of", "unfillable"]

_NOT_FROM_JSON: Final = {
    "is-instance": "it takes objects that no JSON can say",
    "is-subclass": "it takes classes, which no JSON can say",
    "callable": "it takes functions, which no JSON can say",
    "generator": "it is an iterator, whose values would be checked too late: take a list",
}
"""Kinds of pydantic's schemas that it declares, yet that no JSON can fill."""
_WHOLE: Final = "^-?[0-9]{1,18}$"
_DECIMAL: Final = r"^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$"
_NOT_READ: Final = frozenset(
    {"python_schema", "lax_schema", "metadata", "serialization", "default"}
)
"""Members of pydantic's schemas that say nothing of JSON that is read strictly."""


def schema_of(model: type[BaseModel], texts: Mapping[str, str]) -> dict[str, Json]:
    """Write the schema of arguments.

    texts: of the docstring, by argument; the author's own Field(description=) wins over them.
    """
    written = cast("dict[str, Json]", model.model_json_schema(schema_generator=SchemaWriter))
    del written["title"]
    properties = cast("dict[str, dict[str, Json]]", written["properties"])
    for name, text in texts.items():
        properties[name].setdefault("description", text)
    require_tags(written)
    return written


def require_tags(schema: dict[str, Json]) -> None:
    """Require what tells the members of a union apart: pydantic does, also where it has a default.

    In place. schema: of the arguments, with all definitions.
    """
    definitions = cast("dict[str, dict[str, Any]]", schema.get("$defs", {}))
    for node in list(_nodes(schema)):
        if "discriminator" not in node or "oneOf" not in node:
            continue
        tag = cast("dict[str, str]", node["discriminator"])["propertyName"]
        for member in cast("list[dict[str, str]]", node["oneOf"]):
            owner = definitions.get(member.get("$ref", "").removeprefix("#/$defs/"), {})
            if tag not in owner.get("required", ()):
                owner["required"] = [*owner.get("required", ()), tag]


def unfillable(schema: object) -> str | None:
    """Say why JSON cannot fill a schema of pydantic's that it declares all the same."""
    for node in _nodes(schema):
        kind = node.get("type")
        if isinstance(kind, str) and kind in _NOT_FROM_JSON:
            return _NOT_FROM_JSON[kind]
    return None


def _nodes(schema: object) -> Iterator[dict[str, object]]:
    """Give all of a core schema that is used when JSON is read strictly."""
    left = [schema]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            members = cast("dict[str, object]", node)
            yield members
            left += [value for key, value in members.items() if key not in _NOT_READ]
        elif isinstance(node, list | tuple):
            left += cast("list[object]", node)


class SchemaWriter(GenerateJsonSchema):
    """Says in JSON Schema what the model takes, and no more than that."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {  # noqa: RUF012  # as its base has it
        "skipped-choice",
        "non-serializable-default",
    }

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002  # its base's
        """Leave out titles that only repeat a name."""
        return False

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Say what the text of a number looks like; without looking around, which few can read."""
        written = super().decimal_schema(schema)
        for member in written.get("anyOf", [written]):
            if member.get("type") == "string":
                member["pattern"] = _DECIMAL
        return written

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Say what the keys look like where they are whole numbers; refuse what no text can be."""
        written = super().dict_schema(schema)
        if "keys_schema" not in schema:
            return written
        keys = self.generate_inner(schema["keys_schema"])
        constants = keys.get("enum", [keys.get("const", "")])
        if keys.get("type", "string") not in {"string", "integer"} or _has_number(constants):
            message = "the keys of its dict cannot be read from texts"
            raise PydanticInvalidForJsonSchema(message)
        if keys.get("type") == "integer":
            written["propertyNames"] = {"pattern": _WHOLE}
        return written


def _has_number(constants: list[object]) -> bool:
    return any(not isinstance(each, str) for each in constants)
