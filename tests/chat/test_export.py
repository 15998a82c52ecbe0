"""An exported conversation is whole, safe to open, and never destroys a file."""

from __future__ import annotations

import base64
import html.parser
import io
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from nemochat.chat import Chat, Entry, ReplyRecord, TurnResult
from nemochat.chat.export import SUFFIXES, export, notes_of, to_html, to_json, to_markdown
from nemochat.chat.import_file import read_conversation
from nemochat.domain.chat import Waiting
from nemochat.domain.events import FinishReason, Timings, Usage
from nemochat.domain.images import Original, RgbImage
from nemochat.domain.messages import ImagePart, Message, ReasoningPart, Role, TextPart, ToolCall, ToolCallPart, ToolResultPart
from nemochat.domain.replies import ModelRef
from nemochat.domain.sampling import Sampling
from nemochat.domain.summaries import Summary
from nemochat.errors import NemochatError, UsageError
from nemochat.images import to_png
from tests.calls import call_part

RED = RgbImage.from_rgb(2, 1, b"\xff\x00\x00" * 2)
BLUE = RgbImage.from_rgb(1, 1, b"\x00\x00\xff")
RED_FILE, BLUE_FILE = (Original(to_png(image), "png") for image in (RED, BLUE))
SHOWN = ((RED_FILE.digest, "red.png"), (BLUE_FILE.digest, "blue.png"))
PICTURES = {each.digest: each for each in (RED_FILE, BLUE_FILE)}
ADD = ToolCall("add", {"a": 1, "b": ["ä", None]}, "call_4_1")
ADD_AGAIN = msgspec.structs.replace(ADD, id="call_4_2")
ADD_RAW = ' {"name": "add", "arguments": {"a": 1, "b": ["ä", null]}} '


def user(*parts: TextPart | ImagePart) -> Entry:
    return Entry(Message(Role.USER, parts))


def reply(*parts: TextPart | ToolCallPart) -> Entry:
    return Entry(Message(Role.ASSISTANT, parts))


def result(text: str, call: str = "") -> Entry:
    return Entry(Message(Role.TOOL, (ToolResultPart(call, text),)))


CHAT = (
    user(TextPart("What is this?"), *(ImagePart(*shown) for shown in SHOWN), TextPart("Both, please.")),
    reply(TextPart("Red, and **blue**.\n\n| a | b |\n|:-:|---|\n| 1 | 2 |")),
    user(TextPart("Add 1")),
    reply(TextPart("Let me see. "), call_part(ADD_RAW, (ADD,))),
    result("2", "call_4_1"),
    reply(TextPart("It is 2.")),
)


def read_back(
    path: Path, entries: tuple[Entry, ...], system: str = "Be brief.", originals: Mapping[str, Original] = PICTURES
) -> tuple[Message, ...]:
    path.write_text(to_json(entries, system, originals), encoding="utf-8")
    read = read_conversation(path)
    chat, pictures = read.chat, read.pictures
    assert not read.problems
    assert chat.frame.system == system
    assert pictures.items() <= originals.items()
    return tuple(entry.message for entry in chat.entries)


def test_json_round_trips(tmp_path: Path) -> None:
    for before, after in zip((entry.message for entry in CHAT), read_back(tmp_path / "chat.json", CHAT), strict=True):
        assert after.role is before.role
        assert [part if not isinstance(part, ImagePart) else part.digest for part in after.parts] == [
            part if not isinstance(part, ImagePart) else part.digest for part in before.parts
        ]


