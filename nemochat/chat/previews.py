"""The prompt, made in one place: what is sent, and what of it is known before it is sent.

A preview is the prompt with the draft as its last message, rendered as that of a turn is, and then cut where the draft is still open. So
whatever was evaluated of a preview is the beginning of what is sent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import regex

from nemochat.chat.assembly import Assembled
from nemochat.domain.messages import Conversation, Message, Role, TextPart
from nemochat.domain.segments import Plain, Segment
from nemochat.engine.protocol import Asked
from nemochat.errors import WindowError
from nemochat.prompt import window
from nemochat.prompt.format import ChatFormat, Label, Layout, Piece
from nemochat.prompt.window import Fit, PromptSize

Counter = Callable[[Sequence[Segment], Asked], Awaitable[list[int]]]
"""Tokens of each segment of what was laid out (see `Engine.count`)."""

_NEAR = 64
"""So much of the end of a text is looked at for where it is cut, in code points: a key costs the same however long the text is."""
_CHARACTER = regex.compile(r"\X")
"""What a reader calls a character, with its marks and whatever is joined to it."""
_UNSPACED = regex.compile(r"[\p{Line_Break=ID}\p{Line_Break=CJ}\p{Line_Break=NS}\p{Line_Break=SA}]")
"""Of a script that has no spaces between words, by how Unicode breaks its lines: ideographs, kana, and the scripts of South East Asia."""
_BEGINNING = regex.compile(r"(?<=\p{GCB=Other})[\p{GCB=Other}--\p{Extended_Pictographic}]", regex.VERSION1)

EMPTY = Message(Role.USER, ())
"""A draft of which nothing is known but that the user will say something."""


class Sent(msgspec.Struct, frozen=True):
    """What the window leaves in, laid out, and as messages. counts: tokens of each of its segments."""

    fit: Fit
    layout: Layout
    counts: Sequence[int]
    asked: Asked

    @property
    def tokens(self) -> int:
        """Of all of it."""
        return sum(self.counts)


class Prompt(msgspec.Struct, frozen=True):
    """A prompt with all of its sizes, before the window decides what of it is sent. limit: the window; reserve: of it, for the reply.

    What is sent is the conversation of the messages that stay, laid out by itself: that is what the format would say of it. counts: tokens
    of each segment; tokens: of all segments that were laid out so far, whatever stood before them. asked: the whole of it as messages.
    """

    assembled: Assembled
    asked: Asked
    layout: Layout
    counts: Sequence[int]
    size: PromptSize
    tokens: Mapping[Segment, int]
    limit: int
    reserve: int
    lay_out: Callable[[Conversation], Awaitable[tuple[Layout, list[int]]]]

    @classmethod
    async def of(
        cls,
        assembled: Assembled,
        format_: ChatFormat,
        count: Counter,
        limit: int,
        reserve: int,
        *,
        continues: bool = False,
        speaks: Role = Role.ASSISTANT,
        thinks: bool | None = None,
    ) -> Prompt:
        """The prompt of what was assembled; `continues`, `speaks` and `thinks` as in `ChatFormat.lay_out`."""
        tokens: dict[Segment, int] = {}
        asked = Asked(assembled.conversation, continues=continues, speaks=speaks, thinks=thinks)
        last: tuple[Conversation, Layout, list[int]] | None = None

        async def lay_out(conversation: Conversation) -> tuple[Layout, list[int]]:
            # What is left of a prompt that is cut is asked for again when its turn comes.
            nonlocal last
            if last is None or last[0] != conversation:
                layout = await format_.lay_out(conversation, continue_reply=continues, speaks=speaks, thinks=thinks)
                if assembled.opening:
                    head = (*layout.reply_head, Piece(Plain(assembled.opening), Label.TEMPLATE))
                    layout = msgspec.structs.replace(layout, reply_head=head)
                counts = await count(layout.segments, msgspec.structs.replace(asked, conversation=conversation))
                tokens.update(zip(layout.segments, counts, strict=True))
                last = conversation, layout, counts
            return last[1:]

        layout, counts = await lay_out(assembled.conversation)
        return cls(assembled, asked, layout, counts, window.measure(layout, counts), tokens, limit, reserve, lay_out)

    @property
    def room(self) -> int:
        """Tokens that the prompt may take."""
        return self.limit - self.reserve

    async def sent(self) -> Sent:
        """What is sent. Raises WindowError when what must stay does not fit."""
        over = 0
        while True:
            sent = await self.of_fit(window.fit(self.size, limit=self.limit, reserve=self.reserve + over, first_kept=self._first_kept))
            if sent.tokens <= self.room:
                return sent
            # Some formats write more around what is left, the system text into the first message say: the next block has to go.
            over = self.room - sent.fit.prompt_tokens + 1

    def whole(self) -> Sent:
        """All of it, whatever the window would forget."""
        kept, tokens = tuple(range(len(self.size.messages))), sum(self.counts)
        return Sent(Fit(kept, (), 0, tokens, 0), self.layout, self.counts, self.asked)

    async def of_fit(self, fit: Fit) -> Sent:
        """The prompt that a decision of the window leaves."""
        if len(fit.kept) == len(self.size.messages):
            return Sent(fit, self.layout, self.counts, self.asked)
        whole = self.assembled.conversation
        kept = msgspec.structs.replace(whole, messages=tuple(whole.messages[index] for index in fit.kept))
        layout, counts = await self.lay_out(kept)
        return Sent(fit, layout, counts, msgspec.structs.replace(self.asked, conversation=kept))

    def fit_ahead(self, *, early: bool) -> Fit:
        """What is to stay when there is time to read it; `early` as in `window.fit_ahead`."""
        return window.fit_ahead(self.size, limit=self.limit, reserve=self.reserve, first_kept=self._first_kept, early=early)

    def standing(self) -> Fit:
        """What the last decision left."""
        return window.standing(self.size, limit=self.limit, reserve=self.reserve, first_kept=self._first_kept)

    def following(self) -> Fit | None:
        """What will be left when the next block has gone, if that is settled."""
        return window.following(self.size, limit=self.limit, reserve=self.reserve, first_kept=self._first_kept)

    @property
    def _first_kept(self) -> int:
        return self.assembled.first_kept


class Preview(msgspec.Struct, frozen=True):
    """The next prompt as far as it is known. tokens: of each of its segments. filled: the share of the room that it takes.

    now: as the window stands, empty when it will not be sent so because it does not fit. following: after what the window forgets next,
    empty when that is not known. asked_now, asked_following: the same as messages, up to the one that is being written.
    """

    now: tuple[Segment, ...]
    following: tuple[Segment, ...]
    tokens: Mapping[Segment, int]
    filled: float
    asked_now: Asked | None = None
    asked_following: Asked | None = None

    @property
    def both(self) -> int:
        """Tokens of the two together, what both begin with taken once."""
        same = next((at for at, (one, other) in enumerate(zip(self.now, self.following, strict=False)) if one != other), len(self.now))
        return sum(self.tokens[segment] for segment in (*self.now, *self.following[same:]))


def known_of(draft: Message) -> Message:
    """A draft without the word at its end, which may still grow, and without the white space before that, with which it may merge.

    A word with white space behind it is known. Where words are written without spaces (Chinese, Japanese, Thai, Khmer, Lao, ...), all is
    known but the character at the end, to which marks may still be added; never half a character.
    """
    known = _known(draft.text)
    return Message(draft.role, (*draft.images, *((TextPart(known),) if known else ())))


def _known(text: str) -> str:
    if not text or text[-1].isspace():
        return text.strip()
    word = len(text) - len(text[-_NEAR:].rsplit(maxsplit=1)[-1])
    begins = word == 0 or text[word - 1].isspace()
    # In the middle of a long word, one looks from where a character begins for certain.
    start = word if begins else next((found.start() for found in _BEGINNING.finditer(text, word)), len(text))
    ends = [found.end() for found in _CHARACTER.finditer(text, start) if _UNSPACED.match(found[0])]
    cut = next((end for end in reversed(ends) if end < len(text)), None)
    if cut is None:
        cut = word if begins else len(text) - len(text.rsplit(maxsplit=1)[-1])
    return text[:cut].strip()


async def preview(prompt: Prompt, draft: Message) -> Preview:
    """What is known of a prompt whose last message is `draft`: what is `known_of` one, with what stands beside it."""
    standing = await prompt.of_fit(prompt.standing())
    fits = standing.tokens <= prompt.room
    then: Sent | None = None
    if not fits:
        with contextlib.suppress(WindowError):
            then = await prompt.sent()
    elif (following := prompt.following()) is not None:
        then = await prompt.of_fit(following)
    parts = len(draft.parts)  # a note may stand behind them
    return Preview(
        now=standing.layout.known(parts) if fits else (),
        following=then.layout.known(parts) if then is not None else (),
        tokens=prompt.tokens,
        filled=standing.tokens / prompt.room if prompt.room > 0 else 1.0,
        asked_now=_up_to(standing.asked, parts),
        asked_following=_up_to(then.asked, parts) if then is not None else None,
    )


def _up_to(asked: Asked, parts: int) -> Asked:
    """What is asked with the first `parts` parts of its last message alone, without that message where it has none."""
    *before, last = asked.conversation.messages
    written = [msgspec.structs.replace(last, parts=last.parts[:parts])] if parts else []
    return msgspec.structs.replace(asked, conversation=msgspec.structs.replace(asked.conversation, messages=(*before, *written)))
