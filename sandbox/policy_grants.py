"""What a call may touch: network, files, environment, programs, packages, host tools.

Absent means denied. A wider grant is another type, so nothing is switched on by a flag and nothing
is unlimited by being left out. Every name here is imported from sandbox.policy.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sandbox.policy_values import (
    AbsolutePath,
    FrozenValues,
    HostName,
    Names,
    Reason,
    ToolName,
    VariableName,
    VariableValue,
    without_covered_hosts,
)

__all__ = [
    "AnyProgram",
    "Document",
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
]

HIDDEN_HOST_FOLDERS = ("/proc", "/sys", "/dev", "/run", "/var/run")
"""Never granted: the kernel's own files, devices, and the sockets of the host's services."""

GUEST_FOLDERS = (
    *("/proc", "/sys", "/dev", "/run", "/box", "/tmp"),  # noqa: S108  # a name, nothing is made there
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc"),
)
"""Where a grant may not appear: the guest's own folders and the system it runs on."""


class Document(BaseModel):
    """A frozen part of a policy: unknown keys are refused and nothing is converted.

    Raises pydantic.ValidationError when built by hand from what does not fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class NoNetwork(Document):
    """No network: the guest sees only a loopback interface of its own."""

    kind: Literal["none"] = "none"


class Hosts(Document):
    """Network to the named hosts only; other names do not resolve and other addresses fail.

    A backend that cannot filter by name refuses the call.
    """

    kind: Literal["hosts"] = "hosts"
    allow: Annotated[
        tuple[HostName, ...], *Names, AfterValidator(without_covered_hosts), Field(min_length=1)
    ]
    """Host names such as api.example.org, or *.example.org for every name below example.org.
    At least one; no addresses, no ports. That a wildcard covers one owner's names only is not
    checked: *.co.uk is accepted."""


class FullNetwork(Document):
    """The host's whole network, with its loopback services and neighbours."""

    kind: Literal["full"] = "full"
    reason: Reason
    """Why no list of hosts will do. No default."""


class FileGrant(Document):
    """One file or folder of the host's that the guest sees, with all below it.

    Grant no folder in which a program of the host listens on a Unix socket: whoever can read the
    folder can connect, and no wall here tells a socket from a file.
    """

    path: AbsolutePath
    """Where it is on the host: absolute and normalized. Never /, nor at or below /proc, /sys, /dev,
    /run. Where a link on the way leads is not looked at here."""
    at: Annotated[AbsolutePath, Field(validate_default=True)] = ""
    """Where the guest sees it; left out or empty: at the same path as on the host. Never in the
    guest's own folders (/box, /tmp, /dev, /proc...) or its system (/usr, /lib, /etc...)."""
    access: Literal["read", "write"] = "read"
    """"read": the guest sees a read-only file system (EROFS). "write": changes reach the host's
    file, and the disk quotas do not count them. Default: "read"."""
    reason: Reason
    """Why the call needs it. No default."""

    @field_validator("path")
    @classmethod
    def _refuse_host_folders(cls, path: str) -> str:
        if path == "/" or _is_at_or_below(path, HIDDEN_HOST_FOLDERS):
            message = f"{path} is never granted: name the file or folder that the call needs"
            raise ValueError(message)
        return path

    @field_validator("at", mode="before")
    @classmethod
    def _same_place_when_empty(cls, at: object, info: ValidationInfo) -> object:
        return at or info.data.get("path", at)

    @field_validator("at")
    @classmethod
    def _refuse_guest_folders(cls, at: str) -> str:
        if at == "/" or _is_at_or_below(at, GUEST_FOLDERS):
            message = f'{at} belongs to the guest\'s own system: choose another, as at = "/data"'
            raise ValueError(message)
        return at


class Environment(Document):
    """The variables the guest sees beside those the engine sets. Default: none."""

    inherit: Annotated[tuple[VariableName, ...], *Names] = ()
    """Names copied from the host; a name the host does not have stays absent. Default: none."""
    values: Annotated[
        Mapping[VariableName, VariableValue],
        AfterValidator(FrozenValues),
        PlainSerializer(dict, return_type=dict[str, str]),
    ] = FrozenValues({})
    """Names with the text the guest sees. Default: none. Anyone who reads the policy sees it."""

    @model_validator(mode="after")
    def _refuse_both(self) -> Self:
        both = sorted(set(self.inherit) & set(self.values))
        if both:
            message = f"{both[0]} is in inherit and in values: keep one of them"
            raise ValueError(message)
        return self


class AnyProgram(Document):
    """Every program the guest can see; none can do more than the policy."""

    kind: Literal["any"] = "any"


class NoPrograms(Document):
    """No program but the interpreter that runs the call: execve(2) is denied."""

    kind: Literal["none"] = "none"


class ListedPrograms(Document):
    """Only the named programs; execve(2) of another is denied."""

    kind: Literal["listed"] = "listed"
    allow: Annotated[tuple[AbsolutePath, ...], *Names, Field(min_length=1)]
    """Absolute paths as the guest sees them. At least one."""


class NoPackages(Document):
    """The standard library only."""

    kind: Literal["none"] = "none"


class InstalledPackages(Document):
    """The Python packages installed for the host's interpreter, read-only."""

    kind: Literal["installed"] = "installed"
    reason: Reason
    """Why the call needs them. No default."""


class NoHostTools(Document):
    """Guest code can call nothing on the host."""

    kind: Literal["none"] = "none"


class ListedHostTools(Document):
    """Guest code can call the named tools of the host."""

    kind: Literal["listed"] = "listed"
    allow: Annotated[tuple[ToolName, ...], *Names, Field(min_length=1)]
    """Names of tools. At least one."""


def _is_at_or_below(path: str, folders: tuple[str, ...]) -> bool:
    return any(PurePosixPath(path).is_relative_to(folder) for folder in folders)
