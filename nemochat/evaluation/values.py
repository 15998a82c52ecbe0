"""What a benchmark asks, what a model answered, and what the answer is worth. Pure values, the same for every benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec

from nemochat.domain.messages import ToolCall, ToolSpec

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Kind(StrEnum):
    """By which rule an answer is scored."""

    VQA = "vqa"
    """VQAv2, TextVQA: the share of people who gave this answer."""
    EXACT = "exact"
    """GQA: the one answer, case and punctuation aside."""
    YES_NO = "yes_no"
    """POPE."""
    LETTER = "letter"
    """ScienceQA: the option's letter, or the letter and a full stop."""
    OPTION = "option"
    """MMBench: the letter, or the option's text, wherever one and only one is found."""
    FIRST_LETTER = "first_letter"
    """SEED: the first character."""
    MMMU = "mmmu"
    IFEVAL = "ifeval"
    CALLS = "calls"
    """BFCL's simple, multiple, parallel and parallel multiple: these calls, in any order."""
    NO_CALL = "no_call"
    """BFCL's relevance: none of the tools fits, so none is called."""


class Question(msgspec.Struct, frozen=True):
    """One question of a benchmark.

    prompt: the words as the model gets them. images: files or their bytes, in order. answers: what is right, by `kind`:
    - VQA: what each person answered; EXACT: the answer; YES_NO: "yes" or "no"; LETTER, OPTION, FIRST_LETTER: the letter;
    - MMMU: the letter, or the accepted values of an open question; IFEVAL, NO_CALL: none;
    - CALLS: one JSON text for each expected call, as in BFCL's `ground_truth`: {"name": {"parameter": [accepted values]}}.

    meta: what else the rule needs. "options": the texts of the options in the order of their letters (OPTION, MMMU); "seed": a whole number
    for guesses, 0 where it is missing (MMMU); "instruction_id_list" and "kwargs" (IFEVAL), as in its data.
    """

    id: str
    prompt: str
    images: tuple[Path | bytes, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    answers: tuple[str, ...] = ()
    kind: Kind = Kind.EXACT
    meta: Mapping[str, Any] = {}


class Reply(msgspec.Struct, frozen=True):
    """What the model answered. calls: the tools that it asked for, none where its call could not be read."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()


class Score(msgspec.Struct, frozen=True):
    """What a reply is worth. right: from 0 to 1. parts: further figures of the same reply, which the rule's `score` names.
    guessed: the official rule found no answer and drew one at random. why: for people, what is wrong; "" where there is nothing to say.
    """

    right: Share
    parts: Mapping[str, float] = {}
    guessed: bool = False
    why: str = ""
