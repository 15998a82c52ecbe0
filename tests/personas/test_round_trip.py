from __future__ import annotations

import json
import re
import tomllib

import pytest
from hypothesis import given, settings

from nemochat.domain.personas import Lorebook, LoreEntry, Persona
from nemochat.errors import NemochatError
from nemochat.personas.card_json import KEPT
from nemochat.personas.cards import Spec, read_card, write_json, write_png
from nemochat.personas.cleaning import clean
from nemochat.personas.toml_text import read_toml, toml_string, write_toml
from tests.personas.build import golden, png
from tests.personas.strategies import JSON, PERSONAS, RAW, TEXTS


@settings(max_examples=80, deadline=None)
@given(PERSONAS)
def test_every_form_gives_the_same_persona_again(persona: Persona) -> None:
    assert clean(persona) == persona
    assert read_toml(write_toml(persona)) == persona
    assert read_card(write_json(persona, Spec.V2).encode(), "x").persona == persona
    assert read_card(write_json(persona, Spec.V3).encode(), "x").persona == persona
    assert read_card(write_png(persona, png()), "x").persona == persona


@settings(max_examples=60, deadline=None)
@given(RAW, JSON)
def test_what_nemochat_does_not_know_comes_out_where_it_was(key: str, value: object) -> None:
    key = f"x/{clean(Persona(name='x', description=key)).description}"
    unknown = {key: value}
    book = {"entries": [{"keys": ["a"], "content": "b", "extensions": unknown, **unknown}], "extensions": unknown, **unknown}
    data = {"name": "Ada", "description": "A clock.", "extensions": unknown, "character_book": book, **unknown}
    whole = {"spec": "chara_card_v2", "spec_version": "2.0", "data": data, **unknown}
    persona = read_toml(write_toml(read_card(json.dumps(whole).encode(), "x").persona))
    again = json.loads(write_json(persona, Spec.V3))
    for place in (again, again["data"], again["data"]["character_book"], again["data"]["character_book"]["entries"][0]):
        assert place[key] == value
    for place in (again["data"], again["data"]["character_book"], again["data"]["character_book"]["entries"][0]):
        assert place["extensions"] == unknown


@given(TEXTS)
def test_a_text_as_a_toml_string(text: str) -> None:
    assert tomllib.loads(f"a = {toml_string(text)}") == {"a": text}


def test_a_persona_reads_well_as_toml() -> None:
    persona = Persona(
        name="Bran",
        tags=("smith", "gruff"),
        description='{{char}} says "no".\nOften.',
        greeting='"Well?"',
        greetings=("Yes?\n\nNo?", "It's shut."),
        extensions={"a/b": None},
        book=Lorebook(entries=(LoreEntry(content="It burnt.", keys=("mill",), order=5),)),
    )
    assert write_toml(persona) == golden("bran.toml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('nam = "x"', "there is no field “nam”, perhaps “name” is meant"),
        ('name = "x"\n[[book.entries]]\ncontent = ""\nkey = ["a"]', "no field “book.entries.key”, perhaps “keys”"),
        ('name = "x"\n[sampling]\nheat = 1', "no field “sampling.heat”"),
        ('description = "x"', "missing the required field `name`"),
        ('name = " "', "it has no name"),
        ("name = 5", "“name” holds a whole number where a text belongs"),
        ('name = "x"\ngreetings = "a"', "“greetings” holds a text where a list belongs"),
        ('name = "x"\n[[book.entries]]\ncontent = 1', "“book.entries[0].content” holds a whole number where a text belongs"),
        ('name = "x"\nbook = 1', "“book” holds a whole number where a table or null"),
        ('name = "x"\nextensions = "{"', "“extensions” holds no valid JSON"),
        ('name = "x"\nextensions = "[]"', "“extensions” holds a list where a table belongs"),
        ('name = "x', "no valid TOML"),
        ("a = " + "[" * 100_000, "no valid TOML"),
        ('name = "' + "x" * 301 + '"', "longer than 300"),
    ],
)
def test_broken_toml_is_explained_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(NemochatError, match=re.escape(says)) as caught:
        read_toml(text, "smith\x1b.toml")
    assert caught.value.message.startswith("smith.toml cannot be read as a persona: ")


def test_a_table_written_by_hand_is_read_too() -> None:
    text = '\ufeffname = "x"\nextensions = { a = 1, b = 2024-01-02 }\n[sampling]\ntemperature = 1\n[book]\nextensions = { c = [1] }\n'
    persona = read_toml(text)
    assert persona.extensions == {"a": 1, "b": "2024-01-02"}
    assert persona.book == Lorebook(extensions={"c": [1]})
    assert persona.sampling.temperature == 1.0


def test_what_has_no_use_is_left_out_and_hostile_text_is_made_harmless() -> None:
    text = 'name = "a\\u001b\\u202eb"\naccent = "red"\ndescription = "\\u009b6n"\n[sampling]\ntemperature = 99.0\ntop_k = 5\n'
    persona = read_toml(text)
    assert (persona.name, persona.accent, persona.description) == ("ab", "", "6n")
    assert (persona.sampling.temperature, persona.sampling.top_k) == (None, 5)


def test_an_unknown_field_of_an_entry_cannot_take_the_place_of_a_known_one() -> None:
    entry = LoreEntry(content="true", extensions={KEPT: {"content": "false", "more": 1}})
    book = json.loads(write_json(Persona(name="x", description="y", book=Lorebook(entries=(entry,)))))["data"]["character_book"]
    assert (book["entries"][0]["content"], book["entries"][0]["more"]) == ("true", 1)
