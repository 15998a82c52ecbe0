"""The drawer of conversations: what it lists in which order, its keys and mouse, what stays where it is, and that many rows cost little."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

import msgspec
from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Button, Static

from nemochat.desk.chats import menu_of
from nemochat.domain.library import ConversationRow
from nemochat.tui.widgets import days
from nemochat.tui.widgets.conversations import ConversationsDrawer

NOW = datetime(2026, 10, 28, 15, 30).timestamp()  # a Wednesday


def at(*moment: int) -> float:
    return datetime(*moment).timestamp()  # type: ignore[arg-type]


ROWS = (
    ConversationRow("march", "Invoice from March", 1_204, at(2025, 3, 2, 9), model="nano", has_picture=True),
    ConversationRow("today", "Reading the harbour chart", 12, at(2026, 10, 28, 14, 5), persona="Smith", model="nano"),
    ConversationRow("yesterday", "A soup", 2, at(2026, 10, 27, 23, 59), model="nano", tags=("food", "work")),
    ConversationRow("monday", "Why is the sky blue?", 4, at(2026, 10, 26, 0, 0)),
    ConversationRow("sunday", "Harbour lights", 4, at(2026, 10, 25, 23, 59)),
    ConversationRow("old", "Put away", 1, at(2026, 10, 28, 15, 0), archived=True),
    ConversationRow("gone", "Deleted", 1, at(2026, 10, 28, 15, 0), deleted=True),
)
HOSTILE = "a\x1b]52;c;ZXZpbA==\x07\x9b31m [@click=app.quit]x[/]\u202e\nb"
VISIBLE = "a]52;c;ZXZpbA==31m [@click=app.quit]x[/] b"


class Host(App[None]):
    """A bare host that keeps what is posted."""

    def __init__(self) -> None:
        super().__init__()
        self.drawer = ConversationsDrawer()
        self.posted: list[object] = []

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield self.drawer
            yield Button("The prompt")

    def on_mount(self) -> None:
        self.query_one(Button).focus()

    def on_conversations_drawer_action(self, event: ConversationsDrawer.Action) -> None:
        self.posted.append((event.row.id, event.name))

    def on_conversations_drawer_new(self) -> None:
        self.posted.append("new")

    def on_conversations_drawer_search(self, event: ConversationsDrawer.Search) -> None:
        self.posted.append(("search", event.words))

    def on_conversations_drawer_left(self) -> None:
        self.posted.append("left")
        self.query_one(Button).focus()


async def opened(pilot: Pilot[None], rows: Sequence[ConversationRow] = ROWS, open_id: str = "") -> ConversationsDrawer:
    assert isinstance(pilot.app, Host)
    pilot.app.drawer.open()
    pilot.app.drawer.show(rows, open_id, NOW)
    await pilot.pause()
    return pilot.app.drawer


def posted(pilot: Pilot[None]) -> list[object]:
    """What was posted since the last time."""
    assert isinstance(pilot.app, Host)
    taken, pilot.app.posted = pilot.app.posted, []
    return taken


def lines(drawer: ConversationsDrawer) -> list[str]:
    """What stands in the list, without the blank lines."""
    drawn = [drawer.list.render_line(y).text.rstrip() for y in range(drawer.list.size.height)]
    return [line for line in drawn if line]


def foot(drawer: ConversationsDrawer) -> str:
    return str(drawer.query_one("#chats-foot", Static).visual)


def many(count: int) -> list[ConversationRow]:
    return [ConversationRow(f"c{i}", f"Conversation number {i}", i, NOW - i * 1800) for i in range(count)]


async def test_the_newest_comes_first_under_the_headings_of_days() -> None:
    async with Host().run_test(size=(80, 40)) as pilot:
        drawer = await opened(pilot, open_id="monday")
        drawn = [line[:3] + " ".join(line[3:].split()) for line in lines(drawer)]
        assert drawn == [
            " Today",
            "   Reading the harbour chart",
            "   Smith 12 msg · 14:05",
            " Yesterday",
            "   A soup",
            "   #food #work na… 2 msg · 23:59",
            " This week",
            "▌● Why is the sky blue? ≡",
            "▌  4 msg · Mon 00:00",
            " October",
            "   Harbour lights",
            "   4 msg · 25 Oct",
            " March 2025",
            "   Invoice from March",
            "   nano ▣ 1,204 msg · 2 Mar",
            " Archived",
            "   Put away",
            "   1 msg · 15:00",
        ]
        assert foot(drawer) == "6 conversations"
        drawer.show([], "", NOW)
        assert " ".join(line.strip() for line in lines(drawer)) == (
            "No conversations yet. What you write is kept, and will be listed here."
        )


async def test_every_key_on_a_row_asks_for_something() -> None:
    async with Host().run_test(size=(120, 40)) as pilot:
        drawer = await opened(pilot)
        names = {"enter": "open", "f2": "rename", "r": "rename", "t": "tags", "a": "archive", "e": "export", "space": "menu", "d": "delete"}
        await pilot.press(*names)
        assert posted(pilot) == [("today", name) for name in names.values()]
        await pilot.press("n", "end", "a", "up", "delete", "slash")
        assert posted(pilot) == ["new", ("old", "unarchive"), ("march", "delete")]
        assert drawer.filter.has_focus
        assert drawer.is_open
        drawer.ask("monday", "export")
        drawer.ask("old", "archive")
        drawer.ask("nothing", "open")
        await pilot.pause()
        assert posted(pilot) == [("monday", "export"), ("old", "unarchive")]
        keys = {key for key, bindings in drawer.list._bindings.key_to_bindings.items() if all(b.id and b.tooltip for b in bindings)}
        assert keys >= {*names, "delete", "u", "n", "slash", "home", "end", "pageup", "pagedown"}
        assert [line[0] for line in menu_of(ROWS[0])] == ["open", "rename", "tags", "archive", "export", "delete"]


async def test_what_was_deleted_last_can_be_brought_back() -> None:
    """Also one after the other, and when nothing is left in the list."""
    async with Host().run_test(size=(80, 30)) as pilot:
        rows = ROWS[1:3]
        drawer = await opened(pilot, rows)
        await pilot.press("u", "d")
        assert posted(pilot) == [("today", "delete")]
        assert "Deleted" not in foot(drawer)  # not yet: whoever deletes it may have refused
        drawer.show([msgspec.structs.replace(rows[0], deleted=True), rows[1]], "", NOW)
        assert foot(drawer) == "1 conversation\nDeleted: “Reading the harbour…” · u undoes"
        await pilot.press("d")
        drawer.show([], "", NOW)
        assert foot(drawer) == "Deleted: “A soup” · u undoes"
        await pilot.press("u")
        drawer.show(rows[1:], "", NOW)
        await pilot.press("u")
        drawer.show(rows, "", NOW)
        await pilot.press("u")
        assert posted(pilot) == [("yesterday", "delete"), ("yesterday", "undo"), ("today", "undo")]
        assert foot(drawer) == "2 conversations"


async def test_the_filter_narrows_at_once_and_enter_searches_in_everything() -> None:
    async with Host().run_test(size=(120, 40)) as pilot:
        drawer = await opened(pilot)
        await pilot.press("slash", *"HARB")
        await pilot.pause()
        assert [line for line in lines(drawer) if "arbour" in line] == ["▌  Reading the harbour chart    ≡", "   Harbour lights"]
        assert foot(drawer) == "2 of 6 conversations"
        underlined = [segment.text for segment in drawer.list.render_line(1) if segment.style is not None and segment.style.underline]
        assert "".join(underlined) == "harb"
        await pilot.press("enter")
        assert posted(pilot) == [("search", "HARB")]
        await pilot.press("down", "down", "enter", "up", "up")
        assert posted(pilot) == [("sunday", "open")]
        assert drawer.filter.has_focus
        await pilot.press(*"xyz")  # what was there was selected
        await pilot.pause()
        assert " ".join(lines(drawer)).startswith(" No title fits “xyz”.")
        await pilot.press("escape")
        await pilot.pause()
        assert foot(drawer) == "6 conversations"  # Esc leaves at once, and the filter does not stay
        assert posted(pilot) == ["left"]
        assert isinstance(pilot.app.focused, Button)
        assert not drawer.is_open


async def test_the_mouse_opens_and_asks_for_the_menu() -> None:
    async with Host().run_test(size=(120, 40)) as pilot:
        drawer = await opened(pilot, open_id="sunday")
        await pilot.hover(drawer.list, offset=(5, 5))
        assert drawer.list.render_line(5).text.startswith("   A soup")
        assert drawer.list.render_line(5).text.endswith("≡ ")
        assert isinstance(drawer.list.tooltip, Content)
        assert "2 messages · last on 27 October 2026, 23:59 · nano · #food · #work" in drawer.list.tooltip.plain
        await pilot.click(drawer.list, offset=(5, 6))
        await pilot.click(drawer.list, offset=(32, 5))
        await pilot.click(drawer.list, offset=(5, 6), button=3)
        await pilot.click(drawer.list, offset=(5, 4))
        await pilot.click(drawer.list, offset=(5, 35))
        assert posted(pilot) == [("yesterday", "open"), ("yesterday", "menu"), ("yesterday", "menu")]


async def test_scroll_and_cursor_stay_when_the_rows_change() -> None:
    """Fails when a new conversation or a changed one makes the list jump under the reader."""
    async with Host().run_test(size=(120, 24)) as pilot:
        drawer = await opened(pilot, many(200), "c0")
        await pilot.press(*["pagedown"] * 4)
        drawer.list.scroll_relative(y=3, animate=False)
        await pilot.pause()
        row, seen = drawer.list.row, lines(drawer)
        assert row is not None
        assert f"▌  {row.title}" in "\n".join(seen)
        newer = [ConversationRow(f"n{i}", "New", 1, NOW + i) for i in range(3)]
        drawer.show([*many(200)[3:], *newer], "c0", NOW)
        await pilot.pause()
        assert drawer.list.row == row
        assert lines(drawer) == seen
        assert drawer.list.cursor is not None
        place = drawer.list.cursor
        drawer.show([each for each in many(200) if each.id != row.id], "c0", NOW)
        assert drawer.list.cursor == place
        await pilot.press("home")
        assert drawer.list.scroll_y == 0
        assert lines(drawer)[0] == " Today"
        drawer.show([*many(200), *newer], "c0", NOW)
        await pilot.pause()
        assert lines(drawer)[1].strip() == "New"


async def test_another_open_conversation_takes_the_cursor_while_the_list_is_not_used() -> None:
    async with Host().run_test(size=(120, 24)) as pilot:
        drawer = await opened(pilot, many(200), "c0")
        drawer.show(many(200), "c150", NOW)
        assert drawer.list.cursor == 0
        pilot.app.query_one(Button).focus()
        await pilot.pause()
        drawer.show(many(200), "c100", NOW)
        await pilot.pause()
        assert drawer.list.cursor == 100
        assert "▌● Conversation number 100" in "\n".join(lines(drawer))


async def test_on_a_narrow_screen_it_lies_over_the_conversation_and_makes_way() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        drawer = await opened(pilot)
        drawer.set_narrow(True)
        await pilot.pause()
        assert not drawer.is_open
        for key, told in (("enter", ("today", "open")), ("n", "new"), ("escape", "left")):
            drawer.open()
            await pilot.pause()
            assert drawer.region.width == 40
            assert pilot.app.query_one(Button).region.x == 0
            await pilot.press(key)
            assert posted(pilot) == [told]
            assert not drawer.is_open
        drawer.open()
        drawer.leave()
        await pilot.pause()
        assert posted(pilot) == ["left"]


async def test_hostile_titles_are_shown_as_text() -> None:
    async with Host().run_test(size=(120, 24)) as pilot:
        row = ConversationRow("x", HOSTILE, 1, NOW, persona=HOSTILE, tags=(HOSTILE,), preview=HOSTILE)
        drawer = await opened(pilot, [row, ConversationRow("y", " ", 1, float("nan")), ConversationRow("z", "Future", 1, 1e300)])
        drawer.styles.width = 110
        await pilot.pause()
        await pilot.hover(drawer.list, offset=(5, 4))
        drawn = "\n".join(lines(drawer))
        assert drawn.count(VISIBLE) == 3
        assert "Untitled" in drawn
        assert not set(drawn) & set("\x1b\x07\x9b\u202e")
        await pilot.press("d")
        drawer.show([], "", NOW)
        assert foot(drawer).startswith("Deleted: “")
        assert "\x1b" not in foot(drawer)


async def test_ten_thousand_rows_are_shown_at_once() -> None:
    """Fails when every row is drawn and not those in sight alone: that takes some hundred times as long."""
    async with Host().run_test(size=(120, 40)) as pilot:
        drawer = await opened(pilot, [])
        rows = many(10_000)
        best = float("inf")
        for _ in range(3):
            before = time.process_time()
            drawer.show(rows, "c5000", NOW)
            for y in range(drawer.list.size.height):
                drawer.list.render_line(y)
            best = min(best, time.process_time() - before)
        assert best <= 1.0
        await pilot.press("end")
        assert drawer.list.cursor == 9_999
        assert "Conversation number 9999" in "\n".join(lines(drawer))


def test_times_as_people_say_them() -> None:
    assert days.heading(at(2026, 10, 28, 0, 0), NOW) == ("Today", at(2026, 10, 28))
    assert days.heading(NOW + 1e9, NOW)[0] == "Today"
    assert days.heading(at(2026, 10, 27, 8, 0), NOW) == ("Yesterday", at(2026, 10, 27))
    assert days.heading(at(2026, 10, 26, 8, 0), NOW) == ("This week", at(2026, 10, 26))
    assert days.heading(at(2026, 10, 25, 8, 0), NOW) == ("October", at(2026, 10, 1))
    assert days.heading(at(2025, 10, 25, 8, 0), NOW) == ("October 2025", at(2025, 10, 1))
    assert days.when(at(2026, 10, 27, 8, 5), NOW) == "08:05"
    assert [days.day_of(at(*day), NOW) for day in ((2026, 10, 28), (2026, 10, 27), (2026, 10, 2), (2024, 2, 29))] == [
        "today",
        "yesterday",
        "2 Oct",
        "29 Feb 2024",
    ]
    assert days.in_full(at(2026, 10, 2, 7, 3)) == "2 October 2026, 07:03"
