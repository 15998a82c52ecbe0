"""How the next prompt fills the window: tokens of its segments, what of it the KV cache holds, and the numbers that are shown of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, pairwise

import msgspec

from nemochat.chat.previews import Prompt, Sent
from nemochat.chat.values import ContextView
from nemochat.domain.chat import Chat
from nemochat.domain.segments import ImageSlot, Plain, Segment
from nemochat.engine.protocol import Asked, Counts, Engine, Place, Prepared
from nemochat.errors import WindowError
from nemochat.personas.lore import Scan
from nemochat.prompt.format import Label

_MOST_UNUSED = 4096
"""So many counts that no present prompt holds are kept: the prompts that one conversation has, now and after forgetting, take turns."""

_Place = tuple[Segment, Segment, bool]
"""What stands before a segment, the segment, and whether there is a picture in the prompt."""


class Counting:
    """Counts the segments of one prompt after the other; only what is not known from those before is asked of the engine.

    What stands before a segment belongs to what is known: with some vocabularies a text has one token more behind a special token. So does
    whether there is a picture in the prompt: a server may be given such a one in another way.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[_Place, int] = {}

    async def __call__(self, segments: Sequence[Segment], asked: Asked | None = None) -> list[int]:
        """Tokens of each segment of a prompt. The first one is always asked, because a begin token counts with whatever comes first.

        asked: what was laid out. An engine that lays it out by itself is asked for the whole: a segment is worth nothing to it.
        """
        if asked is not None and self._engine.info is not None and self._engine.info.takes_messages:
            return await self._engine.count(segments, asked)
        picture = next((segment for segment in segments if isinstance(segment, ImageSlot)), None)
        places = [(before, segment, picture is not None) for before, segment in pairwise(segments)]
        unknown = tuple(dict.fromkeys(place for place in places if place not in self._known))
        begins = (segments[0],) if picture is None else (segments[0], picture)
        counts = await self._engine.count((*begins, *chain.from_iterable(place[:2] for place in unknown)))
        known = self._known | dict(zip(unknown, counts[len(begins) + 1 :: 2], strict=True))
        is_large = len(known) > 2 * len(segments) + _MOST_UNUSED
        self._known = {place: known[place] for place in places} if is_large else known
        return [counts[0], *(known[place] for place in places)]


_PARTS = {Label.SYSTEM: "system", Label.MEMORY: "memory", Label.TOOL: "tools", Label.CONTEXT: "documents", Label.PICTURE: "images"}


class _Evaluated(msgspec.Struct, frozen=True):
    """A prompt, of which the first `tokens` are there; None for all of it."""

    segments: tuple[Segment, ...]
    tokens: int | None = None


class Held:
    """The prompts that were evaluated, by their place."""

    def __init__(self) -> None:
        self._places: dict[Place, _Evaluated] = {}

    def prepared(self, place: Place, segments: tuple[Segment, ...], done: Prepared, expected: int) -> None:
        """A prompt was evaluated ahead, in whole or in part; `expected` of its tokens were thought to be there.

        The engine keeps as many prompts as it has room for. Where less was there than thought, it has dropped some, and nobody knows which.
        """
        tokens = done.reused_tokens + done.evaluated_tokens
        if not tokens:
            return  # it was ended before it began
        was_right = done.reused_tokens + 1 >= expected  # the last token is always evaluated
        self._places = {**(self._places if was_right else {}), place: _Evaluated(segments, tokens)}

    def replied(self, conversation: str, prompt: tuple[Segment, ...], text: str) -> None:
        """A reply was made; it went on from the place that began most like its prompt, which is the present one now."""
        present, following = Place(conversation), Place(conversation, is_next=True)
        now, then = self._places.get(present), self._places.get(following)
        if then is not None and (now is None or _same(prompt, then.segments) > _same(prompt, now.segments)):
            del self._places[following]
        self._places[present] = _Evaluated((*prompt, Plain(text.strip())))

    def forget(self, conversation: str) -> None:
        """A conversation is held no more."""
        self._places = {place: held for place, held in self._places.items() if place.conversation != conversation}

    def clear(self) -> None:
        """Nothing is held any more: the engine's process has ended."""
        self._places = {}

    def common(self, prompt: Sequence[Segment], tokens: Mapping[Segment, int]) -> int:
        """Tokens of the longest beginning of `prompt` that is held. The engine compares token by token and may find a few more."""
        return max((_common(prompt, held, tokens) for held in self._places.values()), default=0)


