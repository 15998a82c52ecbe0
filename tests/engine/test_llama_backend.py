from __future__ import annotations

import logging
import threading
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import llama_cpp
import psutil
import pytest
from llama_cpp import mtmd_cpp

import nemochat
from nemochat.domain.events import Finished, FinishReason, Progress, Stage, TextDelta
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Role
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Control, ImageSlot, Plain
from nemochat.engine.llama import LlamaBackend
from nemochat.engine.llama.processor import physical_cores
from nemochat.engine.protocol import GenerateRequest, LoadRequest
from nemochat.errors import EngineError
from nemochat.prompt.nemotron import render
from nemochat.settings import EngineSettings, KvType
from tests.engine.llama_harness import ANSWER, HEAD, QUICK, Talk, after, ask, clear_cache, loaded, never, picture, question
from tests.tiny_gguf import IMAGE_SIZE, IMAGE_TOKENS, write_language_model, write_projector


def held_matches_cache(backend: LlamaBackend) -> bool:
    assert backend._loaded is not None
    evaluator = backend._loaded.evaluator
    return all(each.ledger.position == evaluator.context.held_positions(each.number) for each in evaluator.cache.sequences)


def test_load_tells_about_the_model_and_its_progress(tiny_model: Path, tiny_projector: Path) -> None:
    seen: list[Progress] = []
    backend = LlamaBackend()
    info = backend.load(LoadRequest("tiny", str(tiny_model), str(tiny_projector), EngineSettings(threads=1)), seen.append)
    assert (info.name, info.context_length, info.has_vision, info.end_text) == ("tiny", 1024, True, "</s>")
    assert {progress.stage for progress in seen} == {Stage.LOAD}
    done = [progress.done for progress in seen]
    assert done == sorted(set(done))
    assert done[-1] == 1000
    backend.close()


def test_the_vocabulary_alone_counts_and_does_nothing_else(tiny_model: Path, tiny_backend: LlamaBackend) -> None:
    backend = LlamaBackend()
    info = backend.load(LoadRequest("tiny", str(tiny_model), None, QUICK, vocabulary_only=True), lambda _: None)
    assert (info.end_text, info.adds_begin, info.has_vision, info.context_length) == ("</s>", False, False, 0)
    segments = question("Is the red hell the <s>?")
    assert backend.count(segments) == tiny_backend.count(segments)
    with pytest.raises(EngineError, match="vocabulary"):
        ask(backend, segments)
    with pytest.raises(EngineError, match="vocabulary"):
        backend.prepare(segments, never, lambda _: None)
    with pytest.raises(EngineError, match="vocabulary"):
        backend.add_image(picture(1))
    backend.forget("chat")
    backend.close()


@pytest.mark.parametrize(("wanted", "length"), [(0, 1024), (512, 512), (100_000, 1024)])
def test_the_context_is_at_most_what_the_file_says(tiny_model: Path, wanted: int, length: int) -> None:
    backend = LlamaBackend()
    info = backend.load(LoadRequest("tiny", str(tiny_model), None, EngineSettings(threads=1, context_length=wanted)), lambda _: None)
    assert info.context_length == length
    backend.close()


def test_twelve_turns_with_two_pictures_evaluate_only_what_is_new(tiny_backend: LlamaBackend) -> None:
    cat, dog = picture(1), picture(2)
    assert [tiny_backend.add_image(image) for image in (cat, dog)] == [IMAGE_TOKENS, IMAGE_TOKENS]
    talk = Talk(tiny_backend)
    known = 0
    warm = []
    for turn in range(12):
        images = {2: (cat,), 5: (dog,), 8: (cat,)}.get(turn, ())
        reply = talk.ask(f"question {turn} of the hello kind", *images)
        usage = reply.finished.usage
        assert usage.prompt_tokens == usage.reused_tokens + usage.evaluated_tokens
        assert usage.evaluated_tokens <= usage.prompt_tokens - known + 1
        assert usage.encoded_images == (1 if turn in {2, 5} else 0)
        assert held_matches_cache(tiny_backend)
        known = usage.prompt_tokens + usage.completion_tokens
        warm.append(reply.text)
    assert usage.image_tokens == 3 * IMAGE_TOKENS
    assert len(set(warm)) == 12

    for turn in range(12):
        clear_cache(tiny_backend)
        history = talk.conversation.messages[: 2 * turn + 1]
        cold = ask(tiny_backend, render(type(talk.conversation)(system=talk.conversation.system, messages=history)))
        # What a chunk of another size computes differs in the last bits, which may reorder near ties: texts must still agree here.
        assert cold.text == warm[turn]
        assert cold.finished.usage.reused_tokens == 0


