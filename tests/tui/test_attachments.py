"""The attachments pane: every picture with its figures, and what keys and mouse ask for."""

from __future__ import annotations

import msgspec
import pytest
from textual.app import App, ComposeResult
from textual.widgets import Static

from nemochat.domain.images import RgbImage
from nemochat.tui.panes.attachments import AttachLine, AttachmentCard, AttachmentItem, AttachmentsPane
from nemochat.tui.panes.base import Sign
from nemochat.tui.widgets.picture import Picture

PIXELS = RgbImage.from_rgb(16, 16, bytes(16 * 16 * 3))
OTHER = RgbImage.from_rgb(16, 16, b"\xff" * (16 * 16 * 3))
FIRST = AttachmentItem("a1", "cat.png", 640, 480, 128, "encoded", PIXELS, in_draft=True)
SECOND = AttachmentItem("a2", "dog.png", 0, 0, None, "reading", None, in_draft=True)
SAID = AttachmentItem("d1", "old.png", 16, 16, 1000, "in the chat", OTHER, in_draft=False)


class Host(App[None]):
    def __init__(self, *items: AttachmentItem) -> None:
        super().__init__()
        self.pane = AttachmentsPane()
        self.pane.show(items)  # before it is mounted
        self.asked: list[tuple[str, str]] = []

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_attachments_pane_asked(self, message: AttachmentsPane.Asked) -> None:
        self.asked.append((message.name, message.key))

    def cards(self) -> list[AttachmentCard]:
        return list(self.query(AttachmentCard))

    def shown(self) -> str:
        """Texts from top to bottom."""
        return "\n".join(str(each.content) for each in self.query(Static) if each.display and not isinstance(each, Sign))


async def test_each_picture_shows_its_name_size_tokens_state_and_pixels() -> None:
    host = Host(FIRST, SECOND)
    async with host.run_test():
        assert "cat.png" in host.shown()
        assert "640x480 · 128 tokens · ✓ encoded" in host.shown()
        assert "… reading" in host.shown()
        [picture] = host.query(Picture)
        assert picture.pixels is PIXELS


async def test_those_of_the_next_message_come_first_under_their_own_heading() -> None:
    host = Host(SAID, FIRST)
    async with host.run_test():
        text = host.shown()
        order = [text.index(part) for part in ("In the next message", "cat.png", "In this chat", "old.png")]
        assert order == sorted(order)
        assert host.pane.summary == "2 pictures, 1,128 tokens"


async def test_the_empty_pane_says_how_to_bring_a_picture() -> None:
    host = Host()
    async with host.run_test(size=(38, 20)) as pilot:
        assert "No pictures yet. Drag one in, paste it, or use /image." in host.shown()
        assert host.pane.size.height <= 3
        host.pane.show([FIRST])
        await pilot.pause()
        assert "No pictures yet" not in host.shown()


async def test_a_failure_gives_its_reason_with_a_sign() -> None:
    host = Host(msgspec.structs.replace(FIRST, state="failed: it is not a picture"))
    async with host.run_test():
        assert "✗ failed: it is not a picture" in host.shown()


async def test_what_is_on_the_screen_stays_when_the_list_changes() -> None:
    host = Host(FIRST, SAID)
    async with host.run_test() as pilot:
        first, said = host.cards()
        picture = first.query_one(Picture)
        first.focus()
        host.pane.show([SECOND, msgspec.structs.replace(FIRST, state="ready"), SAID])
        await pilot.pause()
        assert [card.item.key for card in host.cards()] == ["a2", "a1", "d1"]
        assert host.cards()[1] is first
        assert host.cards()[2] is said
        assert first.query_one(Picture) is picture
        assert first.has_focus


async def test_reordering_and_removing_follow_the_list() -> None:
    host = Host(FIRST, SECOND, SAID)
    async with host.run_test() as pilot:
        cards = {card.item.key: card for card in host.cards()}
        host.pane.show([SECOND, FIRST, SAID])
        await pilot.pause()
        assert host.cards() == [cards["a2"], cards["a1"], cards["d1"]]
        host.pane.show([FIRST, SAID])
        await pilot.pause()
        assert host.cards() == [cards["a1"], cards["d1"]]
        host.pane.show([SAID])
        await pilot.pause()
        assert "In the next message" not in host.shown()
        host.pane.show([])
        await pilot.pause()
        assert host.cards() == []
        assert "In this chat" not in host.shown()


