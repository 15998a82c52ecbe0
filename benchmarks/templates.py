"""What nemochat makes of the chat templates of real models: NEMOCHAT_MATERIAL=FOLDER python -m benchmarks.templates

The folder is described in tests/material.py. Four tables: conversations that are said as a direct rendering says them, for each template;
the expected renderings of llama.cpp's own tests, and its expected parsings; and how long a conversation of 500 messages takes.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from pathlib import Path

from nemochat.domain.messages import Conversation, Message, Role, TextPart
from nemochat.errors import NemochatError
from nemochat.prompt.format import as_text
from nemochat.prompt.rendering import Renderer
from nemochat.prompt.template import TemplateFormat
from tests.prompt.direct import BEGIN, CONVERSATIONS, END, expected, reply, said, user
from tests.prompt.llama_cases import Case
from tests.prompt.test_call_styles import judged as judged_replies

LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
CASE = re.compile(r"\{\s*/\* \.name= \*/(.*?)\n        \},?\s*(?=\{\n|\};)", re.DOTALL)
FIELD = re.compile(r"/\* \.(\w+)=? ?\*/(.*?)(?=/\* \.|\Z)", re.DOTALL)
SPOKEN = ("Hello", "Hi there", "Who are you", "   I am an assistant   ", "Another question")
SYSTEM = "You are a helpful assistant"


async def main() -> None:
    """Print the tables."""
    folder = Path(os.environ.get("NEMOCHAT_MATERIAL", ""))
    if not (folder / "templates").is_dir():
        sys.exit("NEMOCHAT_MATERIAL names no folder with templates (tests/material.py).")
    renderer = Renderer()
    try:
        await conversations(folder / "templates", renderer)
        await renderings(folder / "tests" / "test-chat-template.cpp", renderer)
        parsings(folder)
        await speed(folder / "templates", renderer)
    finally:
        await renderer.close()


async def conversations(folder: Path, renderer: Renderer) -> None:
    """For each template, how many conversations are said as it says them directly."""
    print(f"{'template':60} of {len(CONVERSATIONS)}  what differs, or in which way it was said")
    equal = total = 0
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        notes: list[str] = []
        right = 0
        try:
            form = await TemplateFormat.probed(path.stem, source, begin=BEGIN, end=END, adds_begin=False, renderer=renderer)
        except NemochatError as error:
            print(f"{path.stem:60}   -  {error.message}")
            continue
        for name, conversation in CONVERSATIONS.items():
            total += 1
            try:
                is_right = said(form, await form.lay_out(conversation)) == await expected(form, source, conversation)
                used, _ = await form._said(conversation, asks_reply=True, thinks=None)  # noqa: SLF001
            except NemochatError as error:
                notes.append(f"{name}: {error.message}")
                continue
            right += is_right
            if not is_right:
                notes.append(f"{name} differs")
            elif used != form.habits:
                notes.append(f"{name}: in a plainer way")
        equal += right
        print(f"{path.stem:60}  {right:2}  {'; '.join(notes)}")
    print(f"{equal} of {total} equal\n")


def literal(text: str) -> str:
    """The value of a literal of C++, of several beside each other too."""
    escapes = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "'": "'"}
    return "".join(re.sub(r"\\(.)", lambda found: escapes[found[1]], piece, flags=re.DOTALL) for piece in LITERAL.findall(text))


async def renderings(path: Path, renderer: Renderer) -> None:
    """The expected renderings of llama.cpp's tests."""
    messages = tuple(Message(Role.ASSISTANT if at % 2 else Role.USER, (TextPart(text),)) for at, text in enumerate(SPOKEN))
    conversation = Conversation(SYSTEM, messages=messages)
    found: dict[str, list[str]] = {}
    text = path.read_text(encoding="utf-8")
    for case in CASE.findall(text[text.index("test_cases {") :]):
        fields = {name: literal(value) for name, value in FIELD.findall("/* .name= */" + case)}
        name = fields["name"]
        wanted = fields.get("expected_output_jinja") or fields["expected_output"]
        result = "another role (assistant_tool_call, which no template of a model has)"
        if "extra_conversation" not in fields:
            try:
                form = await TemplateFormat.probed(
                    name, fields["template_str"], begin=fields.get("bos_token", ""), end=fields.get("eos_token", ""), adds_begin=False,
                    renderer=renderer,
                )  # fmt: skip
                result = judged(as_text((await form.lay_out(conversation)).segments), wanted, form, fields.get("bos_token", ""))
            except NemochatError as error:
                result = f"refused: {error.message}"
        found.setdefault(result, []).append(name)
    print("expected renderings of llama.cpp's test-chat-template.cpp")
    for result, names in sorted(found.items()):
        print(f"{len(names):3}  {result}: {', '.join(names)}")
    print()


