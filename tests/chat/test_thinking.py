"""A model that thinks before it speaks: the thought is a part of the reply, timed, and in no later prompt; and formats of templates."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nemochat.chat.formats import choose
from nemochat.domain.events import FinishReason, TextDelta
from nemochat.domain.messages import Conversation, Message, ReasoningPart, Role, TextPart
from nemochat.domain.replies import TurnResult
from nemochat.domain.sampling import Sampling
from nemochat.engine.protocol import LoadRequest, ModelInfo
from nemochat.errors import EngineDiedError, TemplateError
from nemochat.prompt.format import Layout, as_text
from nemochat.prompt.nemotron import NemotronFormat
from nemochat.settings import EngineSettings
from tests.chat.fake_engine import FakeEngine, reply
from tests.chat.talking import Talking

TEMPLATES = Path(__file__).parents[1] / "prompt" / "templates"
SECOND = "<|im_start|>user\nAnd 3 + 3?<|im_end|>\n<|im_start|>assistant\n"


def info(template: str) -> ModelInfo:
    source = (TEMPLATES / template).read_text()
    return ModelInfo("qwen", 4096, False, 256, 1.0, source, "", "<|im_end|>", False, "qwen3")


@asynccontextmanager
async def thinking(engine: FakeEngine, template: str = "reasoning.jinja", think: bool | None = None) -> AsyncGenerator[Talking, None]:
    engine._info = info(template)
    talking = Talking(engine, LoadRequest("qwen", "qwen.gguf", None, EngineSettings()), Sampling(max_tokens=50, think=think))
    try:
        yield talking
    finally:
        await talking.reader.close()


async def ask(talking: Talking, text: str) -> tuple[list[TextDelta], TurnResult]:
    events = [event async for event in talking.send(Message(Role.USER, (TextPart(text),)))]
    result = events[-1]
    assert isinstance(result, TurnResult)
    return [event for event in events if isinstance(event, TextDelta)], result


async def test_a_thought_is_a_part_of_its_own_and_in_no_later_prompt() -> None:
    """Fails when a thought is shown as words, counts as the first word, or is said again to the model that forgets it."""
    engine = FakeEngine(reply("<thi", "nk>\nLet me", " add.", "\n</think>\n\n", "It ", "is 4."), reply("6."))
    async with thinking(engine) as talking:
        deltas, result = await ask(talking, "What is 2 + 2?")
        assert "".join(delta.text for delta in deltas) == "It is 4."
        assert next(type(part) for delta in deltas for part in delta.parts) is ReasoningPart
        (thought, words) = talking.chat.entries[-1].message.parts
        assert isinstance(thought, ReasoningPart)
        assert thought.text.strip() == "Let me add."
        assert isinstance(words, TextPart)
        assert (words.text.strip(), result.text) == ("It is 4.", "It is 4.")
        assert thought.seconds is not None
        assert thought.tokens == len(thought.text)  # a token a character here
        assert result.first_thought_ms is not None
        assert result.ttft_ms is not None
        assert result.first_thought_ms <= result.ttft_ms
        assert not result.is_all_thought
        view = await talking.context_view()
        assert view.history < len(thought.text) + len("What is 2 + 2?It is 4.") + 4 * len("<|im_start|>assistant\n"), "the thought counts"
        await ask(talking, "And 3 + 3?")
        prompt = as_text(engine.requests[-1].segments)
        assert prompt.endswith(f"assistant\nIt is 4.<|im_end|>\n{SECOND}")
        assert engine.requests[-1].stops[0] == "<|im_end|>"
        assert {"<think>", "</think>"} <= set(engine.requests[-1].markers)


async def test_a_reply_that_was_nothing_but_a_thought_is_kept_and_says_so() -> None:
    engine = FakeEngine(reply("<think>\nOn and on", " and on", reason=FinishReason.LENGTH))
    async with thinking(engine) as talking:
        _, result = await ask(talking, "Why?")
        assert (result.is_all_thought, result.ttft_ms, result.text) == (True, None, "")
        (thought,) = talking.chat.entries[-1].message.parts
        assert isinstance(thought, ReasoningPart)
        assert thought.text.strip() == "On and on and on"


async def test_a_reply_is_kept_although_its_thought_cannot_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails as it did: the engine died between the end of the reply and the count, and the reply was gone."""
    engine = FakeEngine(reply("<think>\nHm.\n</think>\n\nYes."))
    async with thinking(engine) as talking:

        async def dead(_: str) -> int:
            raise EngineDiedError("killed")

        monkeypatch.setattr(talking.reader, "tokens_in", dead)
        _, result = await ask(talking, "Why?")
        assert result.text == "Yes."
        thought = talking.chat.entries[-1].message.parts[0]
        assert isinstance(thought, ReasoningPart)
        assert thought.tokens is None


