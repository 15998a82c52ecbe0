"""Takes what `finding` has found, and reports. A thing is kept whole or not at all, so the user may stop between any two; what is here
already is told from its content, so that a second import changes nothing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from nemochat.chat.locations import has_picture_suffix
from nemochat.chat.pictures import open_picture, picture_name
from nemochat.domain.chat import Chat, Entry
from nemochat.domain.groups import Cards, Group, Order
from nemochat.domain.messages import ImagePart, Role
from nemochat.domain.personas import Lorebook, Persona, UserProfile
from nemochat.domain.sanitize import sanitize
from nemochat.errors import ImageError, NemochatError
from nemochat.files import reason
from nemochat.library import Library
from nemochat.library.archives import open_archive
from nemochat.library.foreign import keep, read_foreign
from nemochat.library.roleplay_chats import Beside
from nemochat.library.transfer import import_library, is_library
from nemochat.library.values import ForeignChat
from nemochat.moving.finding import Found, Part, Unused, find, tallied
from nemochat.moving.report import Failure, Kind, Left, Report, Thing
from nemochat.numbers import count
from nemochat.personas.index import PersonaSummary
from nemochat.personas.lorebooks import LorebookStore, read_lorebook
from nemochat.personas.profiles import Profiles
from nemochat.personas.prompt_text import greetings
from nemochat.personas.sampling_presets import PresetStore, read_foreign_file
from nemochat.personas.store import PersonaStore, ReadPersona
from nemochat.reading import check_json, listed, mapping, member, read_regular

_MAX_JSON, _MAX_TEXT = 64 << 20, 4 << 20
_MAX_NAME, _MOST_FIELDS = 200, 20
_PLACES = ("user", "img", "User Avatars")
"""Where the pictures and files of chats lie in the folder of SillyTavern; what is named elsewhere is not looked for."""
_ORDERS = {0: Order.NATURAL, 1: Order.LIST, 2: Order.MANUAL, 3: Order.POOLED}
_CARDS = {0: Cards.OWN, 1: Cards.JOINED, 2: Cards.WITH_MUTED}


class Stores(msgspec.Struct, frozen=True):
    """Where things are kept."""

    library: Library
    personas: PersonaStore
    lorebooks: LorebookStore
    presets: PresetStore


class Importer:
    """Imports one path. progress: called with how many files were looked at, and how many there are; stop: whether to end.

    Everything here waits for the disk: call it in a thread.
    """

    def __init__(
        self, stores: Stores, progress: Callable[[int, int], None] = lambda _, __: None, stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._stores, self._progress, self._stop = stores, progress, stop
        self._came: list[Thing] = []
        self._here: list[Thing] = []
        self._again: list[tuple[Thing, Path]] = []
        self._failed: list[Failure] = []
        self._unused: list[Unused] = []
        self._notes: dict[str, None] = {}
        self._meaningless: dict[str, int] = {}
        # What chats and groups of SillyTavern name, by the folder and the name there: ids of personas and lorebooks, and groups.
        self._cards: dict[tuple[Path | None, str], str] = {}
        self._books: dict[tuple[Path | None, str], str] = {}
        self._groups: dict[tuple[Path | None, str], dict[str, Any]] = {}
        self._wanted_books: dict[str, tuple[Path | None, str]] = {}
        self._personas, self._presets = list(stores.personas.list()), list(stores.presets.list())
        # Before the import began; what comes twice within it is two things.
        self._names = {each.name.casefold() for each in self._personas if not each.is_builtin}
        self._preset_fields: Counter[str] = Counter()
        self._persona = cache(lambda id_: stores.personas.load(id_)[0])
        self._users = cache(lambda: {each.name: each for each in reversed(stores.personas.profiles().profiles)})
        self._is_stopped = False

    def run(self, path: Path) -> Report:
        """All that there is at a path. Raises NemochatError when the path itself cannot be read."""
        try:
            found: list[Found] = []
            for each in find(path, self._stop):
                if isinstance(each, Found):
                    found.append(each)
                elif each.failure:
                    self._failed.append(Failure(each.name, each.failure))
                else:
                    self._unused.append(each)
        except OSError as error:
            raise NemochatError(f"{sanitize(str(path), strict=True)} cannot be read: {reason(error)}.") from error
        order = list(Part)
        for number, each in enumerate(sorted(found, key=lambda each: order.index(each.part))):
            if self._stop():
                self._is_stopped = True
                break
            self._progress(number, len(found))
            self._take(each)
        self._progress(len(found), len(found))
        return self.report

    def add_again(self) -> Report:
        """Take the personas as well that were left out because of their name."""
        for thing, path in self._again:
            with _reported(self._failed, thing.file):
                self._add_card(self._stores.personas.read(path), thing.file, None)
        self._again = []
        return self.report

    @property
    def report(self) -> Report:
        """What came of it so far."""
        left = [_left(what, n, files) for what, n, files in tallied(self._unused)]
        left += [Left(what, times=n) for what, n in self._meaningless.items()]
        if self._preset_fields:
            fields = ", ".join(f"{what} ({count(n)})" if n > 1 else what for what, n in self._preset_fields.most_common(_MOST_FIELDS))
            left.append(Left("what sampling presets say besides", f"{fields}; it stays with them for exports"))
        return Report(
            tuple(self._came),
            tuple(self._here),
            tuple(left),
            tuple(self._failed),
            tuple(self._notes),
            tuple(thing for thing, _ in self._again),
            self._is_stopped,
        )

    def _take(self, found: Found) -> None:
        takes = {
            Part.SETTINGS: self._settings, Part.PROFILES: self._profile_backup, Part.LORE: self._lore, Part.CARD: self._card,
            Part.PRESET: self._preset, Part.GROUP: self._group, Part.CHAT: self._chats, Part.ARCHIVE: self._archive,
        }  # fmt: skip
        with _reported(self._failed, found.name):
            takes[found.part](found)

    # -- cards

    def _card(self, found: Found) -> None:
        read = self._stores.personas.read(found.path)
        here = self._stores.personas.find_same(read.persona, self._personas)
        key = (found.base, found.owner or found.path.stem)
        name = read.persona.name
        if here is not None and here.is_equal:
            self._cards[key] = here.id
            self._here.append(Thing(Kind.PERSONA, name, found.name, here.id))
            return
        if here is not None and name.casefold() in self._names:
            self._cards[key] = here.id
            self._again.append((Thing(Kind.PERSONA, name, found.name, here.id), found.path))
            return
        self._add_card(read, found.name, key)

    def _add_card(self, read: ReadPersona, name: str, key: tuple[Path | None, str] | None) -> None:
        persona = read.persona
        book = self._book_named(key[0] if key else None, member(persona.extensions, str, "world") or "")
        if book and persona.book is None:
            read = msgspec.structs.replace(read, persona=msgspec.structs.replace(persona, lorebooks=(book,)))
        id_ = self._stores.personas.keep(read)
        if key is not None:
            self._cards[key] = id_
        self._personas.append(PersonaSummary(id_, persona.name))
        self._came.append(Thing(Kind.PERSONA, persona.name, name, id_))
        for notice in read.notices:
            self._notes[f"{persona.name}: {notice}"] = None

    # -- lorebooks

    def _lore(self, found: Found) -> None:
        book, notices = read_lorebook(read_regular(found.path, _MAX_JSON), found.path.name)
        self._books[found.base, found.path.stem] = self._keep_book(book, found.name, notices)

    def _keep_book(self, book: Lorebook, name: str, notices: tuple[str, ...] = ()) -> str:
        """The id of a lorebook, which may be here already."""
        here = self._stores.lorebooks.find(book)
        if here is not None:
            self._here.append(Thing(Kind.LOREBOOK, book.name, name, here))
            return here
        id_ = self._stores.lorebooks.add(book)
        self._came.append(Thing(Kind.LOREBOOK, book.name, name, id_))
        for notice in notices:
            self._notes[f"{book.name}: {notice}"] = None
        return id_

    def _book_named(self, base: Path | None, name: str) -> str:
        """The id of the lorebook that is called so in a folder of SillyTavern, or here; "" where there is none."""
        if not name.strip():
            return ""
        known = self._books.get((base, name))
        return known or next((each.id for each in self._stores.lorebooks.list() if each.name == name), "")

    # -- presets and profiles

    def _preset(self, found: Found) -> None:
        read = read_foreign_file(read_regular(found.path, _MAX_JSON), found.path.name)
        preset, number = read.preset, 1
        name = preset.name
        if any(each.original == preset.original and _is_named(each.name, name) for each in self._presets):
            self._here.append(Thing(Kind.PRESET, name, found.name))
            return
        while any(each.name.casefold() == name.casefold() for each in self._presets):
            number += 1
            name = f"{preset.name} ({number})"
        preset = msgspec.structs.replace(preset, name=name)
        self._stores.presets.save(preset)
        self._presets.append(preset)
        self._came.append(Thing(Kind.PRESET, name, found.name))
        self._preset_fields.update(read.meaningless)

    def _settings(self, found: Found) -> None:
        settings = _object(found.path)
        power = mapping(settings, "power_user")
        lore = mapping(settings, "world_info_settings", "world_info")
        self._take_profiles(power, found.name)
        if chosen := [each for each in listed(lore, "globalSelect") if isinstance(each, str)]:
            names = ", ".join(sanitize(each, strict=True)[:60] for each in chosen[:12])
            self._notes[f"SillyTavern used these lorebooks in every chat: {names}. F4 in /lore does so here."] = None
        self._without_meaning("other settings of SillyTavern")

    def _profile_backup(self, found: Found) -> None:
        self._take_profiles(_object(found.path), found.name)

    def _take_profiles(self, root: Mapping[str, Any], file: str) -> None:
        """The user's personas, all of them or none."""
        about = mapping(root, "persona_descriptions")
        known_here = self._stores.personas.profiles()
        before = {each.name.casefold() for each in known_here.profiles}
        new: list[UserProfile] = []
        came: list[Thing] = []
        for avatar, name in list(mapping(root, "personas").items())[:1_000]:
            said = sanitize(name, strict=True).strip()[:_MAX_NAME] if isinstance(name, str) else ""
            if not said:
                continue
            known = about.get(avatar)
            profile = UserProfile(said, sanitize(member(known, str) or member(known, str, "description") or ""))
            if profile in (*known_here.profiles, *new):
                self._here.append(Thing(Kind.PROFILE, said, file))
            elif said.casefold() in before:
                self._here.append(Thing(Kind.PROFILE, said, file))
                self._notes[f"Your profile {said} is here with another description, and stays as it is."] = None
            else:
                new.append(profile)
                came.append(Thing(Kind.PROFILE, said, file))
        if new:
            changed = Profiles((*known_here.profiles, *new), known_here.active)
            self._stores.personas.save_profiles(changed)
            self._came += came

    # -- conversations

    def _group(self, found: Found) -> None:
        """What a group is; it comes with each of its chats."""
        root = _object(found.path)
        for chat in [*listed(root, "chats"), root.get("chat_id")]:
            if isinstance(chat, str):
                self._groups[found.base, chat] = root

    def _chats(self, found: Found) -> None:
        for each in read_foreign(found.path, self._beside(found.base)):
            if self._stop():
                return
            if isinstance(each, str):
                self._failed.append(Failure(found.name, each, "conversation"))
                continue
            self._failed += [Failure(found.name, problem, "conversation", is_part=True) for problem in each.problems]
            if each.chat.entries:
                with _reported(self._failed, found.name, "conversation"):
                    self._keep_chat(each, found)
            elif not each.problems:
                self._failed.append(Failure(found.name, "no message in it could be read", "conversation"))

    def _keep_chat(self, read: ForeignChat, found: Found) -> None:
        for what in read.meaningless:
            self._without_meaning(what)
        root = self._groups.get((found.base, found.owner), {}) if found.is_group else {}
        chat, kind = self._placed(read, found, root), Kind.GROUP if found.is_group else Kind.CHAT
        id_, is_new = keep(self._stores.library, msgspec.structs.replace(read, chat=chat))
        (self._came if is_new else self._here).append(Thing(kind, chat.title, found.name, id_))

    def _placed(self, read: ForeignChat, found: Found, root: Mapping[str, Any]) -> Chat:
        """With whom the model plays, who the user is, and what is known of the world. The messages are as they were."""
        persona = None if found.is_group else self._persona_of(read, found)
        if persona is not None and read.scenario:
            persona = msgspec.structs.replace(persona, scenario=read.scenario)
        user = self._users().get(read.user) or (UserProfile(read.user) if read.user else None)
        chat = msgspec.structs.replace(read.chat, persona=persona, user=user, variables=read.variables)
        if persona is not None:
            chat = _spoken_by(chat, persona.name)
            chat = chat if read.opening is None else _greeted(chat, persona, user or UserProfile(), read.opening)
        if found.is_group:
            chat = msgspec.structs.replace(chat, group=self._group_of(root, chat, found))
            name = member(root, str, "name")
            chat = chat if name is None else chat.named(sanitize(name, strict=True)[:_MAX_NAME])
        if persona is None and not any(entry.message.role is Role.USER for entry in chat.entries):
            chat = chat.named(chat.name or read.character or sanitize(found.path.stem, strict=True)[:_MAX_NAME])
        books = [self._book_named(found.base, read.book)] if read.book else []
        if read.lore:
            with _reported(self._failed, found.name, "lorebook", is_part=True):
                book, notices = read_lorebook(json.dumps(dict(read.lore)).encode(), f"{chat.title}.json")
                books.append(self._keep_book(book, found.name, notices))
        if read.scenario and persona is None:
            chat = chat.framed("\n\n".join(filter(None, [chat.frame.system, read.scenario])))
        return msgspec.structs.replace(chat, lorebooks=tuple(filter(None, books)))

    def _persona_of(self, read: ForeignChat, found: Found) -> Persona | None:
        """The one of the card in whose folder the chat lies, else the one here that has the name."""
        id_ = self._cards.get((found.base, found.owner)) if found.owner else None
        # text-generation-webui has a folder for each character, and no name in the file.
        id_ = id_ or self._named(read.character or found.path.parent.name)
        return self._persona(id_) if id_ else None

    def _named(self, name: str) -> str | None:
        """The id of the persona that is called just so, one of the user's own in the first place; None where there is none."""
        every = [each for each in self._personas if name and each.name == name]
        return min(every, key=lambda each: each.is_builtin).id if every else None

    def _group_of(self, root: Mapping[str, Any], chat: Chat, found: Found) -> Group | None:
        """The group of a chat: its members as far as their cards came or are here, else those who speak in it."""
        files = [each for each in listed(root, "members") if isinstance(each, str)]
        ids = [self._cards.get((found.base, Path(each).stem)) for each in files]
        names = dict.fromkeys(each.speaker for each in chat.entries if each.speaker and each.message.role is Role.ASSISTANT)
        ids = ids if any(ids) else [self._named(name) for name in names]
        muted = {Path(each).stem for each in listed(root, "disabled_members") if isinstance(each, str)}
        group = Group(
            order=next((order for number, order in _ORDERS.items() if number == root.get("activation_strategy")), Order.NATURAL),
            cards=next((cards for number, cards in _CARDS.items() if number == root.get("generation_mode")), Cards.OWN),
            self_replies=root.get("allow_self_responses") is True,
            name=sanitize(member(root, str, "name") or "", strict=True)[:_MAX_NAME],
        )
        for index, id_ in enumerate(ids):
            if id_ is None:
                missing = files[index] if index < len(files) else ""
                self._notes[f"The group {group.name or chat.title} lacks {missing or 'a member'}, whose card is not here."] = None
                continue
            group = group.joined(self._persona(id_))
            if index < len(files) and Path(files[index]).stem in muted:
                last = group.members[-1]
                group = group.changed(last.name, msgspec.structs.replace(last, muted=True))
        return group if group.members else None

    def _beside(self, base: Path | None) -> Beside:
        """Pictures and files that chats of a folder of SillyTavern name; nothing outside of it."""

        def place(address: str) -> Path | None:
            if base is None:
                return None
            parts = [part for part in address.split("?")[0].replace("\\", "/").split("/") if part not in ("", ".")]
            if not parts or ".." in parts or parts[0] not in _PLACES:
                return None
            path = base.joinpath(*parts)
            return path if path.is_file() and path.resolve().is_relative_to(base.resolve()) else None

        def picture(address: str) -> ImagePart | None:
            path = place(address)
            is_inline = address.startswith("data:")
            if not is_inline and (path is None or not has_picture_suffix(path.name)):
                return None
            try:
                opened = open_picture(address if is_inline else str(path))
            except ImageError:
                return None
            if opened.original is None:
                return None
            name = picture_name(address if is_inline else str(path))
            self._stores.library.put_picture(opened.original.digest, opened.original)
            return ImagePart(opened.original.digest, name, opened.image.width, opened.image.height)

        def text(address: str) -> str | None:
            path = place(address)
            try:
                data = read_regular(path, _MAX_TEXT) if path is not None else b"\0"
            except OSError:
                return None
            return None if b"\0" in data else data.decode("utf-8", "replace")

        return Beside(picture, text)

    def _archive(self, found: Found) -> None:
        """A zip file: an exported library, or ChatGPT's."""
        with open_archive(found.path) as archive:
            ours = is_library(archive)
        if not ours:
            self._chats(found)
            return
        report = import_library(self._stores.library, found.path)
        self._came += [Thing(Kind.CHAT, self._stores.library.find(id_).title, found.name, id_) for id_ in report.added]
        self._here += [Thing(Kind.CHAT, "", found.name)] * report.skipped
        # Those about conversations that are lost cannot be told from those about their pictures.
        parts = [index >= report.lost for index in range(len(report.problems))]
        self._failed += [Failure(found.name, each, "conversation", is_part) for each, is_part in zip(report.problems, parts, strict=True)]

    def _without_meaning(self, what: str) -> None:
        self._meaningless[what] = self._meaningless.get(what, 0) + 1


