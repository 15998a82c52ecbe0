"""The themes: every word can be read on every ground, also in greys; and a wrong file is left out, never fatal."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.color import Color
from textual.content import Content
from textual.theme import Theme
from textual.widgets import Button, Footer, Input, Markdown, OptionList, Select, Static, Switch, TextArea

from nemochat.settings import InterfaceSettings
from nemochat.tui.themes import DEFAULT_THEME, NamedTheme, accent_on, built_in_folder, contrast, load_themes
from nemochat.tui.widgets.reply_text import CodeColours

NOWHERE = Path("/nonexistent")
THEMES = {theme.name: theme for theme in load_themes(built_in_folder(), NOWHERE)[0]}
HUES = ("primary", "secondary", "accent", "success", "warning", "error")
REQUIRED = {
    "nemochat-dark",
    "nemochat-light",
    "nvidia-green",
    "high-contrast-dark",
    "high-contrast-light",
    "colour-blind-safe",
    "colour-blind-safe-light",
}
GOOD = (built_in_folder() / "nemochat-dark.toml").read_text()


class Palette:
    """A theme's variables as Textual resolves them: colours over a ground, "auto" against it."""

    def __init__(self, theme: Theme) -> None:
        self.variables = {**theme.to_color_system().generate(), **theme.variables}
        self.dark = theme.dark

    def over(self, name: str, ground: Color, opacity: float = 1.0) -> Color:
        value, _, percent = self.variables[name].partition(" ")
        part = float(percent.rstrip("%")) / 100 if percent else 1.0
        if value == "auto":
            return ground + ground.get_contrast_text(part * opacity)
        colour = Color.parse(value)
        return ground + colour.with_alpha(colour.a * part * opacity)

    def ground(self, name: str) -> Color:
        return self.over(name, Color(0, 0, 0))


def grounds(palette: Palette) -> dict[str, Color]:
    page, surface, panel = (palette.ground(name) for name in ("background", "surface", "panel"))
    return {
        "background": page,
        "surface": surface,
        "panel": panel,
        "boost": palette.over("boost", page),
        "focused": palette.over("foreground", surface, 0.05),
        "notice": palette.ground("panel-lighten-1"),
        "hovered": palette.over("block-hover-background", surface),
        "cursor": palette.over("block-cursor-background", surface),
        "resting cursor": palette.over("block-cursor-blurred-background", surface),
    }


def pairs(palette: Palette) -> Iterator[tuple[str, Color, Color]]:
    """Every pair of words and ground that Textual's widgets or ours can draw."""
    below = grounds(palette)
    words = ["foreground", "text", "text-muted", "foreground-muted", *(f"text-{hue}" for hue in HUES)]
    for (where, ground), word in itertools.product(below.items(), words):
        yield f"{word} on {where}", palette.over(word, ground), ground
    for where in ("background", "surface", "panel", "focused"):
        yield f"text-disabled on {where}", palette.over("text-disabled", below[where]), below[where]
    for hue in HUES:
        fill, muted = palette.ground(hue), palette.ground(f"{hue}-muted")
        yield f"text on {hue}", palette.over("text", fill), fill
        yield f"text-{hue} on {hue}-muted", palette.over(f"text-{hue}", muted), muted
        if hue not in ("secondary", "accent"):
            yield f"button on {hue}", palette.over("button-color-foreground", fill), fill
    for level, where in itertools.product(range(1, 7), ("background", "surface")):
        yield f"heading {level} on {where}", palette.over(f"markdown-h{level}-color", below[where]), below[where]
    footer = palette.ground("footer-background")
    for part in ("foreground", "key-foreground", "description-foreground"):
        yield f"footer {part}", palette.over(f"footer-{part}", footer), footer
    yield "cursor", palette.over("block-cursor-foreground", below["cursor"]), below["cursor"]
    yield "resting cursor", palette.over("block-cursor-blurred-foreground", below["resting cursor"]), below["resting cursor"]
    typing = palette.ground("input-cursor-background")
    yield "input cursor", palette.over("input-cursor-foreground", typing), typing
    for part, where in (("input", "surface"), ("screen", "background"), ("screen", "panel")):
        selected = palette.over(f"{part}-selection-background", below[where])
        yield f"selected on {where}", palette.over("foreground", selected), selected
    hover = palette.ground("link-background-hover")
    yield "hovered link", palette.over("link-color-hover", hover), hover
    inline, hue, strength = (("text-warning", "warning", 0.1) if palette.dark else ("text-error", "error", 0.05))
    tinted = palette.over(hue, below["background"], strength)
    yield "code in a line", palette.over(inline, tinted, 0.95), tinted
    # Code stands on the panel's ground, in colours that are all opaque.
    assert not any("%" in style for style in CodeColours.STYLES.values())


