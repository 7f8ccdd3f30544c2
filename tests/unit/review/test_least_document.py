"""A document written by hand is what tomllib reads, whatever a guest called its files."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.review.least_document import Table, comment, toml_value, written

VALUES = st.recursive(
    st.booleans() | st.integers(-(2**62), 2**62) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@pytest.mark.slow
@settings(deadline=None, database=None)
@given(VALUES | st.floats(allow_nan=False, allow_infinity=False))
def test_every_value_is_read_as_it_was(value: object) -> None:
    assert tomllib.loads(f"value = {toml_value(value)}") == {"value": value}


@pytest.mark.slow
@settings(deadline=None, database=None)
@given(st.text())
def test_a_comment_is_one_comment(text: str) -> None:
    assert tomllib.loads(comment(text)) == {}


def test_what_turns_the_reading_direction_is_escaped() -> None:
    assert toml_value("a\N{RIGHT-TO-LEFT OVERRIDE}b") == '"a\\u202eb"'


def test_what_a_policy_does_not_have_is_not_written() -> None:
    with pytest.raises(TypeError, match="NoneType"):
        toml_value(None)


def test_a_table_has_its_reasons_above_and_beside() -> None:
    table = Table(name="[quota]", keys={"cpus": 1_000}, remarks={"cpus": "all"}, why=["so it is"])

    assert written("for all", [table]) == (
        "# for all\n# so it is\n[quota]\ncpus = 1_000                    # all\n"
    )
