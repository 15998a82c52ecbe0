"""How the next prompt fills the window: the numbers that the context pane and the line of forgetting show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from nemochat.chat.held import Held
from nemochat.chat.previews import Prompt, Sent
from nemochat.chat.values import ContextView
from nemochat.domain.chat import Chat
from nemochat.engine.protocol import Counts
from nemochat.errors import WindowError
from nemochat.personas.lore import Scan
from nemochat.prompt.format import Label

_PARTS = {Label.SYSTEM: "system", Label.MEMORY: "memory", Label.TOOL: "tools", Label.CONTEXT: "documents", Label.PICTURE: "images"}


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
