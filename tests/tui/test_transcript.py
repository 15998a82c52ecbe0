"""The conversation on the screen: what is mounted, what stays where it is, what each message shows and what can be done with it."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from functools import partial

import msgspec
import pytest
from PIL import Image
from textual import on
from textual._compositor import Compositor, ReflowResult
from textual.app import App, ComposeResult
from textual.events import Key
from textual.geometry import Size
from textual.pilot import Pilot
from textual.selection import Selection
from textual.widget import Widget
from textual.widgets import Static

from nemochat.chat import ContextView, Entry, ReplyRecord, TurnResult
from nemochat.desk.messages import code_of
from nemochat.domain.events import FinishReason, Timings, Usage
from nemochat.domain.messages import ContextPart, ImagePart, Message, ReasoningPart, Role, TextPart, ToolCall
from nemochat.domain.replies import ModelRef
from nemochat.domain.sampling import Sampling
from nemochat.tui.widgets.message import MessageLabel, MessageView
from nemochat.tui.widgets.message_window import MOST
from nemochat.tui.widgets.portrait import half_blocks
from nemochat.tui.widgets.reply_stream import ThoughtLine
from nemochat.tui.widgets.reply_text import ReplyText
from nemochat.tui.widgets.transcript import Transcript
from nemochat.tui.widgets.transcript_notes import ForgottenLine, ShownSummary, SystemText
from tests.calls import call_part
from tests.idle import until

HOSTILE = "a\x1b]52;c;ZXZpbA==\x07\x9b31m [@click=app.quit]x[/] [/foo] \x1b[6n"
VISIBLE = "a]52;c;ZXZpbA==31m [@click=app.quit]x[/] [/foo] [6n"


class Empty(Static):
    """What is shown before there is anything; no part of what is selected."""

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        return None


class Host(App[None]):
    """A bare host that keeps what is posted."""

    def __init__(self) -> None:
        super().__init__()
        self.transcript = Transcript(empty=Empty("Ask something [/foo]", markup=False, id="empty"))
        self.posted: list[object] = []

    def compose(self) -> ComposeResult:
        yield self.transcript

    def on_transcript_action(self, event: Transcript.Action) -> None:
        self.posted.append((event.message_id, event.name))

    def on_transcript_link_clicked(self, event: Transcript.LinkClicked) -> None:
        self.posted.append(event.url)


def user(text: str, *, pinned: bool = False, excluded: bool = False) -> Entry:
    return Entry(Message(Role.USER, (TextPart(text),), pinned, excluded))


def reply(text: str, record: ReplyRecord | None = None, *, interrupted: bool = False) -> Entry:
    return Entry(Message(Role.ASSISTANT, (TextPart(text),)), record, interrupted)


def record(reason: FinishReason) -> ReplyRecord:
    result = TurnResult("", reason, (), Usage(completion_tokens=512), Timings(decode_ms=36_500), 1234.0, ())
    return ReplyRecord(result, Sampling(), ModelRef("other-model"), ())


def talk(length: int) -> list[Entry]:
    said = [reply(f"Reply {i}\n\nwith two paragraphs") if i % 2 else user(f"Question {i}") for i in range(length)]
    return [msgspec.structs.replace(entry, id=i) for i, entry in enumerate(said)]


async def settle(pilot: Pilot[None]) -> None:
    """Until nothing more is mounted."""
    for _ in range(4):
        await pilot.pause()


async def shown(pilot: Pilot[None], entries: Sequence[Entry], view: ContextView | None = None, system: str = "") -> Transcript:
    transcript = pilot.app.query_one(Transcript)
    transcript.show(entries, view, "model", system=system)
    await settle(pilot)
    return transcript


def text_of(view: MessageView) -> str:
    """The label and the body, as far as they are plain."""
    statics = [str(widget.visual) for widget in view.query(Static)]
    return "\n".join([view.query_one(MessageLabel).render().plain, *statics])


def _stands_at(transcript: Transcript, view: MessageView, row: float) -> bool:
    return row_of(transcript, view) == row


def row_of(transcript: Transcript, view: MessageView) -> float:
    region = transcript.region_of(view)
    assert region is not None
    return region.y - transcript.scroll_y


async def test_the_empty_state_goes_with_the_first_message() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, [])
        empty = transcript.query_one("#empty", Static)
        assert empty.display
        assert str(empty.visual) == "Ask something [/foo]"
        await shown(pilot, [user("hi")])
        assert empty.styles.display == "none"
        await shown(pilot, [])
        assert empty.styles.display == "block"


async def test_unchanged_messages_keep_their_widgets() -> None:
    """Fails when showing again is more work than the change needs. Equal values count as unchanged, not only the same ones."""
    async with Host().run_test(size=(80, 24)) as pilot:
        entries = talk(6)
        transcript = await shown(pilot, entries)
        before = list(transcript.views)
        await shown(pilot, talk(6))
        assert transcript.views == before
        bodies = [view.query_one(ReplyText) for view in before[1::2]]
        pinned = [*entries[:2], user("Question 2", pinned=True), *entries[3:], user("new")]
        await shown(pilot, pinned)
        assert transcript.views[:6] == before
        assert "pinned" in text_of(before[2])
        await shown(pilot, [*pinned[:1], *pinned[2:]])
        assert [view.standing.index for view in transcript.views] == [0, 1, 2, 3, 4, 5]
        assert transcript.views[1:5] == before[2:]
        assert [view.query_one(ReplyText) for view in before[3::2]] == bodies[1:]


async def test_an_edited_message_shows_its_new_text() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, talk(4))
        await shown(pilot, [*talk(2), user("changed"), reply("also **changed**")])
        assert "changed" in text_of(transcript.views[2])
        assert text_of(transcript.views[3]).endswith("also changed")


async def test_another_conversation_is_shown_at_its_end() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, talk(40))
        transcript.go_to(0)
        await settle(pilot)
        await shown(pilot, [user(f"other {i}") for i in range(30)])
        assert transcript.is_following
        assert "other 29" in text_of(transcript.views[-1])
        assert transcript.stop == 30
        assert len(transcript.query(MessageView)) == len(transcript.views)


async def test_only_a_window_is_mounted_and_every_message_is_reached() -> None:
    """Fails when a long conversation mounts everything, or when scrolling stops before an end."""
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, talk(150))
        seen: set[int] = set()
        for by, end in ((-1, 0), (1, 150)):
            for _ in range(200):
                seen.update(range(transcript.first, transcript.stop))
                assert len(transcript.query(MessageView)) <= MOST
                if (transcript.first == 0 and transcript.scroll_y == 0) if by < 0 else (transcript.stop == end and transcript.is_following):
                    break
                transcript.action_page(by)
                await pilot.pause()
                await pilot.pause()
            else:
                pytest.fail(f"never reached {end}")
        assert seen == set(range(150))
        assert [view.standing.index for view in transcript.views] == list(range(transcript.first, 150))
        order = [child for child in transcript.children if isinstance(child, MessageView)]
        assert order == transcript.views


async def test_what_is_read_stays_in_its_row_while_more_is_mounted_above() -> None:
    """Fails when paging or resizing makes the text jump."""
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, talk(200))
        first = transcript.first
        moved = 0
        while transcript.first == first or moved < 5:
            await settle(pilot)  # else it may be read while what was mounted above is being placed
            top = transcript.views[len(transcript.views) // 4]
            before = row_of(transcript, top)
            transcript.scroll_relative(y=-2, animate=False)
            await until(partial(_stands_at, transcript, top, before + 2))
            moved += 1
            assert moved < 100
        top = next(view for view in transcript.views if view is transcript.top_child())
        before = row_of(transcript, top)
        await pilot.resize_terminal(60, 24)
        await settle(pilot)
        assert row_of(transcript, top) == before


@pytest.mark.parametrize("opening", ["", "```python\n"])
async def test_words_that_make_no_new_line_need_no_layout(monkeypatch: pytest.MonkeyPatch, opening: str) -> None:
    """Fails as it did: each flush laid everything out twice, and a key that was typed then waited for both."""
    layouts: list[Size] = []
    reflow = Compositor.reflow

    def counted(self: Compositor, parent: Widget, size: Size) -> ReflowResult:
        layouts.append(size)
        return reflow(self, parent, size)

    monkeypatch.setattr(Compositor, "reflow", counted)
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, talk(40))
        transcript.begin_reply("model")
        transcript.append([TextPart(f"{opening}once ")])
        await settle(pilot)
        stream = transcript._stream
        assert stream is not None
        for word in ("upon ", "a time "):  # at first its width is not known
            transcript.append([TextPart(word)])
            await stream.flush()
            await settle(pilot)
        layouts.clear()
        for _ in range(10):
            transcript.append([TextPart("word ")])
            await stream.flush()
            await settle(pilot)
        assert not layouts
        transcript.append([TextPart("\nA new line, and " + "more words of it " * 8)])
        await stream.flush()
        await settle(pilot)
        assert len(layouts) == 1
        assert "A new line" in " ".join(strip.text for strip in pilot.app.screen._compositor.render_strips())
        assert transcript.scroll_y == transcript.max_scroll_y


@pytest.mark.parametrize("is_streaming", [True, False])
async def test_a_resize_leaves_the_reader_at_what_was_read(*, is_streaming: bool) -> None:
    """Fails as it did: wider, a reply of long lines was shorter, so the view went to its end; narrower, it went back by pages."""
    lines = "and goes on with words that fill the line " * 8
    text = "".join(f"Paragraph {number} begins here {lines}\n\n" for number in range(30))
    async with Host().run_test(size=(100, 30)) as pilot:
        transcript = await shown(pilot, talk(6))
        if is_streaming:
            transcript.begin_reply("model")
            transcript.append([TextPart(text)])
            while not transcript.max_scroll_y:
                await pilot.pause()
        else:
            await shown(pilot, [*talk(6), reply(text)])

        def read() -> set[str]:
            shown = " ".join(strip.text for strip in pilot.app.screen._compositor.render_strips())
            return set(re.findall(r"Paragraph \d+", shown))

        transcript.action_page(-1)
        transcript.action_page(-1)
        await settle(pilot)
        before, row = read(), transcript.scroll_y
        for width, height in ((240, 30), (50, 30), (160, 24), (60, 40), (100, 30)):
            await pilot.resize_terminal(width, height)
            if is_streaming:
                transcript.append([TextPart("more words. ")])
            await settle(pilot)
            assert not transcript.is_following
            assert read() & before
        assert transcript.scroll_y == row
        transcript.action_last()
        await settle(pilot)
        await pilot.resize_terminal(60, 20)
        await settle(pilot)
        assert transcript.is_following
        assert transcript.scroll_y == transcript.max_scroll_y


async def test_a_very_high_screen_is_filled_and_then_nothing_moves() -> None:
    """Fails when mounting above and below take turns for ever, because the most that is mounted does not fill the screen."""
    async with Host().run_test(size=(80, 250)) as pilot:
        transcript = await shown(pilot, [user("x") for _ in range(600)])
        for _ in range(40):
            await pilot.pause()
        assert transcript.scroll_y >= transcript.rows
        windows = set()
        for _ in range(5):
            await pilot.pause()
            windows.add((transcript.first, transcript.stop))
        assert len(windows) == 1


async def test_home_end_and_a_jump() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, talk(300), system="Be kind")
        transcript.focus_last()
        await settle(pilot)
        await pilot.press("home")
        await settle(pilot)
        focused = transcript.focused_view()
        assert focused is not None
        assert focused.standing.index == 0
        assert transcript.scroll_y == 0
        assert transcript.query_one(SystemText).display
        assert str(transcript.later.visual).startswith("▼ ")
        transcript.go_to(150)
        await settle(pilot)
        focused = transcript.focused_view()
        assert focused is not None
        assert focused.standing.index == 150
        assert row_of(transcript, focused) == 0
        assert not transcript.query_one(SystemText).display
        await pilot.press("end")
        await settle(pilot)
        focused = transcript.focused_view()
        assert focused is not None
        assert focused.standing.index == 299
        assert transcript.is_following
        assert transcript.later.styles.display == "none"


async def test_keys_go_from_message_to_message() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, [user("short"), reply("\n\n".join(f"paragraph {i}" for i in range(40))), user("last")])
        transcript.focus_last()
        await settle(pilot)
        await pilot.press("k", "k")
        assert transcript.focused_view() is transcript.views[0]
        await pilot.press("j")
        await until(partial(_stands_at, transcript, transcript.views[1], 0))
        await pilot.press("down")
        assert transcript.focused_view() is transcript.views[1]
        await until(partial(_stands_at, transcript, transcript.views[1], -3))
        for _ in range(30):  # in one burst: none of them is lost
            pilot.app.post_message(Key("down", None))
        await until(lambda: transcript.focused_view() is transcript.views[2])


async def test_the_focus_stays_near_when_its_message_is_taken_out() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, talk(300))
        transcript.focus_last()
        await settle(pilot)
        for _ in range(30):
            transcript.action_page(-1)
            await pilot.pause()
        assert transcript.stop < 300
        focused = transcript.focused_view()
        assert focused is not None
        assert focused in transcript.views


async def test_a_streamed_reply_is_taken_over_by_its_message() -> None:
    """Fails when the end of a reply makes it flicker: its widgets must be the ones that were streamed."""
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, talk(2)[:1])
        transcript.begin_reply("model")
        transcript.waiting("reading 312 of 960 tokens")
        await settle(pilot)
        view = transcript.writing
        assert view is not None
        assert "reading 312 of 960 tokens" in text_of(view)
        transcript.append([TextPart("**Hel")])
        transcript.append([TextPart("lo**\n\nand more\x1b[2J")])
        transcript.end_reply()
        await settle(pilot)
        body = view.query_one(ReplyText)
        blocks = list(body.children)
        await shown(pilot, [*talk(2)[:1], reply("**Hello**\n\nand more[2J", record(FinishReason.STOP))])
        assert transcript.views[-1] is view
        assert list(body.children) == blocks
        assert text_of(view).endswith("Hello\nand more[2J")
        assert "1.2 s to first token · 14 tok/s" in text_of(view)
        assert "reading" not in text_of(view)
        assert transcript.writing is None


async def test_text_that_ends_up_different_is_replaced() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, [user("q")])
        transcript.begin_reply("model")
        transcript.append([TextPart("one")])
        transcript.end_reply()
        await shown(pilot, [user("q"), reply("two")])
        assert len(transcript.query(MessageView)) == 2
        assert text_of(transcript.views[1]).endswith("two")
        transcript.begin_reply("model")
        transcript.end_reply()
        await settle(pilot)
        assert len(transcript.query(MessageView)) == 2


async def test_a_reply_can_be_continued_in_its_own_widget() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, [user("q"), reply("Once **upon")])
        view = transcript.views[1]
        transcript.begin_reply("model", continues=True)
        transcript.append([TextPart(" a** time")])
        transcript.end_reply()
        await shown(pilot, [user("q"), reply("Once **upon a** time")])
        assert transcript.views[1] is view
        assert text_of(view).endswith("Once upon a time")
        assert len(transcript.query(MessageView)) == 2


async def test_streaming_follows_the_end_but_never_pulls_a_reader_down() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, talk(20))
        transcript.begin_reply("model")
        transcript.append([TextPart("".join(f"line {i}\n\n" for i in range(20)))])
        await until(lambda: any("line 19" in strip.text for strip in pilot.app.screen._compositor.render_strips()))
        await settle(pilot)
        assert transcript.scroll_y == transcript.max_scroll_y
        assert transcript.below.styles.display == "none"
        transcript.action_page(-1)
        await settle(pilot)
        assert not transcript.is_following
        scroll_y, height = transcript.scroll_y, transcript.max_scroll_y
        transcript.append([TextPart("".join(f"more {i}\n\n" for i in range(20)))])
        await until(lambda: transcript.max_scroll_y > height)
        await settle(pilot)
        assert transcript.scroll_y == scroll_y
        assert transcript.below.styles.display == "block"
        transcript.action_last()
        await settle(pilot)
        assert transcript.scroll_y == transcript.max_scroll_y
        assert transcript.below.styles.display == "none"


async def test_a_reply_in_progress_is_not_shown_in_the_middle() -> None:
    """Fails when a reader far above sees the new reply behind messages that are not the last ones."""
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, talk(300))
        transcript.begin_reply("model")
        transcript.append([TextPart("text")])
        transcript.go_to(10)
        await settle(pilot)
        assert transcript.writing is not None
        assert transcript.writing.styles.display == "none"
        transcript.action_last()
        await settle(pilot)
        assert transcript.writing.styles.display == "block"


async def test_the_line_of_forgetting() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        entries = [*talk(2), user("kept", pinned=True), *talk(6)[3:]]
        view = ContextView(4096, forgotten=(0, 1, 3), forgotten_tokens=1234)
        transcript = await shown(pilot, entries, view)
        line = transcript.query_one(ForgottenLine)
        assert line.render().plain.startswith("── the model no longer sees what is above · 1,234 tokens ──")
        children = list(transcript.children)
        assert children.index(line) == children.index(transcript.views[4]) - 1
        assert [view.has_class("-dimmed") for view in transcript.views] == [True, True, False, True, False, False]
        assert "forgotten" in text_of(transcript.views[0])
        await shown(pilot, entries, ContextView(4096, forgotten=(0, 1, 3, 4, 5), forgotten_tokens=2000))
        children = list(transcript.children)
        assert children.index(transcript.query_one(ForgottenLine)) == children.index(transcript.views[5]) + 1
        await shown(pilot, entries, ContextView(4096))
        assert not transcript.query(ForgottenLine)


async def test_the_summary_stands_below_the_line_and_a_long_one_is_folded() -> None:
    class Asked(Host):
        asked = 0

        @on(ForgottenLine.Clicked)
        def count(self) -> None:
            self.asked += 1

    app = Asked()
    async with app.run_test(size=(50, 24)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        summary = ShownSummary(4, "They met at the mill.\x1b[31m")
        transcript.show(talk(6), ContextView(4096, forgotten=(0, 1, 2, 3), forgotten_tokens=900), "model", summary=summary)
        await settle(pilot)
        line = transcript.query_one(ForgottenLine)
        assert line.render().plain.startswith("── the model reads a summary of what is above · 900 tokens ──")
        assert line.render().plain.endswith("\nSummary  They met at the mill.[31m")
        assert "summed up" in text_of(transcript.views[0])
        await pilot.click(ForgottenLine)
        assert app.asked == 1
        transcript.show(talk(6), None, "model", summary=ShownSummary(4, "word " * 500, is_on=False))
        await settle(pilot)
        line = transcript.query_one(ForgottenLine)
        assert "── the summary of what is above is off ──" in line.render().plain
        assert line.render().plain.endswith(" … /summary shows all")
        assert line.outer_size.height <= 8
        children = list(transcript.children)
        assert children.index(line) == children.index(transcript.views[4]) - 1
        transcript.show(talk(6), None, "model")
        await settle(pilot)
        assert not transcript.query(ForgottenLine)


async def test_signs_say_what_happened_to_a_message() -> None:
    async with Host().run_test(size=(100, 40)) as pilot:
        entries = [
            user("a", pinned=True, excluded=True),
            reply("b", record(FinishReason.CANCELLED)),
            reply("c", record(FinishReason.LENGTH)),
            reply("d", interrupted=True),
            Entry(Message(Role.TOOL, (TextPart("\n".join(f"line {i}" for i in range(30))),))),
            Entry(Message(Role.ASSISTANT, (TextPart("x"), call_part("", (ToolCall("calculator", {"expression": "2 + 2"}),))))),
        ]
        transcript = await shown(pilot, entries)
        texts = [text_of(view) for view in transcript.views]
        assert texts[0].split("\n")[0].split() == ["You", "excluded", "·", "pinned"]
        assert texts[1].startswith("other-model ")
        assert "stopped · 1.2 s" in texts[1]
        assert "cut at 512 tokens · 1.2 s" in texts[2]
        assert "interrupted: the engine failed" in texts[3]
        assert texts[4].startswith("Tool")
        assert texts[4].endswith("line 7\n… and 22 more lines")
        assert '⚙ calculator(expression="2 + 2")' in texts[5]
        assert all(len(text.split("\n")[0]) == transcript.views[0].query_one(MessageLabel).outer_size.width for text in texts)


@pytest.mark.parametrize(("width", "ending"), [(100, "14 tok/s"), (50, "cut at 512 tokens"), (30, "…")])
async def test_of_a_narrow_label_whole_signs_are_left_out(width: int, ending: str) -> None:
    """Fails where half a sign stands at its end, "1.2 s to fi…", while another one is whole."""
    async with Host().run_test(size=(width, 24)) as pilot:
        transcript = await shown(pilot, [reply("c", record(FinishReason.LENGTH))])
        line = transcript.views[0].query_one(MessageLabel).render().plain
        assert line.endswith(ending), line


@pytest.mark.parametrize(
    ("ending", "is_interrupted", "said"),
    [
        (record(FinishReason.LENGTH), False, "was cut"),
        (record(FinishReason.CANCELLED), False, "was cut"),
        (None, True, "was cut"),
        (record(FinishReason.STOP), False, "could not be read"),
    ],
)
async def test_a_call_that_was_cut_is_said_to_be_cut(ending: ReplyRecord | None, is_interrupted: bool, said: str) -> None:
    """Also when how the reply ended is known only after its text was drawn; a call before the last one was not cut by the end."""
    parts = (TextPart("x"), call_part('{"name": oops}'), TextPart("y"), call_part('{"name": "write_file", "argu'))
    written = Entry(Message(Role.ASSISTANT, parts))
    async with Host().run_test(size=(100, 40)) as pilot:
        await shown(pilot, [written])
        ended = msgspec.structs.replace(written, record=ending, interrupted=is_interrupted)
        first = text_of((await shown(pilot, [ended])).views[0])
        await shown(pilot, [])
        again = text_of((await shown(pilot, [ended])).views[0])
        for text in (first, again):
            assert f'⚙ a tool call that {said}: {{"name": "write_file", "argu' in text
            assert '⚙ a tool call that could not be read: {"name": oops}' in text


async def test_keys_on_a_message_ask_for_actions() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, [*talk(3), msgspec.structs.replace(reply("code:\n\n```\na\n```\n\n```\nb\n```"), id=3)])
        transcript.focus_last()
        await settle(pilot)
        keys = {"c": "copy", "e": "edit", "r": "regenerate", "n": "continue", "alt+enter": "continue", "f": "fork", "p": "pin"}
        keys |= {"x": "exclude", "d": "delete", "i": "details", "enter": "menu", "space": "menu", "y": "copy_code"}
        keys |= {"left": "swipe_left", "right": "swipe_right", "w": "rewrite", "q": "question"}
        await pilot.press(*keys)
        await settle(pilot)
        assert isinstance(pilot.app, Host)
        assert pilot.app.posted == [(3, name) for name in keys.values()]
        assert code_of(transcript.entries[3].message) == "b"
        assert code_of(transcript.entries[0].message) is None
        pilot.app.posted.clear()
        await pilot.press("k", "r", "n", "y", "k", "r", "n", "k", "r")
        await settle(pilot)
        assert pilot.app.posted == [(2, "regenerate"), (1, "regenerate")]
        identities = {binding.id for bindings in transcript.views[0]._bindings.key_to_bindings.values() for binding in bindings}
        assert identities == {f"message.{name}" for name in (*keys.values(), "sources", "command", "undo", "thoughts")}


async def test_the_right_button_and_a_click_on_the_label_ask_for_the_menu() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, talk(2))
        assert isinstance(pilot.app, Host)
        await pilot.click(transcript.views[1], offset=(5, 1), button=3)
        await pilot.click(transcript.views[0].query_one(MessageLabel), offset=(1, 0))
        await pilot.click(transcript.views[1], offset=(5, 1))
        await settle(pilot)
        assert pilot.app.posted == [(1, "menu"), (0, "menu")]


async def test_a_counter_shows_the_alternatives_and_its_signs_can_be_clicked() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        transcript.show(talk(4), None, "model", alternatives={0: (1, 2), 1: (2, 3)})
        await settle(pilot)
        headings = [text_of(view).split("\n")[0] for view in transcript.views]
        assert [heading.split() for heading in headings] == [["You", "‹", "1/2", "›"], ["model", "‹", "2/3", "›"], ["You"], ["model"]]  # noqa: RUF001
        assert all(len(heading) == len(headings[0]) for heading in headings)
        assert isinstance(pilot.app, Host)
        label = transcript.views[1].query_one(MessageLabel)
        at = headings[1].index("‹")  # noqa: RUF001
        for offset in (at, at + 1, at + 5, at + 6):
            await pilot.click(label, offset=(offset, 0))
        assert pilot.app.posted == [(1, "swipe_left"), (1, "swipe_left"), (1, "swipe_right"), (1, "swipe_right")]
        pilot.app.posted.clear()
        for offset in (at - 1, at + 3, at + 7):
            await pilot.click(label, offset=(offset, 0))
        await pilot.click(transcript.views[2].query_one(MessageLabel), offset=(at, 0))
        assert pilot.app.posted == [(1, "menu")] * 3 + [(2, "menu")]


async def test_left_and_right_swipe_where_there_is_something_to_swipe_to() -> None:
    """The last reply too, when it is the only one: right of it another one can be made."""
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        transcript.show(talk(4), None, "model", alternatives={1: (3, 3)})
        transcript.focus_last()
        await settle(pilot)
        await pilot.press("right", "left", "k", "right", "k", "left", "k", "left")
        await settle(pilot)
        assert isinstance(pilot.app, Host)
        assert pilot.app.posted == [(3, "swipe_right"), (3, "swipe_left"), (1, "swipe_left")]


async def test_a_swipe_changes_the_message_in_its_place() -> None:
    """Fails when a swipe moves the view or mounts the messages around it anew."""
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = pilot.app.query_one(Transcript)
        transcript.show(talk(4), None, "model", alternatives={3: (1, 2)})
        await settle(pilot)
        views = list(transcript.views)
        transcript.show([*talk(3), reply("Another one")], None, "model", alternatives={3: (2, 2)})
        await settle(pilot)
        assert transcript.views == views
        assert "2/2" in text_of(views[3])
        assert text_of(views[3]).endswith("Another one")


async def test_the_persona_speaks_under_its_own_name() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        spoken = Entry(Message(Role.ASSISTANT, (TextPart("Aye."),)), record(FinishReason.STOP), speaker="The\x1b[2J Smith")
        transcript = await shown(pilot, [user("Who is there?"), spoken, reply("I am.", record(FinishReason.STOP))])
        assert [text_of(view).split("  ")[0] for view in transcript.views] == ["You", "The[2J Smith", "other-model"]
        transcript.begin_reply("model", speaker="The Smith")
        transcript.append([TextPart("Come in.")])
        await settle(pilot)
        assert transcript.writing is not None
        assert text_of(transcript.writing).startswith("The Smith  ")


def portrait() -> bytes:
    """Red above, blue below."""
    data = io.BytesIO()
    picture = Image.new("RGB", (40, 40), "red")
    picture.paste("blue", (0, 20, 40, 40))
    picture.save(data, "PNG")
    return data.getvalue()


def test_half_blocks_are_two_pixels_to_a_cell() -> None:
    drawn = half_blocks(portrait(), 4, 3)
    assert drawn.plain == "\n".join(["▀▀▀▀"] * 3)
    styles = [str(span.style) for span in drawn.spans]
    assert styles == ["#ff0000 on #ff0000"] * 4 + ["#ff0000 on #0000ff"] * 4 + ["#0000ff on #0000ff"] * 4
    assert not half_blocks(b"\x89PNG\r\n\x1a\nbroken", 4, 3)


async def test_a_portrait_stands_beside_what_its_persona_says() -> None:
    """And nowhere else; and it stays when the reply is swiped; and goes when pictures are not wanted or there is no room."""

    def pictured() -> list[int]:
        found = [view.standing.index for view in transcript.views if any(widget.display for widget in view.query(".portrait"))]
        indented = [view.standing.index for view in transcript.views if view.query_one(MessageLabel).region.x > view.region.x + 2]
        assert indented == found
        return found

    async with Host().run_test(size=(80, 24)) as pilot:
        spoken = [Entry(Message(Role.ASSISTANT, (TextPart(f"Aye {i}."),)), speaker="Smith") for i in range(2)]
        other = Entry(Message(Role.ASSISTANT, (TextPart("I am."),)), speaker="Ghost")
        broken = Entry(Message(Role.ASSISTANT, (TextPart("So am I."),)), speaker="Broken")
        entries = [user("hi"), spoken[0], reply("no"), other, broken]
        transcript = await shown(pilot, entries)
        transcript.portraits = {"Smith": portrait(), "Broken": b"no picture"}
        await settle(pilot)
        assert pictured() == []
        transcript.show_portraits = True
        await settle(pilot)
        assert pictured() == [1]
        assert transcript.views[1].outer_size.height == 4
        await shown(pilot, [entries[0], spoken[1], *entries[2:]])
        assert pictured() == [1]
        assert "Aye 1." in text_of(transcript.views[1])
        await pilot.resize_terminal(50, 24)
        await settle(pilot)
        assert pictured() == []
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        transcript.begin_reply("model", speaker="Smith")
        transcript.append([TextPart("Aye again.")])
        transcript.end_reply()
        await settle(pilot)
        written = Entry(Message(Role.ASSISTANT, (TextPart("Aye again."),)), speaker="Smith")
        await shown(pilot, [*entries, written])
        assert pictured() == [1, 5]
        transcript.portraits = {}
        await settle(pilot)
        assert pictured() == []


async def test_what_was_put_beside_the_words_is_one_quiet_line() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        lore = (
            ContextPart("Long text.", "The Old\x1b[2J Mill\nof Ham", "the key “mill” in the last message"),
            ContextPart("It is always dark here."),
        )
        asked = Entry(Message(Role.USER, (*lore, TextPart("Tell me of the mill."))))
        transcript = await shown(pilot, [asked, user("ok")])
        assert text_of(transcript.views[0]).split("\n")[1:] == [
            "Tell me of the mill.",
            "+ The Old[2J Mill of Ham (the key “mill” in the last message) · It is always dark here.",
        ]
        assert transcript.views[0].query_one(".contexts").outer_size.height == 1
        assert not transcript.views[1].query(".contexts")


async def test_web_addresses_are_passed_on_and_nothing_else_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when a link opens by itself, when `vscode:` and the like get out, or when an address arrives decoded."""
    opened: list[str] = []
    monkeypatch.setattr(Host, "open_url", lambda self, url, **_: opened.append(url))
    async with Host().run_test(size=(80, 24), notifications=True) as pilot:
        links = "[one](https://example.com/a%20b?c=%26%1b)\n\n[two](vscode://x/[/foo])\n\n| [three](http://t.example) |\n|---|"
        await shown(pilot, [reply(links)])
        assert isinstance(pilot.app, Host)
        await pilot.click("MarkdownParagraph", offset=(1, 0))
        await pilot.click(pilot.app.query("MarkdownParagraph").last(), offset=(1, 0))
        await pilot.click("MarkdownTable", offset=(2, 0))
        await settle(pilot)
        assert pilot.app.posted == ["https://example.com/a%20b?c=%26%1b", "http://t.example"]
        assert opened == []
        assert [notice.markup for notice in pilot.app._notifications] == [False]


