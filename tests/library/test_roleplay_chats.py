"""Conversations of roleplay programs, each in its own form, whole or broken."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemochat.domain.chat import Chat
from nemochat.domain.messages import Role
from nemochat.domain.personas import AuthorNote
from nemochat.library import Library, LibraryError
from nemochat.library.foreign import keep, read_foreign
from nemochat.library.roleplay_chats import of_value, silly_tavern
from nemochat.library.values import ForeignChat

U, A = Role.USER, Role.ASSISTANT


def read(folder: Path, content: object, name: str = "chat.json") -> list[ForeignChat]:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    found = list(read_foreign(folder / name))
    assert not [each for each in found if isinstance(each, str)]
    return [each for each in found if not isinstance(each, str)]


def said(chat: Chat) -> list[tuple[Role, str]]:
    return [(entry.message.role, entry.message.text) for entry in chat.entries]


def line(mes: str, *, is_user: bool = False, **more: Any) -> dict[str, Any]:
    return {"name": "Anna" if is_user else "Mira", "is_user": is_user, "is_system": False, "mes": mes, **more}


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (1706954580000, 1706954580.0),
        ("1706954580000", 1706954580.0),
        (1706954580, 1706954580.0),
        ("2024-02-03T10:03:00.000Z", 1706954580.0),
        ("2024-2-3@10h03m00s", 1706954580.0),
        ("2024-02-03 @10h 3m 0s 500ms", 1706954580.5),
        ("February 3, 2024 10:03am", time.mktime((2024, 2, 3, 10, 3, 0, 0, 0, -1))),
        ("February 3, 2024 12:03am", time.mktime((2024, 2, 3, 0, 3, 0, 0, 0, -1))),
        ("February 3, 2024 12:03pm", time.mktime((2024, 2, 3, 12, 3, 0, 0, 0, -1))),
        ("Feb 03, 2024 22:03", time.mktime((2024, 2, 3, 22, 3, 0, 0, 0, -1))),
        ("yesterday", None), ("", None), (None, None), (True, None), (-5, None), ("9999-99-99@99h99m99s", None), ([], None),
        ("Fnord 3, 2024 10:03am", None), (float("inf"), None), ("9" * 50, None), (10**400, None),
    ],
)  # fmt: skip
def test_times_in_all_their_forms(written: object, seconds: float | None) -> None:
    assert silly_tavern([line("x", send_date=written)]).created == seconds


@pytest.mark.parametrize(
    ("more", "texts", "chosen"),
    [
        ({}, ["b"], 0),
        ({"swipes": [], "swipe_id": 0}, ["b"], 0),
        ({"swipes": ["a", "b", "c"], "swipe_id": 1}, ["a", "b", "c"], 1),
        ({"swipes": ["a", "old", "c"], "swipe_id": 1}, ["a", "b", "c"], 1),
        ({"swipes": ["a", "b"]}, ["a", "b"], 1),
        ({"swipes": ["a", "c"], "swipe_id": 9}, ["a", "c", "b"], 2),
        ({"swipes": ["a", "", "b"], "swipe_id": 2}, ["a", "b"], 1),
        ({"swipes": [7, None, "b"], "swipe_id": "x"}, ["b"], 0),
        ({"swipes": [{"message": "a"}], "swipe_id": 1}, ["a", "b"], 1),
    ],
)
def test_swipes_become_siblings(more: dict[str, Any], texts: list[str], chosen: int) -> None:
    chat = silly_tavern([line("hi"), line("b", **more), line("after", is_user=True)]).chat
    assert said(chat) == [(A, "hi"), (A, "b"), (U, "after")]
    siblings = chat.alternatives(1)
    by_id = {node.id: node.entry.message.text for node in chat.nodes}
    assert [by_id[each] for each in siblings] == texts
    assert siblings.index(chat.entries[1].id) == chosen


def test_a_header_is_not_needed_and_may_say_nothing(tmp_path: Path) -> None:
    for header in ([], [{"user_name": "unused", "character_name": "unused", "chat_metadata": {}}], [{"chat_metadata": 7}]):
        text = "\n".join(map(json.dumps, [*header, line("Hello."), line("Hi.", is_user=True)]))
        (read_,) = read(tmp_path, text, "x.jsonl")
        assert (read_.user, read_.character, said(read_.chat)) == ("Anna", "Mira", [(A, "Hello."), (U, "Hi.")])


@pytest.mark.parametrize(
    ("interval", "depth", "note"),
    [(1, 2, AuthorNote("x", 2)), (0, 2, None), (5, None, AuthorNote("x", 4)), (1, 9**9, AuthorNote("x", 100))],
)
def test_the_authors_note(interval: object, depth: object, note: AuthorNote | None) -> None:
    metadata = {"note_prompt": "x", "note_interval": interval, "note_depth": depth}
    assert silly_tavern([{"chat_metadata": metadata}, line("a")]).chat.note == note


def test_risu(tmp_path: Path) -> None:
    messages = [
        {"role": "char", "data": "Old.", "time": 1706954580000},
        {"role": "user", "data": "Hi.", "disabled": "allBefore"},
        {"role": "char", "data": "Hello.", "saying": "x"},
        {"role": "user", "data": "(aside)", "isComment": True},
    ]
    chat = {
        "message": messages, "note": "It rains.", "name": "Evening", "localLore": [{"key": "crane"}], "fmIndex": 0,
        "scriptstate": {"$gold": 3},
    }  # fmt: skip
    (one,) = read(tmp_path, {"type": "risuChat", "ver": 2, "data": chat})
    assert [(entry.message.text, entry.message.excluded) for entry in one.chat.entries] == [
        ("Old.", True), ("Hi.", True), ("Hello.", False), ("(aside)", True),
    ]  # fmt: skip
    assert (one.chat.name, one.chat.note, one.opening, one.variables) == ("Evening", AuthorNote("It rains."), 1, {"gold": "3"})
    assert one.lore == {"type": "risu", "ver": 1, "data": [{"key": "crane"}]}
    several = {"type": "risuAllChats", "ver": 1, "data": [{**chat, "fmIndex": -1}, {**chat, "hypaV3Data": {"x": 1}}]}
    assert [(each.opening, len(each.meaningless)) for each in read(tmp_path, several)] == [(0, 0), (1, 1)]


def test_text_generation_webui(tmp_path: Path) -> None:
    rows = [["<|BEGIN-VISIBLE-CHAT|>", "Hello & welcome."], ["Hi.", "Yes."], ["", "More."]]
    versions = [{"content": "No."}, {"content": "Yes."}]
    about = {
        "assistant_1": {"timestamp": "Feb 03, 2024 10:03", "versions": versions, "current_version_index": 1},
        "user_1": {"timestamp": "Feb 03, 2024 10:02"},
    }
    shown = [["", "Hello &amp; welcome."], ["Hi.", "Yes."], ["", "More."]]
    (one,) = read(tmp_path, {"internal": rows, "visible": shown, "metadata": about})
    assert said(one.chat) == [(A, "Hello & welcome."), (U, "Hi."), (A, "Yes."), (A, "More.")]
    assert one.chat.counters == {2: (2, 2)}
    assert one.created == time.mktime((2024, 2, 3, 10, 2, 0, 0, 0, -1))
    (older,) = read(tmp_path, {"data": rows, "data_visible": shown})
    assert said(older.chat) == said(one.chat)


def test_agnai(tmp_path: Path) -> None:
    messages = [{"characterId": "x", "msg": "Hello.", "retries": ["Hey."]}, {"userId": "u", "handle": "Anna", "msg": "Hi."}]
    (one,) = read(tmp_path, {"name": "Exported", "greeting": "Hello.", "sampleChat": "x", "scenario": "A pier.", "messages": messages})
    assert said(one.chat) == [(A, "Hello."), (U, "Hi.")]
    assert (one.chat.name, one.scenario, one.user, one.chat.counters) == ("", "A pier.", "Anna", {0: (1, 2)})
    assert one.meaningless


def test_a_story_of_koboldai(tmp_path: Path) -> None:
    lore = [{"key": "oak", "content": "Old."}]
    told = [" There", " was.", "\n> run\n", "You run."]
    story = {"gamestarted": True, "prompt": "Once.", "memory": "A forest.", "authorsnote": "Slow.", "actions": told, "worldinfo": lore}
    (one,) = read(tmp_path, story)
    assert said(one.chat) == [(U, "Once."), (A, "There was."), (U, "run"), (A, "You run.")]
    assert (one.chat.frame.system, one.chat.note, one.lore["entries"]) == ("A forest.", AuthorNote("Slow."), lore)
    marked = ["Hello.", "\n{{[INPUT]}}\nBye.\n{{[OUTPUT]}}\n"]
    (chat,) = read(tmp_path, {"gamestarted": True, "prompt": "\n{{[INPUT]}}\nHi.\n{{[OUTPUT]}}\n", "actions": marked})
    assert said(chat.chat) == [(U, "Hi."), (A, "Hello."), (U, "Bye.")]


def test_cai_tools(tmp_path: Path) -> None:
    told = [{"src": {"is_human": False, "name": "Mira"}, "text": "Hello."}, {"src": {"is_human": True, "name": "Anna"}, "text": "Hi."}]
    first, second = read(tmp_path, {"histories": {"histories": [{"msgs": told}, {"msgs": told[:1]}]}})
    assert (said(first.chat), first.user, len(second.chat.entries)) == ([(A, "Hello."), (U, "Hi.")], "Anna", 1)


def test_what_comes_again_is_known_again(tmp_path: Path) -> None:
    """Also a conversation of OpenAI messages, and a file that was written anew with other blanks."""
    messages = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    with Library.open(tmp_path / "library")[0] as library:
        kept = [keep(library, each) for each in (*read(tmp_path, messages), *read(tmp_path, json.dumps(messages, indent=2)))]
        kept += [keep(library, each) for each in read(tmp_path, messages[:1])]
        assert [is_new for _, is_new in kept] == [True, False, True]
        assert len({id_ for id_, _ in kept}) == 2
        assert len(library.conversations()) == 2


def test_a_bomb_costs_no_time(tmp_path: Path) -> None:
    head = json.dumps({"user_name": "a", "character_name": "b"})
    begin = time.process_time()
    for text in (head + "\n" + '{"mes": "x"}\n' * 300_000, head + "\n{" + '"a":[' * 2_000_000, head + "\n" + "\n" * 3_000_000):
        (tmp_path / "bomb.jsonl").write_text(text)
        try:
            list(read_foreign(tmp_path / "bomb.jsonl"))
        except LibraryError:
            continue
    assert time.process_time() - begin < 20


KEYS = st.sampled_from(["mes", "extra", "swipes", "msg", "data", "role"])
FIELDS = st.sampled_from(["mes", "name", "is_user", "swipes", "swipe_id", "swipe_info", "extra", "send_date"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(FIELDS, VALUES), max_size=4))
def test_any_lines_do_no_harm(lines: list[dict[str, Any]]) -> None:
    chat = silly_tavern([{"chat_metadata": {}}, *lines]).chat
    assert len({node.id for node in chat.nodes}) == len(chat.nodes)


@given(VALUES, VALUES, VALUES)
def test_any_values_do_no_harm(one: Any, two: Any, three: Any) -> None:
    forms: list[Any] = [
        {"type": "risuChat", "data": {"message": [one, {"role": two, "data": "x", "time": three}], "note": one, "scriptstate": two}},
        {"internal": [one, [two, three]], "visible": two, "metadata": {"user_1": three}},
        {"messages": [{"msg": "x", "userId": one, "retries": two}, three]},
        {"gamestarted": one, "actions": [two, three], "prompt": one, "memory": two, "worldinfo": three},
        {"histories": {"histories": [one, {"msgs": [two, {"src": three, "text": one}]}]}},
    ]
    for form in forms:
        reads = of_value(form)
        assert reads is not None
        for each in reads(form):
            assert not isinstance(each, str), each
            assert len(each.chat.nodes) < 20
