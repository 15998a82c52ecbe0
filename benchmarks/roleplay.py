"""A long roleplay of three past the window, every token explained: lore with chance and cooldown, variables, a summary, a restart.

    python -m benchmarks.roleplay [--turns 60] [--window 1024] [--every]

The whole desk runs with the demo model, without reading ahead, so that all that a turn costs is read in that turn. What the engine says
that it evaluated is held against what follows from the prompts alone: the tokens behind what the prompt has in common with what was read.
At the end the program is closed and opened again, and the prompt has to be the same byte for byte.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

import msgspec

import nemochat
from nemochat.chat.previews import EMPTY
from nemochat.domain.chat import Chat, Entry
from nemochat.domain.events import EngineEvent, Finished, FinishReason, TextDelta, Usage
from nemochat.domain.personas import Lorebook, LoreEntry, Persona
from nemochat.domain.segments import Control, Plain, Segment
from nemochat.engine.client import WorkerEngine
from nemochat.engine.llama.loaded import Vocabulary
from nemochat.engine.protocol import GenerateRequest, LoadRequest
from nemochat.prompt.format import as_text
from nemochat.settings import EngineSettings, InterfaceSettings, SamplingSettings, Settings
from tests.desk.bench import Bench
from tests.desk.sitting import Sitting

MODEL = Path(nemochat.__file__).parent / "models" / "demo" / "nemochat-demo.gguf"
SUMS_UP = "Sum up everything above"
CHANCE = {"probability": 50, "useProbability": True, "selectiveLogic": 0, "display_index": 0}
MIRA = Persona(
    name="Mira",
    description="{{char}} keeps the inn of Low Ferrow and knows {{user}} since the flood.",
    greeting="Come in, {{user}}, and shake off the rain.",
    examples="<START>\n{{user}}: Is there a room?\n{{char}}: There is always a room.",
    book=Lorebook(
        entries=(
            LoreEntry(keys=("mill",), content="The old mill burned down in the year of the flood.", name="mill", extensions=CHANCE),
            LoreEntry(keys=("ferry",), content="The ferry costs two coppers.", name="ferry", extensions={**CHANCE, "cooldown": 6}),
            LoreEntry(keys=("bell",), content="The bell rings by itself.", name="bell", extensions={**CHANCE, "sticky": 3}),
        )
    ),
)
TOM = Persona(name="Tom", description="Tom is the smith.{{setvar::toll::2}}", greeting="Hm. {{getvar::toll}} coppers, as always.")
ORRIN = Persona(name="Orrin", description="Orrin keeps the gate and takes {{getvar::toll}} coppers of everybody.")
WORDS = ("the mill", "a tale of the road", "the ferry", "supper and a bed", "the bell at night", "the price of oats", "an old friend")

Cell = int | tuple[str, int]
"""A token: its id, or, where the model itself has chosen it, its place in a reply."""


class Cost(msgspec.Struct, frozen=True):
    """What one request cost, in tokens. expected: what it has to evaluate by what was read before; prompt: as people read it."""

    is_summary: bool
    usage: Usage
    expected: int
    prompt: str


class Explained(WorkerEngine):
    """The demo model's engine, with the cells that its cache must hold by what was asked of it."""

    def __init__(self, log: Path) -> None:
        super().__init__(log, "llama")
        self.costs: list[Cost] = []
        self._vocabulary = Vocabulary(LoadRequest("demo", str(MODEL), None, EngineSettings()))
        self._replies: dict[str, int] = {}
        self._held: dict[str, list[Cell]] = {}

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        """As the engine does, with the cost noted."""
        wanted = await self._cells(request.segments)
        # A place of its own goes on from itself; a new one from whatever begins most like the prompt.
        held = [self._held[request.conversation]] if request.conversation in self._held else list(self._held.values())
        pieces, usage, reason = [], Usage(), FinishReason.STOP
        async for event in super().generate(request):
            match event:
                case TextDelta(text):
                    pieces.append(text)
                case Finished():
                    usage, reason = event.usage, event.reason
            yield event
        # Behind a name a reply begins with a blank, which stands in the next prompt as well.
        text = "".join(pieces).rstrip()
        self.costs.append(Cost(SUMS_UP in as_text(request.segments), usage, _left(held, wanted), as_text(request.segments)))
        (self._replies[text],) = (await self.count([Plain(text)])) if text else (0,)
        said: list[Cell] = [(text, at) for at in range(self._replies[text])]
        if usage.completion_tokens > self._replies[text]:  # the line break before the tag that ended it, which is not shown
            said += self._vocabulary.tokenizer.tokens(Control("\n"))
        # The last token of a reply that was cut was drawn, but never read.
        self._held[request.conversation] = [*wanted, *(said[:-1] if reason is FinishReason.LENGTH else said)]

    async def forget(self, conversation: str) -> None:
        """What is held of it goes."""
        await super().forget(conversation)
        self._held.pop(conversation, None)

    async def _cells(self, segments: Sequence[Segment]) -> list[Cell]:
        cells: list[Cell] = []
        tokenizer, follows = self._vocabulary.tokenizer, True
        for segment in segments:
            assert isinstance(segment, Control | Plain)
            if isinstance(segment, Plain) and segment.text in self._replies:
                cells += [(segment.text, at) for at in range(self._replies[segment.text])]
            else:
                cells += tokenizer.tokens(segment, follows_special=follows)
            follows = tokenizer.follows_special(segment, follows)
        begin = self._vocabulary.begin_token
        return cells if begin is None or cells[0] == begin else [begin, *cells]


