"""Personas of any content for Hypothesis, as `clean` leaves them."""

from __future__ import annotations

from hypothesis import strategies as st

from nemochat.domain.personas import Lorebook, LoreEntry, Persona, PersonaSampling, Position
from nemochat.domain.sanitize import sanitize

_SPICE = ("{{char}}", "'''", '"""', '"', "\\", "\\n", "\n", "\t", "<START>", "@@depth 4\n", "{{random:a,b}}", "#", "= ", "\u2028", "😀")
RAW = st.lists(st.one_of(st.sampled_from(_SPICE), st.text(max_size=8)), max_size=6).map("".join)
TEXTS = RAW.map(sanitize)
NAMES = RAW.map(lambda text: sanitize(text, strict=True).strip())
FULL_NAMES = NAMES.filter(bool)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
EXTENSIONS = st.dictionaries(TEXTS.filter(lambda key: not key.startswith("nemochat")), JSON, max_size=3)
# Fields that a card has a place for are no fields that it "has no use for".
CARD = st.dictionaries(st.sampled_from(["assets", "source", "creation_date", "from the future", ""]), JSON, max_size=3)
_NUMBERS = st.integers(-1_000_000_000, 1_000_000_000)

ENTRIES = st.builds(
    LoreEntry,
    content=TEXTS,
    keys=st.lists(TEXTS, max_size=3).map(tuple),
    secondary_keys=st.lists(TEXTS, max_size=2).map(tuple),
    name=NAMES,
    comment=TEXTS,
    enabled=st.booleans(),
    constant=st.booleans(),
    selective=st.booleans(),
    use_regex=st.booleans(),
    case_sensitive=st.one_of(st.none(), st.booleans()),
    order=_NUMBERS,
    priority=_NUMBERS,
    position=st.sampled_from(Position),
    id=st.one_of(st.none(), st.integers(0, 99), FULL_NAMES),
    extensions=EXTENSIONS,
)
BOOKS = st.builds(
    Lorebook,
    entries=st.lists(ENTRIES, max_size=3).map(tuple),
    name=NAMES,
    description=TEXTS,
    scan_depth=st.one_of(st.none(), _NUMBERS),
    token_budget=st.one_of(st.none(), _NUMBERS),
    recursive=st.booleans(),
    extensions=EXTENSIONS,
)
SAMPLING = st.builds(
    PersonaSampling,
    temperature=st.one_of(st.none(), st.floats(0, 10)),
    top_k=st.one_of(st.none(), st.integers(0, 1000)),
    top_p=st.one_of(st.none(), st.floats(0.01, 1)),
    min_p=st.one_of(st.none(), st.floats(0, 1)),
    repeat_penalty=st.one_of(st.none(), st.floats(0.01, 10)),
    max_tokens=st.one_of(st.none(), st.integers(1, 100_000)),
)
PERSONAS = st.builds(
    Persona,
    name=FULL_NAMES,
    nickname=NAMES,
    summary=NAMES,
    description=TEXTS,
    personality=TEXTS,
    scenario=TEXTS,
    system=TEXTS,
    greeting=TEXTS,
    greetings=st.lists(TEXTS, max_size=3).map(tuple),
    examples=TEXTS,
    post_history=TEXTS,
    creator_notes=TEXTS,
    creator=NAMES,
    version=NAMES,
    tags=st.lists(FULL_NAMES, max_size=3).map(tuple),
    model=NAMES,
    accent=st.sampled_from(["", "#0a1b2c", "#ffffff"]),
    user_name=NAMES,
    sampling=SAMPLING,
    book=st.one_of(st.none(), BOOKS),
    extensions=EXTENSIONS,
    card=CARD,
)
