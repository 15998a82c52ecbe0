"""Sampling by name: kept as TOML, and read from SillyTavern's presets with what has no meaning here named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemochat.domain.personas import PersonaSampling
from nemochat.errors import NemochatError, UsageError
from nemochat.personas.sampling_presets import (
    ForeignPreset,
    Preset,
    PresetStore,
    for_persona,
    from_foreign,
    read_foreign_file,
    read_toml,
    to_json,
    write_toml,
)
from nemochat.settings import SamplingSettings

NEUTRAL: dict[str, Any] = {
    "temp": 1, "top_p": 1, "top_k": 0, "min_p": 0, "typical_p": 1, "rep_pen": 1, "rep_pen_range": 0, "tfs": 1, "top_a": 0,
}  # fmt: skip
ANYTHING = st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)


@pytest.fixture
def store(tmp_path: Path) -> PresetStore:
    return PresetStore(tmp_path / "presets")


def read(**fields: Any) -> ForeignPreset:
    return from_foreign({**NEUTRAL, **fields}, "P")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"temp": 0.7, "top_p": 0.9, "top_k": 50, "min_p": 0.02}, {"temperature": 0.7, "top_p": 0.9, "top_k": 50, "min_p": 0.02}),
        ({"rep_pen": 1.15, "rep_pen_range": 600}, {"repeat_penalty": 1.15, "repeat_last_n": 600}),
        ({"rep_pen": 1.15, "rep_pen_range": 0}, {"repeat_last_n": 1_000_000}),
        ({"freq_pen": 0.2, "presence_pen": -0.5}, {"frequency_penalty": 0.2, "presence_penalty": -0.5}),
        ({"dynatemp": True, "min_temp": 0.5, "max_temp": 1.5, "dynatemp_exponent": 2}, {"temperature": 1.0, "dynatemp_range": 0.5}),
        ({"dynatemp": False, "min_temp": 0.5, "max_temp": 1.5}, {"temperature": 1, "dynatemp_range": 0.0, "dynatemp_exponent": None}),
        ({"dry_multiplier": 0.8, "dry_penalty_last_n": 0}, {"dry_multiplier": 0.8, "dry_penalty_last_n": -1}),
        ({"dry_multiplier": 0.8, "dry_sequence_breakers": '["\\n", "*"]'}, {"dry_sequence_breakers": ("\n", "*")}),
        ({"dry_multiplier": 0, "dry_base": 1.75}, {"dry_multiplier": 0, "dry_base": None}),
        ({"xtc_probability": 0.5, "xtc_threshold": 0.15}, {"xtc_probability": 0.5, "xtc_threshold": 0.15}),
        ({"mirostat_mode": 2, "mirostat_tau": 8, "mirostat_eta": 0.2}, {"mirostat": 2, "mirostat_tau": 8, "mirostat_eta": 0.2}),
        ({"mirostat": 2, "mirostat_tau": 9.91}, {"mirostat": 2, "mirostat_tau": 9.91}),
        ({"typical": 0.7, "typical_p": None}, {"typical_p": 0.7}),
        ({"nsigma": 1.5}, {"top_n_sigma": 1.5}),
        ({"do_sample": False}, {"temperature": 0.0}),
        ({"seed": -1}, {"seed": None}),
        ({"seed": 7, "genamt": 250}, {"seed": 7, "max_tokens": 250}),
        ({"banned_tokens": 'a\n"b c"\n\n[1,2]'}, {"banned_strings": ("a", "b c")}),
        ({"logit_bias": [{"id": "x", "text": " no", "value": -5}, {"text": 7}, "y"]}, {"logit_bias": {" no": -5}}),
        ({"temp": "1.5"}, {"temperature": 1.5}),
    ],
)
def test_what_has_the_same_meaning_is_taken(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    sampling = read(**theirs).preset.sampling
    assert {name: getattr(sampling, name) for name in ours} == ours


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        ({"tfs": 0.9}, ["tfs"]),
        ({"top_a": 0.2, "smoothing_factor": 0.3}, ["smoothing_factor", "top_a"]),
        ({"temp": 50}, ["temperature 50"]),
        ({"banned_tokens": "[1]"}, ["banned tokens by their numbers"]),
        ({"grammar_string": "root ::= x", "json_schema": {}}, ["grammar_string"]),
        ({"tfs": 1.0, "num_beams": 1, "guidance_scale": 1}, []),
        ({"temp": float("nan"), "top_k": [], "dry_multiplier": {}}, []),
    ],
)
def test_what_has_none_is_named(theirs: dict[str, Any], named: list[str]) -> None:
    assert sorted(read(**theirs).meaningless) == named


def test_greedy_is_greedy() -> None:
    """SillyTavern's Deterministic says top_p 0, which none would be left by."""
    found = read(temp=0, top_k=1, top_p=0, do_sample=False)
    assert (found.preset.sampling.temperature, found.preset.sampling.top_p, found.meaningless) == (0.0, None, ())


