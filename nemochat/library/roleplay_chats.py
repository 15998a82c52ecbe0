"""Conversations of roleplay programs: SillyTavern and TavernAI (JSON Lines), RisuAI, Agnai, text-generation-webui, KoboldAI stories and
CAI Tools (JSON).

Other versions of a message (swipes) become messages beside it. What a file says and a conversation has no place for is named.
"""

from __future__ import annotations

import calendar
import hashlib
import itertools
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from nemochat.domain.chat import Chat, Entry, Node
from nemochat.domain.messages import ContextPart, ImagePart, Message, Part, ReasoningPart, Role, TextPart
from nemochat.domain.personas import AuthorNote
from nemochat.domain.replies import ModelRef
from nemochat.domain.sanitize import sanitize
from nemochat.library.errors import LibraryError, taking
from nemochat.library.values import ForeignChat
from nemochat.reading import listed, mapping, member, tables

_Json = Mapping[str, Any]
MAX_MESSAGES, _MAX_VERSIONS = 100_000, 1_000
MAX_NAME, _MAX_DEPTH, _MOST_NAMED = 200, 100, 12
_MAX_VARIABLES, _LONGEST_VARIABLE = 1_000, 10_000
_LAST = 253_402_300_799.0

# What SillyTavern notes down for itself: nothing of the conversation.
_IDLE_EXTRA = {
    "api", "model", "gen_id", "token_count", "isSmallSys", "uses_system_ui", "swipeable", "inline_image", "reasoning_type", "type",
    "fileLength", "fileStart", "title", "image_swipes", "media_display", "media_index", "append_title", "generationType", "negative",
    "reasoning_signature", "time_to_first_token", "cfg", "qvink_memory", "allow_avatar", "overswipe_behavior", "tool_invocations",
}  # fmt: skip
_USED_EXTRA = {"reasoning", "reasoning_duration", "image", "images", "media", "file", "files"}
_MEANINGLESS_EXTRA = {
    "bias": "texts that a reply was told to begin with",
    "display_text": "translations",
    "reasoning_display_text": "translations",
    "bookmark_link": "checkpoints (their chats come as chats of their own)",
    "memory": "summaries by SillyTavern's extension",
    "video": "videos",
    "audio": "sounds",
}
_IDLE_HEADER = {
    "note_prompt", "note_interval", "note_depth", "note_position", "note_role", "variables", "world_info", "scenario", "persona",
    "integrity", "tainted", "main_chat", "timedWorldInfo", "lastInContextMessageId", "chat_id_hash", "chat_backgrounds",
}  # fmt: skip

_SPOKEN_DATE = re.compile(r"(\w{3,9})\s(\d{1,2}),\s(\d{4})\s(\d{1,2}):(\d{1,2})(?::\d{1,2})?\s?(am|pm)?", re.IGNORECASE)
_HUMAN_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2}) ?@ ?(\d{1,2})h ?(\d{1,2})m(?: ?(\d{1,2})s)?(?: ?(\d{1,3})ms)?")
_MONTHS = [name.lower() for name in calendar.month_abbr]
_KOBOLD_TURN = re.compile(r"\n?\{\{\[(INPUT|OUTPUT)(?:_END)?\]\}\}\n?")
_WEBUI_BEGINS = "<|BEGIN-VISIBLE-CHAT|>"


class Beside(msgspec.Struct, frozen=True):
    """What lies beside a file of conversations. picture, text: what an address in it leads to, None where it is not there."""

    picture: Callable[[str], ImagePart | None] = lambda _: None
    text: Callable[[str], str | None] = lambda _: None


class _Said(msgspec.Struct, frozen=True):
    """A message with its other versions. chosen: the one that the conversation goes on with. when: in seconds, None for not known."""

    versions: tuple[Entry, ...]
    chosen: int = 0
    when: float | None = None


# -- which program


def of_lines(first: object, second: object) -> bool:
    """Whether a file of JSON Lines that begins with these two values is a conversation of SillyTavern or TavernAI."""
    if not isinstance(first, dict) or (second is not None and not isinstance(second, dict)):
        return False
    is_header = "chat_metadata" in first or ("user_name" in first and "character_name" in first)
    return (is_header and (second is None or "mes" in second)) or ("mes" in first and ("is_user" in first or "name" in first))