def test_a_fresh_backend_gives_the_same_reply(tiny_backend: LlamaBackend, tiny_model: Path, tiny_projector: Path) -> None:
    cat = picture(1)
    tiny_backend.add_image(cat)
    talk = Talk(tiny_backend)
    for number in range(3):
        talk.add(Role.USER, f"hello {number}", *([cat] if number == 1 else []))
        ask(tiny_backend, render(talk.conversation))
        talk.add(Role.ASSISTANT, "and the answer")
    talk.add(Role.USER, "well?")
    fresh = loaded(tiny_model, tiny_projector)
    fresh.add_image(cat)
    warm, cold = (ask(backend, render(talk.conversation)) for backend in (tiny_backend, fresh))
    assert warm.finished.usage.reused_tokens > 0
    assert cold.finished.usage.reused_tokens == 0
    assert warm.text == cold.text
    fresh.close()


def test_different_pictures_give_different_replies_and_do_not_share_a_cache(tiny_backend: LlamaBackend) -> None:
    replies = []
    for image in (picture(1), picture(2), picture(1)):
        tiny_backend.add_image(image)
        replies.append(ask(tiny_backend, [HEAD, ImageSlot(image.digest), Plain("\nwhat?"), ANSWER]))
    assert replies[0].text == replies[2].text != replies[1].text
    assert [reply.finished.usage.encoded_images for reply in replies] == [1, 1, 0]


def test_prepare_leaves_two_tokens_for_the_reply(tiny_backend: LlamaBackend) -> None:
    image = picture(1)
    tiny_backend.add_image(image)
    segments = (HEAD, ImageSlot(image.digest), Plain("what is it?"), ANSWER)
    seen: list[Progress] = []
    prepared = tiny_backend.prepare(segments, never, seen.append)
    assert (prepared.reused_tokens, prepared.evaluated_tokens, prepared.encoded_images) == (0, sum(tiny_backend.count(segments)), 1)
    assert seen[:3] == [Progress(Stage.ENCODE, 0, 1), Progress(Stage.ENCODE, 1, 1), Progress(Stage.PREFILL, 0, prepared.evaluated_tokens)]
    assert seen[-1] == Progress(Stage.PREFILL, prepared.evaluated_tokens, prepared.evaluated_tokens)
    usage = ask(tiny_backend, segments).finished.usage
    assert (usage.evaluated_tokens, usage.encoded_images) == (2, 0)
    again = tiny_backend.prepare(segments, never, seen.append)
    assert again.evaluated_tokens == 0


def test_preparing_what_is_held_already_loses_nothing(tiny_backend: LlamaBackend) -> None:
    segments = question("hello")
    first = ask(tiny_backend, segments)
    tiny_backend.prepare(segments, never, lambda _: None)
    usage = ask(tiny_backend, [*segments, Plain(first.text), Control("\n")]).finished.usage
    assert usage.evaluated_tokens == 2


def test_a_picture_can_be_prepared_before_anything_is_asked(tiny_backend: LlamaBackend) -> None:
    image = picture(3)
    tiny_backend.add_image(image)
    tiny_backend.prepare((HEAD, ImageSlot(image.digest)), never, lambda _: None)
    usage = ask(tiny_backend, [HEAD, ImageSlot(image.digest), Plain("?"), ANSWER]).finished.usage
    assert usage.encoded_images == 0
    assert usage.evaluated_tokens == sum(tiny_backend.count([Plain("?"), ANSWER]))
    with pytest.raises(EngineError, match="cannot end with a picture"):
        ask(tiny_backend, [HEAD, ImageSlot(image.digest)])


def test_embeddings_beyond_the_bound_are_encoded_again(tiny_model: Path, tiny_projector: Path) -> None:
    backend = loaded(tiny_model, tiny_projector, EngineSettings(threads=1, image_cache_mb=0))
    one, two = picture(1), picture(2)
    backend.add_image(one)
    backend.add_image(two)
    segments = (HEAD, ImageSlot(one.digest), ImageSlot(two.digest), ANSWER)
    first = ask(backend, segments)
    clear_cache(backend)
    second = ask(backend, segments)
    assert [reply.finished.usage.encoded_images for reply in (first, second)] == [2, 2]
    assert first.text == second.text
    backend.close()


