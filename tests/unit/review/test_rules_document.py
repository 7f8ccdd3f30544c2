"""Rule documents: what is refused, in which words, and how one stands on the shipped one."""

from pathlib import Path

import pytest

from sandbox.backends.seccomp_lists import describe
from sandbox.errors import BadPolicy
from sandbox.review.globs import path_globs, text_globs
from sandbox.review.rules import Rules
from sandbox.shipped import POLICIES
from tests.unit.review.records import RULES, denied, found, run, touched

HEAD = 'summary = "Rules of our own, for tests."\n'
RULE = """
[[rules]]
name = "reads-ours"
severity = "high"
title = "It read a file of ours."
reason = "It is ours, and nobody else's."
"""
MATCH = """
[[rules.matches]]
kind = "file"
accesses = ["read"]
paths = ["/box/ours/**"]
"""

NETWORK = """
[[rules.matches]]
kind = "network"
actions = ["connect"]
addresses = ["10.0.0.1/8"]
"""


def written(folder: Path, text: str) -> Path:
    document = folder / "own.toml"
    document.write_text(text)
    return document


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(BadPolicy) as refused:
        Rules.load(written(folder, text))
    return str(refused.value).removeprefix(f"{folder}/")


def test_a_document_of_ones_own_adds_its_rules_to_the_shipped_ones(tmp_path: Path) -> None:
    rules = Rules.load(written(tmp_path, HEAD + RULE + MATCH))

    assert len(rules.rules) == len(RULES.rules) + 1
    assert "reads-ours" in found(run(touched("/box/ours/a")), rules=rules)


def test_a_rule_of_the_same_name_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    own = RULE.replace("reads-ours", "unpickles") + MATCH
    rules = Rules.load(written(tmp_path, HEAD + own))

    assert len(rules.rules) == len(RULES.rules)
    assert found(run(touched("/box/ours/a")), rules=rules)["unpickles"].severity == "high"


def test_a_document_can_leave_rules_out(tmp_path: Path) -> None:
    rules = Rules.load(written(tmp_path, HEAD + 'without = ["unpickles"]\n'))

    assert "unpickles" not in {rule.name for rule in rules.rules}


def test_lists_stand_for_their_entries(tmp_path: Path) -> None:
    lists = '[lists]\nours = ["/a", "/b/**"]\n'
    match = MATCH.replace('"/box/ours/**"', '"$ours", "/c"')
    rules = Rules.load(written(tmp_path, HEAD + lists + RULE + match))

    hits = found(*(run(touched(path)) for path in ("/a", "/b", "/b/c", "/c", "/d")), rules=rules)
    assert hits["reads-ours"].count == 4


