"""Sampling that leaves a value open: to the model, and where that says nothing, to its engine."""

import msgspec

from nemochat.domain.sampling import UNSET, Sampling, Settled
from nemochat.engine.llama.model import recommended


def test_auto_leaves_a_value_to_the_model_and_none_changes_nothing() -> None:
    sampling = Sampling(temperature=0.3, max_tokens=9).asking({"temperature": UNSET, "top_k": 3, "max_tokens": None})
    assert sampling == Sampling(temperature=None, top_k=3, max_tokens=9)
    assert msgspec.json.decode(msgspec.json.encode(sampling), type=Sampling) == sampling


def test_what_is_open_is_the_models_own() -> None:
    own = recommended({"temperature": 0.6, "top_k": 20.0, "top_p": float("nan"), "min_p": -1.0, "repeat_penalty": 99.0})
    assert own == Settled(temperature=0.6, top_k=20)
    asked = own.asked(Sampling(temperature=None, top_k=None, top_p=0.5, min_p=None, repeat_last_n=None, max_tokens=None, seed=4))
    assert (asked.temperature, asked.top_k, asked.top_p, asked.min_p) == (0.6, 20, 0.5, 0.05)
    assert (asked.repeat_penalty, asked.seed) == (1.0, 4)
    assert asked.max_tokens > 1 << 20  # as long as there is room
    assert own.asked(Sampling()) == Settled(0.0, 40, 0.95, 0.05, 1.0, 64, None, 512, ())
