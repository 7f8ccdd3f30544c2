"""Reading policy documents: presets, extends, and what a bad document is told."""

import os
import re
import tomllib
from pathlib import Path

import pytest

from sandbox.errors import BadPolicy
from sandbox.policy import (
    Environment,
    FileGrant,
    Hosts,
    NoNetwork,
    Policy,
    Quota,
    Terms,
    document_path,
    is_narrower,
    preset_names,
)

PRESETS = ("compute", "review", "session", "strict", "tool")


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def refusal(name_or_path: str | Path) -> str:
    with pytest.raises(BadPolicy) as refused:
        Policy.load(name_or_path)
    return str(refused.value)


def test_the_shipped_presets_are_these() -> None:
    assert preset_names() == PRESETS


def test_strict_is_the_default_policy() -> None:
    assert Policy.load("strict").fingerprint == Policy().fingerprint


def test_strict_writes_every_key_down() -> None:
    document = tomllib.loads(document_path("strict").read_text())

    written = (set(document) - {"summary"}, set(document["quota"]))
    assert written == (set(Terms.model_fields), set(Quota.model_fields))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_its_name_and_says_who_it_is_for(name: str) -> None:
    policy = Policy.load(name)

    assert (policy.name, bool(policy.summary)) == (name, True)


@pytest.mark.parametrize("name", PRESETS)
def test_the_first_line_of_a_preset_says_who_it_is_for(name: str) -> None:
    assert document_path(name).read_text().startswith("# For ")


@pytest.mark.parametrize("name", PRESETS)
def test_each_grant_and_quota_of_a_preset_has_its_reason_beside_it(name: str) -> None:
    text = document_path(name).read_text()
    said = re.compile(r"^(extends|summary|reason|kind = \"installed\")")

    silent = [
        line
        for line in text.splitlines()
        if "=" in line and "#" not in line and not said.match(line)
    ]

    assert silent == []


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_no_network_and_no_files_of_the_host(name: str) -> None:
    policy = Policy.load(name)

    assert (policy.network, policy.files) == (NoNetwork(), ())


@pytest.mark.parametrize("name", PRESETS)
def test_strict_is_within_every_preset_but_for_their_fresh_interpreter(name: str) -> None:
    policy = Policy.load(name)

    assert is_narrower(Policy(fresh_interpreter=policy.fresh_interpreter), policy)


def test_an_empty_document_is_strict(tmp_path: Path) -> None:
    assert Policy.load(write(tmp_path, "")).fingerprint == Policy().fingerprint


def test_a_document_is_called_by_its_file_unless_it_has_a_name(tmp_path: Path) -> None:
    unnamed = Policy.load(write(tmp_path, ""))
    named = Policy.load(write(tmp_path, "name = 'reports'"))

    assert (unnamed.name, named.name) == ("mine", "reports")


def test_a_document_says_all_that_a_policy_can() -> None:
    document = """
        fresh_interpreter = true
        network = {kind = "hosts", allow = ["b.example.org", "a.example.org"]}
        files = [{path = "/srv/in", at = "/in", reason = "input"}]
        environment = {inherit = ["LANG"], values = {SEED = "1"}}
        quota = {wall_seconds = 3, cpus = 2}
    """

    assert Policy.model_validate(tomllib.loads(document)) == Policy(
        fresh_interpreter=True,
        network=Hosts(allow=("a.example.org", "b.example.org")),
        files=(FileGrant(path="/srv/in", at="/in", reason="input"),),
        environment=Environment(inherit=("LANG",), values={"SEED": "1"}),
        quota=Quota(wall_seconds=3.0, cpus=2),
    )


def test_a_text_with_a_slash_is_a_path(tmp_path: Path) -> None:
    path = write(tmp_path, "name = 'by path'", "strict")

    assert Policy.load(str(path)).name == "by path"


def test_a_text_that_ends_in_toml_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "name = 'by path'", "strict.toml")
    monkeypatch.chdir(tmp_path)

    assert Policy.load("strict.toml").name == "by path"


def test_quotas_are_merged_key_by_key(tmp_path: Path) -> None:
    write(tmp_path, "[quota]\nwall_seconds = 2\ncpu_seconds = 2", "base.toml")
    path = write(tmp_path, "extends = './base.toml'\n[quota]\ncpu_seconds = 1")

    assert Policy.load(path).quota == Quota(wall_seconds=2, cpu_seconds=1)


