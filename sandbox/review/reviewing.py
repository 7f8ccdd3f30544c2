"""Makes a review: runs what is planned, watched, and says what was found.

The runs go one after the other, each in a guest of its own. Secrets that open nothing are planted
where tools look for real ones; who passes one on is caught.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeAlias

from sandbox.call import Call
from sandbox.engine import WatchedResult
from sandbox.policy import Environment, Policy
from sandbox.result import Result
from sandbox.review.canaries import Canaries
from sandbox.review.dependencies import dependencies
from sandbox.review.findings import find
from sandbox.review.least import behaves_the_same, least_policy
from sandbox.review.model import Change, Finding, LeftFile, Review, Run, Subject
from sandbox.review.places import HostPython, Places
from sandbox.review.plan import Plan, plan_calls
from sandbox.review.rules import Rules

__all__ = ["Reviewer", "Watch", "as_plan"]

Watch: TypeAlias = Callable[[Call, Policy], Awaitable[WatchedResult]]
"""Runs a call under a policy, watched."""


@dataclass(frozen=True, kw_only=True)
class Reviewer:
    """Reviews what is planned, under one policy.

    python: the interpreter of the guests, on the host. rules: what to look for. plants_canaries:
    whether fake secrets lie in the guest's home and environment.
    """

    watch: Watch
    policy: Policy
    python: HostPython | None
    rules: Rules
    plants_canaries: bool = True

    async def review(self, plan: Plan, *, wants_least: bool = False) -> Review:
        """Run it, and again under the least policy if that is wanted. Raises SandboxError."""
        canaries = Canaries.new() if self.plants_canaries else None
        runs = await self._run_all(plan, self.policy, canaries)
        review = Review(
            subject=self._subject(plan, runs),
            policy_name=self.policy.name,
            policy_fingerprint=self.policy.fingerprint,
            policy_says=tuple(self.policy.explain().splitlines()),
            reviewed_at=datetime.now(UTC).isoformat(timespec="seconds"),
            runs=runs,
            findings=self._find(runs, canaries),
        )
        return await self._with_least(review, plan, canaries) if wants_least else review

    async def _run_all(
        self, plan: Plan, policy: Policy, canaries: Canaries | None
    ) -> tuple[Run, ...]:
        return tuple(
            [
                await self._run(call, name, policy, canaries)
                for call, name in zip(plan.calls, plan.inputs, strict=True)
            ]
        )

    async def _run(self, call: Call, name: str, policy: Policy, canaries: Canaries | None) -> Run:
        planted = _plant(call, canaries)
        result, record = await self.watch(planted, _with_variables(policy, canaries))
        left = tuple(_left(planted, result))
        return Run(input=name, result=result, record=record, left=left)

    def _subject(self, plan: Plan, runs: Sequence[Run]) -> Subject:
        given = {name: content for call in plan.calls for name, content in call.files.items()}
        return Subject(
            kind=plan.kind,
            name=plan.name,
            arguments=plan.arguments,
            hash=plan.hash,
            dependencies=dependencies(runs, Places.of(self.policy, self.python), given=given),
        )

    def _find(self, runs: Sequence[Run], canaries: Canaries | None) -> tuple[Finding, ...]:
        return find(runs, self.rules, canaries)

    async def _with_least(self, review: Review, plan: Plan, canaries: Canaries | None) -> Review:
        """Find the least policy, and see whether the runs go under it as they did."""
        planted = canaries.environment.keys() if canaries else ()
        least = least_policy(
            self.policy,
            review.runs,
            subject=plan.name,
            python=self.python,
            canaries=tuple(planted),
        )
        again = await self._run_all(plan, least.policy, canaries)
        differences = [
            f"run {number}: {sentence}" if len(again) > 1 else sentence
            for number, (before, after) in enumerate(zip(review.runs, again, strict=True), 1)
            for sentence in behaves_the_same(before, after)
        ]
        changes = {"least_policy": least.document, "least_differences": tuple(differences)}
        return review.model_copy(update=changes)


def as_plan(what: Plan | Call | Sequence[Call], places: Places) -> Plan:
    """Give a plan from itself, or from calls of one thing. Raises BadCall."""
    if isinstance(what, Plan):
        return what
    return plan_calls(list(what) if isinstance(what, Sequence) else [what], places)


def _plant(call: Call, canaries: Canaries | None) -> Call:
    return replace(call, files={**canaries.files, **call.files}) if canaries else call


def _with_variables(policy: Policy, canaries: Canaries | None) -> Policy:
    """Give the policy with the planted variables; those that it sets itself stay."""
    if not canaries:
        return policy
    given = policy.environment
    planted = {
        name: value for name, value in canaries.environment.items() if name not in given.inherit
    }
    environment = Environment(inherit=given.inherit, values={**planted, **given.values})
    return policy.widen("planted secrets", name=policy.name, environment=environment)


def _left(call: Call, run: Result) -> Iterator[LeftFile]:
    """Give what a run made, changed and removed in its work folder."""
    given = call.files
    for path, content in run.files.items():
        if given.get(path) != content:
            change: Change = "changed" if path in given else "created"
            yield LeftFile(path=path, change=change, size_bytes=len(content))
    if not run.left_out:  # else what is missing may only not have been copied
        for path in sorted(given.keys() - run.files.keys()):
            yield LeftFile(path=path, change="removed", size_bytes=0)
