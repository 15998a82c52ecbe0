"""Any model in its own format: what a turn reads, warm against cold, and the time to the first token behind a typed question.

    python -m benchmarks.any_model MODEL.gguf [--turns 20] [--history 3000]

Twenty turns go past the window; at every turn that forgets nothing, no more is to be read than what is new and eight tokens. The last
reply is made once more from a cold start, greedily, and has to be the same. Then a question is typed at five characters a second into a
chat of so many tokens, in English and in Chinese, and the time from Enter to the first token is set beside that of reading all of it.
Last, what a template costs that leaves out what was thought in earlier turns (tests/prompt/templates/reasoning.jinja, Qwen 3's way): a
grammar has every reply begin with a thought, and what is read beyond the user's own turn is told, at Enter and where the time between two
turns was used.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import msgspec

from nemochat.chat import Chat, Proposed, Stop, TurnResult
from nemochat.chat.session import ChatSession
from nemochat.chat.warming import AtHand, WarmAhead
from nemochat.domain.edits import Trim, applied
from nemochat.domain.events import EngineEvent, Progress
from nemochat.domain.messages import Message, ReasoningPart, Role, TextPart
from nemochat.domain.sampling import Sampling, Source
from nemochat.engine.client import WorkerEngine
from nemochat.engine.protocol import GenerateRequest, LoadRequest
from nemochat.errors import NemochatError
from nemochat.prompt.format import turn_cost
from nemochat.settings import EngineSettings

_QUESTIONS = {"English": "What do you think about the old mill by the river?", "Chinese": "你觉得河边那座旧磨坊怎么样请说说看"}
_DROPS = Path(__file__).parents[1] / "tests" / "prompt" / "templates" / "reasoning.jinja"
_THINKS = r'''root ::= "<think>\n" [a-z ]{40,50} "\n</think>\n\n" [A-Z] [a-z ]{80,90} "."'''
_STORY = "The road led down to the river, where the mill stood and nobody had worked for years. "


class Silent:
    """Reads ahead for nobody who looks."""

    def reads_ahead(self, progress: Progress) -> None:
        """Nothing is shown."""

    def read_ahead(self, draft: Message, *, is_complete: bool) -> None:
        """Nothing is shown."""

    def forgot_ahead(self, trim: Trim) -> None:
        """The chat of a measurement is long enough as it is."""

    def failed_ahead(self, error: NemochatError) -> None:
        """Nothing may fail."""
        raise error


class _Thinker(WorkerEngine):
    """Every reply is a thought and words."""

    def generate(self, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        """One that a grammar holds from its first token on."""
        return super().generate(msgspec.structs.replace(request, grammar=_THINKS, grammar_trigger=""))


@contextlib.asynccontextmanager
async def _session(
    path: Path, window: int, engine: type[WorkerEngine] = WorkerEngine, format_: str = "", longest: int = 48
) -> AsyncGenerator[ChatSession, None]:
    settings = EngineSettings(context_length=window, resume_mb=0)
    layers = {Source.REQUEST: Sampling(temperature=0.0, max_tokens=longest)}
    with tempfile.TemporaryDirectory() as folder:
        session = ChatSession(engine(Path(folder) / "log"), LoadRequest("model", str(path), None, settings, format=format_), layers)
        try:
            await session.reader.load.model()
            yield session
        finally:
            await session.close()


async def ask(session: ChatSession, chat: Chat, text: str, asked_at: float | None = None) -> tuple[Chat, TurnResult]:
    """A turn: the chat behind it, and its result."""
    result: TurnResult | None = None
    async for event in session.send(chat, user(text), Stop(), key="chat", asked_at=asked_at):
        if isinstance(event, Proposed):
            chat = applied(chat, event.edit)
        elif isinstance(event, TurnResult):
            result = event
    assert result is not None
    return chat, result


def same(at_hand: AtHand) -> AtHand:
    """What is at hand all the time."""
    return at_hand


def user(text: str) -> Message:
    """A message of the user."""
    return Message(Role.USER, (TextPart(text),))


async def _turns(path: Path, turns: int) -> None:
    window, worst, trims, before = 700, 0, 0, 0
    async with _session(path, window) as session:
        chat = Chat()
        for turn in range(turns):
            asked = f"Part {turn}. {_STORY * 2}What comes next?"
            forgotten = chat.first_kept
            chat, result = await ask(session, chat, asked)
            usage = result.usage
            new = usage.prompt_tokens - before
            if chat.first_kept == forgotten:
                worst = max(worst, usage.evaluated_tokens - new)
            else:
                trims += 1
            before = usage.prompt_tokens + usage.completion_tokens
        warm, end = result.text, chat
        format_ = session.reader.load.format.name
    async with _session(path, window) as session:
        last = msgspec.structs.replace(end.cut(len(end.entries) - 2), first_kept=end.first_kept)
        cold = (await ask(session, last, asked))[1].text
    print(f"format: {format_}")
    print(f"{turns} turns in a window of {window}, {trims} forgot something; the others read {worst} tokens beyond what was new (8)")
    print(f"the last reply warm and cold: {'the same' if warm == cold else f'NOT the same: {warm!r} and {cold!r}'}")


async def _typed(path: Path, history: int) -> None:
    async with _session(path, 4096) as session:
        story = _STORY * (history // await session.reader.tokens_in(_STORY))
    chat = Chat().with_messages([user(story), Message(Role.ASSISTANT, (TextPart("Go on."),))])
    for language, question in _QUESTIONS.items():
        async with _session(path, 4096) as session:
            _, cold = await ask(session, chat, question, time.perf_counter())
        async with _session(path, 4096) as session:
            at_hand = AtHand(session.reader, chat, "chat")
            ahead = WarmAhead(partial(same, at_hand), Silent())
            ahead.opened()
            await ahead.finished()
            for end in range(1, len(question) + 1):
                ahead.draft_changed(user(question[:end]))
                await asyncio.sleep(0.2)
            ahead.stop()
            _, warm = await ask(session, chat, question, time.perf_counter())
            await ahead.close()
        assert cold.ttft_ms is not None
        assert warm.ttft_ms is not None
        print(
            f"{language}: {cold.usage.prompt_tokens} tokens; first token {cold.ttft_ms:.0f} ms read whole, {warm.ttft_ms:.0f} ms typed "
            f"({warm.usage.evaluated_tokens} tokens read): ratio {warm.ttft_ms / cold.ttft_ms:.3f} (0.1)"
        )


async def _thinking(path: Path, turns: int) -> None:
    """What a thought that is left out of the next prompt costs there."""
    chat = Chat()
    print("thought  words   read at Enter beyond the user's turn: cold / the time between was used   (the context pane said)")
    async with _session(path, 4096, _Thinker, str(_DROPS.absolute()), 200) as session:
        around = await turn_cost(session.reader.load.format, session.reader.engine.count)
        for turn in range(turns):
            text = f"Part {turn}. {_STORY}"
            own = await session.reader.tokens_in(text) + around
            chat, result = await ask(session, chat, text)
            beyond = result.usage.evaluated_tokens - own if turn else 0
            parts = chat.entries[-1].message.parts
            thought, words = [await session.reader.tokens_in(part.text) for part in parts if isinstance(part, ReasoningPart | TextPart)]
            said = (await session.reader.context_view(chat)).to_read
            at_hand = AtHand(session.reader, chat, "chat")
            ahead = WarmAhead(partial(same, at_hand), Silent())
            if turn % 2:
                ahead.opened()
                await ahead.finished()
            ahead.stop()
            await ahead.close()
            how = "-" if not turn else f"{beyond} tokens, {'cold' if turn % 2 else 'the time between was used'}"
            print(f"{thought:7}  {words:5}   {how:70}   ({said} to read)")


def main() -> None:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--history", type=int, default=3000)
    given = parser.parse_args()
    asyncio.run(_turns(given.model.absolute(), given.turns))
    asyncio.run(_typed(given.model.absolute(), given.history))
    asyncio.run(_thinking(given.model.absolute(), 4))


if __name__ == "__main__":
    main()
