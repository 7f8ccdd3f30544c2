"""The files of a work folder that a call gives back."""

from functools import partial
from typing import Final

import anyio.to_thread

from sandbox.collect import Collected, DiskUse, collect_files
from sandbox.policy import Quota

__all__ = ["files_to_return"]

INLINE_BYTES, INLINE_FILES = 1 << 20, 100
"""A work folder up to this size is read without leaving the event loop."""
OWN_FILES: Final = 4
"""Inodes of the scratch space that are there before the guest is."""


async def files_to_return(folder: int, used: DiskUse, quota: Quota) -> Collected:
    """Copy out a work folder, by the descriptor that PID 1 sent before the call."""
    if used.files <= OWN_FILES:
        return Collected({}, ())
    count, total_bytes = quota.returned_files, quota.returned_bytes
    collect = partial(collect_files, folder, count=count, total_bytes=total_bytes)
    if used.bytes <= INLINE_BYTES and used.files <= INLINE_FILES:
        return collect()
    # To its end even if the caller goes: the descriptor must not be closed under it.
    return await anyio.to_thread.run_sync(collect, abandon_on_cancel=False)
