"""Summaries are written when there is time for them, a reply always goes first, and nothing of the conversation is lost for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from nemochat.domain.chat import Chat
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.personas import Persona
from nemochat.domain.segments import Plain
from nemochat.domain.summaries import Summary
from nemochat.engine.protocol import GenerateRequest
from nemochat.errors import EngineDiedError
from nemochat.prompt.format import as_text
from nemochat.prompt.messages import openai_messages
from nemochat.settings import InterfaceSettings, SamplingSettings, Settings
from tests.chat.fake_engine import FakeEngine, reply
from tests.desk.bench import Bench
from tests.desk.sitting import Sitting, engine, engine_of

ASKS = "Sum up everything above"
LONG = " and so it went on and on, through the whole of that long afternoon"
WHO = ((Role.USER, "message"), (Role.ASSISTANT, "answer"))
SUMMARY = "They met at the mill, and agreed to leave at dawn."


def bench_of(folder: Path, *, summaries: bool = False, window: int = 3000, texts: tuple[str, ...] = ()) -> Bench:
    """A window that a dozen turns fill (a token is a character)."""
    settings = Settings(interface=InterfaceSettings(summaries=summaries, titles=False), sampling=SamplingSettings(max_tokens=100))
    return Bench(folder, {"demo": engine_of(texts, context_length=window)}, settings)


def prompts(sitting: Sitting) -> list[str]:
    return [as_text(request.segments) for request in engine(sitting).requests]


def summary_of(sitting: Sitting) -> Summary | None:
    return sitting.desk.chat.summary


def state_of(sitting: Sitting) -> str:
    """What the context pane says of a summary that is not read."""
    assert sitting.desk.reading.view is not None
    return sitting.desk.reading.view.summary_state


def remembered(sitting: Sitting) -> tuple[str, ...]:
    return sitting.desk.chat.remembered


def asked(sitting: Sitting) -> list[str]:
    """The requests for a summary."""
    return [prompt for prompt in prompts(sitting) if ASKS in prompt]


async def talked(sitting: Sitting, n: int) -> None:
    """A chat in which so much was said is on the desk: 20 turns fill the window to what makes it forget in idle time."""
    said = [Message(role, (TextPart(f"{who} {at}{LONG if who == 'message' else ''}"),)) for at in range(n) for role, who in WHO]
    sitting.desk.begin(Chat().with_messages(said))
    await sitting.settle()


def next_reply(sitting: Sitting, text: str) -> None:
    engine(sitting).replies.insert(0, reply(text))


async def test_compact_puts_a_summary_in_the_place_of_all_but_the_newest_messages(tmp_path: Path) -> None:
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await talked(sitting, 6)
    before = sitting.said
    next_reply(sitting, SUMMARY)
    await sitting.send("/compact the names")
    chat = sitting.desk.chat
    assert sitting.said == before, "the messages stay in the chat"
    assert chat.summary is not None
    assert chat.summary.text == SUMMARY
    assert chat.summary.covers == tuple(entry.id for entry in chat.entries[:8])
    assert "Keep above all: the names" in asked(sitting)[0]
    await sitting.send("and now?")
    sent = prompts(sitting)[-1]
    assert SUMMARY in sent
    assert "message 3" not in sent
    assert sent.index(SUMMARY) < sent.index("message 4")
    assert any("reads a summary of 8 messages" in notice for notice in sitting.port.notices)
    await sitting.close()


async def test_the_question_begins_as_the_conversation_does(tmp_path: Path) -> None:
    """Else the engine would read all of it anew, and once more for the next turn."""
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await talked(sitting, 6)
    held = engine(sitting).prepared[-1]
    await sitting.send("/compact")
    request = engine(sitting).requests[-1]
    assert request.conversation == "", "the conversation's own place in the cache stays as it is"
    same = next(at for at, (one, other) in enumerate(zip(request.segments, held, strict=False)) if one != other)
    assert [segment for segment in request.segments[same:] if isinstance(segment, Plain)] == [request.segments[-3]]
    assert ASKS in as_text(request.segments[-3:])
    await sitting.close()


async def test_what_goes_next_is_summed_up_before_it_goes(tmp_path: Path) -> None:
    sitting = await Sitting(bench_of(tmp_path, summaries=True)).begin()
    await talked(sitting, 20)
    await sitting.send("and now?")
    assert len(asked(sitting)) == 1
    chat = sitting.desk.chat
    assert chat.summary is not None
    assert not any(entry.record and entry.record.result.forgotten for entry in chat.entries), "nothing was forgotten without a summary"
    view = sitting.desk.reading.view
    assert view is not None
    assert (view.summed, view.summary > 0) == (len(chat.summary.covers), True)
    assert view.forgotten == tuple(range(len(chat.summary.covers)))
    first = chat.summary
    for _ in range(3):
        await sitting.send(8 * LONG)
    assert len(asked(sitting)) == 2
    second = summary_of(sitting)
    assert second is not None
    assert second.covers[: len(first.covers)] == first.covers
    assert first.text in asked(sitting)[1], "the earlier summary is brought up to date"
    assert "It takes the place of the earlier summary" in asked(sitting)[1]
    assert second.tokens > first.tokens
    await sitting.close()


async def test_unless_it_is_switched_on_nothing_is_summed_up(tmp_path: Path) -> None:
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await talked(sitting, 20)
    await sitting.send("and now?")
    assert not asked(sitting)
    assert sitting.desk.chat.first_kept > 0
    await sitting.close()


@pytest.mark.parametrize("summaries", [True, False])
async def test_a_message_goes_before_a_summary_which_is_begun_again_behind_it(tmp_path: Path, summaries: bool) -> None:
    sitting = await Sitting(bench_of(tmp_path, summaries=summaries)).begin()
    fake = engine(sitting)
    await talked(sitting, 20)
    gates: list[asyncio.Event] = []
    usual = FakeEngine.generate

    async def generate(request: GenerateRequest):  # type: ignore[no-untyped-def]
        async for event in usual(fake, request):
            if ASKS in as_text(request.segments) and len(gates) < 1:
                gates.append(asyncio.Event())
                assert fake._cancelled is not None
                await fake._cancelled.wait()
            yield event

    fake.generate = generate  # type: ignore[method-assign]
    sitting.enter("and now?" if summaries else "/compact")
    await sitting.until(lambda: gates)
    assert summary_of(sitting) is None
    await sitting.send(f"meanwhile{LONG}")
    assert sitting.said[-2].startswith("meanwhile")
    kinds = ["summary" if ASKS in prompt else "turn" for prompt in prompts(sitting)]
    assert kinds[-3:] == ["summary", "turn", "summary"]
    assert summary_of(sitting) is not None
    await sitting.close()


async def test_what_was_asked_for_waits_for_all_messages_that_were_sent_meanwhile(tmp_path: Path) -> None:
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await talked(sitting, 6)
    fake = engine(sitting)
    fake.gate = asyncio.Semaphore(0)
    sitting.enter("/compact")
    await sitting.until(lambda: asked(sitting))
    for number in range(3):
        sitting.enter(f"sent {number}")
    await sitting.until(lambda: len(prompts(sitting)) > 1)  # the first one has taken the summary's place
    gate, fake.gate = fake.gate, None
    for _ in range(1000):
        gate.release()
    await sitting.until(lambda: summary_of(sitting) is not None)
    await sitting.settle()
    kinds = ["summary" if ASKS in prompt else "turn" for prompt in prompts(sitting)]
    assert kinds == ["summary", "turn", "turn", "turn", "summary"]
    assert [text for text in sitting.said if text.startswith("sent")] == ["sent 0", "sent 1", "sent 2"]
    await sitting.close()


async def test_escape_stops_a_summary_and_nothing_is_changed(tmp_path: Path) -> None:
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await talked(sitting, 6)
    fake = engine(sitting)
    fake.gate = asyncio.Semaphore(0)
    chat = sitting.desk.chat
    sitting.enter("/compact")
    await sitting.until(lambda: asked(sitting))
    assert sitting.desk.stop()
    await sitting.settle()
    assert sitting.desk.chat == chat
    assert "The summary was stopped, so nothing is summed up." in sitting.port.notices
    fake.gate = None
    await sitting.send("go on")
    assert len(asked(sitting)) == 1, "it is not begun again"
    assert not sitting.desk.stop()
    await sitting.close()


async def test_another_chat_ends_the_summary(tmp_path: Path) -> None:
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await talked(sitting, 6)
    engine(sitting).gate = asyncio.Semaphore(0)
    old = sitting.desk.conversation
    sitting.enter("/compact")
    await sitting.until(lambda: asked(sitting))
    sitting.enter("/new")
    await sitting.settle()
    assert not sitting.desk.memory.is_writing
    assert not old.chat.summaries
    assert not sitting.desk.chat.summaries
    await sitting.close()


async def test_an_engine_that_dies_over_a_summary_costs_nothing_but_it(tmp_path: Path) -> None:
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await talked(sitting, 6)
    said = sitting.said
    engine(sitting).replies.insert(0, [EngineDiedError("The engine died.")])
    await sitting.send("/compact")
    assert "The engine died." in sitting.port.notices
    assert not sitting.desk.chat.summaries
    await sitting.send("go on")
    assert sitting.said[: len(said)] == said
    await sitting.close()


async def test_a_summary_can_be_edited_switched_off_and_deleted_and_all_of_it_is_undone(tmp_path: Path) -> None:
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await talked(sitting, 6)
    await sitting.send("/compact")
    written = summary_of(sitting)
    assert written is not None
    sitting.port.answers.append("They never met.")
    await sitting.send("/summary edit")
    await sitting.send("next")
    assert "They never met." in prompts(sitting)[-1]
    await sitting.send("/summary off")
    assert state_of(sitting) == "summary off"
    await sitting.send("next")
    assert "They never met." not in prompts(sitting)[-1]
    assert "message 0" in prompts(sitting)[-1], "the messages are back"
    await sitting.send("/summary on")
    await sitting.send("/summary delete")
    assert summary_of(sitting) is None
    await sitting.send("/undo")
    await sitting.send("/undo")
    await sitting.send("/undo")
    assert summary_of(sitting) == msgspec.structs.replace(written, text="They never met.")
    await sitting.send("/undo")
    await sitting.send("/undo")
    assert sitting.desk.chat.summaries == ()
    await sitting.close()


async def test_what_a_summary_tells_of_is_looked_at_whenever_the_path_is_another_one(tmp_path: Path) -> None:
    """A summary holds on its path alone: after an edit, a swipe, an exclusion before its end the model reads the messages again."""
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await talked(sitting, 6)
    await sitting.send("/compact")
    summary = summary_of(sitting)
    sitting.port.answers.append("other words")
    await sitting.act(2, "rewrite")
    assert summary_of(sitting) is None
    await sitting.settle()
    assert state_of(sitting) == "summary out of date: what it told of was changed"
    await sitting.send("/summary")
    assert "This chat has no summary that holds: what it told of was changed. /compact writes one." in sitting.port.notices
    await sitting.send("next")
    assert "message 0" in prompts(sitting)[-1]
    await sitting.send("/undo")
    assert summary_of(sitting) == summary, "and it holds again when the change is taken back"
    await sitting.act(3, "exclude")
    assert summary_of(sitting) is None
    await sitting.act(3, "exclude")
    assert summary_of(sitting) == summary
    await sitting.act(10, "exclude")
    assert summary_of(sitting) == summary, "what stands behind it does not matter"
    await sitting.close()


async def test_when_the_newest_block_was_changed_the_summary_before_it_holds(tmp_path: Path) -> None:
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await talked(sitting, 6)
    await sitting.send("/compact")
    first = summary_of(sitting)
    for _ in range(2):
        await sitting.send(f"later{LONG}")
    await sitting.send("/compact")
    assert first is not None
    second = summary_of(sitting)
    assert second is not None
    assert len(second.covers) > len(first.covers)
    await sitting.act(len(first.covers), "exclude")
    assert summary_of(sitting) == first
    await sitting.close()


async def test_the_summary_leaves_out_what_the_user_hid(tmp_path: Path) -> None:
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await talked(sitting, 6)
    await sitting.act(2, "exclude")
    await sitting.send("/compact")
    assert "message 0" in asked(sitting)[0]
    assert "message 1" not in asked(sitting)[0]
    summary, hidden = summary_of(sitting), sitting.desk.chat.entries[2].id
    assert summary is not None
    assert hidden not in summary.covers
    await sitting.close()


async def test_what_is_pinned_stays_beside_the_summary(tmp_path: Path) -> None:
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await talked(sitting, 6)
    await sitting.act(3, "pin")
    await sitting.send("/compact")
    await sitting.send("next")
    sent = prompts(sitting)[-1]
    assert "message 0" not in sent
    assert "message 1" in sent
    assert sitting.said[3] in sent
    await sitting.close()


async def test_a_chat_with_a_summary_asks_the_same_after_a_restart(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    sitting = await Sitting(bench).begin()
    await talked(sitting, 6)
    await sitting.send("/compact")
    await sitting.send("/remember Anna has one arm.")
    await sitting.act(len(sitting.said) - 1, "regenerate")
    await sitting.settle()
    before = engine(sitting).requests[-1]
    await sitting.close()
    bench.engines = {"demo": engine_of(context_length=3000)}
    bench.resume = ""
    again = await Sitting(bench).begin()
    await again.act(len(again.said) - 1, "regenerate")
    await again.settle()
    assert engine(again).requests[-1].segments == before.segments
    await again.close()


async def test_a_long_past_is_summed_up_piece_by_piece(tmp_path: Path) -> None:
    """What was forgotten before summaries were wanted takes more room than the window has."""
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await talked(sitting, 40)
    await sitting.send("/compact")
    assert len(asked(sitting)) > 1
    assert all(len(prompt) <= 3000 for prompt in asked(sitting))
    chat = sitting.desk.chat
    assert chat.summary is not None
    assert [f"message {number} " in "".join(asked(sitting)) for number in range(35)] == [True] * 35
    assert len(chat.summary.covers) > 70
    await sitting.close()


async def test_remembering_and_forgetting(tmp_path: Path) -> None:
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await sitting.send("/remember Anna has one arm.")
    await sitting.send("/remember It is 1912.")
    await sitting.send("hello")
    assert "Remember:\n- Anna has one arm.\n- It is 1912." in prompts(sitting)[-1]
    view = sitting.desk.reading.view
    assert view is not None
    assert view.memory == len("Remember:\n- Anna has one arm.\n- It is 1912.")
    sitting.port.answers.extend(["0Anna has one arm.", "Anna has two arms."])
    await sitting.send("/remember")
    assert remembered(sitting) == ("Anna has two arms.", "It is 1912.")
    sitting.port.answers.extend(["0It is 1912.", ""])
    await sitting.send("/remember")
    assert remembered(sitting) == ("Anna has two arms.",)
    await sitting.send("/undo")
    assert remembered(sitting) == ("Anna has two arms.", "It is 1912.")
    await sitting.close()


async def test_what_is_remembered_with_a_persona_is_told_in_all_of_its_chats(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    sitting = await Sitting(bench).begin()
    await sitting.send("/remember @persona Anna has one arm.")
    assert sitting.port.notices[-1].startswith("Nobody is played in this chat")
    id_ = bench.personas.save(Persona(name="Mira", greeting="Come in."))
    await sitting.desk.roles.use(id_)
    await sitting.send("/remember @persona Anna has one arm.")
    await sitting.send("/remember It is 1912.")
    await sitting.send("hello")
    assert "Remember:\n- Anna has one arm.\n- It is 1912." in prompts(sitting)[-1]
    await sitting.send("/new")
    assert sitting.desk.chat.remembered == ()
    await sitting.desk.roles.use(id_)
    await sitting.send("hello")
    assert "Remember:\n- Anna has one arm." in prompts(sitting)[-1]
    assert "1912" not in prompts(sitting)[-1]
    sitting.port.answers.extend(["1Anna has one arm.", ""])
    await sitting.send("/remember")
    assert bench.personas.load(id_)[0].remembered == ()
    await sitting.send("hello")
    assert "Remember:" not in prompts(sitting)[-1]
    await sitting.close()


async def test_what_is_remembered_twice_is_remembered_once(tmp_path: Path) -> None:
    sitting = await Sitting(bench_of(tmp_path)).begin()
    await sitting.send("/remember It is 1912.")
    await sitting.send("/remember It is 1912.")
    assert (remembered(sitting), sitting.port.notices[-1]) == (("It is 1912.",), "That is remembered already.")
    await sitting.send("/remember It rains.")
    sitting.port.answers.extend(["0It rains.", "It is 1912."])
    await sitting.send("/remember")
    assert remembered(sitting) == ("It is 1912.",)
    await sitting.close()


async def test_of_two_personas_of_one_name_the_one_that_is_played_remembers(tmp_path: Path) -> None:
    """Also two notes in a burst: each changes what the other left."""
    bench = bench_of(tmp_path)
    one, two = (bench.personas.save(Persona(name="Mira", personality=text)) for text in ("one", "two"))
    sitting = await Sitting(bench).begin()
    await sitting.desk.roles.use(two)
    await asyncio.gather(*(sitting.desk.memory.remember(f"@persona {text}") for text in ("a", "b")))
    assert bench.personas.load(one)[0].remembered == ()
    assert sorted(bench.personas.load(two)[0].remembered) == ["a", "b"]
    same = bench.personas.save(msgspec.structs.replace(bench.personas.load(two)[0], remembered=()))
    await sitting.send("/remember @persona c")
    assert "one of several alike" in sitting.port.notices[-1]
    assert bench.personas.load(same)[0].remembered == ()
    await sitting.close()


def test_a_fork_keeps_the_summaries_that_hold_in_it() -> None:
    chat = Chat().with_messages(Message(role, (TextPart("x"),)) for role in (Role.USER, Role.ASSISTANT) * 4)
    chat = chat.summed_up(Summary("a", (1, 2))).summed_up(Summary("b", (1, 2, 3, 4)))
    assert [each.text for each in chat.forked(5).summaries] == ["a", "b"]
    assert [each.text for each in chat.forked(3).summaries] == ["a"]
    assert chat.forked(0).summaries == ()


async def test_a_server_that_takes_messages_is_asked_in_messages(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    fake = bench.engines["demo"]
    fake._info = msgspec.structs.replace(fake._info, takes_messages=True)
    sitting = await Sitting(bench).begin()
    await talked(sitting, 6)
    await sitting.send("/remember It rains.")
    await sitting.send("/compact")
    question = engine(sitting).requests[-1].asked
    assert question is not None
    assert question.conversation.messages[-1].text.startswith("Pause here. Sum up")
    assert question.thinks is False
    await sitting.send("next")
    said = engine(sitting).requests[-1].asked
    summary = summary_of(sitting)
    assert said is not None
    assert summary is not None
    assert summary.text in said.conversation.messages[0].contexts[0].text
    assert said.conversation.memory == "Remember:\n- It rains."
    messages, _ = openai_messages(said.conversation, lambda digest: {})
    assert [message["role"] for message in messages[:3]] == ["system", "user", "assistant"]
    assert messages[0]["content"] == "Remember:\n- It rains."
    assert summary.text in messages[1]["content"]
    await sitting.close()
