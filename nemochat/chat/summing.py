"""What a model is asked when it is to sum up a conversation, or to name it, and what becomes of its answer.

For a summary it is asked behind the last of the messages that it sums up, in the prompt as it stands: all of that is in the KV cache
already. An earlier summary stands before them, and is brought up to date.
"""

from __future__ import annotations

import re

import msgspec

from nemochat.chat.assembly import Assembled, assemble
from nemochat.chat.previews import Prompt
from nemochat.domain.chat import Chat
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.summaries import LONGEST, Summary
from nemochat.personas.lore import Lore

KEPT = 0.2
"""When the user wants a summary now, the newest turns stay as they are that take no more than this share of the room together, nor than a
third of what was said."""
MOST = 256
"""Messages that are summed up at once."""
_LEAST_TOKENS, _MOST_TOKENS, _SHARE = 32, 400, 1 / 8
_QUESTION = (
    "Pause here. Sum up everything above in at most {words} words, so that one can go on from the summary alone: who is there, what has "
    "happened, what was agreed, what is still open, and names and facts that matter. {earlier}Write in the language of the conversation, "
    "as an observer. Answer with the summary alone."
)
_EARLIER = "It takes the place of the earlier summary, so keep what still matters of that. "
TITLE_QUESTION = "Give this conversation a title of at most six words. Answer with the title alone."
TITLE_TOKENS = 24
"""The longest answer to that."""
_TITLE_CHARACTERS = 60
_SENTENCE = re.compile("[.!?\N{HORIZONTAL ELLIPSIS}\u3002\uff01\uff1f][\"'\u201d\u2019*)]*")


def tokens_of(limit: int) -> int:
    """How long a summary may be in a window of `limit` tokens."""
    return round(min(max(_SHARE * limit, _LEAST_TOKENS), _MOST_TOKENS))


def asked_of(chat: Chat, until: int, words: str, limit: int, lore: Lore) -> Assembled:
    """What stands before the entry `until`, as the prompt has it, with all that no summary tells of yet, and the question.

    words: what the user wants to be kept above all. limit: the window, in tokens. lore: of the conversation.
    """
    whole = assemble(msgspec.structs.replace(chat, first_kept=0), lore=lore, opens=None)  # nobody of a group speaks
    messages, sources = whole.conversation.messages, whole.sources
    n_examples = sum(message.example for message in messages)
    start = n_examples if chat.first_kept else min(chat.examples_gone, n_examples)
    stop = next((at for at, source in enumerate(sources) if source is not None and source >= until), len(messages))
    question = _QUESTION.format(words=round(0.6 * tokens_of(limit)), earlier=_EARLIER if whole.summary is not None else "")
    asking = Message(Role.USER, (TextPart(f"{question}{f' Keep above all: {words.strip()}' if words.strip() else ''}"),))
    return Assembled(
        conversation=msgspec.structs.replace(whole.conversation, messages=(*messages[start:stop], asking)),
        sources=(*sources[start:stop], None),
        first_kept=0,
    )


def shorter(chat: Chat, prompt: Prompt) -> int | None:
    """Where what is summed up has to end so that such a prompt fits: index of an entry. None when not even one turn does."""
    over, begins = sum(prompt.counts) - prompt.room, chat.shown[chat.summed]
    sized = list(zip(prompt.assembled.sources, prompt.size.messages, strict=True))
    for source, size in reversed(sized[:-1]):
        over -= size.tokens
        if source is None or source <= begins:
            return None
        if over <= 0 and size.role is Role.USER:
            return source
    return None


def kept_from(prompt: Prompt) -> int:
    """Index of the entry with which the newest turns begin that are not summed up when the user wants it now, the last one among them."""
    said = [(at, size) for at, size in zip(prompt.assembled.sources, prompt.size.messages, strict=True) if at is not None]
    left = min(KEPT * prompt.room, sum(size.tokens for _, size in said) / 3)
    found = 0
    for at, size in reversed(said):
        left -= size.tokens
        if left < 0 and found:
            break
        if size.role is Role.USER:
            found = at
    return found


def summary_of(chat: Chat, until: int, prompt: Prompt, text: str) -> Summary:
    """The summary that was written as an answer to `prompt`."""
    earlier, summed = chat.summary, chat.summed
    shown = [index for index in chat.shown if index < until]
    said = zip(prompt.assembled.sources, prompt.size.messages, strict=True)
    tokens = sum(size.tokens for source, size in said if source is not None and source >= shown[summed])
    tokens += earlier.tokens if earlier is not None and summed else 0
    return Summary(text, tuple(chat.entries[index].id for index in shown), tokens)


def as_summary(text: str, *, is_cut: bool) -> str:
    """What a model answered. is_cut: it was not finished, so what stands behind its last sentence goes."""
    text = text.strip()[:LONGEST]
    end = max((found.end() for found in _SENTENCE.finditer(text)), default=0) if is_cut else len(text)
    return text[:end] if end > len(text) // 2 else text


def as_title(text: str) -> str:
    """The first line of what a model answered when it was asked for a title, without its quotes and marks."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = line.removeprefix("Title:").strip(" \t\"'“”*#.")
    return line if len(line) <= _TITLE_CHARACTERS else line[: _TITLE_CHARACTERS - 1].rstrip() + "…"