def test_a_permission_of_the_base_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path, "environment = {inherit = ['LANG'], values = {A = '1'}}", "base.toml")
    path = write(tmp_path, "extends = 'base.toml'\nenvironment = {inherit = ['LANG']}")

    assert Policy.load(path).environment == Environment(inherit=("LANG",))


def test_what_a_document_leaves_out_comes_from_its_base(tmp_path: Path) -> None:
    write(tmp_path, "network = {kind = 'hosts', allow = ['a.example.org']}", "base.toml")
    path = write(tmp_path, "extends = 'base.toml'")

    assert Policy.load(path).network == Hosts(allow=("a.example.org",))


@pytest.mark.parametrize("key", ["name", "summary", "reason"])
def test_what_a_base_says_of_itself_is_not_inherited(tmp_path: Path, key: str) -> None:
    write(tmp_path, f"{key} = 'the base'", "base.toml")
    path = write(tmp_path, "extends = 'base.toml'")

    assert getattr(Policy.load(path), key) != "the base"


def test_a_base_is_found_beside_the_document_that_extends_it(tmp_path: Path) -> None:
    (tmp_path / "teams").mkdir()
    write(tmp_path, "[quota]\ncpus = 2", "base.toml")
    write(tmp_path / "teams", "extends = '../base.toml'", "team.toml")
    path = write(tmp_path, "extends = 'teams/team.toml'")

    assert Policy.load(path).quota.cpus == 2


def test_an_extending_document_may_take_away(tmp_path: Path) -> None:
    path = write(tmp_path, "extends = 'compute'\n[quota]\nwall_seconds = 1")

    assert is_narrower(Policy.load(path), Policy.load("compute"))


def test_an_extending_document_that_widens_without_a_reason_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "extends = 'strict'\n[quota]\nwall_seconds = 6\ncpus = 2")

    assert refusal(path) == (
        f"{path}: quota.wall_seconds: 5 s -> 6 s (wider) and 1 more: "
        "lower it, or say why in a line reason = '...'"
    )


def test_an_empty_reason_is_no_reason(tmp_path: Path) -> None:
    path = write(tmp_path, "extends = 'strict'\nreason = '  '\n[quota]\ncpus = 2")

    assert "quota.cpus: 1 -> 2 (wider)" in refusal(path)


def test_the_reason_of_a_base_is_none_for_what_extends_it(tmp_path: Path) -> None:
    write(tmp_path, "extends = 'strict'\nreason = 'mine'\n[quota]\ncpus = 2", "base.toml")
    path = write(tmp_path, "extends = 'base.toml'\n[quota]\ncpus = 3")

    assert "quota.cpus: 2 -> 3 (wider)" in refusal(path)


def test_an_extending_document_may_widen_with_a_reason(tmp_path: Path) -> None:
    path = write(tmp_path, "extends = 'strict'\nreason = 'slow input'\n[quota]\nwall_seconds = 6")

    assert Policy.load(path).quota.wall_seconds == 6


def test_a_chain_that_goes_round_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "extends = 'mine.toml'", "other.toml")
    path = write(tmp_path, "extends = './other.toml'")

    assert "extends goes round (mine.toml -> other.toml -> mine.toml)" in refusal(path)


def chain(folder: Path, length: int) -> Path:
    write(folder, "", "0.toml")
    for step in range(1, length):
        write(folder, f"extends = '{step - 1}.toml'", f"{step}.toml")
    return folder / f"{length - 1}.toml"


def test_a_chain_of_eight_documents_is_read(tmp_path: Path) -> None:
    assert Policy.load(chain(tmp_path, 8)).name == "7"


