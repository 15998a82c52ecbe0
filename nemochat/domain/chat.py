"""One conversation as a value: a tree of messages with the path through it that is on the screen.

Every change gives a new value; nothing is done in place. A message that is edited, made anew or swiped away stays in the tree beside the
one that took its place.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from nemochat.domain.groups import Group
from nemochat.domain.messages import Conversation, ImagePart, Message, Part, Role, TextPart, ToolResultPart, with_call_ids
from nemochat.domain.personas import AuthorNote, Persona, UserProfile
from nemochat.domain.replies import ReplyRecord
from nemochat.domain.summaries import MOST, Summary, holding
from nemochat.errors import ConversationError
from nemochat.settings import SamplingSettings

_TITLE_WORDS = 8
_TITLE_CHARACTERS = 48


class Entry(msgspec.Struct, frozen=True):
    """A message of the conversation with how it came to be.

    record: of the Assistant's replies. interrupted: the engine or the program ended in the middle of this reply. speaker: the persona
    that spoke, "" for the model itself. id: within its conversation, 0 until it is part of one. at: when it was said, in seconds since the
    epoch; 0 is not known.
    """

    message: Message
    record: ReplyRecord | None = None
    interrupted: bool = False
    speaker: str = ""
    id: int = 0
    at: float = 0.0


class Node(msgspec.Struct, frozen=True):
    """A message in the tree. parent: id of the message before it. chosen: of the one that the path goes on with. 0 is none."""

    entry: Entry
    parent: int
    chosen: int = 0

    @property
    def id(self) -> int:
        """The id of its message."""
        return self.entry.id


class Waiting(msgspec.Struct, frozen=True):
    """A message that was sent and waits for its turn. id: what it will be called in the conversation; what waits is sent in their order.

    sources: of pictures that were still being read when it was sent (paths, data URIs); they stand before those of the message.
    replaces: id of the message in whose place it is to stand, 0 for the end of the conversation. when: it was sent, in seconds since the
    epoch.
    """

    id: int
    message: Message
    sources: tuple[str, ...] = ()
    replaces: int = 0
    when: float = 0.0


class Reading(msgspec.Struct, frozen=True):
    """What a text with macros said when it was first read. after: the user's message that came before, for a text that stays near the end
    and is read anew with each; 0 for one that is read once."""

    text: str
    after: int = 0


class Chat(msgspec.Struct, frozen=True):
    """The path through the tree (`entries`) behind its frame (system text, tools, contexts; its own messages stay empty).

    first_kept: index of the entry where the window's unbroken tail begins; examples_gone: how many messages of the persona's example
    dialogues the window has forgotten. name: a title, "" for none. aside: the messages that are not on the path, by id. next_id: what
    the next message is called; no id is ever used twice. persona, user, note: the roleplay, as far as there is one. seed: what chance in
    the persona's macros hangs on, so that a text stays the same in one chat. collections: of documents that are searched for each message.
    waiting: what was sent and is not part of the conversation yet, in the order in which it will be answered. sampling: what is asked for
    in this conversation alone. group: several personas in the place of the one. variables: of macros. readings: of texts with macros whose
    words are not always the same (`nemochat.personas.scene`), by what tells the text. lorebooks: ids of those of this conversation.
    summaries: of beginnings of its paths, the newest last. remembered: what the model is always told in this conversation.
    """

    frame: Conversation = Conversation()
    entries: tuple[Entry, ...] = ()
    first_kept: int = 0
    name: str = ""
    aside: Mapping[int, Node] = {}
    next_id: int = 1
    persona: Persona | None = None
    user: UserProfile | None = None
    note: AuthorNote | None = None
    examples_gone: int = 0
    seed: int = 0
    collections: tuple[str, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    sampling: SamplingSettings | None = None
    group: Group | None = None
    variables: Mapping[str, str] = {}
    readings: Mapping[str, Reading] = {}
    lorebooks: tuple[str, ...] = ()
    summaries: tuple[Summary, ...] = ()
    remembered: tuple[str, ...] = ()

    # -- what is in it

    @classmethod
    def of(cls, conversation: Conversation, speakers: Iterable[str] = ()) -> Chat:
        """A conversation that comes from elsewhere. speakers: of its messages, as far as they are known."""
        return cls(msgspec.structs.replace(conversation, messages=())).with_messages(conversation.messages, speakers)

    def with_messages(self, messages: Iterable[Message], speakers: Iterable[str] = ()) -> Chat:
        """With these messages at the end of the path; `speakers` as in `of`."""
        said = zip(messages, itertools.chain(speakers, itertools.repeat("")), strict=False)
        entries = tuple(self.called(Entry(message, speaker=who, id=self.next_id + index)) for index, (message, who) in enumerate(said))
        return msgspec.structs.replace(self, entries=(*self.entries, *entries), next_id=self.next_id + len(entries))

    @classmethod
    def of_nodes(cls, nodes: Iterable[Node], chosen: int, bare: Chat) -> Chat:
        """The tree of `nodes` (see `nodes`) whose path begins with the message `chosen`; everything else as in `bare`.

        A path that does not hold together ends where it breaks, and what is left of it is aside.
        """
        aside = {node.id: node for node in nodes}
        next_id = max([bare.next_id, *(id_ + 1 for id_ in aside), *(each.id + 1 for each in bare.waiting)])
        return _going_on(msgspec.structs.replace(bare, entries=(), aside=aside, next_id=next_id), chosen)

    @property
    def playing(self) -> Persona | None:
        """Whom the model plays: the persona, or the one of the group who speaks."""
        if self.group is None:
            return self.persona
        return self.group.speaker.persona if self.group.speaker is not None else None

    @property
    def cast(self) -> str:
        """What the persona, or the group, is called; "" for the model itself."""
        return self.group.title if self.group is not None else self.persona.name if self.persona is not None else ""

    @property
    def since(self) -> tuple[str, ...]:
        """Who has replied since the last message of the user, in that order."""
        shown = [self.entries[index] for index in self.shown]
        said = list(itertools.takewhile(lambda entry: entry.message.role is not Role.USER, reversed(shown)))
        return tuple(entry.speaker for entry in reversed(said) if entry.message.role is Role.ASSISTANT)

    @property
    def nodes(self) -> list[Node]:
        """Every message of the tree, those of the path first."""
        ids = [0, *(entry.id for entry in self.entries), 0]
        path = [Node(entry, ids[index], ids[index + 2]) for index, entry in enumerate(self.entries)]
        return [*path, *self.aside.values()]

    @property
    def conversation(self) -> Conversation:
        """Everything on the path, also what the model does not see."""
        return msgspec.structs.replace(self.frame, messages=tuple(entry.message for entry in self.entries))

    def index_of(self, id_: int) -> int | None:
        """Where on the path the message with this id is, None when it is not."""
        return next((index for index, entry in enumerate(self.entries) if entry.id == id_), None)

    @property
    def shown(self) -> tuple[int, ...]:
        """Indices of the entries that the user has not taken out."""
        return tuple(index for index, entry in enumerate(self.entries) if not entry.message.excluded)

    @property
    def visible(self) -> Conversation:
        """The conversation of the `shown` entries."""
        return msgspec.structs.replace(self.frame, messages=tuple(self.entries[index].message for index in self.shown))

    @property
    def first_shown(self) -> int:
        """`first_kept` as an index into `shown`."""
        return bisect.bisect_left(self.shown, self.first_kept)

    @property
    def summary(self) -> Summary | None:
        """The one that tells of the most of this path, be it on or off; None where there is none that holds."""
        return holding(self.summaries, self._shown_ids) if self.summaries else None

    @property
    def summed(self) -> int:
        """How many of the `shown` entries the model reads a summary of in their place."""
        summary = self.summary
        return len(summary.covers) if summary is not None and summary.is_on else 0

    @property
    def first_seen(self) -> int:
        """Index of the entry from which the model sees all that is shown: behind what is forgotten or summed up."""
        summed = self.summed
        return max(self.first_kept, self.shown[summed] if summed else 0)

    @property
    def _shown_ids(self) -> list[int]:
        return [entry.id for entry in self.entries if not entry.message.excluded]

    @property
    def title(self) -> str:
        """Its name, else its first words."""
        if self.name:
            return self.name
        said = (entry.message for entry in self.entries if entry.message.role is Role.USER)
        first = next(itertools.chain(said, (each.message for each in self.waiting)), None)
        if first is None:
            return (self.cast if self.entries else "") or "New chat"
        words = first.text.split()
        text = " ".join(words[:_TITLE_WORDS]) or ", ".join(part.name or "picture" for part in first.images)
        return text if len(text) <= _TITLE_CHARACTERS and len(words) <= _TITLE_WORDS else text[: _TITLE_CHARACTERS - 1].rstrip() + "…"

    def alternatives(self, index: int) -> tuple[int, ...]:
        """Ids of the messages that could stand at `index`, the one that does among them, in the order in which they came to be."""
        parent = self.entries[index - 1].id if index else 0
        return tuple(sorted([self.entries[index].id, *(node.id for node in self.aside.values() if node.parent == parent)]))

    @property
    def counters(self) -> dict[int, tuple[int, int]]:
        """For each index with alternatives: which of them stands there, from 1, and how many there are."""
        others: dict[int, list[int]] = {}
        for node in self.aside.values():
            others.setdefault(node.parent, []).append(node.id)
        found = {}
        before = 0
        for index, entry in enumerate(self.entries):
            if before in others:
                found[index] = sum(id_ < entry.id for id_ in others[before]) + 1, len(others[before]) + 1
            before = entry.id
        return found

    # -- the path

    def added(self, entry: Entry) -> Chat:
        """With one more entry at the end of the path. Calls in it that have no id get one."""
        entry = self.called(msgspec.structs.replace(entry, id=self.next_id))
        return msgspec.structs.replace(self, entries=(*self.entries, entry), next_id=self.next_id + 1)

    def cut(self, length: int) -> Chat:
        """The path ends after its first `length` entries; what comes behind them stays in the tree."""
        if length >= len(self.entries):
            return self
        gone = {node.id: node for node in self.nodes[length : len(self.entries)]}
        return msgspec.structs.replace(
            self, entries=self.entries[:length], aside={**self.aside, **gone}, first_kept=min(self.first_kept, length)
        )

    def swiped(self, index: int, chosen: int) -> Chat:
        """With the message `chosen` of `alternatives(index)` in its place, and what came behind that one."""
        if chosen == self.entries[index].id:
            return self
        return _going_on(self.cut(index), chosen)

    def through(self, node: int) -> Chat:
        """With the path that leads through this message, wherever in the tree it is; unchanged when there is no such message."""
        parents = {each.id: each.parent for each in self.nodes}
        way: list[int] = []
        while node in parents and node not in way:
            way.insert(0, node)
            node = parents[node]
        chat = self
        for index, id_ in enumerate(way):
            if index >= len(chat.entries):
                return _going_on(chat, id_)
            chat = chat.swiped(index, id_)
        return chat

    def opened(self, greetings: Sequence[str], speaker: str) -> Chat:
        """With what `speaker` says of its own accord at the end of the path: the first of these texts, the others beside it."""
        before = self.entries[-1].id if self.entries else 0
        entries = [
            Entry(Message(Role.ASSISTANT, (TextPart(text),)), speaker=speaker, id=self.next_id + index)
            for index, text in enumerate(greetings)
        ]
        aside = {**self.aside, **{entry.id: Node(entry, before) for entry in entries[1:]}}
        return msgspec.structs.replace(
            self, entries=(*self.entries, *entries[:1]), aside=aside, next_id=self.next_id + len(entries)
        )

    def exchanged(self, index: int, chosen: int) -> Chat:
        """With the message `chosen` of `alternatives(index)` in its place, and what stands behind as it is."""
        if chosen == self.entries[index].id:
            return self
        old, new = self.entries[index], self.aside[chosen]
        hung = {id_: msgspec.structs.replace(node, parent=chosen) if node.parent == old.id else node for id_, node in self.aside.items()}
        del hung[chosen]
        aside = {**hung, old.id: Node(old, new.parent)}
        return msgspec.structs.replace(self, entries=(*self.entries[:index], new.entry, *self.entries[index + 1 :]), aside=aside)

    def forked(self, length: int) -> Chat:
        """Another conversation: the first `length` entries of the path alone."""
        entries = self.entries[:length]
        ids = [entry.id for entry in entries if not entry.message.excluded]
        return msgspec.structs.replace(
            self,
            entries=entries,
            aside={},
            first_kept=min(self.first_kept, length),
            name="",
            waiting=(),
            summaries=tuple(each for each in self.summaries if each.begins(ids)),
            remembered=self.remembered if entries else (),
        )

    # -- what waits, and ids

    def queued(self, message: Message, sources: Sequence[str] = (), replaces: int = 0, when: float = 0.0) -> Chat:
        """With a message behind those that wait."""
        waiting = (*self.waiting, Waiting(self.next_id, message, tuple(sources), replaces, when))
        return msgspec.structs.replace(self, waiting=waiting, next_id=self.next_id + 1)

    def pictured(self, id_: int, images: Sequence[ImagePart]) -> Chat:
        """With these pictures in the waiting message of this id, in place of what it knew of them; unchanged when there is none."""

        def with_images(each: Waiting) -> Waiting:
            words = (part for part in each.message.parts if not isinstance(part, ImagePart))
            message = msgspec.structs.replace(each.message, parts=(*images, *words))
            return msgspec.structs.replace(each, message=message, sources=())

        return msgspec.structs.replace(self, waiting=tuple(with_images(each) if each.id == id_ else each for each in self.waiting))

    def unqueued(self, id_: int) -> Chat:
        """Without the waiting message of this id; unchanged when there is none."""
        if all(each.id != id_ for each in self.waiting):
            return self
        return msgspec.structs.replace(self, waiting=tuple(each for each in self.waiting if each.id != id_))

    def lent(self, ids: int) -> Chat:
        """With so many ids, from `next_id` on, left to a turn that works on this value as it is now."""
        return msgspec.structs.replace(self, next_id=self.next_id + ids)

    def called(self, entry: Entry) -> Entry:
        """With an id for each call that has none: the same ones however often a reply is read while it grows."""
        if all(call.id for call in entry.message.tool_calls):
            return entry
        taken = {call.id for node in self.nodes if node.id != entry.id for call in node.entry.message.tool_calls}
        parts = with_call_ids(entry.message.parts, f"call_{entry.id}", taken)
        return msgspec.structs.replace(entry, message=msgspec.structs.replace(entry.message, parts=parts))

    # -- messages

    def changed(self, index: int, entry: Entry) -> Chat:
        """With another entry at `index`, under the same id. Calls in it that have no id get one."""
        before = self.entries[index]
        entry = self.called(msgspec.structs.replace(entry, id=before.id))
        summaries = self.summaries
        if summaries and entry.message.text != before.message.text:  # what told of it tells of something else
            summaries = tuple(each for each in summaries if entry.id not in each.covers)
        return msgspec.structs.replace(self, entries=(*self.entries[:index], entry, *self.entries[index + 1 :]), summaries=summaries)

    def marked(self, index: int, *, pinned: bool | None = None, excluded: bool | None = None) -> Chat:
        """With a message pinned or not, taken out or not; None leaves it. A tool call and its results are taken out together."""
        chat = self
        for at in range(*self._together(index)) if excluded is not None else (index,):
            entry = chat.entries[at]
            message = entry.message
            message = msgspec.structs.replace(
                message,
                pinned=message.pinned if pinned is None else pinned,
                excluded=message.excluded if excluded is None else excluded,
            )
            chat = chat.changed(at, msgspec.structs.replace(entry, message=message))
        return chat

    def without(self, index: int) -> Chat:
        """Without a message; a tool call goes with its results. What stood behind it, on the path or aside, moves up.

        When it was the last one and there are alternatives, the newest of them takes its place.
        """
        start, stop = self._together(index)
        before = self.entries[start - 1].id if start else 0
        gone = {entry.id for entry in self.entries[start:stop]}
        aside = {id_: msgspec.structs.replace(node, parent=before) if node.parent in gone else node for id_, node in self.aside.items()}
        first_kept = self.first_kept - max(0, min(stop, self.first_kept) - start)
        chat = msgspec.structs.replace(
            self, entries=(*self.entries[:start], *self.entries[stop:]), aside=aside, first_kept=first_kept
        )
        others = [node.id for node in aside.values() if node.parent == before]
        if start < len(chat.entries) or not others:
            return chat
        return _going_on(chat, max(others))

    def rewritten(self, index: int, text: str) -> Chat:
        """With other words in a message: a new one beside it, which what stood behind follows. Its pictures stay, its record goes.

        Raises ConversationError for a message left empty.
        """
        entry = self.entries[index]
        message = entry.message
        if not text.strip() and not message.images:
            raise ConversationError("A message cannot be empty.", "Delete it instead.")
        parts = _reworded(message, text)
        new = Entry(msgspec.structs.replace(message, parts=parts), speaker=entry.speaker, id=self.next_id, at=entry.at)
        before = self.entries[index - 1].id if index else 0
        return msgspec.structs.replace(
            self,
            entries=(*self.entries[:index], new, *self.entries[index + 1 :]),
            aside={**self.aside, entry.id: Node(entry, before)},
            next_id=self.next_id + 1,
        )

    # -- around the messages

    def framed(self, system: str) -> Chat:
        """With another system text."""
        return msgspec.structs.replace(self, frame=msgspec.structs.replace(self.frame, system=system))

    def sampled(self, **wanted: Any) -> Chat:
        """With other wishes for its sampling, by the names of `SamplingSettings`; None takes one back."""
        sampling = msgspec.structs.replace(self.sampling or SamplingSettings(), **wanted)
        return msgspec.structs.replace(self, sampling=None if sampling == SamplingSettings() else sampling)

    def summed_up(self, summary: Summary) -> Chat:
        """With a summary, in place of one of the same messages."""
        others = (each for each in self.summaries if each.covers != summary.covers)
        return msgspec.structs.replace(self, summaries=(*others, summary)[-MOST:])

    def not_summed_up(self) -> Chat:
        """Without any summary of this path."""
        ids = self._shown_ids
        return msgspec.structs.replace(self, summaries=tuple(each for each in self.summaries if not each.begins(ids)))

    def named(self, name: str) -> Chat:
        """With a title."""
        return msgspec.structs.replace(self, name=name)

    def _together(self, index: int) -> tuple[int, int]:
        """Start and stop of the messages that go with this one: a reply that calls tools and the results behind it."""
        messages = [entry.message for entry in self.entries]
        start = index
        while start > 0 and messages[start].role is Role.TOOL:
            start -= 1
        stop = start + 1
        while messages[start].tool_calls and stop < len(messages) and messages[stop].role is Role.TOOL:
            stop += 1
        return (start, stop) if index < stop else (index, index + 1)


def pictures_of(chat: Chat) -> Iterator[ImagePart]:
    """Every picture of a conversation, wherever in the tree it is, and those that wait."""
    for entry in itertools.chain(chat.entries, (node.entry for node in chat.aside.values())):
        yield from entry.message.images
    for each in chat.waiting:
        yield from each.message.images


def without_pictures(chat: Chat, digests: Container[str]) -> Chat:
    """The path without these pictures."""
    entries = []
    for entry in chat.entries:
        if any(image.digest in digests for image in entry.message.images):
            parts = tuple(
                msgspec.structs.replace(part, images=tuple(image for image in part.images if image.digest not in digests))
                if isinstance(part, ToolResultPart)
                else part
                for part in entry.message.parts
                if not (isinstance(part, ImagePart) and part.digest in digests)
            )
            entry = msgspec.structs.replace(entry, message=msgspec.structs.replace(entry.message, parts=parts))
        entries.append(entry)
    return msgspec.structs.replace(chat, entries=tuple(entries))


def split_results(text: str, n: int) -> list[str]:
    """The texts of `n` results out of the one text in which they stand, a line break between them.

    Where the lines do not tell which is whose, the first has all of it and the others nothing.
    """
    lines = text.split("\n")
    return lines if len(lines) == n else [text, *[""] * (n - 1)]


def _reworded(message: Message, text: str) -> tuple[Part, ...]:
    """The parts of a message with other words. What the user's words stand beside stays, and so do pictures; results keep their calls."""
    results = [part for part in message.parts if isinstance(part, ToolResultPart)]
    if results:
        texts = split_results(text, len(results))
        return tuple(msgspec.structs.replace(part, text=new) for part, new in zip(results, texts, strict=True))
    is_user = message.role is Role.USER
    kept = tuple(part for part in message.parts if not isinstance(part, TextPart)) if is_user else message.images
    return (*kept, *((TextPart(text),) if text.strip() else ()))


def _going_on(chat: Chat, chosen: int) -> Chat:
    """With the branch that begins with `chosen` at the end of the path."""
    aside = dict(chat.aside)
    entries = list(chat.entries)
    while node := aside.pop(chosen, None):
        entries.append(node.entry)
        chosen = node.chosen
    return msgspec.structs.replace(chat, entries=tuple(entries), aside=aside)