def _same(prompt: Sequence[Segment], held: Sequence[Segment]) -> int:
    """How many segments both begin with."""
    pairs = enumerate(zip(prompt, held, strict=False))
    return next((index for index, (mine, theirs) in pairs if mine != theirs), min(len(prompt), len(held)))


def _common(prompt: Sequence[Segment], held: _Evaluated, tokens: Mapping[Segment, int]) -> int:
    same = _same(prompt, held.segments)
    total = sum(tokens[segment] for segment in prompt[:same])
    if held.tokens is None:
        return total
    if same == len(held.segments) - 1 and same < len(prompt):
        mine, theirs = prompt[same], held.segments[same]
        if isinstance(mine, Plain) and isinstance(theirs, Plain) and mine.text.startswith(theirs.text):
            return min(max(total, held.tokens), total + tokens[mine])  # text that is being typed, and has grown since
    return min(total, held.tokens)


async def view_of(
    chat: Chat,
    prompt: Prompt,
    held: Held | None,
    *,
    has_draft: bool,
    left_out_tokens: int = 0,
    counts: Counts = Counts.EXACT,
    lore: Scan,
    switches: Mapping[str, int],
) -> ContextView:
    """The window with the next prompt of `chat` in it, which ends with a draft or not. The numbers are those of what stands, not of what a
    trim would leave; what is read is of what is sent. held: None where nobody knows. left_out_tokens: of what the prompt was assembled
    without. counts: where they come from. lore, switches: as there."""
    assembled = prompt.assembled
    now = await prompt.of_fit(prompt.standing())
    sent, trims = now, False
    try:
        sent = await prompt.sent()
        trims = sent.fit.trimmed
    except WindowError:
        trims = False  # what does not fit is not sent: the numbers of the untrimmed prompt show by how much
    summary = chat.summary if assembled.summary is not None else None
    said = (message for index, message in zip(sent.fit.kept, sent.layout.conversation.messages, strict=True) if index != assembled.summary)
    cached = held.common(sent.layout.segments, prompt.tokens) if held is not None else 0
    return ContextView(
        limit=prompt.limit,
        **_parts(now, assembled.summary, has_draft=has_draft),
        reserve=min(prompt.reserve, prompt.limit),
        cached=cached,
        to_read=sent.tokens - cached,
        forgotten=assembled.forgotten(now.fit.forgotten),
        excluded=tuple(index for index, entry in enumerate(chat.entries) if entry.message.excluded),
        forgotten_tokens=left_out_tokens
        + sum(prompt.size.messages[index].tokens for index in now.fit.forgotten)
        + (summary.tokens if summary is not None else 0),
        summed=len(assembled.summed),
        summary_state=_why_not(chat),
        trims=trims,
        counts=counts,
        tells_cached=held is not None,
        contexts=tuple(part for message in said for part in message.contexts),
        lore=lore,
        switches=switches,
    )


def _why_not(chat: Chat) -> str:
    """Why no summary is read though one was written, "" where there is nothing to say."""
    if chat.summary is None:
        return "summary out of date: what it told of was changed" if chat.summaries else ""
    return "" if chat.summary.is_on else "summary off"


def _parts(sent: Sent, summary: int | None, *, has_draft: bool) -> dict[str, int]:
    """Tokens by what they belong to: the fields of a ContextView. summary: index of the message that is one, before the window cut."""
    layout, parts = sent.layout, Counter[str]()
    last = len(layout.messages) - 1 if has_draft else -1
    places = ["template"] * len(layout.system)
    for index, (at, group) in enumerate(zip(sent.fit.kept, layout.messages, strict=True)):
        places += ["draft" if index == last else "summary" if at == summary else "history"] * len(group)
    places += ["template"] * len(layout.reply_head)
    for place, piece, tokens in zip(places, layout.pieces, sent.counts, strict=True):
        parts[place if place == "summary" else _PARTS.get(piece.label, place)] += tokens
    return dict(parts)