async def test_a_sent_picture_that_keeps_its_key_moves_under_the_other_heading() -> None:
    host = Host(FIRST, SECOND)
    async with host.run_test() as pilot:
        host.pane.show([msgspec.structs.replace(FIRST, in_draft=False), SECOND])
        await pilot.pause()
        text = host.shown()
        assert text.index("dog.png") < text.index("In this chat") < text.index("cat.png")
        assert host.cards()[1].has_class("-said")


async def test_pixels_appear_when_they_are_there_and_change_when_they_do() -> None:
    host = Host(SECOND)
    async with host.run_test() as pilot:
        for pixels in (PIXELS, OTHER):
            host.pane.show([msgspec.structs.replace(SECOND, pixels=pixels, state="encoded")])
            await pilot.pause()
            assert [picture.pixels for picture in host.query(Picture)] == [pixels]
        host.pane.show([SECOND])
        await pilot.pause()
        assert not host.query(Picture)


@pytest.mark.parametrize(
    ("key", "asked"),
    [
        ("shift+up", ("earlier", "a1")),
        ("shift+down", ("later", "a1")),
        ("delete", ("remove", "a1")),
        ("minus", ("shrink", "a1")),
        ("plus", ("grow", "a1")),
        ("enter", ("open", "a1")),
    ],
)
async def test_keys_of_a_focused_picture(key: str, asked: tuple[str, str]) -> None:
    host = Host(FIRST)
    async with host.run_test() as pilot:
        host.cards()[0].focus()
        await pilot.press(key)
        assert host.asked == [asked]


async def test_what_was_said_can_be_opened_but_not_moved_or_removed() -> None:
    host = Host(SAID)
    async with host.run_test() as pilot:
        host.cards()[0].focus()
        await pilot.press("delete", "shift+up", "shift+down")
        assert host.asked == []
        await pilot.press("enter")
        assert host.asked == [("open", "d1")]
        assert not any(sign.display for sign in host.query(Sign))


async def test_signs_do_by_mouse_what_the_keys_do_and_nothing_else() -> None:
    host = Host(FIRST)
    async with host.run_test(size=(38, 30)) as pilot:
        for sign in host.query(Sign):
            await pilot.click(sign)
        assert [name for name, _ in host.asked] == ["shrink", "grow", "earlier", "later", "remove"]


async def test_a_second_click_shows_the_picture_large() -> None:
    host = Host(FIRST)
    async with host.run_test(size=(38, 30)) as pilot:
        await pilot.click(Picture)
        assert host.asked == []
        await pilot.click(Picture)
        assert host.asked == [("open", "a1")]


async def test_the_attach_line_asks_by_key_and_by_mouse() -> None:
    host = Host()
    async with host.run_test() as pilot:
        host.query_one(AttachLine).focus()
        await pilot.press("enter")
        await pilot.click(AttachLine)
        assert [name for name, _ in host.asked] == ["attach", "attach"]


async def test_a_hostile_name_is_shown_harmlessly() -> None:
    host = Host(msgspec.structs.replace(FIRST, name="[bold]x[/]\x1b[2J\u202egnp.exe\nend", state="failed: [red]\x07"))
    async with host.run_test():
        assert "[bold]x[/][2Jgnp.exe end" in host.shown()
        assert "failed: [red]" in host.shown()


async def test_several_pictures_share_the_height() -> None:
    many = [msgspec.structs.replace(FIRST, key=f"a{number}") for number in range(3)]
    host = Host(FIRST)
    async with host.run_test(size=(60, 40)) as pilot:
        alone = host.query(Picture).first().size.height
        host.pane.show(many)
        await pilot.pause()
        assert {picture.size.height for picture in host.query(Picture)} == {6}
        assert alone > 12


async def test_pixels_that_come_while_the_card_is_being_made_are_drawn() -> None:
    host = Host()
    async with host.run_test() as pilot:
        host.pane.show([SECOND])
        host.pane.show([msgspec.structs.replace(SECOND, state="ready", pixels=PIXELS)])
        await pilot.pause()
        [picture] = host.query(Picture)
        assert picture.pixels is PIXELS