@pytest.mark.parametrize("name", THEMES)
def test_every_word_can_be_read(name: str) -> None:
    weak = {what: round(contrast(text, ground), 2) for what, text, ground in pairs(Palette(THEMES[name])) if contrast(text, ground) < 4.5}
    assert weak == {}


@pytest.mark.parametrize("name", THEMES)
def test_every_word_can_be_read_in_greys(name: str) -> None:
    """With NO_COLOR Textual draws each colour as a grey of about the same brightness."""
    found = {what: round(contrast(text.monochrome, ground.monochrome), 2) for what, text, ground in pairs(Palette(THEMES[name]))}
    assert {what: ratio for what, ratio in found.items() if ratio < 4.0} == {}


@pytest.mark.parametrize("name", ["high-contrast-dark", "high-contrast-light"])
def test_high_contrast_is_high(name: str) -> None:
    palette = Palette(THEMES[name])
    for (where, ground), word in itertools.product(
        grounds(palette).items(), ["foreground", "text-muted", "foreground-muted", *(f"text-{hue}" for hue in HUES)]
    ):
        assert contrast(palette.over(word, ground), ground) >= 7, f"{word} on {where}"


@pytest.mark.parametrize("name", THEMES)
def test_the_focus_and_the_cursor_can_be_seen(name: str) -> None:
    palette = Palette(THEMES[name])
    below = grounds(palette)
    for where in ("background", "surface"):
        assert contrast(palette.over("border", below[where]), below[where]) >= 3
    assert contrast(below["cursor"].monochrome, below["surface"].monochrome) >= 1.2
    assert palette.variables["block-cursor-text-style"] == "bold"


# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
SIGHT = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def lab(colour: Color, matrix: tuple[tuple[float, float, float], ...]) -> tuple[float, float, float]:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized]
    red, green, blue = (min(1, max(0, sum(weight * part for weight, part in zip(row, linear, strict=True)))) for row in matrix)
    xyz = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883,
    )
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("name", ["colour-blind-safe", "colour-blind-safe-light"])
@pytest.mark.parametrize("sight", SIGHT)
def test_good_doubtful_and_bad_differ_for_every_eye(name: str, sight: str) -> None:
    palette = Palette(THEMES[name])
    seen = {hue: lab(palette.ground(f"text-{hue}"), SIGHT[sight]) for hue in ("success", "warning", "error")}
    for one, other in itertools.combinations(seen, 2):
        distance = sum((a - b) ** 2 for a, b in zip(seen[one], seen[other], strict=True)) ** 0.5
        assert distance >= 15, f"{one} and {other}: {distance:.0f}"


def test_the_themes_that_there_must_be() -> None:
    assert set(THEMES) >= REQUIRED
    assert len(THEMES) >= 10
    assert next(iter(THEMES)) == DEFAULT_THEME == InterfaceSettings().theme
    assert {theme.dark for theme in THEMES.values()} == {True, False}
    labels = [theme.label for theme in THEMES.values() if isinstance(theme, NamedTheme) and theme.description]
    assert len(set(labels)) == len(THEMES)


def test_the_example_of_the_readme_is_a_theme(tmp_path: Path) -> None:
    readme = (built_in_folder() / "README.md").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(readme.split("```toml\n")[1].split("```")[0])
    themes, notices = load_themes(NOWHERE, tmp_path)
    assert notices == []
    assert themes[0].variables["border"] == "#6cb6ff99"


def test_the_users_own_add_and_replace(tmp_path: Path) -> None:
    (tmp_path / "nemochat-dark.toml").write_text(GOOD.replace("#14171c", "#000001"))
    (tmp_path / "My Own_Theme!.toml").write_text(GOOD.replace('"nemochat dark"', '"\\u001b[31mred\\u202e name"'))
    (tmp_path / "notes.txt").write_text("nothing")
    themes, notices = load_themes(built_in_folder(), tmp_path)
    assert notices == []
    assert len(themes) == len(THEMES) + 1
    assert themes[0].background == "#000001"
    mine = next(theme for theme in themes if theme.name == "my-own-theme")
    assert isinstance(mine, NamedTheme)
    assert mine.label == "[31mred name"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "name"),
        ("name = ", "Invalid value"),
        (GOOD + 'colour = "#000000"\n', "colour"),
        (GOOD.replace("#6cb6ff", "blueish"), "primary: a colour is written #rrggbb"),
        (GOOD.replace("#6cb6ff", "#6cb6ff00"), "primary: a colour is written #rrggbb"),
        (GOOD.replace("dark = true", "dark = 1"), "dark"),
        (GOOD + "[variables]\nbordr = '#000000'", "there is no variable bordr"),
        (GOOD + "[variables]\nborder = 'red; } * { display: none'", "border is"),
        (GOOD + "[variables]\nborder = '#00000'", "border is"),
        (GOOD + "[variables]\nblock-cursor-text-style = 'bald'", "should look like bold"),
        (GOOD + "#" * 100_000, "larger than 64 KiB"),
        (b"\xff\xfe", "utf-8"),
        (b"a=" + b"[" * 60_000, "left out"),
    ],
)
def test_a_wrong_file_is_left_out_with_one_sentence(tmp_path: Path, content: str | bytes, reason: str) -> None:
    (tmp_path / "wrong.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    themes, (notice,) = load_themes(built_in_folder(), tmp_path)
    assert [theme.name for theme in themes] == list(THEMES)
    assert "wrong.toml" in notice
    assert reason in notice
    assert "\n" not in notice
    assert notice.endswith(".")


def test_odd_things_in_the_folder_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "!!.toml").write_text(GOOD)
    (tmp_path / "link.toml").symlink_to(tmp_path / "gone")
    themes, notices = load_themes(built_in_folder(), tmp_path)
    assert len(themes) == len(THEMES)
    assert len(notices) == 3
    (tmp_path / "a file").write_text("")
    assert load_themes(built_in_folder(), tmp_path / "a file")[1] == []


