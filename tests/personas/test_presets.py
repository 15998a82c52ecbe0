"""The personas that come with nemochat: each can be read, is short enough for a small window, and has its portrait."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from textual.color import Color

from nemochat.domain.messages import Role
from nemochat.domain.personas import LoreEntry, Persona, UserProfile
from nemochat.domain.sanitize import sanitize
from nemochat.personas import prompt_text
from nemochat.personas.lore import lore_of, scan
from nemochat.personas.store import PRESETS, PersonaStore
from nemochat.personas.toml_text import read_toml, write_toml
from nemochat.tui.themes import contrast

FILES = sorted(PRESETS.glob("*.toml"))
CHARACTERS_A_TOKEN = 4
USER = UserProfile("Sam")
MACROS = re.compile(r"\{\{(?:char|user|original|(?:random|pick):[^{}]+)\}\}")
DARK, LIGHT, BLACK, WHITE = (Color.parse(colour) for colour in ("#1e1e1e", "#f5f5f5", "#000000", "#ffffff"))


def read(path: Path) -> Persona:
    return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Persona, strict=True)


def tokens(*texts: str) -> float:
    return sum(len(text) for text in texts) / CHARACTERS_A_TOKEN


def texts(persona: Persona) -> list[str]:
    return [
        persona.name, persona.nickname, persona.summary, persona.description, persona.personality, persona.scenario, persona.system,
        persona.greeting, *persona.greetings, persona.examples, persona.post_history, persona.creator_notes, *persona.tags,
        *(entry.content for entry in entries(persona)), *(key for entry in entries(persona) for key in entry.keys),
    ]  # fmt: skip


def entries(persona: Persona) -> tuple[LoreEntry, ...]:
    return persona.book.entries if persona.book is not None else ()


each = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def test_there_are_enough_and_no_two_have_one_name() -> None:
    personas = [read(path) for path in FILES]
    assert len(personas) >= 12
    assert len({persona.name.casefold() for persona in personas}) == len(personas)
    assert sum(4 <= len(entries(persona)) <= 8 for persona in personas) >= 4


def test_the_store_lists_all_of_them(tmp_path: Path) -> None:
    store = PersonaStore(tmp_path / "personas")
    assert {summary.id for summary in store.list()} == {path.stem for path in FILES}
    assert store.notices == ()


@each
def test_every_key_is_known_and_a_round_trip_changes_nothing(path: Path) -> None:
    persona = read(path)
    assert persona == read_toml(path.read_text(encoding="utf-8")) == read_toml(write_toml(persona))
    assert persona.name
    assert persona.tags
    assert persona.greeting
    assert persona.creator_notes


@each
def test_the_texts_are_short(path: Path) -> None:
    persona = read(path)
    assert 20 <= len(persona.summary) < 70
    assert tokens(persona.system, persona.description, persona.personality, persona.scenario) <= 255
    assert tokens(persona.examples) <= 160
    assert tokens(persona.post_history) <= 40
    assert all(tokens(greeting) <= 150 for greeting in (persona.greeting, *persona.greetings))
    assert all(tokens(entry.content) <= 70 for entry in entries(persona))
    assert len(prompt_text.system_text(persona, USER, "", seed="1")) <= 1040


@each
def test_only_known_macros_and_plain_characters(path: Path) -> None:
    for text in texts(read(path)):
        assert not re.search(r"\{\{|\}\}", MACROS.sub("", text)), text
        assert sanitize(text) == text == text.strip()


@each
def test_a_greeting_invites_an_answer(path: Path) -> None:
    persona = read(path)
    if "game character" in persona.tags:
        assert 2 <= len(persona.greetings) <= 3
    for greeting in prompt_text.greetings(persona, USER, seed="1"):
        assert "?" in greeting
        assert "{{" not in greeting


@each
def test_an_example_is_said_by_both(path: Path) -> None:
    persona = read(path)
    dialogues = prompt_text.example_dialogues(persona, prompt_text.macros_of(persona, USER, seed="1"))
    assert 1 <= len(dialogues) <= 2
    for dialogue in dialogues:
        assert [message.role for message in dialogue][:2] == [Role.USER, Role.ASSISTANT]


@each
def test_every_entry_of_a_lorebook_can_fire_alone(path: Path) -> None:
    persona = read(path)
    macros = prompt_text.macros_of(persona, USER, seed="1")
    for entry in entries(persona):
        for key in entry.keys:
            found = scan(lore_of(persona), [f"Tell me about {key}, please."], macros, count=lambda text: len(text) // CHARACTERS_A_TOKEN)
            assert entry.name in [fired.source for fired in found.fired], key


@each
def test_the_accent_can_be_read_on_dark_and_on_light(path: Path) -> None:
    accent = Color.parse(read(path).accent)
    assert min(contrast(accent, DARK), contrast(accent, LIGHT)) >= 3
    assert max(contrast(accent, BLACK), contrast(accent, WHITE)) >= 4.5


def test_no_two_accents_are_the_same() -> None:
    assert len({read(path).accent for path in FILES}) == len(FILES)


@each
def test_its_portrait_is_small_square_and_more_than_one_colour(path: Path) -> None:
    with Image.open(path.with_suffix(".png")) as picture:
        assert picture.size in ((24, 24), (32, 32))
        colours = picture.convert("RGB").getcolors()
        assert colours is not None
        assert len(colours) >= 3


def test_no_portrait_without_a_persona() -> None:
    assert {path.stem for path in PRESETS.glob("*.png")} == {path.stem for path in FILES}
