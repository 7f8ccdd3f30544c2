"""Makes images without a registry, out of this host's own interpreter and programs.

What goes in is written in images/NAME/image.toml. Nothing of the host's but its system files and
the Python that runs this program is looked at.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from sandbox.backends.view import SYNTHETIC, SYSTEM_FILES, Interpreter
from sandbox.errors import BadCall, EngineFault
from sandbox.shipped import IMAGES, RUNNERS

__all__ = [
    "WIRE_VERSION",
    "ImageSpec",
    "image_names",
    "root_archive",
    "runner_archive",
    "runner_hash",
]

WIRE_VERSION: Final = 2
"""What host and runner must agree on; runners/link.py has the same."""
HOME: Final = "opt/sandbox"
PACKAGES: Final = "/opt/packages"
FOLDERS: Final = ("box", "tmp", "proc", "sys", "dev", "run", "etc", "opt")
SEARCHED: Final = "/usr/bin:/bin:/usr/sbin:/sbin"
LEFT_OUT: Final = frozenset(
    {"test", "__pycache__", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3",
     "site-packages", "dist-packages"}
)  # fmt: skip
NAMED_OTHERWISE: Final = ("/etc/alternatives", "/etc/ld.so.cache")
"""Programs are there under their own names, libraries where the loader looks without a cache."""
PIP_SECONDS: Final = 600
LDD_SECONDS: Final = 60
LDD_BATCH: Final = 50
_LIBRARY: Final = re.compile(r"(?:=>\s+|^\s+)(/\S+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """What images/NAME/image.toml says. programs: by name. packages: for pip."""

    name: str
    summary: str
    programs: tuple[str, ...]
    packages: tuple[str, ...]

    @classmethod
    def load(cls, name: str) -> "ImageSpec":
        """Read it. Raises BadCall for a name that is none."""
        if name not in image_names():
            message = f"there is no image {name!r} to build: use {' or '.join(image_names())}"
            raise BadCall(message)
        keys: dict[str, Any] = tomllib.loads(
            (IMAGES / name / "image.toml").read_text(encoding="utf-8")
        )
        base = cls.load(keys["extends"]) if "extends" in keys else None
        return cls(
            name=name,
            summary=keys["summary"],
            programs=(*(base.programs if base else ()), *keys.get("programs", ())),
            packages=(*(base.packages if base else ()), *keys["packages"]),
        )


def image_names() -> tuple[str, ...]:
    """Give the names of the images that can be built."""
    return tuple(sorted(path.parent.name for path in IMAGES.glob("*/image.toml")))


@contextmanager
def root_archive(spec: ImageSpec) -> Generator[Path]:
    """Write a whole root file system as a tar archive; it is gone when the block is left."""
    with tempfile.TemporaryDirectory(prefix="sandbox-image-") as folder:
        packages = _install(spec.packages, Path(folder, "packages"))
        archive = Path(folder, "root.tar")
        with tarfile.open(archive, "w") as tar:
            root = _Root(tar)
            _add_system(root, spec.programs)
            _add_interpreter(root, Interpreter.current(), extra=_objects_in(packages))
            for file in _files_below(packages):
                root.add(str(file), f"{PACKAGES}/{file.relative_to(packages)}")
            _add_runner(root)
        yield archive


@contextmanager
def runner_archive(*, with_interpreter: bool) -> Generator[Path]:
    """Write what an image of somebody else's lacks: our runner, and a Python where it has none."""
    with tempfile.TemporaryDirectory(prefix="sandbox-image-") as folder:
        archive = Path(folder, "runner.tar")
        with tarfile.open(archive, "w") as tar:
            root = _Root(tar)
            for name in ("opt", HOME, "box"):
                root.folder(name)
            _add_runner(root)
            if with_interpreter:
                _add_interpreter_apart(root, Interpreter.current())
        yield archive


def runner_hash() -> str:
    """Give sixteen digits that change when anything of the runner does."""
    digest = hashlib.sha256()
    for file in sorted([*RUNNERS.glob("*.py"), *_cloudpickle().glob("*.py")]):
        digest.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


class _Root:
    """A tar archive of a root file system; what is added is root's, whoever has it here."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._names: set[str] = set()

    def add(self, source: str, target: str) -> None:
        """Add a file's content, links followed, under another path; the first one stays."""
        name = _canonical(target)
        if name in self._names:
            return
        self._names.add(name)
        self._tar.add(os.path.realpath(source), name, recursive=False, filter=_of_root)

    def text(self, target: str, content: str) -> None:
        """Add a file with this content."""
        entry = tarfile.TarInfo(target.lstrip("/"))
        entry.size, entry.mode = len(content.encode()), 0o644
        self._names.add(entry.name)
        self._tar.addfile(entry, BytesIO(content.encode()))

    def folder(self, target: str) -> None:
        """Add an empty folder."""
        entry = tarfile.TarInfo(target)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        self._tar.addfile(entry)

    def link(self, target: str, to: str) -> None:
        """Add a symbolic link."""
        entry = tarfile.TarInfo(target)
        entry.type, entry.linkname = tarfile.SYMTYPE, to
        self._tar.addfile(entry)


def _canonical(path: str) -> str:
    """Name a file below /usr where the root has only links to there: /lib is usr/lib."""
    first, _, rest = path.strip("/").partition("/")
    return (
        f"usr/{first}/{rest}"
        if first in {"bin", "sbin", "lib", "lib32", "lib64"}
        else path.strip("/")
    )


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = entry.mode & 0o755 | 0o444  # no setuid, readable for everybody
    return entry