async def test_hostile_text_is_shown_as_text_everywhere() -> None:
    """Fails when an escape reaches a widget, or markup is read (which would run an action or raise)."""
    async with Host().run_test(size=(120, 60)) as pilot:
        entries = [
            Entry(Message(Role.USER, (ImagePart("d", HOSTILE + "\n.png"), TextPart(HOSTILE)))),
            reply(HOSTILE + "\n\n```x[/foo]\n" + HOSTILE + "\n```\n\n| [/foo] |\n|---|"),
            Entry(Message(Role.ASSISTANT, (call_part(HOSTILE), call_part("", (ToolCall(HOSTILE, {HOSTILE: HOSTILE}),))))),
            Entry(Message(Role.TOOL, (TextPart(HOSTILE),))),
        ]
        transcript = pilot.app.query_one(Transcript)
        transcript.show(entries, None, HOSTILE, system=HOSTILE)
        await settle(pilot)
        transcript.begin_reply(HOSTILE)
        transcript.waiting(HOSTILE)
        await settle(pilot)
        assert transcript.writing is not None
        texts = [text_of(view) for view in [*transcript.views, transcript.writing]]
        for character in HOSTILE:
            transcript.append([TextPart(character)])
        transcript.end_reply()
        await settle(pilot)
        texts += [text_of(view) for view in transcript.query(MessageView)]
        texts.append(str(transcript.query_one(SystemText).visual))
        assert all(VISIBLE[:20] in text and "[@click=app.quit]x[/]" in text for text in texts)
        assert not any(character in text for text in texts for character in "\x1b\x07\x9b")
        assert "\x1b" not in "".join(str(strip.text) for strip in pilot.app.screen._compositor.render_strips())


