"""What a model sends is checked strictly, mended where one thing can be meant, told in words."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import date
from typing import Annotated, Any, Literal, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sandbox.tools.arguments import Checked, Refusal, check_arguments
from sandbox.tools.context import Context, Progress, Resource
from sandbox.tools.signature import read_signature
from sandbox.wire import Json


class Inner(TypedDict):
    """A value in another."""

    size: int


class Loose(BaseModel):
    """A model that would take more than its schema says."""

    model_config = ConfigDict(strict=False)
    flag: bool = False
    tags: list[str] = []


def example(  # noqa: PLR0913  # one for each way to be wrong
    city: str,
    unit: Literal["c", "f"] = "c",
    *,
    days: int | None = None,
    sizes: list[int] | None = None,
    inner: Inner | None = None,
    loose: Loose | None = None,
    when: date | None = None,
    either: int | str = 0,
    ratio: float = 1.0,
    counts: dict[str, int] | None = None,
    context: Context,
    db: Annotated[int, Resource(dict)],
    progress: Progress,
) -> None: ...


def takes_all(city: str, *, user: Context, **others: Any) -> None: ...


def checked(
    given_arguments: str | Mapping[str, Json], function: Callable[..., Any] = example
) -> Checked:
    outcome = check_arguments(read_signature(function), given_arguments)
    assert isinstance(outcome, Checked), outcome
    return outcome


def refused(
    given_arguments: str | Mapping[str, Json], function: Callable[..., Any] = example
) -> str:
    outcome = check_arguments(read_signature(function), given_arguments)
    assert isinstance(outcome, Refusal), outcome
    return outcome.message


def of_city(**more: Any) -> dict[str, Json]:
    return {"city": "Rome", **more}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param('{"city": "Rome", "days": 2}', id="a text"),
        pytest.param({"city": "Rome", "days": 2}, id="an object"),
        pytest.param('"{\\"city\\": \\"Rome\\", \\"days\\": 2}"', id="an object in a string"),
    ],
)
def test_arguments_come_as_text_or_as_object(raw: Any) -> None:
    assert checked(raw).keywords == {"city": "Rome", "days": 2}


@pytest.mark.parametrize("raw", ["", " \n", "{}"], ids=["empty", "blank", "an empty object"])
def test_no_arguments_are_an_empty_object(raw: str) -> None:
    def function(days: int = 1) -> None: ...

    assert checked(raw, function).keywords == {}


@pytest.mark.parametrize(
    ("more", "meant"),
    [
        pytest.param({"days": "2"}, {"days": 2}, id="a number in a string"),
        pytest.param({"days": 2.0}, {"days": 2}, id="a whole number with a point"),
        pytest.param({"days": "null"}, {"days": None}, id="null in a string"),
        pytest.param({"sizes": "[1, 2]"}, {"sizes": [1, 2]}, id="a list in a string"),
        pytest.param({"sizes": ["1", "2"]}, {"sizes": [1, 2]}, id="strings in a list"),
        pytest.param({"sizes": '["1"]'}, {"sizes": [1]}, id="strings in a list in a string"),
        pytest.param({"inner": '{"size": 1}'}, {"inner": {"size": 1}}, id="an object in a string"),
        pytest.param({"inner": {"size": "1"}}, {"inner": {"size": 1}}, id="inside of an object"),
        pytest.param(
            {"loose": {"tags": None}}, {"loose": Loose()}, id="null for what has a default"
        ),
        pytest.param({"unit": None}, {}, id="null for what may be left out"),
        pytest.param({"ratio": None}, {}, id="null for a number that may be left out"),
    ],
)
def test_what_can_only_be_meant_one_way_is_mended(more: Any, meant: Any) -> None:
    assert checked(of_city(**more)).keywords == of_city(**meant)


@pytest.mark.parametrize(
    ("more", "as_given"),
    [
        pytest.param({"city": "5"}, {"city": "5"}, id="a number in a string"),
        pytest.param({"city": "null"}, {"city": "null"}, id="null in a string"),
        pytest.param({"city": '{"a": 1}'}, {"city": '{"a": 1}'}, id="an object in a string"),
        pytest.param({"either": "5"}, {"either": "5"}, id="where a string may stand too"),
        pytest.param({"days": None}, {"days": None}, id="null where it may stand"),
        pytest.param({"ratio": 2}, {"ratio": 2.0}, id="a whole number for any number"),
    ],
)
def test_what_fits_is_left_as_it_is(more: Any, as_given: Any) -> None:
    assert checked(of_city(**more)).keywords == of_city(**as_given)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        pytest.param({"city": 5}, "- city: should be a valid string, not 5", id="a string"),
        pytest.param({"city": None}, "- city: should be a valid string, not null", id="null"),
        pytest.param({"unit": "k"}, "- unit: should be 'c' or 'f', not \"k\"", id="a constant"),
        pytest.param({"days": True}, "- days: should be a valid integer, not true", id="true"),
        pytest.param({"days": 2.5}, "- days: should be a valid integer, not 2.5", id="a half"),
        pytest.param(
            {"ratio": True}, "- ratio: should be a valid number, not true", id="no number"
        ),
        pytest.param({"sizes": 5}, "- sizes: should be a list, not 5", id="a list"),
        pytest.param({"inner": [1]}, "- inner: should be an object, not a list", id="an object"),
        pytest.param({"inner": {}}, "- inner.size: is missing", id="a key inside"),
        pytest.param(
            {"inner": {"size": 1, "x": 2}}, "- inner.x: is no known name", id="a wrong key inside"
        ),
        pytest.param(
            {"sizes": [1, "x"]}, '- sizes[1]: should be a valid integer, not "x"', id="a place"
        ),
        pytest.param({"counts": {"a": None}}, "- counts.a: should be", id="null in a map"),
        pytest.param({"loose": {"flag": "yes"}}, "- loose.flag: should be", id="yes for true"),
        pytest.param({"loose": {"flag": 1}}, "- loose.flag: should be", id="one for true"),
        pytest.param({"when": 1700000000}, "- when:", id="seconds for a date"),
    ],
)
def test_the_model_is_told_what_is_wrong_and_where(more: Any, reason: str) -> None:
    assert reason in refused(of_city(**more))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param('{"city": "a", "city": "b"}', "a key twice", id="a key twice"),
        pytest.param('{"city": NaN}', "NaN is not JSON", id="NaN"),
        pytest.param('{"city": "a"', "not JSON at character", id="cut off"),
        pytest.param("[]", "a JSON object, not a list", id="a list"),
        pytest.param('"city"', "not JSON", id="a string"),
        pytest.param("null", "a JSON object, not null", id="null"),
        pytest.param('{"city": "\\ud800"}', "lone surrogate", id="half a character escaped"),
        pytest.param('{"city": "\ud800"}', "lone surrogate", id="half a character"),
        pytest.param('{"city": ' + "[" * 99 + "]" * 99 + "}", "nested more than", id="deep"),
        pytest.param('{"days": ' + "9" * 5000 + "}", "more than 4300 digits", id="digits"),
        pytest.param('{"city": "' + "a" * (1 << 20) + '"}', "send less", id="long"),
    ],
)
def test_what_is_no_good_json_is_refused(text: str, reason: str) -> None:
    assert reason in refused(text)


@pytest.mark.parametrize(
    "value", [float("nan"), object(), {1, 2}], ids=["NaN", "an object of Python's", "a set"]
)
def test_an_object_that_json_cannot_say_is_refused(value: Any) -> None:
    assert "are no JSON" in refused({"city": value})


def test_missing_and_unknown_arguments_are_named_with_the_allowed_ones() -> None:
    def function(city: str, days: int = 1) -> None: ...

    message = "there is no argument 'town'; the arguments are: city, days; missing: 'city'"
    assert refused({"town": "Rome"}, function) == message


INJECTED = ("context", "db", "progress")
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda name: name,
    "capital": str.title,
    "shouted": str.upper,
    "private": lambda name: f"__{name}__",
    "split": lambda name: f"{name[:1]}-{name[1:]}",
    "wide": lambda name: "".join(chr(ord(letter) + 0xFEE0) for letter in name),
    "dotted": lambda name: f".{name}",
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("name", INJECTED)
def test_what_the_program_gives_is_refused_in_any_spelling(
    name: str, spell: Callable[[str], str]
) -> None:
    assert "the program sets it" in refused(of_city(**{spell(name): "x"}))


@pytest.mark.parametrize("wrapper", ["kwargs", "arguments", "self", "args", "params"])
def test_what_the_program_gives_is_refused_inside_of_what_is_unknown(wrapper: str) -> None:
    assert "the program sets it" in refused(of_city(**{wrapper: [{"context": {"user": "root"}}]}))


@pytest.mark.parametrize(
    "more",
    [{"user": 1}, {"USER": 1}, {"kwargs": {"user": 1}}, {"a": [{"_user": 1}]}, {"context": 1}],
    ids=repr,
)
def test_a_function_of_any_keywords_is_not_given_what_the_program_gives(more: Any) -> None:
    assert "the program sets it" in refused(of_city(**more), takes_all)


def test_a_function_of_any_keywords_is_given_the_others() -> None:
    assert checked(of_city(argument_0=1, kwargs={}), takes_all).keywords == of_city(
        argument_0=1, kwargs={}
    )


ANYTHING: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*INJECTED, "city", "kwargs", "user", "Context"]), inner)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from([*INJECTED, "user", "city", "kwargs", "__context", "argument_0", "days"])


SIGNATURES = {each: read_signature(each) for each in (example, takes_all)}


@pytest.mark.slow
@given(st.dictionaries(NAMES, ANYTHING), st.sampled_from([example, takes_all]), st.booleans())
def test_no_arguments_set_what_the_program_gives(
    arguments: dict[str, Json],
    function: Callable[..., Any],
    as_text: bool,  # noqa: FBT001  # given
) -> None:
    signature = SIGNATURES[function]
    outcome = check_arguments(signature, json.dumps(arguments) if as_text else arguments)

    assert isinstance(outcome, Refusal) or not signature.injected.keys() & outcome.keywords.keys()


@pytest.mark.slow
@given(st.text() | st.dictionaries(st.text(), ANYTHING))
def test_whatever_is_sent_is_checked_or_refused(raw: Any) -> None:
    assert isinstance(check_arguments(SIGNATURES[example], raw), Checked | Refusal)


def test_what_is_long_is_not_sent_back() -> None:
    message = refused(of_city(days="x" * 500_000, sizes="y" * 300_000))

    assert len(message) < 300


def test_the_problems_are_told_up_to_ten() -> None:
    message = refused(of_city(sizes=["x"] * 30))

    assert (message.count("\n- sizes"), message.endswith("\n- and 20 more")) == (10, True)


@pytest.mark.parametrize("word", ["pydantic", "https://", "argument_", "type=", "dict", "/"])
def test_nothing_internal_is_told(word: str) -> None:
    wrong: dict[str, Any] = {
        "city": 1, "unit": 1, "days": "x", "sizes": [[]], "inner": {"x": 1}, "loose": 7,
        "when": "soon", "either": [], "ratio": {}, "counts": 3,
    }  # fmt: skip

    assert word not in refused(wrong)


def test_the_text_of_the_authors_own_check_reaches_the_model() -> None:
    def even(value: int) -> int:
        if value % 2:
            message = "odd sizes are sold out"
            raise ValueError(message)
        return value

    def function(size: Annotated[int, AfterValidator(even)]) -> None: ...

    assert "- size: odd sizes are sold out, not 3" in refused({"size": 3}, function)


def test_a_fault_of_the_authors_own_check_is_told_by_its_type_alone() -> None:
    def broken(_value: int) -> int:
        message = "/srv/secret is gone"
        raise KeyError(message)

    def function(size: Annotated[int, AfterValidator(broken)]) -> None: ...

    assert refused({"size": 3}, function) == "the arguments could not be checked: KeyError"


def test_what_was_mended_is_in_the_record() -> None:
    assert checked(of_city(sizes="[1]", unit=None)).given == of_city(sizes=[1])


def test_a_typical_call_is_checked_in_a_moment() -> None:
    signature, text = read_signature(example), '{"city": "Rome", "unit": "f", "sizes": [1, 2]}'

    before = time.process_time()
    for _ in range(1000):
        check_arguments(signature, text)

    assert time.process_time() - before < 1, "a millisecond each; a quiet machine takes 0.02"


def test_a_field_of_the_authors_own_limits_is_checked() -> None:
    def function(size: int = Field(ge=1)) -> None: ...

    assert "greater than or equal to 1, not 0" in refused({"size": 0}, function)