def test_nothing_of_it_is_lost(store: PresetStore, tmp_path: Path) -> None:
    whole = {**NEUTRAL, "tfs": 0.8, "sampler_order": [6, 0], "custom": None, "name": "Mine", "dry_sequence_breakers": "[]"}
    preset = read_foreign_file(json.dumps(whole).encode(), "x.json").preset
    store.save(preset)
    store.export("mine", tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == whole
    store.export("Mine", tmp_path / "out.toml")
    assert read_toml((tmp_path / "out.toml").read_text(), "out.toml") == preset


def test_what_was_changed_here_is_in_the_export() -> None:
    preset = read(temp=0.7, dynatemp=False).preset
    wanted: dict[str, Any] = {"temperature": 1.0, "dynatemp_range": 0.4, "stop": ("END",), "banned_strings": ("x",)}
    wanted["logit_bias"] = {" a": 1.0}
    changed = Preset("P", SamplingSettings(**wanted), preset.original)
    written = json.loads(to_json(changed))
    assert (written["temp"], written["dynatemp"], written["min_temp"], written["max_temp"]) == (1.0, True, 0.6, 1.4)
    again = from_foreign(written, "P").preset.sampling
    assert {name: getattr(again, name) for name in wanted} == wanted


def test_presets_are_found_by_the_beginning_of_their_names(store: PresetStore) -> None:
    assert store.list() == ()
    for name in ("Calm", "Calmer", "Wild ☃"):
        store.save(Preset(name, SamplingSettings(temperature=0.1)))
    assert [each.name for each in store.list()] == ["Calm", "Calmer", "Wild ☃"]
    assert store.find("CALM").name == "Calm"
    assert store.find("wild").name == "Wild ☃"
    with pytest.raises(NemochatError, match="Several presets"):
        store.find("cal")
    with pytest.raises(NemochatError, match="no preset"):
        store.find("x")
    store.save(Preset("calm", SamplingSettings(temperature=2)))
    assert [each.name for each in store.list()] == ["calm", "Calmer", "Wild ☃"]
    name, place = store.remove("Wild")
    assert (name, place.is_file()) == ("Wild ☃", True)  # a beginning of a name may mean another one: it can be brought back
    assert [each.name for each in store.list()] == ["calm", "Calmer"]
    with pytest.raises(UsageError):
        store.export("calm", Path("x.png"))


def test_two_programs_take_no_file_from_each_other(store: PresetStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one has looked for a free name at the same moment."""
    monkeypatch.setattr(store, "_read", list)
    for name in ("Calm!", "Calm?"):
        store.save(Preset(name))
    assert [each.name for each in PresetStore(tmp_path / "presets").list()] == ["Calm!", "Calm?"]


def test_a_preset_that_would_be_too_large_to_read_is_not_saved(store: PresetStore) -> None:
    with pytest.raises(NemochatError, match="larger than"):
        store.save(Preset("Large", original={"x": "\x01" * 3_000_000}))
    assert store.list() == ()


@pytest.mark.parametrize("fields", [{"top_k": 10**400}, {"seed": 10**300}, {"temp": "1e999"}, {"min_p": float("nan")}])
def test_numbers_beyond_all_bounds_are_none(fields: dict[str, Any]) -> None:
    assert read(**fields).preset.sampling.top_p == 1


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[31m", "x" * 400])
def test_names_are_one_line(store: PresetStore, name: str) -> None:
    with pytest.raises(NemochatError):
        store.save(Preset(name))


def test_a_broken_file_is_named_and_left(store: PresetStore, tmp_path: Path) -> None:
    store.save(Preset("Fine"))
    for name, text in {"a": "x =", "b": "[sampling]\ntop_p = 7", "c": "name = 'c'\n[original]\njson = '7'", "d": "q = 1"}.items():
        (tmp_path / "presets" / f"{name}.toml").write_text(text)
    assert [each.name for each in store.list()] == ["Fine"]
    assert len(store.notices) == 4
    assert all("cannot be read as a preset" in notice for notice in store.notices)
    assert len(list((tmp_path / "presets").iterdir())) == 5


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"temp": 1}', b'{"a": ' + b"[" * 100_000, b"\xff\xfe", b"x" * (5 << 20)], ids=len)
def test_what_is_no_preset_is_refused(data: bytes) -> None:
    with pytest.raises(NemochatError, match=r"preset|larger than 4 MiB"):
        read_foreign_file(data, "x.json")


def test_a_persona_gets_what_personas_have() -> None:
    wanted = for_persona(SamplingSettings(temperature=0.5, seed=3, stop=("x",), dry_multiplier=0.8))
    assert wanted == PersonaSampling(temperature=0.5, dry_multiplier=0.8)


@given(st.dictionaries(st.sampled_from([*NEUTRAL, "dynatemp", "logit_bias", "banned_tokens", "seed"]), ANYTHING))
def test_any_values_do_no_harm(fields: dict[str, Any]) -> None:
    preset = from_foreign(fields, "P").preset
    assert read_toml(write_toml(preset), "P") == preset
    json.loads(to_json(preset))
