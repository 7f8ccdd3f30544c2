"""Checks what a model sends as arguments, and tells it what is wrong in words it can act on."""

import json
import logging
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sandbox.tools.ambiguity import Limits
from sandbox.tools.mending import Path, has_member, member_of, mend
from sandbox.tools.signature import Signature
from sandbox.wire import Json, Malformed, decode_json, printable

__all__ = ["Checked", "Refusal", "check_arguments"]

MOST_PROBLEMS: Final = 10
"""Told at once; of the others the model hears the number."""
_MOST_ERRORS: Final = 1000
_ROUNDS: Final = 3
_NAME_CHARACTERS: Final = 60
_MESSAGE_CHARACTERS: Final = 300
_VALUE_CHARACTERS: Final = 40

_LIST: Final = "should be a list"
_OBJECT: Final = "should be an object"
_WORDS: Final = {
    "list_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "tuple_type": _LIST,
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dataclass_type": _OBJECT,
    "none_required": "should be null",
    "is_instance_of": "is of a wrong type",
}
"""For the errors that pydantic tells in the words of Python."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Arguments that fit. given: what the model gave, as JSON, with what was mended in it."""

    positional: tuple[Any, ...]
    keywords: Mapping[str, Any]
    given: Mapping[str, Json]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Arguments that do not fit. message: for the model; nothing of the program's is in it."""

    message: str


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """One thing that is wrong. kind: pydantic's word for it. value: what stands there now."""

    path: Path
    kind: str
    message: str
    value: Json


class _Refused(Exception):
    """Ends the check with a message for the model."""


def check_arguments(signature: Signature, raw: str | Mapping[str, Json]) -> Checked | Refusal:
    """Check the arguments of a call: a JSON text, or an object.

    Strictly: true is no number, and no key may come twice. Three things are mended, because models
    send them and nothing else can be meant: JSON in a string where no string may stand, 2.0 for an
    integer, and null for what may be left out and cannot be null. A name that the program gives is
    refused in any spelling. Never raises.
    """
    try:
        text, given = _read(raw, signature.limits)
        _refuse_names(signature, given)
        validated = _validate(signature, text, given)
        call = signature.call_arguments(validated)
    except _Refused as refused:
        return Refusal(message=str(refused))
    return Checked(positional=call.positional, keywords=call.keywords, given=given)


def _read(raw: str | Mapping[str, Json], limits: Limits) -> tuple[str, dict[str, Json]]:
    """Give the arguments as a text and as an object."""
    text = raw if isinstance(raw, str) else _as_text(raw)
    if len(text) > limits.characters:
        message = f"the arguments have over {limits.characters} characters: send less"
        raise _Refused(message)
    value = _decode(text if text.strip() else "{}", limits.depth)
    if isinstance(value, str):
        text, value = value, _decode(value, limits.depth)  # an object, written as a string
    if not isinstance(value, dict):
        message = f"the arguments must be a JSON object, not {_shown(value)}"
        raise _Refused(message)
    return text if text.strip() else "{}", value


