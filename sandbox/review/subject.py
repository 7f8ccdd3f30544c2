"""The code of a subject as a SHA-256: nothing of it is run, and nothing is imported."""

import hashlib
import inspect
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.machinery import all_suffixes
from pathlib import Path, PurePath
from typing import Any, Final, cast

from sandbox.errors import BadCall
from sandbox.review.places import Places, file_hash

__all__ = [
    "STANDARD_PATH",
    "command_hash",
    "find_module",
    "function_hash",
    "module_hash",
    "named_function_hash",
    "source_hash",
    "tree_hash",
]

STANDARD_PATH: Final = ("/usr/local/bin", "/usr/bin", "/bin")
"""Where a guest looks for programs, after the folder of its interpreter."""
_MOST_WRAPPED: Final = 16
_CACHES: Final = "__pycache__"


def source_hash(source: str | bytes) -> str:
    """Give the hash of a program's source, the same as that of its file."""
    return hashlib.sha256(source.encode() if isinstance(source, str) else source).hexdigest()


def module_hash(name: str, folders: Iterable[str | Path]) -> str:
    """Give the hash of a module's file or of all the files of a package.

    folders: where to look, in order. Raises BadCall for a name that is none or is not there.
    """
    return tree_hash(find_module(name, folders))


def named_function_hash(name: str, folders: Iterable[str | Path]) -> str:
    """Give the hash of a function by "module:function", from its module's file.

    The same as function_hash() gives for what is found there by that name. Raises BadCall.
    """
    module, _, function = name.partition(":")
    if not function:
        message = f"{name!r} names no function: write it as 'module:function'"
        raise BadCall(message)
    found = find_module(module, folders)
    file = found / "__init__.py" if found.is_dir() else found
    return _function_hash(function, [_read(file)])


def function_hash(function: Callable[..., Any]) -> str:
    """Give the hash of a function: of its name and of the whole file of its module.

    The module is part of it for what the function calls there. Not part of it are other modules,
    values that a closure or an object holds, and what was changed in memory. A function that its
    module does not have under its own name is hashed with the modules of all that it wraps or
    closes over; one whose module has no file, by its compiled code, which differs between versions
    of Python. Raises BadCall for what is no Python function, or whose file cannot be read.
    """
    is_named = _is_under_its_name(function)
    plain = inspect.unwrap(getattr(function, "__func__", function))
    named = getattr(function, "__qualname__", "")
    files = {_file_of(each) for each in ([function] if is_named else _parts(function))}
    if "" not in files and (is_named or isinstance(plain, types.FunctionType)):
        return _function_hash(named, [_read(Path(file)) for file in files])
    if not isinstance(plain, types.FunctionType):
        message = f"{function!r} has no code that can be read: give a Python function"
        raise BadCall(message)
    return source_hash(f"{named}\n{_code_text(plain.__code__)}")


def command_hash(
    word: str,
    places: Places,
    *,
    path: Sequence[str] = STANDARD_PATH,
    given: Mapping[str, bytes] | None = None,
) -> str:
    """Give the hash of the program that a command's first word names in a guest.

    path: the guest's PATH. given: files in its work folder, by relative name; a word with a slash
    may be one of them. Raises BadCall for a program that is not there.
    """
    relative = word.removeprefix("/box/").removeprefix("./")
    if "/" in word and given and relative in given:
        return source_hash(given[relative])
    tried = [word] if "/" in word else [f"{folder}/{word}" for folder in path]
    found = next((file for each in tried if (file := places.find(each))), None)
    if found is None:
        message = f"no program {word!r} is in a guest: give one of the system, or a file with it"
        raise BadCall(message)
    return _read_hash(found)


# Files


def find_module(name: str, folders: Iterable[str | Path]) -> Path:
    """Give a module's file or a package's folder. Raises BadCall where none of the folders has it.

    Not by importing: that would run the packages on the way.
    """
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        message = f"{name!r} is no module's name: write it as 'package.module'"
        raise BadCall(message)
    for folder in folders:
        place = Path(folder, *parts)
        if (place / "__init__.py").is_file():
            return place
        for suffix in all_suffixes():
            if (file := place.with_name(place.name + suffix)).is_file():
                return file
        if place.is_dir():
            return place
    message = f"there is no module {name!r} here: check its name, and where it is installed"
    raise BadCall(message)


def tree_hash(path: Path) -> str:
    """Give the hash of a file, or of all files below a folder with their names.

    Compiled code is left out: it is another after each compilation. A link counts by where it
    points, and is not followed. Raises BadCall for what cannot be read.
    """
    if not path.is_dir():
        return _read_hash(path)
    lines = sorted(f"{name}\0{digest}\n" for name, digest in _files_below(path))
    return source_hash("".join(lines).encode(errors="surrogateescape"))


def _files_below(folder: Path) -> Iterator[tuple[str, str]]:
    for place, names, files in os.walk(folder):
        names[:] = [name for name in names if name != _CACHES]
        inside = [*files, *(name for name in names if Path(place, name).is_symlink())]
        for path in (Path(place, name) for name in inside):
            name = str(path.relative_to(folder))
            if path.is_symlink():
                yield name, f"-> {path.readlink()}"
            elif path.is_file():
                yield name, _read_hash(path)


def _read_hash(path: Path) -> str:
    try:
        return file_hash(Path(os.path.realpath(path)))
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise BadCall(message) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}: its code cannot be compared"
        raise BadCall(message) from error


# Functions


def _function_hash(named: str, modules: Sequence[bytes]) -> str:
    lines = [named, *sorted(source_hash(module) for module in modules)]
    return source_hash("\n".join(lines))


def _is_under_its_name(function: Any) -> bool:
    """Tell whether its module has the very same function under its name; also of a method."""
    wanted = getattr(function, "__func__", function)
    found: Any = sys.modules.get(getattr(function, "__module__", None) or "")
    for part in getattr(function, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return getattr(found, "__func__", found) is wanted


def _parts(function: Any) -> list[Any]:
    """Give a function and those that it wraps or closes over."""
    found: list[Any] = []
    left = [function]
    while left and len(found) < _MOST_WRAPPED:
        each = left.pop()
        if any(each is known for known in found):
            continue
        found.append(each)
        cells = getattr(each, "__closure__", None) or ()
        held = [cell.cell_contents for cell in cells if _is_filled(cell)]
        wrapped = [getattr(each, "__wrapped__", None), getattr(each, "__func__", None)]
        left += [inner for inner in (*held, *wrapped) if inspect.isroutine(inner)]
    return found


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _file_of(function: Any) -> str:
    """Give the file of a function's module; "" where there is none that has its source."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    file: str = getattr(module, "__file__", None) or ""
    return file if file and PurePath(file).suffix != ".pyc" and Path(file).is_file() else ""


def _code_text(code: types.CodeType) -> str:
    """Give all that makes a code object do what it does, as text; not where it was written."""
    constants = [
        _code_text(each) if isinstance(each, types.CodeType) else _constant(each)
        for each in code.co_consts
    ]
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_argcount, code.co_flags)
    return f"{code.co_name} {code.co_code.hex()} {constants} {names}"


def _constant(value: object) -> str:
    """Sets of constants have another order in each process."""
    if isinstance(value, frozenset):
        return f"frozenset {sorted(map(repr, cast('frozenset[object]', value)))}"
    return repr(value)
