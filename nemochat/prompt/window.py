"""What goes into the context window: a pure policy over exact token counts.

A turn is a user's message and everything up to the next one: replies, tool calls, tool results, with their pictures. A greeting before
the first user's message is a turn of its own, and so is each turn of a persona's example dialogues, which stand before it. Turns are kept
or forgotten whole, so a call never loses its result, nor an answer its question; for the same reason a pinned message keeps its whole turn.
System text, tools, contexts and the last turn always stay.

Forgetting happens in blocks, because each change at the front makes the engine evaluate everything behind it again. What goes next is
settled by the front alone, long before it goes, so the prompt that will follow (`following`) can be evaluated beside the present one. A
block is the fewest whole oldest turns that together are at least `BLOCK` of the window. So n blocks are at least n times 30 % of it, all
of which was said since the conversation began: a full evaluation comes at most once per 30 % of the window. A turn that would make a block
larger than `TRIGGER` - `FLOOR` of the room (window minus the reply's reserve) is left to the next one; the bound holds for windows in which
that never happens: where no turn is larger than the difference between the two.

When a block goes is another question. In idle time it goes once the prompt has passed `TRIGGER` of the room, or `EARLY` where memory is
short (`fit_ahead`); when a message is sent, only when the prompt does not fit (`fit`). In between the cut stays where it is. Source: the
trimming that makes peers slow at the limit.

    layout = nemotron.lay_out(conversation)
    counts = await engine.count(layout.segments)
    fit = window.fit(window.measure(layout, counts), limit=4096, reserve=512, first_kept=previous.first_kept)
    kept = msgspec.structs.replace(conversation, messages=tuple(conversation.messages[index] for index in fit.kept))
    segments = nemotron.lay_out(kept).segments
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from nemochat.domain.messages import Role
from nemochat.errors import WindowError
from nemochat.prompt.format import Layout

BLOCK = 0.3
"""The least that goes at once, as a share of the window."""
TRIGGER = 0.9
"""In idle time a block goes when the prompt has passed this share of the room."""
EARLY = 0.8
"""The same when what will be left has been evaluated, and would not be held beside the prompt for much longer."""
FLOOR = 0.4
"""No less than this share of the room is left, unless more has to go so that the prompt fits."""
RESTORE = 0.6
"""Nothing stays forgotten when the whole conversation takes no more than this share of the room: it is far from being cut again."""


class MessageSize(msgspec.Struct, frozen=True):
    """What the policy knows of a message; `tokens` is its exact share of the prompt, pictures included."""

    role: Role
    tokens: int
    pinned: bool = False
    example: bool = False


class PromptSize(msgspec.Struct, frozen=True):
    """The exact sizes, in tokens, of all that a prompt may hold. `system_tokens` covers system text, tools and contexts."""

    system_tokens: int
    messages: tuple[MessageSize, ...]
    reply_head_tokens: int


class Fit(msgspec.Struct, frozen=True):
    """What goes into the prompt. `kept` and `forgotten` are indices of messages, in order.

    first_kept: where the unbroken tail begins; give it back on the next call, and 0 for an edited or forked conversation.
    prompt_tokens: the size of the prompt. freed_tokens: what this call took out that the cut before it had left in.
    """

    kept: tuple[int, ...]
    forgotten: tuple[int, ...]
    first_kept: int
    prompt_tokens: int
    freed_tokens: int

    @property
    def trimmed(self) -> bool:
        """Whether this call took anything out, so that the engine must evaluate the rest anew."""
        return self.freed_tokens > 0


class _Turn(msgspec.Struct, frozen=True):
    """Messages `start` to `stop` (not included), which stay or go together."""

    start: int
    stop: int
    tokens: int
    pinned: bool


class _Block(msgspec.Struct, frozen=True):
    """The turn at which the next decision cuts. tokens: what goes. is_settled: that stays so, whatever is said from now on."""

    end: int
    tokens: int
    is_settled: bool


def measure(layout: Layout, counts: Sequence[int]) -> PromptSize:
    """Add up the engine's counts of `layout.segments`. Raises ValueError when there is not one count per segment."""
    if len(counts) != len(layout.segments):
        raise ValueError(f"{len(counts)} counts for {len(layout.segments)} segments")
    remaining = iter(counts)

    def tokens(group: Sequence[object]) -> int:
        return sum(next(remaining) for _ in group)

    system = tokens(layout.system)
    messages = tuple(
        MessageSize(message.role, tokens(segments), message.pinned, message.example)
        for message, segments in zip(layout.conversation.messages, layout.messages, strict=True)
    )
    return PromptSize(system, messages, tokens(layout.reply_head))


def fit(size: PromptSize, *, limit: int, reserve: int, first_kept: int = 0) -> Fit:
    """Choose the messages that the model sees, so that the prompt plus the reply's `reserve` is at most `limit` tokens.

    `first_kept` is the last decision; one that begins no turn is taken as 0. Once the whole conversation is back under `RESTORE`
    (a larger window, a smaller reserve), nothing stays forgotten. Raises WindowError when what must stay does not fit.
    """
    turns = _turns(size.messages)
    room = limit - reserve
    _check_room(size, turns, limit, reserve)
    before = cut = _standing_cut(size, turns, room, first_kept)
    tokens = _total(size, turns, cut)
    while tokens > room:
        block = _next_block(turns, cut, limit, room)
        cut, tokens = block.end, tokens - block.tokens
    return _fit(size, turns, cut, before)


