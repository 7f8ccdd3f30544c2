"""A docstring says what a tool does and what its arguments mean, in three styles."""

import pytest

from sandbox.tools.docstrings import read_docstring

GOOGLE = """Say the weather.

    Of today: not of tomorrow.

    Args:
        city (str): The city,
            with its country.
        unit: Celsius or Fahrenheit.

    Returns:
        The weather.
    """
NUMPY = """Say the weather.

    Of today: not of tomorrow.

    Parameters
    ----------
    city : str
        The city,
        with its country.
    unit : {"c", "f"}
        Celsius or Fahrenheit.

    Returns
    -------
    str
    """
SPHINX = """Say the weather.

    Of today: not of tomorrow.

    :param str city: The city,
        with its country.
    :param unit: Celsius or Fahrenheit.
    :returns: The weather.
    """
STYLES = pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
NAMES = ("city", "unit")


@STYLES
def test_the_summary_ends_where_the_sections_begin(text: str) -> None:
    read = read_docstring(text, NAMES)

    assert read.summary == "Say the weather.\n\nOf today: not of tomorrow."


@STYLES
def test_each_argument_has_its_text(text: str) -> None:
    read = read_docstring(text, NAMES)

    assert read.arguments == {
        "city": "The city,\nwith its country.",
        "unit": "Celsius or Fahrenheit.",
    }


@STYLES
def test_only_arguments_of_the_function_have_a_text(text: str) -> None:
    assert set(read_docstring(text, ["unit"]).arguments) == {"unit"}


def test_numpy_gives_one_text_to_several_names() -> None:
    text = "Add.\n\nParameters\n----------\nleft, right : int\n    What is added.\n"

    read = read_docstring(text, ["left", "right"])

    assert read.arguments == {"left": "What is added.", "right": "What is added."}


@pytest.mark.parametrize(
    "text", ["Only this.", "A note: with a colon.\n\n- and a list", ":::", "Args"], ids=repr
)
def test_a_text_without_sections_is_all_summary(text: str) -> None:
    assert read_docstring(text, NAMES).summary == text


@pytest.mark.parametrize("text", [None, ""], ids=["none", "empty"])
def test_no_docstring_says_nothing(text: str | None) -> None:
    assert read_docstring(text, NAMES).whole == ""


def test_the_whole_text_is_kept_without_its_indentation() -> None:
    assert read_docstring("One.\n\n    Two.", ()).whole == "One.\n\nTwo."
