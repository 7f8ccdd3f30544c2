"""The tree is the architecture; these tests keep it true."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sandbox
from sandbox import shipped

PACKAGE = Path(sandbox.__file__).parent
CHECKOUT = PACKAGE.parent
MOST_LINES = 400

TYPES = {"errors", "call", "result", "record", "wire", "shipped", "policy"}
LAYERS: dict[str, set[str]] = {
    "types": TYPES,
    "collect": {"collect"},
    "backends": {"backends"},
    "engine": {"verdict", "tenants", "engine"},
    "box": {
        "functions",
        "choices",
        "loop_thread",
        "async_box",
        "box",
        "session",
        "batch",
        "review",
    },
    "providers": {"providers"},
    "tools": {"tools"},
    "executors": {"executors"},
    "cli": {"cli", "__main__"},
}
"""From the ground up. A part imports its own layer and those below; DESIGN.md, section 3."""

CONTRACT = {"base"}
"""What the layers above may know of backends/: the contract."""

BY_NAME = {"choices": {"subprocess", "docker"}, "cli": set(LAYERS["backends"])}
"""Where a backend is chosen by its name, and where leftovers of a backend are looked after."""


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if shipped_inside(path, folder))


def shipped_inside(path: Path, folder: Path) -> bool:
    """Leave out what an install puts inside the package: it is looked at on its own."""
    data = {shipped.RUNNERS, shipped.POLICIES, shipped.IMAGES}
    return not any(root != folder and path.is_relative_to(root) for root in data)


def imports(file: Path) -> Iterator[str]:
    """Give the full name of every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case _:
                pass


def part_of(module: str) -> str:
    """Give the part of the package that a module belongs to: policy_text belongs to policy."""
    name = module.split(".")[1] if "." in module else "__init__"
    family = name.partition("_")[0]
    return family if family in {"policy", "wire"} else name


def layer_of(part: str) -> int:
    for number, parts in enumerate(LAYERS.values()):
        if part in parts:
            return number
    message = f"sandbox/{part} has no place in LAYERS: give it one, and a row in DESIGN.md"
    raise LookupError(message)


def module_name(file: Path) -> str:
    return ".".join(("sandbox", *file.relative_to(PACKAGE).with_suffix("").parts))


@pytest.mark.parametrize("file", sources(shipped.RUNNERS), ids=lambda file: file.name)
def test_a_runner_needs_only_the_standard_library_and_its_kin(file: Path) -> None:
    kin = {path.stem for path in shipped.RUNNERS.glob("*.py")}
    needed = {name.partition(".")[0] for name in imports(file)}

    assert needed <= sys.stdlib_module_names | kin


@pytest.mark.parametrize("file", sources(PACKAGE), ids=module_name)
def test_the_host_never_imports_a_runner(file: Path) -> None:
    assert "runners" not in {name.partition(".")[0] for name in imports(file)}


@pytest.mark.parametrize("file", sources(shipped.RUNNERS), ids=lambda file: file.name)
def test_a_runner_never_imports_the_host(file: Path) -> None:
    assert "sandbox" not in {name.partition(".")[0] for name in imports(file)}


@pytest.mark.parametrize("file", sources(PACKAGE), ids=module_name)
def test_arrows_go_down_only(file: Path) -> None:
    part = part_of(module_name(file))
    if part == "__init__":
        return
    needed = {part_of(name) for name in imports(file) if name.startswith("sandbox.")}

    assert {name for name in needed if layer_of(name) > layer_of(part)} == set()


@pytest.mark.parametrize("file", sources(PACKAGE), ids=module_name)
def test_a_backend_is_known_by_its_contract_only(file: Path) -> None:
    part = part_of(module_name(file))
    if part in {"__init__", "backends", "cli"}:
        return
    known = {name.split(".")[2] for name in imports(file) if name.startswith("sandbox.backends.")}

    assert known <= CONTRACT | BY_NAME.get(part, set())


@pytest.mark.parametrize("file", sources(PACKAGE), ids=module_name)
def test_guest_bytes_are_taken_apart_in_one_module(file: Path) -> None:
    readers = {name for name in imports(file) if name in {"pickle", "marshal", "shelve"}}

    assert readers == set()


def every_file() -> list[Path]:
    folders = [CHECKOUT / name for name in ("sandbox", "runners", "tests")]
    return [path for folder in folders for path in sorted(folder.rglob("*.py"))]


@pytest.mark.parametrize("file", every_file(), ids=lambda file: str(file.relative_to(CHECKOUT)))
def test_a_file_can_be_read_in_one_sitting(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("file", every_file(), ids=lambda file: str(file.relative_to(CHECKOUT)))
def test_a_function_fits_on_a_screen(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert [each.name for each in functions if each.end_lineno - each.lineno > 50] == []  # type: ignore[operator]  # parsed code has lines


def test_no_two_runners_share_a_name() -> None:
    names = [path.stem for path in sources(shipped.RUNNERS) if path.stem != "__init__"]

    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    "folder", [shipped.RUNNERS, shipped.POLICIES, shipped.IMAGES], ids=lambda each: each.name
)
def test_every_shipped_folder_is_there(folder: Path) -> None:
    assert any(folder.iterdir())


@pytest.mark.parametrize("name", ["strict", "compute", "tool", "session", "review"])
def test_every_preset_is_shipped(name: str) -> None:
    assert (shipped.POLICIES / f"{name}.toml").is_file()


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
