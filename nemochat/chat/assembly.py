"""From a chat to what the prompt is made of: the persona's texts, its example dialogues, the messages that are shown, the notes between.

Example dialogues stand before the first message, so they are the first that the window forgets. What is said again behind the history,
and the author's note, are put with a message of the user; they wander as the chat grows, so a turn reads anew what stands behind the place
where they were. So do entries of a lorebook that are always there, but among the messages;
one that fired stays where it then came to stand.

A summary stands where the messages stood that it tells of: behind the example dialogues, before what is left. It is a message of its own
that the window never forgets, so all before it stays in the KV cache when it changes, and all behind it until then.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import msgspec

from nemochat.chat.cast import Moment, actors, is_joined, macros_of, named, opening, readers
from nemochat.chat.lore import lore_by_member, macros_in, own_lore, system_of
from nemochat.domain.chat import Chat, Entry
from nemochat.domain.edits import applied
from nemochat.domain.messages import ContextPart, Conversation, Message, Part, Role, Speaker, TextPart
from nemochat.domain.personas import AuthorNote, Persona
from nemochat.domain.summaries import Summary
from nemochat.personas import prompt_text
from nemochat.personas.lore import Lore, notes
from nemochat.personas.lore_rules import DEPTH, Place
from nemochat.personas.macros import Macros
from nemochat.personas.scene import Scene
from nemochat.prompt.window import Fit

_SUMMARY = "What was said before, in short:"
_MEMORY = "Remember:"


class Assembled(msgspec.Struct, frozen=True):
    """A conversation to be laid out. sources: for each of its messages the index of the chat's entry, None for an example and a summary.

    first_kept: where the window's unbroken tail begins, as an index into the messages. left_out: entries before all of these, which were
    forgotten long ago. summary: index of the message that is a summary, None without one; summed: the entries in whose place it stands.
    scene: in which the texts were read. opening: the name with which the next message begins, in a group.
    """

    conversation: Conversation
    sources: tuple[int | None, ...]
    first_kept: int
    left_out: tuple[int, ...] = ()
    summary: int | None = None
    summed: tuple[int, ...] = ()
    scene: Scene | None = None
    opening: str = ""

    def indices(self, messages: Sequence[int]) -> tuple[int, ...]:
        """The chat's entries behind these messages; examples and a summary are left out."""
        found = (self.sources[index] for index in messages)
        return tuple(index for index in found if index is not None)

    def forgotten(self, messages: Sequence[int]) -> tuple[int, ...]:
        """The chat's entries that the model does not see when these messages are forgotten."""
        return tuple(sorted((*self.left_out, *self.summed, *self.indices(messages))))

    def trimmed(self, chat: Chat, fit: Fit) -> Chat:
        """The chat with the window's decision in it."""
        if self.left_out and not self.conversation.messages:
            return chat
        n_examples = sum(message.example for message in self.conversation.messages)
        is_said = n_examples < fit.first_kept < len(self.sources)
        source = self.sources[fit.first_kept] if is_said else None
        examples_gone = chat.examples_gone if self.left_out else min(fit.first_kept, n_examples)
        return msgspec.structs.replace(chat, examples_gone=examples_gone, first_kept=source or 0)


def assemble(
    chat: Chat,
    start: int = 0,
    lore: Lore | None = None,
    moment: Moment | None = None,
    *,
    speaks: Role = Role.ASSISTANT,
    opens: bool | None = True,
) -> Assembled:
    """What the model is to read, before the window decides what fits.

    start: so many messages, forgotten long ago, are left out. lore: of the conversation; None is the personas' own. moment: when it is
    read, None is now. speaks: who says what comes next. opens: in a group, that message can be begun with a name; else the model is asked
    in words to speak as that one. None: as nobody.
    """
    scene = (moment or Moment.present()).scene(chat)
    lore = own_lore(chat) if lore is None else lore
    summary = held if (held := chat.summary) is not None and held.is_on else None
    shown, summed = _without_summed(chat, start, len(summary.covers) if summary is not None else 0)
    first = bisect.bisect_left(shown, chat.first_kept)
    messages = _moved([named(chat, chat.entries[index]) for index in shown], first)
    system, note, macros = system_of(chat, lore, scene), chat.note, macros_in(chat, lore, scene)
    books = ((lore, macros), *lore_by_member(chat, scene))
    cast = actors(chat, scene) if is_joined(chat) else tuple((persona, macros) for persona in readers(chat))
    dialogues: tuple[Message, ...] = ()
    begins = opening(chat, speaks) if opens is not None else ""
    if chat.playing is not None:
        speaker = macros_of(chat, chat.playing, scene) if is_joined(chat) else macros
        near = msgspec.structs.replace(speaker, near_end=True)
        if not start:
            dialogues = tuple(message for persona, its in cast for message in _examples(chat, persona, its))
        messages = _with_note(messages, prompt_text.post_history(chat.playing, "", near), 0)
        note = None if note is None else AuthorNote(near.expand(note.text), note.depth)
    note = _with_lore(books, note)
    for rules, its in ((rules, its) for one, its in books for rules in notes(one)):
        if rules.depth is not None:
            messages = _put(messages, its.expand(rules.said.text).strip(), rules.depth, rules.speaker)
    for persona, its in cast:
        if own := prompt_text.character_note(persona, msgspec.structs.replace(its, near_end=True)):
            messages = _with_note(messages, own.text, own.depth)
    if note is not None:
        messages = _with_note(messages, note.text, note.depth)
    if begins and opens is False and speaks is Role.ASSISTANT:
        messages = _with_note(messages, f"[Write what {begins.removesuffix(':')} says next, and only that.]", 0)
    before = (*dialogues, *([_told(summary)] if summary is not None else []))
    return Assembled(
        conversation=msgspec.structs.replace(chat.frame, system=system, memory=_memory(chat), messages=(*before, *messages)),
        sources=(*(None for _ in before), *shown),
        first_kept=len(before) + first if chat.first_kept else min(chat.examples_gone, len(dialogues)),
        left_out=chat.shown[:start],
        summary=len(dialogues) if summary is not None else None,
        summed=summed,
        scene=scene,
        opening=begins if opens else "",
    )


