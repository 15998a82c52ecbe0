"""Conversations of other programs, whole or broken."""

import json
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemochat.domain.chat import Chat
from nemochat.domain.messages import ReasoningPart, Role, TextPart, ToolResultPart
from nemochat.domain.replies import ModelRef
from nemochat.library import LibraryError
from nemochat.library.foreign import read_foreign
from nemochat.library.values import ForeignChat


def node(id_: str, parent: str | None, role: str, *parts: object, time: float = 0, **more: Any) -> dict[str, Any]:
    message = {"id": id_, "author": {"role": role}, "content": {"content_type": "text", "parts": list(parts)}, "create_time": time, **more}
    return {"id": id_, "parent": parent, "children": [], "message": message}


def mapping(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {each["id"]: each for each in nodes}


HIDDEN: dict[str, Any] = {"metadata": {"is_visually_hidden_from_conversation": True}}
POINTER = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-abc"}
TREE = {
    "title": "A talk",
    "create_time": 1000.5,
    "update_time": 2000.0,
    "current_node": "a2",
    "mapping": mapping(
        {"id": "root", "parent": None, "children": ["sys"], "message": None},
        node("sys", "root", "system", "You are helpful."),
        node("ctx", "sys", "user", "About me", **HIDDEN),
        node("q1", "ctx", "user", "What is this?", POINTER, time=1),
        node("a1", "q1", "assistant", "A cat.", time=2, metadata={"model_slug": "gpt-4o"}),
        node("a2", "q1", "assistant", "A dog.", time=3),
        node("q2", "a1", "user", "Sure?", time=4),
        node("t1", "q2", "tool", "found: 1", time=5),
        node("a3", "t1", "assistant", "", time=6),
        node("a4", "a3", "assistant", "Yes.", time=7),
    ),
}


def read_all(file: Path) -> tuple[list[ForeignChat], list[str]]:
    found = list(read_foreign(file))
    chats = [each for each in found if not isinstance(each, str) and each.chat.entries]
    return chats, [each for each in found if isinstance(each, str)] + [problem for chat in chats for problem in chat.problems]


def read(folder: Path, content: object) -> list[Chat]:
    file = folder / "conversations.json"
    file.write_text(json.dumps(content))
    chats, problems = read_all(file)
    assert problems == []
    return [each.chat for each in chats]


def said(chat: Chat) -> list[tuple[Role, str]]:
    return [(entry.message.role, entry.message.text) for entry in chat.entries]


def test_a_chatgpt_tree_is_kept_whole(tmp_path: Path) -> None:
    (chat,) = read(tmp_path, [TREE])
    assert chat.title == "A talk"
    assert said(chat) == [
        (Role.USER, "What is this?\n[picture not in the file: file-service://file-abc]"),
        (Role.ASSISTANT, "A dog."),
    ]
    other = chat.swiped(1, chat.alternatives(1)[0])
    assert [text for _, text in said(other)][1:] == ["A cat.", "Sure?", "found: 1", "Yes."]
    assert said(other)[3][0] is Role.TOOL
    assert len(chat.nodes) == 6


def test_the_zip_that_chatgpt_sends(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as file:
        file.writestr("user.json", "{}")
        file.writestr("export/conversations.json", json.dumps([TREE]))
    ((chat,), _) = read_all(tmp_path / "export.zip")
    assert (chat.model, chat.created, chat.updated) == (ModelRef("gpt-4o"), 1000.5, 2000.0)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("user.json", "{}")
    with pytest.raises(LibraryError, match="missing"):
        read_all(tmp_path / "other.zip")


def test_without_a_current_node_the_newest_branch_is_shown(tmp_path: Path) -> None:
    for current in (None, "nowhere", 7, ["a2"]):
        (chat,) = read(tmp_path, [{**TREE, "current_node": current}])
        assert said(chat)[1][1] == "A dog."
    (chat,) = read(tmp_path, [{**TREE, "current_node": "a1"}])
    assert [text for _, text in said(chat)][1:] == ["A cat.", "Sure?", "found: 1", "Yes."]  # to the end of the branch


@pytest.mark.parametrize(
    "broken",
    [
        mapping(node("a", "b", "user", "1"), node("b", "a", "assistant", "2")),
        mapping(node("a", "a", "user", "1")),
        mapping(node("a", "gone", "user", "1"), node("b", "a", "assistant", "2"), node("c", "b", "user", "3"), node("d", "c", "user", "4")),
    ],
)
def test_circles_and_missing_parents_end(tmp_path: Path, broken: dict[str, Any]) -> None:
    (chat,) = read(tmp_path, [{"mapping": broken, "current_node": "a"}])
    assert {node.entry.message.text for node in chat.nodes} == {str(number) for number in range(1, len(broken) + 1)}


def test_a_long_chain_is_no_trouble(tmp_path: Path) -> None:
    nodes = [node(str(number), str(number - 1), "user", f"message {number}") for number in range(5000)]
    (chat,) = read(tmp_path, [{"mapping": mapping(*nodes), "current_node": "4999"}])
    assert len(chat.entries) == 5000


KEYS = st.sampled_from(["a", "b", "c", "", "root"])
FIELDS = st.sampled_from(["parent", "message", "author", "role", "content", "parts", "text", "create_time", "a"])
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | KEYS,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)
NODES = st.fixed_dictionaries(
    {
        "parent": KEYS | JUNK,
        "message": st.fixed_dictionaries(
            {"author": st.fixed_dictionaries({"role": st.sampled_from(["user", "tool"])}) | JUNK, "content": JUNK, "create_time": JUNK}
        )
        | JUNK,
    }
)


TREES = st.fixed_dictionaries(
    {"mapping": st.dictionaries(KEYS, NODES | JUNK, max_size=5), "current_node": KEYS | JUNK, "title": JUNK}
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(content=TREES | JUNK)
def test_any_json_gives_conversations_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    file = tmp_path_factory.getbasetemp() / "any.json"
    file.write_text(json.dumps([content]))
    chats, _ = read_all(file)
    for each in chats:
        ids = [node.id for node in each.chat.nodes]
        assert len(ids) == len(set(ids))


def test_openai_messages(tmp_path: Path) -> None:
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "data:image/png;,AA"}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "add", "arguments": '{"a": 1}'}}]},
        {"role": "tool", "content": "2", "tool_call_id": "1"},
        {"role": "assistant", "content": "Two.\x1b[2J", "refusal": None},
    ]
    for content in (talk, [talk], [{"messages": talk}], {"messages": talk}, {"conversations": [{"messages": talk}]}):
        (chat,) = read(tmp_path, content)
        assert chat.frame.system == "Be brief."
        assert said(chat) == [
            (Role.USER, "Look\n[picture not in the file: inline]"),
            (Role.ASSISTANT, 'add({"a": 1})'),
            (Role.TOOL, "2"),
            (Role.ASSISTANT, "Two.[2J"),
        ]
    (tmp_path / "x.jsonl").write_text("\n".join(json.dumps({"messages": talk, "title": name}) for name in ("One", "Two")) + "\n")
    assert [each.chat.title for each in read_all(tmp_path / "x.jsonl")[0]] == ["One", "Two"]