@pytest.mark.parametrize(("think", "head"), [(None, SECOND), (True, SECOND), (False, f"{SECOND}<think>\n\n</think>\n\n")])
async def test_thinking_is_switched_as_the_template_has_it(think: bool | None, head: str) -> None:
    engine = FakeEngine(reply("6."))
    async with thinking(engine, think=think) as talking:
        await ask(talking, "And 3 + 3?")
        assert as_text(engine.requests[-1].segments) == head
        assert talking.chat.entries[-1].message.parts == (TextPart("6."),)


async def test_what_is_sent_is_what_the_template_says_of_the_messages_that_stay() -> None:
    """A template without a System role has the system text in the first message: when that is forgotten, it goes to the next one."""
    engine = FakeEngine(*(reply("Yes, " + "word " * 20) for _ in range(6)))
    async with thinking(engine, "no_system.jinja") as talking:
        engine._info = msgspec.structs.replace(engine._info, context_length=700)
        talking.open_conversation(Conversation(system="Be kind."))
        for n in range(6):
            await ask(talking, f"Question {n} " + "and so on " * 8)
        prompt = as_text(engine.requests[-1].segments)
        assert "Question 0" not in prompt
        assert prompt.count("Be kind.") == 1
        assert prompt.index("Be kind.") < prompt.index("Question")
        tokens = sum(engine.costs(engine.requests[-1].segments))
        assert tokens + 50 <= 700


async def test_the_format_is_the_files_or_the_one_that_was_chosen(tmp_path: Path) -> None:
    nemotron = ModelInfo("n", 4096, True, 256, 1.0, "<extra_id_0>System {{ messages }} <extra_id_1>User", "<s>", "</s>", True, "nemotron")
    assert isinstance(await choose(nemotron), NemotronFormat)
    assert isinstance(await choose(msgspec.structs.replace(nemotron, chat_template="")), NemotronFormat)
    assert isinstance(await choose(info("chatml.jinja"), "nemotron"), NemotronFormat)
    bare = msgspec.structs.replace(nemotron, chat_template="", architecture="llama")
    for model, wanted in ((info("chatml.jinja"), "auto"), (nemotron, str(TEMPLATES / "chatml.jinja")), (bare, "")):
        format_ = await choose(model, wanted)
        layout = await format_.lay_out(Conversation(messages=(Message(Role.USER, (TextPart("Hi"),)),)))
        await format_.close()
        assert as_text(layout.segments).removeprefix("<s>").endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    (tmp_path / "bad.jinja").write_text("{% for %}")
    for wanted in ("nonsense", str(tmp_path / "no.jinja"), str(tmp_path / "bad.jinja")):
        with pytest.raises(TemplateError, match=r"nonsense|no\.jinja|bad\.jinja"):
            await choose(bare, wanted)


async def test_a_prompt_that_is_cut_is_laid_out_once_whole_and_once_as_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was laid out a third time when its turn came: with templates that is a rendering of the whole chat in another process."""
    engine = FakeEngine(*(reply("So. " * 20) for _ in range(12)))
    laid_out: list[int] = []
    async with thinking(engine) as talking:
        engine._info = msgspec.structs.replace(engine._info, context_length=600)
        await talking.reader.load.model()
        format_ = talking.reader.load.format
        lay_out = format_.lay_out

        async def watched(conversation: Conversation, **how: Any) -> Layout:
            laid_out.append(len(conversation.messages))
            return await lay_out(conversation, **how)

        monkeypatch.setattr(format_, "lay_out", watched)
        for _ in range(12):
            laid_out.clear()
            _, result = await ask(talking, "What? " * 10)
            if result.forgotten:
                break
        assert len(laid_out) == 2
        assert laid_out[0] > laid_out[1]