def test_a_chain_of_nine_documents_is_refused(tmp_path: Path) -> None:
    assert "over 8 documents in a row" in refusal(chain(tmp_path, 9))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("qouta = {}", "qouta: unknown key, did you mean quota?"),
        ("extend = 'strict'", "extend: unknown key, did you mean extends?"),
        ("wall_seconds = 1", "wall_seconds: unknown key, did you mean wall_seconds in the table"),
        ("[quota]\nwall_second = 1", "quota.wall_second: unknown key, did you mean wall_seconds?"),
        ("[quota]\nname = 'x'", "quota.name: unknown key, did you mean name above the first"),
        ("[quota]\nzzz = 1", "quota.zzz: unknown key, there are cpu_seconds, cpus, disk_bytes"),
        (
            "[environment]\ninherits = []",
            "environment.inherits: unknown key, did you mean inherit?",
        ),
        ("[network]\nkind = 'hosts'\nallows = ['a.b']", "network.allow: is missing: add it"),
        ("[network]\nkind = 'none'\nallo = []", "network.allo: unknown key, did you mean allow?"),
        ("[network]\nkind = 'hosts'\nallow = []", "network.allow: is empty: name at least one"),
        ("[network]\nkind = 'any'", "network: kind is none of 'none', 'hosts', 'full'"),
        ("[network]\nallow = []", "network: has no kind: add one"),
        ("network = 'none'", "network: is no table"),
        ("quota = 5", "quota: is no table"),
        ("[[quota]]\ncpus = 2", "quota: is no table"),
        ("[quota]\nwall_seconds = 0", "quota.wall_seconds: should be greater than 0, not 0"),
        (
            "[quota]\nmemory_bytes = '256MiB'",
            "quota.memory_bytes: should be a valid integer",
        ),
        ("[quota]\ncpus = true", "quota.cpus: should be a valid integer, not True"),
        ("[quota]\ncpus = 1.5", "quota.cpus: should be a valid integer, not 1.5"),
        ("[quota]\nwall_seconds = nan", "quota.wall_seconds: should be a finite number, not nan"),
        ("name = 1979-05-27", "name: should be a valid string, not datetime.date(1979, 5, 27)"),
        ("[[files]]\npath = '/data'", "files[0].reason: is missing: add it"),
        ("[[files]]\npath = '/a/'\nreason = 'r'", "files[0].path: '/a/' is no plain absolute path"),
        ("[[files]]\npath = '/tmp/a'\nreason = 'r'", "files[0].at: /tmp/a belongs to the guest's"),
        (
            "[[files]]\npath='/a'\nreason='r'\nacces='w'",
            "files[0].acces: unknown key, did you mean access?",
        ),
        ("[environment.values]\n1A = 'x'", "environment.values.'1A': '1A' is no variable name"),
        ('"a\\nb" = 1', "'a\\nb': unknown key"),
        ("= 1", "is no TOML: "),
        ("[quota]\ncpus = 1\ncpus = 2", "is no TOML: "),
        ("a = " + "[" * 5000, "is nested too deep"),
        ("a = " + "1" * 5000, "is nested too deep or holds too long a number"),
        (
            "extends = 'strictt'",
            "mine.toml: extends: no preset is called 'strictt': did you mean strict?",
        ),
        ("extends = ''", "extends: name one preset or file as text, not ''"),
        ("extends = ['strict']", "extends: name one preset or file as text, not ['strict']"),
        ("extends = './none.toml'", "none.toml: there is no such file"),
        ("#" * (1024 * 1024 + 1), "is over 1 MiB"),
    ],
    ids=lambda text: repr(text[:40]),
)
def test_a_bad_document_is_told_where_and_what(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(write(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        '"a\\nb" = 1',
        "name = '''\n\n'''",
        "[quota]\ncpus = '''\n1'''",
        "extends = '''\na'''",
        "a = \n",
    ],
    ids=repr,
)
def test_what_a_bad_document_is_told_is_one_line_with_its_path(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)

    assert re.fullmatch(rf"{re.escape(str(path))}: [^\n\r\x1b]+", refusal(path))


def test_a_document_of_one_mebibyte_is_read(tmp_path: Path) -> None:
    assert Policy.load(write(tmp_path, "#" * 1024 * 1024)).name == "mine"


@pytest.mark.parametrize("name", ["strikt", "Strict", "", "strict\0", "..", "strict\n"], ids=repr)
def test_a_preset_that_is_not_there_is_named_on_one_line(name: str) -> None:
    assert refusal(name).startswith(f"no preset is called {name!r}: ")


def test_a_preset_far_from_all_names_is_told_all() -> None:
    assert "there are compute, review, session, strict, tool" in refusal("zzz")


@pytest.mark.parametrize("name", ["none.toml", "no/such", "a\0/b", "a" * 300 + ".toml"], ids=ascii)
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    assert "check the path" in refusal(tmp_path / name)


def test_a_folder_is_no_document(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path)


def test_a_fifo_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mine.toml")

    assert "there is no such file" in refusal(tmp_path / "mine.toml")


def test_a_document_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"name = '\xff'")

    assert refusal(path) == f"{path}: is no UTF-8 text: save it as UTF-8"


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").symlink_to("mine.toml")

    assert "there is no such file" in refusal(tmp_path / "mine.toml")


def test_a_path_with_a_line_break_is_shown_on_one_line(tmp_path: Path) -> None:
    assert "a\\nb.toml': there is no such file" in refusal(tmp_path / "a\nb.toml")
