"""A chat begun with one model goes on with another: calls, pictures and thoughts are said in the other one's way, and exported whole."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nemochat.chat import Chat
from nemochat.chat.album import Album
from nemochat.chat.export import to_json
from nemochat.chat.import_file import read_conversation
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Message, ReasoningPart, Role, TextPart, ToolCall, ToolResultPart, ToolSpec
from nemochat.domain.sampling import Sampling
from nemochat.engine.protocol import LoadRequest, ModelInfo
from nemochat.images import load
from nemochat.prompt.format import as_text
from nemochat.settings import EngineSettings
from tests.chat.fake_engine import FakeEngine, reply
from tests.chat.talking import Talking
from tests.images.pictures import draw_circle

TEMPLATES = Path(__file__).parents[1] / "prompt" / "templates"
ADD = ToolSpec("add", "Adds numbers.", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
CALL = ToolCall("add", {"a": 1}, "call_1_1")
SAID = {
    "nemotron": '<toolcall> {"name": "add", "arguments": {"a": 1}} </toolcall>',
    "reasoning": "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>",
    "chatml": '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>',
}
"""The call, as each of the models writes it."""
SIDES = {"nemotron": 28, "reasoning": None, "chatml": 56}
"""What each of their projectors wants a picture to be, in pixels."""


def info(kind: str, *, sees: bool = True) -> ModelInfo:
    template = "" if kind == "nemotron" else (TEMPLATES / f"{kind}.jinja").read_text()
    return ModelInfo(kind, 4096, sees, 256, 1.0, template, "", "<|im_end|>", False, "nemotron" if kind == "nemotron" else "qwen3")


def talking(kind: str, album: Album, *replies: str, sees: bool = True) -> tuple[Talking, FakeEngine]:
    engine = FakeEngine(*(reply(each) for each in replies))
    engine._info = info(kind, sees=sees)
    found = Talking(engine, LoadRequest(kind, f"{kind}.gguf", None, EngineSettings()), Sampling(max_tokens=50), SIDES[kind])
    found.album = album
    return found, engine


async def say(chat: Talking, message: Message) -> None:
    async for _ in chat.send(message):
        pass


async def begun(kind: str, album: Album, picture: RgbImage) -> Chat:
    """A chat with a picture, a thought where the model has any, a call and its result."""
    thought = "<think>\nOne, I think.\n</think>\n\n" if kind == "reasoning" else ""
    chat, engine = talking(kind, album, thought + SAID[kind], "It is 2.")
    chat.open_chat(Chat(frame=msgspec.structs.replace(Chat().frame, tools=(ADD,))))
    attachment = await chat.attach(picture, "circle.png")
    await say(chat, Message(Role.USER, (attachment.part, TextPart("What is 1 + 1?"))))
    assert chat.chat.entries[-1].message.tool_calls[0].arguments == CALL.arguments
    call = chat.chat.entries[-1].message.tool_calls[0]
    await say(chat, Message(Role.TOOL, (ToolResultPart(call.id, "2"),)))
    assert len(engine.requests) == 2
    await chat.close()
    return chat.chat


@pytest.fixture
def picture(tmp_path: Path) -> RgbImage:
    draw_circle(tmp_path / "circle.png", (220, 40, 40))
    return load((tmp_path / "circle.png").read_bytes(), "it")


@pytest.mark.parametrize("then", SAID)
@pytest.mark.parametrize("first", SAID)
async def test_what_one_model_said_is_told_to_another_in_its_own_way(first: str, then: str, picture: RgbImage) -> None:
    album = Album()
    chat = await begun(first, album, picture)
    (part,) = chat.entries[0].message.images
    going_on, engine = talking(then, album, "Yes.")
    going_on.open_chat(chat)
    await say(going_on, Message(Role.USER, (TextPart("Sure?"),)))
    prompt = as_text(engine.requests[-1].segments)
    assert SAID[then] in prompt
    assert all(text not in prompt for kind, text in SAID.items() if kind != then)
    assert prompt.index("What is 1 + 1?") < prompt.index(SAID[then]) < prompt.index("It is 2.") < prompt.index("Sure?")
    assert "One, I think" not in prompt
    kept = [each.text.strip() for entry in chat.entries for each in entry.message.parts if isinstance(each, ReasoningPart)]
    assert kept == (["One, I think."] if first == "reasoning" else [])
    # The very same picture, from its file, at the size that this model wants.
    (seen,) = engine.images
    side = SIDES[then] or picture.width
    assert (seen.digest, seen.width, seen.height) == (part.digest, side, side)
    await going_on.close()


async def test_a_model_that_cannot_see_goes_on_without_the_picture_and_the_next_one_sees_it_again(picture: RgbImage) -> None:
    album = Album()
    chat = await begun("nemotron", album, picture)
    for kind, sees in (("chatml", False), ("reasoning", True)):
        going_on, engine = talking(kind, album, "Yes.", sees=sees)
        going_on.open_chat(chat)
        await say(going_on, Message(Role.USER, (TextPart("Sure?"),)))
        assert [len(engine.images), as_text(engine.requests[-1].segments).count("<image>")] == [sees, sees]
        chat = going_on.chat
        await going_on.close()
    assert len(chat.entries[0].message.images) == 1


@pytest.mark.parametrize("first", SAID)
async def test_an_export_of_such_a_chat_has_thought_and_call_and_gives_the_same_prompts_again(
    first: str, picture: RgbImage, tmp_path: Path
) -> None:
    album = Album()
    chat = await begun(first, album, picture)
    going_on, _ = talking("chatml", album, "Yes.")
    going_on.open_chat(chat)
    await say(going_on, Message(Role.USER, (TextPart("Sure?"),)))
    chat = going_on.chat
    await going_on.close()
    file = tmp_path / "talk.json"
    file.write_text(to_json(chat.entries, chat.frame.system, album.originals))
    messages = msgspec.json.decode(file.read_bytes())["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "user", "assistant"]
    assert messages[1]["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a": 1}'}
    assert messages[2]["tool_call_id"] == messages[1]["tool_calls"][0]["id"]
    assert messages[1].get("reasoning_content", "").strip() == ("One, I think." if first == "reasoning" else "")
    assert messages[0]["content"][0]["type"] == "image_url"
    read = read_conversation(file)
    assert not read.problems
    album.keep(read.pictures)
    again = msgspec.structs.replace(read.chat, frame=chat.frame)
    for kind in SAID:
        prompts = []
        for each in (chat, again):
            reader, engine = talking(kind, album, "So.")
            reader.open_chat(each)
            await say(reader, Message(Role.USER, (TextPart("And?"),)))
            prompts.append(as_text(engine.requests[-1].segments))
            await reader.close()
        assert prompts[0] == prompts[1]
