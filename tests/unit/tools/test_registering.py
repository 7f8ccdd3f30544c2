"""What is refused when a tool is registered, and not only when a model calls it."""

import pickle
import re
import threading
from typing import Any

import pytest

import sandbox
import sandbox.policy
from sandbox import BadCall, BadPolicy, Policy, Toolset
from sandbox.functions import handler_call


def greet(name: str) -> str:
    return f"hello {name}"


def names(tools: Toolset) -> list[str]:
    return list(tools.tools)


LOCK = threading.Lock()


def locked() -> bool:
    return LOCK.locked()


def test_a_function_that_no_guest_can_get_is_refused_when_it_is_registered() -> None:
    with pytest.raises(BadCall, match=r"test_registering:locked cannot be sent: .*lock"):
        Toolset().tool(locked)


def test_on_the_host_a_function_may_use_what_cannot_be_sent() -> None:
    tools = Toolset()
    tools.add(locked, where="host")

    assert names(tools) == ["locked"]


def test_a_function_that_uses_its_own_toolset_is_refused() -> None:
    tools = Toolset()

    def list_tools() -> list[str]:
        return names(tools)

    with pytest.raises(BadCall, match="cannot be sent"):
        tools.add(list_tools)


def test_a_function_may_use_what_is_defined_after_it_is_registered() -> None:
    space: dict[str, Any] = {"__name__": "later", "tools": Toolset()}
    exec("@tools.tool\ndef look() -> int:\n    return LATER", space)  # noqa: S102 - a module
    space["LATER"] = 5
    call = handler_call(space["look"], (), {}, injected={}, context={}, policy=Policy())
    sent, *_ = pickle.loads(call.pickled)  # noqa: S301 - made here

    assert sent() == 5


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("timeout", "did you mean wall_seconds?"),
        ("needs_aproval", "did you mean needs_approval?"),
        ("memory_byte", "did you mean memory_bytes?"),
        ("qqqq", "needs_approval, network"),
    ],
)
def test_an_unknown_key_is_told_which_there_are(key: str, hint: str) -> None:
    options: Any = {key: 3}

    with pytest.raises(BadPolicy, match=re.escape(hint)):
        Toolset().tool(**options)(greet)


@pytest.mark.parametrize(
    "name", ["Environment", "FileGrant", "FullNetwork", "InstalledPackages", "NoNetwork"]
)
def test_what_a_policy_in_code_is_made_of_can_be_imported(name: str) -> None:
    assert getattr(sandbox, name) is getattr(sandbox.policy, name)
