"""Declares a function to a model: its name, what it does, what it takes, what it gives."""

from collections.abc import Callable, Iterator
from typing import Any, Final, Never, cast

from pydantic.json_schema import GenerateJsonSchema

from sandbox.errors import BadCall
from sandbox.providers import encode_definitions
from sandbox.providers.envelope import Declaration, Provider
from sandbox.tools.schema import SchemaWriter, require_tags
from sandbox.tools.signature import Signature, read_signature
from sandbox.wire import Json

__all__ = ["declaration", "from_callable"]

Schema = dict[str, Json]

_REF: Final = "#/$defs/"
_GEMINI_KEYWORDS: Final = frozenset(
    {
        "default",
        "description",
        "format",
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
    }
)
"""Those of JSON Schema that Gemini's own Schema has under the same name and meaning."""


def declaration(
    signature: Signature, *, name: str = "", description: str = "", namespace: str = ""
) -> Declaration:
    """Declare a function that was read, before any provider's rules.

    name, description: the function's own by default; of its docstring what stands before the
    sections. The texts of its arguments are in the parameters.
    """
    returns = signature.returns
    return Declaration(
        name=name or signature.name,
        description=description or signature.docstring.summary,
        parameters=signature.schema,
        returns=returns
        and returns.json_schema(schema_generator=SchemaWriter, mode="serialization"),
        namespace=namespace,
    )


def from_callable(
    function: Callable[..., Any],
    *,
    provider: Provider = "gemini",
    strict: bool = True,
    use_json_schema: bool = True,
) -> Schema:
    """Give the declaration of a function alone, as JSON that goes into a request's `tools`.

    For Gemini it is a FunctionDeclaration, the same as google-genai's from_callable makes where
    that one is right; use_json_schema=False says it in Gemini's own Schema. strict: for the
    others, where the schema can be said so. Raises BadCall for what no model could call.
    """
    signature = read_signature(function)
    if provider != "gemini":
        tools = encode_definitions([declaration(signature)], provider, strict=strict).tools
        return cast("Schema", tools[0])
    declared: Schema = {"name": signature.name, "description": signature.docstring.whole}
    if not use_json_schema:
        if not declared["description"]:
            del declared["description"]  # as google-genai has it in this form, and not in the other
        return declared | _own_schema(signature)
    if signature.parameters or signature.is_open:
        declared["parametersJsonSchema"] = _as_google_writes(signature)
    if signature.returns is not None:
        declared["responseJsonSchema"] = _closed(signature.returns.json_schema())
    return declared


class _TitledWriter(GenerateJsonSchema):
    """Writes as pydantic does by itself, which is what google-genai sends."""

    ignored_warning_kinds = SchemaWriter.ignored_warning_kinds


def _as_google_writes(signature: Signature) -> Schema:
    """Write each parameter as google-genai does, which makes a schema for each on its own."""
    written = signature.arguments.model_json_schema(schema_generator=_TitledWriter)
    require_tags(written)
    definitions: Schema = written.pop("$defs", {})
    properties: Schema = {}
    for place, parameter in signature.parameters.items():
        schema: Schema = written["properties"][parameter.name]
        if signature.arguments.model_fields[place].title is None:
            schema.pop("title", None)
        properties[parameter.name] = _closed(_inlined(schema, definitions))
    declared: Schema = {"type": "object", "properties": properties}
    used = _used([*properties.values()], definitions)
    if used:
        declared["$defs"] = {name: definitions[name] for name in definitions if name in used}
    if signature.is_open:
        declared["additionalProperties"] = written["additionalProperties"]
    return declared | {"required": written.get("required", [])}


def _inlined(schema: Schema, definitions: Schema) -> Schema:
    """Put a definition in the place of the reference to it, unless it contains itself."""
    name = str(schema.get("$ref", "")).removeprefix(_REF)
    if name not in definitions or name in _used([definitions[name]], definitions):
        return schema
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**cast("Schema", definitions[name]), **beside}


def _used(schemas: list[Json], definitions: Schema) -> set[str]:
    """Give the names of all definitions that schemas refer to, also by way of others."""
    used: set[str] = set()
    left = list(schemas)
    while left:
        for name in _references(left.pop()):
            if name not in used:
                used.add(name)
                left.append(definitions.get(name))
    return used


