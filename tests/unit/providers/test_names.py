"""A tool's name is what its provider takes, or it is refused when it is declared."""

import pytest

from sandbox.errors import BadCall
from sandbox.providers import check_name, qualified_name
from sandbox.providers.envelope import Declaration, Provider
from tests.unit.providers.sdk import PROVIDERS

every_provider = pytest.mark.parametrize("provider", PROVIDERS)

OTHERS = [provider for provider in PROVIDERS if provider != "openai"]


def declared(namespace: str) -> Declaration:
    return Declaration(name="f", description="", parameters={}, namespace=namespace)


@every_provider
def test_a_tool_without_a_namespace_has_its_plain_name(provider: Provider) -> None:
    assert qualified_name(declared(""), provider) == "f"


@pytest.mark.parametrize("provider", OTHERS)
def test_a_namespace_is_joined_before_the_name(provider: Provider) -> None:
    assert qualified_name(declared("geo"), provider) == "geo__f"


def test_openai_has_namespaces_of_its_own() -> None:
    assert qualified_name(declared("geo"), "openai") == "f"


def is_taken(name: str, provider: Provider | None, namespace: str = "") -> bool:
    try:
        check_name(name, namespace=namespace, provider=provider)
    except BadCall:
        return False
    return True


@pytest.mark.parametrize("provider", [*PROVIDERS, None])
@pytest.mark.parametrize("name", ["f", "get_weather", "_x-9", "f" * 64])
def test_an_ordinary_name_is_taken(name: str, provider: Provider | None) -> None:
    assert is_taken(name, provider)


@pytest.mark.parametrize("provider", [*PROVIDERS, None])
@pytest.mark.parametrize("name", ["", "a b", "a\n", "é", "a/b", "a" * 129, "\u0661"], ids=repr)
def test_a_name_that_none_takes_is_refused(name: str, provider: Provider | None) -> None:
    assert not is_taken(name, provider)


@pytest.mark.parametrize(
    ("name", "takers"),
    [
        ("a.b", {"gemini", "gemini-interactions", "mcp"}),
        ("a:b", {"gemini", "gemini-interactions"}),
        ("9a", {"openai", "openai-chat", "anthropic", "mcp"}),
        ("a" * 65, {"gemini", "gemini-interactions", "mcp"}),
        ("a" * 128, {"gemini", "gemini-interactions", "mcp"}),
    ],
    ids=["point", "colon", "digit first", "65", "128"],
)
def test_a_name_is_taken_by_those_that_have_room_for_it(name: str, takers: set[str]) -> None:
    assert {provider for provider in PROVIDERS if is_taken(name, provider)} == takers


def test_without_a_provider_a_name_must_suit_them_all() -> None:
    assert [is_taken(name, None) for name in ("a.b", "9a", "a" * 65)] == [False, False, False]


def test_a_name_is_counted_with_its_namespace_where_they_are_joined() -> None:
    name, namespace = "f" * 40, "n" * 40

    assert [is_taken(name, each, namespace) for each in ("openai", "anthropic")] == [True, False]


@every_provider
def test_a_namespace_keeps_the_same_rule(provider: Provider) -> None:
    assert not is_taken("f", provider, "a b")


def test_the_refusal_says_what_is_taken() -> None:
    with pytest.raises(BadCall, match="'a b': anthropic takes letters, digits, _ and -, at most"):
        check_name("a b", provider="anthropic")
