"""What a turn changes in a conversation, as values: applied to it as it is by then, whatever was done to it meanwhile; and taking back.

Messages are named by their ids, never by where they stood.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nemochat.domain.chat import Chat, Entry, Node, Reading
from nemochat.domain.messages import Message


class Put(msgspec.Struct, frozen=True):
    """A message, new or as it is now, behind the one with the id `after` (0: the first). Its id is its own, taken from `Chat.lent`."""

    entry: Entry
    after: int


class Trim(msgspec.Struct, frozen=True):
    """What the window has forgotten. first_kept: id of the message with which its unbroken tail begins, 0 when nothing is forgotten.

    examples_gone: messages of the persona's example dialogues that are forgotten.
    """

    first_kept: int
    examples_gone: int


class Speaks(msgspec.Struct, frozen=True):
    """Who speaks in a group from here on, by name."""

    name: str


class Read(msgspec.Struct, frozen=True):
    """What texts with macros have said, and the variables that they have changed; both beside those that there are."""

    readings: Mapping[str, Reading]
    variables: Mapping[str, str]


Edit = Put | Trim | Speaks | Read

_MOST_READINGS = 256
"""Of one conversation; the oldest go first."""


def applied(chat: Chat, edit: Edit) -> Chat:
    """The conversation with the change in it."""
    match edit:
        case Put():
            return _put(chat, edit)
        case Trim():
            return _trimmed(chat, edit)
        case Speaks(name):
            return chat if chat.group is None else msgspec.structs.replace(chat, group=chat.group.spoken(name))
        case Read(readings, variables):
            kept = {**{key: each for key, each in chat.readings.items() if key not in readings}, **readings}
            kept = dict([*kept.items()][-_MOST_READINGS:])
            return msgspec.structs.replace(chat, readings=kept, variables={**chat.variables, **variables})


def trim_between(before: Chat, after: Chat) -> Trim | None:
    """The window's decision in `after`, None when it is that of `before`."""
    if (before.first_kept, before.examples_gone) == (after.first_kept, after.examples_gone):
        return None
    kept = after.entries[after.first_kept].id if 0 < after.first_kept < len(after.entries) else 0
    return Trim(kept, after.examples_gone)


def _put(chat: Chat, edit: Put) -> Chat:
    entry = chat.called(edit.entry)
    waiting = tuple(each for each in chat.waiting if each.id != entry.id)
    chat = msgspec.structs.replace(chat, next_id=max(chat.next_id, entry.id + 1), waiting=waiting)
    ids = [each.id for each in chat.entries]
    if entry.id in ids:
        return chat.changed(ids.index(entry.id), entry)
    if entry.id in chat.aside:
        node = chat.aside[entry.id]
        return msgspec.structs.replace(chat, aside={**chat.aside, entry.id: Node(entry, node.parent, node.chosen)})
    if edit.after in ids or not edit.after:
        # What stood there stays in the tree beside it; where that message is gone, this one comes last.
        chat = chat.cut(ids.index(edit.after) + 1 if edit.after else 0)
    return msgspec.structs.replace(chat, entries=(*chat.entries, entry))


def _trimmed(chat: Chat, edit: Trim) -> Chat:
    ids = [each.id for each in chat.entries]
    first_kept = ids.index(edit.first_kept) if edit.first_kept in ids else chat.first_kept if edit.first_kept else 0
    return msgspec.structs.replace(chat, first_kept=first_kept, examples_gone=edit.examples_gone)


# -- taking back

_AROUND = ("name", "persona", "user", "note", "collections", "sampling", "group", "lorebooks", "summaries", "remembered")
"""What stands around the messages, and is taken back as a whole."""


def taken_back(chat: Chat, before: Chat, after: Chat) -> Chat:
    """The conversation without what changed from `before` to `after`; what was done to it since stays as it is."""
    chat = _around_taken_back(chat, before, after)
    was, became = ({node.id: node for node in each.nodes} for each in (before, after))
    for id_ in was.keys() & became.keys():
        if was[id_].entry != became[id_].entry:
            chat = _marked_as(chat, id_, was[id_].entry.message)
    return _path_taken_back(chat, before, after)


def _around_taken_back(chat: Chat, before: Chat, after: Chat) -> Chat:
    frames = [field for field in ("system", "tools", "contexts") if getattr(before.frame, field) != getattr(after.frame, field)]
    frame = msgspec.structs.replace(chat.frame, **{field: getattr(before.frame, field) for field in frames})
    fields = [field for field in _AROUND if getattr(before, field) != getattr(after, field)]
    speaking, variables = chat.group.speaking if chat.group is not None else "", dict(chat.variables)
    for name in (name for name in {*before.variables, *after.variables} if before.variables.get(name) != after.variables.get(name)):
        variables.pop(name, None)
        variables |= {name: before.variables[name]} if name in before.variables else {}
    chat = msgspec.structs.replace(chat, frame=frame, variables=variables, **{field: getattr(before, field) for field in fields})
    return msgspec.structs.replace(chat, group=chat.group.spoken(speaking)) if chat.group is not None and speaking else chat


def _marked_as(chat: Chat, id_: int, before: Message) -> Chat:
    """With the marks of a message as they were."""
    index = chat.index_of(id_)
    if index is None:
        return chat
    entry = chat.entries[index]
    message = msgspec.structs.replace(entry.message, pinned=before.pinned, excluded=before.excluded)
    return chat.changed(index, msgspec.structs.replace(entry, message=message))


def _path_taken_back(chat: Chat, before: Chat, after: Chat) -> Chat:
    """With the messages that the change took off the path there again, in place of those that it put there."""
    old, new = [entry.id for entry in before.entries], [entry.id for entry in after.entries]
    start = next((at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new)))
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    gone, came = old[start : len(old) - end], new[start : len(new) - end]
    if not gone and not came:
        return chat
    parent = old[start - 1] if start else 0
    nodes = {node.id: node for node in before.nodes}
    now = [entry.id for entry in chat.entries]
    there = {node.id for node in chat.nodes}
    known = {**{id_: node.entry for id_, node in nodes.items()}, **{node.id: node.entry for node in chat.nodes}}
    lost = {id_: node for id_, node in nodes.items() if id_ not in there}
    at = 0 if not parent else now.index(parent) + 1 if parent in now else -1
    # Where another reply came to stand in for a deleted one and was answered since, what it was answered with goes with it.
    stands_in = bool(came) and came[0] in nodes and len(now) > at + len(came)
    if at < 0 or now[at : at + len(came)] != came or stands_in:
        return msgspec.structs.replace(chat, aside={**chat.aside, **lost})
    gone = [id_ for id_ in gone if id_ in came or id_ not in now]  # it may have come back by standing in for another one
    aside = {id_: node for id_, node in chat.aside.items() if id_ not in gone}
    chained = [parent, *came, 0]
    aside |= {id_: Node(known[id_], chained[index], chained[index + 2]) for index, id_ in enumerate(came)}
    for id_, node in aside.items():
        if id_ in nodes and node.parent == parent != nodes[id_].parent:
            aside[id_] = msgspec.structs.replace(node, parent=nodes[id_].parent)  # it had moved up
    entries = (*chat.entries[:at], *(known[id_] for id_ in gone), *chat.entries[at + len(came) :])
    first_kept = chat.first_kept + (len(gone) - len(came) if chat.first_kept > at else 0)
    return msgspec.structs.replace(chat, entries=entries, aside=aside, first_kept=max(0, first_kept))
