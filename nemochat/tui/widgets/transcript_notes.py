"""What stands between and around the messages of a transcript: the system text, the line of forgetting with the summary below it, what
lies outside the window."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from textual.content import Content
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.selection import Selection
from textual.widgets import Static

from nemochat.domain.sanitize import sanitize
from nemochat.numbers import plural

SUMMARY_LINES = 4
"""So many lines of a summary are shown, about."""
_MORE = " … /summary shows all"


class _Note(Static):
    """Text of the program's own, which is never part of a selection."""

    ALLOW_SELECT = False

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Nothing."""
        return None


class SystemText(Static):
    """The system text in two lines; a click shows all of it."""

    DEFAULT_CSS = """
    SystemText {
        height: auto; max-height: 2; margin: 0 0 1 0; padding: 0 1 0 2; color: $text-muted; display: none;
        &.-open { max-height: 100; }
    }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._text = ""

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Its text while it is shown."""
        return super().get_selection(selection) if self.display else None

    def set_text(self, text: str) -> None:
        """Show another text; none is shown when it is empty."""
        self._text = sanitize(text).strip()
        shown = self._text if self.has_class("-open") else " ".join(self._text[:2000].split())
        self.update(Content.assemble(("System  ", "bold"), shown))

    @property
    def has_text(self) -> bool:
        """Whether there is something to show."""
        return bool(self._text)

    def on_click(self) -> None:
        """Open or close."""
        self.toggle_class("-open")
        self.set_text(self._text)


class Jump(_Note):
    """A line that says what lies outside the window; a click goes there."""

    @dataclass
    class Clicked(Message):
        """The user wants to go there."""

        jump: Jump

    DEFAULT_CSS = """
    Jump { height: 1; width: 1fr; text-align: center; color: $text-muted; display: none; margin: 0 0 1 0; }
    Jump:hover { text-style: underline; }
    Jump#below { layer: signs; dock: bottom; width: auto; margin: 0 2; padding: 0 1; background: $accent; color: $text; text-style: bold; }
    """

    def __init__(self, text: str = "", *, id: str) -> None:
        super().__init__(Content(text), markup=False, id=id)

    def set_count(self, sign: str, count: int, which: str) -> None:
        """Show how many messages there are in that direction; nothing when there are none."""
        self.display = count > 0
        self.update(Content(f"{sign} {plural(count, f'{which} message')}"))

    def on_click(self, event: Click) -> None:
        """Pass it on."""
        event.stop()
        self.post_message(self.Clicked(self))


class ShownSummary(msgspec.Struct, frozen=True):
    """A summary as it is shown. place: index of the message before which it stands. is_on: the model reads it."""

    place: int
    text: str
    is_on: bool = True


class ForgottenLine(_Note):
    """The line between what the model no longer sees and what it does, and the summary that it reads instead; a click is for that."""

    class Clicked(Message):
        """The user wants to do something with the summary."""

    DEFAULT_CSS = "ForgottenLine { height: auto; width: 1fr; color: $text-warning; margin: 0 0 1 0; }"

    def __init__(self, tokens: str, summary: ShownSummary | None) -> None:
        """tokens: the size of what is forgotten, in words; "" where nothing is."""
        super().__init__(markup=False)
        self._shown = tokens, summary

    def set_shown(self, tokens: str, summary: ShownSummary | None) -> None:
        """Show other values."""
        if (tokens, summary) != self._shown:
            self._shown = tokens, summary
            self.refresh(layout=True)

    def on_click(self, event: Click) -> None:
        """Pass it on."""
        if self._shown[1] is not None:
            event.stop()
            self.post_message(self.Clicked())

    def render(self) -> Content:
        """A rule over the whole width, or more lines where the words need them, and the beginning of the summary."""
        return self._content(self.outer_size.width)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As high as that is."""
        return self._content(width).get_height({}, width)

    def _content(self, width: int) -> Content:
        words, summary = self._words(), self._shown[1]
        rule = Content(words + "─" * (width - len(words)))
        if summary is None:
            return rule
        text = " ".join(sanitize(summary.text).split())
        room = SUMMARY_LINES * max(1, width) - len(_MORE)
        shown = text if len(text) <= room else f"{text[:room].rsplit(' ', 1)[0]}{_MORE}"
        name = "Summary  " if summary.is_on else "Summary, off  "
        return Content.assemble(rule, "\n", (name, "bold $text-muted"), (shown, "$text-muted"))

    def _words(self) -> str:
        tokens, summary = self._shown
        if summary is None or (tokens and not summary.is_on):
            return f"── the model no longer sees what is above · {tokens} ──"
        if not summary.is_on:
            return "── the summary of what is above is off ──"
        return f"── the model reads a summary of what is above{f' · {tokens}' if tokens else ''} ──"
