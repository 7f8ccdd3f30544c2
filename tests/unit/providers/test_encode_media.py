"""Pictures and files become the provider's own parts, or words where it has none."""

import re

import pytest

from sandbox.providers.envelope import File, Image, Part, Provider, Text
from tests.unit.providers.answering import (
    CSV,
    PDF,
    PNG,
    UNKNOWN,
    answered,
    anthropic_result,
    failed,
    gemini_response,
)
from tests.unit.providers.sdk import PROVIDERS

every_provider = pytest.mark.parametrize("provider", PROVIDERS)


def test_gemini_gets_media_beside_the_response_and_named_in_it() -> None:
    assert gemini_response(answered("gemini", Text("chart:"), PNG, PDF)) == {
        "id": "a1",
        "name": "get_weather",
        "response": {"output": ["chart:", {"$ref": "part-2.png"}, {"$ref": "r.pdf"}]},
        "parts": [
            {"inlineData": {"mimeType": "image/png", "data": "cG5n", "displayName": "part-2.png"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "cGRm", "displayName": "r.pdf"}},
        ],
    }


def test_two_files_of_one_name_get_names_of_their_own() -> None:
    response = gemini_response(answered("gemini", PDF, PDF))["response"]

    assert response == {"output": [{"$ref": "1-r.pdf"}, {"$ref": "2-r.pdf"}]}


def test_openai_gets_pictures_and_files_as_parts() -> None:
    assert answered("openai", Text("chart:"), PNG, PDF) == (
        {
            "type": "function_call_output",
            "call_id": "call_A",
            "output": [
                {"type": "input_text", "text": "chart:"},
                {
                    "type": "input_image",
                    "image_url": "data:image/png;base64,cG5n",
                    "detail": "auto",
                },
                {
                    "type": "input_file",
                    "filename": "r.pdf",
                    "file_data": "data:application/pdf;base64,cGRm",
                },
            ],
        },
    )


def test_chat_gets_pictures_in_a_user_message_after_the_tool_messages() -> None:
    assert answered("openai-chat", Text("chart:"), PNG) == (
        {
            "role": "tool",
            "tool_call_id": "call_A",
            "content": "chart:\n[image: image/png, 3 bytes, in the user message below]",
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "text",
                    "text": "Given by the tool get_weather (call call_A), not by the user:",
                },
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5n"}},
            ],
        },
    )


def test_anthropic_gets_pictures_and_documents_as_blocks() -> None:
    assert anthropic_result(answered("anthropic", PNG, PDF))["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "cG5n"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "cGRm"},
            "title": "r.pdf",
        },
    ]


def test_anthropic_gets_an_error_in_words_only_for_it_takes_nothing_else() -> None:
    content = anthropic_result(failed("anthropic", Text("late"), PNG))["content"]

    assert content == "late\n[image: image/png, 3 bytes, which cannot be shown here]"


def test_mcp_gets_files_as_resources() -> None:
    ((message),) = answered("mcp", CSV, UNKNOWN, File(b"wav", "a.wav", "audio/wav"))

    assert message == {
        "content": [
            {
                "type": "resource",
                "resource": {
                    "uri": "tool-result:///t.csv",
                    "mimeType": "text/csv",
                    "text": "a,b\n",
                },
            },
            {
                "type": "resource",
                "resource": {
                    "uri": "tool-result:///x.bin",
                    "mimeType": "application/octet-stream",
                    "blob": "AP8=",
                },
            },
            {"type": "audio", "data": "d2F2", "mimeType": "audio/wav"},
        ],
        "isError": False,
    }


@pytest.mark.parametrize("provider", ["openai", "openai-chat", "anthropic", "gemini"])
@pytest.mark.parametrize(
    ("part", "words"),
    [
        (UNKNOWN, "[x.bin: application/octet-stream, 2 bytes, which cannot be shown here]"),
        (Image(b"\xff", "image/tiff"), "[image: image/tiff, 1 bytes, which cannot be shown here]"),
        (File(b"{}", "a.json", "application/json; charset=utf-8"), "a.json:\n{}"),
        (Image(b"<svg/>", "image/svg+xml"), "image:\n<svg/>"),
    ],
    ids=["unknown", "tiff", "json", "svg"],
)
def test_media_that_the_provider_would_refuse_become_words(
    provider: Provider, part: Part, words: str
) -> None:
    assert answered(provider, part) == answered(provider, Text(words))


@every_provider
def test_a_file_that_is_a_picture_is_shown_as_one(provider: Provider) -> None:
    words = str(answered(provider, File(b"png", "c.png", "image/png")))

    assert {"cG5n", "image/png"} <= set(re.findall(r"[\w/]+", words))
