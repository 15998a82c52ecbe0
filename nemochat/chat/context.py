"""How the next prompt fills the window: the numbers that the context pane and the line of forgetting show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from nemochat.chat.assembly import assemble
from nemochat.chat.lore import with_lore
from nemochat.chat.values import ContextView
from nemochat.domain.chat import Chat, Entry
from nemochat.domain.messages import Message
from nemochat.domain.segments import Control, ImageSlot, Segment
from nemochat.errors import WindowError
from nemochat.prompt import nemotron, window

Counter = Callable[[Sequence[Segment]], Awaitable[list[int]]]
"""Exact tokens of each segment."""

_TOOL, _CONTEXT, _END = Control("\n<tool>"), Control("\n<context>"), Control("\n\n")


async def view_of(chat: Chat, draft: Message | None, limit: int, reserve: int, held: Sequence[Segment], count: Counter) -> ContextView:
    """The window with `draft` as the next message; `held` is what the KV cache holds."""
    whole = chat.added(Entry(with_lore(chat, draft))) if draft is not None else chat
    assembled = assemble(whole)
    layout = nemotron.lay_out(assembled.conversation)
    counts = await count(layout.segments)
    size = window.measure(layout, counts)
    tokens = dict(zip(layout.segments, counts, strict=True))
    now = window.standing(size, limit=limit, reserve=reserve, first_kept=assembled.first_kept)
    kept, trims = now.kept, False
    try:
        fit = window.fit(size, limit=limit, reserve=reserve, first_kept=assembled.first_kept)
        kept, trims = fit.kept, fit.trimmed
    except WindowError:
        trims = False  # what does not fit is not sent: the numbers of the untrimmed prompt show by how much
    drafted = {len(size.messages) - 1} if draft is not None else set()
    parts = _system_parts(layout.system, counts)
    images = {index: sum(tokens[each] for each in layout.messages[index] if isinstance(each, ImageSlot)) for index in now.kept}
    contexts = {index: _context_tokens(layout.messages[index], tokens) for index in now.kept}
    texts = {index: size.messages[index].tokens - images[index] - contexts[index] for index in now.kept}
    prompt = layout.select(kept)
    cached = _common(prompt, held, tokens)
    return ContextView(
        limit=limit,
        template=parts["template"] + size.reply_head_tokens,
        system=parts["system"],
        tools=parts["tools"],
        documents=parts["documents"] + sum(contexts.values()),
        history=sum(n for index, n in texts.items() if index not in drafted),
        images=sum(images.values()),
        draft=sum(texts[index] for index in drafted),
        reserve=min(reserve, limit),
        cached=cached,
        to_read=sum(tokens[segment] for segment in prompt) - cached,
        forgotten=assembled.indices(now.forgotten),
        excluded=tuple(index for index, entry in enumerate(chat.entries) if entry.message.excluded),
        forgotten_tokens=sum(size.messages[index].tokens for index in now.forgotten),
        trims=trims,
        contexts=tuple(part for index in kept for part in assembled.conversation.messages[index].contexts),
    )


def _system_parts(segments: Sequence[Segment], counts: Sequence[int]) -> dict[str, int]:
    """Tokens of the System turn by what they belong to; `counts` begins with those of its segments."""
    parts = {"template": 0, "system": 0, "tools": 0, "documents": 0}
    part = "template"
    for segment, tokens in zip(segments, counts, strict=False):
        if isinstance(segment, Control):
            part = {_TOOL: "tools", _CONTEXT: "documents", _END: "template"}.get(segment, part)
        parts["system" if part == "template" and not isinstance(segment, Control) else part] += tokens
    return parts


def _context_tokens(segments: Sequence[Segment], tokens: Mapping[Segment, int]) -> int:
    """Tokens of the contexts in a message, their tags among them."""
    opens = [index for index, segment in enumerate(segments) if segment == nemotron.CONTEXT_OPEN]
    return sum(tokens[segment] for index in opens for segment in segments[index : index + 3])


def _common(prompt: Sequence[Segment], held: Sequence[Segment], tokens: dict[Segment, int]) -> int:
    """Tokens of the longest common beginning, whole segments only: the engine compares token by token and may find a few more."""
    total = 0
    for mine, theirs in zip(prompt, held, strict=False):
        if mine != theirs:
            break
        total += tokens[mine]
    return total
