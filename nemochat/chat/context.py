"""How the next prompt fills the window: the numbers that the context pane and the line of forgetting show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from nemochat.chat.held import Held
from nemochat.chat.previews import Prompt
from nemochat.chat.values import ContextView
from nemochat.domain.chat import Chat
from nemochat.domain.segments import Segment
from nemochat.errors import WindowError
from nemochat.prompt.format import Label, Layout

_PARTS = {Label.SYSTEM: "system", Label.TOOL: "tools", Label.CONTEXT: "documents", Label.PICTURE: "images"}


async def view_of(chat: Chat, prompt: Prompt, held: Held, *, has_draft: bool, left_out_tokens: int = 0) -> ContextView:
    """The window with the next prompt of `chat` in it, which ends with a draft or not. The numbers are those of what stands, not of what a
    trim would leave; what is read is of what is sent. left_out_tokens: of what the prompt was assembled without."""
    assembled, tokens = prompt.assembled, prompt.tokens
    now = await prompt.of_fit(prompt.standing())
    sent, trims = now, False
    try:
        sent = await prompt.sent()
        trims = sent.fit.trimmed
    except WindowError:
        trims = False  # what does not fit is not sent: the numbers of the untrimmed prompt show by how much
    segments = sent.layout.segments
    cached = held.common(segments, tokens)
    return ContextView(
        limit=prompt.limit,
        **_parts(now.layout, tokens, has_draft=has_draft),
        reserve=min(prompt.reserve, prompt.limit),
        cached=cached,
        to_read=sum(tokens[segment] for segment in segments) - cached,
        forgotten=assembled.forgotten(now.fit.forgotten),
        excluded=tuple(index for index, entry in enumerate(chat.entries) if entry.message.excluded),
        forgotten_tokens=left_out_tokens + sum(prompt.size.messages[index].tokens for index in now.fit.forgotten),
        trims=trims,
        contexts=tuple(part for message in sent.layout.conversation.messages for part in message.contexts),
    )


def _parts(layout: Layout, tokens: Mapping[Segment, int], *, has_draft: bool) -> dict[str, int]:
    """Tokens by what they belong to: the fields of a ContextView."""
    parts: Counter[str] = Counter()
    last = len(layout.messages) - 1 if has_draft else -1
    for group in (layout.system, layout.reply_head):
        for piece in group:
            parts[_PARTS.get(piece.label, "template")] += tokens[piece.segment]
    for index, group in enumerate(layout.messages):
        for piece in group:
            parts[_PARTS.get(piece.label, "draft" if index == last else "history")] += tokens[piece.segment]
    return dict(parts)