def test_what_cannot_be_read_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = [deep, "y"]
    content = [{"messages": [{"role": "user", "content": "q"}]}, {"other": 1}, 7, {"mapping": 3}, {"messages": ["x"]}]
    content.append({"messages": [{"role": "user", "content": deep}]})
    (tmp_path / "x.json").write_text(json.dumps(content))
    chats, problems = read_all(tmp_path / "x.json")
    assert len(chats) >= 1
    assert [problem.partition(":")[0] for problem in problems][:3] == [f"Conversation {number}" for number in (2, 3, 4)]


GOOD = {"messages": [{"role": "user", "content": "q"}]}


def test_one_bad_message_costs_itself_alone(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps([{"messages": [*GOOD["messages"], "x", 7, {"role": "assistant", "content": "a"}]}]))
    ((chat,), problems) = read_all(tmp_path / "x.json")
    assert [text for _, text in said(chat.chat)] == ["q", "a"]
    assert problems == ["Conversation 1: 2 of its messages, the first of them number 2, are not objects and were left out."]


@pytest.mark.parametrize(
    "bad",
    [b"[" * 100_000 + b"]" * 100_000, b"[" + b"[]," * 1_100_000 + b"0]", b"1" * 5000, b'{"messages": 1}', b'{"a": "\\ud800"}'],
    ids=["deep", "wide", "long number", "no messages", "half a character"],
)
def test_one_bomb_costs_itself_alone(tmp_path: Path, bad: bytes) -> None:
    good = json.dumps(GOOD).encode()
    (tmp_path / "x.json").write_bytes(b"[" + b",".join([good, bad, good]) + b"]")
    (tmp_path / "x.jsonl").write_bytes(b"\n".join([bad, good, b"{broken", good]))
    if not bad.startswith(b"[[["):  # what is too deep to be passed over ends a file that is one value
        chats, problems = read_all(tmp_path / "x.json")
        assert (len(chats), [problem[:14] for problem in problems]) == (2, ["Conversation 2"])
    chats, problems = read_all(tmp_path / "x.jsonl")
    assert (len(chats), [problem[:14] for problem in problems]) == (2, ["Conversation 1", "Conversation 3"])


def test_half_a_character_is_shown_as_one_that_is_unknown(tmp_path: Path) -> None:
    text = r'[{"messages": [{"role": "user", "content": "a \ud83d b \ud83d\ude00 c \\ud83d"}]}]'
    (tmp_path / "x.json").write_text(text)
    ((chat,), _) = read_all(tmp_path / "x.json")
    assert [words for _, words in said(chat.chat)] == ["a \ufffd b \U0001f600 c \\ud83d"]


def test_many_messages_are_read_in_time(tmp_path: Path) -> None:
    began = time.process_time()
    (tmp_path / "x.json").write_text(json.dumps([{"role": "user", "content": "x"}] * 100_000))
    ((chat,), _) = read_all(tmp_path / "x.json")
    assert len(chat.chat.entries) == 100_000
    assert time.process_time() - began < 20


@pytest.mark.parametrize("content", [b"", b"{", b"7", b'"x"', b"\xff\xfe", b"[" * 100_000, b"PK\x03\x04"])
def test_other_files_are_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(LibraryError):
        read_all(tmp_path / "x.json")
    with pytest.raises(LibraryError):
        read_all(tmp_path / "none.json")


def test_thoughts_speakers_and_results_of_calls_are_kept_apart(tmp_path: Path) -> None:
    (chat,) = read(
        tmp_path,
        [
            {"role": "user", "content": "Well?", "name": "Ada"},
            {"role": "assistant", "content": "Yes.", "reasoning_content": "Why not?\x1b[2J"},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
        ],
    )
    assert [entry.speaker for entry in chat.entries] == ["Ada", "", ""]
    assert chat.entries[1].message.parts == (ReasoningPart("Why not?[2J"), TextPart("Yes."))
    assert chat.entries[2].message.parts == (ToolResultPart("c1", "42"),)
