"""A large lorebook: 10,000 entries with 20,000 plain keys and 200 regular expressions, against a plain loop of ``in`` over the plain keys.

``python -m benchmarks.lore``. The messages are new each time, so that nothing of an earlier scan helps; what is made ready once for a book
(`first`) is printed beside it. The loop only asks whether a key is anywhere in the text, which is less than a scan has to find out.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence

from nemochat.domain.personas import Lorebook, LoreEntry
from nemochat.personas.lore import Lore, Scan, scan
from nemochat.personas.macros import Macros

ENTRIES, EXPRESSIONS, ROUNDS = 10_000, 200, 30
MESSAGE_WORDS = 250
MACROS = Macros(char="Mira", user="Anna", seed="1")
_PARTS = [first + second for first in "bcdfghklmnprstvwz" for second in ("a", "e", "i", "o", "u", "an", "er", "in")]


def word(rng: random.Random, parts: int) -> str:
    """A made-up word."""
    return "".join(rng.choice(_PARTS) for _ in range(parts))


def made() -> tuple[Lorebook, list[str], list[str]]:
    """A book, its plain keys, and words to make messages of, few of which are keys."""
    rng = random.Random(1)
    keys = [word(rng, rng.choice([3, 4, 5])) + ("" if rng.random() < 0.7 else f" {word(rng, 3)}") for _ in range(2 * ENTRIES)]
    entries = []
    for number in range(ENTRIES):
        own = keys[2 * number : 2 * number + 2]
        if number < EXPRESSIONS:
            stem = word(rng, 3)
            own = [*own, rng.choice([f"/{stem}(s|ed)?/i", f"/\\b{stem}\\w*\\b/", f"/(the|a) {stem}/i", f"/{stem[:5]}[aeiou]+{stem[5:]}/"])]
        entries.append(LoreEntry(content=f"What is known of number {number}.", keys=tuple(own), name=str(number)))
    words = [*(word(rng, rng.choice([1, 2, 2, 3, 4])) for _ in range(4_000)), *keys[:40]]
    return Lorebook(entries=tuple(entries), recursive=True), keys, words


def median_ms(work: Callable[[Sequence[str]], object], messages: Sequence[Sequence[str]]) -> float:
    """How long it takes, by the processor's clock: other programs on the machine do not count."""
    times = []
    for each in messages:
        began = time.process_time()
        work(each)
        times.append((time.process_time() - began) * 1000)
    return statistics.median(times)


def main() -> None:
    """Print both, and how they compare."""
    book, keys, words = made()
    rng = random.Random(2)
    messages = [[" ".join(rng.choices(words, k=MESSAGE_WORDS)) for _ in range(4)] for _ in range(ROUNDS)]
    lowered = [key.lower() for key in keys]

    def look(texts: Sequence[str]) -> list[str]:
        text = "\n".join(texts).lower()
        return [key for key in lowered if key in text]

    def find(texts: Sequence[str]) -> Scan:
        return scan(Lore((book,)), texts, MACROS, count=len)

    began = time.process_time()
    find(["nothing"])
    first = (time.process_time() - began) * 1000
    plain, indexed = median_ms(look, messages), median_ms(find, messages)
    print(f"{ENTRIES:,} entries, {len(keys):,} plain keys, {EXPRESSIONS} expressions; 4 messages of {MESSAGE_WORDS} words")
    print(f"{len(look(messages[0]))} keys in the text, {len(find(messages[0]).fired)} entries fired")
    print(f"first {first:.0f} ms (once for a book)")
    print(f"loop of in {plain:.2f} ms   scan {indexed:.2f} ms   1/{plain / indexed:.1f}")


if __name__ == "__main__":
    main()
