"""Look at the corpus: ``python -m training.corpus [--samples N] [--seed N] [--skill NAME]`` prints samples and statistics."""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter, defaultdict

from training.corpus import SKILLS, has_picture, picture_words, sample, sample_skill
from training.corpus.facts import FACTS
from training.corpus.wording import ways
from training.values import Example


def _print(example: Example) -> None:
    print(f"--- {example.skill}" + (f" | system: {example.system}" if example.system else ""))
    if example.tools:
        print("  tools:", ", ".join(tool["function"]["name"] for tool in example.tools))
    for context in example.contexts:
        print("  context:", repr(context))
    for turn in example.turns:
        print(f"  {turn.role:9} {turn.text!r}", *turn.pictures)


def _statistics(number: int, seed: int) -> None:
    rng = random.Random(seed)
    for stage in (0, 1):
        answers: Counter[str] = Counter()
        firsts: Counter[str] = Counter()
        examples: Counter[str] = Counter()
        questions: defaultdict[str, set[str]] = defaultdict(set)
        words, single, seen = 0, 0, 0
        begun = time.perf_counter()
        for _ in range(number):
            example = sample(rng, stage)
            examples[example.skill] += 1
            seen += has_picture(example)
            said = [turn for turn in example.turns if turn.role == "assistant"]
            single += len(said) == 1
            answers[example.skill] += len(said)
            words += (
                sum(len(turn.text.split()) for turn in example.turns)
                + len(example.system.split())
                + sum(len(text.split()) for text in example.contexts)
            )
            questions[example.skill].update(turn.text for turn in example.turns if turn.role == "user")
            firsts.update(turn.text.split(" ")[0] for turn in said)
        rate = number / (time.perf_counter() - begun)
        total = answers.total()
        print(
            f"stage {stage}: {rate:.0f} examples/s, {total / number:.2f} answers and {words / number:.0f} words each, "
            f"{single / number:.0%} ask once, {seen / number:.0%} with a picture"
        )
        for skill, count in answers.most_common():
            print(
                f"  {skill:12} {examples[skill] / number:6.1%} of examples {count / total:6.1%} of answers "
                f"{len(questions[skill]):7} questions"
            )
        print(f"  answers that begin with Yes, {firsts['Yes,']}, with No, {firsts['No,']}")
    print("wordings before spelling, courtesy and slots:")
    for name, templates in vars(picture_words).items():
        if name.isupper():
            print(f"  {name.lower():16} {ways(templates)}")
    forms = sorted(ways(fact.templates) for fact in FACTS)
    print(
        f"  {len(FACTS)} facts with {forms[0]} to {forms[-1]} wordings, {min(len(fact.templates) for fact in FACTS)} templates or more each"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.corpus", description="Print samples of the corpus and its statistics.")
    parser.add_argument("--samples", type=int, default=20, help="how many conversations to print")
    parser.add_argument("--examples", type=int, default=10000, help="how many conversations the statistics are taken over")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skill", choices=SKILLS, help="print conversations of this skill only")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    for _ in range(arguments.samples):
        _print(sample_skill(arguments.skill, rng) if arguments.skill else sample(rng))
    _statistics(arguments.examples, arguments.seed)


if __name__ == "__main__":
    main()
