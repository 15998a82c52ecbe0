"""Makes the pictures in this folder by running the real program with the built-in demo model.

    python -m screenshots.make [NAME ...]

`ask.svg` is `nemochat ask`, `evaluation.svg` `nemochat eval`, `first-steps.svg` what comes before them on a new machine; the others are the
full-screen interface, driven without a terminal.
Times and speeds on them are those of the machine that made them.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from PIL import Image
from rich.console import Console
from rich.text import Text
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, TextArea

from nemochat.cli.bench import Bench
from nemochat.desk import commands
from nemochat.images.png import sample_picture, to_png
from nemochat.paths import CACHE_VARIABLE, CONFIG_VARIABLE, DATA_VARIABLE, LOG_VARIABLE
from nemochat.tui.app import NemochatApp
from nemochat.tui.chat.screen import ChatScreen
from nemochat.tui.screens.dialogs import Write
from nemochat.tui.screens.persona_picker import PersonaPicker
from nemochat.tui.screens.search import SearchScreen
from nemochat.tui.screens.stats import StatsScreen
from nemochat.tui.screens.theme_picker import ThemePicker
from tests.models.hub import Hub

FOLDER = Path(__file__).parent
COLUMNS = 108
SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct-GGUF"
SMOLLM2_SYSTEM = "You are a helpful assistant named SmolLM. Answer in one short sentence."
"""As its own template begins a conversation, and kept short: so small a model wanders."""
QUESTIONS = ("Describe the picture.", "What colour is the triangle?")
OWN_QUESTIONS = {
    "What colour is the triangle?": r"\bgreen\b", "Where is the triangle?": r"\btop right\b", "How many shapes are there?": r"\b3\b",
    "Which shape would roll down a hill?": r"\bcircle\b",
}  # fmt: skip
"""With what is right of the sample picture."""
BLOCKS = 34
"""The picture's width in characters; two rows of pixels share a line."""
PATIENCE_SECONDS = 60.0
"""For loading a model, looking at a picture, writing a reply."""


def as_blocks(path: Path) -> Text:
    """The picture in half blocks: the upper pixel as foreground, the lower one as background."""
    pixels = Image.open(path).convert("RGB").resize((BLOCKS, BLOCKS), Image.Resampling.BOX).tobytes()
    text = Text()
    for y in range(0, BLOCKS, 2):
        text.append("  ")
        for x in range(BLOCKS):
            upper, lower = (pixels[3 * ((y + row) * BLOCKS + x) :][:3].hex() for row in (0, 1))
            text.append("▀", style=f"#{upper} on #{lower}")
        text.append("\n")
    return text


