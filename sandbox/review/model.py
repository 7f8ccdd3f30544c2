"""What a review is: the subject, its runs, the findings. Frozen; JSON in and out."""

from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from sandbox.record import Record
from sandbox.result import Result

__all__ = [
    "SEVERITIES",
    "Change",
    "Dependency",
    "Finding",
    "LeftFile",
    "Proof",
    "Review",
    "Run",
    "Severity",
    "Subject",
]

Severity: TypeAlias = Literal["info", "low", "medium", "high"]
"""info: worth knowing, no fault. low: unusual. medium: to be explained before it is trusted. high:
not to be trusted as it is."""

SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high")
"""From the least to the worst."""

Change: TypeAlias = Literal["created", "changed", "removed"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Dependency(_Frozen):
    """A file of code that ran but is not the subject's own, or the package that it is of."""

    name: str
    """A distribution's name and version, as "requests 2.32.3", or a path in the guest."""
    hash: str
    """SHA-256 of its content; of a distribution, of all that it had installed."""


class Subject(_Frozen):
    """What is reviewed."""

    kind: Literal["program", "module", "function", "command"]
    name: str
    """A file's name, a module's, "module:function", or a command's first word."""
    arguments: tuple[str, ...] = ()
    hash: str
    """SHA-256 of its own code, as hexadecimal digits."""
    dependencies: tuple[Dependency, ...] = ()
    """What its code used in the runs, sorted by name."""


class LeftFile(_Frozen):
    """What a run left in its work folder."""

    path: str
    change: Change
    size_bytes: int
    """0 for what was removed."""


class Run(_Frozen):
    """One run of the subject."""

    input: str
    """The input file's name; "" for a run without one."""
    result: Result
    record: Record
    left: tuple[LeftFile, ...] = ()


class Proof(_Frozen):
    """What a finding rests on: an event of a run, or the words for what no event has."""

    run: int
    """Its place in Review.runs, from 0."""
    event: int | None = None
    """Its place in Record.events, from 0; None for what is no event."""
    text: str
    """What it was, in a few words."""


class Finding(_Frozen):
    """Something that a reviewer should know, with its reason and its proof."""

    rule: str
    """The rule's name in policies/review/findings.toml, as "reads-credentials"."""
    severity: Severity
    title: str
    """What was seen, in one sentence."""
    reason: str
    """Why it matters."""
    proofs: tuple[Proof, ...] = Field(min_length=1)
    """At most twenty; `count` has how many there were."""
    count: int


class Review(_Frozen):
    """All that a review found out. `Review.model_json_schema()` is the schema of its JSON."""

    version: Literal[1] = 1
    subject: Subject
    policy_name: str
    policy_fingerprint: str
    policy_says: tuple[str, ...]
    """The policy in sentences."""
    reviewed_at: str
    """The date and time in UTC, ISO 8601."""
    runs: tuple[Run, ...] = Field(min_length=1)
    findings: tuple[Finding, ...] = ()
    """The worst first."""
    least_policy: str = ""
    """The smallest document under which these runs pass, as TOML; "" where none was asked for."""

    @property
    def severity(self) -> Severity:
        """The worst of all findings; "info" where there is none."""
        worst: Severity = "info"
        for finding in self.findings:
            if SEVERITIES.index(finding.severity) > SEVERITIES.index(worst):
                worst = finding.severity
        return worst

    def to_json(self) -> str:
        """Give it as JSON."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what to_json() wrote. Raises pydantic.ValidationError."""
        return cls.model_validate_json(text)