@pytest.mark.parametrize("calls", range(1, 14))
def test_cancel_in_the_prefill_leaves_the_cache_in_order(tiny_backend: LlamaBackend, calls: int) -> None:
    image = picture(1)
    tiny_backend.add_image(image)
    segments = (HEAD, Plain("word " * 12), ImageSlot(image.digest), Plain("hello " * 12), ANSWER)
    expected = ask(tiny_backend, segments)
    clear_cache(tiny_backend)
    tiny_backend._loaded.evaluator._embeddings.discard(next(iter(tiny_backend._loaded.picture(image).placements)))  # type: ignore[union-attr]
    cancelled = ask(tiny_backend, segments, after(calls))
    assert cancelled.finished.reason is FinishReason.CANCELLED
    assert cancelled.finished.usage.completion_tokens == 0
    assert held_matches_cache(tiny_backend)
    again = ask(tiny_backend, segments)
    assert again.text == expected.text
    assert again.finished.usage.reused_tokens == cancelled.finished.usage.evaluated_tokens


@pytest.mark.parametrize("calls", range(1, 400, 21))
def test_cancel_between_the_batches_of_a_picture_keeps_what_was_read_of_it(tiny_model: Path, tiny_projector: Path, calls: int) -> None:
    backend = loaded(tiny_model, tiny_projector, EngineSettings(threads=1, batch=1))
    image = picture(1)
    backend.add_image(image)
    expected = ask(backend, (ImageSlot(image.digest), ANSWER), max_tokens=1)
    clear_cache(backend)
    cancelled = ask(backend, (ImageSlot(image.digest), ANSWER), after(calls), max_tokens=1)
    assert held_matches_cache(backend)
    again = ask(backend, (ImageSlot(image.digest), ANSWER), max_tokens=1)
    assert again.finished.usage.reused_tokens == cancelled.finished.usage.evaluated_tokens
    assert again.text == expected.text
    backend.close()


def test_cancel_acts_inside_a_batch(tiny_model: Path) -> None:
    backend = loaded(tiny_model, settings=EngineSettings(threads=1, batch=512))
    segments = question("word " * 60)
    calls = 0

    def count_calls() -> bool:
        nonlocal calls
        calls += 1
        return False

    ask(backend, segments, count_calls)
    assert calls > 10
    clear_cache(backend)
    cancelled = ask(backend, segments, after(5))
    assert cancelled.finished.usage.evaluated_tokens == 0
    assert held_matches_cache(backend)
    backend.close()


def test_cancel_in_the_reply_keeps_what_was_said(tiny_backend: LlamaBackend) -> None:
    segments = question("hello")
    whole = ask(tiny_backend, segments)
    stop = threading.Event()
    said = ""
    for event in tiny_backend.generate(GenerateRequest(segments, Sampling(temperature=0.0, max_tokens=12)), stop.is_set):
        if isinstance(event, TextDelta):
            said += event.text
        if len(said) > 3:
            stop.set()
    assert isinstance(event, Finished)
    assert event.reason is FinishReason.CANCELLED
    assert whole.text.startswith(said)
    assert whole.text != said
    assert held_matches_cache(tiny_backend)
    assert ask(tiny_backend, segments).text == whole.text


@pytest.mark.parametrize("events", range(1, 7))
def test_closing_the_stream_early_leaves_the_cache_in_order(tiny_backend: LlamaBackend, events: int) -> None:
    segments = question("word " * 12)
    expected = ask(tiny_backend, segments)
    clear_cache(tiny_backend)
    stream = tiny_backend.generate(GenerateRequest(segments, Sampling(temperature=0.0, max_tokens=12)), never)
    for _ in range(events):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert held_matches_cache(tiny_backend)
    assert ask(tiny_backend, segments).text == expected.text


