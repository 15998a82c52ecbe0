"""Whatever is asked in whatever order, a reply is what a cold engine says, and every ledger is what the cache holds."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import ImageSlot, Plain, Segment
from nemochat.engine.llama import LlamaBackend
from nemochat.engine.protocol import GenerateRequest, LoadRequest, Place
from nemochat.errors import EngineError
from nemochat.settings import EngineSettings
from tests.engine.llama_harness import ANSWER, HEAD, after, gather, never, picture

PICTURES = tuple(picture(seed) for seed in range(2))
SHORT = Sampling(temperature=0.0, max_tokens=3)
WORDS = st.sampled_from([Plain(text) for text in ("the red", " and the blue", "hello word hello word", "x" * 60, "?")])
PIECES: st.SearchStrategy[Segment] = WORDS | st.sampled_from([ImageSlot(image.digest) for image in PICTURES])
PROMPTS = st.lists(PIECES, min_size=1, max_size=4).map(lambda pieces: (HEAD, *pieces))
CONVERSATIONS = st.sampled_from(["", "a", "b", "c"])
CALLS = st.integers(min_value=1, max_value=40)


def machine(model: Path, projector: Path, batch: int) -> type[RuleBasedStateMachine]:
    """A cache of 256 cells for chats of up to 192, so that they push one another out."""

    def opened(states: Path | None) -> LlamaBackend:
        backend = LlamaBackend()
        values = EngineSettings(threads=1, batch=batch, context_length=192, spare_tokens=64)
        request = LoadRequest("tiny", str(model), str(projector), values, str(states) if states else None)
        backend.load(request, lambda _: None)
        for image in PICTURES:
            backend.add_image(image)
        return backend

    cold = opened(None)

    class Cache(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.folder = Path(tempfile.mkdtemp(prefix="nemochat-states-"))
            self.backend = opened(self.folder)

        def teardown(self) -> None:
            self.backend.close()
            shutil.rmtree(self.folder)

        @rule(conversation=CONVERSATIONS, prompt=PROMPTS)
        def reply(self, conversation: str, prompt: tuple[Segment, ...]) -> None:
            request = GenerateRequest((*prompt, ANSWER), SHORT, conversation=conversation)
            if sum(self.backend.count(request.segments)) >= 192:
                return
            said = gather(self.backend.generate(request, never))
            cold.forget("")
            expected = gather(cold.generate(GenerateRequest(request.segments, SHORT), never))
            assert said.text == expected.text
            assert said.finished.usage.prompt_tokens == expected.finished.usage.prompt_tokens

        @rule(conversation=CONVERSATIONS, prompt=PROMPTS, calls=CALLS)
        def reply_that_is_stopped(self, conversation: str, prompt: tuple[Segment, ...], calls: int) -> None:
            request = GenerateRequest((*prompt, ANSWER), SHORT, conversation=conversation)
            if sum(self.backend.count(request.segments)) < 192:
                gather(self.backend.generate(request, after(calls)))

        @rule(conversation=CONVERSATIONS, is_next=st.booleans(), prompt=PROMPTS, calls=CALLS)
        def read_ahead(self, conversation: str, is_next: bool, prompt: tuple[Segment, ...], calls: int) -> None:
            if sum(self.backend.count(prompt)) <= 192:
                self.backend.prepare(prompt, after(calls), lambda _: None, Place(conversation, is_next))

        @rule(conversation=CONVERSATIONS, prompt=PROMPTS, calls=CALLS)
        def reply_to_what_was_read_in_part(self, conversation: str, prompt: tuple[Segment, ...], calls: int) -> None:
            self.read_ahead(conversation, False, prompt, calls)
            self.reply(conversation, prompt)

        @rule(conversation=CONVERSATIONS)
        def forget(self, conversation: str) -> None:
            self.backend.forget(conversation)

        @rule()
        def restart(self) -> None:
            self.backend.close()
            self.backend = opened(self.folder)

        @rule()
        def refused(self) -> None:
            try:
                gather(self.backend.generate(GenerateRequest((Plain("y" * 300), ANSWER), SHORT, conversation="a"), never))
            except EngineError:
                return
            raise AssertionError("a prompt beyond the window was taken")

        @invariant()
        def each_ledger_is_what_the_cache_holds(self) -> None:
            assert self.backend._loaded is not None
            cache = self.backend._loaded.cache
            held = [each.ledger.position for each in cache.sequences]
            assert held == [cache.context.held_positions(each.number) for each in cache.sequences]
            assert len({each.place for each in cache.sequences}) == len(held)

    return Cache


@pytest.mark.parametrize("batch", [3, 32])
def test_every_reply_is_what_a_cold_engine_says(tiny_model: Path, tiny_projector: Path, batch: int) -> None:
    """With small batches pictures are read in pieces, and the cache tells fewer conversations apart."""
    quick = settings(max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    run_state_machine_as_test(machine(tiny_model, tiny_projector, batch), settings=quick)
