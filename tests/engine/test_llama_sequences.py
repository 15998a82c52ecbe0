"""Several conversations in one KV cache: nothing is read twice, nothing is mixed up, and what must go is on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nemochat.domain.events import Usage
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Control, ImageSlot, Plain, Segment
from nemochat.engine.backend import Waiting
from nemochat.engine.llama import LlamaBackend
from nemochat.engine.protocol import GenerateRequest, LoadRequest, Place
from nemochat.settings import EngineSettings, KvType, WhenFull
from tests.engine.llama_harness import ANSWER, HEAD, after, gather, never, picture
from tests.tiny_gguf import IMAGE_TOKENS

OLDEST: list[Segment] = [Plain("hello word " * 6), ANSWER]
REST: list[Segment] = [Plain("the red and the blue " * 6), ANSWER]
NEXT = Place("a", is_next=True)


def opened(model: Path, projector: Path, states: Path | None = None, **settings: object) -> LlamaBackend:
    values = {"threads": 1, "batch": 16, "context_length": 256, "spare_tokens": 256} | settings
    backend = LlamaBackend()
    request = LoadRequest("tiny", str(model), str(projector), EngineSettings(**values), str(states) if states else None)  # type: ignore[arg-type]
    backend.load(request, lambda _: None)
    return backend


@pytest.fixture
def backend(tiny_model: Path, tiny_projector: Path) -> Iterator[LlamaBackend]:
    backend = opened(tiny_model, tiny_projector)
    yield backend
    backend.close()


class Spoken:
    """A conversation that knows what was said in it."""

    def __init__(self, backend: LlamaBackend, name: str, *head: Segment) -> None:
        self.backend, self.name, self.said = backend, name, list(head)

    def ask(self, text: str) -> tuple[str, Usage]:
        self.said += [Plain(text), ANSWER]
        request = GenerateRequest(tuple(self.said), Sampling(temperature=0.0, max_tokens=6), conversation=self.name)
        reply = gather(self.backend.generate(request, never))
        self.said += [Plain(reply.text), Control("\n<extra_id_1>User\n")]
        assert matches(self.backend)
        return reply.text, reply.finished.usage


def matches(backend: LlamaBackend) -> bool:
    """Whether each ledger says what the cache itself says."""
    assert backend._loaded is not None
    evaluator = backend._loaded.evaluator
    return all(each.ledger.position == evaluator.context.held_positions(each.number) for each in evaluator.cache.sequences)


def places(backend: LlamaBackend) -> set[Place]:
    assert backend._loaded is not None
    return {each.place for each in backend._loaded.cache.sequences}


def new_tokens(backend: LlamaBackend, text: str) -> int:
    """What a question and the markers around it add to a conversation."""
    return sum(backend.count([Control("\n<extra_id_1>User\n"), Plain(text), ANSWER]))


def prepare(backend: LlamaBackend, segments: list[Segment], place: Place) -> tuple[int, int]:
    prepared = backend.prepare(segments, never, lambda _: None, place)
    assert prepared.is_complete
    assert matches(backend)
    return prepared.reused_tokens, prepared.evaluated_tokens


def test_two_conversations_in_turns_read_nothing_again_and_say_what_each_says_alone(
    backend: LlamaBackend, tiny_model: Path, tiny_projector: Path
) -> None:
    talks = {name: Spoken(backend, name, HEAD) for name in "ab"}
    said: dict[str, list[str]] = {"a": [], "b": []}
    for number, question in enumerate(("hello", "the red word", "and again")):
        for name, talk in talks.items():
            text, usage = talk.ask(f"{question} {name}")
            said[name].append(text)
            if number:
                assert usage.evaluated_tokens <= new_tokens(backend, f"{question} {name}") + 1
    alone = opened(tiny_model, tiny_projector)
    for name in "ab":
        talk = Spoken(alone, "", HEAD)
        alone.forget("")
        assert [talk.ask(f"{question} {name}")[0] for question in ("hello", "the red word", "and again")] == said[name]
    alone.close()


def test_a_new_conversation_shares_what_it_has_in_common_with_another(backend: LlamaBackend) -> None:
    persona = Plain("You are an innkeeper. " * 4)
    common = sum(backend.count([HEAD, persona]))
    assert Spoken(backend, "a", HEAD, persona).ask("hello")[1].reused_tokens == 0
    assert Spoken(backend, "b", HEAD, persona).ask("word")[1].reused_tokens == common


def test_a_chat_that_gets_its_name_reads_nothing_again(backend: LlamaBackend) -> None:
    talk = Spoken(backend, "", HEAD)
    talk.ask("hello")
    talk.name = "a"
    assert talk.ask("word")[1].evaluated_tokens <= new_tokens(backend, "word") + 1


def test_a_chat_that_gets_its_name_between_the_present_prompt_and_the_next_one_reads_nothing_again(backend: LlamaBackend) -> None:
    """The next one, which is held under the name already, is not taken for the present one because of what both begin with."""
    now: list[Segment] = [HEAD, *OLDEST, *REST]
    prepare(backend, now, Place(""))
    prepare(backend, [HEAD, *REST], NEXT)
    assert Spoken(backend, "a", *now).ask("word")[1].reused_tokens == sum(backend.count(now))
    assert prepare(backend, [HEAD, *REST], NEXT)[1] == 0


def test_the_next_prompt_is_read_beside_the_present_one_and_taken_over(backend: LlamaBackend) -> None:
    oldest, rest = Plain("hello word " * 6), Plain("the red and the blue " * 4)
    now: list[Segment] = [HEAD, oldest, ANSWER, rest]
    then: list[Segment] = [HEAD, rest]
    prepare(backend, now, Place("a"))
    reused, evaluated = prepare(backend, then, NEXT)
    assert (reused, evaluated) == (sum(backend.count([HEAD])), sum(backend.count(then)) - sum(backend.count([HEAD])))
    assert prepare(backend, now, Place("a"))[1] == 0
    talk = Spoken(backend, "a", *then)
    assert talk.ask("?")[1].reused_tokens == sum(backend.count(then))
    assert places(backend) == {Place("a")}


def test_what_was_read_ahead_says_what_a_cold_prompt_says(backend: LlamaBackend, tiny_model: Path, tiny_projector: Path) -> None:
    then: list[Segment] = [HEAD, Plain("the red and the blue " * 4)]
    prepare(backend, [HEAD, Plain("hello word " * 6), *then[1:]], Place("a"))
    prepare(backend, then, NEXT)
    cold = opened(tiny_model, tiny_projector)
    assert Spoken(backend, "a", *then).ask("?")[0] == Spoken(cold, "", *then).ask("?")[0]
    cold.close()


def test_reading_ahead_stops_after_a_piece_and_goes_on_from_there(tiny_model: Path, tiny_projector: Path) -> None:
    backend = opened(tiny_model, tiny_projector)
    image = picture(1)
    backend.add_image(image)
    segments: list[Segment] = [HEAD, Plain("word " * 20), ImageSlot(image.digest), Plain("hello " * 20)]
    total, pieces = sum(backend.count(segments)), 0
    done = 0
    while done < total:
        prepared = backend.prepare(segments, after(3), lambda _: None, Place("a"), Waiting(drops=lambda _: False))
        assert matches(backend)
        assert prepared.reused_tokens == done
        done += prepared.evaluated_tokens
        pieces += 1
        assert prepared.is_complete is (done == total)
        assert pieces < 100
    assert pieces > 3
    backend.close()


@pytest.mark.parametrize("drops", [True, False])
def test_the_encoder_gives_up_only_on_a_picture_that_is_not_wanted_any_more(backend: LlamaBackend, drops: bool) -> None:
    image = picture(1)
    backend.add_image(image)
    segments: list[Segment] = [HEAD, ImageSlot(image.digest)]
    stopped = backend.prepare(segments, after(1), lambda _: None, Place("a"), Waiting(drops=lambda _: drops))
    assert (stopped.encoded_images, stopped.is_complete) == (0 if drops else 1, False)
    again = backend.prepare(segments, never, lambda _: None, Place("a"))
    assert (again.encoded_images, again.is_complete) == (1 if drops else 0, True)
    assert again.evaluated_tokens == sum(backend.count([HEAD])) + IMAGE_TOKENS


def test_when_room_is_short_the_chat_used_least_recently_goes_and_comes_back_from_the_disk(
    tiny_model: Path, tiny_projector: Path, tmp_path: Path
) -> None:
    backend = opened(tiny_model, tiny_projector, tmp_path, spare_tokens=0)
    long = Plain("x" * 150)
    talks = {name: Spoken(backend, name, HEAD, Plain(name), long) for name in "ab"}
    talks["a"].ask("hello")
    talks["b"].ask("hello")
    assert places(backend) == {Place("b")}
    assert talks["a"].ask("word")[1].evaluated_tokens <= new_tokens(backend, "word") + 1
    assert talks["b"].ask("word")[1].evaluated_tokens <= new_tokens(backend, "word") + 1
    backend.close()


def test_without_a_folder_for_states_a_chat_that_had_to_go_is_read_again(tiny_model: Path, tiny_projector: Path) -> None:
    backend = opened(tiny_model, tiny_projector, spare_tokens=0)
    talks = {name: Spoken(backend, name, HEAD, Plain(name), Plain("x" * 150)) for name in "ab"}
    for talk in talks.values():
        talk.ask("hello")
    assert talks["a"].ask("word")[1].evaluated_tokens > 150
    backend.close()


def test_after_a_restart_nothing_is_read_or_encoded_again(tiny_model: Path, tiny_projector: Path, tmp_path: Path) -> None:
    image = picture(1)
    first = opened(tiny_model, tiny_projector, tmp_path)
    first.add_image(image)
    talk = Spoken(first, "a", HEAD, ImageSlot(image.digest))
    texts = [talk.ask(text)[0] for text in ("hello", "the red word")]
    assert all(texts)
    first.close()
    second = opened(tiny_model, tiny_projector, tmp_path)
    second.add_image(image)
    talk.backend = second
    text, usage = talk.ask("and")
    assert usage.encoded_images == 0
    assert usage.evaluated_tokens <= new_tokens(second, "and") + 1
    never_left = opened(tiny_model, tiny_projector)
    never_left.add_image(image)
    same = Spoken(never_left, "", HEAD, ImageSlot(image.digest))
    assert [same.ask(each)[0] for each in ("hello", "the red word", "and")] == [*texts, text]
    second.close()
    never_left.close()


def test_a_chat_that_was_switched_away_from_is_on_the_disk_before_the_program_ends(
    tiny_model: Path, tiny_projector: Path, tmp_path: Path
) -> None:
    backend = opened(tiny_model, tiny_projector, tmp_path)
    Spoken(backend, "a", HEAD).ask("hello")
    assert not list(tmp_path.iterdir())
    prepare(backend, [HEAD, Plain("other")], Place("b"))
    assert len(list(tmp_path.glob("*.kv"))) == 1
    backend.close()
    assert len(list(tmp_path.glob("*.kv"))) == 2


@pytest.mark.parametrize("changed", [{"kv_type": KvType.F16}, {"flash_attention": False, "kv_type": KvType.F16}])
def test_states_of_other_settings_are_not_taken(
    tiny_model: Path, tiny_projector: Path, tmp_path: Path, changed: dict[str, object]
) -> None:
    first = opened(tiny_model, tiny_projector, tmp_path)
    talk = Spoken(first, "a", HEAD)
    talk.ask("hello")
    first.close()
    second = opened(tiny_model, tiny_projector, tmp_path, **changed)
    talk.backend = second
    assert talk.ask("word")[1].reused_tokens == 0
    second.close()


@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 0.99])
def test_a_damaged_state_is_read_anew_and_the_text_is_the_same(
    tiny_model: Path, tiny_projector: Path, tmp_path: Path, at: float
) -> None:
    first = opened(tiny_model, tiny_projector, tmp_path)
    talk = Spoken(first, "a", HEAD)
    talk.ask("hello")
    first.close()
    (path,) = tmp_path.glob("*.kv")
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 0xFF
    path.write_bytes(content)
    second = opened(tiny_model, tiny_projector, tmp_path)
    talk.backend = second
    _, usage = talk.ask("word")
    assert usage.reused_tokens == 0
    second.close()


def test_what_is_forgotten_is_nowhere(tiny_model: Path, tiny_projector: Path) -> None:
    backend = opened(tiny_model, tiny_projector)
    talk = Spoken(backend, "a", HEAD)
    talk.ask("hello")
    prepare(backend, [HEAD, Plain("hello")], NEXT)
    backend.forget("a")
    assert not places(backend)
    assert talk.ask("word")[1].reused_tokens == 0
    backend.close()


def test_more_conversations_than_the_cache_tells_apart(backend: LlamaBackend) -> None:
    for name in "abcdefghijkl":
        Spoken(backend, name, HEAD).ask(name)
    assert Place("l") in places(backend)
    assert Place("a") not in places(backend)


def test_shifting_reads_nothing_that_was_read(tiny_model: Path, tiny_projector: Path) -> None:
    backend = opened(tiny_model, tiny_projector, when_full=WhenFull.SHIFT, kv_type=KvType.F16)
    prepare(backend, [HEAD, *OLDEST, *REST], Place("a"))
    other = Spoken(backend, "b", HEAD, *OLDEST)
    other.ask("?")
    reused, evaluated = prepare(backend, [HEAD, *REST], Place("a"))
    assert evaluated == 0
    assert reused == sum(backend.count([HEAD, *REST]))
    text, usage = Spoken(backend, "a", HEAD, *REST).ask("word")
    assert text
    assert usage.reused_tokens == reused
    assert other.ask("and")[0]
    backend.close()


def test_a_quantised_cache_is_read_anew_where_llama_cpp_would_crash(tiny_model: Path, tiny_projector: Path) -> None:
    backend = opened(tiny_model, tiny_projector, when_full=WhenFull.SHIFT, kv_type=KvType.Q8_0)
    prepare(backend, [HEAD, *OLDEST, *REST], Place("a"))
    _, evaluated = prepare(backend, [HEAD, *REST], Place("a"))
    assert evaluated == sum(backend.count(REST))
    backend.close()


def test_an_edit_is_no_shift(tiny_model: Path, tiny_projector: Path) -> None:
    """Other words in place of the old ones have to be read, with all that follows them."""
    backend = opened(tiny_model, tiny_projector, when_full=WhenFull.SHIFT, kv_type=KvType.F16)
    prepare(backend, [HEAD, Plain("hello"), *REST], Place("a"))
    _, evaluated = prepare(backend, [HEAD, Plain("word"), *REST], Place("a"))
    assert evaluated == sum(backend.count([Plain("word"), *REST]))
    backend.close()


def test_a_reply_that_needs_the_room_takes_it_from_the_end_of_what_was_read_ahead(tiny_model: Path, tiny_projector: Path) -> None:
    backend = opened(tiny_model, tiny_projector, spare_tokens=0, batch=64)
    now: list[Segment] = [HEAD, Plain("x" * 120)]
    then: list[Segment] = [HEAD, Plain("y" * 110)]
    prepare(backend, now, Place("a"))
    prepare(backend, then, NEXT)
    longer = [*now, Plain("z" * 50)]
    assert prepare(backend, longer, Place("a"))[1] == 50
    reused, evaluated = prepare(backend, [HEAD, Plain("y" * 40)], NEXT)
    assert evaluated == 0
    assert reused == sum(backend.count([HEAD])) + 40
    backend.close()


def test_what_is_read_ahead_takes_no_room_from_the_present_prompt(tiny_model: Path, tiny_projector: Path) -> None:
    backend = opened(tiny_model, tiny_projector, spare_tokens=0, batch=16)
    now: list[Segment] = [HEAD, Plain("x" * 200)]
    prepare(backend, now, Place("a"))
    ahead = backend.prepare([HEAD, Plain("y" * 200)], never, lambda _: None, NEXT)
    assert not ahead.is_complete
    assert matches(backend)
    assert prepare(backend, now, Place("a"))[1] == 0
    assert backend.prepare([HEAD, Plain("y" * 200)], never, lambda _: None, NEXT).evaluated_tokens == 0
    backend.close()


def test_a_chat_comes_back_whole_also_when_its_next_prompt_was_read_ahead(tiny_model: Path, tiny_projector: Path, tmp_path: Path) -> None:
    backend = opened(tiny_model, tiny_projector, tmp_path, spare_tokens=64)
    talk = Spoken(backend, "a", HEAD, Plain("x" * 150))
    talk.ask("hello")
    prepare(backend, [HEAD, Plain("y" * 60)], NEXT)
    Spoken(backend, "b", HEAD, Plain("z" * 180)).ask("hello")
    assert talk.ask("word")[1].evaluated_tokens <= new_tokens(backend, "word") + 1
    backend.close()


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_prompt_says_the_same_wherever_it_was_cut_before(tiny_model: Path, tiny_projector: Path, cut: int) -> None:
    """Also a single token at the end, which by itself would take other kernels."""
    text = "the red word and hello again and the blue"
    cold, warm = opened(tiny_model, tiny_projector), opened(tiny_model, tiny_projector)
    prepare(warm, [HEAD, Plain(text[:cut])], Place("a"))
    assert Spoken(warm, "a", HEAD, Plain(text)).ask("?")[0] == Spoken(cold, "", HEAD, Plain(text)).ask("?")[0]
    cold.close()
    warm.close()


def test_what_is_read_for_another_time_is_given_up_in_the_middle_when_a_reply_is_waited_for(backend: LlamaBackend) -> None:
    prepare(backend, [HEAD, Plain("hello")], Place("a"))
    then: list[Segment] = [HEAD, Plain("word " * 20)]
    given_up = backend.prepare(then, after(2), lambda _: None, NEXT, Waiting(for_reply=lambda: True))
    assert matches(backend)
    kept = backend.prepare(then, after(2), lambda _: None, NEXT, Waiting(for_reply=lambda: False))
    assert matches(backend)
    assert given_up.evaluated_tokens == 0 < kept.evaluated_tokens
