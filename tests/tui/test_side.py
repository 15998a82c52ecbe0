"""The panes together: a column that folds, a drawer with tabs, and the same widgets in both."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.events import Key
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input, Static

from nemochat.chat import ContextView, ToolRun, ToolState
from nemochat.desk.desk import Desk
from nemochat.desk.port import Said
from nemochat.domain.images import RgbImage
from nemochat.tui.panes import registry
from nemochat.tui.panes.attachments import AttachLine, AttachmentCard, AttachmentItem, AttachmentsPane
from nemochat.tui.panes.base import Pane, Sign
from nemochat.tui.panes.context import ContextPane
from nemochat.tui.panes.side import PaneFrame, PaneTab, PaneTitle, SidePanes
from nemochat.tui.panes.tools import ToolInfo, ToolLine, ToolsPane
from tests.chat.fake_engine import FakeEngine
from tests.desk.bench import Bench
from tests.idle import until
from tests.tui.bench import running

ITEM = AttachmentItem("a1", "cat.png", 640, 480, 128, "encoded", RgbImage.from_rgb(8, 8, bytes(192)), in_draft=True)


class Host(App[None]):
    AUTO_FOCUS = "Input"
    CSS = "#talk { width: 1fr; height: 100%; }"

    def __init__(self, *, narrow: bool = False) -> None:
        super().__init__()
        self.side = SidePanes()
        self.narrow = narrow

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Input(id="talk")
            yield self.side

    def on_mount(self) -> None:
        self.side.set_narrow(self.narrow)
        self.side.query_one(ContextPane).show(ContextView(4096, history=96))

    @property
    def attachments(self) -> AttachmentsPane:
        return self.side.query_one(AttachmentsPane)

    @property
    def tools(self) -> ToolsPane:
        return self.side.query_one(ToolsPane)

    @property
    def titles(self) -> list[str]:
        return [str(title.content) for title in self.query(PaneTitle) if title.region.area]

    @property
    def visible_panes(self) -> list[str]:
        return [pane.id or "" for pane in self.query(PaneFrame) if pane.region.area]

    @property
    def talk_width(self) -> int:
        return self.query_one("#talk").outer_size.width


async def settled(pilot: Pilot[None]) -> None:
    """Heights are shared out once what the panes hold has been laid out."""
    for _ in range(3):
        await pilot.pause()


async def test_the_column_has_three_panes_one_under_the_other_beside_the_conversation() -> None:
    host = Host()
    async with host.run_test(size=(120, 40)):
        assert host.titles == ["▾ Attachments", "▸ Tools · none", "▾ Context"]
        assert host.side.outer_size.width == 38
        panes = list(host.query(PaneFrame))
        assert [pane.region.y for pane in panes] == sorted({pane.region.y for pane in panes})
        assert host.side.region.x >= host.query_one("#talk").region.right
        assert not host.side.is_open  # a column is no drawer: Esc must not close it


async def test_the_column_takes_about_a_third_at_most() -> None:
    host = Host()
    async with host.run_test(size=(100, 40)):
        assert host.side.outer_size.width <= 34


async def test_empty_panes_take_little_height_and_pictures_get_the_rest() -> None:
    host = Host()
    async with host.run_test(size=(120, 40)) as pilot:
        attachments, tools, context = host.query(PaneFrame)
        assert attachments.size.height <= 4
        assert tools.size.height <= 4
        host.attachments.show([ITEM])
        await pilot.pause()
        assert attachments.size.height > 20
        assert context.region.bottom <= 40


async def test_a_title_folds_its_pane_by_key_and_by_mouse_and_then_says_what_it_holds() -> None:
    host = Host()
    async with host.run_test(size=(120, 40)) as pilot:
        host.attachments.show([ITEM])
        host.query(PaneTitle).first().focus()
        await pilot.press("enter")
        assert host.titles[0] == "▸ Attachments · 1 picture, 128 tokens"
        assert not host.attachments.region.area
        host.attachments.show([])
        await pilot.pause()
        assert host.titles[0] == "▸ Attachments · none"
        await pilot.press("enter")
        assert host.titles[0] == "▾ Attachments"
        await pilot.click(host.query(PaneTitle).last())
        assert host.titles[2] == "▸ Context · 96 of 4,096"


async def test_many_tools_and_calls_leave_room_for_the_others() -> None:
    host = Host()
    async with host.run_test(size=(120, 40)) as pilot:
        host.tools.show((), [ToolRun("x", {"n": n}, "result", ToolState.DONE) for n in range(30)])
        host.attachments.show([ITEM])
        await settled(pilot)
        assert host.query_one("#context", PaneFrame).region.bottom <= 40
        assert host.query_one("#attachments", PaneFrame).size.height >= 10
        assert host.tools.max_scroll_y > 0


@pytest.mark.parametrize("height", [40, 70])
async def test_no_pane_is_clipped_beside_empty_rows(height: int) -> None:
    """What a pane gets depends on what all of them need, not on a share that was fixed before."""
    host = Host()
    tools = [ToolInfo(f"tool_{n}", "Reads the whole of a file below the folders that you have named.", n == 0) for n in range(12)]
    async with host.run_test(size=(200, height)) as pilot:
        host.tools.show(tools, ())
        await settled(pilot)
        context = host.query_one("#context", PaneFrame)
        if host.tools.max_scroll_y:
            assert height - context.region.bottom <= 2
        else:
            assert host.tools.size.height == host.tools.virtual_size.height
        assert context.body.max_scroll_y == 0
        assert context.region.bottom <= height


async def test_tools_are_folded_until_one_is_on_or_was_called_and_the_user_decides_for_good() -> None:
    host = Host()
    off, on = ToolInfo("add", "Adds.", False, 40), ToolInfo("add", "Adds.", True, 40)
    async with host.run_test(size=(120, 40)) as pilot:
        host.tools.show([off], ())
        await settled(pilot)
        assert host.titles[1] == "▸ Tools · 0 of 1 on"
        for tools, runs in (([on], ()), ([off], [ToolRun("add", {}, "3", ToolState.DONE)])):
            host.tools.show(tools, runs)
            await settled(pilot)
            assert host.titles[1] == "▾ Tools"
        host.tools.show([off], ())
        await settled(pilot)
        await pilot.click(host.query(PaneTitle)[1])
        host.tools.show([on], ())
        host.tools.show([off], ())
        await settled(pilot)
        assert host.titles[1] == "▾ Tools"  # it was unfolded by hand


async def test_a_low_column_scrolls_as_a_whole() -> None:
    host = Host()
    async with host.run_test(size=(120, 24)) as pilot:
        host.tools.show((), [ToolRun("x", {"n": n}, "result", ToolState.DONE) for n in range(30)])
        await pilot.pause()
        assert host.side.max_scroll_y > 0
        assert host.tools.max_scroll_y == 0


async def test_toggling_the_column_gives_its_place_to_the_conversation_and_back() -> None:
    host = Host()
    async with host.run_test(size=(120, 40)) as pilot:
        host.side.toggle()
        await pilot.pause()
        assert host.talk_width == 120
        assert host.visible_panes == []
        host.side.toggle()
        await pilot.pause()
        assert host.talk_width == 82
        assert len(host.visible_panes) == 3


async def test_a_column_that_the_settings_hide_comes_with_toggle() -> None:
    host = Host()
    async with host.run_test(size=(120, 40)) as pilot:
        host.side.display = False
        await pilot.pause()
        host.side.toggle()
        await pilot.pause()
        assert len(host.visible_panes) == 3


async def test_the_drawer_is_closed_at_first_and_cannot_be_reached_by_tab() -> None:
    host = Host(narrow=True)
    async with host.run_test(size=(80, 24)) as pilot:
        host.side.display = True  # as the settings say; it must not open the drawer
        await pilot.pause()
        assert host.talk_width == 80
        assert host.visible_panes == []
        assert not host.side.is_open
        await pilot.press("tab")
        assert isinstance(host.focused, Input)


async def test_the_drawer_opens_over_the_conversation_with_one_pane_and_its_tab_in_focus() -> None:
    host = Host(narrow=True)
    async with host.run_test(size=(80, 24)) as pilot:
        host.side.toggle()
        await pilot.pause()
        assert host.side.is_open
        assert host.visible_panes == ["attachments"]
        assert host.titles == []
        assert host.talk_width == 80  # it lies over it, so nothing is laid out again
        assert host.side.region.right == 80
        focused = host.focused
        assert isinstance(focused, PaneTab)
        assert str(focused.content) == "Attachments"


async def test_a_closed_drawer_keeps_no_focus() -> None:
    host = Host(narrow=True)
    async with host.run_test(size=(80, 24)) as pilot:
        host.side.toggle()
        await pilot.pause()
        host.side.toggle()
        await pilot.pause()
        assert not host.side.is_open
        assert isinstance(host.focused, Input)


def _shows(host: Host, pane: str) -> bool:
    return host.visible_panes == [pane]


async def test_tabs_by_key_and_by_mouse() -> None:
    host = Host(narrow=True)
    async with host.run_test(size=(80, 24)) as pilot:
        host.side.toggle()
        await pilot.pause()
        for key, pane in (("right", "tools"), ("right", "context"), ("right", "attachments"), ("left", "context")):
            await pilot.press(key)
            await until(partial(_shows, host, pane))
        for _ in range(2):  # in one burst: none of them is lost
            host.post_message(Key("left", None))
        await until(partial(_shows, host, "attachments"))
        await pilot.press("left")
        await until(partial(_shows, host, "context"))
        await pilot.press("down")
        assert isinstance(host.focused, ContextPane)
        await pilot.click("#tab-tools")
        assert host.visible_panes == ["tools"]
        await pilot.click(host.side.query_one("#tabs").query_one(Sign))
        assert not host.side.is_open


async def test_only_the_shown_tab_is_a_stop_for_the_tab_key() -> None:
    host = Host(narrow=True)
    async with host.run_test(size=(80, 24)) as pilot:
        host.side.toggle()
        await pilot.pause()
        await pilot.press("tab")
        assert isinstance(host.focused, AttachLine)


async def test_the_same_widgets_serve_both_forms() -> None:
    host = Host()
    async with host.run_test(size=(120, 40)) as pilot:
        host.attachments.show([ITEM])
        await pilot.pause()
        before = list(host.query(AttachmentCard)) + list(host.query(PaneFrame))
        host.query(PaneFrame).first().folded = True
        host.side.set_narrow(True)
        host.side.toggle()
        await pilot.pause()
        assert list(host.query(AttachmentCard)) + list(host.query(PaneFrame)) == before
        assert host.attachments.region.area  # a folded pane is whole in the drawer
        host.side.set_narrow(False)
        await pilot.pause()
        assert host.titles[0].startswith("▸ Attachments")
        host.side.set_narrow(True)
        await pilot.pause()
        assert not host.side.is_open  # a narrower window does not cover the conversation by itself


def _is_entered(host: Host, pane: str, kind: type[Widget]) -> bool:
    return pane in host.visible_panes and isinstance(host.focused, kind)


async def test_open_pane_shows_unfolds_and_focuses_whatever_the_form() -> None:
    for narrow, size in ((False, (120, 40)), (True, (80, 24))):
        host = Host(narrow=narrow)
        async with host.run_test(size=size):
            host.side.toggle()  # the column hides, the drawer opens
            host.query_one("#context", PaneFrame).folded = True
            host.side.open_pane("context")
            await until(partial(_is_entered, host, "context", ContextPane))
            host.side.open_pane("tools")
            await until(partial(_is_entered, host, "tools", PaneTab if narrow else PaneTitle))  # nothing else in it takes the focus


class Notes(Pane, can_focus=True):
    """A pane of somebody who has read CONTRIBUTING.md."""

    title = "Notes"
    follows = (Said,)

    def __init__(self) -> None:
        super().__init__()
        self.text = Static()

    def compose(self) -> ComposeResult:
        yield self.text

    def draw(self, desk: Desk) -> None:
        self.text.update(f"said in {desk.chat.title}")
        self.summary = "one note"


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_a_new_pane_is_one_class_and_one_line_in_the_registry(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "PANES", (*registry.PANES, Notes))
    async with running(tmp_path, size=size, bench=Bench(tmp_path, {"demo": FakeEngine()})) as driver:
        driver.screen.side.open_pane("notes")
        await driver.until(lambda: isinstance(driver.app.focused, Notes))
        assert "said in" in driver.shown  # drawn with all the others
        driver.desk.change(driver.desk.chat.named("Harbour"))
        await driver.until(lambda: "said in Harbour" in driver.shown)
        notes = driver.screen.query_one(Notes)
        notes.text.update("")
        driver.screen.presenter.tell(Said("a word"))
        await driver.until(lambda: "said in Harbour" in driver.shown)  # what it follows
        notes.act(lambda desk: desk.port.tell(Said("done")))
        await driver.told("done")


async def test_keys_are_explained() -> None:
    for kind in (PaneTitle, PaneTab, AttachmentCard, AttachLine, ToolLine):
        for binding in kind.BINDINGS:
            assert not isinstance(binding, tuple)
            assert binding.id
            assert binding.description
            assert binding.tooltip
    assert Static.can_focus is False
