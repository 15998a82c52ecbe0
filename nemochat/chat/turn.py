"""A turn: its stop, the conversation as it has changed it, the reply as it comes, the answers of the tools that this has called."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec

from nemochat import images
from nemochat.chat.cast import Lead
from nemochat.chat.toolbox import Toolbox
from nemochat.chat.values import Attachment, Proposed, ToolRun, ToolState, visible
from nemochat.domain.chat import Chat, Entry
from nemochat.domain.edits import Edit, Put, applied
from nemochat.domain.events import TextDelta
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import ImagePart, Message, Part, ReasoningPart, Role, TextPart, ToolCallPart, ToolResultPart, ToolSpec
from nemochat.domain.tools import ToolOutcome
from nemochat.errors import ImageError
from nemochat.prompt.replies import ReplyStyle, StreamParser, as_left_open, generated_call, parse_reply

T = TypeVar("T")


class Stopped(Exception):
    """The user has stopped what was waited for."""


class Stop:
    """Set once, from the event loop. Whoever waits within a turn waits through `over`, so that nothing holds a stop up."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def is_set(self) -> bool:
        """Whether the turn is to end."""
        return self._event.is_set()

    def set(self) -> None:
        """End the turn, whatever it is at."""
        self._event.set()

    async def wait(self) -> None:
        """Until it is set."""
        await self._event.wait()

    def check(self) -> None:
        """Raises Stopped when it is set."""
        if self.is_set:
            raise Stopped

    async def over(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` brings. Raises Stopped as soon as the stop is set; the work is then cancelled.

        What others wait for as well is to be shielded within `work`.
        """
        if self.is_set:
            work.close()
            raise Stopped
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not self.is_set:
                return working.result()
            raise Stopped
        finally:
            stopping.cancel()
            working.cancel()
            # Its end is waited for, so that nothing of it goes on; what it raises then is of no interest.
            await asyncio.gather(working, stopping, return_exceptions=True)


GROWS_SECONDS = 1.0
"""How often a reply is proposed as far as it has come."""
_STOPPED = "The user stopped it."


class Turn:
    """The conversation as this turn has made it, and what goes with it. continues: the last reply goes on. others: how many replies
    stand beside the one to come. has_answers: tools have answered in it. notes: what the user is to know besides (see `TurnResult`).
    was_too_long: a server had less room than was known."""

    def __init__(self, chat: Chat, stop: Stop, key: str, asked_at: float, *, continues: bool = False) -> None:
        self.chat = chat
        self.stop = stop
        self.key = key
        self.asked_at = asked_at
        self.continues = continues
        self.others = 0
        self.has_answers = False
        self.notes: list[str] = []
        self.was_too_long = False

    def ms_until(self, at: float | None) -> float | None:
        """From Enter, in milliseconds."""
        return None if at is None else (at - self.asked_at) * 1000

    def new_id(self) -> int:
        """One of those that were lent."""
        id_ = self.chat.next_id
        self.chat = self.chat.lent(1)
        return id_

    def behind(self, entry: Entry) -> Put:
        """The entry at the end of the conversation."""
        return Put(entry, self.chat.entries[-1].id if self.chat.entries else 0)

    def propose(self, edit: Edit, *, stores: bool) -> Proposed:
        """What the owner is to apply; here it holds from now on."""
        self.chat = applied(self.chat, edit)
        return Proposed(edit, stores)


def _now() -> float:
    return asyncio.get_running_loop().time()


class Reading:
    """A reply as it comes: read by its style, timed, and on its way into the conversation: one that begins, or the last one as it goes on.

    began: in seconds since the epoch. pieces: what was generated. first_at, first_text_at, first_thought_at: when anything, text to be
    seen, and a thought came (time.perf_counter). thought: all that was thought, with how long it took.
    """

    def __init__(self, turn: Turn, style: ReplyStyle, tools: Sequence[ToolSpec], began: float) -> None:
        entries = turn.chat.entries
        self.style, self._tools = style, tools
        self.pieces: list[str] = []
        self.first_at: float | None = None
        self.first_text_at: float | None = None
        self.first_thought_at: float | None = None
        self.thought: ReasoningPart | None = None
        self._parser = StreamParser(style, tools)
        self._last = entries[-1] if turn.continues else None
        self._before = as_left_open(self._last.message.parts, style) if self._last is not None else ""
        self._parser.push(self._before)
        self._after = entries[-2].id if self._last is not None and len(entries) > 1 else 0
        if self._last is None:
            self._after = entries[-1].id if entries else 0
        self._turn = turn
        self._id = self._last.id if self._last is not None else 0
        self._at, self._began = _now(), began
        self._speaks_from: float | None = None
        self._words: list[str] = []
        self._lead = None if self._last is not None else Lead.of(turn.chat)

    def push(self, text: str) -> TextDelta:
        """Take a piece of the reply."""
        now = time.perf_counter()
        self.first_at = self.first_at or now
        self.pieces.append(text)
        parts = self._led(self._parser.push(text))
        self._speaks_from = self._speaks_from or now
        self._note(parts)
        return TextDelta(text if self._shows_all else self._shown(parts), parts)

    def finish(self) -> TextDelta:
        """The reply has ended: what was held back."""
        parts = self._led(self._parser.finish())
        if self._lead is not None and (held := self._lead.finish()):
            parts = (*parts, TextPart(held))
        self._note(parts)
        return TextDelta("" if self._shows_all else self._shown(parts), parts)

    @property
    def text(self) -> str:
        """What was generated, without what was only thought."""
        text = "".join(self.pieces)
        return text if self._shows_all else "".join(self._words)

    @property
    def _shows_all(self) -> bool:
        """Whether what was generated is what is shown."""
        return self.style.reasoning is None and self._lead is None

    def grown(self) -> Put | None:
        """The reply as far as it has come, when it is time to propose that again."""
        now = _now()
        if now - self._at < GROWS_SECONDS:
            return None
        self._at = now
        return self.put(is_interrupted=True)

    def put(self, *, is_interrupted: bool = False) -> Put | None:
        """The reply with what has come, whole or partial; None for one without text."""
        text = self._before + "".join(self.pieces)
        if not text:
            return None
        self._id = self._id or self._turn.new_id()
        parts = tuple(map(self._with_facts, parse_reply(text, self.style, self._tools)))
        if self._lead is not None:
            parts = self._lead.kept(parts)
        if self._last is not None:
            message = msgspec.structs.replace(self._last.message, parts=parts)
            entry = msgspec.structs.replace(self._last, message=message, interrupted=is_interrupted)
        else:
            persona = self._turn.chat.playing
            speaker = persona.name if persona is not None else ""
            entry = Entry(Message(Role.ASSISTANT, parts), interrupted=is_interrupted, speaker=speaker, id=self._id, at=self._began)
        return Put(self._turn.chat.called(entry), self._after)

    def _led(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        """Without the name before the words, in a group."""
        if self._lead is None:
            return parts
        led = (msgspec.structs.replace(part, text=self._lead.push(part.text)) if isinstance(part, TextPart) else part for part in parts)
        return tuple(part for part in led if not isinstance(part, TextPart) or part.text)

    def _note(self, parts: tuple[Part, ...]) -> None:
        """When what came. A call is certain when it is whole, but it was begun with what came first, or next after a thought."""
        now = time.perf_counter()
        for part in parts:
            if isinstance(part, ReasoningPart):
                self.first_thought_at = self.first_thought_at or now
                text = part.text if self.thought is None else self.thought.text + part.text
                self.thought = ReasoningPart(text, now - self.first_thought_at)
                self._speaks_from = None
            else:
                self.first_text_at = self.first_text_at or self._speaks_from or now

    def _shown(self, parts: Sequence[Part]) -> str:
        """Words and calls as they were generated, without the white space behind a thought."""
        said = (generated_call(part, self.style) if isinstance(part, ToolCallPart) else visible([part]) for part in parts)
        words = "".join(said) if self._words else "".join(said).lstrip()
        if words:
            self._words.append(words)
        return words

    def _with_facts(self, part: Part) -> Part:
        """A thought with how long it took."""
        if not isinstance(part, ReasoningPart):
            return part
        said = self._last.message.parts if self._last is not None else ()
        known = (each for each in (*said, self.thought) if isinstance(each, ReasoningPart))
        return next((each for each in known if each.text == part.text), part)


class Answering:
    """The calls of the last reply of `chat`, one after the other. attach: makes a picture of a tool known to the engine.

    A stop ends the call under way, and those behind it are not begun.
    """

    def __init__(self, box: Toolbox, chat: Chat, attach: Callable[[RgbImage, str], Awaitable[Attachment]], stop: Stop) -> None:
        self._box = box
        self._chat = chat
        self._attach = attach
        self._stop = stop
        self._results: list[ToolResultPart] = []

    @property
    def message(self) -> Message:
        """What the tools brought: a result for each call, as far as they have run."""
        return Message(Role.TOOL, tuple(self._results))

    async def runs(self) -> AsyncGenerator[ToolRun, None]:
        """Run the calls; each is told when it begins and when it has ended."""
        for call in self._box.calls(self._chat):
            run = ToolRun(call.name or "a call", call.arguments, None, ToolState.RUNNING)
            yield run
            started = time.perf_counter()
            try:
                outcome, state = await self._stop.over(self._box.call(call, self._chat))
            except Stopped:
                outcome, state = ToolOutcome(_STOPPED, is_error=True, is_refused=True), ToolState.REFUSED
            # The words count before the pictures are looked at: what stops that must not lose them.
            self._results.append(ToolResultPart(call.id, outcome.text, outcome.is_error, is_refused=outcome.is_refused))
            with contextlib.suppress(Stopped):
                pictures = await self._stop.over(self._take_pictures(outcome, call.name))
                self._results[-1] = msgspec.structs.replace(self._results[-1], images=pictures)
            elapsed = (time.perf_counter() - started) * 1000
            yield msgspec.structs.replace(run, result=outcome.text, state=state, elapsed_ms=elapsed)
            if self._stop.is_set:
                return

    async def _take_pictures(self, outcome: ToolOutcome, name: str) -> tuple[ImagePart, ...]:
        """The pictures that a tool gave back, as far as the model can see them."""
        taken: list[ImagePart] = []
        for data in outcome.images:
            with contextlib.suppress(ImageError):  # a picture that cannot be read is no reason to lose the words beside it
                picture = await asyncio.to_thread(images.load, data, f"a picture of {name}")
                taken.append((await self._attach(picture, name)).part)
        return tuple(taken)
