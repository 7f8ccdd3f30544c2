"""What to review: a subject, and how it is called, once or over several inputs."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from sandbox.call import Call, Command, Function, Source
from sandbox.errors import BadCall
from sandbox.review.places import Places
from sandbox.review.subject import (
    command_hash,
    function_hash,
    module_hash,
    named_function_hash,
    source_hash,
)
from sandbox.wire import Json

__all__ = [
    "NamedInput",
    "Plan",
    "plan_calls",
    "plan_command",
    "plan_function",
    "plan_module",
    "plan_source",
]

Kind = Literal["program", "module", "function", "command"]

MOST_MODULE_FILES: Final = 1_000
PLACE_OF_INPUT: Final = "{}"
RUN_SCRIPT: Final = "import sys, {module} as module\nsys.exit(module.{function}())"
RUN_MODULE: Final = "import runpy\nrunpy.run_module({name!r}, run_name='__main__', alter_sys=True)"


class NamedInput(NamedTuple):
    """One input of a subject: a file's name and its content."""

    name: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a subject is run with. files: for every run, relative name to content."""

    arguments: Sequence[str]
    files: Mapping[str, bytes]
    inputs: Sequence[NamedInput]
    places: Places

    @property
    def names(self) -> list[str]:
        """The names of the inputs."""
        return [each.name for each in self.inputs]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A subject and its calls, one for each input."""

    kind: Kind
    name: str
    arguments: tuple[str, ...]
    hash: str
    """SHA-256 of the subject's own code."""
    calls: tuple[Call, ...]
    inputs: tuple[str, ...]
    """Names of the inputs, one for each call; "" for a call without one."""


def plan_calls(calls: Sequence[Call], places: Places, inputs: Sequence[str] = ()) -> Plan:
    """Plan the review of what these calls call: all of them the same thing, with other inputs.

    Raises BadCall for no call, for calls of different things, and for code that is not there.
    """
    if not calls or len(calls) < len(inputs):
        message = "a review needs a call, and no more names of inputs than calls"
        raise BadCall(message)
    name, digest = _name(calls[0]), _hash(calls[0], places)
    if any((_name(call), _hash(call, places)) != (name, digest) for call in calls[1:]):
        message = "a review is of one thing: give its calls with the same code and other inputs"
        raise BadCall(message)
    return Plan(
        kind=_kind(calls[0]),
        name=name,
        arguments=_arguments(calls[0]),
        hash=digest,
        calls=tuple(calls),
        inputs=(*inputs, *("" for _ in range(len(calls) - len(inputs)))),
    )


def plan_source(source: str, name: str, given: Given) -> Plan:
    """Plan the review of a Python program, run as a script."""
    calls = _scripts(source, name, given)
    plan = plan_calls(calls, given.places, given.names)
    return replace(plan, arguments=tuple(given.arguments))


def plan_module(name: str, given: Given) -> Plan:
    """Plan the review of a module that is run as `python -m` runs it. Raises BadCall."""
    calls = _scripts(RUN_MODULE.format(name=name), name, given)
    plan = plan_calls(calls, given.places, given.names)
    digest = module_hash(name, _folders(given.places))
    return replace(plan, kind="module", arguments=tuple(given.arguments), hash=digest)


def plan_script(name: str, given: Given) -> Plan | None:
    """Plan the review of a script that an installed package has; None where none has it.

    It is called as the script that an installer writes calls it, and not looked for as a file:
    what lies in the host's folders of programs, a guest does not see.
    """
    folders = list(given.places.packages)
    for found in distributions(path=folders):
        for entry in found.entry_points.select(group="console_scripts", name=name):
            source = RUN_SCRIPT.format(module=entry.module, function=entry.attr)
            calls = _scripts(source, name, given)
            plan = plan_calls(calls, given.places, given.names)
            digest = module_hash(entry.module.partition(".")[0], folders)
            return replace(plan, kind="module", arguments=tuple(given.arguments), hash=digest)
    return None


def plan_function(name: str, given: Given) -> Plan:
    """Plan the review of "module:function". Raises BadCall.

    Its arguments are JSON, or else text. An input is a JSON document: a list has the arguments, an
    object those by name, and anything else is the only one.
    """
    documents: list[Json] = [_read_input(each) for each in given.inputs] or [
        [_json_or_text(word) for word in given.arguments]
    ]
    module = name.partition(":")[0].partition(".")[0]
    files = {**_own_module(module), **given.files}
    calls = [_function_call(name, document, files) for document in documents]
    return plan_calls(calls, given.places, given.names)


