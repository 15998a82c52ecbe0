"""The generation loop: what it asks of the engine, what it tells, and what stays in the conversation however a reply ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import msgspec
import pytest

from nemochat.chat import Chat, ChatEvent, TurnResult
from nemochat.domain.events import EngineEvent, FinishReason, Progress, Stage, TextDelta
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import ContextPart, Conversation, Message, Part, Role, TextPart, ToolCall
from nemochat.domain.personas import Persona, PersonaSampling
from nemochat.domain.sampling import Sampling, Source, in_force
from nemochat.domain.segments import ImageSlot, Plain
from nemochat.engine.protocol import Engine, LoadRequest
from nemochat.errors import ConversationError, EngineDiedError, EngineError, ImageError, ModelFileError, NemochatError, WindowError
from nemochat.prompt.format import Label, as_text
from nemochat.settings import EngineSettings
from tests.chat.fake_engine import IMAGE_COST, FakeEngine, reply
from tests.chat.talking import Talking

SHORT = Sampling(max_tokens=10)
RED = RgbImage.from_rgb(2, 2, b"\xff\x00\x00" * 4)


def session(engine: Engine, sampling: Sampling = SHORT, *, image_size: int | None = None) -> Talking:
    return Talking(engine, LoadRequest("fake", "fake", None, EngineSettings()), sampling, image_size)


def user(*parts: str | Part) -> Message:
    return Message(Role.USER, tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def assistant(text: str) -> Message:
    return Message(Role.ASSISTANT, (TextPart(text),))


async def play(events: AsyncGenerator[ChatEvent, None]) -> TurnResult:
    seen = [event async for event in events]
    result = seen[-1]
    assert isinstance(result, TurnResult)
    assert not any(isinstance(event, TurnResult) for event in seen[:-1])
    return result


async def test_a_turn_streams_and_is_kept() -> None:
    engine = FakeEngine(reply("Hel", "lo"))
    chat = session(engine)
    chat.open_conversation(Conversation(system="Be kind."))
    seen = [event async for event in chat.send(user("Hi"))]
    assert [event.text for event in seen if isinstance(event, TextDelta)] == ["Hel", "lo"]
    assert Progress(Stage.PREFILL, 3, 7) in seen
    result = seen[-1]
    assert isinstance(result, TurnResult)
    assert (result.text, result.reason, result.forgotten) == ("Hello", FinishReason.STOP, ())
    assert chat.conversation == Conversation(system="Be kind.", messages=(user("Hi"), assistant("Hello")))
    assert as_text(engine.requests[0].segments) == "<extra_id_0>System\nBe kind.\n\n<extra_id_1>User\nHi\n<extra_id_1>Assistant\n"


async def test_the_ttft_is_the_sum_of_its_parts_and_includes_the_load() -> None:
    engine = FakeEngine(reply("a"), reply("b"))
    engine.load_seconds = 0.05
    chat = session(engine)
    cold = await play(chat.send(user("Hi")))
    times = cold.timings
    assert cold.ttft_ms is not None
    assert times.load_ms >= 50
    assert cold.ttft_ms == pytest.approx(times.load_ms + times.encode_ms + times.prefill_ms + times.first_token_ms)
    warm = await play(chat.send(user("Again")))
    assert warm.timings.load_ms == 0
    assert engine.loads == 1


async def test_no_text_means_no_ttft_and_no_empty_message() -> None:
    chat = session(FakeEngine(reply()))
    result = await play(chat.send(user("Hi")))
    assert result.ttft_ms is None
    assert chat.conversation.messages == (user("Hi"),)


async def test_load_progress_is_told() -> None:
    engine = FakeEngine(reply("a"))
    engine.load_seconds = 0.3
    assert Progress(Stage.LOAD, 500, 1000) in [event async for event in session(engine).send(user("Hi"))]


@pytest.mark.parametrize("kind", [EngineError, ModelFileError])
async def test_a_failed_load_is_reported_and_tried_again(kind: type[NemochatError]) -> None:
    engine = FakeEngine(reply("back"))
    engine.load_errors = [kind("no memory")]
    chat = session(engine)
    with pytest.raises(kind, match="no memory"):
        await play(chat.send(user("Hi")))
    assert (await play(chat.regenerate())).text == "back"


async def test_what_came_before_a_failure_stays() -> None:
    chat = session(FakeEngine([TextDelta("Half an"), EngineDiedError("killed")]))
    with pytest.raises(EngineDiedError):
        await play(chat.send(user("Hi")))
    assert chat.conversation.messages == (user("Hi"), assistant("Half an"))


async def test_what_came_before_a_stop_stays_and_the_engine_is_told() -> None:
    engine = FakeEngine(reply("one ", "two ", "three"))
    engine.gate = asyncio.Semaphore(2)
    chat = session(engine)
    texts: list[str] = []
    async for event in chat.send(user("Count")):
        if isinstance(event, TextDelta):
            texts.append(event.text)
        if len(texts) == 2:
            chat.stop()
    assert isinstance(event, TurnResult)
    assert event.reason is FinishReason.CANCELLED
    assert engine.cancels > 0
    assert chat.conversation.messages == (user("Count"), assistant("one two "))


async def test_an_engine_that_does_not_hear_the_stop_is_left() -> None:
    engine = FakeEngine(reply("one ", "two"))
    engine.gate = asyncio.Semaphore(1)
    engine.is_deaf = True
    chat = session(engine)
    async for event in chat.send(user("Count")):
        if isinstance(event, TextDelta):
            chat.stop()
    assert isinstance(event, TurnResult)
    assert (event.reason, event.text) == (FinishReason.CANCELLED, "one ")
    assert engine.closed_streams == 1


@pytest.mark.parametrize("waits_at", ["count", "retrieval"])
async def test_a_stop_is_heard_whatever_the_turn_is_at(waits_at: str) -> None:
    """Loss 4: a stop during retrieval or counting was forgotten, and the whole reply came."""
    engine = FakeEngine(reply("Never."))
    chat = session(engine)
    begun = asyncio.Event()

    async def wait(*_: object) -> list[ContextPart]:
        begun.set()
        await asyncio.sleep(60)
        return []

    if waits_at == "count":
        engine.count = wait  # type: ignore[assignment,method-assign]
    else:
        chat.reader.find_passages = wait
        chat.open_chat(Chat(collections=("notes",)))
    playing = asyncio.create_task(play(chat.send(user("Hello"))))
    await begun.wait()
    chat.stop()
    result = await asyncio.wait_for(playing, 30)
    assert (result.reason, result.text) == (FinishReason.CANCELLED, "")
    assert chat.conversation.messages == (user("Hello"),)
    assert not engine.requests


async def test_a_regeneration_leaves_the_reply_before_until_there_is_new_text() -> None:
    """Loss 20: what was cut was on the disk while the new reply was being read."""
    engine = FakeEngine(reply("first"), reply("second"))
    chat = session(engine)
    await play(chat.send(user("Hi")))
    engine.gate = asyncio.Semaphore(0)
    async for event in chat.regenerate():
        if isinstance(event, Progress):
            assert chat.conversation.messages == (user("Hi"), assistant("first"))
            engine.gate.release()
    assert chat.conversation.messages == (user("Hi"), assistant("second"))


async def test_a_stream_without_an_end_is_an_error() -> None:
    with pytest.raises(EngineError, match="without saying why"):
        await play(session(FakeEngine([TextDelta("a")])).send(user("Hi")))


async def test_escapes_never_pass() -> None:
    chat = session(FakeEngine(reply("a\x1b", "]52;c;x\x07b", "\x9b2J", "\x1b")))
    seen = [event async for event in chat.send(user("Hi"))]
    assert [event.text for event in seen if isinstance(event, TextDelta)] == ["a", "]52;c;xb", "2J"]
    assert chat.conversation.messages[-1] == assistant("a]52;c;xb2J")


CALL = '<toolcall> {"name": "add", "arguments": {"a": 1}} </toolcall>'


async def test_tool_calls_are_read_and_answered() -> None:
    chat = session(FakeEngine(reply("Let me see. ", CALL[:20], CALL[20:]), reply("It is 2.")))
    result = await play(chat.send(user("1 + 1?")))
    assert (result.reason, result.tool_calls, result.text) == (
        FinishReason.TOOL_CALLS,
        (ToolCall("add", {"a": 1}, "call_2_1"),),
        f"Let me see. {CALL}",
    )
    answer = await play(chat.send(Message(Role.TOOL, (TextPart("2"),))))
    assert (answer.reason, answer.text) == (FinishReason.STOP, "It is 2.")
    assert [message.role for message in chat.conversation.messages] == [Role.USER, Role.ASSISTANT, Role.TOOL, Role.ASSISTANT]


async def test_a_malformed_call_is_text_like_any_other() -> None:
    result = await play(session(FakeEngine(reply("<toolcall> nonsense </toolcall>"))).send(user("Hi")))
    assert (result.reason, result.tool_calls) == (FinishReason.STOP, ())


async def test_regenerate_goes_back_to_the_last_question() -> None:
    engine = FakeEngine(reply("first"), reply("second"))
    chat = session(engine)
    await play(chat.send(user("Hi")))
    result = await play(chat.regenerate())
    assert result.text == "second"
    assert chat.conversation.messages == (user("Hi"), assistant("second"))
    assert engine.requests[0].segments == engine.requests[1].segments


@pytest.mark.parametrize(
    ("sampling", "again"),
    [
        (Sampling(temperature=0.0), Sampling(temperature=0.8)),
        (Sampling(temperature=0.0, seed=7), Sampling(temperature=0.8, seed=8)),
        (Sampling(temperature=0.5, seed=2**32 - 1), Sampling(temperature=0.5, seed=0)),
        (Sampling(temperature=0.7, top_k=1), Sampling(temperature=0.7, top_k=40)),
        (Sampling(temperature=0.7), Sampling(temperature=0.7)),
        (Sampling(), Sampling()),
    ],
)
async def test_another_reply_is_not_the_same_one_again(sampling: Sampling, again: Sampling) -> None:
    """Fails as it did at temperature 0, at which a model says the same every time; a seed that stays did the same."""
    engine = FakeEngine(*(reply(text) for text in "abcd"))
    chat = session(engine, sampling)
    first, second = (in_force({Source.CONFIG: each}).sampling for each in (sampling, again))
    await play(chat.send(user("Hi")))
    await play(chat.regenerate())
    assert [request.sampling for request in engine.requests] == [first, second]
    await play(chat.regenerate())
    assert sampling.seed is None or engine.requests[2].sampling.seed == (sampling.seed + 2) % 2**32
    await play(chat.send(user("And?")))
    assert engine.requests[3].sampling == first


async def test_what_is_asked_for_reaches_the_engine_from_every_source() -> None:
    """Of the request, this chat, the persona, the model's setting, the settings and the model's file, each sets one value."""
    engine = FakeEngine(reply("a"), reply("b"))
    of_file = Sampling(temperature=0.6, top_k=9, min_p=0.2, top_p=0.4, repeat_penalty=1.2, repeat_last_n=5)
    engine._info = msgspec.structs.replace(engine._info, recommended=of_file)
    chat = session(engine, Sampling(min_p=0.3, top_p=0.5, max_tokens=10))
    persona = Persona(name="Mira", sampling=PersonaSampling(repeat_penalty=1.1, top_k=11))
    chat.chat = msgspec.structs.replace(Chat(persona=persona).sampled(top_k=12), seed=1)
    chat.reader.layers = {**chat.reader.layers, Source.MODEL_SETTING: Sampling(top_p=0.7), Source.REQUEST: Sampling(seed=3)}
    await play(chat.send(user("Hi")))
    assert engine.requests[0].sampling == Sampling(0.6, 12, 0.7, 0.3, 1.1, 5, 3, 10, ())
    assert chat.reader.in_force(chat.chat).sources == dict.fromkeys(Sampling.__struct_fields__, Source.DEFAULT) | {
        "temperature": Source.MODEL_FILE,
        "top_k": Source.CHAT,
        "top_p": Source.MODEL_SETTING,
        "min_p": Source.CONFIG,
        "repeat_penalty": Source.PERSONA,
        "repeat_last_n": Source.MODEL_FILE,
        "seed": Source.REQUEST,
        "max_tokens": Source.CONFIG,
    }


async def test_a_reply_that_takes_the_place_of_none_is_sampled_as_ever() -> None:
    engine = FakeEngine([EngineError("no")], reply("b"))
    chat = session(engine)
    with pytest.raises(EngineError):
        await play(chat.send(user("Hi")))
    await play(chat.regenerate())
    assert engine.requests[0].sampling == engine.requests[1].sampling


async def test_continue_goes_on_where_the_reply_ended() -> None:
    engine = FakeEngine(reply("One, two", reason=FinishReason.LENGTH), reply(", three"))
    chat = session(engine)
    await play(chat.send(user("Count")))
    result = await play(chat.continue_reply())
    assert result.text == ", three"
    assert chat.conversation.messages == (user("Count"), assistant("One, two, three"))
    assert as_text(engine.requests[1].segments).endswith("<extra_id_1>Assistant\nOne, two")


async def test_continue_keeps_the_calls_of_the_reply() -> None:
    chat = session(FakeEngine(reply(CALL), reply(" Done")))
    await play(chat.send(user("Go")))
    before = chat.conversation.messages[-1].parts
    await play(chat.continue_reply())
    assert chat.conversation.messages[-1].parts == (*before, TextPart(" Done"))


async def test_nothing_to_go_on_from() -> None:
    chat = session(FakeEngine())
    with pytest.raises(ConversationError):
        await play(chat.regenerate())
    with pytest.raises(ConversationError):
        await play(chat.continue_reply())


async def test_too_long_a_message_fails_before_anything_is_evaluated() -> None:
    engine = FakeEngine(context_length=100)
    with pytest.raises(WindowError):
        await play(session(engine).send(user("x" * 200)))
    assert not engine.requests


async def test_old_turns_are_forgotten_and_named() -> None:
    engine = FakeEngine(*(reply(f"answer {number} " + "y" * 60) for number in range(8)), context_length=500)
    chat = session(engine)
    results = [await play(chat.send(user(f"question {number}"))) for number in range(8)]
    assert results[0].forgotten == ()
    assert results[-1].forgotten[:2] == (0, 1)
    prompt = as_text(engine.requests[-1].segments)
    assert "question 0" not in prompt
    assert "question 7" in prompt
    assert len(prompt) + 10 <= 500


async def test_only_new_segments_are_counted_and_the_sum_stays_exact() -> None:
    """Each with what stands before it, because with some vocabularies its tokens hang on that."""
    engine = FakeEngine(reply("a"), reply("b"))
    chat = session(engine)
    await play(chat.send(user("first")))
    engine.counted.clear()
    await play(chat.send(user("second")))
    texts = [segment.text for segment in engine.counted if not isinstance(segment, ImageSlot)]
    assert "first" not in texts
    assert texts[0] == "<extra_id_0>System"
    assert {"a", "second"} < set(texts[1:])
    assert len(texts) <= 1 + 2 * 5
    sizes = await chat.prompt_sizes()
    assert [tokens for _, tokens in sizes] == await engine.count([piece.segment for piece, _ in sizes])


async def test_pictures_are_fitted_and_given_to_the_engine() -> None:
    engine = FakeEngine(reply("red"))
    chat = session(engine, image_size=8)
    attachment = await chat.attach(RED, "red.png")
    assert (attachment.pixels.width, attachment.pixels.height, attachment.tokens) == (8, 8, IMAGE_COST)
    assert engine.images == [attachment.pixels]
    await play(chat.send(user(attachment.part, "What colour?")))
    assert ImageSlot(attachment.pixels.digest) in engine.requests[0].segments


async def test_without_a_fixed_size_the_pixels_stay_as_they_are() -> None:
    assert (await session(FakeEngine()).attach(RED)).pixels == RED


async def test_a_model_that_reads_text_only() -> None:
    with pytest.raises(ImageError, match="fake reads text only"):
        await session(FakeEngine(has_vision=False)).attach(RED)


async def test_closing_in_the_middle_of_loading() -> None:
    engine = FakeEngine()
    engine.load_seconds = 60
    chat = session(engine)
    chat.start_loading()
    await asyncio.sleep(0)
    await asyncio.wait_for(chat.close(), 30)
    assert engine.is_closed


async def test_prompt_sizes_evaluate_nothing() -> None:
    engine = FakeEngine()
    chat = session(engine)
    chat.open_conversation(Conversation(messages=(user("Hi"),)))
    sizes = await chat.prompt_sizes()
    assert [(piece.label, tokens) for piece, tokens in sizes if piece.segment == Plain("Hi")] == [(Label.HISTORY, 2)]
    assert not engine.requests


def test_the_fake_is_an_engine() -> None:
    events: list[EngineEvent] = reply("x")
    engine: Engine = FakeEngine(events)
    assert engine.info is None


async def test_a_stop_while_the_model_loads_leaves_the_message_and_ends_the_turn() -> None:
    engine = FakeEngine(reply("Never."))
    engine.load_seconds = 30
    chat = session(engine)
    events = chat.send(user("Hello"))
    await anext(events)
    chat.stop()
    result = [event async for event in events][-1]
    assert isinstance(result, TurnResult)
    assert result.reason is FinishReason.CANCELLED
    assert [entry.message.text for entry in chat.entries] == ["Hello"]
    await chat.close()


async def test_a_reply_keeps_the_record_of_how_it_was_made() -> None:
    engine = FakeEngine(reply("Hi."))
    chat = session(engine)
    result = [event async for event in chat.send(user("Hello"))][-1]
    record = chat.entries[-1].record
    assert record is not None
    assert record.result == result
    assert record.prompt == engine.requests[0].segments
    assert chat.entries[0].record is None


async def test_a_reply_that_the_engines_death_cut_short_is_marked() -> None:
    chat = session(FakeEngine([TextDelta("Once upon"), EngineDiedError("The engine died.")]))
    with pytest.raises(EngineDiedError):
        [event async for event in chat.send(user("Tell me"))]
    assert chat.entries[-1].interrupted
    assert chat.entries[-1].message.text == "Once upon"


async def test_excluded_messages_are_not_sent() -> None:
    engine = FakeEngine(reply("One."), reply("Two."))
    chat = session(engine)
    [event async for event in chat.send(user("First"))]
    chat.open_chat(chat.chat.marked(0, excluded=True).marked(1, excluded=True))
    [event async for event in chat.send(user("Second"))]
    assert Plain("First") not in engine.requests[1].segments
    assert Plain("Second") in engine.requests[1].segments
    assert len(chat.entries) == 4


async def test_a_conversation_moves_to_another_session_with_its_pictures() -> None:
    old = session(FakeEngine())
    picture = await old.attach(RgbImage.from_rgb(1, 1, b"abc"), "dot.png")
    engine = FakeEngine(reply("A dot."))
    chat = session(engine)
    chat.album = old.album
    chat.open_chat(old.chat)
    [event async for event in chat.send(Message(Role.USER, (picture.part, TextPart("What?"))))]
    assert [image.digest for image in engine.images] == [picture.part.digest]


async def test_a_conversation_is_known_by_its_key() -> None:
    engine = FakeEngine(reply("Hi."), reply("Yes."))
    chat = session(engine)
    chat.key = "c1"
    await play(chat.send(user("Hello")))
    await play(chat.regenerate())
    assert [request.conversation for request in engine.requests] == ["c1", "c1"]
    await chat.forget("c1")
    assert engine.forgotten == ["c1"]
