"""Several lorebooks in one scan, and what SillyTavern asks of a conversation besides its messages: written from its rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from nemochat.domain.personas import Lorebook, LoreEntry, Persona, UserProfile
from nemochat.personas.lore import Lore, Scan, Situation, constants, lore_of, notes, outlets, scan, standing
from nemochat.personas.macros import Macros
from nemochat.personas.prompt_text import macros_of, plain_system_text, system_text
from tests.personas.test_lore_table import st, v3

MACROS = Macros(char="Ada", user="Tom", seed="1")


def words(text: str) -> int:
    return len(text.split())


def book(*entries: LoreEntry, **fields: Any) -> Lorebook:
    return Lorebook(entries=entries, **fields)


class Case(msgspec.Struct, frozen=True):
    """texts: the messages, the newest last, with ``|`` between them. fires, drops: contents in their order. lore: fields of `Lore`."""

    name: str
    books: tuple[Lorebook, ...]
    texts: str
    fires: str
    drops: str = ""
    budget: int | None = None
    messages: int | None = None
    lore: Mapping[str, Any] = {}


def run(case: Case) -> Scan:
    lore = Lore(case.books, **case.lore)
    return scan(lore, case.texts.split("|"), MACROS, count=words, budget=case.budget, situation=Situation(messages=case.messages))


def only(names: tuple[str, ...] = (), tags: tuple[str, ...] = (), *, excludes: bool = False) -> dict[str, Any]:
    return {"isExclude": excludes, "names": list(names), "tags": list(tags)}


A, B, C = st("A", "wolf"), st("B", "wolf"), st("C", "wolf")
OLD = "wolf|x|x|x|x|x"
"""A conversation in which it was said before the last four messages."""

CASES = [
    # several in one scan
    Case("both are searched", (book(A), book(B)), "wolf", "A B"),
    Case("where they stand is as the entries ask", (book(st("A", "wolf", order=9)), book(st("B", "wolf", order=1))), "wolf", "B A"),
    Case("the first has the budget first", (book(A), book(st("B", "wolf", order=999))), "wolf", "A", "B", budget=1),
    Case("whatever the priority of the others", (book(A), book(v3("B", "wolf", priority=99))), "wolf", "A", "B", budget=1),
    Case("within one the order decides", (book(A, st("B", "wolf", order=200)), book(C)), "wolf", "B", "A C", budget=1),
    Case("within one the priority decides", (book(v3("A", "wolf"), v3("B", "wolf", priority=50)),), "wolf", "B", "A", budget=1),
    Case("one that asks for less has less", (book(A, st("A2", "wolf"), token_budget=1), book(B)), "wolf", "A B", "A2"),
    Case("which the others do not lose", (book(st("A a", "wolf"), token_budget=1), book(B)), "wolf", "B", "A a", budget=9),
    Case("all of them have what there is", (book(A, token_budget=9), book(B, token_budget=9)), "wolf", "A", "B", budget=1),
    Case("the same entry in two of them is there once", (book(A), book(A)), "wolf", "A"),
    Case("so is one that is always there", (book(v3("A", constant=True)), book(v3("A", constant=True))), "x", ""),
    Case("each searches as many messages as it says", (book(A, scan_depth=1), book(B, scan_depth=9)), "wolf|x", "B"),
    Case("0 messages are none", (book(A, scan_depth=0), book(B)), "wolf", "B"),
    Case("one calls another's entries", (book(st("A bear", "wolf"), recursive=True), book(st("B", "bear"))), "wolf", "A bear B"),
    Case("unless it does not chain", (book(st("A bear", "wolf")), book(st("B", "bear"), recursive=True)), "wolf", "A bear"),
    Case("what never chains is as it is", (book(st("A bear", "wolf"), recursive=True), book(st("B", "bear", exclude_recursion=True))),
         "wolf", "A bear B"),
    Case("in its own it holds", (book(st("A bear", "wolf"), st("B", "bear", exclude_recursion=True), recursive=True),), "wolf", "A bear"),
    Case("a group goes over all of them", (book(st("A", "wolf", group="g", group_override=True)), book(st("B", "wolf", group="g"))),
         "wolf", "A", "B"),
    Case("of two that come first, the first book's", (
        book(st("A", "wolf", group="g", group_override=True)), book(st("B", "wolf", order=200, group="g", group_override=True))),
         "wolf", "A", "B"),
    Case("none at all", (), "wolf", ""),
    Case("one without entries", (book(), book(A)), "wolf", "A"),
    # for whom
    Case("for this persona", (book(st("A", "wolf", character_filter=only(("Ada",)))),), "wolf", "A", lore={"name": "Ada"}),
    Case("whatever the case", (book(st("A", "wolf", character_filter=only(("ADA",)))),), "wolf", "A", lore={"name": "ada"}),
    Case("for another", (book(st("A", "wolf", character_filter=only(("Bob",)))),), "wolf", "", "A", lore={"name": "Ada"}),
    Case("for others than this", (book(st("A", "wolf", character_filter=only(("Ada",), excludes=True))),),
         "wolf", "", "A", lore={"name": "Ada"}),
    Case("for others it is", (book(st("A", "wolf", character_filter=only(("Bob",), excludes=True))),), "wolf", "A", lore={"name": "Ada"}),
    Case("with this tag", (book(st("A", "wolf", character_filter=only(tags=("elf",)))),),
         "wolf", "A", lore={"name": "Ada", "tags": ("elf", "x")}),
    Case("without this tag", (book(st("A", "wolf", character_filter=only(tags=("elf",)))),),
         "wolf", "", "A", lore={"name": "Ada", "tags": ("x",)}),
    Case("for those without this tag", (book(st("A", "wolf", character_filter=only(tags=("elf",), excludes=True))),), "wolf", "A",
         lore={"name": "Ada"}),
    Case("both have to be so", (book(st("A", "wolf", character_filter=only(("Ada",), ("elf",)))),), "wolf", "", "A", lore={"name": "Ada"}),
    Case("no names and tags are for everybody", (book(st("A", "wolf", character_filter=only(excludes=True))),), "wolf", "A"),
    Case("without a persona it is for nobody's", (book(st("A", "wolf", character_filter=only(("Ada",)))),), "wolf", "", "A"),
    Case("nobody is excluded then", (book(st("A", "wolf", character_filter=only(("Ada",), excludes=True))),), "wolf", "A"),
    Case("what makes no sense is passed over", (book(st("A", "wolf", character_filter=[1])),), "wolf", "A"),
    Case("names that are none, too", (book(st("A", "wolf", character_filter={"names": [1, None], "tags": "x"})),), "wolf", "A"),
    Case("one who is not called says nothing", (book(st("A", "bear", character_filter=only(("Bob",)))),), "wolf", ""),
    Case("what is always there goes by it too", (book(st("A", constant=True, character_filter=only(("Bob",)))),), "x", "", "A",
         lore={"name": "Ada"}),
    # older messages
    Case("further back nothing is found", (book(A),), OLD, ""),
    Case("until one is there", (book(A),), OLD, "A", lore={"at_least": 1}),
    Case("it stops when there are enough", (book(A, st("B", "x")),), OLD, "B", lore={"at_least": 1}),
    Case("it goes on when there are not", (book(A, st("B", "x")),), OLD, "A B", lore={"at_least": 2}),
    Case("what is always there counts", (book(A, v3("B", constant=True)),), OLD, "", lore={"at_least": 1}),
    Case("its own depth holds", (book(st("A", "wolf", scan_depth=2)),), OLD, "", lore={"at_least": 1}),
    Case("it ends with the first message", (book(A),), "x|x|x|x|x|x|x", "", lore={"at_least": 1}),
    Case("what was found calls others", (book(st("A bear", "wolf"), st("B", "bear"), recursive=True),),
         OLD, "A bear B", lore={"at_least": 1}),
    Case("each goes on from its own depth", (book(A, scan_depth=1), book(st("B", "bear"), scan_depth=2)), "bear|wolf|x", "A B",
         lore={"at_least": 2}),
    Case("further keys may be further back", (book(st("A", "x", more=("wolf",))),), OLD, "A", lore={"at_least": 1}),
    Case("without room it does not go on", (book(A, st("B b", "x")),), OLD, "", "B b", budget=1, lore={"at_least": 2}),
    # what else is searched
    Case("the author's note", (book(A),), "x", "A", lore={"note": "a wolf"}),
    Case("with its macros", (book(st("A", "Tom")),), "x", "A", lore={"note": "{{user}}"}),
    Case("an empty one is nothing", (book(st("A", "/^/")),), "", "A"),
    Case("the description, for who asks for it", (book(st("A", "wolf", match_character_description=True), B),), "x", "A",
         lore={"texts": {"match_character_description": "{{char}} is a wolf"}}),
    Case("not another text", (book(st("A", "wolf", match_scenario=True)),), "x", "", lore={"texts": {"match_creator_notes": "wolf"}}),
    Case("it needs the key there", (book(st("A", "bear", match_scenario=True)),), "x", "", lore={"texts": {"match_scenario": "wolf"}}),
    # outlets and room
    Case("an outlet that stands nowhere", (book(st("A", "wolf", position=7, outlet_name="x")),), "wolf", "", "A"),
    Case("one that does", (book(st("A", "wolf", position=7, outlet_name=" X ")),), "wolf", "A", lore={"outlets": frozenset({"x"})}),
    Case("an outlet without a name is no place", (book(st("A", "wolf", position=7)),), "wolf", "", "A"),
    Case("the name alone is none", (book(st("A", "wolf", outlet_name="x")),), "wolf", "A"),
    Case("always there, but its outlet nowhere", (book(st("A", constant=True, position=7, outlet_name="x")),), "x", "", "A"),
    Case("without limit", (book(st("A a a", "wolf", ignore_budget=True)),), "wolf", "A a a", budget=1),
    Case("it takes room all the same", (book(st("A a a", "wolf", ignore_budget=True, order=200), B),), "wolf", "A a a", "B", budget=1),
    Case("and more than its lorebook has", (book(st("A a a", "wolf", ignore_budget=True), token_budget=1),), "wolf", "A a a", budget=9),
]  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_what_fires(case: Case) -> None:
    result = run(case)
    assert " ".join(each.text for each in result.fired) == case.fires
    assert " ".join(sorted(each.text for each in result.dropped)) == case.drops


def test_names_are_of_their_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("entry", "lore", "why"),
    [
        (st("A", "wolf", character_filter=only(("Bob", "Eve"))),
         {"name": "Ada"}, "it is for Bob, Eve; called by the key “wolf” in the last message"),
        (st("A", "wolf", character_filter=only(("Ada",), excludes=True)), {"name": "Ada"}, "it is not for Ada"),
        (st("A", "wolf", position=7, outlet_name="Sky"), {}, "its outlet “sky” stands in no text"),
    ],
)
def test_why_not(entry: LoreEntry, lore: Mapping[str, Any], why: str) -> None:
    (dropped,) = run(Case("", (book(entry),), "wolf", "", lore=lore)).dropped
    assert dropped.reason.startswith(why)


def test_the_lorebook_is_named_where_there_are_several() -> None:
    first, second = book(A, name="Woods"), book(B)
    assert [each.reason for each in run(Case("", (first, second), "wolf", "")).fired] == [
        "the key “wolf” in the last message, of the lorebook “Woods”", "the key “wolf” in the last message",
    ]  # fmt: skip
    assert run(Case("", (first,), "wolf", "")).fired[0].reason == "the key “wolf” in the last message"


@pytest.mark.parametrize(
    ("lore", "where"),
    [
        ({"note": "wolf"}, "the author's note"),
        ({"texts": {"match_character_personality": "wolf"}}, "the personality"),
        ({"at_least": 1}, "the message 5 before the last"),
    ],
)
def test_where_it_was_found_is_said(lore: Mapping[str, Any], where: str) -> None:
    entry = st("A", "wolf", match_character_personality=True)
    (fired,) = run(Case("", (book(entry),), OLD if "at_least" in lore else "x", "", lore=lore)).fired
    assert fired.reason == f"the key “wolf” in {where}"


def test_what_cannot_be_read_of_lorebooks_is_a_notice_even_without_any() -> None:
    assert scan(Lore(problems=("No such book.",)), ["x"], MACROS, count=words).notices == ("No such book.",)
    assert run(Case("", (book(A),), "x", "", lore={"problems": ("No such book.",)})).notices == ("No such book.",)


def test_what_is_always_there_comes_from_all_of_them_in_order() -> None:
    one = book(v3("third", constant=True, order=3), v3("first", constant=True, order=1))
    two = book(v3("second", constant=True, order=2), v3("@@depth 1\nnote", constant=True), A)
    lore = Lore((one, two))
    assert [entry.content for entry in constants(lore)[0]] == ["first", "second", "third"]
    assert [rules.said.text for rules in notes(lore)] == ["note"]
    assert standing(lore) == ["first", "second", "third", "note"]
    found = run(Case("", (one, two), "wolf", ""))
    assert [each.text for each in found.always] == ["first", "second", "third", "note"]
    assert [each.text for each in found.fired] == ["A"]


def test_a_macro_stands_for_what_its_outlet_has() -> None:
    sky: dict[str, Any] = {"constant": True, "position": 7}
    entries = (st("It rains on {{char}}.", outlet_name="Sky", **sky), st("B", outlet_name="sky", **sky))
    persona = Persona(name="Ada", description="Above: {{outlet::SKY}} {{outlet::none}}.", book=book(*entries))
    lore = Lore((persona.book,) if persona.book is not None else (), outlets=frozenset({"sky", "none"}))
    assert outlets(lore) == {"sky": "It rains on {{char}}.\nB", "none": ""}
    values = {f"outlet::{name}": MACROS.expand(text) for name, text in outlets(lore).items()}
    macros = macros_of(persona, UserProfile(), seed="1", values=values)
    assert macros.own("description") == "Above: It rains on Ada.\nB ."
    assert system_text(persona, UserProfile(), "", seed="1", values=values, lore=lore).endswith("Above: It rains on Ada.\nB .")


def test_a_conversation_without_a_persona_has_them_behind_its_system_text() -> None:
    lore = Lore((book(v3("{{user}} is here.", constant=True), v3("B", constant=True, extensions={"position": 1})),))
    assert plain_system_text("S.", lore, MACROS) == "S.\n\nTom is here.\n\nB"
    assert plain_system_text("", lore, MACROS) == "Tom is here.\n\nB"


def test_the_lorebook_of_a_persona() -> None:
    assert lore_of(None) == lore_of(Persona(name="Ada")) == Lore()
    assert lore_of(Persona(name="Ada", tags=("x",), book=book(A))) == Lore((book(A),), "Ada", ("x",))