async def test_text_can_be_selected_with_the_mouse() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, [user("select me"), reply("and **me** too")])
        text, block = transcript.query_one(".text"), transcript.query_one("MarkdownParagraph")
        await pilot.mouse_down(text, offset=(0, 0))
        await pilot.hover(block, offset=(6, 0))
        await pilot.mouse_up(block, offset=(6, 0))
        assert pilot.app.screen.get_selected_text() == "select me\nand me"
        pilot.app.screen.text_select_all()
        assert pilot.app.screen.get_selected_text() == "select me\nand me too"


async def test_the_system_text_is_two_lines_until_it_is_clicked() -> None:
    async with Host().run_test(size=(80, 40)) as pilot:
        transcript = await shown(pilot, [user("hi")], system="You are kind. " * 40)
        system = transcript.query_one(SystemText)
        assert system.outer_size.height == 2
        await pilot.click(system)
        await settle(pilot)
        assert system.outer_size.height > 5


async def test_the_top_of_the_window_is_a_place_to_stay() -> None:
    """Fails when the line above the window is held: then more is mounted without end, up to the first message."""
    async with Host().run_test(size=(80, 24)) as pilot:
        transcript = await shown(pilot, talk(300))
        transcript.scroll_to(y=0, animate=False)
        for _ in range(8):
            await settle(pilot)
        assert transcript.first > 200
        assert transcript.scroll_y >= transcript.rows


