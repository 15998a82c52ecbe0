from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nemochat.chat.context import Counting
from nemochat.domain.messages import Conversation, Message, Role, TextPart, ToolSpec
from nemochat.domain.segments import Control, Plain, Segment
from nemochat.engine.llama import LlamaBackend
from nemochat.engine.protocol import Asked
from nemochat.prompt.nemotron import render
from tests.engine.llama_harness import loaded
from tests.tiny_gguf import write_language_model


class Counted:
    """The counting of a real engine, and what it was asked."""

    def __init__(self, backend: LlamaBackend) -> None:
        self.backend = backend
        self.asked: list[tuple[Segment, ...]] = []

    async def count(self, segments: Sequence[Segment], asked: Asked | None = None) -> list[int]:
        self.asked.append(tuple(segments))
        return self.backend.count(segments)


async def test_counts_add_up_to_the_prompt_where_a_text_has_more_tokens_behind_a_special_one(tmp_path: Path) -> None:
    engine = Counted(loaded(write_language_model(tmp_path / "m.gguf", space_prefix=True, bos=True)))
    count = Counting(engine)  # type: ignore[arg-type]
    question = Message(Role.USER, (TextPart("the hello"),))
    tool = ToolSpec("red", "hello", {"type": "object"})
    for conversation in (
        Conversation(system="the hello", messages=(question,)),
        Conversation(system="the hello", tools=(tool,), messages=(question, question)),
        Conversation(messages=(question, question, question)),
    ):
        segments = render(conversation)
        assert sum(await count(segments)) == len(engine.backend._prompt(segments).cells)
    same: list[Segment] = [Control("<tool>"), Plain("(red"), Control("x"), Plain("(red")]
    assert (await count(same))[1::2] == [3, 2]
    engine.backend.close()


async def test_what_is_known_is_not_asked_again(tmp_path: Path) -> None:
    engine = Counted(loaded(write_language_model(tmp_path / "m.gguf")))
    count = Counting(engine)  # type: ignore[arg-type]
    segments = render(Conversation(system="x", messages=(Message(Role.USER, (TextPart("the hello"),)),)))
    assert await count(segments) == await count(segments) == engine.backend.count(segments)
    assert engine.asked[-1] == (segments[0],)
    engine.backend.close()
