"""The filter of watched guests lets nothing through that the plain one refuses."""

import importlib.util
from functools import cache
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.backends.seccomp import compile_filter, compile_watching_filter
from sandbox.backends.seccomp_lists import call_numbers, read_unwatched
from sandbox.shipped import RUNNERS
from tests.unit.bpf_machine import ARCHES, I386, X32_BIT, Call, parse, run

ALLOW, NOTIFY, KILL = 0x7FFF0000, 0x7FC00000, 0x80000000
ERRNO, ERRNO_BITS = 0x00050000, 0xFFFF
SETS = [("guest",), ("guest", "no-programs"), ("guest", "uncounted-memory")]
CLONE_NEWUSER, AF_NETLINK, AT_EMPTY_PATH = 0x10000000, 16, 0x1000

numbers = st.integers(0, 470)
words = st.one_of(st.integers(0, 64), st.integers(0, (1 << 64) - 1))
arguments = st.tuples(words, words, words, words, words, words)


@cache
def loaded() -> ModuleType:
    """Load the watcher's own reading of a filter; the host never imports it."""
    spec = importlib.util.spec_from_file_location("watch_filter", RUNNERS / "watch_filter.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def watchers_filter(documents: tuple[str, ...]) -> Any:
    return loaded().Filter(compile_filter(documents, "x86_64"))


@pytest.mark.parametrize("documents", SETS, ids=" ".join)
@given(number=numbers, values=arguments)
@example(number=56, values=(CLONE_NEWUSER, 0, 0, 0, 0, 0))
@example(number=41, values=(AF_NETLINK, 3, 0, 0, 0, 0))
@example(number=101, values=(0, 0, 0, 0, 0, 0))
def test_what_the_watcher_answers_is_what_the_filter_says(
    documents: tuple[str, ...], number: int, values: tuple[int, ...]
) -> None:
    call = Call(arch=ARCHES["x86_64"], number=number, arguments=values)
    code = run(parse(compile_filter(documents, "x86_64")), call)

    answer = watchers_filter(documents).decide(number, call.pack())

    assert answer.is_allowed == (code == ALLOW)
    assert answer.is_allowed or answer.error == code & ERRNO_BITS


@pytest.mark.parametrize("machine", ARCHES)
@pytest.mark.parametrize("documents", SETS, ids=" ".join)
@given(number=numbers, values=arguments)
@example(number=56, values=(CLONE_NEWUSER, 0, 0, 0, 0, 0))
@example(number=72, values=(0, 1024, 0, 0, 0, 0))
def test_nothing_is_let_on_unseen_that_is_refused(
    documents: tuple[str, ...], machine: str, number: int, values: tuple[int, ...]
) -> None:
    call = Call(arch=ARCHES[machine], number=number, arguments=values)
    plain = run(parse(compile_filter(documents, machine)), call)

    watching = run(parse(compile_watching_filter(documents, machine)), call)

    assert watching in ({ALLOW, NOTIFY} if plain == ALLOW else {NOTIFY})


@given(number=numbers, values=arguments)
def test_what_is_let_on_unseen_is_named_in_the_document(
    number: int, values: tuple[int, ...]
) -> None:
    call = Call(arch=ARCHES["x86_64"], number=number, arguments=values)
    unwatched = {
        call_numbers()["x86_64"].get(name) for entry in read_unwatched() for name in entry.names
    }

    watching = run(parse(compile_watching_filter(("guest",), "x86_64")), call)

    assert watching == NOTIFY or number in unwatched


@pytest.mark.parametrize(("flags", "expected"), [(0, NOTIFY), (AT_EMPTY_PATH, ALLOW)])
def test_a_look_by_name_is_seen_and_one_at_what_is_open_is_not(flags: int, expected: int) -> None:
    number = call_numbers()["x86_64"]["newfstatat"]
    call = Call(arch=ARCHES["x86_64"], number=number, arguments=(0, 0, 0, flags))

    assert run(parse(compile_watching_filter(("guest",), "x86_64")), call) == expected


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(Call(arch=I386, number=5), id="i386"),
        pytest.param(Call(arch=ARCHES["x86_64"], number=X32_BIT | 2), id="x32"),
    ],
)
def test_calls_of_another_machine_kill_a_watched_guest_too(call: Call) -> None:
    assert run(parse(compile_watching_filter(("guest",), "x86_64")), call) == KILL


def test_a_program_with_a_strange_instruction_is_no_filter() -> None:
    with pytest.raises(ValueError, match="0x2a"):
        loaded().Filter(bytes([0x2A, 0, 0, 0, 0, 0, 0, 0]))
