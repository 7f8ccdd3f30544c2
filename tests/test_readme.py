"""The README's examples are run, not believed."""

import re
import tempfile
import tomllib
from pathlib import Path

import pytest

from sandbox import CannotEnforce, Policy
from sandbox.backends.cgroups import find_hierarchies

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(
    r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE
)
"""An example, and below it what it prints, if anything."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(("source", "printed"), EXAMPLE.findall(README))
def test_each_python_example_runs_and_prints_what_stands_below_it(
    source: str,
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    program = compile(source, "README.md", "exec")
    if ".fork(" in source and not find_hierarchies():
        with pytest.raises(CannotEnforce, match="control groups"):  # as the README says
            exec(program, {"__name__": "readme"})  # noqa: S102 - our own
        return
    exec(program, {"__name__": "readme"})  # noqa: S102 - ditto

    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("text", blocks("toml"))
def test_each_policy_of_the_readme_can_be_loaded(text: str, tmp_path: Path) -> None:
    document = tmp_path / "readme.toml"
    document.write_text(text, encoding="utf-8")

    loaded = Policy.load(document)

    assert loaded.quota.wall_seconds == tomllib.loads(text)["quota"]["wall_seconds"]


def test_the_examples_of_the_readme_are_found() -> None:
    languages = ("python", "text", "toml", "sh")

    assert [len(blocks(language)) for language in languages] == [12, 11, 1, 7]


def test_each_text_of_the_readme_belongs_to_an_example() -> None:
    assert [printed for _, printed in EXAMPLE.findall(README) if printed] == blocks("text")
