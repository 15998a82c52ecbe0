"""Results as people read and share them: a Markdown table, and one HTML file that needs nothing else, with the wrong answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from nemochat.chat.export_html import to_html
from nemochat.domain.chat import Entry
from nemochat.domain.images import Original
from nemochat.domain.messages import ImagePart, Message, Role, TextPart
from nemochat.domain.sanitize import sanitize, shortened
from nemochat.errors import NemochatError
from nemochat.evaluation.asking import open_one
from nemochat.evaluation.benchmarks import Item, questions
from nemochat.evaluation.runs import Answer, Run

PERCENT, CARD = "percent (95 % range)", "the card's"
"""Titles of the figures' columns."""
MOST_WRONG = 200
"""Wrong answers of a run in a page."""
_MOST_BYTES = 64 << 20
"""Of pictures in a page, as they came."""
_HEADER = ("benchmark", "model", "figure", PERCENT, CARD, "questions")


def rows(runs: Iterable[Run]) -> list[tuple[str, ...]]:
    """The cells of the table, a row for each figure."""
    return [
        (run.benchmark.title, run.told.setting.model, figure.name, figure.in_words, figure.of_card or "-", f"{len(run.answers):,}")
        for run in runs
        for figure in run.figures
    ]


def markdown(runs: Sequence[Run]) -> str:
    """The table, and below it what each result depends on."""
    lines = [_line(_HEADER), "|---" * len(_HEADER) + "|", *map(_line, rows(runs))]
    for run in runs:
        lines += ["", f"**{_cell(run.benchmark.title)}, {_cell(run.told.setting.model)}**", ""]
        lines += [f"- {_cell(remark)}" for remark in run.remarks]
        lines += [f"- {_cell(name)}: {_cell(value)}" for name, value in conditions(run)]
    return "\n".join(lines) + "\n"


def conditions(run: Run) -> list[tuple[str, str]]:
    """What a result depends on, by name."""
    setting = run.told.setting
    named = [
        ("model", f"{setting.model} {setting.model_sha256}".strip()),
        ("projector", setting.projector_sha256),
        ("server", setting.server),
        ("questions", ", ".join(f"{name} {digest}" for name, digest in setting.files.items())),
        ("chosen", f"{setting.limit:,} with seed {setting.seed}" if setting.limit is not None else "all"),
        ("replies", f"temperature {setting.temperature:g}, seed {setting.seed}, at most {setting.max_tokens:,} tokens"),
        ("calls", "held to the tools' schemas" if setting.grammar else "written freely"),
        ("gate", f"{setting.gate:g}" if setting.gate is not None else ""),
        ("engine", ", ".join(f"{name} {value}" for name, value in setting.engine.items())),
        ("guesses", f"{run.guesses:,}"),
        ("versions", ", ".join(f"{name} {value}" for name, value in run.told.versions.items())),
        ("began", run.told.began),
    ]
    return [(name, sanitize(value, strict=True)) for name, value in named if value]


def html(runs: Sequence[Run]) -> str:
    """The page. A picture that is not where it was, or that is too much for the page, leaves its name."""
    entries = [Entry(Message(Role.ASSISTANT, (TextPart(markdown(runs)),)), speaker="Results")]
    originals: dict[str, Original] = {}
    for run in runs:
        wrong = [each for each in run.answers.values() if each.is_wrong]
        items = _items(run)
        for answer in wrong[:MOST_WRONG]:
            entries += _entries(run, answer, items.get(answer.id), originals)
        if len(wrong) > MOST_WRONG:
            left = f"{len(wrong) - MOST_WRONG:,} more wrong answers of {run.benchmark.title} are not shown."
            entries.append(Entry(Message(Role.USER, (TextPart(left),)), speaker="Not shown"))
    return to_html(entries, "", originals, title="Evaluation")


def got(answer: Answer) -> str:
    """What the model answered, for people."""
    calls = [f"{call['name']} {msgspec.json.encode(call['arguments']).decode()}" for call in answer.calls]
    return "\n".join(filter(None, (answer.error or answer.text.strip(), *calls))) or "(nothing)"


def _entries(run: Run, answer: Answer, item: Item | None, originals: dict[str, Original]) -> list[Entry]:
    pictures: list[ImagePart] = []
    for number, picture in enumerate(item.pictures if item is not None else (), 1):
        name, digest = picture.name if isinstance(picture, Path) else f"picture {number}", ""
        if sum(len(each.data) for each in originals.values()) < _MOST_BYTES:
            try:
                original = open_one(picture).original
            except NemochatError:  # it is not where it was: its name says which one it is
                original = None
            if original is not None:
                digest = original.digest
                originals[digest] = original
        pictures.append(ImagePart(digest, name))
    asked = Message(Role.USER, (*pictures, TextPart(f"{answer.prompt}\n\nRight: {answer.expected or '-'}")))
    worth = f"{100 * answer.score.right:.0f} % right" if answer.score.right else "wrong"
    why = answer.score.why or ("no answer" if answer.error else worth)
    return [
        Entry(asked, speaker=f"{run.benchmark.title}, question {answer.id}"),
        Entry(Message(Role.TOOL, (TextPart(got(answer)),)), speaker=shortened(f"{run.told.setting.model}: {why}", 300)),
    ]


def _items(run: Run) -> dict[str, Item]:
    """The questions by their ids, where their files are still there."""
    try:
        return {item.question.id: item for item in questions(run.benchmark, Path(run.told.data))[0]}
    except NemochatError:  # the page is without their pictures then
        return {}


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    shown = sanitize(text, strict=True)
    return "".join(f"\\{each}" if each in "\\|`*_<>[]#" else each for each in shown)
