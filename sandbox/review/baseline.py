"""What a reviewed tool was and did, to be compared with what it is and does later."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict

from sandbox.record import FileAccess
from sandbox.review.behaviour import Behaviour, behaviour_of
from sandbox.review.model import SEVERITIES, Dependency, Review, Severity
from sandbox.review.used import plain

__all__ = ["Baseline", "Drift", "DriftKind", "baseline_of", "compare"]

DriftKind: TypeAlias = Literal["code", "dependency", "policy", "behaviour", "finding"]
_SHOWN = 5
_DIGITS = 12
_NEW_AND_GONE = {
    "missing": ("looked for", "looks for"),
    "programs": ("started", "starts"),
    "network": ("tried on the network", "tries on the network"),
    "refused": ("tried in vain", "tries in vain"),
    "signals": ("sent", "sends"),
    "environment": ("read of its environment", "reads of its environment"),
    "python": ("did in Python", "does in Python"),
    "left": ("left", "leaves"),
    "statuses": ("ended with", "ends with"),
}
_DONE: dict[FileAccess, tuple[str, str]] = {
    "look": ("looked at", "looks at"),
    "list": ("listed", "lists"),
    "read": ("read", "reads"),
    "write": ("wrote", "writes"),
    "create": ("made", "makes"),
    "change": ("changed the attributes of", "changes the attributes of"),
    "rename": ("renamed", "renames"),
    "link": ("linked", "links"),
    "remove": ("removed", "removes"),
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Baseline(_Frozen):
    """What was reviewed, and accepted. Its JSON is meant to be kept beside the tool's code."""

    version: Literal[1] = 1
    kind: Literal["program", "module", "function", "command"]
    name: str
    """The subject's, as in Subject."""
    hash: str
    """SHA-256 of the subject's own code."""
    dependencies: tuple[Dependency, ...] = ()
    policy_fingerprint: str
    behaviour: Behaviour
    findings: tuple[tuple[str, Severity], ...] = ()
    """Each rule that found something, with its worst severity; sorted."""

    def to_json(self) -> str:
        """Give it as JSON."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what to_json() wrote. Raises pydantic.ValidationError."""
        return cls.model_validate_json(text)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read it from a file. Raises OSError or pydantic.ValidationError."""
        return cls.from_json(Path(path).read_bytes())


class Drift(_Frozen):
    """One thing that is not as it was when the baseline was made."""

    kind: DriftKind
    sentence: str
    was: tuple[str, ...] = ()
    """What of it there was, where it is not there any more or is another."""
    now: tuple[str, ...] = ()
    """What of it is new."""


def baseline_of(review: Review) -> Baseline:
    """Give what a review saw, as what is to be expected from now on."""
    return Baseline(
        kind=review.subject.kind,
        name=review.subject.name,
        hash=review.subject.hash,
        dependencies=tuple(sorted(review.subject.dependencies, key=lambda each: each.name)),
        policy_fingerprint=review.policy_fingerprint,
        behaviour=behaviour_of(review.runs),
        findings=tuple(sorted(_findings(review).items())),
    )


def compare(baseline: Baseline, review: Review) -> tuple[Drift, ...]:
    """Give what is not as it was, in the order of DriftKind; nothing for the same again.

    The number and the order of the runs, counts, times and made-up names do not matter. What
    is not done any more is drift as well: the baseline should be made anew.
    """
    now = baseline_of(review)
    return (
        *_code(baseline, now),
        *_dependencies(baseline.dependencies, now.dependencies),
        *_policy(baseline, now),
        *_behaviour(baseline.behaviour, now.behaviour),
        *_finding(dict(baseline.findings), dict(now.findings)),
    )


def _findings(review: Review) -> dict[str, Severity]:
    worst: dict[str, Severity] = {}
    for finding in review.findings:
        known = worst.setdefault(finding.rule, finding.severity)
        if SEVERITIES.index(finding.severity) > SEVERITIES.index(known):
            worst[finding.rule] = finding.severity
    return worst


def _code(was: Baseline, now: Baseline) -> Iterator[Drift]:
    if (was.kind, was.name) != (now.kind, now.name):
        before, after = f"{was.kind} {was.name}", f"{now.kind} {now.name}"
        sentence = f"It is another subject: {plain(before)} was reviewed, not {plain(after)}."
        yield Drift(kind="code", sentence=sentence, was=(before,), now=(after,))
    if was.hash != now.hash:
        sentence = f"Its own code has changed: SHA-256 {_change(was.hash, now.hash)}."
        yield Drift(kind="code", sentence=sentence, was=(was.hash,), now=(now.hash,))


def _change(before: str, after: str) -> str:
    return f"{plain(before)[:_DIGITS]} is now {plain(after)[:_DIGITS]}"


def _dependencies(was: Iterable[Dependency], now: Iterable[Dependency]) -> Iterator[Drift]:
    """Compare by a distribution's name, whose versions are changes of one thing."""
    before, after = _by_name(was), _by_name(now)
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, set[str]()), after.get(name, set[str]())
        if old != new:
            yield Drift(
                kind="dependency",
                sentence=_dependency_sentence(plain(name), old, new),
                was=tuple(sorted(old - new)),
                now=tuple(sorted(new - old)),
            )