def _add_system(root: _Root, programs: Iterable[str]) -> None:
    for folder in FOLDERS:
        root.folder(folder)
    for name in ("bin", "sbin", "lib", "lib64"):
        root.folder(f"usr/{name}")
        root.link(name, f"usr/{name}")
    found = {name: path for name in programs if (path := shutil.which(name, path=SEARCHED))}
    for name, path in found.items():
        root.add(path, f"/usr/bin/{name}")
    for library in _libraries(found.values()):
        root.add(library, library)
    for path in (*SYSTEM_FILES, "/usr/lib/locale/C.utf8"):
        if path not in NAMED_OTHERWISE:
            for file in _files_below(Path(path)):
                root.add(str(file), str(file))
    for target, text in SYNTHETIC.items():
        root.text(target, text.replace("1000", "65534"))


def _add_interpreter(root: _Root, interpreter: Interpreter, extra: list[str]) -> None:
    """Add the interpreter with its standard library, where a guest finds them."""
    files = _standard_library(interpreter)
    for file in (interpreter.executable, *files):
        root.add(file, interpreter.guest_path(file))
    for name in ("python3", "python"):
        root.link(f"usr/bin/{name}", interpreter.guest_executable)
    objects = [file for file in files if file.endswith(".so")]
    libraries = [*_libraries([interpreter.executable, *objects, *extra])]
    for library in libraries:
        root.add(library, _place_of(library, libraries, interpreter))


def _place_of(library: str, libraries: list[str], interpreter: Interpreter) -> str:
    """Keep a library where it is, but one of a Python elsewhere goes to where libc is found."""
    if interpreter.guest_path(library) == library:
        return library
    libc = next(path for path in libraries if "/libc.so" in path)
    return f"{os.path.dirname(libc)}/{os.path.basename(library)}"


def _add_interpreter_apart(root: _Root, interpreter: Interpreter) -> None:
    """Add an interpreter that needs nothing of the image it is put into, not even a loader."""
    files = _standard_library(interpreter)
    version = f"python{interpreter.version[0]}.{interpreter.version[1]}"
    stdlib = sysconfig.get_path("stdlib")
    root.add(interpreter.executable, f"/{HOME}/python/bin/python3")
    for file in files:
        root.add(file, f"/{HOME}/python/lib/{version}/{os.path.relpath(file, stdlib)}")
    objects = [file for file in files if file.endswith(".so")]
    for library in _libraries([interpreter.executable, *objects]):
        root.add(library, f"/{HOME}/python/libraries/{os.path.basename(library)}")
        if "/ld-linux" in library:
            root.add(library, f"/{HOME}/python/loader")


def _standard_library(interpreter: Interpreter) -> list[str]:
    version = f"python{interpreter.version[0]}.{interpreter.version[1]}"
    folder = Path(interpreter.prefix, "lib", version)
    return [str(file) for file in _files_below(folder) if not file.name.endswith(".a")]


def _files_below(folder: Path) -> Iterator[Path]:
    """Give a file, or all files below a folder but tests, caches and installed packages."""
    if folder.is_file():
        yield folder
    for path, names, files in os.walk(folder):
        names[:] = sorted(
            name for name in names if name not in LEFT_OUT and not name.startswith("config-")
        )
        yield from (Path(path, name) for name in sorted(files) if Path(path, name).is_file())


def _objects_in(folder: Path) -> list[str]:
    return [str(file) for file in _files_below(folder) if ".so" in file.name]


def _libraries(programs: Iterable[str]) -> Iterator[str]:
    """Give the shared libraries that programs of this host's need, and their loader, ldd(1)."""
    paths = [os.path.realpath(program) for program in programs]
    found: dict[str, None] = {}
    for start in range(0, len(paths), LDD_BATCH):
        batch = paths[start : start + LDD_BATCH]
        said = subprocess.run(  # noqa: PLW1510 - a script among them is no error
            ["/usr/bin/ldd", *batch], capture_output=True, text=True, timeout=LDD_SECONDS
        )
        found |= dict.fromkeys(_LIBRARY.findall(said.stdout))
    return iter(found)


def _add_runner(root: _Root) -> None:
    for file in sorted(RUNNERS.glob("*.py")):
        root.add(str(file), f"/{HOME}/runners/{file.name}")
    for file in sorted(_cloudpickle().glob("*.py")):
        root.add(str(file), f"/{HOME}/library/cloudpickle/{file.name}")


def _cloudpickle() -> Path:
    found = importlib.util.find_spec("cloudpickle")
    assert found  # noqa: S101 - it is a dependency
    assert found.origin  # noqa: S101 - ditto
    return Path(found.origin).parent


def _install(packages: tuple[str, ...], folder: Path) -> Path:
    """Install packages into a folder, by this interpreter's pip. Raises EngineFault."""
    folder.mkdir()
    if not packages:
        return folder
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--target",
        str(folder),
        *packages,
    ]
    done = subprocess.run(  # noqa: PLW1510 - told below
        command, capture_output=True, text=True, timeout=PIP_SECONDS
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        message = f"pip cannot install {', '.join(packages)}: {last}"
        raise EngineFault(message)
    return folder
