"""Who asks for what of sampling, and which of it is in force."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from nemochat.domain.personas import PersonaSampling
from nemochat.domain.sampling import DEFAULT, UNSET, Sampling, Settled, Source, in_force, in_words, recommended
from nemochat.settings import SamplingSettings


def test_nobody_says_anything() -> None:
    now = in_force({})
    assert now.sampling == Sampling(0.8, 40, 0.95, 0.05, 1.0, 64, None, 512, ())
    assert set(now.sources.values()) == {Source.DEFAULT}
    assert set(now.sources) == set(Sampling.__struct_fields__)
    assert msgspec.structs.asdict(Sampling()) == dict.fromkeys(Sampling.__struct_fields__)


@pytest.mark.parametrize(("first", "later"), list(itertools.combinations(list(Source)[:-1], 2)))
def test_the_first_who_speaks_is_heeded(first: Source, later: Source) -> None:
    """Each pair of the order that the issue gives; the layers stand in the other order, so that theirs plays no part."""
    now = in_force({later: Sampling(temperature=0.5, top_k=3), first: Sampling(temperature=0.0)})
    assert (now.sampling.temperature, now.sources["temperature"]) == (0.0, first)
    assert (now.sampling.top_k, now.sources["top_k"]) == (3, later)


def test_the_order_is_that_of_the_issue() -> None:
    assert [source.name for source in Source] == [
        "REQUEST", "COMMAND_LINE", "ENVIRONMENT", "CHAT", "PERSONA", "MODEL_SETTING", "CONFIG", "MODEL_FILE", "SERVER", "DEFAULT",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "nothing"), [("temperature", 0.0), ("top_k", 0), ("min_p", 0.0), ("repeat_last_n", 0), ("seed", 0), ("stop", ())]
)
def test_a_nought_that_was_said_is_not_nothing(name: str, nothing: object) -> None:
    """Fails where 0 and "unset" are the same: the value below would be in force."""
    below = SamplingSettings(temperature=0.7, top_k=5, min_p=0.1, repeat_last_n=9, seed=4, stop=("x",))
    now = in_force({Source.CHAT: msgspec.convert({name: nothing}, SamplingSettings), Source.CONFIG: below})
    assert (getattr(now.sampling, name), now.sources[name]) == (nothing, Source.CHAT)
    assert in_force({Source.CONFIG: below}).sources[name] is Source.CONFIG


@pytest.mark.parametrize("who", list(Source)[:-1])
def test_auto_leaves_a_value_to_the_model(who: Source) -> None:
    """It passes over what is asked for all models: a model's own settings and its file are heeded all the same."""
    layers = {source: Sampling(temperature=0.3) for source in list(Source)[list(Source).index(who) + 1 :]}
    now = in_force({**layers, who: SamplingSettings(temperature=UNSET)})
    own = next((source for source in (Source.MODEL_SETTING, Source.MODEL_FILE, Source.SERVER) if source in layers), Source.DEFAULT)
    assert (now.sampling.temperature, now.sources["temperature"]) == (0.8 if own is Source.DEFAULT else 0.3, own)


def test_auto_makes_a_reply_as_long_as_there_is_room_and_a_seed_another_each_time() -> None:
    said = {Source.PERSONA: PersonaSampling(max_tokens=UNSET), Source.COMMAND_LINE: SamplingSettings(seed=UNSET)}
    now = in_force({**said, Source.CONFIG: Sampling(max_tokens=9, seed=4)})
    assert (now.sampling.max_tokens, now.sources["max_tokens"]) == (None, Source.PERSONA)
    assert (now.sampling.seed, now.sources["seed"]) == (None, Source.DEFAULT)
    assert in_force({**said, Source.MODEL_SETTING: Sampling(max_tokens=99)}).sampling.max_tokens == 99


def test_a_source_that_knows_fewer_values_leaves_the_others() -> None:
    now = in_force({Source.PERSONA: PersonaSampling(temperature=0.9), Source.CONFIG: Sampling(repeat_last_n=3), Source.CHAT: None})
    assert (now.sampling.temperature, now.sampling.repeat_last_n) == (0.9, 3)


def test_what_a_file_recommends_is_taken_as_far_as_it_makes_sense() -> None:
    said = {"temperature": 0.6, "top_k": 20.0, "top_p": float("nan"), "min_p": -1.0, "repeat_penalty": 99.0}
    assert recommended(said) == Sampling(temperature=0.6, top_k=20)
    assert recommended({"temperature": 0.0}).temperature == 0.0
    settled = Settled().asked(recommended(said)).asked(Sampling(top_p=0.5, seed=4))
    assert settled == Settled(temperature=0.6, top_k=20, top_p=0.5, seed=4)
    assert settled.max_tokens > 1 << 20  # as long as there is room


def test_it_is_said_in_words() -> None:
    now = in_force({Source.CONFIG: SamplingSettings(max_tokens=UNSET, stop=("a\n",), temperature=0.0), Source.CHAT: Sampling(top_k=0)})
    assert [now.words(name) for name in ("temperature", "top_k", "seed", "max_tokens", "stop", "min_p")] == [
        "temperature: 0 (config.toml)",
        "top_k: 0 (this chat)",
        "seed: another each time (nemochat's default)",
        "max_tokens: as long as there is room (config.toml)",
        'stop: ["a\\n"] (config.toml)',
        "min_p: 0.05 (nemochat's default)",
    ]
    assert in_words("stop", DEFAULT.stop) == "none"


def test_another_reply_is_sampled_where_the_first_was_not() -> None:
    greedy = in_force({Source.CONFIG: Sampling(temperature=0.0)}).sampling
    assert greedy.another(0) == greedy
    assert greedy.another(1).temperature == 0.8


def test_what_nobody_asks_for_is_not_said_and_has_no_part_in_the_order() -> None:
    """Fails when a value of llama.cpp's samplers is sent to a server, or listed, although nobody has set it."""
    nobody = in_force({})
    assert "dry_multiplier" not in nobody.said
    assert nobody.sampling.xtc_probability is None
    assert set(nobody.said) >= {"temperature", "seed", "max_tokens", "stop", "think"}
    assert nobody.order == "Order: top_k → top_p → min_p → temperature → draw"
    now = in_force({Source.CHAT: SamplingSettings(dry_multiplier=0.8), Source.PERSONA: PersonaSampling(xtc_probability=0.5, top_k=0)})
    assert now.words("dry_multiplier") == "dry_multiplier: 0.8 (this chat)"
    assert now.words("dry_base") == "dry_base: 1.75 (nemochat's default)"
    assert now.order == "Order: dry → top_p → min_p → xtc → temperature → draw"
    assert in_words("logit_bias", {"a": -5.0}) == '{"a":-5.0}'
