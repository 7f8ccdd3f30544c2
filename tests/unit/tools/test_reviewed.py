"""A tool whose code is not the code that was reviewed is refused when it is registered."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox import BadCall, Toolset
from sandbox.review.baseline import Baseline
from sandbox.review.behaviour import Behaviour
from sandbox.review.subject import function_hash, named_function_hash
from tests.unit.tools.turns import answer_all, call_of


def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


def news() -> str:
    """Tell the news."""
    return "none"


class Both:
    """Two tools."""

    def one(self) -> int:
        return 1

    def two(self) -> int:
        return 2


def baseline(code: str = "", kind: Any = "function") -> Baseline:
    return Baseline(
        kind=kind,
        name="tools:weather",
        hash=code or function_hash(weather),
        policy_fingerprint="0123456789abcdef",
        behaviour=Behaviour(),
    )


def kept(folder: Path, made: Baseline) -> Path:
    path = folder / "weather.baseline.json"
    path.write_text(made.to_json(), encoding="utf-8")
    return path


CHANGED = (
    r"the tool weather is not what was reviewed as tools:weather: its code has changed, "
    r"SHA-256 cccccccccccc is now [0-9a-f]{12}: review it again: sandbox review .*:weather"
)


def test_the_reviewed_function_is_registered(tmp_path: Path) -> None:
    path = kept(tmp_path, baseline())
    by_name = Toolset(reviewed={"weather": str(path)})
    by_name.tool(weather)
    with_it = Toolset()
    with_it.add(weather, reviewed=path)
    with_it.add(news, reviewed=baseline(function_hash(news)))

    assert (list(by_name.tools), list(with_it.tools)) == (["weather"], ["weather", "news"])


def test_another_function_is_refused_by_the_toolsets_baseline(tmp_path: Path) -> None:
    tools = Toolset(reviewed={"weather": kept(tmp_path, baseline("cc" * 32))})

    with pytest.raises(BadCall, match=CHANGED):
        tools.add(weather)


def test_another_function_is_refused_by_its_own_baseline() -> None:
    with pytest.raises(BadCall, match=CHANGED):
        Toolset().tool(reviewed=baseline("cc" * 32))(weather)


def test_its_own_baseline_does_not_replace_the_toolsets() -> None:
    tools = Toolset(reviewed={"weather": baseline("cc" * 32)})

    with pytest.raises(BadCall, match=CHANGED):
        tools.add(weather, reviewed=baseline())


def test_what_is_refused_is_not_registered_nor_what_came_with_it() -> None:
    tools = Toolset(reviewed={"weather": baseline("cc" * 32)})
    with pytest.raises(BadCall):
        tools.add(news, weather)

    assert list(tools.tools) == []


def test_a_changed_module_is_refused_though_the_function_reads_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "FROM = {!r}\n\ndef tell() -> str:\n    return FROM\n"
    path = tmp_path / "reviewed_tool.py"

    def load(source: str) -> Any:
        path.write_text(text.format(source), encoding="utf-8")
        spec = importlib.util.spec_from_file_location("reviewed_tool", path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "reviewed_tool", module)
        spec.loader.exec_module(module)
        return module.tell

    first = load("here")
    reviewed = baseline(named_function_hash("reviewed_tool:tell", [tmp_path]))
    Toolset().add(first, reviewed=reviewed)

    with pytest.raises(BadCall, match="its code has changed"):
        Toolset().add(load("there"), reviewed=reviewed)


def test_a_baseline_that_is_not_there_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "no.json"
    said = r"the tool weather: its baseline .*no\.json cannot be read: No such file.*sandbox review"

    with pytest.raises(BadCall, match=said):
        Toolset(reviewed={"weather": missing})
    with pytest.raises(BadCall, match=said):
        Toolset().add(weather, reviewed=missing)


@pytest.mark.parametrize("text", ["", "{}", "[]", "\0", '{"version": 2}'])
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(BadCall, match=r"x\.json is none: "):
        Toolset(reviewed={"weather": path})


def test_a_baseline_of_no_function_is_refused() -> None:
    with pytest.raises(BadCall, match="its baseline is of a command: review it again"):
        Toolset().add(weather, reviewed=baseline(kind="command"))


def test_one_baseline_for_two_functions_is_refused() -> None:
    with pytest.raises(BadCall, match="reviewed= is for one function: these are 2"):
        Toolset().add(Both(), reviewed=baseline())


def test_a_baseline_is_for_the_name_with_its_namespace() -> None:
    tools = Toolset(reviewed={"city__weather": baseline("cc" * 32)})
    tools.add(weather)

    with pytest.raises(BadCall, match="the tool city__weather is not what was reviewed"):
        tools.add(weather, namespace="city")


def test_a_name_that_no_tool_has_is_refused_before_anything_is_declared_or_answered() -> None:
    tools = Toolset(reviewed={"wether": baseline()})
    tools.add(weather)
    said = "reviewed has 'wether', and there is no such tool: did you mean weather?"

    with pytest.raises(BadCall, match=said):
        tools.definitions("openai")
    with pytest.raises(BadCall, match=said):
        answer_all(tools, call_of("weather", {"city": "Bonn"}))


def test_a_toolset_without_tools_says_so() -> None:
    with pytest.raises(BadCall, match="there is no such tool: none is registered"):
        Toolset(reviewed={"weather": baseline()}).definitions("openai")


def test_a_tool_that_was_not_reviewed_needs_no_baseline() -> None:
    tools = Toolset(reviewed={"weather": baseline()})
    tools.add(weather, news)

    assert len(tools.definitions("openai")) == 2
