"""Real programs, as nobody changed them for us: how each is called."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from sandbox import Source
from sandbox.call import Call, Command
from sandbox.review.plan import RUN_MODULE
from tests.conftest import lacking

__all__ = ["GIT", "MODULES", "PROGRAMS", "SOURCES", "command", "module", "program_beside_python"]

TEXT = b"the quick brown fox\njumps over\nthe lazy dog\n"
UGLY = b"x = {  'a':1 }\n"
GIT = (
    "git init -q . && git add a.txt && git config user.name A && git config user.email a@b.example"
    " && git config maintenance.auto false && git commit -qm 1 && git log --oneline"
)
"""What git would tidy up behind it may come to its end, or be ended with the call."""

MODULES: dict[str, tuple[list[str], dict[str, bytes], str]] = {
    "pip": (["--version"], {}, "pip "),
    "black": (["-q", "a.py"], {"a.py": UGLY}, ""),
    "mypy": (["--version"], {}, "mypy "),
    "pytest": (["-q", "test_a.py"], {"test_a.py": b"def test(): assert 1 + 1 == 2\n"}, "1 passed"),
    "json.tool": (["a.json"], {"a.json": b'{"a": 1}'}, '"a": 1'),
    "zipfile": (["-c", "a.zip", "a.txt"], {"a.txt": TEXT}, ""),
}
"""Run as by `python -m`: arguments, files, a part of the output."""

SOURCES = {
    "requests": "import requests\ntry: requests.get('https://tool.example/', timeout=2)\n"
    "except requests.RequestException as fault: print(type(fault).__name__)",
    "pydantic": "import pydantic\nclass A(pydantic.BaseModel): x: int\nprint(A(x='1').x)",
    "numpy": "import numpy\nprint(numpy.arange(10).sum())",
    "sqlite3": "import sqlite3\nwith sqlite3.connect('a.db') as d: d.execute('create table t (x)')",
    "multiprocessing": "import multiprocessing\nif __name__ == '__main__':\n"
    "    with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(abs, [-1, 2]))",
}

PROGRAMS: dict[str, tuple[list[str], str]] = {
    "sqlite3": (["a.db", "create table t (x); insert into t values (7); select x from t"], "7\n"),
    "tar": (["czf", "a.tgz", "a.txt"], ""),
    "gzip": (["-k", "a.txt"], ""),
    "sed": (["-i", "s/fox/cat/", "a.txt"], ""),
    "awk": (["{ print $1 }", "a.txt"], "jumps\n"),
    "jq": (["-n", "{a: 1}"], '"a": 1'),
    "sort": (["-r", "a.txt"], "the quick"),
    "grep": (["-c", "the", "a.txt"], "2\n"),
    "find": ([".", "-name", "*.txt"], "a.txt"),
    "make": (["--version"], "GNU Make"),
    "perl": (["-ne", "print if /fox/", "a.txt"], "fox"),
    "diff": (["a.txt", "a.txt"], ""),
}
"""Programs of the system, with a.txt: arguments, and a part of the output."""


def module(name: str, *arguments: str, files: dict[str, bytes] | None = None) -> Source:
    """Give the call of a module that is installed here."""
    if find_spec(name.partition(".")[0]) is None:
        lacking(name, f"pip install {name}")
    source = RUN_MODULE.format(name=name)
    return Source(
        source=source, name=name, arguments=arguments, expect_value=False, files=files or {}
    )


def command(*argv: str, files: dict[str, bytes] | None = None) -> Command:
    """Give the call of a program that this host must have."""
    if shutil.which(argv[0], path="/usr/bin:/bin") is None:
        lacking(argv[0], f"apt-get install {argv[0]}")
    return Command(argv=argv, files={"a.txt": TEXT} if files is None else files)


def program_beside_python(name: str, *arguments: str) -> Call:
    """Give the call of a program that was installed beside this interpreter, taken along."""
    path = Path(sys.executable).parent / name
    if not path.is_file():
        lacking(name, f"pip install {name}")
    return Command(argv=[f"./{name}", *arguments], files={name: path.read_bytes()})
