"""The terms of a policy, all that is enforced, and whether one is within another."""

from pathlib import PurePosixPath
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, field_validator

from sandbox.policy_grants import (
    AnyProgram,
    Document,
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
from sandbox.policy_quota import Quota
from sandbox.policy_values import as_tuple, host_within

__all__ = ["ISOLATIONS", "Isolation", "Term", "Terms", "is_within", "terms_by_key"]


Isolation: TypeAlias = Literal["process", "container", "gvisor"]
ISOLATIONS: Final[tuple[Isolation, ...]] = ("process", "container", "gvisor")
"""From the weakest to the strongest."""


class Terms(Document):
    """All of a policy that is enforced. Everything left out is denied."""

    network: Annotated[NoNetwork | Hosts | FullNetwork, Field(discriminator="kind")] = NoNetwork()
    """Which network the guest has. Default: none."""
    files: Annotated[tuple[FileGrant, ...], BeforeValidator(as_tuple)] = ()
    """Files and folders of the host's that the guest sees. Default: none."""
    environment: Environment = Environment()
    """Environment variables the guest sees. Default: only those the engine sets."""
    programs: Annotated[AnyProgram | NoPrograms | ListedPrograms, Field(discriminator="kind")] = (
        AnyProgram()
    )
    """Which programs the guest may start. Default: any of the minimal read-only system, because
    they can do no more than the policy."""
    packages: Annotated[NoPackages | InstalledPackages, Field(discriminator="kind")] = NoPackages()
    """Which Python packages the guest can import. Default: the standard library only."""
    host_tools: Annotated[NoHostTools | ListedHostTools, Field(discriminator="kind")] = (
        NoHostTools()
    )
    """Which tools of the host guest code can call. Default: none."""
    isolation: Isolation = "process"
    """The least wall between guest and host: "process" (namespaces and filters of one kernel),
    "container" (the same, made by a container engine), "gvisor" (a kernel of its own). An engine
    that gives less refuses. Default: process."""
    fresh_interpreter: bool = False
    """A new interpreter per call instead of a clone of the warm one: its own address-space layout
    and hash seed, at the price of a slower start. Default: false."""
    quota: Quota = Quota()
    """How much of everything the call may use. Default: see Quota."""

    @field_validator("files")
    @classmethod
    def _refuse_two_in_one_place(cls, files: tuple[FileGrant, ...]) -> tuple[FileGrant, ...]:
        grants = {grant.at: grant for grant in files}
        if len(grants) < len(files):
            message = "two grants appear at the same place in the guest: give each its own 'at'"
            raise ValueError(message)
        return tuple(grants[at] for at in sorted(grants))


Term = (
    NoNetwork
    | Hosts
    | FullNetwork
    | tuple[FileGrant, ...]
    | Environment
    | AnyProgram
    | NoPrograms
    | ListedPrograms
    | NoPackages
    | InstalledPackages
    | NoHostTools
    | ListedHostTools
    | str
    | bool
    | int
    | float
)
"""The value of one key of the terms."""


def terms_by_key(terms: Terms) -> dict[str, Term]:
    """Give every term by its key, permissions first, quotas as quota.wall_seconds."""
    permissions = {key: getattr(terms, key) for key in Terms.model_fields if key != "quota"}
    return permissions | {f"quota.{key}": amount for key, amount in terms.quota}


def is_within(new: Term, base: Term) -> bool:
    """Tell whether a new value of a key allows nothing that the base value does not.

    Reasons are not compared. A value of an environment variable that the base does not set to the
    same text is wider.
    """
    match new, base:
        case bool(), bool():  # only fresh_interpreter, where true is the narrower
            return new or not base
        case int() | float(), int() | float():
            return new <= base
        case str(), str():  # only isolation, where the stronger is the narrower
            return ISOLATIONS.index(new) >= ISOLATIONS.index(base)
        case tuple(), tuple():
            return _files_within(new, base)
        case Environment(), Environment():
            return (
                set(new.inherit) <= set(base.inherit) and new.values.items() <= base.values.items()
            )
        case _:
            return _kind_within(new, base)


def _kind_within(new: Term, base: Term) -> bool:
    match new, base:
        case NoNetwork() | NoPrograms() | NoPackages() | NoHostTools(), _:
            return True
        case _, FullNetwork() | AnyProgram() | InstalledPackages():
            return True
        case Hosts(), Hosts():
            return all(any(host_within(name, wider) for wider in base.allow) for name in new.allow)
        case ListedPrograms() | ListedHostTools(), ListedPrograms() | ListedHostTools():
            return set(new.allow) <= set(base.allow)
        case _:
            return False


def _files_within(new: tuple[FileGrant, ...], base: tuple[FileGrant, ...]) -> bool:
    """Compare what the guest sees at every place where either has a grant.

    A folder below a granted one is no part of it here: it could be a link to elsewhere on the host,
    made by an earlier guest. A grant that covers part of another and is taken away uncovers it.
    """
    granted = {(grant.path, grant.at) for grant in base}
    if not all((grant.path, grant.at) in granted for grant in new):
        return False
    return all(_uncovers_nothing(grant, new) for grant in base)


def _uncovers_nothing(base: FileGrant, new: tuple[FileGrant, ...]) -> bool:
    place = PurePosixPath(base.at)
    over = [grant for grant in new if place.is_relative_to(grant.at)]
    if not over:
        return True
    seen = max(over, key=lambda grant: len(grant.at))
    same_file = PurePosixPath(seen.path) / place.relative_to(seen.at) == PurePosixPath(base.path)
    return same_file and (seen.access == "read" or base.access == "write")
