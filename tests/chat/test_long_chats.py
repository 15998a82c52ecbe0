"""What a key costs does not grow with the chat, and leaving out what was forgotten long ago changes nothing that is sent or shown."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemochat.chat import Chat
from nemochat.chat.reader import PromptReader
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.personas import AuthorNote, Persona
from nemochat.domain.sampling import Sampling, Source
from nemochat.engine.protocol import LoadRequest
from nemochat.prompt import nemotron
from nemochat.prompt.format import as_text
from nemochat.settings import EngineSettings
from tests.chat.fake_engine import FakeEngine

MIRA = Persona(name="Mira", description="Mira keeps an inn.", examples="<START>\n{{user}}: A room?\n{{char}}: Two coins.")

SHORT = {Source.CONFIG: Sampling(max_tokens=100)}


def long_chat(messages: int, *, persona: Persona | None = None, note: AuthorNote | None = None) -> Chat:
    said = [
        Message(Role.USER if at % 2 == 0 else Role.ASSISTANT, (TextPart(f"{at} " + "word " * (at % 7)),)) for at in range(messages)
    ]
    return msgspec.structs.replace(Chat(persona=persona, note=note).with_messages(said), examples_gone=2 if persona is not None else 0)


async def made(chat: Chat, *, is_whole: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    """All that is made of a chat in a window that holds little of it: the second time, when sizes are known."""
    reader = PromptReader(FakeEngine(context_length=1500), LoadRequest("f", "f", None, EngineSettings()), SHORT)
    if is_whole:
        monkeypatch.setattr(reader, "_start", lambda *_: 0)
    draft = Message(Role.USER, (TextPart("What now? And then"),))
    for _ in range(2):
        prompt = await reader.prompt(chat)
        sent = await prompt.sent()
        view = await reader.context_view(chat, draft)
        shown = await reader.preview(chat, draft)
    assert is_whole or prompt.assembled.left_out, "nothing was left out"
    trimmed = prompt.assembled.trimmed(chat, sent.fit)
    ahead = await reader.forget_ahead(chat)
    return (
        as_text(sent.layout.segments),
        prompt.assembled.forgotten(sent.fit.forgotten),
        (trimmed.first_kept, trimmed.examples_gone),
        msgspec.structs.replace(view, cached=0, to_read=0),
        (as_text(shown.now), as_text(shown.following)),
        ahead,
    )


@pytest.mark.parametrize("messages", [600, 601, 1000])
@pytest.mark.parametrize("persona", [None, MIRA])
@pytest.mark.parametrize("note", [None, AuthorNote("It rains.", 90)])
async def test_a_prompt_without_what_was_forgotten_long_ago_is_the_same(
    messages: int, persona: Persona | None, note: AuthorNote | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = long_chat(messages, persona=persona, note=note)
    chat = msgspec.structs.replace(chat, first_kept=messages - 60 - messages % 2)
    assert await made(chat, is_whole=False, monkeypatch=monkeypatch) == await made(chat, is_whole=True, monkeypatch=monkeypatch)


async def test_only_the_window_is_rendered_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = msgspec.structs.replace(long_chat(5000), first_kept=4940)
    reader = PromptReader(FakeEngine(context_length=1500), LoadRequest("f", "f", None, EngineSettings()), SHORT)
    await reader.context_view(chat)
    rendered: list[Message] = []
    pieces = nemotron._message

    def note(message: Message) -> object:
        rendered.append(message)
        return pieces(message)

    monkeypatch.setattr(nemotron, "_message", note)
    await reader.context_view(chat, Message(Role.USER, (TextPart("a key"),)))
    assert len(rendered) < 400


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 500))
def test_what_is_pinned_is_never_left_out(at: int) -> None:
    chat = msgspec.structs.replace(long_chat(600).marked(at, pinned=True), first_kept=540)
    reader = PromptReader(FakeEngine(context_length=1500), LoadRequest("f", "f", None, EngineSettings()), SHORT)
    assert reader._start(chat, 1500) == 0