def _left(held: Sequence[Sequence[Cell]], wanted: Sequence[Cell]) -> int:
    """Tokens of a prompt behind what is held of it; the last one is always read, and never one alone (`engine.llama.ledger`)."""
    same = max((_same(each, wanted) for each in held), default=0)
    left = len(wanted) - min(same, len(wanted) - 1)
    return 2 if left == 1 else left


def _same(one: Sequence[Cell], other: Sequence[Cell]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (mine, theirs) in pairs if mine != theirs), min(len(one), len(other)))


def lines(turns: int) -> Iterator[str]:
    """What the user says."""
    for turn in range(turns):
        who = ("Mira", "Tom", "Orrin")[turn % 3]
        yield f"Tell me of {WORDS[turn % len(WORDS)]}, {who}; this is the {turn + 1}. time that I ask."


def bench_of(folder: Path, window: int) -> Bench:
    """The desk's surroundings, with the demo model."""
    settings = Settings(
        engine=EngineSettings(context_length=window, threads=1, warm_ahead=False),
        sampling=SamplingSettings(temperature=0.0, max_tokens=40),
        interface=InterfaceSettings(summaries=True, titles=False),
    )
    bench = Bench(folder, {"demo": Explained(folder / "engine.log")}, settings)
    bench.model_paths["demo"] = str(MODEL)
    return bench


async def begin(sitting: Sitting) -> None:
    """The beginning of the roleplay with three personas."""
    for persona in (MIRA, TOM, ORRIN):
        await sitting.desk.groups.run(f"add {sitting.bench.personas.save(persona)}")
    await sitting.desk.memory.remember("Anna has one arm.")
    await sitting.desk.roles.note("@4 It rains.")


async def play(folder: Path, turns: int, window: int) -> tuple[list[Cost], str, str, Chat]:
    """The costs of all requests, the next prompt before and after a restart, and the conversation."""
    bench = bench_of(folder, window)
    sitting = await Sitting(bench).begin()
    await begin(sitting)
    for line in lines(turns):
        await sitting.send(line)
    engine = bench.engines["demo"]
    before, chat = await next_prompt(sitting), sitting.desk.chat
    await sitting.close()
    bench.engines, bench.resume = {"demo": Explained(folder / "again.log")}, ""
    again = await Sitting(bench).begin()
    after = await next_prompt(again)
    await again.close()
    return engine.costs, before, after, chat


async def next_prompt(sitting: Sitting) -> str:
    """What would be sent with an empty message."""
    session = sitting.desk.model.session
    assert session is not None
    prompt = await session.reader.prompt(sitting.desk.chat.added(Entry(EMPTY)))
    return as_text((await prompt.sent()).layout.segments)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--every", action="store_true", help="every request, not only those that read more than was said")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        costs, before, after, chat = asyncio.run(play(Path(folder), options.turns, options.window))
    print(f"{'':>4} {'what':<8} {'prompt':>7} {'reused':>7} {'evaluated':>9} {'expected':>9} {'reply':>6}")
    for number, cost in enumerate(costs, 1):
        usage = cost.usage
        if options.every or cost.is_summary or usage.evaluated_tokens > 100 or usage.evaluated_tokens != cost.expected:
            what, made = "summary" if cost.is_summary else "turn", usage.completion_tokens
            row = f"{usage.prompt_tokens:>7} {usage.reused_tokens:>7} {usage.evaluated_tokens:>9} {cost.expected:>9} {made:>6}"
            print(f"{number:>4} {what:<8} {row}")
    wrong = [cost for cost in costs if cost.usage.evaluated_tokens != cost.expected]
    read = sum(cost.usage.evaluated_tokens for cost in costs)
    summaries = [cost for cost in costs if cost.is_summary]
    summed = len(chat.summary.covers) if chat.summary is not None else 0
    asked = sum(cost.usage.evaluated_tokens for cost in summaries)
    print(f"{len(costs) - len(summaries)} turns and {len(summaries)} summaries read {read:,} tokens, the summaries {asked:,} of them.")
    print(f"{len(wrong)} requests are unexplained.")
    print(f"{summed} of {len(chat.entries)} messages are summed up.")
    print(f"The prompt after a restart is {'the same' if before == after else 'ANOTHER'}.")


if __name__ == "__main__":
    main()
