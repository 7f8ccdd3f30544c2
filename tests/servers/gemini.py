"""Gemini's generateContent API, as far as function calling goes."""

import base64
from collections.abc import Iterator
from typing import Any

from tests.servers.base import Event, Object, ProviderServer, Refused, Says, pieces

__all__ = ["GeminiServer"]


class GeminiServer(ProviderServer):
    """Wants as many responses as calls, in the next content, and each signature on its part.

    sends_ids: whether calls have ids; the API may leave them out.
    """

    def __init__(self, *script: Any, sends_ids: bool = True) -> None:
        super().__init__(*script)
        self._sends_ids = sends_ids
        self._signatures: set[str] = set()

    def wants_stream(self, path: str, body: Object) -> bool:
        del body
        return ":streamGenerateContent" in path

    def check(self, body: Object) -> None:
        contents: list[Object] = body["contents"]
        for index, content in enumerate(contents):
            calls = _members(content, "functionCall")
            after = contents[index + 1] if index + 1 < len(contents) else {}
            self._check_answers(calls, _members(after, "functionResponse"))
            if calls and _first_call(content).get("thoughtSignature") not in self._signatures:
                message = "Function call is missing a thought_signature in functionCall parts."
                raise Refused(message)

    def _check_answers(self, calls: list[Object], answers: list[Object]) -> None:
        if len(answers) != len(calls):
            message = (
                "Please ensure that the number of function response parts is equal to the number"
                " of function call parts of the function call turn."
            )
            raise Refused(message)
        for call, answer in zip(calls, answers, strict=True):
            if (call["name"], call.get("id")) != (answer["name"], answer.get("id")):
                message = f"The function response {answer} is not for the function call {call}."
                raise Refused(message)

    def error(self, message: str) -> Object:
        return {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}

    def response(self, turn: Says) -> Object:
        return self._document(self._parts(turn), _reason(turn))

    def _parts(self, turn: Says) -> list[Object]:
        parts: list[Object] = [{"text": turn.text}] if turn.text else []
        for index, call in enumerate(turn.calls):
            function: Object = {"name": call.name, "args": call.arguments}
            if self._sends_ids:
                function["id"] = call.id
            part: Object = {"functionCall": function}
            if index == 0:
                signature = base64.b64encode(f"signed-{self.number}".encode()).decode()
                self._signatures.add(signature)
                part["thoughtSignature"] = signature
            parts.append(part)
        return parts

    def _document(self, parts: list[Object], reason: str = "") -> Object:
        candidate: Object = {"content": {"role": "model", "parts": parts}, "index": 0}
        if reason:
            candidate["finishReason"] = reason
        return {"candidates": [candidate], "modelVersion": "test-model"}

    def events(self, turn: Says) -> Iterator[Event]:
        for piece in pieces(turn.text) if turn.text else []:
            yield Event(self._document([{"text": piece}]))
        calls = [part for part in self._parts(turn) if "functionCall" in part]
        yield Event(self._document(calls, _reason(turn)))


def _reason(turn: Says) -> str:
    return "MAX_TOKENS" if turn.is_cut_off else "STOP"


def _members(content: Object, name: str) -> list[Object]:
    return [part[name] for part in content.get("parts", []) if name in part]


def _first_call(content: Object) -> Object:
    return next(part for part in content["parts"] if "functionCall" in part)
