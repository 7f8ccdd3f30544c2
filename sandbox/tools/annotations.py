"""Looks into annotations: what is injected, what no model may fill, what pydantic must learn."""

import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NotRequired,
    Required,
    TypeAlias,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import typing_extensions
from pydantic import BaseModel, GetCoreSchemaHandler, ImportString
from pydantic.types import PathType
from pydantic_core import CoreSchema

from sandbox.errors import BadCall
from sandbox.tools.context import Context, Progress, Resource

__all__ = [
    "Injected",
    "atoms",
    "injected_kind",
    "key_annotations",
    "read_annotations",
    "refused_part",
    "written_function",
]

Injected: TypeAlias = Literal["context", "progress"] | Resource
"""What the program gives to a parameter; a model never can."""

_OWED: Final = (Required, NotRequired, typing_extensions.Required, typing_extensions.NotRequired)
_IMPORT: Final[Any] = ImportString
_HOOK: Final = "__get_pydantic_core_schema__"


def written_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the function whose annotations count: of a partial, a class, a callable object."""
    if isinstance(function, functools.partial):
        return written_function(function.func)
    if inspect.isclass(function):
        return function.__init__
    if inspect.isroutine(function):
        return function
    return type(function).__call__


def read_annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """Give the evaluated annotations of a function. Raises BadCall for a name that is nowhere."""
    try:
        try:
            return get_type_hints(function, include_extras=True)
        except NameError:
            # A class that stands in the function around it, under postponed annotations.
            nearby = _names_around(getattr(function, "__qualname__", ""))
            return get_type_hints(function, localns=nearby, include_extras=True)
    except Exception as error:
        message = f"the annotations of {_name(function)} cannot be read: {error}"
        raise BadCall(message) from error


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", function))


def _names_around(qualified: str) -> dict[str, Any]:
    """Give the local names of the call that is defining a function right now."""
    outer = qualified.rpartition(".<locals>.")[0]
    frame = inspect.currentframe()
    while frame is not None:
        if outer and frame.f_code.co_qualname == outer:
            return dict(frame.f_locals)
        frame = frame.f_back
    return {}


def injected_kind(annotation: Any) -> Injected | None:
    """Say what the program gives for an annotation; None for an argument of the model's.

    Seen through Optional, Annotated and aliases.
    """
    annotation = getattr(annotation, "__value__", annotation)
    marks = [each for each in getattr(annotation, "__metadata__", ()) if _is_resource(each)]
    if marks:
        return marks[0] if isinstance(marks[0], Resource) else None
    if get_origin(annotation) is Annotated:
        return injected_kind(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        members = [each for each in get_args(annotation) if each is not type(None)]
        return injected_kind(members[0]) if len(members) == 1 else None
    if not isinstance(annotation, type):
        return None
    if issubclass(annotation, Context):
        return "context"
    return "progress" if issubclass(annotation, Progress) else None


def _is_resource(mark: object) -> bool:
    return isinstance(mark, Resource)


def refused_part(annotation: Any) -> str | None:
    """Say what in an argument's annotation no model may fill; None where it may fill all.

    What the program gives, inside of something else, would be the model's to set. Types that look
    at the host's files or import its modules would do so for the model.
    """
    for part in atoms(annotation):
        if injected_kind(part) is not None or _is_resource(part):
            return "Context, Progress and Resource stand alone, or as Optional: not inside a type"
        if isinstance(part, PathType):
            return "it looks for files of the host: take a Path"
        if part is _IMPORT or type(part) is _IMPORT:
            return "it imports modules of the host: take a str"
    return None


def atoms(annotation: Any, *, are_fields_seen: bool = True) -> Iterator[Any]:
    """Give all that an annotation is made of: members, metadata, and the fields of its classes.

    Each once, so that recursive types end. are_fields_seen: False stays outside of classes.
    Teaches pydantic the TypedDicts among them.
    """
    seen: dict[int, Any] = {}
    left = [annotation]
    while left:
        part = left.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part  # kept, so that its id stays its own
        yield part
        fields = _inside(part)
        left += [*get_args(part), *(fields if are_fields_seen else ())]


def _inside(part: Any) -> list[Any]:
    """Give the annotations of the fields of a class, and what an alias stands for."""
    if not isinstance(part, type):
        return [part.__value__] if hasattr(part, "__value__") else []
    owner = cast("type[object]", part)
    if issubclass(owner, BaseModel):
        fields = owner.model_fields.values()
        return [
            *(each.annotation for each in fields),
            *(m for each in fields for m in each.metadata),
        ]
    if is_typeddict(owner):
        _teach(owner)
    if is_typeddict(owner) or is_dataclass(owner) or hasattr(owner, "_fields"):
        return list(_fields_of(owner).values())
    return []


def _fields_of(owner: type) -> dict[str, Any]:
    """Give the annotations of a class; none where they cannot be read, which pydantic then says."""
    try:
        return get_type_hints(owner, include_extras=True)
    except (NameError, TypeError):
        return {}


def key_annotations(keys: type) -> Mapping[str, tuple[Any, bool]]:
    """Give the keys of a TypedDict: what each is annotated with, and whether it must be there."""
    required = frozenset[str](getattr(keys, "__required_keys__", ()))
    found: dict[str, tuple[Any, bool]] = {}
    for name, annotation in _fields_of(keys).items():
        inner, is_required = annotation, name in required
        while get_origin(inner) in {*_OWED, typing_extensions.ReadOnly}:
            # What is written wins: postponed annotations hide it from __required_keys__.
            if get_origin(inner) in _OWED:
                is_required = get_origin(inner) in {Required, typing_extensions.Required}
            inner = get_args(inner)[0]
        found[name] = (inner, is_required)
    return found


def _owed(annotation: Any, *, is_required: bool) -> Any:
    return Required[annotation] if is_required else NotRequired[annotation]


def _teach(keys: type) -> None:
    """Give pydantic a twin for typing.TypedDict, which it refuses before Python 3.12.

    It lacks what typing_extensions' has: there get_type_hints() was wrong about required keys.
    """
    if sys.version_info >= (3, 12) or type(keys).__module__ != "typing" or hasattr(keys, _HOOK):
        return
    twin: list[Any] = []

    def schema_of_the_twin(_source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(twin[0])

    # First the hook, then the twin: its fields may name the class itself.
    setattr(keys, _HOOK, schema_of_the_twin)
    annotations = {
        name: _owed(annotation, is_required=is_required)
        for name, (annotation, is_required) in key_annotations(keys).items()
    }
    make: Any = typing_extensions.TypedDict
    twin.append(make(keys.__name__, annotations))
    twin[0].__module__, twin[0].__doc__ = keys.__module__, keys.__doc__
