"""Reading policy documents: finding them, their chain of extends, and what is wrong with one."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sandbox.errors import BadPolicy
from sandbox.policy_grants import Document
from sandbox.policy_quota import Quota
from sandbox.shipped import POLICIES

__all__ = ["Source", "document_path", "fault", "nearest", "preset_names", "read_chain"]

_DOCUMENT_BYTES = 1024 * 1024
_CHAIN_LENGTH = 8
_SHOWN_LENGTH = 60
_PROBLEMS = {
    "missing": "is missing: add it",
    "too_short": "is empty: name at least one",
    "union_tag_not_found": 'has no kind: add one, such as kind = "none"',
    "model_type": "is no table: write it as a [table] or as {key = value}",
    "model_attributes_type": "is no table: write it as a [table] or as {key = value}",
}
_NOT_INHERITED = ("name", "summary", "reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One document as it was read."""

    path: Path
    keys: Mapping[str, object]
    """The keys as written, not checked yet."""

    @property
    def where(self) -> str:
        """The path as messages show it."""
        return _where(self.path)

    def over(self, base: Mapping[str, object]) -> dict[str, object]:
        """Lay the keys over those of the document it extends; [quota] is merged key by key."""
        inherited = {key: given for key, given in base.items() if key not in _NOT_INHERITED}
        own = {key: given for key, given in self.keys.items() if key != "extends"}
        merged = inherited | {"name": self.path.stem} | own
        quotas = [keys["quota"] for keys in (base, self.keys) if "quota" in keys]
        if all(isinstance(quota, dict) for quota in quotas):
            merged["quota"] = {
                key: amount
                for quota in quotas
                for key, amount in cast("dict[str, object]", quota).items()
            }
        return merged


def preset_names() -> tuple[str, ...]:
    """Name the policies that are shipped, sorted."""
    return tuple(sorted(path.stem for path in POLICIES.glob("*.toml")))


def document_path(name_or_path: str | Path) -> Path:
    """Find the document of a preset's name or of a path.

    A text with a slash or ending in .toml is a path, any other a preset's name. Raises BadPolicy
    for a name that no preset has.
    """
    return _document_path(name_or_path, folder=Path(), place="")


def read_chain(name_or_path: str | Path) -> tuple[Source, ...]:
    """Read a document and all that it extends, the base first.

    Raises BadPolicy for a document that cannot be found or read, is over 1 MiB or no TOML, and for
    a chain that goes round or is longer than 8.
    """
    chain = [_source(document_path(name_or_path))]
    while "extends" in chain[-1].keys:
        last = chain[-1]
        base = _source(_extended_path(last))
        _refuse_endless([*chain, base])
        chain.append(base)
    return tuple(reversed(chain))


def _document_path(name_or_path: str | Path, *, folder: Path, place: str) -> Path:
    if isinstance(name_or_path, Path) or "/" in name_or_path or name_or_path.endswith(".toml"):
        return folder / name_or_path
    if name_or_path in preset_names():
        return POLICIES / f"{name_or_path}.toml"
    hint = nearest(name_or_path, preset_names())
    message = f"{place}no preset is called {name_or_path!r}: {hint}; name a file as ./my.toml"
    raise BadPolicy(message)


def _source(path: Path) -> Source:
    return Source(path=path, keys=_keys(path))


def _extended_path(source: Source) -> Path:
    given = source.keys["extends"]
    place = f"{source.where}: extends: "
    if isinstance(given, str) and given:
        return _document_path(given, folder=source.path.parent, place=place)
    message = f"{place}name one preset or file as text, not {_shown(given)}"
    raise BadPolicy(message)


def _refuse_endless(chain: list[Source]) -> None:
    *before, last = chain
    if last.path.resolve() in (source.path.resolve() for source in before):
        round_trip = " -> ".join(_where(Path(source.path.name)) for source in chain)
        message = f"{before[-1].where}: extends goes round ({round_trip}): take one extends out"
        raise BadPolicy(message)
    if len(chain) > _CHAIN_LENGTH:
        message = f"{last.where}: extends: over {_CHAIN_LENGTH} documents in a row: join some"
        raise BadPolicy(message)


