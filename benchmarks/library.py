"""What a large library costs: the list, a search, a save and a start.

    python -m benchmarks.library [--conversations N] [--messages N] [--runs N] [--folder F]

Builds a library of conversations with made-up words (frequencies as in natural language: one word stands in nearly every message) in a
temporary folder, or in F, which is used again. Prints the median and the range.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

from nemochat.domain.chat import Chat, Entry
from nemochat.domain.library import SearchFilters
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.personas import Persona
from nemochat.domain.replies import ModelRef
from nemochat.library import Library, ListQuery

LENGTH = 20
WORDS = 60
VOCABULARY = 20_000
LONG = 10_000
START = 1_780_000_000.0
HOUR = 3600.0
DEMO, RARE = ModelRef("demo"), ModelRef("rare")
PERSONAS = [None, None, None, *(Persona(name=name) for name in ("Mira", "Bram", "Ada"))]


def vocabulary(draw: random.Random) -> list[str]:
    """Made-up words, the frequent ones first."""
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
    words = {"".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(VOCABULARY * 2)}
    return sorted(words, key=lambda word: (len(word), word))[:VOCABULARY]


def texts(count: int) -> Iterator[str]:
    """Texts whose words have frequencies as in natural language."""
    draw = random.Random(4)
    words = vocabulary(draw)
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    for _ in range(count):
        yield " ".join(draw.choices(words, cum_weights=weights, k=draw.randint(WORDS // 2, WORDS * 3 // 2)))


def chat(messages: int, source: Iterator[str], persona: Persona | None = None) -> Chat:
    """Questions and replies in turn."""
    made = Chat(persona=persona)
    return made.with_messages(Message(Role.ASSISTANT if at % 2 else Role.USER, (TextPart(next(source)),)) for at in range(messages))


def fill(library: Library, conversations: int, messages: int) -> None:
    """Store them, an hour apart."""
    source = texts(messages)
    length = messages // conversations
    for at in range(conversations):
        made = START + at * HOUR
        tags = ("rare",) if at % 1000 == 0 else ()
        library.add(chat(length, source, PERSONAS[at % len(PERSONAS)]), model=RARE if at % 2000 == 0 else DEMO, created=made, tags=tags)


def main() -> None:
    """Build or find the library, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=10_000 * LENGTH)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "library"
        with Library.open(folder)[0] as library:
            if not library.conversations(ListQuery(limit=1)):
                fill(library, options.conversations, options.messages)
        print(f"{(folder / 'library.db').stat().st_size / 1e6:.0f} MB for {options.messages:,} messages\n")
        measure(folder, options.runs)


def measure(folder: Path, runs: int) -> None:
    """Everything in turns, so that a slow spell of the machine meets all of it."""
    words = vocabulary(random.Random(4))
    common, rare = words[0], words[15_000]
    long = chat(LONG, texts(LONG))
    with Library.open(folder)[0] as library:
        state = library.save(None, 0, None, long, model=DEMO), long

        def save() -> None:
            nonlocal state
            saved, before = state
            after = before.added(Entry(Message(Role.USER, (TextPart("And another question."),))))
            state = library.save(saved.id, saved.version, before, after, model=DEMO), after

        cases: dict[str, tuple[Callable[[], object], str]] = {
            "open it": (lambda: Library.open(folder)[0].close(), ""),
            "list the newest 200": (library.conversations, "100"),
            "list all": (lambda: library.conversations(ListQuery(limit=100_000)), "100"),
            "list a tag": (lambda: library.conversations(ListQuery(tag="rare")), "100"),
            "search a common word": (lambda: library.search(f"{common} "), "200"),
            "search two letters": (lambda: library.search(words[100][:2]), "200"),
            "search a rare word": (lambda: library.search(f"{rare} "), "200"),
            "search a phrase of common words": (lambda: library.search(f'"{words[0]} {words[1]} {words[2]}"'), "200"),
            "search a common word, one model in 2,000": (lambda: library.search(f"{common} ", SearchFilters(model="rare")), "200"),
            "search a common word, first week": (lambda: library.search(f"{common} ", SearchFilters(until=START)), "200"),
            "search a common word, with picture": (lambda: library.search(f"{common} ", SearchFilters(has_picture=True)), "200"),
            f"save one more message of {LONG:,}": (save, ""),
            f"load {LONG:,} messages": (lambda: library.load(state[0].id), ""),
        }
        milliseconds: dict[str, list[float]] = {name: [] for name in cases}
        for run in range(runs + 1):
            for name, (act, _bound) in cases.items():
                started = time.perf_counter()
                act()
                if run:  # the first one warms up
                    milliseconds[name].append((time.perf_counter() - started) * 1000)
    print("| what | median ms | min | max | bound |\n|---|---|---|---|---|")
    for name, times in milliseconds.items():
        print(f"| {name} | {statistics.median(times):.1f} | {min(times):.1f} | {max(times):.1f} | {cases[name][1]} |")


if __name__ == "__main__":
    main()