def _own_module(name: str) -> dict[str, bytes]:
    """Give the files of a module or package of the current folder: guests find it in theirs."""
    if (file := Path(f"{name}.py")).is_file():
        return {file.name: file.read_bytes()}
    if not Path(name, "__init__.py").is_file():
        return {}
    files = sorted(path for path in Path(name).rglob("*") if path.is_file())
    kept = [path for path in files if "__pycache__" not in path.parts][:MOST_MODULE_FILES]
    return {str(path): path.read_bytes() for path in kept}


def plan_command(program: str, given: Given) -> Plan:
    """Plan the review of a program: one of the guest's PATH, or "./name" of a given file."""
    calls = [Command(argv=[program, *words], files=files) for words, files in _over_inputs(given)]
    plan = plan_calls(calls, given.places, given.names)
    return replace(plan, arguments=tuple(given.arguments))


def _scripts(source: str, name: str, given: Given) -> list[Call]:
    return [
        Source(source=source, name=name, arguments=words, expect_value=False, files=files)
        for words, files in _over_inputs(given)
    ]


def _over_inputs(given: Given) -> list[tuple[list[str], dict[str, bytes]]]:
    """Give arguments and files of each run: {} stands for the input's name, or it comes last."""
    if not given.inputs:
        return [(list(given.arguments), dict(given.files))]
    return [
        (_with_input(given.arguments, each.name), {**given.files, each.name: each.content})
        for each in given.inputs
    ]


def _with_input(arguments: Sequence[str], name: str) -> list[str]:
    if any(PLACE_OF_INPUT in word for word in arguments):
        return [word.replace(PLACE_OF_INPUT, name) for word in arguments]
    return [*arguments, name]


def _function_call(name: str, document: Json, files: Mapping[str, bytes]) -> Function:
    if isinstance(document, dict):
        return Function(name=name, keywords=document, files=files)
    arguments = document if isinstance(document, list) else [document]
    return Function(name=name, arguments=arguments, files=files)


def _json_or_text(word: str) -> Json:
    try:
        document: Json = json.loads(word)
    except ValueError:
        return word
    return document


def _read_input(given: NamedInput) -> Json:
    try:
        document: Json = json.loads(given.content)
    except (ValueError, RecursionError):
        message = f"{given.name}: is no JSON: a function's input is a list or an object"
        raise BadCall(message) from None
    return document


def _kind(call: Call) -> Kind:
    if isinstance(call, Source):
        return "program"
    return "command" if isinstance(call, Command) else "function"


def _name(call: Call) -> str:
    return call.argv[0] if isinstance(call, Command) else call.name


def _arguments(call: Call) -> tuple[str, ...]:
    match call:
        case Source():
            return tuple(call.arguments)
        case Command():
            return tuple(call.argv[1:])
        case Function():
            return tuple(json.dumps(each) for each in call.arguments)
        case _:
            return ()


def _hash(call: Call, places: Places) -> str:
    match call:
        case Source():
            return source_hash(call.source)
        case Command():
            return command_hash(call.argv[0], places, given=call.files)
        case Function(pickled=b""):
            if call.name.partition(":")[0] in sys.builtin_module_names:
                return source_hash(f"{call.name} of Python {sys.version}")
            here = [""] if _is_own(call) else []
            return named_function_hash(call.name, [*here, *_folders(places)])
        case _:
            function = _by_name(call.name)
            return function_hash(function) if function else source_hash(call.pickled)


def _by_name(name: str) -> Callable[..., Any] | None:
    """Find the function of this program that was sent by value; None for one that has no name."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if callable(found) else None


def _is_own(call: Function) -> bool:
    """Say whether a function's module is among the files that are given with it."""
    module = call.name.partition(":")[0].partition(".")[0]
    return f"{module}.py" in call.files or f"{module}/__init__.py" in call.files


def _folders(places: Places) -> list[str]:
    """Give where a guest looks for modules, on the host."""
    standard = Path(json.__file__).parent.parent
    return [*places.packages, str(standard), str(standard / "lib-dynload")]
