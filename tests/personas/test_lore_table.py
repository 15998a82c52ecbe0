"""Cases of lorebook entries with what has to fire, written from the rules of SillyTavern and of version 3, not from the code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from nemochat.domain.messages import Speaker
from nemochat.domain.personas import Lorebook, LoreEntry, Position
from nemochat.personas.lore import Lore, Scan, Situation, constants, notes, scan
from nemochat.personas.lore_rules import Place, rules_of
from nemochat.personas.macros import Macros

MARK = {"selectiveLogic": 0, "display_index": 0}


def st(content: str, *keys: str, more: tuple[str, ...] = (), order: int = 100, constant: bool = False, **extensions: Any) -> LoreEntry:
    """An entry as SillyTavern exports it."""
    return LoreEntry(
        content=content, keys=keys, secondary_keys=more, selective=True, use_regex=True, order=order, constant=constant,
        extensions={**MARK, **extensions},
    )  # fmt: skip


def v3(content: str, *keys: str, **fields: Any) -> LoreEntry:
    """An entry of version 3."""
    return LoreEntry(content=content, keys=keys, **fields)


class Case(msgspec.Struct, frozen=True):
    """texts: the messages, the newest last, with ``|`` between them. fires: contents in the order in which they stand. fired: when what has
    this content has fired before. The rest is as in `Lorebook` and `Situation`."""

    name: str
    entries: tuple[LoreEntry, ...]
    texts: str
    fires: str
    recursive: bool = False
    scan_depth: int | None = None
    budget: int | None = None
    messages: int | None = None
    replies: int | None = None
    greeting: int | None = None
    fired: Mapping[str, tuple[int, ...]] = {}
    already: tuple[str, ...] = ()
    seed: str = "1"


def run(case: Case) -> Scan:
    book = Lorebook(entries=case.entries, recursive=case.recursive, scan_depth=case.scan_depth)
    ids = {rules.entry.content: rules.id for rules in rules_of(book)}
    situation = Situation(case.replies, case.greeting, case.messages, {ids[content]: at for content, at in case.fired.items()})
    return scan(
        Lore((book,)), case.texts.split("|"), Macros(char="Ada", user="Tom", seed=case.seed), count=lambda text: len(text.split()),
        already=case.already, budget=case.budget, situation=situation,
    )  # fmt: skip


def logic(number: int, name: str, texts: Mapping[str, str]) -> list[Case]:
    entry = st("A", "wolf", more=("red", "old"), selectiveLogic=number)
    return [Case(f"{name}: {text}", (entry,), text, fires) for text, fires in texts.items()]


CASES = [
    # plain keys of SillyTavern's exports
    Case("a key without slashes is plain, whatever use_regex says", (st("A", "w.lf"),), "a wolf", ""),
    Case("and is found as it is written", (st("A", "w.lf"),), "a w.lf", "A"),
    Case("a key between slashes is an expression", (st("A", "/w.lf/"),), "a wolf", "A"),
    Case("its flags count", (st("A", "/WOLF/i"),), "a wolf", "A"),
    Case("without them case counts", (st("A", "/WOLF/"),), "a wolf", ""),
    Case("a slash within that is not escaped makes it plain", (st("A", "/usr/bin/"),), "in /usr/bin/ now", "A"),
    Case("and no expression", (st("A", "/usr/bin/"),), "usr/bin", ""),
    Case("an escaped one does not", (st("A", r"/a\/b/"),), "a/b", "A"),
    Case("a key with brackets is plain", (st("A", "fox (red)"),), "the fox (red) came", "A"),
    Case("a key with a star is plain", (st("A", "C*"),), "CCC", ""),
    Case("display_index alone is a mark", (v3("A", "w.lf", use_regex=True, extensions={"display_index": 1}),), "wolf", ""),
    Case("selectiveLogic alone is a mark", (v3("A", "w.lf", use_regex=True, extensions={"selectiveLogic": 0}),), "wolf", ""),
    Case("other extensions are none", (v3("A", "w.lf", use_regex=True, extensions={"depth": 4}),), "wolf", "A"),
    Case("without a mark use_regex counts", (v3("A", "w.lf", use_regex=True),), "wolf", "A"),
    Case("an expression of version 3 does not mind case", (v3("A", "WOLF", use_regex=True),), "wolf", "A"),
    Case("unless it is told to", (v3("A", "WOLF", use_regex=True, case_sensitive=True),), "wolf", ""),
    Case("one that is none is no match", (v3("A", "(", use_regex=True),), "(", ""),
    Case("the other keys of its entry are", (v3("A", "(", "wolf", use_regex=True),), "wolf", "A"),
    Case("any of the keys will do", (st("A", "fox", "wolf"),), "wolf", "A"),
    Case("no keys, no match", (st("A"),), "wolf", ""),
    Case("empty keys say nothing", (st("A", "", " "),), "wolf", ""),
    Case("white space around a key does not matter", (st("A", " wolf "),), "wolf", "A"),
    # case
    Case("case does not matter", (st("A", "Wolf"),), "WOLF", "A"),
    Case("unless the extension says so", (st("A", "Wolf", case_sensitive=True),), "wolf", ""),
    Case("then the right one is found", (st("A", "Wolf", case_sensitive=True),), "Wolf", "A"),
    Case("null is not yes", (st("A", "Wolf", case_sensitive=None),), "wolf", "A"),
    Case("the field of version 3 comes first", (v3("A", "Wolf", case_sensitive=False, extensions={"case_sensitive": True}),), "wolf", "A"),
    Case("it holds for further keys", (st("A", "x", more=("Wolf",), case_sensitive=True),), "x wolf", ""),
    Case("and not for expressions", (st("A", "/wolf/i", case_sensitive=True),), "WOLF", "A"),
    # whole words
    Case("a key is a whole word", (st("A", "wolf"),), "werewolf", ""),
    Case("at the end too", (st("A", "wolf"),), "wolfhound", ""),
    Case("beside a mark it is one", (st("A", "wolf"),), "“wolf”!", "A"),
    Case("match_whole_words off finds it anywhere", (st("A", "wolf", match_whole_words=False),), "werewolf", "A"),
    Case("on does not", (st("A", "wolf", match_whole_words=True),), "werewolf", ""),
    Case("SillyTavern takes several words as they are", (st("A", "old wolf"),), "cold wolfhound", "A"),
    Case("version 3 leaves it open: whole here", (v3("A", "old wolf"),), "cold wolfhound", ""),
    Case("scripts without spaces have no edges", (st("A", "狼"),), "森の狼が", "A"),
    Case("whole words and case together", (st("A", "Elf", case_sensitive=True, match_whole_words=False),), "Elfin shelf", "A"),
    Case("and not found then", (st("A", "Elf", case_sensitive=True, match_whole_words=False),), "shelf", ""),
    # selective logic
    *logic(0, "and any", {"wolf": "", "red wolf": "A", "old red wolf": "A", "red": ""}),
    *logic(1, "not all", {"wolf": "A", "red wolf": "A", "old red wolf": "", "red": ""}),
    *logic(2, "not any", {"wolf": "A", "red wolf": "", "old red wolf": "", "red": ""}),
    *logic(3, "and all", {"wolf": "", "red wolf": "", "old red wolf": "A", "red old": ""}),
    Case("a logic that is none is the first", (st("A", "wolf", more=("red",), selectiveLogic=9),), "wolf", ""),
    Case("without further keys it does not matter", (st("A", "wolf", selectiveLogic=3),), "wolf", "A"),
    Case("empty further keys are none", (st("A", "wolf", more=("", " "), selectiveLogic=0),), "wolf", "A"),
    Case("what is not selective has no further keys", (v3("A", "wolf", secondary_keys=("red",)),), "wolf", "A"),
    Case("further keys may be in another message", (st("A", "wolf", more=("red",)),), "red|wolf", "A"),
    Case("within reach", (st("A", "wolf", more=("red",), scan_depth=1),), "red|wolf", ""),
    Case("not any, in another message", (st("A", "wolf", more=("red",), selectiveLogic=2),), "red|wolf", ""),
    Case("not any, out of reach", (st("A", "wolf", more=("red",), selectiveLogic=2, scan_depth=1),), "red|wolf", "A"),
    Case("further keys may be expressions", (st("A", "wolf", more=("/r.d/",)),), "wolf rid", "A"),
    Case("version 3: with use_regex further keys mean nothing", (
        v3("A", "wolf", use_regex=True, selective=True, secondary_keys=("x",)),), "wolf", "A"),
    # depth
    Case("four messages are searched", (st("A", "wolf"),), "wolf|1|2|3", "A"),
    Case("and no more", (st("A", "wolf"),), "wolf|1|2|3|4", ""),
    Case("the book says how many", (st("A", "wolf"),), "wolf|1", "", scan_depth=1),
    Case("the entry knows better", (st("A", "wolf", scan_depth=2),), "wolf|1", "A", scan_depth=1),
    Case("in both directions", (st("A", "wolf", scan_depth=1),), "wolf|1", "", scan_depth=5),
    Case("none at all", (st("A", "wolf", scan_depth=0),), "wolf", ""),
    Case("null leaves it to the book", (st("A", "wolf", scan_depth=None),), "wolf|1", "A", scan_depth=2),
    Case("the decorator comes first", (st("@@scan_depth 1\nA", "wolf", scan_depth=9),), "wolf|1", ""),
    Case("very deep", (st("A", "wolf", scan_depth=100),), "wolf|" + "|".join("x" * 99), "A"),
    # chance
    Case("a chance of 100 is none", (st("A", "wolf", probability=100),), "wolf", "A"),
    Case("one of 0 never comes up", (st("A", "wolf", probability=0),), "wolf", ""),
    Case("unless chance is not used", (st("A", "wolf", probability=0, useProbability=False),), "wolf", "A"),
    Case("it needs its key all the same", (st("A", "wolf", probability=100),), "fox", ""),
    Case("what always holds has a chance too", (st("A", constant=True, probability=0),), "x", ""),
    Case("one that stays needs no luck again", (st("A", "wolf", probability=0, sticky=9),), "x", "A", messages=6, fired={"A": (2,)}),
    # groups
    Case("of a group one fires", (st("A", "wolf", group="g", group_override=True), st("B", "wolf", group="g")), "wolf", "A"),
    Case("another group is another", (st("A", "wolf", group="g"), st("B", "wolf", group="h")), "wolf", "A B"),
    Case("who is not called has no part", (st("A", "fox", group="g", group_override=True), st("B", "wolf", group="g")), "wolf", "B"),
    Case("of those that come first the highest order does", (
        st("A", "wolf", group="g", group_override=True, order=1), st("B", "wolf", group="g", group_override=True, order=2)), "wolf", "B"),
    Case("a weight of nearly nothing", (
        st("A", "wolf", group="g", group_weight=1), st("B", "wolf", group="g", group_weight=10**6)), "wolf", "B"),
    Case("several groups, names between commas", (
        st("A", "wolf", group="g, h", group_override=True), st("B", "wolf", group="g"), st("C", "wolf", group="h")), "wolf", "A"),
    Case("more keys found win", (
        st("A", "wolf", group="g", use_group_scoring=True), st("B", "wolf", "red", group="g", use_group_scoring=True)), "red wolf", "B"),
    Case("further keys count", (
        st("A", "wolf", more=("red",), group="g", use_group_scoring=True), st("B", "wolf", group="g", use_group_scoring=True)),
        "red wolf", "A"),
    Case("what stays wins", (
        st("A", "wolf", group="g", sticky=9), st("B", "wolf", group="g", group_override=True)), "wolf", "A", messages=4, fired={"A": (2,)}),
    Case("a loser of chance does not give its place away", (
        st("A", "wolf", group="g", group_override=True, probability=0), st("B", "wolf", group="g")), "wolf", ""),
    Case("a group that has fired is closed to later rounds", (
        st("fox", "wolf", group="g"), st("B", "fox", group="g", group_override=True)), "wolf", "fox", recursive=True),
    # timed
    Case("what stays fires without its key", (st("A", "wolf", sticky=4),), "x", "A", messages=4, fired={"A": (2,)}),
    Case("until its time is over", (st("A", "wolf", sticky=4),), "x", "", messages=6, fired={"A": (2,)}),
    Case("then its key counts again", (st("A", "wolf", sticky=4),), "wolf", "A", messages=6, fired={"A": (2,)}),
    Case("not again with the same message", (st("A", "wolf", sticky=4),), "x", "", messages=2, fired={"A": (2,)}),
    Case("the last time counts", (st("A", "wolf", sticky=4),), "x", "A", messages=12, fired={"A": (2, 10)}),
    Case("what rests does not fire", (st("A", "wolf", cooldown=4),), "wolf", "", messages=4, fired={"A": (2,)}),
    Case("until its time is over, at rest", (st("A", "wolf", cooldown=4),), "wolf", "A", messages=6, fired={"A": (2,)}),
    Case("at rest although it always holds", (st("A", constant=True, cooldown=4),), "x", "", messages=4, fired={"A": (2,)}),
    Case("staying comes before resting", (st("A", "wolf", sticky=3, cooldown=4),), "x", "A", messages=4, fired={"A": (2,)}),
    Case("and resting after it", (st("A", "wolf", sticky=3, cooldown=4),), "wolf", "", messages=8, fired={"A": (2,)}),
    Case("both are over", (st("A", "wolf", sticky=3, cooldown=4),), "wolf", "A", messages=9, fired={"A": (2,)}),
    Case("it waits until there are messages", (st("A", "wolf", delay=4),), "wolf", "", messages=3),
    Case("and then no more", (st("A", "wolf", delay=4),), "wolf", "A", messages=4),
    Case("it waits although it always holds", (st("A", constant=True, delay=4),), "x", "", messages=3),
    Case("and holds then", (st("A", constant=True, delay=4),), "x", "A", messages=4),
    Case("where nothing is known of time it does not matter", (st("A", "wolf", delay=4, cooldown=9, sticky=9),), "wolf", "A"),
    Case("null is none", (st("A", "wolf", delay=None, cooldown=None, sticky=None),), "wolf", "A", messages=1),
    Case("nonsense is none", (
        st("A", "wolf", delay="x", cooldown=-3, probability="x", group=7, scan_depth=True),), "wolf", "A", messages=1),
    # recursion
    Case("what fired is searched", (st("fox", "wolf"), st("B", "fox")), "wolf", "fox B", recursive=True),
    Case("not in a book that does not say so", (st("fox", "wolf"), st("B", "fox")), "wolf", "fox"),
    Case("an entry that chains do not reach", (st("fox", "wolf"), st("B", "fox", exclude_recursion=True)), "wolf", "fox", recursive=True),
    Case("is called by messages", (st("fox", "wolf"), st("B", "fox", exclude_recursion=True)), "wolf fox", "fox B", recursive=True),
    Case("an entry that ends chains", (st("fox", "wolf", prevent_recursion=True), st("B", "fox")), "wolf", "fox", recursive=True),
    Case("one that waits for chains is not called by messages", (st("A", "wolf", delay_until_recursion=True),), "wolf", "", recursive=True),
    Case("but once there is one", (st("A", "wolf", delay_until_recursion=True), st("B", "wolf")), "wolf", "A B", recursive=True),
    Case("by what is in it too", (st("A", "fox", delay_until_recursion=True), st("fox", "wolf")), "wolf", "A fox", recursive=True),
    Case("a level by number", (st("A", "wolf", delay_until_recursion=1), st("B", "wolf")), "wolf", "A B", recursive=True),
    Case("the second level comes after the first", (
        st("A", "fox", delay_until_recursion=2), st("fox", "hen", delay_until_recursion=1), st("hen", "wolf")),
        "wolf", "A fox hen", recursive=True),
    Case("a second level is opened when nothing else happens", (
        st("A", "wolf", delay_until_recursion=1), st("B", "wolf", delay_until_recursion=2)), "wolf", "A B", recursive=True),
    Case("chains go on", tuple(st(f"k{n + 1}", f"k{n}") for n in range(9)), "k0", " ".join(f"k{n + 1}" for n in range(9)), recursive=True),
    Case("and end where they began", (st("one two", "two"), st("two one", "one")), "one", "one two two one", recursive=True),
    Case("what always holds is searched", (st("fox", constant=True), st("B", "fox")), "x", "B", recursive=True),
    Case("but not when it ends chains", (st("fox", constant=True, prevent_recursion=True), st("B", "fox")), "x", "", recursive=True),
    Case("and not for what chains do not reach", (
        st("fox", constant=True), st("B", "fox", exclude_recursion=True)), "x", "", recursive=True),
    Case("one that was not drawn is not searched", (st("fox", "wolf", probability=0), st("B", "fox")), "wolf", "", recursive=True),
    Case("a chain brings the further key", (st("B", "wolf", more=("fox",)), st("fox", "wolf")), "wolf", "B fox", recursive=True),
    Case("a chain does not undo what fired", (
        st("B", "wolf", more=("fox",), selectiveLogic=2), st("fox", "wolf")), "wolf", "B fox", recursive=True),
    Case("depth does not hold chains back", (st("fox", "wolf"), st("B", "fox", scan_depth=0)), "wolf", "fox B", recursive=True),
    Case("the loser of a group is not searched", (
        st("A", "wolf", group="g", group_override=True), st("fox", "wolf", group="g"), st("C", "fox")), "wolf", "A", recursive=True),
    # order and budget
    Case("lower stands higher up", (st("B", "wolf", order=2), st("A", "wolf", order=1)), "wolf", "A B"),
    Case("of one order as in the book", (st("B", "wolf"), st("A", "wolf")), "wolf", "B A"),
    Case("the budget drops the lowest order first", (st("A a", "wolf", order=1), st("B b", "wolf", order=2)), "wolf", "B b", budget=3),
    Case("priority comes before order", (v3("A a", "wolf", order=1, priority=11), v3("B b", "wolf", order=2)), "wolf", "A a", budget=3),
    Case("what is left is given to what fits", (st("A a a", "wolf", order=2), st("B", "wolf", order=1)), "wolf", "B", budget=2),
    Case("no budget, nothing", (st("A", "wolf"),), "wolf", "", budget=0),
    Case("what was called by messages comes before what chains call", (
        st("fox", "wolf", order=1), st("B", "fox", order=9)), "wolf", "fox", recursive=True, budget=1),
    Case("a budget that is over ends chains", (
        st("fox", "wolf"), st("B b b b", "wolf"), st("C", "fox")), "wolf", "fox", recursive=True, budget=3),
    Case("what stays comes before a higher order", (
        st("A a", "wolf", sticky=9, order=1), st("B b", "wolf", order=9)), "wolf", "A a", budget=2, messages=4, fired={"A a": (2,)}),
    Case("version 3: the first to make room", (
        v3("@@ignore_on_max_context\nA", "wolf", priority=99), v3("B", "wolf")), "wolf", "B", budget=1),
    # what is there already
    Case("it is not said again", (st("A", "wolf"),), "wolf", "", already=("A",)),
    Case("unless it has rested", (st("A", "wolf", cooldown=2),), "wolf", "A", already=("A",), messages=6, fired={"A": (2,)}),
    Case("it takes no budget", (st("A a a", "wolf"), st("B", "wolf")), "wolf", "B", already=("A a a",), budget=1),
    Case("it is searched all the same", (st("fox", "wolf"), st("B", "fox")), "wolf", "B", already=("fox",), recursive=True),
    # switches
    Case("off is off", (v3("A", "wolf", enabled=False),), "wolf", ""),
    Case("off is off for what always holds", (v3("A", constant=True, enabled=False),), "wolf", ""),
    Case("empty content adds nothing", (st("  ", "wolf"),), "wolf", ""),
    Case("keys with macros", (st("A", "{{user}}"),), "Tom is here", "A"),
    Case("further keys with macros", (st("A", "wolf", more=("{{char}}",)),), "wolf and Ada", "A"),
    Case("expressions with macros", (st("A", "/{{user}}s?/"),), "Toms", "A"),
    # decorators of version 3
    Case("activate fires in any case", (v3("@@activate\n@@activate_only_after 2\nA",),), "x", "A", replies=2),
    Case("dont_activate in none", (v3("@@dont_activate\nA", "wolf"),), "wolf", ""),
    Case("both: activate", (v3("@@dont_activate\n@@activate\n@@is_greeting 0\nA"),), "x", "A", greeting=0),
    Case("only after so many replies", (v3("@@activate_only_after 3\nA", "wolf"),), "wolf", "", replies=2),
    Case("from then on", (v3("@@activate_only_after 3\nA", "wolf"),), "wolf", "A", replies=3),
    Case("only every so many", (v3("@@activate_only_every 2\nA", "wolf"),), "wolf", "", replies=3),
    Case("those it is", (v3("@@activate_only_every 2\nA", "wolf"),), "wolf", "A", replies=4),
    Case("every 0 is no condition", (v3("@@activate_only_every 0\nA", "wolf"),), "wolf", "A", replies=3),
    Case("another greeting", (v3("@@is_greeting 1\nA", "wolf"),), "wolf", "", greeting=0),
    Case("that greeting", (v3("@@is_greeting 1\nA", "wolf"),), "wolf", "A", greeting=1),
    Case("additional keys are needed", (v3("@@additional_keys red,old\nA", "wolf"),), "wolf", ""),
    Case("one of them", (v3("@@additional_keys red,old\nA", "wolf"),), "old wolf", "A"),
    Case("one of each list", (v3("@@additional_keys red\n@@additional_keys old\nA", "wolf"),), "old wolf", ""),
    Case("of both", (v3("@@additional_keys red\n@@additional_keys old\nA", "wolf"),), "old red wolf", "A"),
    Case("with expressions they are more keys", (v3("@@additional_keys r.d\nA", "wolf", use_regex=True),), "red", "A"),
    Case("excluded keys hold it back", (v3("@@exclude_keys red\nA", "wolf"),), "red wolf", ""),
    Case("where they are not there it fires", (v3("@@exclude_keys red\nA", "wolf"),), "wolf", "A"),
    Case("with expressions they mean nothing", (v3("@@exclude_keys red\nA", "wolf", use_regex=True),), "red wolf", "A"),
    Case("kept after a match", (
        v3("@@keep_activate_after_match\nA", "wolf"),), "x", "A", messages=9, fired={"@@keep_activate_after_match\nA": (2,)}),
    Case("not before one", (v3("@@keep_activate_after_match\nA", "wolf"),), "x", "", messages=9),
    Case("once and never again", (
        v3("@@dont_activate_after_match\nA", "wolf"),), "wolf", "", messages=9, fired={"@@dont_activate_after_match\nA": (2,)}),
    Case("but once", (v3("@@dont_activate_after_match\nA", "wolf"),), "wolf", "A", messages=9),
    Case("constant is ignored for expressions with keys", (v3("A", "wolf", use_regex=True, constant=True),), "x", ""),
    Case("which fire as usual", (v3("A", "wolf", use_regex=True, constant=True),), "wolf", "A"),
]  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_what_fires(case: Case) -> None:
    result = run(case)
    assert " ".join(each.text for each in result.fired) == case.fires
    assert all(each.reason for each in (*result.fired, *result.dropped))


def test_there_are_enough_cases_and_each_has_a_name_of_its_own() -> None:
    assert len(CASES) >= 120
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("case", "why"),
    [
        (Case("", (
        st("A", "wolf", probability=0),), "wolf", ""), "its chance of 0 % did not come up; called by the key “wolf” in the last message"),
        (Case("", (
        st("A", "wolf", group="g", group_override=True), st("B", "wolf", group="g")), "wolf", ""), "“wolf” was taken of the group “g”"),
        (Case("", (st("A", "wolf", cooldown=4),), "wolf", "", messages=4, fired={"A": (2,)}), "it rests until there are 6 messages"),
        (Case("", (st("A", "wolf", delay=4),), "wolf", "", messages=3), "it waits until there are 4 messages"),
        (Case("", (st("A a a", "wolf"),), "wolf", "", budget=2), "its 3 tokens are more than what is left of 2"),
    ],
)
def test_what_was_called_and_is_not_there_says_why(case: Case, why: str) -> None:
    (dropped,) = run(case).dropped
    assert dropped.reason.startswith(why)


def test_a_key_that_cannot_be_read_is_named_although_nothing_calls_it() -> None:
    notices = run(Case("", (st("A", "/(/", "/wolves(/"), v3("B", "[", use_regex=True)), "x", "")).notices
    assert len(notices) == 3
    assert all("is no valid regular expression" in notice for notice in notices)


@pytest.mark.parametrize("drawn", ["chance", "group"])
def test_chance_is_drawn_once_for_a_place_of_a_chat(drawn: str) -> None:
    """Fails when a prompt that is made again draws again, or when every place draws the same."""
    entries = (
        (st("A", "wolf", probability=50),) if drawn == "chance" else (st("A", "wolf", group="g"), st("B", "wolf", group="g"))
    )  # fmt: skip
    results = []
    for number in range(200):
        case = Case("", entries, "wolf", "", messages=number, seed="7")
        first, again = run(case), run(case)
        assert [each.text for each in first.fired] == [each.text for each in again.fired]
        results.append([each.text for each in first.fired] == ["A"])
    assert 60 < sum(results) < 140
    other = [[each.text for each in run(Case("", entries, "wolf", "", messages=number, seed="8")).fired] == ["A"] for number in range(200)]
    assert other != results


def test_weights_are_shares() -> None:
    entries = st("A", "wolf", group="g", group_weight=300), st("B", "wolf", group="g", group_weight=100)
    texts = [run(Case("", entries, "wolf", "", messages=number)).fired[0].text for number in range(400)]
    assert 250 < texts.count("A") < 350


@pytest.mark.parametrize(
    ("entry", "place", "depth", "speaker"),
    [
        (st("A", position=0), Place.BEFORE, None, Speaker.SYSTEM),
        (st("A", position=1), Place.AFTER, None, Speaker.SYSTEM),
        (st("A", position=2), Place.NOTE_TOP, None, Speaker.SYSTEM),
        (st("A", position=3), Place.NOTE_BOTTOM, None, Speaker.SYSTEM),
        (st("A", position=4), Place.DEPTH, 4, Speaker.SYSTEM),
        (st("A", position=4, depth=2, role=1), Place.DEPTH, 2, Speaker.USER),
        (st("A", position=4, depth=0, role=2), Place.DEPTH, 0, Speaker.ASSISTANT),
        (st("A", position=5), Place.AFTER, None, Speaker.SYSTEM),
        (st("A", position=99, role=9), Place.BEFORE, None, Speaker.SYSTEM),
        (v3("A", position=Position.AFTER), Place.AFTER, None, Speaker.SYSTEM),
        (v3("A", position=Position.AFTER, extensions={"position": 0}), Place.BEFORE, None, Speaker.SYSTEM),
        (v3("@@depth 3\n@@role assistant\nA"), Place.DEPTH, 3, Speaker.ASSISTANT),
        (v3("@@depth 3\n@@position after_desc\nA"), Place.AFTER, None, Speaker.SYSTEM),
        (v3("@@depth -5\nA"), Place.DEPTH, 0, Speaker.SYSTEM),
        (v3("@@position personality\n@@@depth 2\nA"), Place.DEPTH, 2, Speaker.SYSTEM),
    ],
)
def test_where_an_entry_stands(entry: LoreEntry, place: Place, depth: int | None, speaker: Speaker) -> None:
    book = Lorebook(entries=(msgspec.structs.replace(entry, constant=True),))
    (rules,) = rules_of(book)
    assert (rules.place, rules.depth, rules.speaker) == (place, depth, speaker)
    before, after = constants(Lore((book,)))
    is_note = place not in (Place.BEFORE, Place.AFTER)
    assert [len(before), len(after), len(notes(Lore((book,))))] == [place is Place.BEFORE, place is Place.AFTER, is_note]
