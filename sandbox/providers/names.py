"""How a tool is called by each provider, and which names it takes."""

import re
from typing import Final, get_args

from sandbox.errors import BadCall
from sandbox.providers.envelope import Declaration, Provider

__all__ = ["SEPARATOR", "check_name", "check_provider", "qualified_name"]

SEPARATOR: Final = "__"
"""Between namespace and name, for providers without namespaces."""

_RULES: Final[dict[Provider | None, tuple[re.Pattern[str], str]]] = {
    "openai": (re.compile(r"[A-Za-z0-9_-]{1,64}"), "letters, digits, _ and -, at most 64"),
    "openai-chat": (re.compile(r"[A-Za-z0-9_-]{1,64}"), "letters, digits, _ and -, at most 64"),
    "anthropic": (re.compile(r"[A-Za-z0-9_-]{1,64}"), "letters, digits, _ and -, at most 64"),
    "gemini": (
        re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}"),
        "letters, digits, _, ., : and -, at most 128, and a letter or _ first",
    ),
    "gemini-interactions": (
        re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}"),
        "letters, digits, _, ., : and -, at most 128, and a letter or _ first",
    ),
    "mcp": (re.compile(r"[A-Za-z0-9_.-]{1,128}"), "letters, digits, _, . and -, at most 128"),
    None: (
        re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}"),
        "letters, digits, _ and -, at most 64, and a letter or _ first",
    ),
}


def check_provider(provider: str) -> None:
    """Raise BadCall for a provider that is none, and say which there are."""
    known: tuple[str, ...] = get_args(Provider)
    if provider not in known:
        message = f"there is no provider {provider!r}: use {', '.join(map(repr, known))}"
        raise BadCall(message)


def qualified_name(declaration: Declaration, provider: Provider) -> str:
    """Give the name that this provider's model calls the tool by.

    It is the plain name for OpenAI's Responses, which sends a namespace beside it; for all
    others a namespace is joined before it with two underscores.
    """
    if not declaration.namespace or provider == "openai":
        return declaration.name
    return f"{declaration.namespace}{SEPARATOR}{declaration.name}"


def check_name(name: str, *, namespace: str = "", provider: Provider | None = None) -> None:
    """Refuse a name that the provider would refuse; without a provider, that any of them would.

    BadCall: says which characters are allowed, and how many.
    """
    pattern, rule = _RULES[provider]
    joined = provider != "openai"
    whole = f"{namespace}{SEPARATOR}{name}" if namespace and joined else name
    for each in {whole, name} | ({namespace} if namespace else set[str]()):
        if not pattern.fullmatch(each):
            takes = f"{provider or 'each provider'} takes {rule}"
            message = f"a tool cannot be named {each[:200]!r}: {takes}"
            raise BadCall(message)
