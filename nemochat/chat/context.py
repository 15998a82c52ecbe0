"""How the next prompt fills the window: the numbers that the context pane and the line of forgetting show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nemochat.chat.held import Held
from nemochat.chat.previews import Prompt
from nemochat.chat.values import ContextView
from nemochat.domain.chat import Chat
from nemochat.domain.segments import Control, ImageSlot, Segment
from nemochat.errors import WindowError
from nemochat.prompt import nemotron

_TOOL, _CONTEXT, _END = Control("\n<tool>"), Control("\n<context>"), Control("\n\n")


def view_of(chat: Chat, prompt: Prompt, held: Held, *, has_draft: bool, left_out_tokens: int = 0) -> ContextView:
    """The window with the next prompt of `chat` in it, which ends with a draft or not. The numbers are those of what stands, not of what a
    trim would leave; what is read is of what is sent. left_out_tokens: of what the prompt was assembled without."""
    assembled, layout, size, tokens = prompt.assembled, prompt.layout, prompt.size, prompt.tokens
    counts = [tokens[segment] for segment in layout.segments]
    now = prompt.standing()
    kept, trims = now.kept, False
    try:
        fit = prompt.fit()
        kept, trims = fit.kept, fit.trimmed
    except WindowError:
        trims = False  # what does not fit is not sent: the numbers of the untrimmed prompt show by how much
    drafted = {len(size.messages) - 1} if has_draft else set()
    parts = _system_parts(layout.system, counts)
    images = {index: sum(tokens[each] for each in layout.messages[index] if isinstance(each, ImageSlot)) for index in now.kept}
    contexts = {index: _context_tokens(layout.messages[index], tokens) for index in now.kept}
    texts = {index: size.messages[index].tokens - images[index] - contexts[index] for index in now.kept}
    sent = layout.select(kept)
    cached = held.common(sent, tokens)
    return ContextView(
        limit=prompt.limit,
        template=parts["template"] + size.reply_head_tokens,
        system=parts["system"],
        tools=parts["tools"],
        documents=parts["documents"] + sum(contexts.values()),
        history=sum(n for index, n in texts.items() if index not in drafted),
        images=sum(images.values()),
        draft=sum(texts[index] for index in drafted),
        reserve=min(prompt.reserve, prompt.limit),
        cached=cached,
        to_read=sum(tokens[segment] for segment in sent) - cached,
        forgotten=assembled.forgotten(now.forgotten),
        excluded=tuple(index for index, entry in enumerate(chat.entries) if entry.message.excluded),
        forgotten_tokens=left_out_tokens + sum(size.messages[index].tokens for index in now.forgotten),
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