def judged(got: str, wanted: str, form: TemplateFormat, begin: str) -> str:
    """Whether a rendering is the one that was wanted, or by what it differs."""
    if got == wanted:
        return "equal"
    stripped = wanted.replace(SPOKEN[3], SPOKEN[3].strip())
    changes = {
        "equal but for white space around the reply, which nemochat strips": stripped,
        "the same, and an empty line behind the system text where there is no System role (Gemma 3's way)": stripped.replace(
            f"{SYSTEM}\n{SPOKEN[0]}", f"{SYSTEM}\n\n{SPOKEN[0]}"
        ),
    }
    for what, changed in changes.items():
        if got == changed:
            return what
        if begin and changed == begin + got:
            return f"{what}, and the begin token"
    at = next((at for at, (one, other) in enumerate(zip(got, stripped, strict=False)) if one != other), min(len(got), len(stripped)))
    return f"differs at {got[max(0, at - 20) : at + 30]!r}, wanted {stripped[max(0, at - 20) : at + 30]!r}"


def parsings(folder: Path) -> None:
    """The expected parsings of llama.cpp's tests, for each template with one that is not read so: how many of them are."""
    source = (folder / "tests" / "test-chat.cpp").read_text(encoding="utf-8")
    found: dict[str, list[tuple[Case, bool]]] = {}
    for case, is_right in judged_replies(source, folder / "templates"):
        found.setdefault(case.template, []).append((case, is_right))
    every = [is_right for each in found.values() for _, is_right in each]
    print(f"expected parsings of llama.cpp's test-chat.cpp: {sum(every)} of {len(every)}")
    for template, each in sorted(found.items()):
        if lines := [str(case.line) for case, is_right in each if not is_right]:
            print(f"{template.removesuffix('.jinja'):60}  {len(each) - len(lines):2} of {len(each):2}  not of lines {', '.join(lines)}")
    print()


async def speed(folder: Path, renderer: Renderer) -> None:
    """How long a conversation of 500 messages takes, the process being warm."""
    spoken = tuple(each for at in range(250) for each in (user(f"Question {at}? " * 20), reply(f"Answer {at}. " * 40)))
    conversation = Conversation("You answer briefly.", messages=spoken[:-1])
    print("500 messages, the best of five")
    taken = []
    for path in sorted(folder.glob("*.jinja")):
        form = await TemplateFormat.probed(path.stem, path.read_text("utf-8"), begin=BEGIN, end=END, adds_begin=False, renderer=renderer)
        times = []
        for _ in range(5):
            began = time.perf_counter()
            await form.lay_out(conversation)
            times.append(time.perf_counter() - began)
        taken.append((min(times), path.stem))
    taken.sort()
    print(f"median {taken[len(taken) // 2][0] * 1000:.0f} ms; the slowest: ", end="")
    print(", ".join(f"{name} {seconds * 1000:.0f} ms" for seconds, name in reversed(taken[-5:])))


if __name__ == "__main__":
    asyncio.run(main())