def of_value(value: object) -> Callable[[Any], Iterator[ForeignChat | str]] | None:
    """What reads the conversations in a value of JSON, or says why one cannot be read; None where it is none of these programs'."""
    match value:
        case {"type": "risuChat" | "risuAllChats", "data": list() | dict()}:
            return _risu
        case {"internal": list()} | {"data": list(), "data_visible": list()}:
            return _webui
        case {"gamestarted": _, "actions": list()} | {"prompt": str(), "actions": list(), "memory": _}:
            return _kobold
        case {"histories": {"histories": list()}}:
            return _cai_tools
        case {"messages": [dict() as first, *_]} if "msg" in first:
            return _agnai
    return None


# -- SillyTavern


def silly_tavern(lines: Sequence[object], problems: Sequence[str] = (), beside: Beside | None = None) -> ForeignChat:
    """The conversation of these lines: a header, where there is one, and a message in each."""
    beside = beside or Beside()
    header = next((line for line in lines if isinstance(line, dict) and "mes" not in line), {})
    messages = [line for line in lines if isinstance(line, dict) and "mes" in line]
    check_number(len(messages))
    metadata = mapping(header, "chat_metadata")
    lost: dict[str, None] = {}
    said = [each for line in messages for each in _of_tavern(line, beside, lost)]
    if unknown := [key for key, value in metadata.items() if key not in _IDLE_HEADER and value not in (None, "", [], {}, False)]:
        lost[_named("what SillyTavern keeps with a chat as", unknown)] = None
    model = next((name for line in reversed(messages) if (name := one_line(mapping(line, "extra").get("model")))), "")
    user, character = one_line(header.get("user_name")), one_line(header.get("character_name"))
    # Newer ones say "unused" there.
    if user in ("", "unused"):
        user = next((one_line(line.get("name")) for line in reversed(messages) if line.get("is_user")), "")
    if character in ("", "unused"):
        character = next((one_line(line.get("name")) for line in messages if not line.get("is_user") and not line.get("is_system")), "")
    made = _when(header.get("create_date"))
    return _built(
        said,
        made=made,
        note=_note(metadata),
        problems=tuple(problems),
        meaningless=tuple(lost),
        model=ModelRef(model),
        user=user,
        character=character,
        scenario=_text(metadata.get("scenario")).strip(),
        book=one_line(metadata.get("world_info")),
        variables=_variables(metadata.get("variables")),
        mark=_mark(messages),
    )


def _mark(messages: Sequence[_Json]) -> bytes:
    """Of what was said alone: whether its pictures were found makes it no other conversation."""
    told = [[line.get("is_user") is True, *_swipes(line)] for line in messages]
    return hashlib.sha256(msgspec.json.encode(told)).digest()


def _of_tavern(line: _Json, beside: Beside, lost: dict[str, None]) -> Iterator[_Said]:
    """One message with its swipes, and behind it the pictures that a character sent: chat formats know none in a reply, so the model is
    not shown them."""
    texts, chosen = _swipes(line)
    about = [mapping(each) for each in listed(line, "swipe_info")]
    entries = []
    for index, text in enumerate(texts):
        said = about[index] if index < len(about) and index != chosen else line
        entries.append(_tavern_entry(line, text, mapping(said, "extra"), beside, lost))
    when = _when(line.get("send_date"))
    sent = entries[chosen].message.images if entries[chosen].message.role is Role.ASSISTANT else ()
    yield _Said(tuple(map(_without_pictures, entries) if sent else entries), chosen, when)
    if sent:
        yield _Said((Entry(Message(Role.ASSISTANT, sent, excluded=True), speaker=entries[chosen].speaker),), 0, when)


def _without_pictures(entry: Entry) -> Entry:
    parts = tuple(part for part in entry.message.parts if not isinstance(part, ImagePart))
    return msgspec.structs.replace(entry, message=msgspec.structs.replace(entry.message, parts=parts))


def _swipes(line: _Json) -> tuple[list[str], int]:
    """The texts of a message and which of them it is. An edit may have changed the message alone."""
    text = _text(line.get("mes"))
    texts = [_text(each) for each in listed(line, "swipes")[:_MAX_VERSIONS]]
    chosen = line.get("swipe_id")
    if not isinstance(chosen, int) or not 0 <= chosen < len(texts):
        if text not in texts:
            return [*texts, text], len(texts)
        chosen = texts.index(text)
    texts[chosen] = text
    return texts, chosen


