"""What a model is told of a run that did not end well, sentence by sentence."""

from collections.abc import Iterator

import pytest

from sandbox import Policy, Result, Toolset
from sandbox.backends.fake import FakeBackend, raised
from sandbox.result import Status, Usage
from sandbox.tools import answers
from tests.unit.tools.turns import answer_one, text_of


def count() -> int:
    return 1


def test_an_error_without_values_before_it_is_one_sentence() -> None:
    tools = Toolset(backend=FakeBackend([raised("ValueError", "x")]))
    tools.add(count)

    assert text_of(answer_one(tools, "count").answer) == "count raised ValueError: x."


@pytest.mark.parametrize("message", ["no.", "no!", "no?"])
def test_a_sentence_that_has_an_end_gets_no_other(message: str) -> None:
    tools = Toolset(backend=FakeBackend([raised("ValueError", message)]))
    tools.add(count)

    assert text_of(answer_one(tools, "count").answer).endswith(f": {message}")


def test_values_before_an_error_are_a_sentence_of_their_own() -> None:
    def halves() -> Iterator[int]:
        yield 1
        raise ValueError("x")  # noqa: EM101 - a handler as people write them

    tools = Toolset()
    tools.add(halves, where="host")

    assert text_of(answer_one(tools, "halves").answer) == (
        "halves raised ValueError: x. It had given one value before that."
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("cpu_limit", "it needed more processor time than its limit of 5.0 seconds."),
        ("memory_limit", "it needed more memory than its limit of 1073741824 bytes."),
        ("process_limit", "it needed more processes and threads than its limit of 8."),
        ("output_limit", "it needed more printed output than its limit of 4096 bytes."),
        ("disk_limit", "it needed more disk than its limit of 65536 bytes."),
    ],
)
def test_a_limit_is_told_with_its_unit(status: Status, words: str) -> None:
    policy = Policy().widen(
        "a test",
        cpu_seconds=5.0,
        memory_bytes=1 << 30,
        processes=8,
        output_bytes=4096,
        disk_bytes=65536,
    )
    enforced = FakeBackend([]).enforced(policy)
    result = Result(status=status, usage=Usage(), enforced=enforced, policy="")

    assert answers.unsuccessful("f", result, policy).model.endswith(words)
