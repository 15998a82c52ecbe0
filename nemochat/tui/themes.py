"""Colour themes: one TOML file each, the built-in ones and the user's own, and the words' colours made readable on every ground."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from textual.color import Color, ColorParseError
from textual.theme import BUILTIN_THEMES, Theme

from nemochat.domain.sanitize import sanitize
from nemochat.reading import check_toml, read_regular

DEFAULT_THEME = "nemochat-dark"
_AA = 4.5
"""The contrast of words that WCAG 2 asks for at least."""
_MAX_BYTES = 64 * 1024
_MAX_FILES = 200
_HEADINGS = ("bold underline", "bold", "none", "bold", "italic", "italic")
"""How a heading of each level is written: the first three are coloured as well."""
_HUES = ("primary", "secondary", "accent", "success", "warning", "error")
_PLAIN_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_VARIABLE_COLOUR = re.compile(r"#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?")
_VARIABLE_STYLE = re.compile(r"none|(((not )?(b|bold|i|italic|u|underline|reverse|dim|strike))( |$))+")

_Colour = Annotated[str, msgspec.Meta(pattern=f"^{_PLAIN_COLOUR.pattern}$")]


class ThemeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a theme's file; themes/README.md explains it. contrast: of words, at least; WCAG 2 asks for 4.5 (AA) or 7 (AAA)."""

    name: str
    dark: bool
    primary: _Colour
    secondary: _Colour
    accent: _Colour
    foreground: _Colour
    background: _Colour
    surface: _Colour
    panel: _Colour
    success: _Colour
    warning: _Colour
    error: _Colour
    description: str = ""
    boost: _Colour | None = None
    contrast: Annotated[float, msgspec.Meta(ge=4.5, le=12)] = 4.5
    variables: dict[str, str] = {}


@dataclass
class NamedTheme(Theme):
    """A theme of Textual with what the list of themes shows. `name` is how the settings call it."""

    label: str = ""
    description: str = ""


def built_in_folder() -> Path:
    """Where the themes are that come with nemochat: inside the package when it is installed, beside it in a source tree."""
    package = Path(__file__).parents[1]
    installed = package / "themes"
    return installed if installed.is_dir() else package.parent / "themes"


def load_themes(built_in: Path, user: Path) -> tuple[list[Theme], list[str]]:
    """The themes, the usual one first, and a sentence for the user about each file that could not be used.

    A theme in the user's folder replaces the built-in one of the same name. There is always at least one theme.
    """
    themes: dict[str, Theme] = {}
    notices: list[str] = []
    for folder in (built_in, user):
        for path in _files(folder, notices):
            try:
                theme = _read(path)
            except (OSError, ValueError) as error:
                notices.append(sanitize(f"The theme {path} is left out: {_reason(error)}.", strict=True))
            else:
                themes[theme.name] = theme
    if not themes:
        notices.append("The themes of nemochat are missing from this installation: install it again.")
        return [BUILTIN_THEMES["textual-dark"]], notices
    first = [themes[name] for name in (DEFAULT_THEME, "nemochat-light") if name in themes]
    return [*first, *(themes[name] for name in sorted(themes) if themes[name] not in first)], notices


def load_theme(name: str, built_in: Path, user: Path) -> Theme | None:
    """One theme alone, as `load_themes` has it; None where it is not there or cannot be used."""
    for folder in (user, built_in):
        with suppress(OSError, ValueError):
            if (theme := _read(folder / f"{name}.toml")).name == name:
                return theme
    return None


