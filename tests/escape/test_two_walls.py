"""No single mechanism's failure opens the host's files: each wall is taken away, the others hold.

The walls around files are the mounts (a guest's root holds nothing of the host's but the system),
Landlock (a second list of what may be opened), and the filter with the missing capabilities
(neither of the two can be changed from within). A wall is taken away by patching the host's side.
"""

import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox import Policy, Sandbox
from sandbox.backends import subprocess as backend
from sandbox.backends import zygote
from sandbox.backends.probe import landlock_abi
from sandbox.backends.subprocess import SubprocessBackend
from sandbox.backends.view import View, plan_view
from tests.escape.syscalls import ATTEMPT, NUMBER, said

pytestmark = [
    pytest.mark.slow,
    pytest.mark.differs(
        "docker", "gvisor", reason="takes walls of a subprocess away: test_container_walls.py"
    ),
]
needs_landlock = pytest.mark.skipif(not landlock_abi(), reason="this kernel has no Landlock")
MARKER = "planted-93aa04d1c6"
ALLOW_EVERYTHING = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder of the host's that everybody may read, with a secret in it."""
    tmp_path.chmod(0o755)
    (tmp_path / "secret").write_text(MARKER)
    (tmp_path / "secret").chmod(0o644)
    return tmp_path


@contextmanager
def fresh_box(mechanism: str) -> Generator[Sandbox]:
    """Start a sandbox of its own, after the patches."""
    engine = SubprocessBackend(use_control_groups=mechanism == "cgroup")
    with Sandbox(Policy.load("strict"), backend=engine) as box:
        yield box


def let_in(monkeypatch: pytest.MonkeyPatch, folder: Path, *, write: bool = False) -> None:
    """Let the mounts fail: bind a folder of the host's that no policy granted, at /leak."""
    step = {"kind": "bind", "target": "/leak", "source": str(folder), "write": write}

    def plan(*arguments: Any, **options: Any) -> View:
        view = plan_view(*arguments, **options)
        return replace(view, steps=(*view.steps, step))

    monkeypatch.setattr(zygote, "plan_view", plan)


def without_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Landlock fail: a kernel that has none."""
    monkeypatch.setattr(backend, "landlock_abi", lambda: 0)


def without_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the filter fail: every system call is allowed."""

    def compile_nothing(_names: tuple[str, ...]) -> bytes:
        return ALLOW_EVERYTHING

    monkeypatch.setattr(zygote, "compile_filter", compile_nothing)


READ_LEAK = ATTEMPT + "print(attempt(lambda: print(open('/leak/secret').read())))"
WRITE_LEAK = ATTEMPT + "print(attempt(lambda: open('/leak/new', 'w').close()))"


@needs_landlock
def test_landlock_alone_keeps_a_folder_shut_that_was_mounted_by_mistake(
    monkeypatch: pytest.MonkeyPatch, mechanism: str, folder: Path
) -> None:
    """The mounts fail, Landlock holds."""
    let_in(monkeypatch, folder)

    with fresh_box(mechanism) as box:
        assert said(box.run(READ_LEAK)) == "refused: EACCES"


@needs_landlock
def test_landlock_alone_keeps_a_writable_folder_from_being_written(
    monkeypatch: pytest.MonkeyPatch, mechanism: str, folder: Path
) -> None:
    """The mounts fail worse, Landlock holds."""
    folder.chmod(0o777)
    let_in(monkeypatch, folder, write=True)

    with fresh_box(mechanism) as box:
        assert said(box.run(WRITE_LEAK)) == "refused: EACCES"


def test_with_neither_wall_the_folder_is_open(
    monkeypatch: pytest.MonkeyPatch, mechanism: str, folder: Path
) -> None:
    """The control: what the tests above plant is really there to be read."""
    let_in(monkeypatch, folder)
    without_landlock(monkeypatch)

    with fresh_box(mechanism) as box:
        assert said(box.run(READ_LEAK)).split() == [MARKER, "done"]


FIND = """
import os
found = []
for folder, folders, files in os.walk("/"):
    if folder.startswith(("/proc", "/usr", "/opt")):
        folders.clear()
    for name in filter(lambda name: os.path.isfile(os.path.join(folder, name)), files):
        try:
            with open(os.path.join(folder, name), "rb") as file:
                found += [name] * ({marker!r}.encode() in file.read(100_000))
        except OSError:
            continue
print("found", found, {path!r}, os.path.exists({path!r}))
"""


