"""From what runs did to what a reviewer should know: rules over records, the worst first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sandbox.review.canaries import Canaries
from sandbox.review.model import SEVERITIES, Finding, Proof, Run, Severity
from sandbox.review.rules import Rule, Rules
from sandbox.review.view import Hit, RunView
from sandbox.review.words import describe, printable

__all__ = ["MOST_PROOFS", "find"]

MOST_PROOFS = 20
"""Of one finding; its count has all."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What one rule found: the proofs in order, and how bad the worst is."""

    proofs: tuple[Proof, ...]
    severity: Severity


def find(
    runs: Sequence[Run], rules: Rules, canaries: Canaries | None = None
) -> tuple[Finding, ...]:
    """Look for all that the rules know: the worst first, then in the order of the rules.

    canaries: what was planted in every one of the runs; without them nothing of theirs is found.
    No text of a finding holds a planted secret, only which it is and its last four characters.
    """
    views = [RunView(run, canaries) for run in runs]
    findings = [
        _finding(rule, found) for rule in rules.rules if (found := _look(rule, views)).proofs
    ]
    return tuple(sorted(findings, key=lambda finding: -SEVERITIES.index(finding.severity)))


def _finding(rule: Rule, found: _Found) -> Finding:
    return Finding(
        rule=rule.name,
        severity=found.severity,
        title=rule.title,
        reason=rule.reason,
        proofs=found.proofs[:MOST_PROOFS],
        count=len(found.proofs),
    )


def _look(rule: Rule, views: Sequence[RunView]) -> _Found:
    proofs: list[Proof] = []
    worst = rule.severity
    for number, view in enumerate(views):
        found = _proofs(rule, view, number)
        proofs += found
        if found and rule.is_worse_with_network and view.tried_the_network:
            worst = _one_step_worse(rule.severity)
    return _Found(tuple(proofs), worst)


def _proofs(rule: Rule, view: RunView, number: int) -> list[Proof]:
    """Give what says the same once: a search through PATH tries one program many times."""
    said: dict[str, Proof] = {}
    for hit in _hits(rule, view):
        proof = _proof(hit, view, number)
        said.setdefault(proof.text, proof)
    return list(said.values())


def _hits(rule: Rule, view: RunView) -> Iterator[Hit]:
    """Give each thing once, although two matches of the rule may fit it; events in their order."""
    hits = dict.fromkeys(hit for match in rule.looks for hit in match.hits(view))
    events = sorted((hit for hit in hits if hit.event is not None), key=_event_of)
    yield from events
    yield from (hit for hit in hits if hit.event is None)


def _event_of(hit: Hit) -> int:
    return -1 if hit.event is None else hit.event


def _proof(hit: Hit, view: RunView, number: int) -> Proof:
    event = None if hit.event is None else view.events[hit.event]
    text = hit.text or ("" if event is None else describe(event))
    # masked before it is cut: a part of a secret is not seen to be one
    masked = view.canaries.masked(text) if view.canaries else text
    return Proof(run=number, event=hit.event, text=printable(masked))


def _one_step_worse(severity: Severity) -> Severity:
    return SEVERITIES[min(SEVERITIES.index(severity) + 1, len(SEVERITIES) - 1)]