REFUSED = {
    "an unknown key of the document": (f'{HEAD}sumary = "x"', "own.toml: sumary: unknown key"),
    "an unknown key of a rule": (
        f'{HEAD}{RULE}why = "x"{MATCH}',
        "own.toml: rule 'reads-ours': why: unknown key",
    ),
    "an unknown key of a match": (
        f'{HEAD}{RULE}{MATCH}path = ["/a"]',
        "own.toml: rule 'reads-ours': matches[0].path: unknown key",
    ),
    "an unknown kind": (
        HEAD + RULE + MATCH.replace('"file"', '"fiel"'),
        "own.toml: rule 'reads-ours': matches[0]: ",
    ),
    "an unknown access": (
        HEAD + RULE + MATCH.replace('"read"', '"reed"'),
        "own.toml: rule 'reads-ours': matches[0].accesses[0]: ",
    ),
    "an unknown severity": (
        HEAD + RULE.replace('"high"', '"bad"') + MATCH,
        "own.toml: rule 'reads-ours': severity: ",
    ),
    "a rule without a match": (HEAD + RULE, "own.toml: rule 'reads-ours': matches: is missing"),
    "a rule without a reason": (
        HEAD + RULE.replace('"It is ours, and nobody else\'s."', '""') + MATCH,
        "own.toml: rule 'reads-ours': reason: ",
    ),
    "a path that is none": (
        HEAD + RULE + MATCH.replace("/box/ours", "ours"),
        "own.toml: rule 'reads-ours': matches[0].paths: 'ours/**' is no pattern of whole paths",
    ),
    "a pattern that cannot be read": (
        HEAD + RULE + MATCH.replace("ours/**", "[z-a]"),
        "own.toml: rule 'reads-ours': matches[0].paths: has a pattern that cannot be read",
    ),
    "an empty list": (
        HEAD + RULE + MATCH.replace('["read"]', "[]"),
        "own.toml: rule 'reads-ours': matches[0].accesses: ",
    ),
    "a list that is not there": (
        HEAD + "[lists]\n" + RULE + MATCH.replace("/box/ours/**", "$ours"),
        "own.toml: $ours: there is no such list",
    ),
    "a rule that is there twice": (
        HEAD + RULE + MATCH + RULE + MATCH,
        "own.toml: rule 'reads-ours' is there twice",
    ),
    "a rule left out that is none": (
        HEAD + 'without = ["unpickle"]',
        "own.toml: without: no rule 'unpickle', did you mean unpickles?",
    ),
    "an address that is none": (
        HEAD + RULE + NETWORK,
        "own.toml: rule 'reads-ours': matches[0].addresses[0]: '10.0.0.1/8' is no address",
    ),
    "a program that may be any": (
        f'{HEAD}{RULE}[[rules.matches]]\nkind = "program"',
        "own.toml: rule 'reads-ours': matches[0]: looks for every program",
    ),
    "no TOML": ("=", "own.toml: is no TOML"),
    "a name that is none": (
        HEAD + RULE.replace("reads-ours", "Reads ours") + MATCH,
        "own.toml: rule 'Reads ours': name: ",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    text, said = REFUSED[name]

    assert refusal(tmp_path, text).startswith(said)


def test_the_first_line_of_the_shipped_document_says_who_it_is_for() -> None:
    first = (POLICIES / "review" / "findings.toml").read_text().splitlines()[0]

    assert first.startswith("# For ")


def test_every_system_call_that_is_refused_on_purpose_has_exactly_one_rule() -> None:
    refused = {each.name: each.action for each in describe() if each.action != "allow"}
    refused.pop("*")
    rules = {name: [*found(run(denied(name, action)))] for name, action in refused.items()}

    assert {name: named for name, named in rules.items() if len(named) != 1} == {}


FITS = {
    "~/.aws/**": (
        ["/box/.aws", "/box/.aws/a/b", "/root/.aws/a", "/home/me/.aws"],
        ["/box/.awsome", "/box/x/.aws", "/home/.aws"],
    ),
    "**/.git/hooks/*": (["/box/.git/hooks/a", "/a/b/.git/hooks/c"], ["/box/.git/hooks/a/b"]),
    "/etc/cron.*/**": (["/etc/cron.d", "/etc/cron.d/a"], ["/etc/cron", "/etc/crontab"]),
    "/a/?.[ch]": (["/a/b.c"], ["/a/b.d", "/a/bb.c", "/a//.c"]),
    "/**": (["/", "/a", "/a\nb"], ["a"]),
    "/a/**/b": (["/a/b", "/a/x/y/b"], ["/a/xb"]),
}


@pytest.mark.parametrize("glob", FITS)
def test_a_pattern_of_paths_fits_what_it_says(glob: str) -> None:
    fit, do_not = FITS[glob]
    globs = path_globs(glob)

    assert [path for path in (*fit, *do_not) if globs.fits(path)] == fit


def test_a_pattern_of_texts_takes_no_long_time_for_any_text() -> None:
    globs = text_globs("*a*b*c*d*e*f*g*h*")

    assert not globs.fits("abcdefg" * 20_000)