@contextmanager
def _reported(failed: list[Failure], name: str, what: str = "file", *, is_part: bool = False) -> Iterator[None]:
    """One file, or something in it: whatever is wrong with it is reported, and costs no other one."""
    try:
        yield
        return
    except NemochatError as error:
        why = error.message
    except OSError as error:
        why = f"it cannot be read ({reason(error)})"
    except MemoryError:
        why = "there is not enough memory for it"
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        why = f"it holds what no such file does ({sanitize(str(error), strict=True)[:100]})"
    failed.append(Failure(name, why, what, is_part))


def _greeted(chat: Chat, persona: Persona, user: UserProfile, opening: int) -> Chat:
    """With the greeting that came before the first message, which its program does not keep with the conversation."""
    texts = greetings(persona, user, seed=str(chat.seed))
    if opening >= len(texts):
        return chat
    said = Chat(name=chat.name).opened([texts[opening]], persona.name)
    messages = [entry.message for entry in chat.entries]
    whole = said.with_messages(messages, [entry.speaker for entry in chat.entries])
    return msgspec.structs.replace(chat, entries=whole.entries, next_id=whole.next_id)


def _spoken_by(chat: Chat, name: str) -> Chat:
    """With a name on the replies of which the file does not say who spoke."""

    def named(entry: Entry) -> Entry:
        is_nobody = entry.message.role is Role.ASSISTANT and not entry.speaker
        return msgspec.structs.replace(entry, speaker=name) if is_nobody else entry

    aside = {id_: msgspec.structs.replace(node, entry=named(node.entry)) for id_, node in chat.aside.items()}
    return msgspec.structs.replace(chat, entries=tuple(map(named, chat.entries)), aside=aside)


def _left(what: str, times: int, names: tuple[str, ...]) -> Left:
    what, _, why = what.partition(": ")
    return Left(what, why, times, names)


def _is_named(name: str, wanted: str) -> bool:
    """Whether it is that name, or that with a number behind it."""
    rest = name.casefold().removeprefix(wanted.casefold())
    return name.casefold().startswith(wanted.casefold()) and re.fullmatch(r"(?: \(\d+\))?", rest) is not None


def _object(path: Path) -> dict[str, Any]:
    """The object of a JSON file. Raises OSError and ValueError."""
    data = read_regular(path, _MAX_JSON)
    check_json(data)
    value = json.loads(data.decode("utf-8-sig", "replace"), strict=False)
    if not isinstance(value, dict):
        raise TypeError("it is no object")
    return value
