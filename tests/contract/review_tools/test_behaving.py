"""Tools that do what they say: nothing that anybody would have to explain."""

import pytest

from tests.contract.review_tools.conftest import ReviewOf, above_info

WORDS = b"the quick brown fox jumps over the lazy dog\n" * 3
TOOLS: dict[str, tuple[list[str], dict[str, bytes], str]] = {
    "sum_csv.py": (["a.csv"], {"a.csv": b"one,1\ntwo,2\none,3\n"}, "one 4\ntwo 2\n"),
    "count_words.sh": (["a.txt"], {"a.txt": WORDS}, "6 the\n"),
    "format_json.py": (["a.json"], {"a.json": b'{"b": 1, "a": 2}'}, ""),
    "count_lines.c": (["a.txt"], {"a.txt": WORDS}, "3 a.txt\n"),
    "pipeline.py": (["a.txt"], {"a.txt": WORDS}, "3 the quick"),
    "threads.py": (["a.txt", "b.txt"], {"a.txt": WORDS, "b.txt": b""}, "e3b0c44298fc1c14"),
    "cache.py": (["3", "4"], {}, "9\n16\n9\n16\n"),
    "database.py": (["milk", "bread"], {}, "2\n"),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_that_behaves_gives_nothing_to_explain(tool: str, review_of: ReviewOf) -> None:
    arguments, files, output = TOOLS[tool]

    review = review_of(f"behaving/{tool}", *arguments, files=files)

    assert above_info(review) == {}
    assert review.runs[0].result.ok
    assert output in review.runs[0].result.stdout