def _references(schema: Json) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield str(schema["$ref"]).removeprefix(_REF)
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _closed(schema: Schema) -> Schema:
    """Say of a tuple that nothing comes after its places."""
    places = schema.get("prefixItems")
    if isinstance(places, list) and len(places) == schema.get("maxItems"):
        return {**schema, "unevaluatedItems": False}
    return schema


def _own_schema(signature: Signature) -> Schema:
    """Give the parameters in Gemini's own Schema; nothing where there are none."""
    if not signature.parameters:
        return {}
    # Without the texts of arguments, which stand in the description already.
    written = signature.arguments.model_json_schema(schema_generator=SchemaWriter)
    require_tags(written)
    return {"parameters": _OwnSchema(signature.name, written.get("$defs", {})).write(written, ())}


class _OwnSchema:
    """Writes JSON Schema as Gemini's Schema: OpenAPI's of old, without references."""

    def __init__(self, name: str, definitions: Schema) -> None:
        self._name = name
        self._definitions = definitions

    def write(self, schema: Json, inside: tuple[str, ...]) -> Schema:
        """Write one schema. inside: the definitions that it stands in."""
        if not isinstance(schema, dict):
            self._refuse("a value of any type")
        if "$ref" in schema:
            name = str(schema["$ref"]).removeprefix(_REF)
            if name in inside:
                self._refuse(f"{name}, which contains itself,")
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            target = cast("Schema", self._definitions[name])
            # Without the docstring of a class, as google-genai has it.
            bare = {key: value for key, value in target.items() if key != "description"}
            return self.write({**bare, **beside}, (*inside, name))
        kept = {key: value for key, value in schema.items() if key in _GEMINI_KEYWORDS}
        if kept.get("default", ...) is None:
            del kept["default"]
        return {**self._core(schema, inside), **kept}

    def _core(self, schema: Schema, inside: tuple[str, ...]) -> Schema:
        members = schema.get("anyOf", schema.get("oneOf"))
        if isinstance(members, list):
            return self._union(members, inside)
        if "const" in schema or "enum" in schema:
            return self._enum(schema.get("enum", [schema.get("const")]))
        match schema.get("type"):
            case "object":
                return self._write_object(schema, inside)
            case "array":
                return self._write_array(schema, inside)
            case kind:
                return {"type": str(kind).upper()} if kind else self._refuse("a value of any type")

    def _union(self, members: list[Json], inside: tuple[str, ...]) -> Schema:
        """Write a union as google-genai does: null becomes `nullable`, one of them stands alone."""
        written = [self.write(each, inside) for each in members if each != {"type": "null"}]
        alone: Schema = {"type": "OBJECT", "anyOf": [*written]}
        declared = written[0] if len(written) == 1 else alone
        return {**declared, "nullable": True} if len(written) < len(members) else declared

    def _enum(self, values: Json) -> Schema:
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            self._refuse("a constant that is no text")
        return {"type": "STRING", "enum": values}

    def _write_object(self, schema: Schema, inside: tuple[str, ...]) -> Schema:
        """Write an object; of a map no more can be said than that it is one."""
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {"type": "OBJECT"}
        written: Schema = {key: self.write(each, inside) for key, each in properties.items()}
        required = schema.get("required")
        needed = [
            name
            for name in (required if isinstance(required, list) else [])
            if not cast("Schema", written[str(name)]).get("nullable")
        ]
        declared: Schema = {"type": "OBJECT", "properties": written}
        return declared | ({"required": needed} if needed or written else {})

    def _write_array(self, schema: Schema, inside: tuple[str, ...]) -> Schema:
        if "prefixItems" in schema:
            self._refuse("a tuple")
        items = schema.get("items")
        return {"type": "ARRAY", "items": self.write(items, inside)} if items else {"type": "ARRAY"}

    def _refuse(self, what: str) -> Never:
        message = f"{self._name}(): {what} cannot be said in Gemini's Schema: use_json_schema=True"
        raise BadCall(message)