async def test_a_thought_is_one_line_that_opens_and_the_stream_becomes_the_message() -> None:
    """Fails when thoughts are shown as words, or a streamed reply is drawn anew because the time of its thought is known at its end."""
    async with Host().run_test(size=(60, 20)) as pilot:
        transcript = await shown(pilot, [user("Why?")])
        transcript.begin_reply("model")
        transcript.append([ReasoningPart("Let me [/foo] think.")])
        await until(lambda: transcript.query(ThoughtLine))
        line = transcript.query_one(ThoughtLine)
        assert str(line.visual).startswith("▸ Thinking … ")
        transcript.append([ReasoningPart(" Yes.\x1b[2J"), TextPart("Because.")])
        transcript.end_reply()
        await until(lambda: str(line.visual).startswith("▸ Thought for "))
        body = transcript.views[-1] if len(transcript.views) > 1 else transcript.writing
        assert body is not None
        parts = (ReasoningPart("Let me [/foo] think. Yes.[2J", 12.0, 340), TextPart("Because."))
        transcript.show([user("Why?"), Entry(Message(Role.ASSISTANT, parts))], None, "model")
        await settle(pilot)
        assert transcript.views[-1] is body, "drawn anew"
        await until(lambda: str(line.visual) == "▸ Thought for 12.0 s · 340 tokens")
        transcript.focus_last()
        await settle(pilot)
        await pilot.press("t")
        assert str(line.visual) == "▾ Thought for 12.0 s · 340 tokens\nLet me [/foo] think. Yes.[2J"
        await pilot.click(line, offset=(2, 0))
        assert str(line.visual) == "▸ Thought for 12.0 s · 340 tokens"