def fit_ahead(size: PromptSize, *, limit: int, reserve: int, first_kept: int = 0, early: bool = False) -> Fit:
    """The decision in idle time: forget what would have to go soon, so that the rest is evaluated before the user asks.

    `early`: now it costs nothing, and soon it will (see `EARLY`). Whether what must stay fits is not asked.
    """
    turns = _turns(size.messages)
    room = limit - reserve
    before = cut = _standing_cut(size, turns, room, first_kept)
    tokens = _total(size, turns, cut)
    while tokens > (EARLY if early else TRIGGER) * room:
        block = _next_block(turns, cut, limit, room)
        if not block.is_settled or (tokens <= room and tokens - block.tokens < FLOOR * room):
            break
        cut, tokens = block.end, tokens - block.tokens
    return _fit(size, turns, cut, before)


def following(size: PromptSize, *, limit: int, reserve: int, first_kept: int = 0) -> Fit | None:
    """What will be left when the next block has gone, whatever is said until then; None when that is not settled yet or will not do.

    `first_kept` must be the last decision of `fit` or `fit_ahead`.
    """
    turns = _turns(size.messages)
    room = limit - reserve
    cut = _standing_cut(size, turns, room, first_kept)
    block = _next_block(turns, cut, limit, room)
    return _fit(size, turns, block.end, cut) if block.is_settled and _total(size, turns, block.end) <= room else None


def standing(size: PromptSize, *, limit: int, reserve: int, first_kept: int) -> Fit:
    """What the last decision, `first_kept`, leaves in, without forgetting any more; whether that fits is not asked."""
    turns = _turns(size.messages)
    cut = _standing_cut(size, turns, limit - reserve, first_kept)
    return _fit(size, turns, cut, cut)


def _total(size: PromptSize, turns: Sequence[_Turn], cut: int) -> int:
    """Tokens of the prompt without the unpinned turns before `cut`."""
    around = size.system_tokens + size.reply_head_tokens
    return around + sum(turn.tokens for index, turn in enumerate(turns) if index >= cut or turn.pinned)


def _standing_cut(size: PromptSize, turns: Sequence[_Turn], room: int, first_kept: int) -> int:
    """The turn at which the last decision cut; 0 when all fits well again."""
    starts = [turn.start for turn in turns]
    return starts.index(first_kept) if first_kept in starts and _total(size, turns, 0) > RESTORE * room else 0


def _next_block(turns: Sequence[_Turn], cut: int, limit: int, room: int) -> _Block:
    """What goes next, seen from the front alone. A block that the last turn would belong to is not settled: that turn may still grow."""
    most = (TRIGGER - FLOOR) * room
    gone, end = 0, cut
    for index in range(cut, len(turns)):
        tokens = 0 if turns[index].pinned else turns[index].tokens
        if end > cut and gone + tokens > most:
            return _Block(end, gone, is_settled=True)
        if index == len(turns) - 1:
            break
        if turns[index].pinned:
            continue
        gone, end = gone + tokens, index + 1
        if gone >= BLOCK * limit:
            return _Block(end, gone, is_settled=True)
    return _Block(end, gone, is_settled=False)


def _fit(size: PromptSize, turns: Sequence[_Turn], cut: int, before: int) -> Fit:
    kept = tuple(message for index, turn in enumerate(turns) if index >= cut or turn.pinned for message in range(turn.start, turn.stop))
    forgotten = tuple(sorted(set(range(len(size.messages))).difference(kept)))
    tokens = _total(size, turns, cut)
    return Fit(kept, forgotten, turns[cut].start if turns else 0, tokens, _total(size, turns, before) - tokens)


def _turns(messages: Sequence[MessageSize]) -> list[_Turn]:
    """Cut the conversation before each user's message, and where the examples end."""
    starts = [
        index
        for index, message in enumerate(messages)
        if index == 0 or message.role is Role.USER or message.example != messages[index - 1].example
    ]
    return [
        _Turn(start, stop, sum(message.tokens for message in messages[start:stop]), any(message.pinned for message in messages[start:stop]))
        for start, stop in pairwise([*starts, len(messages)])
    ]


def _check_room(size: PromptSize, turns: Sequence[_Turn], limit: int, reserve: int) -> None:
    """Raise WindowError, naming the numbers, when what must stay does not fit."""
    room = limit - reserve
    window = f"the window of {limit} tokens, less {reserve} reserved for the reply, has room for {room}"
    if room <= 0:
        raise WindowError(
            f"{reserve} tokens reserved for the reply leave no room in the window of {limit}.", "Reserve less with a smaller max_tokens."
        )
    around = size.system_tokens + size.reply_head_tokens
    if around > room:
        raise WindowError(
            f"The system text, tools and documents take {around} tokens, and {window}.",
            "Shorten the system text, offer fewer tools or documents, or reserve fewer tokens for the reply.",
        )
    if not turns:
        return
    last = turns[-1]
    largest = max(message.tokens for message in size.messages[last.start : last.stop])
    if around + largest > room:
        raise WindowError(
            f"One message takes {largest} tokens and the system text {around}, and {window}.",
            "Shorten the message, attach fewer pictures, or reserve fewer tokens for the reply.",
        )
    if around + last.tokens > room:
        raise WindowError(
            f"The last question and what followed it take {last.tokens} tokens and the system text {around}, and {window}.",
            "Ask again with shorter text or tool results, or reserve fewer tokens for the reply.",
        )
    pinned = sum(turn.tokens for turn in turns[:-1] if turn.pinned)
    if around + last.tokens + pinned > room:
        raise WindowError(
            f"Pinned turns take {pinned} tokens, the last one {last.tokens} and the system text {around}, and {window}.",
            "Unpin a message, shorten the new one, or reserve fewer tokens for the reply.",
        )