def test_progress_counts_what_is_evaluated(tiny_backend: LlamaBackend) -> None:
    reply = ask(tiny_backend, question("word " * 20))
    total = reply.finished.usage.evaluated_tokens
    assert [progress.done for progress in reply.progress] == [*range(0, total, 16), total]
    assert {(progress.stage, progress.total) for progress in reply.progress} == {(Stage.PREFILL, total)}
    timings = reply.finished.timings
    assert 0 < timings.prefill_ms <= timings.first_token_ms
    assert timings.decode_ms > 0
    assert timings.encode_ms == timings.load_ms == 0


def test_a_prompt_that_does_not_fit_is_refused_with_the_numbers_before_anything_is_evaluated(tiny_backend: LlamaBackend) -> None:
    ask(tiny_backend, question("hello"))
    held = list(tiny_backend._loaded.cache.active.ledger.cells)  # type: ignore[union-attr]
    segments = question("x" * 1024)
    total = sum(tiny_backend.count(segments))
    with pytest.raises(EngineError, match=rf"{total} tokens.* 1024 has room for 1023"):
        ask(tiny_backend, segments)
    with pytest.raises(EngineError, match=rf"{total} tokens.* 1024 has room for 1024"):
        tiny_backend.prepare(segments, never, lambda _: None)
    assert list(tiny_backend._loaded.cache.active.ledger.cells) == held  # type: ignore[union-attr]


@pytest.mark.parametrize("room", [1, 5])
def test_the_reply_ends_when_the_window_is_full(tiny_backend: LlamaBackend, room: int) -> None:
    frame = sum(tiny_backend.count(question("")))
    reply = ask(tiny_backend, question("x" * (1024 - frame - room)), max_tokens=100)
    assert reply.finished.usage.prompt_tokens == 1024 - room
    assert (reply.finished.reason, reply.finished.usage.completion_tokens) == (FinishReason.LENGTH, room)


def test_an_empty_prompt_is_refused(tiny_backend: LlamaBackend) -> None:
    with pytest.raises(EngineError, match="empty"):
        ask(tiny_backend, [])


def test_pictures_need_a_projector_and_must_be_added(tiny_model: Path, tiny_backend: LlamaBackend) -> None:
    image = picture(1)
    with pytest.raises(EngineError, match="never given"):
        tiny_backend.count([ImageSlot(image.digest)])
    with pytest.raises(EngineError, match="never given"):
        ask(tiny_backend, [HEAD, ImageSlot(image.digest), ANSWER])
    blind = loaded(tiny_model)
    with pytest.raises(EngineError, match="cannot see"):
        blind.add_image(image)
    blind.close()


def test_without_a_model_everything_is_refused() -> None:
    backend = LlamaBackend()
    for call in (
        lambda: backend.add_image(picture(1)),
        lambda: backend.count([Plain("a")]),
        lambda: backend.prepare([Plain("a")], never, lambda _: None),
        lambda: ask(backend, question("a")),
    ):
        with pytest.raises(EngineError, match="No model"):
            call()
    backend.close()


def test_another_model_takes_the_place_of_the_first(tiny_backend: LlamaBackend, tiny_projector: Path, tmp_path: Path) -> None:
    image = picture(1)
    tiny_backend.add_image(image)
    segments = (HEAD, ImageSlot(image.digest), Plain("what?"), ANSWER)
    first = ask(tiny_backend, segments)
    other = write_language_model(tmp_path / "other.gguf", seed=9)
    tiny_backend.load(LoadRequest("other", str(other), str(tiny_projector), QUICK), lambda _: None)
    second = ask(tiny_backend, segments)
    assert second.text != first.text
    assert second.finished.usage.reused_tokens == 0


def test_broken_files_give_one_sentence_and_the_next_load_works(
    tiny_model: Path, tiny_projector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_model.read_bytes()[:-5000])
    narrow = write_projector(tmp_path / "narrow.gguf", width=48)
    backend = LlamaBackend()
    bad: list[tuple[Path, Path | None, str]] = [
        (tmp_path / "missing.gguf", None, r"could not load missing\.gguf"),
        (cut, None, r"could not load cut\.gguf"),
        (tiny_model, narrow, r"projector narrow\.gguf"),
        (tiny_model, cut, r"projector cut\.gguf"),
    ]
    for model, projector, reason in bad:
        with pytest.raises(EngineError, match=reason) as failure:
            backend.load(LoadRequest("bad", str(model), str(projector) if projector else None, QUICK), lambda _: None)
        assert "\n" not in failure.value.message
        assert failure.value.hint
        assert len(failure.value.message) > len("llama.cpp could not load the projector narrow.gguf: ") or projector is None
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    backend.load(LoadRequest("good", str(tiny_model), str(tiny_projector), QUICK), lambda _: None)
    assert ask(backend, question("hello")).text
    backend.close()


