"""The rules of a review: documents that say what is looked for, how bad it is, and why.

policies/review/findings.toml is the shipped one. Others may stand beside it: a rule of theirs with
the name of a shipped one takes its place, and ``without`` names rules that are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Self, cast

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from sandbox.errors import BadPolicy
from sandbox.policy_documents import Source, nearest, read_chain
from sandbox.policy_grants import Document
from sandbox.policy_values import Line, as_tuple
from sandbox.review.matches import (
    EnvironmentMatch,
    FileMatch,
    Match,
    NetworkMatch,
    ProgramMatch,
    PythonMatch,
    Several,
    SignalMatch,
    SystemCallMatch,
)
from sandbox.review.matches_piped import PipedMatch
from sandbox.review.matches_whole import (
    IdleMatch,
    LeakMatch,
    LeftMatch,
    LimitMatch,
    NotKeptMatch,
    PlantedFileMatch,
    PlantedVariableMatch,
    ProcessesMatch,
)
from sandbox.review.model import Severity
from sandbox.shipped import POLICIES

__all__ = ["Rule", "Rules"]

SHIPPED = POLICIES / "review" / "findings.toml"

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+([-_][a-z0-9]+)*$")]
Said = Annotated[Line, Field(min_length=10)]
AnyMatch = Annotated[
    FileMatch
    | ProgramMatch
    | PipedMatch
    | NetworkMatch
    | SignalMatch
    | SystemCallMatch
    | EnvironmentMatch
    | PythonMatch
    | LimitMatch
    | ProcessesMatch
    | LeftMatch
    | IdleMatch
    | NotKeptMatch
    | PlantedFileMatch
    | PlantedVariableMatch
    | LeakMatch,
    Field(discriminator="kind"),
]


class Rule(Document):
    """One thing that is looked for; it is found where any of its matches fits."""

    name: Name
    severity: Severity
    is_worse_with_network: bool = False
    """Whether it is one step worse in a run that also tried the network."""
    title: Said
    """What was seen, in one sentence."""
    reason: Said
    """Why it matters, and what ordinary cause it may have."""
    matches: Several[AnyMatch]

    @property
    def looks(self) -> tuple[Match, ...]:
        """The matches, as what they have in common."""
        return self.matches


class _Rules(Document):
    summary: Said
    lists: Annotated[Mapping[Name, Several[str]], Field(default_factory=dict)]
    """Entries that several rules share: "$NAME" in any list stands for all of that one."""
    without: Annotated[tuple[Name, ...], BeforeValidator(as_tuple)] = ()
    rules: Annotated[tuple[Rule, ...], BeforeValidator(as_tuple)] = ()


@dataclass(frozen=True)
class Rules:
    """What a review looks for."""

    rules: tuple[Rule, ...]

    @classmethod
    def load(cls, *paths: str | Path) -> Self:
        """Read the shipped rules, and then further documents over them, in their order.

        Raises BadPolicy, with file, rule and key, for what cannot be read or does not fit.
        """
        rules = dict(_shipped())
        for path in paths:
            rules = _over(rules, read_chain(Path(path))[-1])
        return cls(tuple(rules.values()))


@cache
def _shipped() -> Mapping[str, Rule]:
    return _over({}, read_chain(SHIPPED)[-1])


def _over(rules: Mapping[str, Rule], source: Source) -> dict[str, Rule]:
    document = _read(source)
    own: dict[str, Rule] = {}
    for rule in document.rules:
        if rule.name in own:
            message = f"{source.where}: rule {rule.name!r} is there twice: give one another name"
            raise BadPolicy(message)
        own[rule.name] = rule
    merged = {**rules, **own}
    for name in document.without:
        if name not in merged:
            message = f"{source.where}: without: no rule {name!r}, {nearest(name, merged)}"
            raise BadPolicy(message)
        del merged[name]
    return merged


def _read(source: Source) -> _Rules:
    try:
        return _Rules.model_validate(_with_lists(source))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = f"{source.where}: {_place(first, source.keys)}: {_problem(first)}"
        raise BadPolicy(message) from error


def _with_lists(source: Source) -> Mapping[str, object]:
    lists = source.keys.get("lists")
    if not isinstance(lists, dict):
        return source.keys
    known = cast("dict[str, object]", lists)
    return {**source.keys, "rules": _filled(source.keys.get("rules", []), known, source.where)}


def _filled(given: object, lists: Mapping[str, object], where: str) -> object:
    """Put the entries of lists in place of their names, at any depth."""
    if isinstance(given, dict):
        table = cast("dict[str, object]", given)
        return {key: _filled(each, lists, where) for key, each in table.items()}
    if not isinstance(given, list):
        return given
    entries: list[object] = []
    for each in cast("list[object]", given):
        if not isinstance(each, str) or not each.startswith("$"):
            entries.append(_filled(each, lists, where))
            continue
        shared = lists.get(each[1:])
        if not isinstance(shared, list):
            message = f"{where}: {each}: there is no such list in [lists]: add it, or mend its name"
            raise BadPolicy(message)
        entries += cast("list[object]", shared)
    return entries


def _place(error: ErrorDetails, keys: Mapping[str, object]) -> str:
    """Name the rule and the key in it: whoever reads the message has a document before them."""
    match error["loc"]:
        case ("rules", int(number), *rest):
            given = cast("list[object]", keys["rules"])[number]
            rule = cast("dict[str, object]", given) if isinstance(given, dict) else {}
            called = repr(rule["name"]) if isinstance(rule.get("name"), str) else f"[{number}]"
            return ": ".join((f"rule {called}", *filter(None, [_key(rest)])))
        case loc:
            return _key(loc) or "document"


def _key(loc: tuple[int | str, ...] | list[int | str]) -> str:
    """Write where a key is; pydantic puts the kind of a match behind its number, which goes."""
    after_number = [isinstance(before, int) for before in ("", *loc)]
    kept = [part for part, skip in zip(loc, after_number, strict=False) if not skip]
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in kept)
    return text.removeprefix(".")


def _problem(error: ErrorDetails) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "unknown key: take it out, or mend its name"
        case "missing":
            return "is missing: add it"
        case "value_error":
            return str(error.get("ctx", {})["error"])
        case _:
            return f"{error['msg'].removeprefix('Input ')}, not {error['input']!r:.60}"
