"""What is done with a message that is there: another reply, going on, editing."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from nemochat.desk.port import ShowText
from nemochat.domain.events import FinishReason
from nemochat.domain.sampling import Sampling, Source
from nemochat.domain.segments import ImageSlot, Segment
from nemochat.evaluation.benchmarks import benchmark_named, questions
from nemochat.settings import SamplingSettings, Settings
from tests.chat.fake_engine import reply
from tests.desk.bench import Bench
from tests.desk.sitting import Sitting, engine, engine_of

NOTHING = "The model has nothing to add: its reply had ended. Press r on it for another one."


def text_of(segments: tuple[Segment, ...]) -> str:
    return "".join("" if isinstance(segment, ImageSlot) else segment.text for segment in segments)


@pytest.mark.parametrize("name", ["regenerate", "swipe_right"])
async def test_another_reply_is_sampled_where_the_first_was_not(sitting: Sitting, name: str) -> None:
    """Fails as it did: at temperature 0, which is what the settings say, 2/2 was word for word 1/2. The user is told of it."""
    await sitting.desk.settings_changed({"sampling.temperature": 0.0})
    await sitting.send("hello")
    await sitting.act(1, name)
    await sitting.settle()
    assert [request.sampling.temperature for request in engine(sitting).requests] == [0.0, 0.8]
    assert "Temperature 0 (config.toml) would say the same again: this reply is made at 0.8." in sitting.port.notices
    assert sitting.desk.chat.counters == {1: (2, 2)}


@pytest.mark.parametrize(("added", "reason", "said"), [("", "stop", 1), (" \n", "stop", 1), (" and more", "stop", 0), ("", "cancelled", 0)])
async def test_a_reply_that_had_ended_has_nothing_to_add_and_says_so(sitting: Sitting, added: str, reason: str, said: int) -> None:
    """Fails as it did: `n` did nothing, silently."""
    await sitting.send("hello")
    engine(sitting).replies.insert(0, reply(added, reason=FinishReason(reason)))
    await sitting.act(1, "continue")
    await sitting.settle()
    assert sitting.port.notices.count(NOTHING) == said
    assert sitting.said == ["hello", "reply 0" + added]


async def test_an_edited_message_is_counted_where_it_will_stand(sitting: Sitting) -> None:
    """Fails as it did: 2,243 tokens became 2,943, the message, and all behind it, being counted beside the edited one."""
    await sitting.send("one " * 50)
    before = sitting.desk.reading.view
    await sitting.send("two " * 50)
    whole = sitting.desk.reading.view
    engine(sitting).prepared.clear()
    await sitting.act(0, "edit")
    await sitting.settle()
    view = sitting.desk.reading.view
    assert before is not None
    assert whole is not None
    assert view is not None
    assert (view.history, view.draft > 150) == (0, True)
    assert view.used < before.used < whole.used
    assert not [segments for segments in engine(sitting).prepared if text_of(segments).count("one one") and "two" in text_of(segments)]
    sitting.desk.draft.give_up_edit()
    await sitting.settle()
    assert sitting.desk.reading.view is not None
    assert sitting.desk.reading.view.history == whole.history


async def test_sampling_is_shown_with_who_set_it_and_is_changed_for_one_chat(tmp_path: Path) -> None:
    """``/sampling``: what is asked for here goes before the settings, is kept with the chat, can be undone, and holds in no other chat."""
    fake = engine_of()
    fake._info = msgspec.structs.replace(fake._info, recommended=Sampling(top_k=9))
    bench = Bench(tmp_path, {"demo": fake}, Settings(sampling=SamplingSettings(temperature=0.3)))
    sitting = await Sitting(bench).begin()
    for line in ("/sampling temperature=0", "/sampling stop [\"a b\"]", "hello", "/sampling"):
        await sitting.send(line)
    assert sitting.port.notices[-2:] == ["In force: temperature: 0 (this chat)", 'In force: stop: ["a b"] (this chat)']
    shown = sitting.port.asked[-1]
    assert isinstance(shown, ShowText)
    assert shown.text.splitlines()[:2] == ["temperature: 0 (this chat)", "top_k: 9 (the model's file)"]
    asked = fake.requests[-1].sampling
    assert (asked.temperature, asked.stop, asked.top_k) == (0.0, ("a b",), 9)
    kept = sitting.desk.conversation.id
    assert bench.library.load(kept).chat.sampling == SamplingSettings(temperature=0.0, stop=("a b",))
    for line, said in [
        ("/sampling heat=1", "Sampling has no heat. There are: temperature, top_k"),
        ("/sampling top_p=2", "which is not allowed. Allowed: a number more than 0 and at most 1, or auto."),
        ("/sampling temperature=", "In force: temperature: 0.3 (config.toml)"),
    ]:
        await sitting.send(line)
        assert said in sitting.port.notices[-1]
    sitting.desk.undo()
    found = []
    for step in (sitting.desk.undo, sitting.desk.new):
        step()
        await sitting.settle()
        found.append(sitting.desk.sampling)
    assert [now.sources["temperature"] for now in found if now is not None] == [Source.CHAT, Source.CONFIG]
    await sitting.close()
    bench.library.close()
    bench.documents.close()


@pytest.mark.parametrize(("words", "reason", "said"), [("", "stop", 1), (" \n", "stop", 1), ("Here.", "stop", 0), ("", "cancelled", 0)])
async def test_a_reply_without_a_word_is_said_to_be_one(sitting: Sitting, words: str, reason: str, said: int) -> None:
    """Fails when a server that answers with nothing looks like one that was never asked."""
    engine(sitting).replies.insert(0, reply(words, reason=FinishReason(reason)))
    await sitting.send("hello")
    assert sitting.port.notices.count("The model said nothing. Send your message again, or choose another model (F3).") == said


async def test_a_question_is_kept_with_what_would_have_been_right(sitting: Sitting) -> None:
    """From a reply's menu, from the message itself, and by /eval; the words are read as answers or as a regular expression."""
    file = sitting.bench.paths.questions
    await sitting.send("Which colour?")
    await sitting.send("And now?")
    sitting.port.answers.extend(["question", "red\n\n crimson ", "/\\bblue\\b/", None])
    await sitting.act(1, "menu")
    await sitting.act(2, "question")
    await sitting.act(3, "question")  # the dialog is left without an answer
    sitting.enter("/eval green")
    await sitting.until(lambda: sitting.port.notices.count("Kept as one of your own questions: nemochat eval run own asks any model.") == 3)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(row["question"], row.get("answers"), row.get("regex")) for row in rows] == [
        ("Which colour?", ["red", "crimson"], None), ("And now?", None, r"\bblue\b"), ("And now?", ["green"], None),
    ]  # fmt: skip
    assert [row["id"].rpartition("-")[2] for row in rows] == ["1", "2", "2"]
    items, _ = questions(benchmark_named("own"), file)
    assert [each.question.prompt for each in items] == ["Which colour?", "And now?", "And now?"]


async def test_a_question_that_cannot_be_kept_is_said(sitting: Sitting) -> None:
    sitting.enter("/eval x")
    await sitting.until(lambda: "There is no message of yours to keep." in sitting.port.notices)
    await sitting.send("Which colour?")
    sitting.enter("/eval /(/")
    await sitting.until(lambda: any("its regex is none" in each for each in sitting.port.notices))
    assert not sitting.bench.paths.questions.exists()
