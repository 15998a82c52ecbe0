"""Pictures on the desk: known by their files from the moment that those are read, whichever model looks at them, and never let go."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Message, TextPart
from nemochat.domain.segments import ImageSlot
from nemochat.errors import EngineDiedError, EngineError
from nemochat.images import load
from tests.chat.fake_engine import IMAGE_COST, FakeEngine
from tests.desk.bench import Bench
from tests.desk.sitting import Sitting, engine_of
from tests.images.pictures import draw_circle


def circle(folder: Path, name: str = "circle.png") -> Path:
    draw_circle(folder / name, (220, 40, 40))
    return folder / name


def stored_waiting(sitting: Sitting) -> list[Message]:
    return [each.message for each in sitting.bench.library.load(sitting.desk.conversation.id).chat.waiting]


async def attached(sitting: Sitting, path: Path, holds: Callable[[Sitting], object]) -> None:
    sitting.desk.draft.add_source(str(path))
    await sitting.until(lambda: holds(sitting))


def is_read(sitting: Sitting) -> bool:
    return all(item.part is not None for item in sitting.desk.draft.items)


def is_counted(sitting: Sitting) -> bool:
    return all(item.tokens for item in sitting.desk.draft.items)


async def test_what_is_sent_while_the_model_loads_has_its_picture_on_the_disk_although_the_file_goes(tmp_path: Path) -> None:
    slow = engine_of()
    slow.load_seconds = 60
    bench = Bench(tmp_path, {"demo": slow})
    sitting = Sitting(bench)
    sitting.desk.start()
    path = circle(tmp_path)
    file = path.read_bytes()
    await attached(sitting, path, is_read)
    sitting.enter("what is it?")
    await sitting.desk.conversation.stored()
    (message,) = stored_waiting(sitting)
    (part,) = message.images
    assert (message.text, part.name, part.tokens) == ("what is it?", "circle.png", 0)
    original = bench.library.original(part.digest)
    assert original is not None
    assert original.data == file
    path.unlink()
    await sitting.close()
    slow.load_seconds = 0
    bench.resume = ""
    again = await Sitting(bench).begin()
    await again.until(lambda: len(again.said) == 2)
    await again.settle()
    (told,) = again.desk.chat.entries[0].message.images
    assert (told.digest, told.tokens) == (part.digest, IMAGE_COST)
    assert again.bench.library.load(again.desk.conversation.id).chat.entries[0].message.images == (told,)
    assert not again.desk.chat.waiting
    await again.close()


async def test_another_model_is_asked_anew_what_the_pictures_of_the_draft_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = engine_of()
    bench = Bench(tmp_path, {"demo": engine_of(), "other": other})
    sitting = await Sitting(bench).begin()
    await attached(sitting, circle(tmp_path), is_counted)
    (item,) = sitting.desk.draft.items
    assert item.tokens == IMAGE_COST

    async def dear(image: RgbImage) -> int:
        other.images.append(image)
        return 7 * IMAGE_COST

    monkeypatch.setattr(other, "add_image", dear)
    await sitting.desk.open_model("other")
    await sitting.until(lambda: item.tokens == 7 * IMAGE_COST)
    assert "35 tokens" in item.label
    await sitting.send("what is it?")
    assert {image.digest for image in other.images} == {part.digest for part in sitting.desk.chat.entries[0].message.images}
    assert sitting.desk.chat.entries[0].message.images[0].tokens == 7 * IMAGE_COST
    await sitting.close()


def costs_by_size(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, *, least: int = 1) -> None:
    """Have a picture cost a token for every thousand pixels."""

    async def add(image: RgbImage) -> int:
        engine.images.append(image)
        return max(least, image.width * image.height // 1000)

    monkeypatch.setattr(engine, "add_image", add)


async def test_a_picture_of_the_draft_is_sent_smaller_for_half_of_its_tokens_and_as_it_was_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of()
    costs_by_size(engine, monkeypatch)
    sitting = await Sitting(Bench(tmp_path, {"demo": engine})).begin()
    path, draft = circle(tmp_path), sitting.desk.draft
    await attached(sitting, path, is_counted)
    (item,) = draft.items
    whole, costs = item.part, [item.tokens]
    assert whole is not None
    for _ in range(2):
        draft.shrink(item.key)
        draft.shrink(item.key)  # once more while it is being made: one at a time
        await sitting.until(lambda: item.task is not None and item.task.done() and 0 < item.tokens < costs[-1])
        costs.append(item.tokens)
    assert all(0.4 * one <= other <= 0.6 * one for one, other in itertools.pairwise(costs)), costs
    assert f"{costs[-1]} tokens" in item.label
    draft.save()
    (file,) = sitting.bench.paths.drafts.glob("*.json")
    (kept,) = msgspec.json.decode(file.read_bytes())["pictures"]
    assert load(Path(kept).read_bytes(), "kept").width < 0.6 * whole.width
    draft.grow(item.key)
    await sitting.until(lambda: item.tokens == costs[1])
    draft.grow(item.key)
    await sitting.until(lambda: item.tokens == costs[0])
    draft.grow(item.key)
    assert (item.part, item.source) == (whole, str(path))
    draft.shrink(item.key)
    await sitting.send("what is it?")
    (part,) = sitting.desk.chat.entries[0].message.images
    assert (part.tokens, part.name) == (costs[1], "circle.png")
    assert engine.requests[-1].segments.count(ImageSlot(part.digest)) == 1
    assert sitting.bench.library.original(part.digest) is not None
    await sitting.close()


async def test_a_smaller_copy_that_costs_as_much_is_not_sent(tmp_path: Path) -> None:
    """The engine takes as many tokens for a picture of any size."""
    sitting = await Sitting(Bench(tmp_path, {"demo": engine_of()})).begin()
    path = circle(tmp_path)
    await attached(sitting, path, is_counted)
    (item,) = sitting.desk.draft.items
    part = item.part
    sitting.desk.draft.shrink(item.key)
    await sitting.until(lambda: sitting.port.notices)
    assert sitting.port.notices == [f"A smaller copy of circle.png would take {IMAGE_COST} tokens as well, so it stays as it is."]
    assert (item.part, item.source, item.larger) == (part, str(path), [])
    await sitting.send("what is it?")
    assert sitting.desk.chat.entries[0].message.images == (part,)
    await sitting.close()


@pytest.mark.parametrize("error", [EngineError("It failed."), EngineDiedError("It was killed.")])
async def test_an_engine_that_fails_at_a_picture_costs_no_picture(
    tmp_path: Path, error: EngineError, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of()
    sitting = await Sitting(Bench(tmp_path, {"demo": engine})).begin()

    async def fail(image: RgbImage) -> int:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(engine, "add_image", fail)
        await attached(sitting, circle(tmp_path), lambda here: here.desk.draft.items[0].state == "not counted")
        assert len(sitting.port.tokens) == 1, "it stays in the prompt"
    await sitting.send("what is it?")
    (part,) = sitting.desk.chat.entries[0].message.images
    assert [image.digest for image in engine.images] == [part.digest]
    assert sitting.said == ["what is it?", "reply 0"]
    await sitting.close()


async def test_a_message_for_a_model_that_cannot_see_comes_back_with_the_reason(tmp_path: Path) -> None:
    blind = engine_of(has_vision=False)
    blind.load_seconds = 0.1
    sitting = Sitting(Bench(tmp_path, {"demo": blind}))
    sitting.desk.start()
    await attached(sitting, circle(tmp_path), is_read)
    sitting.enter("what is it?")
    await sitting.until(lambda: not sitting.desk.is_busy)
    assert sitting.port.text == "what is it?"
    assert sitting.said == []
    assert [notice for notice in sitting.port.notices if "cannot look at pictures" in notice]
    await sitting.close()


async def test_a_chat_with_pictures_goes_on_with_a_model_that_cannot_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, {"demo": engine_of(), "blind": engine_of(has_vision=False)})
    sitting = await Sitting(bench).begin()
    await attached(sitting, circle(tmp_path), is_counted)
    await sitting.send("what is it?")

    async def refuse(_: RgbImage) -> int:
        raise EngineError("This model cannot see pictures.")

    monkeypatch.setattr(bench.engines["blind"], "add_image", refuse)
    await sitting.desk.open_model("blind")
    said = [notice for notice in sitting.port.notices if "reads text only" in notice]
    assert said == ["fake reads text only: it does not see the pictures of this chat."]
    await sitting.send("and now?")
    assert sitting.said[2:] == ["and now?", "reply 0"]
    assert sitting.desk.chat.entries[0].message.images, "they are still in the chat"
    id_ = sitting.desk.conversation.id
    sitting.desk.new()
    await sitting.desk.chats.open(id_)
    assert len([notice for notice in sitting.port.notices if "reads text only" in notice]) == 2
    await sitting.close()


async def test_what_waited_from_an_earlier_run_comes_back_into_the_prompt_with_its_pictures(tmp_path: Path) -> None:
    slow = engine_of()
    slow.load_seconds = 60
    bench = Bench(tmp_path, {"demo": slow})
    sitting = Sitting(bench)
    sitting.desk.start()
    sitting.enter("first")
    await attached(sitting, circle(tmp_path), is_read)
    sitting.enter("second")
    await sitting.desk.conversation.stored()
    await sitting.close()
    bench.resume = ""
    again = Sitting(bench)
    again.desk.start()
    await again.until(lambda: again.port.queue == ("second",))
    again.desk.turns.unqueue(0)
    assert (again.port.text, len(again.port.tokens)) == ("second", 1)
    slow.load_seconds = 0
    await again.desk.open_model("demo")
    await again.until(lambda: not again.desk.is_busy)
    again.enter()
    await again.until(lambda: again.said == ["first", "reply 0", "second", "reply 1"])
    assert [part.name for part in again.desk.chat.entries[2].message.images] == ["circle.png"]
    await again.close()


async def test_image_off_takes_the_pictures_out_of_the_next_message(tmp_path: Path) -> None:
    """Without a screen there is no token to delete."""
    sitting = await Sitting(Bench(tmp_path, {"demo": engine_of()})).begin()
    await attached(sitting, circle(tmp_path), is_counted)
    await sitting.send("/image off")
    assert not sitting.desk.draft.items
    assert not sitting.port.tokens
    await sitting.send("hello")
    assert not sitting.desk.chat.entries[0].message.images
    await sitting.close()


async def test_a_message_that_is_edited_brings_the_very_same_picture(tmp_path: Path) -> None:
    sitting = await Sitting(Bench(tmp_path, {"demo": engine_of()})).begin()
    path = circle(tmp_path)
    await attached(sitting, path, is_counted)
    await sitting.send("what is it?")
    (before,) = sitting.desk.chat.entries[0].message.images
    path.unlink()
    await sitting.desk.messages.edit_last()
    await sitting.until(lambda: is_counted(sitting))
    assert (sitting.port.text, len(sitting.port.tokens)) == ("what is it?", 1)
    await sitting.send(" and where?")
    assert sitting.desk.chat.entries[0].message.parts == (before, TextPart("what is it? and where?"))
    await sitting.close()


async def test_the_tool_gets_the_file_that_was_given(tmp_path: Path) -> None:
    engine: FakeEngine = engine_of()
    sitting = await Sitting(Bench(tmp_path, {"demo": engine})).begin()
    path = circle(tmp_path)
    await attached(sitting, path, is_counted)
    await sitting.send("what is it?")
    assert sitting.desk.picture(1) == path.read_bytes()
    assert sitting.desk.picture(2) is None
    shown = sitting.desk.pictures[sitting.desk.chat.entries[0].message.images[0].digest]
    assert (shown.width, shown.height) == (load(path.read_bytes()).width, load(path.read_bytes()).height)
    await sitting.close()
