"""From a chat to what the prompt is made of: the persona's texts, its example dialogues, the messages that are shown, the notes between.

Example dialogues stand before the first message, so they are the first that the window forgets. What is said again behind the history,
and the author's note, are put with a message of the user; they wander as the chat grows, so a turn reads anew what stands behind the place
where they were.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nemochat.domain.chat import Chat
from nemochat.domain.messages import Conversation, Message, Role, TextPart
from nemochat.domain.personas import AuthorNote, UserProfile
from nemochat.personas import examples, prompt_text
from nemochat.prompt.window import Fit


class Assembled(msgspec.Struct, frozen=True):
    """A conversation to be laid out. sources: for each of its messages the index of the chat's entry, None for an example.

    first_kept: where the window's unbroken tail begins, as an index into the messages. left_out: entries before all of these, which were
    forgotten long ago.
    """

    conversation: Conversation
    sources: tuple[int | None, ...]
    first_kept: int
    left_out: tuple[int, ...] = ()

    def indices(self, messages: Sequence[int]) -> tuple[int, ...]:
        """The chat's entries behind these messages; examples are left out."""
        found = (self.sources[index] for index in messages)
        return tuple(index for index in found if index is not None)

    def forgotten(self, messages: Sequence[int]) -> tuple[int, ...]:
        """The chat's entries that the model does not see when these messages are forgotten."""
        return (*self.left_out, *self.indices(messages))

    def trimmed(self, chat: Chat, fit: Fit) -> Chat:
        """The chat with the window's decision in it."""
        if self.left_out and not self.conversation.messages:
            return chat
        n_examples = sum(source is None for source in self.sources)
        is_said = n_examples < fit.first_kept < len(self.sources)
        source = self.sources[fit.first_kept] if is_said else None
        examples_gone = chat.examples_gone if self.left_out else min(fit.first_kept, n_examples)
        return msgspec.structs.replace(chat, examples_gone=examples_gone, first_kept=source or 0)


def assemble(chat: Chat, start: int = 0) -> Assembled:
    """What the model is to read, before the window decides what fits. start: so many messages, forgotten long ago, are left out."""
    shown, left_out = chat.shown[start:], chat.shown[:start]
    messages = [chat.entries[index].message for index in shown]
    system, note = chat.frame.system, chat.note
    dialogues: tuple[Message, ...] = ()
    if chat.persona is not None:
        persona, user, seed = chat.persona, chat.user or UserProfile(), str(chat.seed)
        macros = prompt_text.macros_of(persona, user, seed=seed)
        system = prompt_text.system_text(persona, user, system, seed=seed)
        if not start:
            dialogues = tuple(message for block in examples.blocks(persona, macros) for message in block)
        messages = _with_note(messages, prompt_text.post_history(persona, "", macros), 0)
        note = None if note is None else AuthorNote(macros.expand(note.text), note.depth)
        if own := prompt_text.character_note(persona, macros):
            messages = _with_note(messages, own.text, own.depth)
    if note is not None:
        messages = _with_note(messages, note.text, note.depth)
    return Assembled(
        conversation=msgspec.structs.replace(chat.frame, system=system, messages=(*dialogues, *messages)),
        sources=(*(None for _ in dialogues), *shown),
        first_kept=len(dialogues) + chat.first_shown - start if chat.first_kept else min(chat.examples_gone, len(dialogues)),
        left_out=left_out,
    )


def _with_note(messages: list[Message], text: str, depth: int) -> list[Message]:
    """With `text` at the end of the user's message that stands `depth` messages before the end, or of the nearest before that."""
    if not text.strip():
        return messages
    users = [index for index, message in enumerate(messages) if message.role is Role.USER]
    if not users:
        return messages
    at = max((index for index in users if index < max(1, len(messages) - depth)), default=users[0])
    message = messages[at]
    said = "\n\n" if message.text.strip() else ""
    noted = msgspec.structs.replace(message, parts=(*message.parts, TextPart(f"{said}{text.strip()}")))
    return [*messages[:at], noted, *messages[at + 1 :]]