def typed(arguments: list[str], folder: Path) -> Text:
    """A prompt line and what the program printed in that folder, what it told on stderr dimmed."""
    done = subprocess.run(
        [sys.executable, "-m", "nemochat", *arguments],
        cwd=folder,
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


def command_line(picture: Path) -> str:
    """The picture that is asked about, and `nemochat ask` answering."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(as_blocks(picture))
    for question in QUESTIONS:
        console.print(typed(["ask", question, "-i", picture.name, "--stats"], picture.parent))
    return console.export_svg(title="nemochat")


def evaluation(picture: Path) -> str:
    """Own questions about the picture, one of which the demo model was never taught, run and shown."""
    rows = [{"picture": picture.name, "question": question, "regex": right} for question, right in OWN_QUESTIONS.items()]
    (picture.parent / "mine.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for words in ("eval run own --data mine.jsonl --out run", "eval show run --wrong 1"):
        console.print(typed(words.split(), picture.parent))
    return console.export_svg(title="nemochat")


def first_steps() -> str:
    """From a copy of this tree to an answer of SmolLM2, in a home of its own: the README's line, a model, a question, typed into bash.

    NEMOCHAT_MATERIAL names the folder of the model's file (tests/material.py). It is fetched from a server on the loopback that answers as
    Hugging Face does (tests/models/hub.py). Of what pip says the last line but one is shown, shortened.
    """
    line = (FOLDER.parent / "README.md").read_text(encoding="utf-8").split("```sh\n")[1].splitlines()[0].removesuffix(" && nemochat")
    question = f'nemochat ask "What is the opposite of hot?" --temperature 0 --system "{SMOLLM2_SYSTEM}"'
    commands = (line, f"nemochat models pull {SMOLLM2} --use", question)
    model = Path(os.environ["NEMOCHAT_MATERIAL"], "SmolLM2-135M-Instruct.Q4_1.gguf")
    hub = Hub({model.name: model.read_bytes()})
    hub.repository = SMOLLM2
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with tempfile.TemporaryDirectory(prefix="nemochat-") as home:
        tree = Path(home, "nemochat")
        shutil.copytree(FOLDER.parent, tree, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("NEMOCHAT_", "XDG_", "VIRTUAL_ENV"))}
        environment |= hub.environment | {"HOME": home, "PATH": f"{tree}/.venv/bin:/usr/bin:/bin", "COLUMNS": str(COLUMNS)}
        for command in commands:
            typed = ["/bin/bash", "-c", command]
            done = subprocess.run(
                typed, cwd=tree, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
            )
            text = Text()
            text.append("$ ", style="bold green")
            text.append(f"{command}\n", style="bold")
            shown = done.stdout + done.stderr
            if "pip install" in command:
                [*_, installed] = [line for line in done.stdout.splitlines() if line.startswith("Successfully installed")]
                shown = f"[...]\n{installed[: COLUMNS - 6]} [...]\n"
            text.append(shown)
            console.print(text)
    hub.close()
    return console.export_svg(title="nemochat")


class Hand:
    """What a user does at the keyboard, each thing waited for until the program is done with it."""

    def __init__(self, app: NemochatApp, pilot: Pilot[None], picture: Path) -> None:
        self.app, self.pilot, self.picture = app, pilot, picture

    @property
    def screen(self) -> ChatScreen:
        """The chat, whatever lies above it."""
        return self.app.chat_screen

    async def until(self, holds: Callable[[], object]) -> None:
        """Let the app work until something holds. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                await self.pilot.pause(0.02)
        await self.pilot.pause()

    async def attach(self) -> None:
        """Attach the picture, and let the model look at it."""
        self.screen.desk.draft.add_source(str(self.picture))
        await self.until(lambda: any(item.state == "encoded" for item in self.screen.desk.draft.items))
        await self.rest()

    async def write(self, text: str) -> None:
        """Put text into the prompt, behind what is there."""
        self.screen.prompt.area.insert_pasted(text)
        await self.rest()

    async def say(self, *texts: str) -> None:
        """Send these one after the other, each when the one before is answered."""
        for text in texts:
            await self.write(text)
            await self.pilot.press("enter")
            await self.pilot.pause()
            await self.until(lambda: not self.screen.desk.turns.is_running)
            await self.rest()

    async def over(self, kind: type[Screen[Any]]) -> None:
        """Wait for a screen of this kind above the chat."""
        await self.until(lambda: isinstance(self.app.screen, kind))

    async def rest(self) -> None:
        """Wait until everything is counted and drawn, and stop the cursors where they can be seen."""
        await self.pilot.pause()
        await self.until(lambda: not self.screen.desk.reading.is_at_work)
        for widget in self.app.screen.query("TextArea, Input"):
            if isinstance(widget, TextArea | Input):
                widget.cursor_blink = False
        await self.pilot.pause()


async def _main(hand: Hand) -> None:
    await hand.attach()
    await hand.say("Describe the picture.", "What colour is the triangle?", "How many shapes are there?", "Is there a star?")


async def _question(hand: Hand) -> None:
    await hand.attach()
    await hand.write("What is on the left?")


async def _forgetting(hand: Hand) -> None:
    await hand.say("My name is Ada.", "What is the capital of France?", "What is two plus three?", "Is fire cold?", "What is my name?")


async def _tools(hand: Hand) -> None:
    await hand.say("What is 12 * 7?", "What time is it?")
    hand.screen.action_command("tools")


async def _documents(hand: Hand) -> None:
    notes = hand.picture.with_name("notes.txt")
    notes.write_text("The green key is under the mat.\n\nThe blue box is in the cellar.\n")
    await hand.say(f"/doc {notes}")
    await hand.until(lambda: hand.screen.desk.chat.collections)
    hand.app.clear_notifications()
    await hand.say("Where is the green key?", "Where is the blue box?")


async def _chats(hand: Hand) -> None:
    await hand.say("My name is Ada.", "What is my name?")
    await hand.pilot.press("ctrl+n")
    await hand.say("What is TTFT?", "Is fire cold?", "/regen")
    await hand.pilot.press("ctrl+n")
    await hand.attach()
    await hand.say("Describe the picture.", "Where is the triangle?")
    hand.screen.action_command("open")
    await hand.until(lambda: len(hand.screen.drawer.rows) == 3)


async def _search(hand: Hand) -> None:
    await _chats(hand)
    commands.run(hand.screen.desk, "search", "triangle")
    await hand.over(SearchScreen)
    await hand.until(lambda: isinstance(hand.app.screen, SearchScreen) and bool(hand.app.screen.results.hits))


async def _persona(hand: Hand) -> None:
    await hand.say("/persona innkeeper", "Good evening! My name is Ada. What about the bridge?")
    await hand.until(lambda: bool(hand.screen.transcript.portraits))


async def _personas(hand: Hand) -> None:
    hand.screen.action_command("persona")
    await hand.over(PersonaPicker)
    await hand.pilot.press(*("down",) * 6)
    await hand.until(lambda: "Hild" in str(hand.app.export_screenshot()))


async def _figures(hand: Hand) -> None:
    await hand.attach()
    await hand.say("Describe the picture.", "What colour is the triangle?", "How many shapes are there?", "What is TTFT?")
    await hand.say("My name is Ada.", "What is the capital of France?", "Is fire cold?", "/regen", "What is two plus three?")
    await hand.pilot.press("ctrl+t")
    await hand.over(StatsScreen)
    await hand.until(lambda: "Distribution" in str(hand.app.export_screenshot()))


async def _themes(hand: Hand) -> None:
    await hand.say("What is TTFT?")
    hand.screen.action_command("theme")
    await hand.over(ThemePicker)


async def _narrow(hand: Hand) -> None:
    await hand.attach()
    await hand.say("Describe the picture.", "What colour is the circle?")


async def _keeping(hand: Hand) -> None:
    await hand.attach()
    await hand.say("What colour is the circle?")
    hand.screen.desk.do(hand.screen.desk.messages.keep_question)
    await hand.over(Write)
    hand.app.screen.query_one(TextArea).insert("red\nThe circle is red.")


@dataclass(frozen=True)
class Scene:
    """A picture of the interface: what is done before it is taken, how large it is, settings as environment variables."""

    steps: Callable[[Hand], Awaitable[None]]
    size: tuple[int, int] = (120, 40)
    environment: Mapping[str, str] = field(default_factory=dict)


SCENES = {
    "main": Scene(_main),
    "question": Scene(_question),
    "forgetting": Scene(_forgetting, environment={"NEMOCHAT_ENGINE_CONTEXT_LENGTH": "160", "NEMOCHAT_SAMPLING_MAX_TOKENS": "64"}),
    "tools": Scene(_tools, environment={"NEMOCHAT_TOOLS_OFFERED": '["calculator", "current_time"]'}),
    "documents": Scene(_documents),
    "chats": Scene(_chats),
    "search": Scene(_search),
    "persona": Scene(_persona),
    "personas": Scene(_personas),
    "figures": Scene(_figures),
    "themes": Scene(_themes),
    "keeping": Scene(_keeping, size=(80, 24)),
    "narrow": Scene(_narrow, size=(80, 24)),
}


async def interface(scene: Scene, picture: Path) -> str:
    """Run the interface in folders of its own and take a picture of it."""
    with tempfile.TemporaryDirectory(prefix="nemochat-") as home:
        folders = {name: str(Path(home) / name) for name in (CONFIG_VARIABLE, DATA_VARIABLE, LOG_VARIABLE, CACHE_VARIABLE)}
        with patch.dict(os.environ, {**folders, **scene.environment}):
            app = NemochatApp(Bench(None, None, {}))
            app.animation_level = "none"
            async with app.run_test(size=scene.size) as pilot:
                hand = Hand(app, pilot, picture)
                await hand.until(lambda: len(app.screen_stack) > 1 and hand.screen.desk.model.is_loaded)
                await scene.steps(hand)
                await hand.rest()
                return app.export_screenshot(title="nemochat")


def save(name: str, svg: str) -> None:
    """Write a picture, without the link to a font on the network that Rich and Textual put into it."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    (FOLDER / f"{name}.svg").write_text(svg, encoding="utf-8")


def main(names: list[str]) -> None:
    """Make the named pictures, or all of them."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "shapes.png"
        picture.write_bytes(to_png(sample_picture()))
        for name in names or ["ask", "first-steps", "evaluation", *SCENES]:
            match name:
                case "ask":
                    save(name, command_line(picture))
                case "first-steps":
                    save(name, first_steps())
                case "evaluation":
                    save(name, evaluation(picture))
                case _:
                    save(name, asyncio.run(interface(SCENES[name], picture)))


if __name__ == "__main__":
    main(sys.argv[1:])
