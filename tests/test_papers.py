"""The papers name tests that exist."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SECURITY = (TESTS.parent / "SECURITY.md").read_text(encoding="utf-8")
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py"))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\btest_\w+\b(?!\.py|\*)", SECURITY))))
def test_each_test_that_security_md_names_is_there(name: str) -> None:
    assert re.search(rf"\bdef {name}\(", SOURCES)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\btests/[\w/*]+\.py\b", SECURITY))))
def test_each_file_of_tests_that_security_md_names_is_there(path: str) -> None:
    assert list(TESTS.parent.glob(path))
