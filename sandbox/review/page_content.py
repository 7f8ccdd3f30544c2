"""What a page shows of a review, as JSON: long texts cut, file contents left out."""

import json
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import BaseModel

from sandbox.record import Record
from sandbox.result import Result
from sandbox.review.model import SEVERITIES, Review, Run

__all__ = ["describe", "encode", "sentence", "visible"]

MOST_CHARACTERS: Final = 2_000
"""Of one text of the guest's; the review itself has all of it."""
FEW_CHARACTERS: Final = 200
"""The same, where the page would be larger than a browser opens at once."""
MOST_OUTPUT_CHARACTERS: Final = 8_000
"""Of stdout and of stderr."""
MOST_ARGUMENTS: Final = 200
"""Of one program."""

_VERDICTS: Final = {
    "high": "Not to be trusted as it is",
    "medium": "To be explained before it is trusted",
    "low": "Unusual, and nothing that has to be explained first",
    "info": "No fault was seen",
}
_ESCAPES: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def sentence(review: Review) -> str:
    """Say in one sentence what the review came to."""
    count = len(review.findings)
    if not count:
        return "These runs did nothing that the rules ask about."
    said = "1 finding" if count == 1 else f"{count} findings, the worst"
    return f"{_VERDICTS[review.severity]}: {said} of {review.severity} severity."


def describe(review: Review, most_characters: int = MOST_CHARACTERS) -> dict[str, Any]:
    """Give what the page shows, ready for JSON; of each text at most so many characters."""
    described = review.model_dump(mode="json", exclude={"runs", "findings", "subject"})
    cut = _Cutter(most_characters)
    return {
        **described,
        "sentence": sentence(review),
        "severity": review.severity,
        "least_differences": cut.value(list(review.least_differences)),
        "subject": cut.model(review.subject),
        "findings": [cut.model(each) for each in review.findings],
        "finding_counts": _finding_counts(review),
        "runs": [_run(run, cut) for run in review.runs],
    }


def encode(described: object) -> str:
    """Give JSON that can stand in an HTML script block: ASCII, without <, > and &."""
    text = json.dumps(described, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def visible(text: str) -> str:
    """Write out what would not be seen, or would change how its neighbours are read."""
    return "".join(each if each.isprintable() else f"\\u{{{ord(each):x}}}" for each in text)


def _finding_counts(review: Review) -> dict[str, int]:
    severities = [each.severity for each in review.findings]
    return {severity: severities.count(severity) for severity in SEVERITIES}


@dataclass(frozen=True)
class _Cutter:
    """Shortens what is long, and says by how much."""

    most_characters: int

    def model(self, model: BaseModel, **options: Any) -> dict[str, Any]:
        """Give a model's JSON with its texts cut."""
        described = model.model_dump(mode="json", **options)
        return {name: self.value(each) for name, each in described.items()}

    def value(self, value: Any) -> Any:
        """Cut at any depth."""
        match value:
            case str():
                return _head(value, self.most_characters)
            case list():
                return self.values(cast("list[Any]", value))
            case dict():
                return {
                    key: self.value(each) for key, each in cast("dict[str, Any]", value).items()
                }
            case _:
                return value

    def values(self, values: list[Any]) -> list[Any]:
        """Cut each, and leave out words of a list that is too long."""
        over = len(values) - MOST_ARGUMENTS
        if over <= 0 or not isinstance(values[0], str):
            return [self.value(each) for each in values]
        return [*(self.value(each) for each in values[:MOST_ARGUMENTS]), f"[{over} more]"]


def _run(run: Run, cut: _Cutter) -> dict[str, Any]:
    return {
        "input": cut.value(run.input),
        "result": _result(run.result, cut),
        "left": [cut.model(each) for each in run.left],
        **_record(run.record, cut),
    }


def _record(record: Record, cut: _Cutter) -> dict[str, Any]:
    return {
        "processes": [cut.model(each) for each in record.processes],
        # The page knows the defaults; without them a record of many events is half as long.
        "events": [
            {"kind": each.kind, **cut.model(each, exclude_defaults=True)} for each in record.events
        ],
        "samples": [each.model_dump(mode="json") for each in record.samples],
        "system_calls": [each.model_dump(mode="json") for each in record.system_calls],
        "seconds": record.seconds,
        "not_kept": record.not_kept,
        "unwatched": record.unwatched,
    }


def _result(result: Result, cut: _Cutter) -> dict[str, Any]:
    kept = {"status", "error", "exit_code", "signal", "limits_hit", "usage", "enforced"}
    return {
        **cut.model(result, include=kept),
        "stdout": _head(result.stdout, MOST_OUTPUT_CHARACTERS),
        "stdout_dropped": result.stdout_dropped,
        "stderr": _head(result.stderr, MOST_OUTPUT_CHARACTERS),
        "stderr_dropped": result.stderr_dropped,
        "value": _value(result),
    }


def _value(result: Result) -> str:
    value = result.model_dump(mode="json", include={"value"})["value"]
    return "" if value is None else _head(json.dumps(value, indent=1), MOST_CHARACTERS)


def _head(text: str, most: int) -> str:
    over = len(text) - most
    return text if over <= 0 else f"{text[:most]}… [{over} more characters]"