def _where(path: Path) -> str:
    return str(path) if str(path).isprintable() else repr(str(path))


def _keys(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        message = f"{_where(path)}: is no TOML: {error}: mend it there"
    except UnicodeDecodeError:
        message = f"{_where(path)}: is no UTF-8 text: save it as UTF-8"
    except (RecursionError, ValueError):
        # tomllib lets these through: thousands of nested lists, numbers of thousands of digits
        message = (
            f"{_where(path)}: is nested too deep or holds too long a number: write plain values"
        )
    raise BadPolicy(message)


def _text(path: Path) -> str:
    try:
        if not path.is_file():  # opening a fifo would wait for its writer
            message = f"{_where(path)}: there is no such file: check the path"
            raise BadPolicy(message)
        with path.open("rb") as document:
            content = document.read(_DOCUMENT_BYTES + 1)
    except OSError as error:
        message = (
            f"{_where(path)}: cannot be read: {error.strerror}: check the path and its permissions"
        )
        raise BadPolicy(message) from error
    if len(content) > _DOCUMENT_BYTES:
        message = f"{_where(path)}: is over 1 MiB: a policy is a page of text, check the path"
        raise BadPolicy(message)
    return content.decode()


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was meant, or which there are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"


def fault(error: ValidationError, keys: Mapping[str, object], model: type[Document]) -> str:
    """Say on one line which key is wrong, how, and what to do; only the first fault is said."""
    first = error.errors(include_url=False)[0]
    place = _place(first["loc"], keys)
    return f"{_shown_place(place)}: {_problem(first, place, model)}"


def _place(loc: tuple[int | str, ...], keys: object) -> list[int | str]:
    """Follow the keys as they were written: pydantic adds the kind of a union to the way."""
    place: list[int | str] = []
    here = keys
    for part in loc:
        table = cast("dict[object, object]", here) if isinstance(here, dict) else {}
        if part == "[key]" or (part not in table and part == table.get("kind")):
            continue
        place.append(part)
        here = cast("list[object]", here)[part] if isinstance(part, int) else table.get(part)
    return place


def _shown_place(place: list[int | str]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{_shown_key(part)}" for part in place]
    return "".join(parts).removeprefix(".") or "document"


def _shown_key(key: str) -> str:
    return key if key.isidentifier() else _shown(key)


def _shown(given: object) -> str:
    text = repr(given)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."


def _problem(error: ErrorDetails, place: list[int | str], model: type[Document]) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key, {_nearest_key(place, model)}"
        case "union_tag_invalid":
            return f"kind is none of {context['expected_tags']}: use one of them"
        case "value_error":
            return str(context["error"])
        case kind if kind in _PROBLEMS:
            return _PROBLEMS[kind]
        case _:
            return f"{error['msg'].removeprefix('Input ')}, not {_shown(error['input'])}"


def _nearest_key(place: list[int | str], model: type[Document]) -> str:
    """Also knows the two common slips: a quota outside [quota], a permission inside it."""
    *outer, last = place
    key = str(last)
    if not outer and key in Quota.model_fields:
        return f"did you mean {key} in the table [quota]?"
    if outer == ["quota"] and key in model.model_fields:
        return f"did you mean {key} above the first [table]?"
    return nearest(key, _known_keys(outer, model))


def _known_keys(outer: list[int | str], model: type[Document]) -> set[str]:
    if not outer:
        return {*model.model_fields, "extends"}
    documents = _documents_in(model.model_fields[str(outer[0])].annotation)
    return {key for document in documents for key in document.model_fields}


def _documents_in(annotation: object) -> list[type[Document]]:
    if isinstance(annotation, type) and issubclass(annotation, Document):
        return [annotation]
    return [document for part in get_args(annotation) for document in _documents_in(part)]