def test_without_its_own_themes_the_program_still_starts() -> None:
    themes, notices = load_themes(NOWHERE, NOWHERE)
    assert [theme.name for theme in themes] == ["textual-dark"]
    assert "install it again" in notices[0]


class Host(App[None]):
    """Shows a little of everything that takes its colours from variables."""

    def compose(self) -> ComposeResult:
        yield Static(Content.assemble("plain ", ("muted", "$text-muted")), id="words")
        yield Input("typed")
        yield OptionList("one", "two")
        yield Button("press", variant="primary")


class Everything(Host):
    """Widgets with large style sheets."""

    def compose(self) -> ComposeResult:
        yield from super().compose()
        yield Markdown("# Title\n\n`code` and [link](https://example.org)\n\n```python\nx = 1\n```\n")
        yield Select([("a", 1)])
        yield Switch()
        yield TextArea("text")
        yield Footer()


async def test_every_theme_can_be_put_on() -> None:
    app = Host()
    async with app.run_test() as pilot:
        for theme in THEMES.values():
            app.register_theme(theme)
            app.theme = theme.name
            await pilot.pause()
            assert app.screen.styles.background.hex.lower() == str(theme.background).lower()


async def test_words_within_a_text_are_muted_too() -> None:
    """Textual drops the opacity of "auto 60%" there, which would make them as bright as the rest."""
    app = Host()
    async with app.run_test() as pilot:
        app.register_theme(THEMES[DEFAULT_THEME])
        app.theme = DEFAULT_THEME
        await pilot.pause()
        _, muted, *_ = app.query_one("#words", Static).render_line(0)
        assert muted.style is not None
        assert muted.style.color is not None
        assert muted.style.color.name == THEMES[DEFAULT_THEME].variables["text-muted"].lower()


async def test_whatever_is_accepted_as_a_variable_can_be_put_on(tmp_path: Path) -> None:
    """Textual ends the program on a variable that its style sheets cannot take."""
    known = Palette(THEMES[DEFAULT_THEME]).variables
    styles = {name for name in known if name.endswith(("style", "style-hover"))}
    lines = [f"{name} = '{'not bold reverse' if name in styles else '#12345678'}'" for name in known]
    (tmp_path / "t.toml").write_text(GOOD + "[variables]\n" + "\n".join(lines))
    (theme,), notices = load_themes(NOWHERE, tmp_path)
    assert notices == []
    app = Everything()
    async with app.run_test() as pilot:
        app.register_theme(theme)
        app.theme = "t"
        await pilot.pause()
        assert app.theme == "t"


FRAME = ("#ff5f57", "#febc2e", "#28c840", "#c5c8c6")  # of the window that a screenshot is put in


async def test_without_colour_everything_is_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Host()
    async with app.run_test() as pilot:
        app.register_theme(THEMES["nvidia-green"])
        app.theme = "nvidia-green"
        await pilot.pause()
        picture = app.export_screenshot()
    colours = {Color.parse(code) for code in re.findall(r"#[0-9a-f]{6}", picture) if code not in FRAME}
    assert len(colours) > 5
    assert {colour.hex for colour in colours if not colour.r == colour.g == colour.b} == set()


@pytest.mark.parametrize("accent", ["#c0552d", "#000000", "#ffffff", "#808080", "#00ff00"])
def test_a_personas_colour_can_be_read_on_every_theme(accent: str) -> None:
    for theme in THEMES.values():
        ground = Color.parse(theme.background or "black")
        assert contrast(Color.parse(accent_on(accent, theme)), ground) >= 4.5
    assert accent_on("no colour", theme) == ""