def _without_summed(chat: Chat, start: int, summed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shown entries from `start` on that are read, and those of the first `summed` in whose place the summary is.

    What is pinned stays, with its turn.
    """
    shown = chat.shown
    turns: list[list[int]] = []
    for index in shown[start:summed]:
        if not turns or chat.entries[index].message.role is Role.USER:
            turns.append([])
        turns[-1].append(index)
    stays = {index for turn in turns if any(chat.entries[index].message.pinned for index in turn) for index in turn}
    gone = tuple(index for index in shown[start:summed] if index not in stays)
    return tuple(sorted((*stays, *shown[max(start, summed) :]))), gone


def _told(summary: Summary) -> Message:
    """A summary as the model reads it."""
    return Message(Role.USER, (ContextPart(f"{_SUMMARY}\n{summary.text.strip()}"),), pinned=True)


def _memory(chat: Chat) -> str:
    """What the user wants to be remembered: with these personas, and in this chat."""
    remembered = dict.fromkeys((*(text for persona in readers(chat) for text in persona.remembered), *chat.remembered))
    return "\n".join([_MEMORY, *(f"- {text}" for text in remembered)]) if remembered else ""


def settled(chat: Chat, lore: Lore, moment: Moment) -> tuple[Chat, Scene]:
    """The chat with all of its texts read, and the reading: what is read ahead of the first message stays what it is."""
    scene = assemble(chat, lore=lore, moment=moment).scene
    assert scene is not None
    return chat if scene.read is None else applied(chat, scene.read), scene


def _examples(chat: Chat, persona: Persona, macros: Macros) -> list[Message]:
    """The example dialogues of a persona; in a group with the names of those who speak."""
    said = [message for block in prompt_text.example_dialogues(persona, macros) for message in block]
    return [named(chat, Entry(message, speaker=persona.name)) for message in said]


def _with_lore(books: Sequence[tuple[Lore, Macros]], note: AuthorNote | None) -> AuthorNote | None:
    """The author's note with the entries that are always above or below it; they make one where there is none."""
    texts = {
        place: [its.expand(each.said.text).strip() for lore, its in books for each in notes(lore) if each.place is place] for place in Place
    }
    lines = [*texts[Place.NOTE_TOP], *([note.text] if note is not None else []), *texts[Place.NOTE_BOTTOM]]
    return AuthorNote("\n".join(lines), note.depth if note is not None else DEPTH) if lines else None


def _moved(messages: list[Message], first: int) -> list[Message]:
    """With what fired and wants to stand further up, or as somebody's words, put there: before the message that it fired with, but not
    before the `first` of those that the window keeps."""
    for at, message in enumerate(messages):
        moving = [part for part in message.contexts if part.depth or part.speaker is not Speaker.SYSTEM] if message.contexts else ()
        if moving:
            staying = tuple(part for part in message.parts if part not in moving)
            messages = [*messages[:at], msgspec.structs.replace(message, parts=staying), *messages[at + 1 :]]
        for part in moving:
            messages = _put(messages, part.text, part.depth, part.speaker, range(min(first, at), at + 1), part)
    return messages


def _with_note(messages: list[Message], text: str, depth: int) -> list[Message]:
    """With `text` at the end of the user's message that stands `depth` messages before the end, or of the nearest before that."""
    return _put(messages, text, depth, Speaker.USER)


def _put(
    messages: list[Message], text: str, depth: int, speaker: Speaker, within: range | None = None, context: ContextPart | None = None
) -> list[Message]:
    """With `text` in the message that stands `depth` messages before the end, or in the nearest before that: the user's, or the persona's
    for its own words. within: of these messages alone, the last of which is the end. context: as which it is known where it stands beside
    the user's words.
    """
    if not text.strip():
        return messages
    within = range(len(messages)) if within is None else within
    users, own = ([at for at in within if messages[at].role is role] for role in (Role.USER, Role.ASSISTANT))
    stop = max(1, within.stop - depth)
    part: Part
    own = [at for at in own if at < stop]
    if speaker is Speaker.ASSISTANT and own:
        at, part = own[-1], TextPart(f"\n\n{text.strip()}")
    elif not users:
        return messages
    else:
        at = max((at for at in users if at < stop), default=users[0])
        said = "\n\n" if messages[at].text.strip() else ""
        if speaker is Speaker.USER:
            part = TextPart(f"{said}{text.strip()}")
        else:
            known = context or ContextPart(text.strip())
            part = msgspec.structs.replace(known, depth=0, speaker=Speaker.SYSTEM)
    message = messages[at]
    return [*messages[:at], msgspec.structs.replace(message, parts=(*message.parts, part)), *messages[at + 1 :]]