def _tavern_entry(line: _Json, text: str, extra: _Json, beside: Beside, lost: dict[str, None]) -> Entry:
    is_user = line.get("is_user") is True
    parts: list[Part] = []
    thought = extra.get("reasoning")
    if isinstance(thought, str) and thought.strip() and not is_user:
        spent = extra.get("reasoning_duration")
        seconds = spent / 1000 if isinstance(spent, int | float) and 0 <= spent < _LAST else None
        parts.append(ReasoningPart(sanitize(thought), seconds))
    missing = []
    for address in _pictures(extra):
        picture = beside.picture(address)
        if picture is None:
            missing.append(f"[picture not in the file: {_address(address)}]")
        else:
            parts.append(picture)
    for each in [extra.get("file"), *listed(extra, "files")]:
        if isinstance(each, dict) and (content := _file_text(each, beside)):
            parts.append(ContextPart(content, one_line(each.get("name")) or "file", "attached"))
        elif isinstance(each, dict):
            missing.append(f"[file not in the chat: {one_line(each.get('name')) or _address(str(each.get('url', '')))}]")
    parts.append(TextPart("\n\n".join(filter(None, [text, *missing]))))
    for key, value in extra.items():
        if key in _MEANINGLESS_EXTRA and value not in (None, "", [], {}):
            lost[_MEANINGLESS_EXTRA[key]] = None
    unknown = [key for key, value in extra.items() if not (key in _IDLE_EXTRA | _USED_EXTRA or key in _MEANINGLESS_EXTRA) and value]
    if unknown:
        lost[_named("what extensions keep with messages as", unknown)] = None
    # What the program says for itself is marked like what somebody hid: the model saw neither.
    role = Role.USER if is_user else Role.ASSISTANT
    return Entry(Message(role, tuple(parts), excluded=line.get("is_system") is True), speaker=one_line(line.get("name")))


def _pictures(extra: _Json) -> list[str]:
    """The addresses of the pictures of a message."""
    single = extra.get("image")
    several = [each.get("url") if isinstance(each, dict) else each for each in [*listed(extra, "images"), *listed(extra, "media")]]
    found = [each for each in (single, *several) if isinstance(each, str) and each.strip()]
    return list(dict.fromkeys(found))[:100]


def _file_text(file: _Json, beside: Beside) -> str:
    if (text := member(file, str, "text") or "").strip():
        return sanitize(text)
    address = member(file, str, "url")
    return "" if address is None else sanitize(beside.text(address) or "")


def _note(metadata: _Json) -> AuthorNote | None:
    """The author's note; one that never comes (interval 0) is none."""
    text, interval = _text(metadata.get("note_prompt")).strip(), metadata.get("note_interval", 1)
    if not text or interval == 0:
        return None
    depth = metadata.get("note_depth")
    return AuthorNote(text, min(depth, _MAX_DEPTH) if isinstance(depth, int) and depth >= 0 else AuthorNote("").depth)


# -- the others


def _each(chats: Sequence[object], read: Callable[[object], ForeignChat]) -> Iterator[ForeignChat | str]:
    """All of several, or a sentence about one that cannot be read."""
    for number, each in enumerate(chats, 1):
        try:
            with taking("It cannot be read"):
                found = read(each)
        except LibraryError as error:
            yield f"Conversation {number}: {error.message}"
        else:
            yield found


def _risu(value: _Json) -> Iterator[ForeignChat | str]:
    return _each(value["data"] if isinstance(value["data"], list) else [value["data"]], _of_risu)


def _of_risu(each: object) -> ForeignChat:
    if not isinstance(each, dict) or not isinstance(each.get("message"), list):
        raise LibraryError("There are no messages in it.")
    check_number(len(each["message"]))
    said: list[_Said] = []
    for line in each["message"]:
        if not isinstance(line, dict) or not isinstance(line.get("data"), str):
            continue
        if line.get("disabled") == "allBefore":
            said = [_hidden(before) for before in said]
        role = Role.USER if line.get("role") == "user" else Role.ASSISTANT
        is_hidden = bool(line.get("disabled")) or line.get("isComment") is True
        entry = Entry(Message(role, (TextPart(sanitize(line["data"])),), excluded=is_hidden), speaker=one_line(line.get("name")))
        said.append(_Said((entry,), 0, _when(line.get("time"))))
    note, opening = _text(each.get("note")).strip(), each.get("fmIndex")
    state = {key.removeprefix("$"): value for key, value in mapping(each, "scriptstate").items()}
    lost = [key for key in ("hypaV2Data", "hypaV3Data", "supaMemoryData", "sdData", "modules", "bookmarks") if each.get(key)]
    return _built(
        said,
        name=one_line(each.get("name")),
        note=AuthorNote(note) if note else None,
        opening=max(0, opening + 1) if isinstance(opening, int) and not isinstance(opening, bool) else None,
        lore={"type": "risu", "ver": 1, "data": lore} if (lore := listed(each, "localLore")) else {},
        variables=_variables(state),
        meaningless=(_named("what RisuAI keeps with a chat as", lost),) if lost else (),
    )


