"""Choosing a colour theme: the one under the cursor is put on at once, Esc puts the earlier one back."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.highlight import highlight
from textual.theme import Theme
from textual.widgets import Static

from nemochat.desk.port import Item
from nemochat.tui.screens.picker import Picker
from nemochat.tui.themes import NamedTheme

_CODE = "def area(radius: float) -> float:  # in metres\n    return 3.14159 * radius**2"


class ThemePicker(Picker):
    """All themes of the app that shows it, with a sample. Returns the name of the one chosen, which is then on, or None."""

    ROWS_AROUND: ClassVar[int] = Picker.ROWS_AROUND + 6

    def __init__(self) -> None:
        super().__init__("Colour theme", ())
        self._earlier = ""

    def compose(self) -> ComposeResult:
        """The app is known from here on: its themes, and which of them is on."""
        self._earlier = self._current = self.app.theme
        self._take(_item(theme, theme.name == self._earlier) for theme in self.app.available_themes.values())
        yield from super().compose()

    def compose_preview(self) -> ComposeResult:
        """A user's line, a reply with code, and the words for good, doubtful and bad."""
        yield Static(_sample(), id="theme-sample")

    def reached(self) -> None:
        """Put the theme on, for now."""
        if self.highlighted is not None:
            self.app.theme = self.highlighted

    def choose(self, value: str) -> None:
        """It stays on."""
        self.app.theme = value
        super().choose(value)

    def action_leave(self) -> None:
        """As it was before."""
        self.app.theme = self._earlier
        super().action_leave()


def _item(theme: Theme, in_use: bool) -> Item:
    label, about = (theme.label, theme.description) if isinstance(theme, NamedTheme) else (theme.name, "")
    words = ("dark " if theme.dark else "light", "· in use" if in_use else "", f"· {about}" if about else "")
    return Item(theme.name, label, " ".join(word for word in words if word))


def _sample() -> Content:
    return Content.assemble(
        ("You  ", "bold $text-primary"),
        "How large is a circle? ",
        ("12:04\n", "$text-muted"),
        ("nemochat  ", "bold $text-secondary"),
        "Its area is pi times the square of the radius:\n",
        highlight(_CODE, language="python"),
        "\n",
        ("✓ done  ", "$text-success"),
        ("! nearly full  ", "$text-warning"),
        ("✗ failed  ", "$text-error"),
        (" button ", "$button-color-foreground on $primary"),
        "  ",
        (" selected ", "$foreground on $block-cursor-background"),
    )