def _by_name(dependencies: Iterable[Dependency]) -> dict[str, set[str]]:
    named: dict[str, set[str]] = {}
    for each in dependencies:
        is_path = each.name.startswith("/")
        name = each.name if is_path else each.name.partition(" ")[0]
        named.setdefault(name, set()).add(f"{each.name} {each.hash}")
    return named


def _dependency_sentence(name: str, old: set[str], new: set[str]) -> str:
    if not old:
        return f"It uses {name}, which it did not."
    if not new:
        return f"It uses {name} no more."
    versions = [{each.rpartition(" ")[0] for each in side} for side in (old, new)]
    if versions[0] != versions[1]:
        return f"It uses another {name}: {_listed(versions[0])} is now {_listed(versions[1])}."
    return f"The code of {_listed(versions[0])} has changed, and its name and version have not."


def _policy(was: Baseline, now: Baseline) -> Iterator[Drift]:
    before, after = was.policy_fingerprint, now.policy_fingerprint
    if before != after:
        sentence = f"It was reviewed under another policy: {_change(before, after)}."
        yield Drift(kind="policy", sentence=sentence, was=(before,), now=(after,))


def _behaviour(was: Behaviour, now: Behaviour) -> Iterator[Drift]:
    before, after = dict(was.files), dict(now.files)
    for access, (past, present) in _DONE.items():
        yield from _difference(past, present, before.get(access, ()), after.get(access, ()))
    for field, (past, present) in _NEW_AND_GONE.items():
        yield from _difference(past, present, getattr(was, field), getattr(now, field))


def _difference(
    past: str, present: str, was: tuple[str, ...], now: tuple[str, ...]
) -> Iterator[Drift]:
    new, gone = tuple(sorted({*now} - {*was})), tuple(sorted({*was} - {*now}))
    if new:
        sentence = f"It {present} what it did not before: {_listed(new)}."
        yield Drift(kind="behaviour", sentence=sentence, now=new)
    if gone:
        sentence = f"It {past} what it does not any more: {_listed(gone)}."
        yield Drift(kind="behaviour", sentence=sentence, was=gone)


def _finding(was: dict[str, Severity], now: dict[str, Severity]) -> Iterator[Drift]:
    for rule in sorted(was.keys() | now.keys()):
        before, after = was.get(rule), now.get(rule)
        if before == after:
            continue
        if before is None:
            sentence = f"There is a new finding: {plain(rule)} ({after})."
        elif after is None:
            sentence = f"The finding {plain(rule)} ({before}) is gone."
        else:
            sentence = f"The finding {plain(rule)} was {before} and is {after}."
        sides = [(side,) if side else () for side in (before, after)]
        yield Drift(kind="finding", sentence=sentence, was=sides[0], now=sides[1])


def _listed(names: Iterable[str]) -> str:
    every = sorted(names)
    shown = ", ".join(plain(name) for name in every[:_SHOWN])
    return shown if len(every) <= _SHOWN else f"{shown} and {len(every) - _SHOWN} more"
