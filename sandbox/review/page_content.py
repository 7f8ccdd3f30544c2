"""What a page shows of a review, as JSON: long texts cut, file contents left out."""

import json
from typing import Any, Final

from sandbox.record import Event, Record
from sandbox.result import Result
from sandbox.review.model import SEVERITIES, Review, Run

__all__ = ["describe", "encode", "sentence", "visible"]

MOST_CHARACTERS: Final = 2_000
"""Of one text of the guest's; the review itself has all of it."""
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
_ESCAPES: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def sentence(review: Review) -> str:
    """Say in one sentence what the review came to."""
    counts = _finding_counts(review)
    said = [
        f"{counts[severity]} {severity}" for severity in reversed(SEVERITIES) if counts[severity]
    ]
    if not said:
        return "No finding: these runs did nothing that the rules ask about."
    noun = "finding" if len(review.findings) == 1 else "findings"
    return f"{_VERDICTS[review.severity]}: {len(review.findings)} {noun} ({', '.join(said)})."


def describe(review: Review) -> dict[str, Any]:
    """Give what the page shows, ready for JSON."""
    described = review.model_dump(mode="json", exclude={"runs", "findings", "subject"})
    return {
        **described,
        "sentence": sentence(review),
        "severity": review.severity,
        "subject": _cut(review.subject.model_dump(mode="json")),
        "findings": [_cut(each.model_dump(mode="json")) for each in review.findings],
        "finding_counts": _finding_counts(review),
        "runs": [_run(run) for run in review.runs],
    }


def encode(described: object) -> str:
    """Give JSON that can stand in an HTML script block: ASCII, without <, > and &."""
    text = json.dumps(described, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.translate(str.maketrans(_ESCAPES))


def visible(text: str) -> str:
    """Write out what would not be seen, or would change how its neighbours are read."""
    return "".join(each if each.isprintable() else f"\\u{{{ord(each):x}}}" for each in text)


def _finding_counts(review: Review) -> dict[str, int]:
    severities = [each.severity for each in review.findings]
    return {severity: severities.count(severity) for severity in SEVERITIES}


def _run(run: Run) -> dict[str, Any]:
    return {
        "input": _cut(run.input),
        "result": _result(run.result),
        "left": [_cut(each.model_dump(mode="json")) for each in run.left],
        **_record(run.record),
    }


def _record(record: Record) -> dict[str, Any]:
    return {
        "processes": [_cut(each.model_dump(mode="json")) for each in record.processes],
        "events": [_event(each) for each in record.events],
        "samples": [each.model_dump(mode="json") for each in record.samples],
        "system_calls": [each.model_dump(mode="json") for each in record.system_calls],
        "not_kept": record.not_kept,
        "unwatched": record.unwatched,
    }


def _event(event: Event) -> dict[str, Any]:
    # The page knows the defaults; without them a record of many events is half as long.
    return {"kind": event.kind, **_cut(event.model_dump(mode="json", exclude_defaults=True))}


def _result(result: Result) -> dict[str, Any]:
    kept = {"status", "error", "exit_code", "signal", "limits_hit", "usage", "enforced"}
    return {
        **_cut(result.model_dump(mode="json", include=kept)),
        "stdout": _head(result.stdout, MOST_OUTPUT_CHARACTERS),
        "stdout_dropped": result.stdout_dropped,
        "stderr": _head(result.stderr, MOST_OUTPUT_CHARACTERS),
        "stderr_dropped": result.stderr_dropped,
        "value": _value(result),
    }


def _value(result: Result) -> str:
    value = result.model_dump(mode="json", include={"value"})["value"]
    return "" if value is None else _head(json.dumps(value, indent=1), MOST_CHARACTERS)


def _cut(value: Any) -> Any:
    """Shorten what is long, at any depth."""
    match value:
        case str():
            return _head(value, MOST_CHARACTERS)
        case list():
            return _cut_list(value)
        case dict():
            return {key: _cut(each) for key, each in value.items()}
        case _:
            return value


def _cut_list(values: list[Any]) -> list[Any]:
    over = len(values) - MOST_ARGUMENTS
    if over <= 0 or not isinstance(values[0], str):
        return [_cut(each) for each in values]
    return [*(_cut(each) for each in values[:MOST_ARGUMENTS]), f"[{over} more]"]


def _head(text: str, most: int) -> str:
    over = len(text) - most
    return text if over <= 0 else f"{text[:most]}… [{over} more characters]"
