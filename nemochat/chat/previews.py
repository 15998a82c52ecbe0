"""The prompt, made in one place: what is sent, and what of it is known before it is sent.

A preview is the prompt with the draft as its last message, rendered as that of a turn is, and then cut where the draft is still open. So
whatever was evaluated of a preview is the beginning of what is sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from nemochat.chat.assembly import Assembled, assemble
from nemochat.domain.chat import Chat
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.segments import Segment
from nemochat.errors import WindowError
from nemochat.prompt import nemotron, window
from nemochat.prompt.nemotron import Layout
from nemochat.prompt.window import Fit, PromptSize

Counter = Callable[[Sequence[Segment]], Awaitable[list[int]]]
"""Exact tokens of each segment."""

EMPTY = Message(Role.USER, ())
"""A draft of which nothing is known but that the user will say something."""


class Prompt(msgspec.Struct, frozen=True):
    """A prompt with all of its sizes, before the window decides what of it is sent. limit: the window; reserve: of it, for the reply."""

    assembled: Assembled
    layout: Layout
    size: PromptSize
    tokens: Mapping[Segment, int]
    limit: int
    reserve: int

    @classmethod
    async def of(
        cls, chat: Chat, count: Counter, limit: int, reserve: int, *, continues: bool = False, speaks: Role = Role.ASSISTANT, start: int = 0
    ) -> Prompt:
        """The prompt of a chat as it stands; `continues` and `speaks` as in `nemotron.lay_out`, `start` as in `assemble`."""
        assembled = assemble(chat, start)
        layout = nemotron.lay_out(assembled.conversation, continue_reply=continues, speaks=speaks)
        counts = await count(layout.segments)
        tokens = dict(zip(layout.segments, counts, strict=True))
        return cls(assembled, layout, window.measure(layout, counts), tokens, limit, reserve)

    @property
    def room(self) -> int:
        """Tokens that the prompt may take."""
        return self.limit - self.reserve

    def fit(self) -> Fit:
        """What is sent. Raises WindowError when what must stay does not fit."""
        return window.fit(self.size, limit=self.limit, reserve=self.reserve, first_kept=self.assembled.first_kept)

    def fit_ahead(self, *, early: bool) -> Fit:
        """What is to stay when there is time to read it; `early` as in `window.fit_ahead`."""
        return window.fit_ahead(self.size, limit=self.limit, reserve=self.reserve, first_kept=self.assembled.first_kept, early=early)

    def standing(self) -> Fit:
        """What the last decision left."""
        return window.standing(self.size, limit=self.limit, reserve=self.reserve, first_kept=self.assembled.first_kept)

    def following(self) -> Fit | None:
        """What will be left when the next block has gone, if that is settled."""
        return window.following(self.size, limit=self.limit, reserve=self.reserve, first_kept=self.assembled.first_kept)

    def segments(self, fit: Fit) -> tuple[Segment, ...]:
        """The segments that are sent."""
        return self.layout.select(fit.kept)


class Preview(msgspec.Struct, frozen=True):
    """The next prompt as far as it is known. tokens: of each of its segments. filled: the share of the room that it takes.

    now: as the window stands, empty when it will not be sent so because it does not fit. following: after what the window forgets next,
    empty when that is not known.
    """

    now: tuple[Segment, ...]
    following: tuple[Segment, ...]
    tokens: Mapping[Segment, int]
    filled: float

    @property
    def both(self) -> int:
        """Tokens of the two together, what both begin with taken once."""
        same = next((at for at, (one, other) in enumerate(zip(self.now, self.following, strict=False)) if one != other), len(self.now))
        return sum(self.tokens[segment] for segment in (*self.now, *self.following[same:]))


def known_of(draft: Message) -> Message:
    """A draft without the word at its end, which may still grow, and without the white space before that, with which it may merge.

    A word with white space behind it is known.
    """
    text = draft.text
    words = text.rsplit(maxsplit=1)
    known = text.strip() if text[-1:].isspace() else words[0].strip() if len(words) > 1 else ""
    return Message(draft.role, (*draft.images, *((TextPart(known),) if known else ())))


def preview(prompt: Prompt, draft: Message) -> Preview:
    """What is known of a prompt whose last message is `draft`: what is `known_of` one, with what stands beside it."""
    last = prompt.layout.messages[-1]
    # The turn's marker, the pictures one a line, the contexts and their tags, and the text, which a note may follow.
    n_known = 1 + 2 * len(draft.images) + 3 * len(draft.contexts) + bool(draft.text)
    open_end = len(last) - n_known + len(prompt.layout.reply_head)
    standing = prompt.standing()
    fits = standing.prompt_tokens <= prompt.room
    try:
        then = prompt.following() if fits else prompt.fit()
    except WindowError:
        then = None
    return Preview(
        now=prompt.segments(standing)[:-open_end] if fits else (),
        following=prompt.segments(then)[:-open_end] if then is not None else (),
        tokens=prompt.tokens,
        filled=standing.prompt_tokens / prompt.room if prompt.room > 0 else 1.0,
    )
