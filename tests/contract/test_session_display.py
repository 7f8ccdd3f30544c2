"""In what forms a value shows itself: a claim of the guest's, read as strictly as its value."""

from collections.abc import Generator

import pytest

from sandbox import Sandbox
from sandbox.result import Result
from sandbox.session import Session
from tests.conftest import SandboxFor


@pytest.fixture
def turns(box: Sandbox) -> Generator[Session]:
    """A session of the policy "strict"."""
    with box.session() as session:
        yield session


def shows(method: str, body: str) -> str:
    """Give a program whose value has one method by which it shows itself."""
    return (
        f"class Shown:\n    def {method}(self): {body}\n"
        "    def __repr__(self): return 'itself'\nShown()"
    )


FORMS: dict[str, tuple[str, str, str | bytes]] = {
    "_repr_html_": ("return '<b>'", "text/html", "<b>"),
    "_repr_markdown_": ("return '# b'", "text/markdown", "# b"),
    "_repr_latex_": ("return '$b$'", "text/latex", "$b$"),
    "_repr_svg_": ("return '<svg/>'", "image/svg+xml", "<svg/>"),
    "_repr_json_": ("return {'b': [1]}", "application/json", '{"b":[1]}'),
    "_repr_png_": ("return b'\\x89PNG\\xff'", "image/png", b"\x89PNG\xff"),
    "_repr_jpeg_": ("return b'\\xff\\xd8'", "image/jpeg", b"\xff\xd8"),
}
each_form = pytest.mark.parametrize(
    ("method", "body", "kind", "form"),
    [(method, *rest) for method, rest in FORMS.items()],
    ids=FORMS.keys(),
)


@each_form
def test_a_value_shows_itself(
    turns: Session, method: str, body: str, kind: str, form: str | bytes
) -> None:
    display = turns.run(shows(method, body)).display

    assert dict(display) == {kind: form, "text/plain": "itself"}


@each_form
def test_what_it_shows_survives_being_written_as_json(
    turns: Session, method: str, body: str, kind: str, form: str | bytes
) -> None:
    result = turns.run(shows(method, body))

    assert Result.from_json(result.to_json()).display[kind] == form


def test_what_is_no_data_has_no_value_and_is_ok(turns: Session) -> None:
    result = turns.run(shows("_repr_html_", "return '<b>'"))

    assert (result.status, result.value) == ("ok", None)


FAULTY = {
    "raises": "raise LookupError",
    "gives nothing": "return None",
    "gives what is no text": "return object()",
    "shows half a surrogate pair of JSON": "return {1, 2}",
}


@pytest.mark.parametrize("body", FAULTY.values(), ids=FAULTY.keys())
def test_a_form_that_fails_is_left_out_alone(turns: Session, body: str) -> None:
    result = turns.run(shows("_repr_html_", body))

    assert (result.status, dict(result.display)) == ("ok", {"text/plain": "itself"})


def test_a_repr_that_raises_leaves_no_form(turns: Session) -> None:
    result = turns.run("class Bad:\n    def __repr__(self): raise LookupError\nBad()")

    assert (result.status, dict(result.display)) == ("ok", {})


def test_data_shows_itself_in_words_too(turns: Session) -> None:
    assert dict(turns.run("[1, 2]").display) == {"text/plain": "[1, 2]"}


@pytest.mark.parametrize("source", ["", "x = 1", "None"], ids=["empty", "a statement", "None"])
def test_no_value_shows_nothing(turns: Session, source: str) -> None:
    assert dict(turns.run(source).display) == {}


def test_a_class_does_not_show_itself_by_its_instances_method(turns: Session) -> None:
    display = turns.run("class A:\n    def _repr_html_(self): return '<b>'\nA").display

    assert list(display) == ["text/plain"]


def test_a_form_that_is_too_large_leaves_the_words(sandbox_for: SandboxFor) -> None:
    with sandbox_for(result_bytes=1000).session() as session:
        result = session.run(shows("_repr_html_", "return '<b>' * 1000"))

    assert (result.status, dict(result.display)) == ("ok", {"text/plain": "itself"})


def test_a_long_repr_is_cut(turns: Session) -> None:
    display = turns.run("class A:\n    def __repr__(self): return 'x' * 200_000\nA()").display

    assert len(display["text/plain"]) == 100_000


PYPLOT = """
import sys, types

class Figure:
    def savefig(self, file, **options):
        file.write(options["format"].encode())

pyplot = types.ModuleType("matplotlib.pyplot")
pyplot.open = [1, 2]
pyplot.get_fignums = lambda: pyplot.open
pyplot.gcf = Figure
pyplot.close = lambda which: pyplot.open.clear() if which == "all" else None
sys.modules["matplotlib"] = types.ModuleType("matplotlib")
sys.modules["matplotlib.pyplot"] = pyplot
"""


def test_a_figure_left_open_is_drawn_though_the_turn_has_no_value(turns: Session) -> None:
    assert dict(turns.run(PYPLOT).display) == {"image/png": b"png"}


def test_a_figure_is_drawn_once(turns: Session) -> None:
    turns.run(PYPLOT)

    assert dict(turns.run("").display) == {}


def test_a_figure_is_not_taken_for_another_value(turns: Session) -> None:
    result = turns.run(f"{PYPLOT}\n42")

    assert (result.value, dict(result.display)) == (42, {"image/png": b"png", "text/plain": "42"})


def test_a_figure_that_cannot_be_drawn_spoils_no_value(turns: Session) -> None:
    broken = f"{PYPLOT}\ndel Figure.savefig\n42"

    assert turns.run(broken).unwrap() == 42
