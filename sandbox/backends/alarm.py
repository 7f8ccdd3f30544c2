"""An alarm that rings in another process: set here, it rings whatever becomes of this program."""

import ctypes
import os
import struct
import time
from typing import Final

__all__ = ["make_alarm", "set_alarm"]

TIMERFD_CLOEXEC: Final = 0o2000000  # timerfd_create(2)
LEAST_SECONDS: Final = 1e-6
"""Zero would unset it."""
_TIME: Final = struct.Struct("=qqqq")
"""Seconds and nanoseconds, of the interval and until it rings."""
_libc: Final = ctypes.CDLL(None, use_errno=True)


def make_alarm() -> int:
    """Make one that is not set; who has its descriptor reads from it once it rings.

    Raises OSError.
    """
    return _checked(_libc.timerfd_create(time.CLOCK_MONOTONIC, TIMERFD_CLOEXEC))


def set_alarm(alarm: int, seconds: float) -> None:
    """Have it ring once, after so long; an earlier setting is void, timerfd_settime(2)."""
    whole, part = divmod(max(seconds, LEAST_SECONDS), 1)
    when = _TIME.pack(0, 0, int(whole), int(part * 1e9))
    _checked(_libc.timerfd_settime(alarm, 0, when, None))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
