"""Has the code of the interpreter mapped in every clone of this process, from the start.

fork(2) leaves out what a clone can read from a file again: pages of code come back by faults, some
sixty in the life of a guest. A mapping with a page of its own is copied whole.
"""

import contextlib
import mmap

import kernel

LEAST_BYTES = 1 << 20
"""What is smaller is seldom worth its copy."""


def keep_in_clones() -> None:
    """Give each large read-only mapping of a file one page of its own: a copy, unchanged."""
    for start, size, rights in _large_files():
        with contextlib.suppress(OSError):  # only time is lost
            kernel.protect(start, size, rights | mmap.PROT_WRITE)
            try:
                kernel.own_page(start + size - mmap.PAGESIZE)
            finally:
                kernel.protect(start, size, rights)


def _large_files() -> list[tuple[int, int, int]]:
    """Find them, with their rights, proc_pid_maps(5)."""
    found: list[tuple[int, int, int]] = []
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            span, rights, _, _, _, *path = line.split(maxsplit=5)
            start, end = (int(number, 16) for number in span.split("-"))
            if path and rights in {"r-xp", "r--p"} and end - start >= LEAST_BYTES:
                execute = mmap.PROT_EXEC if "x" in rights else 0
                found.append((start, end - start, mmap.PROT_READ | execute))
    return found