def test_json_is_what_openai_has(tmp_path: Path) -> None:
    messages = json.loads(to_json(CHAT, "Be brief.", PICTURES))["messages"]
    assert messages[0] == {"role": "system", "content": "Be brief."}
    assert messages[1]["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert messages[3] == {"role": "user", "content": "Add 1"}
    (call,) = messages[4]["tool_calls"]
    assert (messages[4]["content"], call["type"], call["function"]["name"]) == ("Let me see. ", "function", "add")
    assert json.loads(call["function"]["arguments"]) == ADD.arguments
    assert messages[5] == {"role": "tool", "content": "2", "tool_call_id": call["id"]}


@pytest.mark.parametrize(
    "parts",
    [
        (call_part(" {broken ", ()),),
        (TextPart("a "), call_part(" not a call ", ()), TextPart(" b")),
        (call_part(ADD_RAW, (ADD,)), TextPart(" and more")),
        (call_part(ADD_RAW, (ADD,)), call_part(ADD_RAW, (ADD_AGAIN,))),
        (call_part(ADD_RAW, (ADD,)),),
        (TextPart("`<html>` &amp; \u2028 \x1b[31m"),),
        (),
    ],
)
def test_every_kind_of_reply_round_trips(parts: tuple[TextPart | ToolCallPart, ...], tmp_path: Path) -> None:
    before = Chat().with_messages([Message(Role.USER, ())] * 3).added(reply(*parts)).entries
    assert read_back(tmp_path / "chat.json", before)[-1] == Message(Role.ASSISTANT, parts)


def test_each_result_goes_to_its_call_and_comes_back_to_it(tmp_path: Path) -> None:
    image = ImagePart(RED_FILE.digest, "picture", 2, 1)
    results = (ToolResultPart(ADD.id, "one", True), ToolResultPart(ADD_AGAIN.id, "two", False, (image,)), ToolResultPart("", "astray"))
    chat = (reply(call_part(ADD_RAW, (ADD,)), call_part(ADD_RAW, (ADD_AGAIN,))), Entry(Message(Role.TOOL, results)))
    messages = json.loads(to_json(chat, "", PICTURES))["messages"]
    assert [(message.get("tool_call_id"), message.get("is_error")) for message in messages[1:]] == [
        ("call_4_1", True), ("call_4_2", None), (None, None)
    ]  # fmt: skip
    assert [part for message in read_back(tmp_path / "x.json", chat)[1:] for part in message.parts] == list(results)


def test_thoughts_speakers_and_what_waits_come_back(tmp_path: Path) -> None:
    waits = Message(Role.USER, (ImagePart(BLUE_FILE.digest, "picture", 1, 1), TextPart("And now?")))
    waiting = Waiting(0, waits, when=12.5)
    said = Message(Role.ASSISTANT, (ReasoningPart("Why not <b>"), TextPart("Yes.")))
    chat = (Entry(Message(Role.USER, (TextPart("Well?"),)), speaker="Ada"), Entry(said, speaker="Mi*ra"))
    path = tmp_path / "chat.json"
    export(path, chat, "", PICTURES, waiting=(waiting,))
    read = read_conversation(path)
    assert [(entry.message, entry.speaker) for entry in read.chat.entries] == [(entry.message, entry.speaker) for entry in chat]
    assert read.chat.waiting == (msgspec.structs.replace(waiting, id=3),)
    assert read.pictures == {BLUE_FILE.digest: BLUE_FILE}
    text = to_markdown(chat, "", {}, (waiting,))
    assert "## Ada\n\nWell?\n\n## Mi\\*ra\n\n> *Thought*\n>\n> Why not \\<b>\n\nYes.\n\n## You (waiting)" in text
    page = to_html(chat, "", PICTURES, (waiting,))
    assert "<details><summary>Thought</summary>" in page
    assert "Why not &lt;b&gt;" in page
    assert page.index("You (waiting)") > page.index("Mi*ra")


def test_a_picture_that_was_not_read_yet_when_its_message_was_sent_is_named_by_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "blue <1>.png").write_bytes(BLUE_FILE.data)
    waiting = Waiting(1, Message(Role.USER, (TextPart("Which?"),)), (str(tmp_path / "blue <1>.png"), str(tmp_path / "gone.png")))
    path = tmp_path / "chat.json"
    export(path, (), "", {}, waiting=(waiting,))
    read = read_conversation(path)
    (again,) = read.chat.waiting
    assert [part.digest for part in again.message.images] == [BLUE_FILE.digest]
    assert again.message.text == "[picture that cannot be read: gone.png]Which?"
    assert "[picture: blue \\<1\\>.png]" in to_markdown((), "", {}, (waiting,))
    assert "[picture: blue &lt;1&gt;.png]" in to_html((), "", {}, (waiting,))