def test_a_head_width_that_q8_0_cannot_store_falls_back_to_f16_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    narrow = write_language_model(tmp_path / "narrow.gguf", heads=4)
    backend = loaded(narrow)
    assert "using f16" in caplog.text
    assert ask(backend, question("hello")).text
    backend.close()


@pytest.mark.parametrize(
    "settings",
    [
        EngineSettings(threads=1, kv_type=KvType.F16),
        EngineSettings(threads=1, kv_type=KvType.F16, flash_attention=False),
        EngineSettings(threads=1, mmap=True, batch=1),
        EngineSettings(threads=1, batch=4096),
    ],
)
def test_other_settings_work_too(tiny_model: Path, settings: EngineSettings) -> None:
    backend = loaded(tiny_model, settings=settings)
    assert ask(backend, question("hello")).finished.usage.completion_tokens == 12
    backend.close()


def test_threads_are_physical_cores_that_this_process_may_use() -> None:
    assert 1 <= physical_cores() <= (psutil.cpu_count() or 1)


@pytest.mark.parametrize(("wanted", "used"), [(0, 1), (3, 3)])
def test_a_small_model_gets_one_thread_unless_more_are_asked_for(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, wanted: int, used: int
) -> None:
    monkeypatch.setattr("nemochat.engine.llama.loaded.physical_cores", lambda: 2)
    backend = loaded(tiny_model, settings=EngineSettings(threads=wanted))
    assert backend._loaded is not None
    assert llama_cpp.llama_n_threads(backend._loaded.evaluator.context.pointer) == used
    backend.close()


