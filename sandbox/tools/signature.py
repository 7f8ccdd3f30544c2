"""Reads a function's signature: one pydantic model is both its schema and its validator."""

import functools
import inspect
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Unpack, cast, get_args, get_origin

import typing_extensions
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import SchemaError, to_jsonable_python

from sandbox.errors import BadCall
from sandbox.providers.envelope import Data, File, Image, Text
from sandbox.tools.ambiguity import Limits, limits_of
from sandbox.tools.annotations import (
    Injected,
    atoms,
    injected_kind,
    key_annotations,
    read_annotations,
    refused_part,
    written_function,
)
from sandbox.tools.docstrings import Docstring, read_docstring
from sandbox.tools.schema import SchemaWriter, schema_of, unfillable
from sandbox.wire import Json

__all__ = [
    "CallArguments",
    "Injected",
    "Parameter",
    "Signature",
    "read_signature",
]

_NOTHING: Final = inspect.Parameter.empty
_PARTS: Final[tuple[object, ...]] = (Text, Data, Image, File, bytes)
_UNPACKS: Final = (Unpack, typing_extensions.Unpack)


@dataclass(frozen=True, kw_only=True)
class CallArguments:
    """Python values to call the function with; what is injected comes in addition, by keyword."""

    positional: tuple[Any, ...]
    keywords: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One argument that a model may give, as the function's author wrote it."""

    name: str
    annotation: Any
    default: Any = _NOTHING
    """What the function takes when nothing is given; a Field() where the author wrote one."""
    is_positional: bool = False
    """Whether it cannot be given by name."""
    is_optional_key: bool = False
    """Whether it is a key of a TypedDict that may be left out."""

    @property
    def is_left_out(self) -> bool:
        """Whether the function knows what to do when nothing is given."""
        has_default = self.default is not _NOTHING and not isinstance(self.default, FieldInfo)
        return has_default or self.is_optional_key


@dataclass(frozen=True, kw_only=True, eq=False)
class Signature:
    """What a function takes, read once: the schema for models, and the check of what they send.

    injected: parameters that the program gives, by keyword; they are in no schema. returns: checks
    the value; None where nothing is said of it, or JSON cannot tell: content parts, iterators.
    """

    name: str
    docstring: Docstring
    arguments: type[BaseModel]
    """Its fields have names of their own; the parameters' names are their aliases."""
    schema: Mapping[str, Json]
    """JSON Schema (2020-12) of the arguments."""
    injected: Mapping[str, Injected]
    returns: TypeAdapter[Any] | None
    parameters: Mapping[str, Parameter] = field(repr=False)
    """By the names of the model's fields."""
    limits: Limits
    reserved: frozenset[str]
    """Names that no model may give: what is injected, and what a method or a partial has set."""

    @property
    def is_open(self) -> bool:
        """Whether the function takes arguments of any other name too, by **keywords."""
        return self.arguments.model_config.get("extra") == "allow"

    def call_arguments(self, validated: BaseModel) -> CallArguments:
        """Give the values to call with. What was not given is left to the function's defaults."""
        positional: list[Any] = []
        keywords: dict[str, Any] = dict(validated.__pydantic_extra__ or {})
        for place, parameter in self.parameters.items():
            is_given = place in validated.model_fields_set or not parameter.is_left_out
            if parameter.is_positional:
                positional.append(validated.__dict__[place] if is_given else parameter.default)
            elif is_given:
                keywords[parameter.name] = validated.__dict__[place]
        return CallArguments(positional=tuple(positional), keywords=keywords)


def read_signature(function: Callable[..., Any]) -> Signature:
    """Read what a function takes and gives.

    Raises BadCall, with the parameter's name, for what no model could call: a parameter without
    annotation or of a type that JSON cannot say, *arguments, an injected one that has no name.
    """
    hints = read_annotations(written_function(function))
    reader = _Reader(_name_of(function))
    for parameter in _parameters_of(function):
        reader.take(parameter, hints.get(parameter.name, parameter.annotation))
    docstring = read_docstring(inspect.getdoc(_documented(function)), list(reader.given))
    model = reader.model()
    schema = schema_of(model, docstring.arguments)
    return Signature(
        name=reader.name,
        docstring=docstring,
        arguments=model,
        schema=schema,
        limits=limits_of(schema),
        injected=reader.injected,
        returns=_returns(function, hints.get("return", _NOTHING)),
        parameters=reader.places(),
        reserved=frozenset(_all_names(function) - reader.given.keys()) | reader.reserved(),
    )


def _documented(function: Callable[..., Any]) -> object:
    return _documented(function.func) if isinstance(function, functools.partial) else function


def _name_of(function: Callable[..., Any]) -> str:
    documented = _documented(function)
    return str(getattr(documented, "__name__", type(documented).__name__))