def test_nothing_that_a_camera_wrote_is_shown_to_others_and_json_has_the_file_itself(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "at home, 52.5 north"
    buffer = io.BytesIO()
    Image.new("RGB", (8, 4), "red").save(buffer, "JPEG", exif=exif)
    photo = Original(buffer.getvalue(), "jpeg")
    chat = (user(ImagePart(photo.digest, "photo.jpg"), TextPart("Where?")),)
    export(tmp_path / "a.md", chat, "", {photo.digest: photo})
    (shown,) = (tmp_path / "a-pictures").iterdir()
    assert shown.suffix == ".jpeg"
    assert b"52.5 north" not in shown.read_bytes()
    assert base64.b64encode(photo.data).decode() not in to_html(chat, "", {photo.digest: photo})
    assert read_back(tmp_path / "a.json", chat, originals={photo.digest: photo})[0].images[0].digest == photo.digest


def test_a_damaged_picture_leaves_its_name() -> None:
    chat = (user(ImagePart("d", "x.png"), TextPart("?")),)
    assert "[picture: x.png]" in to_html(chat, "", {"d": Original(b"\x89PNG\r\n\x1a\n broken", "png")})


def test_a_picture_that_is_gone_leaves_its_name() -> None:
    chat = (user(ImagePart("gone", "x.png"), TextPart("?")),)
    assert json.loads(to_json(chat, "", {}))["messages"][0]["content"][0] == {"type": "text", "text": "[picture: x.png]"}
    assert "*[picture: x.png]*" in to_markdown(chat, "", {})
    assert "[picture: x.png]" in to_html(chat, "", {})


def test_markdown() -> None:
    text = to_markdown(CHAT, "Be brief.", {RED_FILE.digest: "a b/red.png"})
    assert text.startswith("## System\n\nBe brief.\n\n## You\n\nWhat is this?\n\n![red.png](a%20b/red.png)\n\n*[picture: blue.png]*\n")
    assert "## Assistant\n\nLet me see.\n\n```json\n" in text
    assert text.endswith("## Tool result\n\n```\n2\n```\n\n## Assistant\n\nIt is 2.\n")


def test_a_tool_result_cannot_leave_its_block_and_a_name_cannot_make_a_link() -> None:
    text = to_markdown((result("```\n# out\n````"), user(ImagePart(RED_FILE.digest, "x](http://evil) [y"))), "", {RED_FILE.digest: "r.png"})
    assert "\n`````\n```\n# out\n````\n`````\n" in text
    assert r"![x\](http://evil) \[y](r.png)" in text


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_summary_and_what_is_remembered_are_named(suffix: str, tmp_path: Path) -> None:
    chat = Chat().with_messages(Message(role, (TextPart("x"),)) for role in (Role.USER, Role.ASSISTANT) * 2)
    chat = msgspec.structs.replace(chat.summed_up(Summary("They *met* <b>.", (1, 2))), remembered=("Anna has one arm.",))
    path = tmp_path / f"chat{suffix}"
    export(path, chat.entries, "", {}, notes=notes_of(chat))
    written = path.read_text()
    assert "Summary of the first 2 messages" in written
    assert "Anna has one arm." in written
    if suffix == ".json":
        assert json.loads(written)["notes"]["Summary of the first 2 messages"] == "They *met* <b>."
    else:
        assert "<b>" not in written.replace("\\<b>", "")
    export(tmp_path / f"bare{suffix}", chat.entries, "", {})
    assert "Summary" not in (tmp_path / f"bare{suffix}").read_text()


def test_remarks() -> None:
    turn = TurnResult("", FinishReason.STOP, (), Usage(1, 1, 0), Timings(), None, ())
    message = Message(Role.ASSISTANT, (TextPart("Hi"),), pinned=True, excluded=True)
    entry = Entry(message, ReplyRecord(turn, Sampling(), ModelRef("<demo>\x1b"), ()), interrupted=True)
    assert r"*(\<demo\>)*" "\n\n*(interrupted)*\n\n*(pinned)*\n\n*(not shown to the model)*" in to_markdown((entry,), "", {})
    assert "<small>· &lt;demo&gt;</small>" in to_html((entry,), "", {})


class Page(html.parser.HTMLParser):
    """The tags of a page, with their attributes, and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_html_is_one_file_that_stands_alone() -> None:
    page = Page(to_html(CHAT, "Be brief.", PICTURES, title="My chat"))
    assert [image["src"] is not None and image["src"].startswith("data:image/png;base64,") for image in page.of("img")] == [True, True]
    assert [image["alt"] for image in page.of("img")] == ["red.png", "blue.png"]
    policy = page.of("meta")[1]["content"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert page.of("script") == page.of("link") == []
    assert page.of("strong") == [{}]
    # The policy forbids style attributes.
    assert page.of("th") == page.of("td") == [{"class": "center"}, {}]
    assert not any("style" in attributes for _, attributes in page.tags)
    assert "prefers-color-scheme: dark" in page.text


HOSTILE = (
    "<script>alert(1)</script></style></title></textarea><img src=x onerror=alert(1)><iframe src=//evil></iframe>"
    "<a href='javascript:alert(1)'>x</a>\n\n<div onclick=alert(1)>\n\n<!-- \x1b]52;c;eA==\x07 --><svg/onload=alert(1)>"
    "\n\n[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](vscode://x) [d](file:///etc/x) [e](data:text/html,x) [f](//evil) [g](rel)"
    "\n\n<javascript:alert(1)> <ssh://x> ![p](http://evil/track.png) ![q](data:image/svg+xml;base64,AAAA)"
    '\n\n[h](https://ok "onclick=x\\" onmouseover=alert(1)") [i](mailto:a@b) <https://ok/auto>\n\n```"><script>\nx</code></pre><script>\n```\n'
)


def test_hostile_text_stays_text() -> None:
    names = ImagePart(RED_FILE.digest, '"><script>alert(1)</script>\u202e')
    call = call_part("</code><script>x</script>", ())
    chat = (user(TextPart(HOSTILE), names), reply(TextPart(HOSTILE), call), result(HOSTILE))
    text = to_html(chat, HOSTILE, PICTURES, title="</title><script>x</script>")
    page = Page(text)
    known = "html head meta title style body h1 h2 small article div p pre code figure figcaption img a span strong em"
    assert {tag for tag, _ in page.tags} <= set(known.split())
    harmless = "lang charset http-equiv content name class href rel alt src width height"
    assert {name for _, attributes in page.tags for name in attributes} <= set(harmless.split())
    assert [link["href"] for link in page.of("a")] == ["http://evil/track.png", "https://ok", "mailto:a@b", "https://ok/auto"]
    assert all(link["rel"] == "noopener noreferrer nofollow" for link in page.of("a"))
    assert len(page.of("img")) == 1
    assert len(page.of("style")) == text.count("</style>") == 1
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)


@pytest.mark.parametrize("name", ["chat.md", "chat.json", "chat.HTML"])
def test_a_file_appears_whole_and_never_over_another(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    export(path, CHAT, "Be brief.", PICTURES)
    first = path.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        export(path, CHAT[:2], "", PICTURES)
    assert path.read_bytes() == first
    path.chmod(0o644)
    export(path, CHAT[:2], "", PICTURES, replace=True)
    assert len(path.read_bytes()) < len(first)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]


def test_markdown_comes_with_its_pictures(tmp_path: Path) -> None:
    export(tmp_path / "my chat.md", CHAT, "", PICTURES)
    export(tmp_path / "my chat.md", CHAT, "", PICTURES, replace=True)
    links = re.findall(r"\]\((my%20chat-pictures/\w+\.png)\)", (tmp_path / "my chat.md").read_text())
    assert [(tmp_path / link.replace("%20", " ")).read_bytes() for link in links] == [to_png(RED), to_png(BLUE)]
    export(tmp_path / "none.md", CHAT[1:], "", PICTURES)
    assert not (tmp_path / "none-pictures").exists()


@pytest.mark.parametrize("kind", ["a link to a folder", "a link to nowhere", "a file"])
def test_pictures_go_into_a_folder_of_their_own_or_nowhere(kind: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    folder = tmp_path / "chat-pictures"
    if kind == "a file":
        folder.write_text("mine")
    else:
        folder.symlink_to("theirs" if kind == "a link to a folder" else "nowhere")
    with pytest.raises(NemochatError, match="chat-pictures, where its pictures would go, is not a folder"):
        export(tmp_path / "chat.md", CHAT, "", PICTURES)
    assert list((tmp_path / "theirs").iterdir()) == []
    assert not (tmp_path / "nowhere").exists()
    assert not (tmp_path / "chat.md").exists()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_what_is_written_is_for_the_user_alone_and_their_folder_stays_as_it_is(umask: int, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(umask)
    try:
        for name in ("chat.md", "chat.json", "chat.html"):
            export(tmp_path / name, CHAT, "", PICTURES)
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert len(modes) == 6
    assert {path.name for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == set()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_link_is_never_written_through(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    (tmp_path / "dangling.json").symlink_to("nowhere.json")
    with pytest.raises(NemochatError, match="no regular file"):
        export(tmp_path / "link.json", CHAT, "", PICTURES, replace=True)
    assert (tmp_path / "real.json").read_text() == "old"
    assert (tmp_path / "link.json").is_symlink()
    with pytest.raises(UsageError):
        export(tmp_path / "dangling.json", CHAT, "", PICTURES)


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "chat.json"
    sync = os.fsync

    def slow(handle: int) -> None:
        path.write_text("somebody else's")
        sync(handle)

    monkeypatch.setattr(os, "fsync", slow)
    with pytest.raises(UsageError, match="exists already"):
        export(path, CHAT, "", PICTURES)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("chat.json", "somebody else's")]


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    export(tmp_path / "chat.json", CHAT, "", PICTURES)
    assert [each.name for each in tmp_path.iterdir()] == ["chat.json"]


@pytest.mark.parametrize("name", ["chat.txt", "chat", ".md", "chat.pdf\x1b[2J"])
def test_other_suffixes_name_the_three(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.md, \.json or \.html") as caught:
        export(tmp_path / name, CHAT, "", PICTURES)
    assert "\x1b" not in caught.value.message


def test_what_the_system_refuses_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NemochatError, match=r"chat\.json cannot be written: No such file or directory\."):
        export(tmp_path / "nowhere" / "chat.json", CHAT, "", PICTURES)
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(NemochatError, match="cannot be written"):
        export(tmp_path / "folder.html", CHAT, "", PICTURES, replace=True)


@pytest.mark.parametrize("suffix", [".md", ".json", ".html"])
def test_lone_surrogates_and_an_empty_chat_can_be_written(suffix: str, tmp_path: Path) -> None:
    export(tmp_path / f"empty{suffix}", (), "", {})
    export(tmp_path / f"chat{suffix}", (user(TextPart("a\ud800b"), ImagePart("x", "\udcff.png")),), "\ud800", {})
    (tmp_path / f"chat{suffix}").read_text(encoding="utf-8")