def contrast(text: Color, ground: Color) -> float:
    """The contrast ratio of WCAG 2 between two opaque colours, 1 to 21."""
    lighter, darker = sorted((_luminance(text), _luminance(ground)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Color) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _files(folder: Path, notices: list[str]) -> list[Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        notices.append(sanitize(f"The themes in {folder} cannot be read: {error.strerror or error}.", strict=True))
        return []
    if len(paths) > _MAX_FILES:
        notices.append(sanitize(f"There are {len(paths):,} themes in {folder}; the first {_MAX_FILES} are used.", strict=True))
    return paths[:_MAX_FILES]


def _read(path: Path) -> NamedTheme:
    """Raises OSError, or ValueError saying what is wrong."""
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:60]
    if not name:
        raise ValueError("its file name has no letter or digit")
    content = read_regular(path, _MAX_BYTES)
    check_toml(content.decode())
    try:
        file = msgspec.toml.decode(content, type=ThemeFile)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    derived = _derive(file)
    known = {*derived, *Theme(name, file.primary).to_color_system().generate()}
    _check(file.variables, known)
    label = sanitize(file.name, strict=True).strip()[:40] or name
    colours = {key: getattr(file, key) for key in (*_HUES, "foreground", "background", "surface", "panel", "boost")}
    description = sanitize(file.description, strict=True)[:100]
    return NamedTheme(name, dark=file.dark, variables={**derived, **file.variables}, label=label, description=description, **colours)


def _check(variables: Mapping[str, str], known: Iterable[str]) -> None:
    """A wrong variable would end the program when the theme is put on, so each one is looked at here."""
    for key, value in variables.items():
        if key not in known:
            raise ValueError(f"there is no variable {key}")
        is_style = key.endswith(("text-style", "link-style", "link-style-hover"))
        if not (_VARIABLE_STYLE if is_style else _VARIABLE_COLOUR).fullmatch(value):
            example = "bold underline" if is_style else "#1b1f26, or #1b1f2680 where it is half transparent"
            raise ValueError(f"{key} is {value!r} and should look like {example}")


def _derive(file: ThemeFile) -> dict[str, str]:
    """Theme variables that Textual would choose less readably, from the theme's own colours.

    The words' colours are opaque: Textual loses the opacity of a variable such as "auto 60%" where a part of a text is styled with it.
    """
    colour = {name: Color.parse(getattr(file, name)) for name in (*_HUES, "foreground", "background", "surface", "panel")}
    page, surface, panel, ink = (colour[name] for name in ("background", "surface", "panel", "foreground"))
    cursor, blurred = surface.blend(colour["primary"], 0.24), surface.blend(colour["primary"], 0.12)
    hover = surface.blend(ink, 0.06)
    lit = panel.lighten(0.075)  # under notices
    focused = surface.blend(ink, 0.05)
    grounds = (page, surface, panel, cursor, blurred, hover, lit, focused)
    muted = {name: page.blend(colour[name], 0.14) for name in _HUES}
    words = {name: _readable(colour[name], ink, (*grounds, muted[name]), file.contrast) for name in _HUES}
    quiet = _readable(page.blend(ink, 0.62), ink, grounds, file.contrast)
    fills = [colour[name] for name in ("primary", "success", "warning", "error")]
    button_text = max((Color(0, 0, 0), Color(255, 255, 255)), key=lambda text: min(contrast(text, fill) for fill in fills))
    variables: dict[str, str | Color] = {
        "text": "auto 95%",
        "text-muted": quiet,
        "foreground-muted": quiet,
        "text-disabled": _readable(page.blend(ink, 0.5), ink, (page, surface, panel, focused), file.contrast),
        "block-cursor-background": cursor,
        "block-cursor-foreground": ink,
        "block-cursor-blurred-background": blurred,
        "block-cursor-blurred-foreground": ink,
        "block-hover-background": hover,
        "border-blurred": surface.blend(ink, 0.16),
        "scrollbar": page.blend(ink, 0.22),
        "scrollbar-hover": page.blend(ink, 0.36),
        "scrollbar-background": page,
        "footer-key-foreground": words["accent"],
        "input-selection-background": colour["primary"].with_alpha(0.3),
        "screen-selection-background": colour["primary"].with_alpha(0.3),
        "button-color-foreground": button_text,
        **{f"markdown-h{level}-color": words["primary"] for level in (1, 2, 3)},
        **{f"markdown-h{level}-text-style": style for level, style in enumerate(_HEADINGS, 1)},
        **{f"text-{name}": word for name, word in words.items()},
        **{f"{name}-muted": ground for name, ground in muted.items()},
    }
    return {key: value if isinstance(value, str) else value.hex for key, value in variables.items()}


def accent_on(accent: str, theme: Theme) -> str:
    """A persona's colour as words on this theme's ground can be read in it; "" for what is no colour."""
    try:
        colour = Color.parse(accent)
    except ColorParseError:
        return ""
    ground = Color.parse(theme.background or ("black" if theme.dark else "white"))
    ink = Color.parse(theme.foreground or ("white" if theme.dark else "black"))
    return _readable(colour, ink, (ground,), _AA).hex


def _readable(colour: Color, ink: Color, grounds: Iterable[Color], enough: float) -> Color:
    """`colour`, moved towards the ink until it can be read on every ground."""
    steps = (colour.blend(ink, step / 20) for step in range(20))
    return next((each for each in steps if all(contrast(each, ground) >= enough for ground in grounds)), ink)


def _reason(error: Exception) -> str:
    """What went wrong, as the end of a sentence."""
    text = str(error.strerror or error) if isinstance(error, OSError) else str(error)
    problem, _, place = text.partition(" - at `$.")
    key = place.rstrip("`")
    if "matching regex" in problem:
        problem = "a colour is written #rrggbb"
    return (f"{key}: " if key else "") + problem.replace("`", "").rstrip(".")
