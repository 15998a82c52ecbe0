"""Makes the pictures in this folder by running the real program.

    python screenshots/make.py

`ask.svg`: the picture that is asked about, and `nemochat ask` with the built-in demo model answering.
"""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw
from rich.console import Console
from rich.text import Text

FOLDER = Path(__file__).parent
COLUMNS = 108
QUESTIONS = ("Describe the picture.", "What colour is the triangle?")
SCENE_SIDE = 240
BLOCKS = 34
"""The picture's width in characters; two rows of pixels share a line."""


def draw_scene(path: Path) -> None:
    """A red circle, a green triangle and a blue square on beige, smoothed by drawing it four times as large."""
    large = SCENE_SIDE * 4
    image = Image.new("RGB", (large, large), (225, 210, 180))
    pen = ImageDraw.Draw(image)
    pen.ellipse((90, 100, 410, 420), fill=(220, 40, 40))
    pen.regular_polygon((700, 250, 190), 3, fill=(40, 170, 60))
    pen.rectangle((560, 560, 850, 850), fill=(40, 80, 220))
    image.resize((SCENE_SIDE, SCENE_SIDE), Image.Resampling.LANCZOS).save(path)


def as_blocks(path: Path) -> Text:
    """The picture in half blocks: the upper pixel as foreground, the lower one as background."""
    image = Image.open(path).convert("RGB").resize((BLOCKS, BLOCKS), Image.Resampling.BOX)
    text = Text()
    for y in range(0, BLOCKS, 2):
        text.append("  ")
        for x in range(BLOCKS):
            upper, lower = (bytes(image.getpixel((x, y + row))).hex() for row in (0, 1))
            text.append("▀", style=f"#{upper} on #{lower}")
        text.append("\n")
    return text


def ask(question: str, picture: Path) -> Text:
    """A prompt line and what the program printed, its statistics dimmed."""
    arguments = ["ask", question, "-i", picture.name, "--stats"]
    done = subprocess.run(
        [sys.executable, "-m", "nemochat", *arguments],
        cwd=picture.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    text = Text()
    text.append("$ ", style="bold green")
    text.append(f"nemochat {shlex.join(arguments)}\n".replace("'", '"'), style="bold")
    text.append(done.stdout)
    text.append(done.stderr, style="dim")
    return text


def main() -> None:
    """Run, and write the SVG without the link to a font on the network that Rich puts into it."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "shapes.png"
        draw_scene(picture)
        console.print(as_blocks(picture))
        for question in QUESTIONS:
            console.print(ask(question, picture))
    svg = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="nemochat"), flags=re.DOTALL)
    (FOLDER / "ask.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