def test_a_big_model_gets_a_thread_per_core(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nemochat.engine.llama.loaded.physical_cores", lambda: 2)
    monkeypatch.setattr("nemochat.engine.llama.loaded.SMALL_MODEL", 0)
    backend = loaded(tiny_model, settings=EngineSettings(threads=0))
    assert backend._loaded is not None
    assert llama_cpp.llama_n_threads(backend._loaded.evaluator.context.pointer) == 2
    backend.close()


def test_a_picture_of_the_encoders_size_passes_unchanged(tiny_backend: LlamaBackend) -> None:
    """Bigger by a factor of two, pixel by pixel, it would be resized back by a filter; at its own size nothing may touch the pixels."""
    pad = bytes((122, 116, 104))
    wide = RgbImage.from_rgb(IMAGE_SIZE, IMAGE_SIZE // 2, bytes((200, 30, 30)) * (IMAGE_SIZE * IMAGE_SIZE // 2))
    band = pad * (IMAGE_SIZE * IMAGE_SIZE // 4)
    padded = RgbImage.from_rgb(IMAGE_SIZE, IMAGE_SIZE, band + wide.rgb + band)
    projector = tiny_backend._loaded.projector  # type: ignore[union-attr]
    assert projector is not None
    (by_mtmd,), (by_hand,) = (list(projector.encode(image, never).values()) for image in (wide, padded))
    assert list(by_mtmd) == list(by_hand)


def test_seeded_sampling_is_repeatable(tiny_backend: LlamaBackend) -> None:
    warm: dict[str, Any] = {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    replies = [ask(tiny_backend, question("hello"), seed=seed, **warm).text for seed in (7, 7, 8, 2**32 - 1, 2**32 - 1)]
    assert replies[0] == replies[1] != replies[2]
    assert replies[3] == replies[4]
    unseeded = {ask(tiny_backend, question("hello"), **warm).text for _ in range(4)}
    assert len(unseeded) > 1


def test_greedy_is_what_every_narrow_filter_gives(tiny_backend: LlamaBackend) -> None:
    greedy = ask(tiny_backend, question("hello")).text
    filters: list[dict[str, Any]] = [{"top_k": 1}, {"top_k": 0, "top_p": 1e-6}, {"top_k": 0, "top_p": 1.0, "min_p": 1.0}]
    for narrow in filters:
        assert ask(tiny_backend, question("hello"), temperature=2.0, seed=1, **narrow).text == greedy


def test_the_repeat_penalty_works_with_greedy_too(tiny_backend: LlamaBackend) -> None:
    plain = ask(tiny_backend, question("hello"), max_tokens=60).text
    penalised = ask(tiny_backend, question("hello"), max_tokens=60, repeat_penalty=1.8, repeat_last_n=64).text
    assert penalised == ask(tiny_backend, question("hello"), max_tokens=60, repeat_penalty=1.8, repeat_last_n=64).text
    assert len(set(penalised)) > len(set(plain))


def test_a_thousand_replies_leave_no_memory_behind(tiny_backend: LlamaBackend) -> None:
    images = [picture(seed) for seed in range(4)]
    for image in images:
        tiny_backend.add_image(image)

    def rounds(count: int) -> int:
        for number in range(count):
            image = images[number % len(images)]
            tiny_backend.add_image(image)
            tiny_backend._loaded.evaluator._embeddings.discard(next(iter(tiny_backend._loaded.picture(image).placements)))  # type: ignore[union-attr]
            ask(tiny_backend, [Control("<extra_id_1>"), ImageSlot(image.digest), Plain(f"{number % 7}"), ANSWER], max_tokens=2, seed=1)
        return int(psutil.Process().memory_info().rss)

    before = rounds(200)
    assert rounds(1000) - before < 4 * 1024 * 1024


def test_every_native_handle_is_freed(tiny_model: Path, tiny_projector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()

    def count(module: ModuleType, name: str) -> None:
        native = getattr(module, name)

        def counted(*arguments: object) -> object:
            calls[name] += 1
            return native(*arguments)

        monkeypatch.setattr(module, name, counted)

    pairs = [
        (llama_cpp, "llama_model_load_from_file", "llama_model_free"),
        (llama_cpp, "llama_init_from_model", "llama_free"),
        (llama_cpp, "llama_batch_init", "llama_batch_free"),
        (llama_cpp, "llama_sampler_chain_init", "llama_sampler_free"),
        (mtmd_cpp, "mtmd_init_from_file", "mtmd_free"),
        (mtmd_cpp, "mtmd_bitmap_init", "mtmd_bitmap_free"),
        (mtmd_cpp, "mtmd_input_chunks_init", "mtmd_input_chunks_free"),
        (mtmd_cpp, "mtmd_input_chunk_get_placeholder", "mtmd_input_chunk_free"),
    ]
    for module, make, free in pairs:
        count(module, make)
        count(module, free)
    backend = loaded(tiny_model, tiny_projector)
    for seed in (1, 2):
        backend.add_image(picture(seed))
        ask(backend, [HEAD, ImageSlot(picture(seed).digest), ANSWER])
    backend.generate(GenerateRequest(question("x"), Sampling(temperature=0.0)), never)
    stream = backend.generate(GenerateRequest(question("y"), Sampling(temperature=0.0)), never)
    while not isinstance(next(stream), TextDelta):
        pass
    stream.close()  # type: ignore[attr-defined]
    ask(backend, question("z"), after(1))
    with pytest.raises(EngineError):
        backend.load(LoadRequest("bad", str(tiny_model), str(tiny_model), QUICK), lambda _: None)
    backend.close()
    # The call that fails gives no handle to free.
    calls["mtmd_init_from_file"] -= 1
    assert [calls[make] for _, make, _ in pairs] == [calls[free] for _, _, free in pairs]
    assert min(calls.values()) > 0


def test_what_a_file_recommends_is_told_and_holds_where_nothing_is_asked(tiny_model: Path) -> None:
    """The demo model's file asks for temperature 0: two replies of an unset temperature are the same one."""
    backend = LlamaBackend()
    told = [
        backend.load(LoadRequest("m", str(path), None, EngineSettings(threads=1)), lambda _: None).recommended
        for path in (tiny_model, Path(nemochat.__file__).parent / "models" / "demo" / "nemochat-demo.gguf")
    ]
    assert told == [Sampling(), Sampling(temperature=0.0)]
    replies = [ask(backend, question("Who are you?"), temperature=None, seed=seed, max_tokens=16).text for seed in (1, 2)]
    assert replies[0] == replies[1] == ask(backend, question("Who are you?"), max_tokens=16).text
    backend.close()