def _hidden(said: _Said) -> _Said:
    entries = (msgspec.structs.replace(each, message=msgspec.structs.replace(each.message, excluded=True)) for each in said.versions)
    return msgspec.structs.replace(said, versions=tuple(entries))


def _webui(value: _Json) -> Iterator[ForeignChat]:
    rows = value["internal"] if "internal" in value else value["data"]
    shown = listed(value.get("visible", value.get("data_visible")))
    check_number(2 * len(rows))
    about = mapping(value, "metadata")
    said = []
    for number, row in enumerate(rows):
        seen = shown[number] if number < len(shown) else ()
        for at, (role, key) in enumerate(((Role.USER, "user"), (Role.ASSISTANT, "assistant"))):
            text = _cell(row, at) or _cell(seen, at)
            if not text.strip() or text == _WEBUI_BEGINS:
                continue
            known = mapping(about.get(f"{key}_{number}"))
            texts = [_text(mapping(each).get("content")) for each in listed(known, "versions")[:_MAX_VERSIONS]]
            chosen = known.get("current_version_index")
            if not isinstance(chosen, int) or not 0 <= chosen < len(texts):
                texts, chosen = [*(each for each in texts if each != text), text], len([each for each in texts if each != text])
            texts[chosen] = text
            entries = tuple(Entry(Message(role, (TextPart(each),)), speaker=one_line(known.get("name"))) for each in texts)
            said.append(_Said(entries, chosen, _when(known.get("timestamp"))))
    yield _built(said)


def _agnai(value: _Json) -> Iterator[ForeignChat]:
    messages = [each for each in value["messages"] if isinstance(each, dict) and isinstance(each.get("msg"), str)]
    check_number(len(messages))
    said = []
    for line in messages:
        role = Role.USER if line.get("userId") else Role.ASSISTANT
        texts = [_text(line["msg"]), *(_text(each) for each in listed(line, "retries")[:_MAX_VERSIONS])]
        who = one_line(line.get("handle") if line.get("userId") else line.get("name"))
        is_hidden = line.get("ooc") is True
        entries = tuple(Entry(Message(role, (TextPart(each),), excluded=is_hidden), speaker=who) for each in texts)
        said.append(_Said(entries, 0, _when(line.get("createdAt"))))
    name = one_line(value.get("name"))
    lost = ("example dialogues of a chat of Agnai's",) if _text(value.get("sampleChat")).strip() else ()
    yield _built(said, name="" if name == "Exported" else name, scenario=_text(value.get("scenario")).strip(), meaningless=lost)


def _kobold(value: _Json) -> Iterator[ForeignChat]:
    actions = [_text(each) for each in value["actions"]]
    check_number(len(actions))
    prompt = _text(value.get("prompt"))
    whole = "".join([prompt, *actions])
    turns: list[tuple[Role, str]] = []
    if _KOBOLD_TURN.search(whole):
        pieces = _KOBOLD_TURN.split(whole)
        turns = [(Role.USER, pieces[0])]
        turns += [(Role.USER if mark == "INPUT" else Role.ASSISTANT, text) for mark, text in zip(pieces[1::2], pieces[2::2], strict=True)]
    else:
        turns = [(Role.USER, prompt)]
        turns += [(Role.USER if action.lstrip("\n").startswith("> ") else Role.ASSISTANT, action) for action in actions]
    said = []
    for role, spoken in itertools.groupby((turn for turn in turns if turn[1].strip()), key=lambda turn: turn[0]):
        text = "".join(piece for _, piece in spoken).strip()
        said.append(_Said((Entry(Message(role, (TextPart(text.removeprefix("> ") if role is Role.USER else text),))),)))
    note = _text(value.get("authorsnote")).strip()
    yield _built(
        said,
        system=_text(value.get("memory")).strip(),
        note=AuthorNote(note) if note else None,
        lore={"kobold": True, "entries": lore} if (lore := listed(value, "worldinfo")) else {},
    )


def _cai_tools(value: _Json) -> Iterator[ForeignChat | str]:
    return _each(value["histories"]["histories"], _of_cai_tools)


def _of_cai_tools(history: object) -> ForeignChat:
    lines = tables(history, "msgs")
    check_number(len(lines))
    said = []
    for line in lines:
        source = mapping(line, "src")
        role = Role.USER if source.get("is_human") else Role.ASSISTANT
        entry = Entry(Message(role, (TextPart(_text(line.get("text"))),)), speaker=one_line(source.get("name")))
        said.append(_Said((entry,), 0, _when(line.get("created"))))
    return _built(said)


