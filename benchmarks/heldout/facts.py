"""Questions about nemochat in the words of this file, each with the words that a right answer must contain (any one of a group)."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.heldout.cases import Case, words

FACTS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("How can I show you a photo?", (("drag", "image", "attach", "-i"),)),
    ("What's the way to attach an image from the command line?", (("-i", "i"),)),
    ("What is TTFT?", (("first",), ("token", "word", "text"))),
    ("Explain time to first token.", (("first",),)),
    ("What does ITL stand for?", (("inter", "between"),)),
    ("What is prefill?", (("prompt",),)),
    ("What's a KV cache?", (("keeps", "stores", "holds", "remembers", "cache", "kept", "keys"),)),
    ("What is an mmproj file?", (("projector", "picture", "image", "vision", "pictures"),)),
    ("How do I load my own model?", (("models", "add", "model"),)),
    ("How do I add a new model?", (("add",),)),
    ("How can I switch to another model?", (("use", "model"),)),
    ("How large is the context window?", (("4096",),)),
    ("How many tokens fit in a conversation?", (("4096",),)),
    ("Why are some of the messages dimmed?", (("forgotten", "longer", "window", "sees"),)),
    ("What happens when the window is full?", (("oldest", "forgotten", "older", "trimmed", "turns"),)),
    ("How do I stop a reply?", (("esc", "escape"),)),
    ("Which key opens the help?", (("f1",),)),
    ("How do I quit?", (("ctrl", "quit"),)),
    ("How do I begin a new line without sending?", (("shift", "ctrl", "alt"),)),
    ("How do I start a new chat?", (("ctrl", "new"),)),
    ("How do I choose a persona?", (("persona",),)),
    ("What is a persona?", (("name", "character", "role", "manner", "system"),)),
    ("What does a swipe do?", (("another", "alternative", "left", "right"),)),
    ("What is a lorebook?", (("entries", "world", "keys", "facts", "keyword", "keywords", "text"),)),
    ("How can I export a chat?", (("export",),)),
    ("How do I regenerate an answer?", (("regen", "r", "ctrl"),)),
    ("Can I change the colour theme?", (("theme",),)),
    ("Where are my settings stored?", (("config.toml", "paths", "config"),)),
    ("Where does nemochat keep its files?", (("paths",),)),
    ("How do I open the command palette?", (("ctrl",),)),
    ("How do I add a document?", (("doc", "docs"),)),
    ("How can I see the exact prompt?", (("render",),)),
    ("Do you send my pictures anywhere?", (("no", "machine", "local", "stay", "stays", "own"),)),
    ("Which image formats are accepted?", (("png",), ("jpeg",))),
    ("What is a GGUF?", (("file", "format"),)),
    ("What is Nemovision?", (("nvidia", "vision"),)),
    ("How much memory does the real model need?", (("3.5", "gb"),)),
    ("What does pinning a message do?", (("stays", "stay", "keeps", "kept", "window"),)),
    ("What is llama.cpp?", (("runs", "run", "engine", "program", "library"),)),
    ("Who are you?", (("demo",),)),
    ("What are you able to do?", (("picture", "pictures", "shapes", "demo", "tools", "questions"),)),
    ("Which model are you?", (("demo",),)),
    ("What does temperature mean?", (("random", "greedy", "repeatable", "sampling", "0"),)),
    ("How do I get JSON out of ask?", (("json",),)),
    ("How do I search old conversations?", (("search",),)),
    ("How do I edit my last message?", (("up", "edit", "e"),)),
    ("What does /stats show?", (("ttft", "tokens", "time", "times"),)),
    ("Which slash command attaches a picture?", (("image", "attach"),)),
    ("How do I fork a conversation?", (("fork",),)),
    ("What are tool calls?", (("function", "tool", "functions", "tools"),)),
)


def _hit(text: str, groups: tuple[tuple[str, ...], ...]) -> bool:
    found = set(words(text.replace("-", " ").replace("/", " ").replace("+", " ")).split())
    return all(found & {word.strip("-") for word in group} for group in groups)


def fact(rng: random.Random) -> Case:
    """A question about nemochat."""
    question, groups = rng.choice(FACTS)
    return fact_case(question, groups)


def fact_case(question: str, groups: tuple[tuple[str, ...], ...]) -> Case:
    """The case of one question; every group must be met, and the refusal is never right (but for the questions who it is)."""
    own = question in ("Who are you?", "Which model are you?", "What are you able to do?")

    def judge(reply: dict[str, Any]) -> bool:
        return _hit(reply["text"], groups) and (own or "do not know" not in reply["text"])

    return Case("nemochat facts", ({"question": question},), judge, str(groups), {})
