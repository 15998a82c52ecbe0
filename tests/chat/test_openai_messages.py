"""The OpenAI chat shape: what is accepted, what it becomes, and errors that name the bad field."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from nemochat.chat.import_file import read_conversation
from nemochat.chat.openai_messages import ConversationBody, decode, image_sources, to_conversation
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Conversation, ImagePart, Message, ReasoningPart, Role, TextPart, ToolCall, ToolResultPart, ToolSpec
from nemochat.errors import ConversationError
from nemochat.images import to_png
from nemochat.prompt import nemotron
from nemochat.prompt.format import as_text
from tests.calls import call_part

PARAMETERS = {"type": "object", "properties": {"a": {"type": "number"}}}


def converted(body: dict[str, Any], images: dict[str, ImagePart] | None = None) -> Conversation:
    return to_conversation(decode(json.dumps(body).encode(), ConversationBody, "request"), images or {})


def test_all_roles() -> None:
    conversation = converted(
        {
            "messages": [
                {"role": "system", "content": " Be kind. "},
                {"role": "user", "content": "1 + 1?"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
                },
                {"role": "tool", "tool_call_id": "c1", "name": "add", "content": [{"type": "text", "text": "2"}]},
                {"role": "assistant", "content": "It is 2.", "reasoning_content": "Easy."},
            ]
        }
    )
    call = call_part(' {"name": "add", "arguments": {"a": 1}} ', (ToolCall("add", {"a": 1}, "c1"),))
    assert conversation == Conversation(
        system="Be kind.",
        messages=(
            Message(Role.USER, (TextPart("1 + 1?"),)),
            Message(Role.ASSISTANT, (call,)),
            Message(Role.TOOL, (ToolResultPart("c1", "2"),)),
            Message(Role.ASSISTANT, (ReasoningPart("Easy."), TextPart("It is 2."))),
        ),
    )


def test_a_call_is_the_same_however_it_is_given() -> None:
    text = '<toolcall> {"name": "add", "arguments": {"a": 1}} </toolcall>'
    shapes = [
        {"role": "assistant", "content": text},
        {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 1}}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add", "arguments": '{"a": 1}'}}]},
    ]
    rendered = {as_text(nemotron.render(converted({"messages": [shape]}))) for shape in shapes}
    assert rendered == {f"<extra_id_0>System\n\n<extra_id_1>Assistant\n{text}\n<extra_id_1>Assistant\n"}


def test_system_texts_are_joined_in_order() -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "system", "content": "Two."}, {"role": "system", "content": "Three."}]
    conversation = converted({"system": "One.", "messages": messages})
    assert conversation.system == "One.\n\nTwo.\n\nThree."
    assert len(conversation.messages) == 1


def test_pictures() -> None:
    content = [
        {"type": "image_url", "image_url": {"url": "a.png"}},
        {"type": "text", "text": "Same?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
    ]
    body = decode(json.dumps({"messages": [{"role": "user", "content": content}]}).encode(), ConversationBody, "request")
    sources = image_sources(body.messages)
    assert sources == ["a.png", "data:image/png;base64,AA=="]
    parts = {source: ImagePart(f"digest {index}", source) for index, source in enumerate(sources)}
    message = to_conversation(body, parts).messages[0]
    assert message.parts == (parts["a.png"], TextPart("Same?"), parts["data:image/png;base64,AA=="])


def test_tools_full_and_bare() -> None:
    function = {"name": "add", "description": "Adds.", "parameters": PARAMETERS}
    expected = ToolSpec("add", "Adds.", PARAMETERS)
    assert converted({"tools": [{"type": "function", "function": function}, function]}).tools == (expected, expected)
    assert converted({"tools": [{"name": "now"}]}).tools == (ToolSpec("now"),)


def test_contexts() -> None:
    contexts = ["Plain.", {"name": "notes.txt", "text": "Named."}]
    assert converted({"contexts": contexts}).contexts == ("Plain.", "notes.txt: Named.")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"messages": [{"role": "user", "content": 3}]}, "request: messages[0].content: expected"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "request: messages[0].role: "),
        ({"messages": [{"content": "x"}]}, "request: messages[0]: "),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "request: messages[0].content[0].type: "),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "a"}]}]}, "messages[0].content[0].image_url"),
        ({"messages": [{"role": "user", "content": "x", "mood": "good"}]}, "unknown field mood"),
        ({"messages": [{"role": "assistant"}]}, "messages[0]: an assistant message needs"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}]},
            "messages[0].tool_calls[0].function.arguments: the arguments must be a JSON object",
        ),
        ({"tools": [{"type": "function", "function": {"nam": "f"}}]}, "tools[0].function: "),
        ({"tools": [{"type": "function", "function": {"name": "f"}, "x": 1}]}, "tools[0]: "),
        ({"tools": [{"type": "function", "function": 7}]}, "tools[0].function: expected object, got int"),
        ({"contexts": [{"name": "x"}]}, "contexts[0]: "),
        ({"message": []}, "request: there is an unknown field message"),
    ],
)
def test_errors_name_the_field(body: dict[str, Any], place: str) -> None:
    with pytest.raises(ConversationError) as raised:
        converted(body)
    assert place in raised.value.message
    assert raised.value.message.endswith(".")
    assert "`" not in raised.value.message


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"system": "\xff"}', b"{}{}", b"[" * 5000])
def test_what_is_not_json_is_an_error(data: bytes) -> None:
    with pytest.raises(ConversationError):
        decode(data, ConversationBody, "request")


def test_results_that_name_no_call_answer_those_before_them_in_order() -> None:
    calls = [{"function": {"name": "add", "arguments": {"a": n}}} for n in range(2)]
    results = [{"role": "tool", "content": text} for text in ("one", "two", "three")]
    messages = converted({"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "tool_calls": calls}, *results]}).messages
    ids = [call.id for call in messages[1].tool_calls]
    assert ids == ["call_2_1", "call_2_2"]
    assert [message.parts for message in messages[2:]] == [
        (ToolResultPart(ids[0], "one"),), (ToolResultPart(ids[1], "two"),), (ToolResultPart("", "three"),)
    ]  # fmt: skip


def test_a_picture_that_cannot_be_read_costs_neither_the_conversation_nor_the_other_pictures(tmp_path: Path) -> None:
    good = base64.b64encode(to_png(RgbImage.from_rgb(1, 1, b"abc"))).decode()
    urls = [f"data:image/png;base64,{good}", "data:image/png;base64,AAAA", "/dev/zero", str(tmp_path / "none\x1b.png")]
    pieces = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    (tmp_path / "talk.json").write_text(json.dumps([{"role": "user", "content": [*pieces, {"type": "text", "text": "What is it?"}]}]))
    read = read_conversation(tmp_path / "talk.json")
    assert len(read.pictures) == 1
    assert len(read.problems) == 3
    assert read.chat.entries[0].message.text.count("[picture that cannot be read: ") == 3
    assert "What is it?" in read.chat.entries[0].message.text
