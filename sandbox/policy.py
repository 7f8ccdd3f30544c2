"""A policy: what a call may do and how much it may use. Absent means denied.

The parts are in policy_grants.py and policy_quota.py; import them from here.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import ValidationError

from sandbox.errors import BadPolicy
from sandbox.policy_documents import (
    document_path,
    fault,
    nearest,
    preset_names,
    read_chain,
)
from sandbox.policy_grants import (
    AnyProgram,
    Environment,
    FileGrant,
    FullNetwork,
    Hosts,
    InstalledPackages,
    ListedHostTools,
    ListedPrograms,
    NoHostTools,
    NoNetwork,
    NoPackages,
    NoPrograms,
)
from sandbox.policy_quota import GIB, KIB, MIB, TIB, Quota
from sandbox.policy_terms import Terms
from sandbox.policy_text import Change, diff, explain, is_narrower, widenings
from sandbox.policy_values import Line

__all__ = [
    "GIB",
    "KIB",
    "MIB",
    "TIB",
    "AnyProgram",
    "Change",
    "Environment",
    "FileGrant",
    "FullNetwork",
    "Hosts",
    "InstalledPackages",
    "ListedHostTools",
    "ListedPrograms",
    "NoHostTools",
    "NoNetwork",
    "NoPackages",
    "NoPrograms",
    "Policy",
    "Quota",
    "Terms",
    "diff",
    "document_path",
    "is_narrower",
    "preset_names",
    "widenings",
]

_FINGERPRINT_LENGTH = 16
_SAID_ONLY: dict[str, Any] = {
    "name": True,
    "summary": True,
    "reason": True,
    "network": {"reason"},
    "files": {"__all__": {"reason"}},
    "packages": {"reason"},
}
"""What a policy says to people; it changes nothing that is enforced."""


class Policy(Terms):
    """What a call may do and how much it may use. Policy() is the preset "strict".

    Built by hand from what does not fit it raises pydantic.ValidationError; load, narrow and widen
    raise BadPolicy, on one line.
    """

    name: Line = ""
    """What it is called; a loaded document without one has its file's name. Default: empty."""
    summary: Line = ""
    """Who it is for, on one line. Default: empty."""
    reason: Line = ""
    """Why it is wider than what it extends. Default: empty."""

    @classmethod
    def load(cls, name_or_path: str | Path) -> Self:
        """Read a preset by its name, or a document by its path.

        A text with a slash or ending in .toml is a path. Raises BadPolicy, with file and key, for
        what cannot be read, does not fit, or is wider than what it extends and says no reason.
        """
        sources = read_chain(name_or_path)
        keys = sources[0].over({})
        policy = _checked(cls, keys, sources[0].where)
        for source in sources[1:]:
            keys = source.over(keys)
            policy = _extended(policy, keys, source.where)
        return policy

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits, the same for two policies that enforce the same."""
        # canonical: fields in the order of their classes, names and variables sorted when built
        enforced = self.model_dump_json(exclude=_SAID_ONLY)
        return hashlib.sha256(enforced.encode()).hexdigest()[:_FINGERPRINT_LENGTH]

    def narrow(self, other: Self | None = None, /, **changes: object) -> Self:
        """Give the other policy, or this one with keys changed, if it only takes away.

        changes: keys of Policy and of Quota, as narrow(wall_seconds=1, network=NoNetwork()).
        Raises BadPolicy, naming the key and both values, for anything wider than this policy.
        """
        wanted = _changed(other or self, changes)
        wider = widenings(self, wanted)
        if wider:
            message = f"{_called(self)}: narrowing only takes away: {_listed(wider)}: use widen()"
            raise BadPolicy(message)
        return wanted

    def widen(self, reason: str, /, **changes: object) -> Self:
        """Give this policy with keys changed, wider or not, and the reason for it.

        changes: as for narrow. It loses its name unless they give one: a widened "strict" is none.
        Raises BadPolicy for a value that does not fit or an empty reason.
        """
        if not reason.strip():
            message = f"{_called(self)}: widen() needs a reason: say why the call needs more"
            raise BadPolicy(message)
        return _changed(self, {"name": "", **changes, "reason": reason})

    def explain(self) -> str:
        """Say every permission and quota in a short sentence, one to a line."""
        return explain(self)


_AnyPolicy = TypeVar("_AnyPolicy", bound=Policy)


def _checked(model: type[_AnyPolicy], keys: Mapping[str, object], where: str) -> _AnyPolicy:
    try:
        return model.model_validate(keys)
    except ValidationError as error:
        message = f"{where}: {fault(error, keys, model)}"
        raise BadPolicy(message) from error


def _extended(base: _AnyPolicy, keys: Mapping[str, object], where: str) -> _AnyPolicy:
    policy = _checked(type(base), keys, where)
    wider = widenings(base, policy)
    if wider and not policy.reason.strip():
        message = f"{where}: {_listed(wider)}: lower it, or say why in a line reason = '...'"
        raise BadPolicy(message)
    return policy


def _changed(policy: _AnyPolicy, changes: Mapping[str, object]) -> _AnyPolicy:
    quota = {key: amount for key, amount in changes.items() if key in Quota.model_fields}
    others = {key: term for key, term in changes.items() if key not in quota}
    _refuse_unclear(policy, others, quota)
    keys = {key: getattr(policy, key) for key in type(policy).model_fields} | others
    if quota:
        keys["quota"] = dict(policy.quota) | quota
    return _checked(type(policy), keys, _called(policy))


def _refuse_unclear(
    policy: Policy, others: Mapping[str, object], quota: Mapping[str, object]
) -> None:
    known = type(policy).model_fields.keys()
    unknown = sorted(others.keys() - known)
    if unknown:
        hint = nearest(unknown[0], known | Quota.model_fields.keys())
        message = f"{_called(policy)}: {unknown[0]}: unknown key, {hint}"
        raise BadPolicy(message)
    if quota and "quota" in others:
        message = f"{_called(policy)}: quota and {min(quota)} are both given: give one of them"
        raise BadPolicy(message)


def _called(policy: Policy) -> str:
    return f"policy {policy.name!r}" if policy.name else "policy"


def _listed(changes: tuple[Change, ...]) -> str:
    first, *others = changes
    return f"{first} and {len(others)} more" if others else str(first)