# -- pieces


def _built(
    said: Sequence[_Said], *, made: float | None = None, note: AuthorNote | None = None, name: str = "", system: str = "", **more: Any
) -> ForeignChat:
    """The conversation of these messages; those without any words are left out."""
    nodes: list[Node] = []
    numbers = itertools.count(1)
    kept = [worded for each in said if (worded := _with_words(each)) is not None]
    rows = [[(next(numbers), entry) for entry in each.versions] for each in kept]
    chosen = [row[each.chosen][0] for row, each in zip(rows, kept, strict=True)]
    before = 0
    for row, here, after in zip(rows, chosen, (*chosen[1:], 0), strict=False):
        nodes += [Node(msgspec.structs.replace(entry, id=id_), before, after if id_ == here else 0) for id_, entry in row]
        before = here
    chat = Chat.of_nodes(nodes, chosen[0] if chosen else 0, Chat(name=name, note=note)).framed(system)
    times = [each.when for each in said if each.when is not None]
    created = min([made, *times] if made is not None else times, default=None)
    speakers = [(each.message.role, each.speaker) for each in chat.entries if each.speaker and not each.message.excluded]
    more.setdefault("user", next((who for role, who in speakers if role is Role.USER), ""))
    more.setdefault("character", next((who for role, who in speakers if role is Role.ASSISTANT), ""))
    return ForeignChat(chat, created=created, updated=max(times, default=created), **more)


def _with_words(said: _Said) -> _Said | None:
    """Without the versions that say nothing; None where none says anything."""
    keeps = [each for index, each in enumerate(said.versions) if index == said.chosen or each.message.text.strip()]
    if not any(each.message.text.strip() or each.message.images for each in keeps):
        return None
    return msgspec.structs.replace(said, versions=tuple(keeps), chosen=keeps.index(said.versions[said.chosen]))


def _when(value: object) -> float | None:
    """Seconds since the epoch out of any form in which these programs write a time."""
    match value:
        case bool():
            return None
        case int() | float():
            if abs(value) > 1e15:  # in no unit
                return None
            seconds = value / 1000 if abs(value) > 1e11 else float(value)  # milliseconds, as programs in JavaScript have it
        case str() if value.strip().isdecimal():
            return _when(int(value.strip()[:16]))
        case str():
            try:
                seconds = _seconds(value.strip()[:60])
            except (ValueError, OverflowError, OSError):
                return None
        case _:
            return None
    return seconds if math.isfinite(seconds) and 0 < seconds < _LAST else None


def _seconds(text: str) -> float:
    """Raises ValueError and what else a date beyond the calendar does."""
    if found := _HUMAN_DATE.search(text):
        year, month, day, hour, minute, second, fraction = (int(each or 0) for each in found.groups())
        return datetime(year, month, day, hour, minute, second, fraction * 1000, tzinfo=UTC).timestamp()
    if found := _SPOKEN_DATE.search(text):
        name, *numbers, half = found.groups()
        day, year, hour, minute = map(int, numbers)
        hour = hour % 12 + 12 * (half.lower() == "pm") if half else hour
        return time.mktime((year, _MONTHS.index(name[:3].lower()), day, hour, minute, 0, 0, 0, -1))
    return datetime.fromisoformat(text).timestamp()


def _named(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{what} {', '.join(one_line(name)[:40] for name in sorted(names)[:_MOST_NAMED])}{more}"


def _variables(value: object) -> dict[str, str]:
    known = [(one_line(name), each) for name, each in list(mapping(value).items())[:_MAX_VARIABLES]]
    texts = ((name, str(each)) for name, each in known if name and isinstance(each, str | int | float))
    return {name: sanitize(text)[:_LONGEST_VARIABLE] for name, text in texts}


def check_number(messages: int) -> None:
    """Raise LibraryError for more messages than a conversation may have."""
    if messages > MAX_MESSAGES:
        raise LibraryError(f"It holds {messages:,} messages, more than {MAX_MESSAGES:,}.")


def _cell(row: object, at: int) -> str:
    return _text(row[at]) if isinstance(row, list) and len(row) > at else ""


def _text(value: object) -> str:
    """The words of a text; Chub's chats have it in an object."""
    return sanitize(member(value, str) or member(value, str, "message") or "")


def one_line(value: object) -> str:
    """The name of something, "" for what is no text."""
    return sanitize(value, strict=True).strip()[:MAX_NAME] if isinstance(value, str) else ""


def _address(value: str) -> str:
    return "inline" if value.startswith("data:") else sanitize(value, strict=True)[:MAX_NAME]
