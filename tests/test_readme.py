"""The README's examples are run, not believed."""

import re
import tomllib
from pathlib import Path

import pytest

from sandbox import Policy

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("source", blocks("python"))
def test_each_python_example_runs_and_its_assertions_hold(source: str) -> None:
    exec(compile(source, "README.md", "exec"), {"__name__": "readme"})  # noqa: S102 - our own


@pytest.mark.parametrize("text", blocks("toml"))
def test_each_policy_of_the_readme_can_be_loaded(text: str, tmp_path: Path) -> None:
    document = tmp_path / "readme.toml"
    document.write_text(text, encoding="utf-8")

    loaded = Policy.load(document)

    assert loaded.quota.wall_seconds == tomllib.loads(text)["quota"]["wall_seconds"]


def test_the_examples_of_the_readme_are_found() -> None:
    assert [len(blocks(language)) for language in ("python", "toml", "sh")] == [1, 1, 4]
