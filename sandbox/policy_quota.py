"""How much a call may use. Every name here is imported from sandbox.policy."""

from typing import Annotated

from pydantic import AfterValidator, Field

from sandbox.policy_grants import Document

__all__ = ["GIB", "KIB", "MIB", "TIB", "Quota"]

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB
_DAY_SECONDS = 86_400


class Quota(Document):
    """Upper bounds on one call. There is no 'unlimited': each has a default and a largest value.

    Scope "tree" counts the guest's first process and all its descendants together. The status is
    the one the caller finds in the result. What a host cannot enforce it refuses before the start.
    """

    wall_seconds: Annotated[float, Field(gt=0, le=_DAY_SECONDS)] = 5.0
    """Real time from launch to answer, in seconds. Default 5, at most a day. Scope: tree.
    Over it the guest is killed after grace_seconds; status "timeout"."""

    grace_seconds: Annotated[float, Field(ge=0, le=60), AfterValidator(abs)] = 0.0  # no -0.0
    """Time in seconds between SIGTERM at the deadline and SIGKILL. Default 0: SIGKILL at once.
    At most 60. Scope: tree. The guest sees SIGTERM; the status stays "timeout"."""

    cpu_seconds: Annotated[float, Field(gt=0, le=_DAY_SECONDS * 64)] = 5.0
    """Processor time, user and system, in seconds. Default 5, at most 64 days. Scope: tree.
    Over it the guest is killed; status "cpu_limit"."""

    cpus: Annotated[int, Field(ge=1, le=1024)] = 1
    """Processors the guest may run on at a time. Default 1, at most 1024. Scope: tree.
    The guest sees that many in its affinity, os.cpu_count() and OMP_NUM_THREADS; no status."""

    memory_bytes: Annotated[int, Field(ge=16 * MIB, le=TIB)] = 256 * MIB
    """Memory in bytes, with tmpfs and shared memory; swap is none. Default 256 MiB,
    from 16 MiB to 1 TiB. Scope: tree. The guest sees MemoryError or is killed; status
    "memory_limit"."""

    processes: Annotated[int, Field(ge=1, le=32_768)] = 32
    """Processes and threads alive at a time. Default 32, at most 32768. Scope: tree.
    One more: the guest sees EAGAIN from fork(2) and clone(2); status "process_limit"."""

    open_files: Annotated[int, Field(ge=16, le=65_536)] = 256
    """Open descriptors. Default 256, from 16 to 65536. Scope: process.
    One more: the guest sees EMFILE (OSError), as setrlimit(2) RLIMIT_NOFILE says; status "error"
    if the code does not handle it."""

    file_bytes: Annotated[int, Field(ge=1, le=TIB)] = 64 * MIB
    """Size of the largest single file, in bytes. Default 64 MiB, at most 1 TiB. Scope: process.
    Over it the guest sees EFBIG or SIGXFSZ; status "disk_limit". Where disk_bytes is smaller, that
    rules."""

    disk_bytes: Annotated[int, Field(ge=64 * KIB, le=TIB)] = 64 * MIB
    """Bytes in /box, /tmp and /dev/shm together. Default 64 MiB, from 64 KiB to 1 TiB. Scope: tree.
    Over it the guest sees ENOSPC; status "disk_limit". They count as memory too."""

    disk_files: Annotated[int, Field(ge=16, le=1_000_000)] = 4096
    """Files, folders and links in /box, /tmp and /dev/shm together (inodes). Default 4096, from 16
    to a million. Scope: tree. One more: the guest sees ENOSPC; status "disk_limit"."""

    output_bytes: Annotated[int, Field(ge=1, le=GIB)] = MIB
    """Bytes of stdout and stderr together. Default 1 MiB, at most 1 GiB. Scope: tree.
    Over it the guest is killed; status "output_limit"; head and tail are kept."""

    result_bytes: Annotated[int, Field(ge=1, le=64 * MIB)] = MIB
    """Bytes of the value as JSON. Default 1 MiB, at most 64 MiB. Scope: tree.
    Over it the value is dropped; status "invalid"."""

    result_depth: Annotated[int, Field(ge=1, le=200)] = 64
    """Levels of lists and objects nested in the value. Default 64, at most 200. Scope: tree.
    Over it the value is dropped; status "invalid"."""

    returned_files: Annotated[int, Field(ge=0, le=10_000)] = 64
    """Files handed back from /box. Default 64, at most 10000; 0 hands back none. Scope: tree.
    The guest sees nothing; the caller finds what is over left out, and said; no status."""

    idle_seconds: Annotated[float, Field(gt=0, le=_DAY_SECONDS)] = 600.0
    """Real time between two turns of a session, in seconds. Default 600, at most a day.
    Scope: session. Over it all of the session is killed; the next turn raises SessionLost."""

    life_seconds: Annotated[float, Field(gt=0, le=_DAY_SECONDS)] = 3600.0
    """Real time from the start of a session to its end, in seconds. Default 3600, at most a day.
    Scope: session. Over it all of the session is killed; the next turn raises SessionLost."""

    returned_bytes: Annotated[int, Field(ge=0, le=GIB)] = 16 * MIB
    """Bytes handed back from /box, all files together. Default 16 MiB, at most 1 GiB; 0 hands back
    none. Scope: tree. The guest sees nothing; what is over is left out, and said; no status."""