def _as_text(raw: Mapping[str, Json]) -> str:
    try:
        return json.dumps(dict(raw), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        message = "the arguments are no JSON: NaN, infinity, too deep, or no JSON value"
        raise _Refused(message) from None


def _decode(text: str, depth: int) -> Json:
    try:
        return decode_json(text.encode(), depth=depth)
    except (Malformed, UnicodeEncodeError) as error:
        reason = str(error) if isinstance(error, Malformed) else "a string has a lone surrogate"
        message = f"the arguments are no JSON that can be read: {reason}"
        raise _Refused(message) from None


def _plain(name: str) -> str:
    """Give a name without case, marks and width, so that no other spelling of it gets by."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", name).casefold())


def _refuse_names(signature: Signature, given: Mapping[str, Json]) -> None:
    """Refuse names that the program gives, and those that the function does not have."""
    allowed = _names(signature)
    unknown = {name: value for name, value in given.items() if name not in allowed}
    if not unknown:
        return
    reserved = {_plain(name) for name in signature.reserved}
    # A closed function takes none of them anyway: there it is only about what the model is told.
    names = islice(_names_inside(unknown), None if signature.is_open else _MOST_ERRORS)
    spoofed = [name for name in names if _plain(name) in reserved] if reserved else []
    if spoofed:
        message = f"{_listed(spoofed)} cannot be given: the program sets it; {_takes(allowed)}"
        raise _Refused(message)
    if not signature.is_open:
        message = f"there is no argument {_listed(unknown)}; {_takes(allowed)}"
        missing = [name for name in _required(signature) if name not in given]
        raise _Refused(f"{message}; missing: {_listed(missing)}" if missing else message)


def _names(signature: Signature) -> tuple[str, ...]:
    return tuple(parameter.name for parameter in signature.parameters.values())


def _required(signature: Signature) -> list[str]:
    required = signature.schema.get("required", [])
    return [str(name) for name in required] if isinstance(required, list) else []


def _names_inside(value: Json) -> Iterator[str]:
    """Give every key in a value."""
    left = [value]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield from node
            left += node.values()
        elif isinstance(node, list):
            left += node


def _takes(allowed: Iterable[str]) -> str:
    return f"the arguments are: {', '.join(allowed) or 'none'}"


def _listed(names: Collection[str]) -> str:
    first = islice(names, MOST_PROBLEMS)
    shown = [printable(repr(name[:_NAME_CHARACTERS])) for name in first]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more


def _validate(signature: Signature, text: str, given: dict[str, Json]) -> BaseModel:
    """Validate, mend what can only be meant one way, and validate again."""
    dropped, depth = set[Path](), signature.limits.depth
    problems: list[_Problem] = []
    for rounds_left in reversed(range(_ROUNDS)):
        validated = _attempt(signature, text)
        if not isinstance(validated, ValidationError):
            return validated
        problems = _problems(validated, given)
        paths = {problem.path: problem.value for problem in problems}
        mended = {path for path in paths if mend(signature.schema, given, path, depth)}
        if not mended or not rounds_left:
            break
        dropped |= {path for path in mended if paths[path] is None}
        text = json.dumps(given, allow_nan=False, ensure_ascii=False)
    raise _Refused(_told(problems, dropped))


def _attempt(signature: Signature, text: str) -> BaseModel | ValidationError:
    try:
        return signature.arguments.model_validate_json(text, strict=True)
    except ValidationError as error:
        return error
    except Exception as error:
        # Of a validator in the author's own types; its text may tell what is not the model's.
        _log.debug("a validator of %s failed", signature.name, exc_info=True)
        message = f"the arguments could not be checked: {type(error).__name__}"
        raise _Refused(message) from error


def _problems(error: ValidationError, given: Json) -> list[_Problem]:
    """Take pydantic's errors apart, unless there are so many that this alone would take long."""
    if error.error_count() > _MOST_ERRORS:
        message = f"{error.error_count()} values in the arguments do not fit the schema"
        raise _Refused(message)
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [_problem(each, given) for each in details]


def _problem(detail: ErrorDetails, given: Json) -> _Problem:
    """Find the place of an error. Pydantic's also names the members of unions: skipped."""
    path: list[str | int] = []
    value = given
    for step in detail["loc"]:
        if has_member(value, step):
            path.append(step)
            value = member_of(value, step)
    if detail["type"] == "missing":
        path.append(detail["loc"][-1])
        value = None
    return _Problem(path=tuple(path), kind=detail["type"], message=detail["msg"], value=value)


def _told(problems: list[_Problem], dropped: set[Path]) -> str:
    """Say what is wrong, a line for each place."""
    told: dict[str, list[str]] = {}
    for problem in problems:
        told.setdefault(_where(problem.path), []).append(_reason(problem, dropped))
    lines = [f"- {where}: {' or '.join(dict.fromkeys(why))}" for where, why in told.items()]
    more = [f"- and {len(lines) - MOST_PROBLEMS} more"] if len(lines) > MOST_PROBLEMS else []
    shown = [printable(line)[:_MESSAGE_CHARACTERS] for line in lines[:MOST_PROBLEMS]]
    return "\n".join(["the arguments do not fit:", *shown, *more])


def _where(path: Path) -> str:
    """Write a path as one would in Python: items[3].unit."""
    steps = [
        f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{json.dumps(step)}]"
        for step in path
    ]
    return "".join(steps).removeprefix(".")[:_NAME_CHARACTERS] or "the arguments"


def _reason(problem: _Problem, dropped: set[Path]) -> str:
    """Say what is wrong at one place, without pydantic's and Python's own words."""
    if problem.kind == "missing":
        return "must not be null" if problem.path in dropped else "is missing"
    if problem.kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        return "is no known name"
    message = _WORDS.get(problem.kind, problem.message)
    message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return f"{message.replace('Input should', 'should')}, not {_shown(problem.value)}"


def _shown(value: Json) -> str:
    """Name a value, short: what is long is not sent back."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str) and len(value) > _VALUE_CHARACTERS:
        return f"a string of {len(value)} characters"
    if isinstance(value, int) and abs(value) > 10**_VALUE_CHARACTERS:
        return "so large a number"
    return json.dumps(value, ensure_ascii=False)
