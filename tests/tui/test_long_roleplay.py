"""Thirty turns with a persona, the demo model and the real engine, through the interface, in a window that fills up several times."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemochat.cli.bench import Bench as RealBench
from nemochat.domain.personas import UserProfile
from nemochat.personas.prompt_text import example_dialogues, macros_of
from nemochat.prompt.format import as_text
from nemochat.tui.app import NemochatApp
from tests.tui.bench import Bench, Driver

TURNS = 30
WINDOW = 1600
OPENING = 1000
"""Tokens; what the persona says of itself, with its examples and greeting, is a little more."""
SAYINGS = (
    "Good evening.",
    "Do you have a room for the night?",
    "Tell me about the ferry.",
    "What is there to eat?",
    "Who lives upstairs?",
    "My name is Anna.",
)


async def test_the_persona_stays_the_examples_go_first_and_no_turn_reads_more_than_it_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("CONFIG", "DATA", "LOG", "CACHE"):
        monkeypatch.setenv(f"NEMOCHAT_{kind}_DIR", str(tmp_path / kind.lower()))
    desk = RealBench(None, None, {"engine": {"context_length": WINDOW}})
    app = NemochatApp(desk)
    async with app.run_test(size=(120, 40)) as pilot:
        bench = Bench(tmp_path / "bench", {})
        bench.library.close()
        driver = Driver(app, pilot, bench)
        await driver.until(lambda: len(app.screen_stack) > 1 and driver.screen.desk.model.is_loaded)
        await driver.screen.desk.roles.use("innkeeper")
        await driver.until(lambda: len(driver.said) == 1)
        persona = driver.desk.chat.persona
        assert persona is not None
        macros = macros_of(persona, UserProfile(), seed=str(driver.desk.chat.seed))
        examples = [message.text for block in example_dialogues(persona, macros) for message in block]
        assert examples
        # It is read from the first line of the persona on as soon as its chat is open; that takes a moment to begin.
        await driver.until(lambda: driver.screen.desk.reading.warming.warm > OPENING)
        await driver.until(lambda: not driver.screen.desk.reading.warming.is_reading)
        trims = 0
        for turn in range(TURNS):
            before = driver.desk.chat
            driver.screen.prompt.area.insert_pasted(f"{SAYINGS[turn % len(SAYINGS)]} ({turn})")
            await driver.press("enter")
            await driver.until(lambda: not driver.screen.desk.turns.is_running)
            # While the user reads the reply: the window may forget, and what is left is read before the next question.
            await driver.until(lambda: not driver.screen.desk.reading.warming.is_reading)
            assert len(driver.said) == len(before.entries) + 2
            record = driver.desk.chat.entries[-1].record
            assert record is not None
            prompt = as_text(record.prompt)
            assert "Osbert Pell is fifty-eight" in prompt
            assert record.result.usage.prompt_tokens + (record.sampling.max_tokens or 0) <= WINDOW
            chat = driver.desk.chat
            shown = [example for example in examples if example in prompt]
            assert shown == examples[len(examples) - len(shown) :], "the examples go from the front"
            assert not record.result.forgotten or not shown, "an example outlived what was said"
            trims += (chat.examples_gone, chat.first_kept) != (before.examples_gone, before.first_kept)
            # Around a trim as well as elsewhere: the new words with what is said again behind the history, and nothing from before.
            new = chat.entries[-2].message
            spoken = len(new.text) + sum(len(part.text) for part in new.contexts) + len(persona.post_history)
            assert record.result.usage.evaluated_tokens <= spoken // 2 + 24, turn
        stored = desk.library.load(driver.desk.conversation.id).chat
        assert len(stored.entries) == 1 + 2 * TURNS
    desk.close()
    assert trims >= 3