def finding(folder: Path) -> str:
    head, tail = MARKER[:10], MARKER[10:]
    return FIND.replace("{marker!r}", f"({head!r} + {tail!r})").replace(
        "{path!r}", repr(str(folder / "secret"))
    )


def test_the_mounts_alone_hide_the_hosts_files(
    monkeypatch: pytest.MonkeyPatch, mechanism: str, folder: Path
) -> None:
    """Landlock fails, the mounts hold."""
    without_landlock(monkeypatch)

    with fresh_box(mechanism) as box:
        assert said(box.run(finding(folder))) == f"found [] {folder / 'secret'} False"


SYSTEM_STAYS = (
    ATTEMPT + "print(attempt(lambda: open('/usr/new', 'w')), attempt(open, '/etc/new', 'w'))"
)


def test_the_mounts_alone_keep_the_system_read_only(
    monkeypatch: pytest.MonkeyPatch, mechanism: str
) -> None:
    """Landlock fails, the flags of the mounts hold."""
    without_landlock(monkeypatch)

    with fresh_box(mechanism) as box:
        assert said(box.run(SYSTEM_STAYS)) == "refused: EROFS refused: EROFS"


CHANGES = {
    "umount": 'libc.umount2(b"/proc/keys", 2)',
    "remount": 'libc.mount(b"", b"/usr", b"", 32 | 4096, b"")',
    "bind": 'libc.mount(b"/", b"/tmp", b"", 4096, b"")',
    "proc": 'libc.mount(b"proc", b"/tmp", b"proc", 0, b"")',
    "pivot_root": f'libc.syscall({NUMBER["pivot_root"]}, b"/tmp", b"/tmp")',
    "open_tree": f'libc.syscall({NUMBER["open_tree"]}, -100, b"/", 1)',
}
CHANGE = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
{before}
print({change}, errno.errorcode[ctypes.get_errno()])
"""
OWN_NAMESPACE = "assert libc.unshare(0x10020000) == 0"


@pytest.mark.parametrize("change", CHANGES)
def test_the_filter_and_the_missing_capabilities_each_hold_the_mounts(
    monkeypatch: pytest.MonkeyPatch, mechanism: str, change: str
) -> None:
    """Landlock and the filter fail, the missing capabilities hold."""
    without_landlock(monkeypatch)
    without_filter(monkeypatch)

    with fresh_box(mechanism) as box:
        program = CHANGE.format(before="", change=CHANGES[change])
        assert said(box.run(program)) == "-1 EPERM"


@needs_landlock
@pytest.mark.parametrize("change", ["remount", "bind", "proc", "pivot_root"])
def test_landlock_holds_the_mounts_where_a_guest_makes_itself_root(
    monkeypatch: pytest.MonkeyPatch, mechanism: str, change: str
) -> None:
    """The filter fails, and the guest has all capabilities in a namespace of its own."""
    without_filter(monkeypatch)

    with fresh_box(mechanism) as box:
        program = CHANGE.format(before=OWN_NAMESPACE, change=CHANGES[change])
        assert said(box.run(program)) == "-1 EPERM"


@pytest.mark.parametrize("change", ["umount", "remount"])
def test_the_kernel_locks_the_mounts_of_a_guest_that_makes_itself_root(
    monkeypatch: pytest.MonkeyPatch, mechanism: str, change: str
) -> None:
    """The filter and Landlock fail; mounts that came from an outer namespace stay as they are."""
    without_filter(monkeypatch)
    without_landlock(monkeypatch)

    with fresh_box(mechanism) as box:
        program = CHANGE.format(before=OWN_NAMESPACE, change=CHANGES[change])
        assert said(box.run(program)) in {"-1 EPERM", "-1 EINVAL"}


def test_the_supervisor_stays_shut_without_the_filter(
    monkeypatch: pytest.MonkeyPatch, mechanism: str
) -> None:
    """The filter fails; PID 1 is not dumpable, so it is neither traced nor read."""
    without_filter(monkeypatch)
    program = CHANGE.format(before="", change="libc.ptrace(16, 1, 0, 0)")  # PTRACE_ATTACH

    with fresh_box(mechanism) as box:
        assert said(box.run(program)) == "-1 EPERM"
