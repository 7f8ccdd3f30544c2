"""What this host's kernel offers."""

import ctypes
from functools import cache

__all__ = ["landlock_abi"]

_LANDLOCK_CREATE_RULESET = 444
_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION


@cache
def landlock_abi() -> int:
    """Give the version of Landlock, 0 where there is none, landlock_create_ruleset(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(ctypes.c_long(_LANDLOCK_CREATE_RULESET), None, 0, _VERSION)))