def _parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Give the parameters that are left to give: those that a partial has set are not."""
    try:
        parameters = inspect.signature(function).parameters
    except (ValueError, TypeError) as error:
        message = f"the signature of {_name_of(function)} cannot be read: {error}"
        raise BadCall(message) from error
    fixed = set(function.keywords) if isinstance(function, functools.partial) else set[str]()
    return [each for each in parameters.values() if each.name not in fixed]


def _all_names(function: Callable[..., Any]) -> set[str]:
    """Give the names of all parameters, also of those that are set already."""
    written = written_function(function)
    parameters = inspect.signature(getattr(written, "__func__", written)).parameters.values()
    several = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return {each.name for each in parameters if each.kind not in several}


class _Reader:
    """Sorts the parameters of one function, and makes its model."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.given: dict[str, Parameter] = {}
        self.injected: dict[str, Injected] = {}
        self._others: Any = _NOTHING

    def take(self, parameter: inspect.Parameter, annotation: Any) -> None:
        """Take one parameter of the function's."""
        if annotation is _NOTHING:
            raise self._bad(parameter.name, "it has no annotation: say its type")
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            raise self._bad(parameter.name, "models give arguments by name: take a list")
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            return self._take_others(parameter.name, annotation)
        is_positional = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
        return self._add(
            Parameter(
                name=parameter.name,
                annotation=annotation,
                default=parameter.default,
                is_positional=is_positional,
            )
        )

    def _take_others(self, name: str, annotation: Any) -> None:
        """Take **keywords: of a TypedDict, whose keys are arguments, or of any name."""
        if get_origin(annotation) not in _UNPACKS:
            self._check(Parameter(name=name, annotation=annotation))
            self._others = annotation
            return
        for key, (inner, is_required) in key_annotations(get_args(annotation)[0]).items():
            self._add(Parameter(name=key, annotation=inner, is_optional_key=not is_required))

    def _add(self, parameter: Parameter) -> None:
        name, kind = parameter.name, injected_kind(parameter.annotation)
        if name in self.given or name in self.injected:
            raise self._bad(name, "there are two of that name: rename one")
        if kind is None:
            self._check(parameter)
            self.given[name] = parameter
        elif parameter.is_positional:
            raise self._bad(name, "what is injected is given by name: leave the / away")
        else:
            self.injected[name] = kind

    def _check(self, parameter: Parameter) -> None:
        """Refuse what no model may fill, and what no JSON can."""
        reason = refused_part(parameter.annotation)
        if reason is None:
            try:
                probe = create_model("Probe", value=_field(parameter))
                probe.model_json_schema(schema_generator=SchemaWriter)
                reason = unfillable(probe.__pydantic_core_schema__)
            except (PydanticUserError, SchemaError, NameError, TypeError) as error:
                reason = str(error).splitlines()[0]
        if reason is not None:
            raise self._bad(parameter.name, reason)

    def _bad(self, name: str, reason: str) -> BadCall:
        return BadCall(f"the parameter {name!r} of {self.name}() cannot be declared: {reason}")

    def reserved(self) -> set[str]:
        """Give the names of what is injected, and what it is usually called."""
        kinds = {kind for kind in self.injected.values() if isinstance(kind, str)}
        return kinds | self.injected.keys()

    def places(self) -> dict[str, Parameter]:
        """Name the fields: not as the parameters, which may be called `copy`, `json` or `_x`."""
        return {f"argument_{number}": each for number, each in enumerate(self.given.values())}

    def model(self) -> type[BaseModel]:
        """Make the model whose fields are the arguments."""
        fields: dict[str, Any] = {place: _field(each) for place, each in self.places().items()}
        if self._others is _NOTHING:
            config = ConfigDict(extra="forbid")
            return create_model("Arguments", __config__=config, **fields)
        return create_model("Arguments", __base__=_open_base(self._others), **fields)


def _open_base(others: Any) -> type[BaseModel]:
    """Make a model that takes any further names, with values of one type."""
    members = {
        "__module__": __name__,
        "__annotations__": {"__pydantic_extra__": dict[str, others]},
        "model_config": ConfigDict(extra="allow"),
    }
    make: Any = type(BaseModel)
    return cast("type[BaseModel]", make("Open", (BaseModel,), members))


def _field(parameter: Parameter) -> tuple[Any, FieldInfo]:
    """Make a field of the model."""
    annotation, name = parameter.annotation, parameter.name
    if isinstance(parameter.default, FieldInfo):
        annotation = Annotated[annotation, parameter.default]
    made: Any = functools.partial(
        Field, alias=name, validation_alias=name, serialization_alias=name
    )
    if not parameter.is_left_out:
        return annotation, made()
    if parameter.is_optional_key or not _is_sayable(parameter.default):
        # Never seen: the function's own default is taken.
        return annotation, made(default_factory=_nothing)
    return annotation, made(default=parameter.default)


def _nothing() -> None:
    """Stand for a default that JSON cannot say."""


def _is_sayable(default: object) -> bool:
    try:
        to_jsonable_python(default)
    except ValueError:
        return False
    return True


def _returns(function: Callable[..., Any], annotation: Any) -> TypeAdapter[Any] | None:
    """Make what checks a value as JSON. A generator's value is what it returns at its end."""
    if inspect.isgeneratorfunction(function):
        arguments = get_args(annotation)
        is_full = get_origin(annotation) is Generator and len(arguments) == 3
        annotation = arguments[2] if is_full else _NOTHING
    if annotation is _NOTHING or inspect.isasyncgenfunction(function):
        return None
    if any(part in _PARTS for part in atoms(annotation, are_fields_seen=False)):
        return None
    try:
        adapter = TypeAdapter[Any](annotation)
    except (PydanticUserError, SchemaError, NameError, TypeError):
        return None
    return adapter if unfillable(adapter.core_schema) is None else None
